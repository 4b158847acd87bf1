"""Heartbeats for silent streams."""

import asyncio
import time

from execution_platform.gateway.http import Send

HEARTBEAT_SECONDS = 15.0


class Pulse:
    """One ticker for all streams: whoever was silent for `HEARTBEAT_SECONDS` gets its dialect's heartbeat.

    Writes of a stream are whole frames, so a heartbeat between two of them is always legal.
    """

    def __init__(self, seconds: float = HEARTBEAT_SECONDS) -> None:
        self._seconds = seconds
        self._streams: dict[int, tuple[Send, bytes, float]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin ticking."""
        self._task = asyncio.get_running_loop().create_task(self._tick())

    async def stop(self) -> None:
        """Stop ticking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def touch(self, key: int, send: Send, heartbeat: bytes) -> None:
        """Something was written just now."""
        self._streams[key] = (send, heartbeat, time.monotonic())

    def forget(self, key: int) -> None:
        """The stream is over."""
        self._streams.pop(key, None)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._seconds / 5)
            now = time.monotonic()
            silent = [item for item in self._streams.items() if now - item[1][2] >= self._seconds]
            for key, (send, heartbeat, _) in silent:
                self.touch(key, send, heartbeat)
                await send({"type": "http.response.body", "body": heartbeat, "more_body": True})
