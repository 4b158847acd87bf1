"""Upstream HTTP/1.1.

Theory of operation
-------------------
`HttpTransport.send` takes a connection from the pool, writes one request and gives a `Reply` as soon as the head of the
answer is there. Its body is read whole (`read`) or as it comes (`chunks`), one item for all that one turn of the event loop
brought. At its end the connection goes back to the pool by itself; `close` before that aborts it, so that the upstream sees
within milliseconds that nobody listens any more.

Nothing is followed, remembered, looked up in the environment or decoded: no redirects, cookies, proxies, netrc. The connections are
those of a `Pool`, and each is a `Wire`, which reads the answers on it.

Rules: a body that is not at its end is never given back to the pool; an answer that is compressed although `identity` was
asked for is refused; lines, header count and body size are bounded; the texts of errors name the host and nothing else.
"""

import asyncio
import re
import threading
from collections.abc import Mapping
from typing import Final, NamedTuple

from yarl import URL

from execution_platform.exceptions import ErrorKind, ProtocolError, ProviderError
from execution_platform.transport.call import FixedHeaders, HttpCall
from execution_platform.transport.failures import (
    FAILURES,
    is_disconnect,
    not_answered,
    not_connected,
)
from execution_platform.transport.pool import Destination, Dial, Pool
from execution_platform.transport.reply import Reply
from execution_platform.transport.timeouts import Timeouts
from execution_platform.transport.turns import Turns
from execution_platform.transport.vigil import Vigil
from execution_platform.transport.wire import Wire

__all__ = ["HttpCall", "HttpTransport", "Reply"]

_ROUTES_KEPT: Final = 4096
_METHOD: Final = re.compile(r"[A-Z]+")
_STALE_TRIES: Final = 3
_STALE_WITHIN: Final = 1.0
"""Seconds in which a kept connection that was already closed at the other end says so."""
_OWN_HEADERS: Final = frozenset(
    (
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "accept-encoding",
        "expect",
        "te",
        "upgrade",
        "trailer",
    )
)
_BODYLESS: Final = frozenset({"GET", "HEAD", "DELETE"})


class _Route(NamedTuple):
    """What is the same in every call of one method to one URL."""

    to: Destination
    head: bytes
    """Request line and the headers that are always sent."""
    host: str
    vigil: Vigil
    turns: Turns


class _Open(NamedTuple):
    """What one event loop has of a transport."""

    pool: Pool
    vigil: Vigil
    turns: Turns
    thread: int
    """The thread that runs the loop."""


class HttpTransport:
    """The pool of connections of one process. Opens nothing before the first `send`.

    Args:
        connections: The most open at a time; a call beyond waits for one as long as it may wait for a connection.
        keep_alive: Seconds an unused connection is kept.
        dns_seconds: Seconds an address is believed.
        dial: Who chooses and checks addresses; the system's resolver without any check if None.
        most: The most bytes of a body, however it is read.
    """

    def __init__(
        self,
        *,
        connections: int = 4096,
        keep_alive: float = 30.0,
        dns_seconds: int = 30,
        most: int = 256 * 1024 * 1024,
        dial: Dial | None = None,
    ) -> None:
        self._dial = dial
        self._connections = connections
        self._keep_alive = keep_alive
        self._dns_seconds = dns_seconds
        self._most = most
        self._open: _Open | None = None
        self._routes: dict[tuple[str, str], _Route] = {}

    async def send(self, call: HttpCall, *, timeouts: Timeouts, deadline: float | None = None) -> Reply:
        """Send one request; the reply as soon as its head is there, whatever its status.

        `deadline` is a time of the event loop. A kept connection that proves to have been closed at the other end before
        the request reached it is replaced, at most twice; no other failure is tried again here.

        Raises:
            TimeoutError: No connection (`never_sent`) or no head in time.
            ProviderError: No connection (`kind` connection and `never_sent`), or it broke.
            ProtocolError: The answer is no HTTP, is compressed, or has too long a head.
            ValueError: The URL or a header is not one.
        """
        pool, vigil, turns, _ = self._opened()
        loop = vigil.loop
        route = self._routes.get((call.method, call.url)) or self._route(call, vigil, turns)
        until = loop.time() + timeouts.total
        if deadline is not None and deadline < until:
            until = deadline
        for _ in range(_STALE_TRIES):
            wire = pool.take(route.to)
            if wire is None:
                wire = await _connect(pool, route, min(timeouts.connect, until - loop.time()))
            reply = await self._exchange(pool, wire, call, route, timeouts, until)
            if reply is not None:
                return reply
        message = f"{route.host}: every kept connection was closed at the other end"
        raise ProviderError(message, kind=ErrorKind.CONNECTION, never_sent=True)

    async def _exchange(
        self, pool: Pool, wire: Wire, call: HttpCall, route: _Route, timeouts: Timeouts, until: float
    ) -> Reply | None:
        """Write the request and await the head; None when the connection proves to have been closed before."""
        transport, vigil = wire.transport, route.vigil
        if transport is None:
            pool.abort(wire)
            return None
        kept, wire.kept = wire.kept, True
        silence = max(timeouts.first_token, timeouts.idle) if call.stream else timeouts.total
        reply = Reply(pool, route.to, wire, vigil, route.turns, host=route.host, most=self._most)
        try:
            wire.expect(reply, bodyless=call.method == "HEAD")
            pool.bursts.write(transport, *_pieces(route.head, call))
            await reply.head(silence, until)
        except BaseException as error:
            was_young = reply.is_young(_STALE_WITHIN)
            reply.close()
            if not isinstance(error, FAILURES):
                raise
            if kept and was_young and is_disconnect(error):
                return None
            raise not_answered(error, route.host) from error
        reply.reading(timeouts.idle if call.stream else timeouts.total)
        if "content-encoding" in reply.headers:
            _refuse_compressed(reply)
        return reply

    @property
    def vigil(self) -> Vigil:
        """Who watches over what its calls wait for, in the running event loop."""
        return self._opened().vigil

    @property
    def waited(self) -> float:
        """Seconds that the first answer in line has waited for its turn."""
        return 0.0 if self._open is None else self._open.turns.waited

    def _opened(self) -> _Open:
        """The pool of the running event loop, and who watches over its calls."""
        opened, thread = self._open, threading.get_ident()
        # A thread runs one loop at a time; asking for the running one costs each call a system call.
        if opened is not None and opened.thread == thread and opened.vigil.loop.is_running():
            return opened
        loop = asyncio.get_running_loop()
        if opened is None or opened.vigil.loop is not loop:
            self._routes.clear()
            pool = Pool(
                limit=self._connections, keep_alive=self._keep_alive, dns_seconds=self._dns_seconds, dial=self._dial
            )
            opened = self._open = _Open(pool, Vigil(loop), Turns(loop), thread)
        return opened

    def _route(self, call: HttpCall, vigil: Vigil, turns: Turns) -> _Route:
        url = URL(call.url)
        if url.scheme not in {"http", "https"} or not url.raw_host or url.raw_user or url.raw_password:
            raise ValueError("the upstream's URL must be http:// or https:// with a host and without user or password")
        if not _METHOD.fullmatch(call.method):
            raise ValueError(f"{call.method!r} is no HTTP method")
        host = url.host_port_subcomponent or url.raw_host
        head = f"{call.method} {url.raw_path_qs} HTTP/1.1\r\nhost: {host}\r\naccept-encoding: identity\r\n"
        to = Destination(url.raw_host, url.port or 0, url.scheme == "https")
        route = _Route(to, head.encode("ascii"), host, vigil, turns)
        if len(self._routes) >= _ROUTES_KEPT:
            self._routes.clear()
        self._routes[call.method, call.url] = route
        return route

    async def aclose(self) -> None:
        """Close every connection; a later `send` opens new ones."""
        opened, self._open = self._open, None
        if opened is not None:
            opened.vigil.stop()
            await opened.pool.close()


async def _connect(pool: Pool, route: _Route, seconds: float) -> Wire:
    """A new connection. Raises `ProviderError`."""
    try:
        return await pool.connect(route.to, seconds)
    except OSError as error:
        raise not_connected(error, route.host) from error


def _pieces(head: bytes, call: HttpCall) -> tuple[bytes, bytes]:
    """The whole request: its head, and its body, which is not copied."""
    headers = call.headers
    if type(headers) is FixedHeaders:
        text = getattr(headers, "text", None)
        if text is None:
            text = headers.text = _lines(headers)
    else:
        text = _lines(headers)
    size = len(call.body)
    end = b"\r\n" if not size and call.method in _BODYLESS else b"content-length: %d\r\n\r\n" % size
    return b"".join((head, text, end)), call.body


def _lines(headers: Mapping[str, str]) -> bytes:
    """The headers of a call as they are written. Raises `ValueError` for one that would be read as something else."""
    lines = [f"{name}: {value}\r\n" for name, value in headers.items() if name.lower() not in _OWN_HEADERS]
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\0" in text:
        raise ValueError("a header to the upstream has a line break or a NUL in it")
    return text.encode()


def _refuse_compressed(reply: Reply) -> None:
    encoding = reply.headers["content-encoding"].strip().lower()
    if encoding not in {"", "identity"}:
        reply.close()
        message = f"{reply.host}: the answer is compressed ({encoding[:20]}) although identity was asked for"
        raise ProtocolError(message, kind=ErrorKind.PROTOCOL, status=reply.status)
