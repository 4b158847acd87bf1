"""The upstream's own books: what it was asked, what it told and what it really sent.

One `Exchange` per request, one `Connection` per socket. All writing is done on the server's thread; any thread may read
and wait, and who has an answer finds it entered. Bytes count as sent when the operating system has taken them: what the peer has read of them nobody can know.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from execution_platform.testing.frames import Frame, Told
from execution_platform.testing.gate import Gate

End = Literal["complete", "incomplete", "client", "server"]
"""How an exchange ended: everything sent; ended in order but short of its events; left by the client; cut by us."""


@dataclass(slots=True)
class Connection:
    """One accepted socket."""

    index: int
    opened_at: float
    closed_at: float | None = None
    closed_by: Literal["client", "server"] | None = None
    requests: int = 0


@dataclass(slots=True)
class Exchange:
    """One request and its answer. Times are seconds of the server's monotonic clock."""

    index: int
    connection: Connection
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw_body: bytes
    received_at: float
    dialect: str = ""
    operation: str = ""
    model: str = ""
    stream: bool = False
    body: object = None
    status: int = 0
    first_byte_at: float | None = None
    closed_at: float | None = None
    end: End | None = None
    bytes_sent: int = 0
    events_sent: int = 0
    tokens_sent: int = 0
    """Output tokens in the events that were sent, whether or not their number was told."""
    told: Told = field(default_factory=Told)

    def count(self, data: bytes, frame: Frame | None, *, is_event: bool) -> None:
        """Enter bytes that went out, and the event they complete."""
        self.bytes_sent += len(data)
        self.events_sent += is_event
        if frame is not None:
            self.tokens_sent += frame.tokens
            if frame.told is not None:
                self.told.merge(frame.told)

    def to_json(self) -> dict[str, object]:
        """The record as JSON values, for other processes."""
        told = {name: getattr(self.told, name) for name in Told.__slots__}
        plain: dict[str, object] = {
            name: getattr(self, name) for name in self.__slots__ if name not in {"connection", "raw_body", "told"}
        }
        return plain | {
            "query": dict(self.query),
            "headers": dict(self.headers),
            "raw_body": self.raw_body.decode("utf-8", "replace"),
            "told": told,
            "connection": self.connection.index,
            "connected_at": self.connection.opened_at,
            "connection_closed_by": self.connection.closed_by,
        }


class Meter:
    """All exchanges and connections since the start or the last `reset`."""

    def __init__(self, *, lean: bool = False) -> None:
        self.lean = lean
        """Forget headers and body of a request when its answer is over, for load tests."""
        self.exchanges: list[Exchange] = []
        self.connections: list[Connection] = []
        self._open: set[int] = set()
        self._accepted = 0
        self._watchers: list[tuple[Callable[[Meter], bool], Gate]] = []
        self.lock = threading.RLock()
        """Held from the writing of bytes until they are entered, so that no other thread has the ones without the others."""

    def __getitem__(self, index: int) -> Exchange:
        with self.lock:
            return self.exchanges[index]

    def __len__(self) -> int:
        return len(self.exchanges)

    @property
    def connections_open(self) -> int:
        """Sockets that are accepted and not yet closed."""
        return len(self._open)

    @property
    def requests_open(self) -> int:
        """Requests whose answer is not over."""
        return sum(exchange.end is None for exchange in self.exchanges)

    def totals(self) -> dict[str, int]:
        """Sums over all exchanges: requests, bytes, events, tokens sent, and every kind of token told."""
        sums = {"requests": 0, "bytes_sent": 0, "events_sent": 0, "tokens_sent": 0}
        sums |= dict.fromkeys(Told.__slots__, 0)
        with self.lock:
            for exchange in self.exchanges:
                sums["requests"] += 1
                for name in ("bytes_sent", "events_sent", "tokens_sent"):
                    sums[name] += getattr(exchange, name)
                for name in Told.__slots__:
                    sums[name] += getattr(exchange.told, name) or 0
        return sums

    def when(self, condition: Callable[["Meter"], bool]) -> Gate:
        """A gate that opens as soon as the books fulfil a condition."""
        gate = Gate("meter")
        with self.lock:
            self._watchers.append((condition, gate))
            self.changed()
        return gate

    def changed(self) -> None:
        """Open the gates whose condition has come true."""
        if not self._watchers:
            return
        with self.lock:
            due = [watcher for watcher in self._watchers if watcher[0](self)]
            self._watchers = [watcher for watcher in self._watchers if watcher not in due]
        for _, gate in due:
            gate.release()

    def connected(self, now: float) -> Connection:
        """Enter an accepted socket."""
        connection = Connection(self._accepted, now)
        self._accepted += 1
        self.connections.append(connection)
        self._open.add(connection.index)
        self.changed()
        return connection

    def disconnected(self, connection: Connection, now: float, by: Literal["client", "server"]) -> None:
        """Enter the end of a socket."""
        connection.closed_at = now
        connection.closed_by = by
        self._open.discard(connection.index)
        self.changed()

    def disregard(self, connection: Connection) -> None:
        """Strike out a socket that only brought control requests."""
        if not connection.requests and connection.index in self._open:
            self._open.discard(connection.index)
            self.connections.remove(connection)

    def received(self, exchange: Exchange) -> None:
        """Enter a request that has arrived whole."""
        exchange.connection.requests += 1
        self.exchanges.append(exchange)
        self.changed()

    def ended(self, exchange: Exchange, now: float, end: End) -> None:
        """Enter the end of an answer, once."""
        if exchange.end is not None:
            return
        exchange.end = end
        exchange.closed_at = now
        if self.lean:
            exchange.raw_body, exchange.body, exchange.headers = b"", None, {}
        self.changed()

    def reset(self) -> None:
        """Forget all exchanges and all closed connections."""
        with self.lock:
            self.exchanges.clear()
            self.connections = [connection for connection in self.connections if connection.closed_at is None]
