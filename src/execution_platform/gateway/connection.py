"""One client connection: uvicorn's protocol with deadlines, strict framing and refusals that cost little.

No timer is set per request: a connection notes when its present phase began, and the server looks at all
connections twice a second (`sweep`). The parser (llhttp) refuses bare line feeds, folded headers, two framings
and bad chunks by itself; what it lets pass and a proxy might read differently is refused here. After such an
answer the connection is closed.
"""

import asyncio
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from execution_platform.exceptions import ExecutionPlatformError, InvalidRequest
from execution_platform.gateway.cycle import Cycle
from execution_platform.gateway.departure import DEPARTURE, Departure
from execution_platform.gateway.door import SURPLUS, Door
from execution_platform.gateway.http import LATE, SlowRequest
from execution_platform.gateway.joining import Joining

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

_IDLE, _HEAD, _BODY, _BUSY = range(4)
_VERSIONS = ("1.1", "1.0")
_LOOKALIKES = (b"transfer_encoding", b"content_length")
"""Some proxies and frameworks take an underscore for a dash."""
_NOTED = frozenset({b"host", b"transfer-encoding", b"expect", *_LOOKALIKES})
"""Headers that decide how a request is read."""
_MOST_PIPELINED = 32
_UNSENT = 16 * 1024
"""Bytes that wait here for the kernel to take them; with more nothing is made for the client until some have gone."""
_HOP = (b"upgrade", b"http2-settings", b"connection")


class TooLong(InvalidRequest):
    """The target or the header block is over its limit."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, code="request_head_too_large")
        self._status = status

    @property
    def status(self) -> int:
        """414 or 431."""
        return self._status


class Refusal(Exception):
    """Ends the parsing of a message from within a callback of the parser."""


class _Spent:
    """Stands for the handler of a request that was answered without one."""

    response_complete = True
    disconnected = True
    keep_alive = False
    more_body = False

    def __init__(self) -> None:
        self.message_event = self

    def set(self) -> None:
        """Nobody waits."""


class Connection(HttpToolsProtocol):
    """One connection of a client."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        door: Door,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._door = door
        self._phase = _HEAD
        self._since = 0.0
        self._stuck: float | None = None
        self._head_bytes = 0
        self._noted: list[bytes] = []
        self._peer = ""
        self._surplus = False
        self._departures: deque[Departure] = deque()
        self._deaf = False
        self._reparse = False
        self._refusal: ExecutionPlatformError | None = None

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection; one too many is closed, or answered with a refusal while there is room for that."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=_UNSENT)
        self.transport = cast("asyncio.Transport", Joining(transport, self._door.bursts(self.loop)))
        self._since = self.loop.time()
        self._peer = self.client[0] if self.client else ""
        door = self._door
        if door.enter(self._peer) is not None:
            self._surplus = True
            if door.open > door.most + SURPLUS:
                transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, whoever ended it."""
        self._door.leave(self._peer)
        for departure in self._departures:
            departure.happen()
        self._departures.clear()
        super().connection_lost(exc)

    @property
    def is_busy(self) -> bool:
        """Whether a request is under way or on its way in."""
        return self._phase in (_BODY, _BUSY) or (self._phase == _HEAD and self._head_bytes > 0)

    @property
    def _answering(self) -> RequestResponseCycle | None:
        """The request whose answer is still to come or under way."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return None if cycle is None or cycle.response_complete else cycle

    def pause_writing(self) -> None:
        """The client does not read as fast as it is written to."""
        self._stuck = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client has read."""
        self._stuck = None
        super().resume_writing()

    # Deadlines

    def sweep(self, now: float) -> None:
        """Look whether the present phase has lasted too long."""
        limits = self._door.limits
        if self._stuck is not None:
            if now - self._stuck >= limits.write_seconds:
                self._door.slow("read")
                self.transport.abort()
        elif self.transport.is_closing():
            self._stuck = now
        elif self._phase == _IDLE:
            if now - self._since >= limits.idle_seconds:
                self.transport.close()
        elif self._phase == _HEAD:
            if now - self._since >= limits.head_seconds:
                self._late_head()
        elif self._phase == _BODY and now - self._since >= limits.body_seconds:
            self._late_body()

    def _late_head(self) -> None:
        self._door.slow("head")
        if self._head_bytes:
            self._refuse(SlowRequest("the request head did not arrive in time (limits.head_seconds)"))
        else:
            self.transport.close()

    def _late_body(self) -> None:
        """The handler, which waits for the body, tells the client; without one the connection is closed."""
        if self.flow.read_paused:
            return
        self._door.slow("body")
        cycle = self.cycle
        if cycle.response_complete:
            self.transport.close()
            return
        cycle.keep_alive = False
        cast("dict[str, Any]", cycle.scope)[LATE] = True
        self._phase = _BUSY
        cycle.message_event.set()

    # Bytes in

    def data_received(self, data: bytes) -> None:
        """Feed the parser; whatever it refuses is answered once and ends the connection."""
        if self._deaf:
            return
        if self._phase == _IDLE:
            self._phase, self._since, self._head_bytes = _HEAD, self.loop.time(), 0
        if self._phase == _HEAD:
            self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            refusal, self._refusal = self._refusal, None
            self._refuse(refusal or InvalidRequest(f"the request is not valid HTTP: {_told(error)}", code="bad_http"))
        else:
            limits = self._door.limits
            if self._phase == _HEAD and self._head_bytes > limits.header_block + limits.url_length:
                self._refuse(
                    TooLong(f"the request head is over {limits.header_block} bytes (limits.header_block)", 431)
                )

    def _without_upgrade(self, rest: bytes) -> None:
        """Parse the message again without its offer to change the protocol, which a server may ignore (RFC 9110, 7.8).

        The parser takes what follows such a head for another protocol and would lose the body.
        """
        head = [b"%s %s HTTP/1.1\r\n" % (self.parser.get_method(), self.url)]
        head += [b"%s: %s\r\n" % pair for pair in self.headers if pair[0] not in _HOP]
        self.parser = httptools.HttpRequestParser(self)
        self._reparse = False
        self.data_received(b"".join(head) + b"\r\n" + rest)

    def on_headers_complete(self) -> None:
        """The head is whole: refuse what is ambiguous, then what is one too many, else start the handler."""
        if self.parser.should_upgrade():
            self._reparse = True
            if self.parser.get_method() == b"CONNECT" or self._get_upgrade() == b"websocket":
                self._stop(InvalidRequest("the gateway offers neither tunnels nor WebSockets", code="bad_http"))
            return
        version = self.parser.get_http_version()
        self._check_head(version)
        admission = self._door.admission
        if (self._surplus or admission.in_flight >= admission.caps[0]) and self._shed():
            return
        self._begin(version)

    def _begin(self, version: str) -> None:
        """Start the handler, or let it wait for the answers before it."""
        scope = cast("dict[str, Any]", self.scope)
        self._describe(scope, version)
        departure = Departure()
        self._departures.append(departure)
        scope[DEPARTURE] = departure
        before = self._answering
        self.cycle = cycle = Cycle(
            self.scope,
            self.transport,
            self.flow,
            self.logger,
            self.access_logger,
            self.access_log,
            self.server_state.default_headers,
            asyncio.Event(),
            self.expect_100_continue,
            version != "1.0" and self.parser.should_keep_alive() and not self._door.drain.begun,
            self.on_response_complete,
        )
        self._phase, self._since = _BODY, self.loop.time()
        app = cast("ASGI3Application", self.app)  # pyright: ignore[reportUnknownMemberType] - loosely typed there
        if before is None:
            self._start_asgi_task(cycle, app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, app))

    def _describe(self, scope: dict[str, Any], version: str) -> None:
        """The members of the scope that the request line gives."""
        scope["method"] = self.parser.get_method().decode("ascii")
        if version != "1.1":
            scope["http_version"] = version
        url = self.url
        # What is asked for may hold a key, which nothing keeps.
        scope["path"], scope["raw_path"], scope["query_string"] = _parsed(url) if b"?" in url else _usual(url)

    def _check_head(self, version: str) -> None:
        noted = self._noted
        hosts = noted.count(b"host")
        if version not in _VERSIONS or hosts > 1 or (hosts == 0 and version == "1.1"):
            self._stop(InvalidRequest("the request needs version 1.1 of HTTP and one host header", code="bad_http"))
        if hosts != len(noted) and (
            (b"transfer-encoding" in noted and version == "1.0") or any(name in noted for name in _LOOKALIKES)
        ):
            self._stop(InvalidRequest("the request is framed ambiguously", code="bad_http"))
        limits = self._door.limits
        if self._head_bytes > min(limits.header_block, limits.url_length):
            if len(self.url) > limits.url_length:
                self._stop(TooLong(f"the request target is over {limits.url_length} bytes (limits.url_length)", 414))
            if sum(len(name) + len(value) + 4 for name, value in self.headers) > limits.header_block:
                self._stop(TooLong(f"the request head is over {limits.header_block} bytes (limits.header_block)", 431))
        if len(self.pipeline) >= _MOST_PIPELINED:
            self._stop(InvalidRequest("too many requests are sent ahead on one connection", code="bad_http"))

    def on_message_begin(self) -> None:
        """A request begins."""
        self._noted = []
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header of the request."""
        name = name.lower()
        if name in _NOTED:
            self._noted.append(name)
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
        self.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        cycle = self.cycle
        if self._reparse or cycle.response_complete:
            return
        cycle.body += body
        # Whoever reads it is not woken for each piece.
        if len(cycle.body) > cast("Cycle", cycle).most:
            self.flow.pause_reading()
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._reparse:
            return
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()
        # A long body has stopped the reading; without reading nobody would see the client leave.
        self.flow.resume_reading()
        if cycle.response_complete:
            self._phase, self._since, self._head_bytes = _IDLE, self.loop.time(), 0
        else:
            self._phase = _BUSY

    def on_response_complete(self) -> None:
        """The answer has left: start what was sent ahead, or wait for the next request."""
        self.server_state.total_requests += 1
        if self._departures:
            self._departures.popleft()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._phase == _BUSY:
            self._phase, self._since, self._head_bytes = _IDLE, self.loop.time(), 0

    # Refusals

    def _stop(self, error: ExecutionPlatformError) -> None:
        """Refuse from within the parser. Raises `Refusal`."""
        self._refusal = error
        raise Refusal

    def _shed(self) -> bool:
        """Answer a request that is one too many, without a handler; whether that was done."""
        if self._answering is not None:
            return False
        door = self._door
        target = httptools.parse_url(self.url)
        path = (target.path or b"/").decode("latin-1")
        if self._surplus:
            answer = door.answer(door.full(), path, self.headers, close=True)
        else:
            method = self.parser.get_method().decode("latin-1")
            found = door.overload(method, path, target.query or b"", self.headers)
            if found is None:
                return False
            answer = found
        self.transport.write(answer)
        self.cycle = cast("RequestResponseCycle", _Spent())
        self._phase, self._since = _BODY, self.loop.time()
        if self._surplus or door.drain.begun or not self.parser.should_keep_alive():
            self.transport.close()
        return True

    def _refuse(self, error: ExecutionPlatformError) -> None:
        """Answer once, if nothing was answered yet, and close."""
        self._deaf = True
        cycle = self._answering
        if cycle is not None:
            if self._phase != _BODY or cycle.response_started:
                # The request before is whole: it gets its answer, which is the last one here.
                cycle.keep_alive = False
                return
            cycle.disconnected = True
            cycle.message_event.set()
        path = self.url.partition(b"?")[0].decode("latin-1") if getattr(self, "url", b"") else "/"
        self.transport.write(self._door.answer(error, path, getattr(self, "headers", None) or (), close=True))
        self.transport.close()


def _parsed(url: bytes) -> tuple[str, bytes, bytes]:
    """The path, as it is and as it was sent, and the query. Raises `httptools.HttpParserInvalidURLError`."""
    target = httptools.parse_url(url)
    path = target.path.decode("ascii")
    return unquote(path) if "%" in path else path, target.path, target.query or b""


_usual = lru_cache(256)(_parsed)
"""Few paths are asked for again and again."""


def _told(error: httptools.HttpParserError) -> str:
    """The parser's own words; they hold nothing of the message."""
    if isinstance(error, httptools.HttpParserInvalidURLError):
        return "invalid target"
    return "invalid head" if isinstance(error, httptools.HttpParserCallbackError) else str(error)
