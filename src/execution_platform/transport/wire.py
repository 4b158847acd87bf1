"""One connection to an upstream: bytes in, the head and the body of one answer after the other out.

Theory of operation
-------------------
The pool (`pool.py`) opens the connection, lends it and keeps it. llhttp takes the answers apart: one parser serves a connection for
life, the chunks of a read are collected by a list's own `append`, and who reads the answer is handed them as one piece for
each read.

Rules
-----
* An answer ends where its framing says. One without framing ends with the connection; one that is cut is a failure.
* What comes after the end of an answer, or while none is awaited, ends the connection: it may not be read as the next answer.
* Interim answers (1xx) are passed over, a few of them; a change of the protocol is a failure.
* The size of the head is bounded in lines, bytes and headers. A body that nobody takes stops the reading.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, cast

import httptools

__all__ = ["Hangup", "Listener", "NotHttp", "Wire", "read_buffer"]

_READ: Final = 24 * 1024
"""Bytes of one read. Upstreams that send as fast as they can share a turn of the event loop by it."""
_HELD: Final = 16 * 1024
"""Bytes that wait for their reader, from which on no more is read: a full read is enough."""
_LONGEST_HEAD: Final = 64 * 1024
_LONGEST_LINE: Final = 16 * 1024
_MOST_HEADERS: Final = 128
_MOST_INTERIM: Final = 8
_OK: Final = 200
_SWITCHING: Final = 101

Pairs = list[tuple[bytes, bytes]]


class Hangup(ConnectionError):
    """The connection is gone."""


class NotHttp(Exception):
    """What came is not the HTTP/1.1 that is taken here."""


class Listener(Protocol):
    """Who awaits the answer on a connection."""

    held_bytes: int
    """How much of the body is there and was not taken yet."""

    def headed(self, status: int, headers: Pairs) -> None:
        """The head is whole."""
        ...

    def fed(self, data: bytes) -> None:
        """What one read brought of the body."""
        ...

    def ended(self) -> None:
        """The answer is whole. The connection awaits nothing any more."""
        ...

    def failed(self, error: Exception) -> None:
        """It never will be."""
        ...


def read_buffer() -> memoryview:
    """What the connections of one event loop read into, one after the other."""
    return memoryview(bytearray(_READ))


class Wire(asyncio.BufferedProtocol):
    """One connection to an upstream."""

    __slots__ = (
        "_bodyless",
        "_buffer",
        "_closed",
        "_gone",
        "_has_body_end",
        "_head_bytes",
        "_is_headed",
        "_is_lost",
        "_is_over",
        "_is_paused",
        "_is_surplus",
        "_keeps",
        "_loop",
        "_pairs",
        "_parser",
        "_pieces",
        "_status",
        "_turns",
        "kept",
        "listener",
        "on_body",
        "transport",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, buffer: memoryview, gone: Callable[["Wire"], None] | None = None
    ) -> None:
        """`gone` is told when it is closed."""
        self._loop = loop
        self._gone = gone
        self._buffer = buffer
        self.transport: asyncio.Transport | None = None
        self.kept = False
        """It has served a call before."""
        self.listener: Listener | None = None
        self._closed: asyncio.Future[None] | None = None
        self._is_lost = False
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append
        self._pairs: Pairs = []
        self._parser: httptools.HttpResponseParser | None = None
        self._keeps = True
        self._is_paused = False
        self._await_answer(bodyless=False)

    # What the pool asks of it

    @property
    def closed(self) -> asyncio.Future[None] | None:
        """Done when the connection is closed; None if it has been."""
        if self._closed is None and not self._is_lost:
            self._closed = self._loop.create_future()
        return self._closed

    @property
    def should_close(self) -> bool:
        """Whether no other call may use it."""
        return not self._keeps or self.listener is not None

    def is_connected(self) -> bool:
        """Whether it can be written to, as far as is known."""
        return self.transport is not None and not self.transport.is_closing()

    def close(self) -> None:
        """Close when what was written has left."""
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.close()

    def abort(self) -> None:
        """Close now."""
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.abort()

    # The event loop's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """It is closed, by whomever."""
        self._is_lost = True
        self._keeps = False
        self.transport = None
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)
        listener, self.listener = self.listener, None
        self._parser = None
        if self._gone is not None:
            self._gone(self)
        if listener is None:
            return
        if exc is None and self._is_headed and not self._has_body_end:
            listener.ended()
        else:
            listener.failed(Hangup("closed by the upstream" if exc is None else str(exc)))

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next read goes."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Read what came. Nothing may come while no answer is awaited."""
        listener, parser = self.listener, self._parser
        if listener is None or parser is None:
            self._keeps = False
            if self.transport is not None:
                self.transport.close()
            return
        try:
            parser.feed_data(self._buffer[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._is_surplus = True
            if not self._is_over:
                self._break(listener, error)
                return
        if not self._is_headed:
            self._head_bytes += nbytes
            if self._head_bytes > _LONGEST_HEAD:
                self._break(listener, None)
            return
        if self._pieces:
            self._hand_over(listener)
        if self._is_over:
            self._finish(listener)

    def _hand_over(self, listener: Listener) -> None:
        """Give what one read brought of the body to who reads it; stop reading where that is too slow."""
        pieces = self._pieces
        if self._bodyless:
            self._is_surplus = True
        else:
            listener.fed(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        pieces.clear()
        if listener.held_bytes > _HELD and not self._is_paused and not self._is_over:
            self._hold()

    # The parser's side

    def on_message_begin(self) -> None:
        """Another answer begins; after the end of the one that is awaited nobody asked for it. Raises `NotHttp`."""
        if self._is_over:
            raise NotHttp

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or one trailer, which nobody needs."""
        if not self._is_headed:
            self._pairs.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is whole. Raises `NotHttp` where it is out of bounds."""
        parser, listener, pairs = self._parser, self.listener, self._pairs
        if parser is None or listener is None:
            raise NotHttp
        self._status = status = parser.get_status_code()
        if len(pairs) > _MOST_HEADERS or status < 100 or status == _SWITCHING:
            raise NotHttp
        if status < _OK:
            self._turns += 1
            if self._turns > _MOST_INTERIM:
                raise NotHttp
            return
        has_end = False
        for name, value in pairs:
            if len(name) + len(value) > _LONGEST_LINE:
                raise NotHttp
            if name == b"content-length" or (name == b"transfer-encoding" and value.lower().endswith(b"chunked")):
                has_end = True
        self._has_body_end = has_end
        self._keeps = parser.should_keep_alive()
        self._is_headed = True
        self._pairs = []
        listener.headed(status, pairs)
        if self._bodyless:
            # The parser awaits the body of which the head tells: it is of no use any more.
            self._is_over, self._parser = True, None

    def on_message_complete(self) -> None:
        """The answer is whole, or it was said in the interim."""
        if self._is_headed:
            self._is_over = True
        else:
            self._pairs.clear()

    # The reader's side

    def expect(self, listener: Listener, *, bodyless: bool) -> None:
        """A request goes out whose answer `listener` awaits; if `bodyless` one that has a head alone."""
        self._await_answer(bodyless=bodyless)
        if self._parser is None:
            self._parser = parser = httptools.HttpResponseParser(self)
            # Servers are not quite exact.
            parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True)
        self.listener = listener

    def go_on(self) -> None:
        """The reader has taken what was there."""
        if self._is_paused:
            self._is_paused = False
            if self.transport is not None and not self.transport.is_closing():
                self.transport.resume_reading()

    def _hold(self) -> None:
        """Read no more until what is there was taken."""
        if self.transport is not None and not self.transport.is_closing():
            self._is_paused = True
            self.transport.pause_reading()

    def _await_answer(self, *, bodyless: bool) -> None:
        self._bodyless = bodyless
        self._status = 0
        self._turns = 0
        self._head_bytes = 0
        self._is_headed = self._is_over = self._is_surplus = self._has_body_end = False

    def _finish(self, listener: Listener) -> None:
        self.listener = None
        if self._is_surplus:
            self._keeps = False
        self.go_on()
        listener.ended()

    def _break(self, listener: Listener, error: Exception | None) -> None:
        self.listener = None
        self._keeps = False
        if self._pieces and self._is_headed:
            self._hand_over(listener)
        failure = NotHttp("the answer is not HTTP/1.1 within its bounds")
        failure.__cause__ = error
        if self.transport is not None:
            self.transport.abort()
        listener.failed(failure)
