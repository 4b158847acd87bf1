"""The way out of a connection on which the head of an answer leaves together with what follows it.

uvicorn hands the head and the body to the transport one after the other, and the transport writes each at once: two system
calls and two packets for an answer that fits into one. Here the head waits for the next write, at most until the event loop has
run everything that is ready, so that a head whose body is late leaves without it.
"""

import asyncio
from typing import Any


class Joining:
    """Stands for a connection's transport; whatever is no write is passed on."""

    __slots__ = ("_head", "_is_fresh", "_soon", "_transport", "abort", "get_extra_info", "is_closing")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._soon = loop.call_soon
        self._head: bytes | None = None
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
        """Write, after the head that waits; the first write of an answer is such a head."""
        if self._is_fresh:
            self._is_fresh = False
            self._head = data
            self._soon(self._late)
            return
        head, self._head = self._head, None
        self._transport.write(data if head is None else head + data)

    def end_answer(self) -> None:
        """The answer is whole; the next write is the head of another."""
        self._flush()
        self._is_fresh = True

    def close(self) -> None:
        """Close, after what waits."""
        self._flush()
        self._transport.close()

    def _late(self) -> None:
        """Nothing followed the head at once."""
        if not self._transport.is_closing():
            self._flush()

    def _flush(self) -> None:
        head, self._head = self._head, None
        if head is not None:
            self._transport.write(head)
