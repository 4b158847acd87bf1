"""Heartbeats for silent streams."""

import asyncio
import time

from execution_platform.gateway.http import Send

HEARTBEAT_SECONDS = 15.0


class Pulse:
    """One ticker for all streams: whoever was silent for `HEARTBEAT_SECONDS` gets its dialect's heartbeat.

    Writes of a stream are whole frames, so a heartbeat between two of them is always legal. A client that does not
    read holds up its own heartbeat and nobody else's.
    """

    def __init__(self, seconds: float = HEARTBEAT_SECONDS) -> None:
        self._seconds = seconds
        self._streams: dict[int, tuple[Send, bytes, float]] = {}
        self._beats: dict[int, asyncio.Task[None]] = {}
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

    def touch(self, key: int, send: Send, heartbeat: bytes) -> None:
        """Something was written just now."""
        self._streams[key] = (send, heartbeat, time.monotonic())

    def forget(self, key: int) -> None:
        """The stream is over."""
        self._streams.pop(key, None)
        beat = self._beats.pop(key, None)
        if beat is not None:
            beat.cancel()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._seconds / 5)
            now = time.monotonic()
            for key, (send, heartbeat, since) in tuple(self._streams.items()):
                if now - since >= self._seconds and key not in self._beats:
                    self.touch(key, send, heartbeat)
                    self._beats[key] = asyncio.create_task(self._beat(key, send, heartbeat))

    async def _beat(self, key: int, send: Send, heartbeat: bytes) -> None:
        await send({"type": "http.response.body", "body": heartbeat, "more_body": True})
        self._beats.pop(key, None)
