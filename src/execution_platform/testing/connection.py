"""One socket of the fake upstream: HTTP/1.1 in, byte-exact steps out.

Theory of operation: httptools cuts requests out of the stream; they are answered one after the other (a second request
on a busy connection waits). The host turns a request into steps. Steps without a pause are written at once; others are
played by one task, which the end of the connection cancels. The protocol reports to the meter when bytes have gone to
the operating system, and how the exchange ended.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, cast
from urllib.parse import parse_qsl, unquote

import httptools

from execution_platform.testing.delivery import Finish, Pause, Step, Write
from execution_platform.testing.meter import Connection, Exchange, Meter

AtConnect = Literal["serve", "fin", "rst", "ignore"]
"""What happens to a new socket: served, closed, reset, or accepted and never read."""

_AT_ONCE_LIMIT = 65_536


@dataclass(slots=True)
class RawRequest:
    """A request as it was read from the socket."""

    method: str = ""
    target: bytes = b""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    keep_alive: bool = True

    def path(self) -> str:
        """The path without its query, decoded."""
        return unquote(self.target.partition(b"?")[0].decode("latin-1"))

    def query(self) -> dict[str, str]:
        """The query's parameters; of equal names the last."""
        return dict(parse_qsl(self.target.partition(b"?")[2].decode("latin-1"), keep_blank_values=True))


class Host(Protocol):
    """What a connection needs from the server it belongs to."""

    meter: Meter
    at_connect: AtConnect

    def respond(self, exchange: Exchange) -> Sequence[Step]:
        """Decide on the answer of a request that has been entered into the meter."""
        ...

    def control(self, request: RawRequest) -> Awaitable[bytes]:
        """Answer a request to a control path with a whole HTTP response."""
        ...

    def opened(self, connection: "UpstreamConnection") -> None:
        """Take note of a connection that may have to be closed."""
        ...

    def lost(self, connection: "UpstreamConnection") -> None:
        """Forget a connection."""
        ...


class UpstreamConnection(asyncio.Protocol):
    """The protocol of one accepted socket."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._request = RawRequest()
        self._body: list[bytes] = []
        self._waiting: deque[RawRequest] = deque()
        self._exchange: Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed_by_us = False
        self._keep_alive = True
        self._is_lost = False
        self._writable = asyncio.Event()
        self._writable.set()

    # --- the transport's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Enter the socket, and treat it as the host says."""
        self._transport = cast("asyncio.Transport", transport)
        # With no buffer of our own the meter knows what the operating system has taken.
        self._transport.set_write_buffer_limits(high=0)
        self._record: Connection = self._host.meter.connected(self._loop.time())
        self._host.opened(self)
        if self._host.at_connect == "ignore":
            self._transport.pause_reading()
        elif self._host.at_connect != "serve":
            self.close(self._host.at_connect)

    def connection_lost(self, exc: Exception | None) -> None:
        """Enter the end of the socket and of the answer that was under way."""
        del exc
        self._is_lost = True
        now = self._loop.time()
        if self._task is not None:
            self._task.cancel()
        if self._exchange is not None:
            self._host.meter.ended(self._exchange, now, "server" if self._closed_by_us else "client")
        self._host.meter.disconnected(self._record, now, "server" if self._closed_by_us else "client")
        self._host.lost(self)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; what is not HTTP is refused."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.close("fin")

    def pause_writing(self) -> None:
        """Hold the answer back: the peer does not read."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on: the operating system has taken all."""
        self._writable.set()

    # --- the parser's side ---

    def on_message_begin(self) -> None:
        """Start a new request."""
        self._request = RawRequest()
        self._body = []

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request target."""
        self._request.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header; of equal names the values are joined as HTTP allows."""
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        before = self._request.headers.get(key)
        self._request.headers[key] = text if before is None else f"{before}, {text}"

    def on_headers_complete(self) -> None:
        """Let a client go on that asked before it sends its body."""
        if self._request.headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Answer the request, or queue it behind the one being answered."""
        self._request.method = self._parser.get_method().decode("latin-1")
        self._request.body = b"".join(self._body)
        # The parser forgets it as soon as it goes on.
        self._request.keep_alive = self._parser.should_keep_alive()
        if self._exchange is None and self._task is None:
            self._begin(self._request)
        else:
            self._waiting.append(self._request)

    # --- answering ---

    def close(self, how: Literal["fin", "rst"]) -> None:
        """End the connection from our side."""
        if self._is_lost:
            return
        self._closed_by_us = True
        if how == "rst":
            found = cast("socket.socket", self._transport.get_extra_info("socket"))
            # Lingering for zero seconds makes the kernel send a reset instead of an orderly end.
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        else:
            self._transport.close()

    def _begin(self, request: RawRequest) -> None:
        self._keep_alive = request.keep_alive
        path = request.path()
        if path.startswith("/__"):
            self._host.meter.disregard(self._record)
            self._task = self._loop.create_task(self._control(request))
            return
        meter = self._host.meter
        exchange = Exchange(
            index=len(meter),
            connection=self._record,
            method=request.method,
            path=path,
            query=request.query(),
            headers=request.headers,
            raw_body=request.body,
            received_at=self._loop.time(),
        )
        self._exchange = exchange
        meter.received(exchange)
        steps = self._host.respond(exchange)
        size = sum(len(step.data) for step in steps if isinstance(step, Write))
        if size <= _AT_ONCE_LIMIT and not any(isinstance(step, Pause) for step in steps):
            self._play_at_once(exchange, steps)
        else:
            self._task = self._loop.create_task(self._play(exchange, steps))

    def _play_at_once(self, exchange: Exchange, steps: Sequence[Step]) -> None:
        with self._host.meter.lock:
            for step in steps:
                if isinstance(step, Write):
                    self._transport.write(step.data)
                    # A write that fails marks the transport; the loss of the connection is then reported by the loop.
                    if self._transport.is_closing():
                        return
                    self._sent(exchange, step)
                elif isinstance(step, Finish):
                    self._finish(exchange, step)

    async def _play(self, exchange: Exchange, steps: Sequence[Step]) -> None:
        for step in steps:
            if isinstance(step, Write):
                if not await self._write(exchange, step):
                    return
            elif isinstance(step, Pause):
                await _pass(step)
            else:
                self._task = None
                self._finish(exchange, step)

    async def _write(self, exchange: Exchange, step: Write) -> bool:
        """Send and enter; not, when the connection is lost."""
        with self._host.meter.lock:
            self._transport.write(step.data)
            if self._transport.is_closing():
                return False
            if self._writable.is_set():
                self._sent(exchange, step)
                return True
        await self._writable.wait()
        self._sent(exchange, step)
        return True

    def _sent(self, exchange: Exchange, step: Write) -> None:
        if exchange.first_byte_at is None:
            exchange.first_byte_at = self._loop.time()
        exchange.count(step.data, step.frame, is_event=step.is_event)

    def _finish(self, exchange: Exchange, step: Finish) -> None:
        self._exchange = None
        cut = step.how != "keep" and not step.complete
        self._host.meter.ended(
            exchange, self._loop.time(), "server" if cut else "complete" if step.complete else "incomplete"
        )
        if step.how == "keep":
            self._next()
        else:
            self.close(step.how)

    def _next(self) -> None:
        if self._is_lost:
            return
        if not self._keep_alive:
            self.close("fin")
        elif self._waiting:
            self._begin(self._waiting.popleft())

    async def _control(self, request: RawRequest) -> None:
        self._transport.write(await self._host.control(request))
        self._task = None
        self._next()


async def _pass(step: Pause) -> None:
    if step.forever:
        await asyncio.get_running_loop().create_future()
    if step.gate is not None:
        await step.gate.wait()
    if step.seconds or step.gate is None:
        await asyncio.sleep(step.seconds)
