"""A run as a stream somebody reads: the run works in a task of its own, and ends when nobody reads on."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from execution_platform.runtime.agent.told import Emit, Told

_AHEAD = 64
"""Batches a run may be ahead of a slow reader."""
R = TypeVar("R")


class Pump(Generic[R]):
    """One run and its reader. `result` is there when the stream has ended."""

    def __init__(self, work: Callable[[Emit], Awaitable[R]]) -> None:
        self._work = work
        self._queue: asyncio.Queue[Sequence[Told] | None] = asyncio.Queue(_AHEAD)
        self.result: R | None = None

    async def stream(self) -> AsyncGenerator[Sequence[Told]]:
        """What is told, as it is told. Raises what the run failed with; closing it cancels the run."""
        task = asyncio.get_running_loop().create_task(self._run())
        try:
            while (batch := await self._queue.get()) is not None:
                yield batch
            await task
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            self.result = await self._work(self._queue.put)
        except asyncio.CancelledError:
            # Who reads is cancelled too, or gone: nobody empties a full queue.
            with suppress(asyncio.QueueFull):
                self._queue.put_nowait(None)
            raise
        except BaseException:
            await self._queue.put(None)
            raise
        await self._queue.put(None)
