"""Heartbeats for silent streams."""

import asyncio
import time
from typing import Protocol

HEARTBEAT_SECONDS = 15.0


class Beating(Protocol):
    """A stream that may fall silent."""

    touched: float
    """`time.monotonic()` of its last write, or of its begin."""

    @property
    def wants_beat(self) -> bool:
        """Whether a sign of life may be sent now."""
        ...

    async def beat(self) -> None:
        """Send one."""
        ...


class Pulse:
    """One ticker for all streams: whoever was silent for `HEARTBEAT_SECONDS` gets a sign of life.

    Writes of a stream are whole frames, so a heartbeat between two of them is always legal. A client that does not
    read holds up its own heartbeat and nobody else's.
    """

    def __init__(self, seconds: float = HEARTBEAT_SECONDS) -> None:
        self._seconds = seconds
        self._streams: set[Beating] = set()
        self._beats: dict[Beating, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin ticking."""
        self._task = asyncio.get_running_loop().create_task(self._tick())

    async def stop(self) -> None:
        """Stop ticking."""
        tasks = [*self._beats.values(), *((self._task,) if self._task is not None else ())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._task = None

    def add(self, stream: Beating) -> None:
        """Watch `stream`."""
        self._streams.add(stream)

    def discard(self, stream: Beating) -> None:
        """The stream is over."""
        self._streams.discard(stream)
        if self._beats:
            beat = self._beats.pop(stream, None)
            if beat is not None:
                beat.cancel()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._seconds / 5)
            self._beat_all()

    def _beat_all(self) -> None:
        # Not in the coroutine: its variable would hold the last stream until there is another one.
        now = time.monotonic()
        for stream in tuple(self._streams):
            if now - stream.touched >= self._seconds and stream not in self._beats and stream.wants_beat:
                stream.touched = now
                self._beats[stream] = asyncio.create_task(self._beat(stream))

    async def _beat(self, stream: Beating) -> None:
        await stream.beat()
        self._beats.pop(stream, None)
