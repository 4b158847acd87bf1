"""What is deleted because it is old: kept responses, and runs that are over, each by its own time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.gateway.bookkeeping import Bookkeeping
from execution_platform.observability.logging import Tell

_HOUR = 3600.0
_FIRST_SECONDS = 60.0
_AGAIN_SECONDS = 60.0
"""After a database that did not answer."""
Forget = Callable[[], Awaitable[int]]
"""Deletes what is too old; how many things. Raises `DatabaseUnavailable`."""


class Retention:
    """Forgets once an hour, in every process: whatever one deletes the others do not find."""

    def __init__(self, bookkeeping: Bookkeeping, jobs: Mapping[str, Forget], tell: Tell) -> None:
        self._bookkeeping = bookkeeping
        self._jobs = jobs
        self._tell = tell
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, a minute after the start: nothing waits for it."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Forget no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def forget(self) -> dict[str, int]:
        """Forget now; how many of what. Raises `DatabaseUnavailable`."""
        gone = {name: await job() for name, job in self._jobs.items()}
        if any(gone.values()):
            self._tell("forgotten", "info", **gone)
        return gone

    async def _run(self) -> None:
        pause = _FIRST_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = _HOUR
            try:
                if await self._bookkeeping.exists():
                    await self.forget()
            except ExecutionPlatformError as error:
                pause = _AGAIN_SECONDS
                self._tell("not_forgotten", "warning", reason=error.message)
