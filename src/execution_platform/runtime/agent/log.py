"""What a run has told, numbered, for whoever reads it now or later.

Numbers only rise. A run that another worker goes on with numbers on from the next million, so that a reader who has seen more than
was written down misses nothing of what comes after.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from execution_platform.dialects.sse import event_frame
from execution_platform.runtime.agent.store import Frames

EPOCH = 1_000_000
_MOST = 100_000
"""Events of one run that are kept in memory; earlier ones are read from the database."""


class RunLog:
    """The events of one run in this process."""

    def __init__(self, epoch: int) -> None:
        self._first = (epoch - 1) * EPOCH + 1
        self._frames: list[bytes] = []
        self._written = 0
        self._more = asyncio.Event()
        self.closed = False

    @property
    def last(self) -> int:
        """The number of the newest event."""
        return self._first + len(self._frames) - 1

    @property
    def first(self) -> int:
        """The number of the oldest event that is here."""
        return self._first

    @property
    def waiting(self) -> int:
        """Events that are not written down yet."""
        return len(self._frames) - self._written

    def add(self, frames: bytes) -> None:
        """Native frames as an encoder made them."""
        if not frames:
            return
        self._frames.extend(frame + b"\n\n" for frame in frames.split(b"\n\n") if frame)
        self._wake()

    def note(self, name: str, data: bytes) -> None:
        """One event of its own."""
        self._frames.append(event_frame(name, data))
        self._wake()

    def close(self) -> None:
        """Nothing follows."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        more, self._more = self._more, asyncio.Event()
        more.set()

    def unwritten(self) -> Frames | None:
        """What is to be written down now; it counts as written."""
        new = self._frames[self._written :]
        if not new:
            return None
        frames = Frames(self._first + self._written, self.last, b"".join(new).decode())
        self._written = len(self._frames)
        if len(self._frames) > _MOST:
            self._first += len(self._frames)
            self._frames, self._written = [], 0
        return frames

    def since(self, after: int) -> Sequence[tuple[int, bytes]]:
        """The events behind number `after`."""
        start = max(0, after - self._first + 1)
        return [(self._first + start + place, frame) for place, frame in enumerate(self._frames[start:])]

    async def follow(self, after: int, beat: float) -> AsyncGenerator[Sequence[tuple[int, bytes]]]:
        """Events behind `after` as they come, and nothing after `beat` seconds of silence, until the run is over."""
        while True:
            more = self._more
            found = self.since(after)
            if found:
                after = found[-1][0]
                yield found
                continue
            if self.closed:
                return
            try:
                async with asyncio.timeout(beat):
                    await more.wait()
            except TimeoutError:
                yield ()


def numbered(frames: Frames, after: int) -> list[tuple[int, bytes]]:
    """Frames from the database with their numbers, those behind `after`."""
    parts = [part for part in frames.data.encode().split(b"\n\n") if part]
    return [(frames.first + place, part + b"\n\n") for place, part in enumerate(parts) if frames.first + place > after]
