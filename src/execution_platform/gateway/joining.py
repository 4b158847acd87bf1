"""The way out of a connection on which the head of an answer leaves together with what follows it at once.

uvicorn hands the head and the pieces of a body to the transport one after the other, and the transport writes each at once: several
system calls and packets for an answer that fits into one. Here the head waits, with whatever follows it, until the event loop
has run everything that is ready, or the answer is whole, or it has become long: a head whose body is late leaves without it,
and a short stream that came in one read leaves in one write, its end included.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

_LONG: Final = 64 * 1024
"""Bytes that wait for nothing any more."""


class Joining:
    """Stands for a connection's transport; whatever is no write is passed on."""

    __slots__ = ("_is_fresh", "_size", "_soon", "_transport", "_waiting", "abort", "get_extra_info", "is_closing")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._soon = loop.call_soon
        self._waiting: list[bytes] = []
        self._size = 0
        self._is_fresh = True
        self.abort, self.is_closing, self.get_extra_info = (
            transport.abort,
            transport.is_closing,
            transport.get_extra_info,
        )

    def __getattr__(self, name: str) -> Any:
        """Everything else a transport can do."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write, after what waits; the first write of an answer is its head, which does."""
        waiting = self._waiting
        if self._is_fresh:
            self._is_fresh = False
            self._soon(self._late)
        elif not waiting:
            self._transport.write(data)
            return
        waiting.append(data)
        self._size += len(data)
        if self._size > _LONG:
            self._flush()

    def writelines(self, pieces: Iterable[bytes]) -> None:
        """Write several pieces at once, after what waits, without joining them."""
        self._is_fresh = False
        self._flush()
        self._transport.writelines(pieces)

    def end_answer(self) -> None:
        """The answer is whole; the next write is the head of another."""
        self._flush()
        self._is_fresh = True

    def close(self) -> None:
        """Close, after what waits."""
        self._flush()
        self._transport.close()

    def _late(self) -> None:
        """Nothing more followed at once."""
        if self._waiting and not self._transport.is_closing():
            self._flush()

    def _flush(self) -> None:
        waiting = self._waiting
        if waiting:
            data = waiting[0] if len(waiting) == 1 else b"".join(waiting)
            waiting.clear()
            self._size = 0
            self._transport.write(data)
