"""Keeps one child process running: started at first use, started again when it ended, not more often than is sane."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from execution_platform.exceptions import ErrorKind, ProviderError
from execution_platform.providers.local.child import PROVIDER, Child, ServerSpec, start_child


@dataclass(frozen=True, slots=True)
class RestartLimit:
    """At most `starts` starts within `window` seconds; what needs more is broken and must say so."""

    starts: int = 3
    window: float = 60.0


class Supervisor:
    """Owns one child. Every method belongs to the event loop that first used it.

    All callers that come while the child is starting wait for the same start. A caller that goes away does not end
    it, because the others still wait.
    """

    def __init__(
        self,
        spec: ServerSpec,
        credential: str,
        *,
        limit: RestartLimit | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spec = spec
        self._credential = credential
        self._limit = limit or RestartLimit()
        self._clock = clock
        self._started_at: deque[float] = deque()
        self._child: Child | None = None
        self._starting: asyncio.Task[Child] | None = None
        self._closed = False
        self._last_failure = ""
        self.starts = 0
        """How often a child became ready."""

    @property
    def pid(self) -> int | None:
        """Process id of the running child."""
        return self._child.pid if self._child is not None and self._child.alive else None

    async def base_url(self) -> str:
        """The URL of a child that runs, which is started if need be.

        Raises:
            ProviderError: of kind `connection` if it ends while it starts, of kind `unavailable` (with `retry_after`)
                if it ended too often or this supervisor is closed.
            TimeoutError: if it does not answer in time.
        """
        if self._closed:
            raise self._closed_error()
        if self._child is not None and self._child.alive:
            return self._child.base_url
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
            self._starting.add_done_callback(self._start_ended)
        starting = self._starting
        try:
            child = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # Either this caller was cancelled, or `aclose` cancelled the start under it.
            if starting.cancelled() and self._closed and not _is_cancelling():
                raise self._closed_error() from None
            raise
        return child.base_url

    async def aclose(self) -> None:
        """End the child, also one that is starting. May be called again, also at the same time."""
        self._closed = True
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        if self._child is not None:
            await self._child.stop()

    async def _start(self) -> Child:
        self._admit_start()
        if self._child is not None:
            self._last_failure = (await self._child.obituary()).message
            await self._child.stop()
        self._child = await start_child(self._spec, self._credential)
        self.starts += 1
        return self._child

    def _admit_start(self) -> None:
        now = self._clock()
        while self._started_at and now - self._started_at[0] >= self._limit.window:
            self._started_at.popleft()
        if len(self._started_at) >= self._limit.starts:
            wait = self._limit.window - (now - self._started_at[0])
            raise ProviderError(
                f"The local {self._spec.name} was started {self._limit.starts} times within {self._limit.window:g} s "
                f"and is not started again for {wait:.0f} s. {self._last_failure}".rstrip(),
                kind=ErrorKind.UNAVAILABLE,
                provider=PROVIDER,
                retry_after=wait,
                never_sent=True,
            )
        self._started_at.append(now)

    def _start_ended(self, task: "asyncio.Task[Child]") -> None:
        self._starting = None
        # Reading the exception marks it as seen: every caller that was waiting may be gone.
        if not task.cancelled() and (error := task.exception()) is not None:
            limited = isinstance(error, ProviderError) and error.kind is ErrorKind.UNAVAILABLE
            self._last_failure = self._last_failure if limited else str(error)

    def _closed_error(self) -> ProviderError:
        return ProviderError(
            f"The local {self._spec.name} is closed: the gateway is shutting down.",
            kind=ErrorKind.UNAVAILABLE,
            provider=PROVIDER,
            never_sent=True,
        )


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
