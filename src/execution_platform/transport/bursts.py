"""What is written in one turn of the event loop leaves at its end, one write right after the other.

A write wakes whoever reads at the other end, if it sleeps, and on the same machine that costs more than the rest of the write. Where every
request is written when it is ready, a quick reader has dealt with it and sleeps again before the next one is: each write wakes.
Writes that follow each other at once find their reader awake.

What one connection writes in several pieces leaves in one write: the head of an answer with its body, the end of a stream with
its last piece.
"""

import asyncio
from typing import Final

_LONG: Final = 64 * 1024
"""Bytes that wait at most for one connection; with more everything leaves at once."""
_MOST: Final = 256 * 1024
"""Bytes that wait at most, over all connections."""
_SHORT: Final = 16 * 1024
"""Bytes of pieces that are joined before they are written; longer ones are not copied."""


class Bursts:
    """What waits for the end of the turn. One for each event loop."""

    __slots__ = ("_is_due", "_size", "_soon", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._soon = loop.call_soon
        self._waiting: dict[asyncio.WriteTransport, list[bytes]] = {}
        self._size = 0
        self._is_due = False

    def write(self, transport: asyncio.WriteTransport, *pieces: bytes) -> None:
        """Write `pieces` at the end of this turn, behind what waits for `transport`; not if it is closing then."""
        waiting = self._waiting.get(transport)
        if waiting is None:
            waiting = self._waiting[transport] = [*pieces]
            if not self._is_due:
                self._is_due = True
                self._soon(self._end)
        else:
            waiting += pieces
        for piece in pieces:
            self._size += len(piece)
        if self._size > _LONG and (self._size > _MOST or sum(map(len, waiting)) > _LONG):
            self.flush()

    def holds(self, transport: asyncio.WriteTransport) -> bool:
        """Whether something waits for `transport`."""
        return transport in self._waiting

    def flush(self) -> None:
        """Write everything that waits now."""
        waiting, self._waiting, self._size = self._waiting, {}, 0
        for transport, pieces in waiting.items():
            if not transport.is_closing():
                if sum(map(len, pieces)) < _SHORT:
                    transport.write(b"".join(pieces))
                else:
                    transport.writelines(pieces)

    def _end(self) -> None:
        """The event loop has run all that was ready."""
        self._is_due = False
        self.flush()
