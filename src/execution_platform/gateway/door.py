"""What all connections of one process share: their limits, their count, and the answers given without a handler."""

import asyncio
import resource
from collections import Counter
from collections.abc import Sequence

from execution_platform.dialects.base import Dialect
from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.gateway.admission import Priority
from execution_platform.gateway.errors import Overloaded, error_body, error_headers, status_of
from execution_platform.gateway.glance import glance
from execution_platform.gateway.http import HeaderList
from execution_platform.gateway.listing import dialect_of
from execution_platform.gateway.routes import Routes
from execution_platform.gateway.state import State
from execution_platform.observability import correlation
from execution_platform.transport.bursts import Bursts

_REASONS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    414: b"URI Too Long",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
    529: b"Overloaded",
}
_RESERVE = 80
"""Descriptors kept for the log, files, the books and what the libraries open."""
_MOST_FORMS = 256
_STAND_IN, _SHORTEST_ID = "~", 8
"""Stands for each character of a request's id in an answer that is kept; a shorter id could stand elsewhere in it, too."""
SURPLUS = 32
"""Connections beyond the most that still get an answer, which is a refusal."""


class Door:
    """The way in. One per process."""

    def __init__(self, state: State, routes: Routes) -> None:
        self.state = state
        self.routes = routes
        self.admission = state.admission
        self.drain = state.drain
        self.limits = state.snapshot.config.limits
        self.most = most_connections()
        self._by_peer: Counter[str] = Counter()
        self._told = 0
        self.forms: dict[tuple[object, ...], list[bytes]] = {}
        """Answers without the id of the request: a process that refuses many has little time for each."""
        self._bursts: Bursts | None = None
        self.open = 0
        state.metrics.edge.connections.set_function(lambda: self.open)

    def refresh(self) -> None:
        """Take over a changed configuration; tell the log when requests were refused since the last time."""
        config = self.state.snapshot.config
        if config.limits is not self.limits:
            self.limits = config.limits
            self.admission.configure(config.limits)
        refused = self.admission.refused
        if refused != self._told:
            self.state.log.event(
                "shedding",
                "warning",
                refused=refused - self._told,
                in_flight=self.admission.in_flight,
                allowed=self.admission.allowed,
            )
            self._told = refused

    def bursts(self, loop: asyncio.AbstractEventLoop) -> Bursts:
        """What is written to the clients of this process, which has one event loop."""
        if self._bursts is None:
            self._bursts = Bursts(loop)
        return self._bursts

    def enter(self, peer: str) -> str | None:
        """One more connection. The reason when it must not be served; it counts until `leave` either way."""
        self.open += 1
        most = self.limits.connections_per_peer
        reason = None
        if self.open > self.most:
            reason = "process_limit"
        elif most is not None and not self.state.peers.trusts(peer):
            self._by_peer[peer] += 1
            if self._by_peer[peer] > most:
                reason = "peer_limit"
        if reason is not None:
            self.state.metrics.edge.connections_refused.labels(reason).inc()
        return reason

    def leave(self, peer: str) -> None:
        """One connection less."""
        self.open -= 1
        if peer in self._by_peer:
            self._by_peer[peer] -= 1
            if self._by_peer[peer] <= 0:
                del self._by_peer[peer]

    def slow(self, what: str) -> None:
        """A client that missed a deadline."""
        self.state.metrics.edge.slow_clients.labels(what).inc()

    def is_full(self, ahead: int) -> bool:
        """Whether any request would be refused when so many more are under way."""
        return self.admission.is_full(Priority.BATCH, ahead)

    def refuse(self, data: bytes, ahead: int) -> bytes | None:
        """The whole answer to a request nobody has read yet; None when it may come in, or is not there to its end."""
        seen = glance(data)
        return None if seen is None else self.overload(*seen, ahead=ahead, close=True)

    def overload(
        self,
        method: str,
        path: str,
        query: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        *,
        ahead: int = 0,
        close: bool = False,
    ) -> bytes | None:
        """The whole answer to a request that is one too many when so many more are under way; None when it may come in."""
        match = self.routes.match(path, query) if method == "POST" else None
        priority = Priority.ADMIN if match is None else match.spec.priority
        if not self.admission.is_full(priority, ahead):
            return None
        return self.answer(self.admission.refusal(priority), path, headers, close=close)

    def answer(
        self, error: ExecutionPlatformError, path: str, headers: Sequence[tuple[bytes, bytes]], *, close: bool = False
    ) -> bytes:
        """An error as bytes on the wire, in the dialect of `path`."""
        match = self.routes.match(path, b"")
        dialect = dialect_of({"path": path, "headers": headers}) if match is None else match.spec.dialect
        request_id = correlation.request_id(dict(headers).get(b"x-request-id"))
        self.state.metrics.refused.labels(error.code).inc()
        version, size = self.state.snapshot.version, len(request_id)
        if size < _SHORTEST_ID:
            return self._written(error, dialect, request_id, close=close)
        key = (error.code, error.message, error.retry_after, dialect.name, close, version, size)
        form = self.forms.get(key)
        if form is None:
            if len(self.forms) >= _MOST_FORMS:
                self.forms.clear()
            stand_in = _STAND_IN * size
            form = self._written(error, dialect, stand_in, close=close).split(stand_in.encode())
            self.forms[key] = form
        return request_id.encode().join(form)

    def _written(self, error: ExecutionPlatformError, dialect: Dialect, request_id: str, *, close: bool) -> bytes:
        snapshot = self.state.snapshot
        body = error_body(error, dialect, request_id, snapshot.redactor)
        status = status_of(error, dialect)
        given: HeaderList = [
            *error_headers(error),
            (b"x-request-id", request_id.encode()),
            (b"x-ep-config", snapshot.version.encode()),
            (b"content-length", b"%d" % len(body)),
        ]
        if close:
            given.append((b"connection", b"close"))
        head = b"HTTP/1.1 %d %s\r\n" % (status, _REASONS.get(status, b""))
        return head + b"".join(b"%s: %s\r\n" % pair for pair in given) + b"\r\n" + body

    def full(self) -> Overloaded:
        """What is told to a connection that is one too many."""
        return Overloaded("the gateway is at its limit of connections: try again later", retry_after=2)


def most_connections() -> int:
    """How many clients the descriptors of this process suffice for, when each needs an upstream of its own."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 1_000_000
    return max(8, (soft - _RESERVE - SURPLUS) // 2)
