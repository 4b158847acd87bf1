"""Personas that are switched while requests are served: the same on every replica, and after a restart.

Theory of operation
-------------------
A switch is checked and served by the process that was told of it, then written to the database, then told to the workers of the
same address, who need not wait. Every process asks the database each second whether anything has changed and takes over all switches
together. A rollback is a switch too: what the version it returns to had switched is what the database has from then on.

Without the database a switch holds where it was made, and is written as soon as that is possible; an operator in need must not
wait. A switch that another replica's files cannot carry is refused there, told in its log, and tried again with the next change.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from execution_platform.exceptions import ExecutionPlatformError, UnprocessableRequest
from execution_platform.gateway.bookkeeping import Bookkeeping
from execution_platform.gateway.lifecycle import Lifecycle
from execution_platform.gateway.switch_table import SwitchTable
from execution_platform.observability.logging import Tell
from execution_platform.storage.engine import DatabaseUnavailable

_READ_SECONDS = 1.0
_FIRST_SECONDS = 3.0
Body = Mapping[str, object]


class Switches:
    """Keeps the personas of one process level with the database. Making one opens nothing; `start` does."""

    def __init__(self, lifecycle: Lifecycle, bookkeeping: Bookkeeping, tell: Tell) -> None:
        self.table = SwitchTable(bookkeeping.storage, bookkeeping.store)
        self._lifecycle = lifecycle
        self._exists = bookkeeping.exists
        self._tell = tell
        self._seen = 0
        self._waiting: dict[str, Body | None] = {}
        """What the database has not taken yet."""
        self._by = ""
        self._lock = asyncio.Lock()
        """Nothing is read between a switch here and its way into the database, else it would be undone."""
        self._first = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take over what is switched, and then follow. A database that answers is waited for, within limits."""
        self._task = asyncio.get_running_loop().create_task(self._read_again_and_again())
        if await self._exists():
            with suppress(TimeoutError):
                async with asyncio.timeout(_FIRST_SECONDS):
                    await self._first.wait()

    async def stop(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def switch(self, name: str, body: Body, by: str) -> None:
        """Change a persona everywhere. Raises `UnprocessableRequest`, and then nothing has."""
        async with self._lock:
            await self._lifecycle.switch_persona(name, body, by)
            await self._write({name: body}, by)

    async def forget(self, name: str, by: str) -> None:
        """Take a switch back everywhere. Raises `RouterError` when there is none."""
        async with self._lock:
            await self._lifecycle.forget_persona(name, by)
            await self._write({name: None}, by)

    async def rollback(self, version: str, by: str) -> None:
        """Serve an earlier version, and switch what it had switched everywhere. Raises as `Lifecycle.rollback` does."""
        async with self._lock:
            before = self._lifecycle.versions.current.personas
            await self._lifecycle.rollback(version, by)
            now = self._lifecycle.versions.current.personas
            changed: dict[str, Body | None] = {name: None for name in before if name not in now}
            changed |= {name: body for name, body in now.items() if before.get(name) != body}
            if changed:
                await self._write(changed, by)

    async def read(self) -> bool:
        """Write what waits, and take over what has changed; whether anything had. Raises `DatabaseUnavailable`."""
        async with self._lock:
            if self._waiting:
                await self.table.put(self._waiting, self._by)
                self._waiting = {}
            found = await self.table.revision()
            if found == self._seen:
                return False
            switched = await self.table.all()
            self._seen = found
            try:
                await self._lifecycle.take_personas(switched)
            except UnprocessableRequest as error:
                self._tell("personas_not_taken", "error", personas=sorted(switched), reason=error.message)
                return False
            return True

    async def _write(self, changed: Mapping[str, Body | None], by: str) -> None:
        """Let the database have it, now or later. The revision is read later: what others changed meanwhile comes with it."""
        try:
            await self.table.put(changed, by)
        except DatabaseUnavailable as error:
            self._waiting |= changed
            self._by = by
            self._tell("persona_switch_waits", "warning", personas=sorted(changed), reason=error.message)

    async def _read_again_and_again(self) -> None:
        while True:
            # The storage reports its own state; what is served stays.
            with suppress(ExecutionPlatformError):
                if self._waiting or await self._exists():
                    await self.read()
            self._first.set()
            await asyncio.sleep(_READ_SECONDS)
