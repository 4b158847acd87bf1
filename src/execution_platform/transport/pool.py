"""Connections to upstreams: opened, lent to one call at a time, kept for the next, closed.

Theory of operation
-------------------
`take` lends a kept connection, or none; `connect` waits for a place below the limit, finds the addresses of the name and opens
one: to the address that answers first where there are several (RFC 8305, by `aiohappyeyeballs`). Whoever has a connection
gives it back (`give_back`) or ends it (`abort`). The newest of the kept ones is lent first, so that those nobody needs grow old
and are closed. One that the other end has closed meanwhile is passed over.

With a `Dial` every connection asks it for the addresses and for the socket anew: that is the place to refuse them.
"""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Final, NamedTuple, Protocol

from aiohappyeyeballs import start_connection  # pyright: ignore[reportUnknownVariableType] - an address is a bare tuple there

from execution_platform.transport.bursts import Bursts
from execution_platform.transport.resolver import Address, PatientResolver
from execution_platform.transport.wire import Wire, read_buffer

__all__ = ["Destination", "Dial", "NameUnknown", "Pool", "Resolver"]

_NEXT_ADDRESS_SECONDS: Final = 0.25
"""Until another address is tried beside one that does not answer (RFC 8305, section 5)."""
_CLOSING_SECONDS: Final = 1.0


class NameUnknown(OSError):
    """A host name has no address."""


class Destination(NamedTuple):
    """The server a call goes to; connections to equal ones will do."""

    host: str
    port: int
    is_tls: bool


class Resolver(Protocol):
    """Who finds the addresses of a name."""

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """Them, as `getaddrinfo` gives them. Raises `OSError` when there are none."""
        ...


class Dial(NamedTuple):
    """Who finds the addresses of a name, and who opens the socket to one: the place to refuse it."""

    resolver: Resolver
    connect: Callable[[Address], socket.socket]


class _Idle(NamedTuple):
    wire: Wire
    since: float


class _Found(NamedTuple):
    """Addresses that were looked up, and until when they are believed."""

    addresses: deque[Address]
    until: float


class Pool:
    """The connections of one event loop, to all destinations."""

    def __init__(self, *, limit: int, keep_alive: float, dns_seconds: float, dial: Dial | None) -> None:
        """`limit` is the most that are lent at a time."""
        self._loop = asyncio.get_running_loop()
        self.bursts = Bursts(self._loop)
        """What leaves on them in a turn."""
        self._buffer = read_buffer()
        self._limit = limit
        self._keep_alive = keep_alive
        self._dns_seconds = 0.0 if dial is not None else dns_seconds
        self._tls: ssl.SSLContext | None = None
        self._resolver: Resolver = PatientResolver() if dial is None else dial.resolver
        self._socket = None if dial is None else dial.connect
        self._kept: dict[Destination, list[_Idle]] = {}
        self._wires: set[Wire] = set()
        """All that are open."""
        self._lent: set[Wire] = set()
        self._opening = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._names: dict[tuple[str, int], _Found] = {}
        self._asked: dict[tuple[str, int], asyncio.Task[Sequence[Address]]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    # Lending

    @property
    def is_full(self) -> bool:
        """Whether no more may be lent."""
        return len(self._lent) + self._opening >= self._limit

    def take(self, to: Destination) -> Wire | None:
        """A kept connection; None where there is none, or too many are lent."""
        kept = self._kept.get(to)
        if not kept or self.is_full:
            return None
        oldest = self._loop.time() - self._keep_alive
        while kept:
            wire, since = kept.pop()
            if since >= oldest and not wire.should_close and wire.is_connected():
                self._lent.add(wire)
                return wire
            wire.abort()
        return None

    async def connect(self, to: Destination, seconds: float) -> Wire:
        """A connection of its own, a kept one if one is given back meanwhile.

        Raises:
            TimeoutError: None in so many seconds.
            NameUnknown: The name has no address.
            ssl.SSLError: The certificate is not accepted, or TLS could not be agreed on.
            OSError: No address answers.
        """
        if seconds <= 0:
            raise TimeoutError
        async with asyncio.timeout(seconds):
            if self.is_full:
                await self._turn()
                wire = self.take(to)
                if wire is not None:
                    return wire
            self._opening += 1
            try:
                return await self._open(to)
            finally:
                self._opening -= 1
                self._next()

    async def _turn(self) -> None:
        """Wait until fewer are lent than may be."""
        join = self._waiting.append
        while self.is_full:
            waiter = self._loop.create_future()
            join(waiter)
            try:
                await waiter
            except BaseException:
                # Who was told of a place and does not take it tells the next.
                if waiter.done() and not waiter.cancelled():
                    self._next()
                raise
            join = self._waiting.appendleft  # somebody was quicker; nobody else who waits shall be

    def _next(self) -> None:
        """Tell who waits longest of a place, if there is one."""
        while self._waiting and not self.is_full:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _gone(self, wire: Wire) -> None:
        """It is closed. Its place is free, whether or not who had it says so."""
        self._wires.discard(wire)
        self._lent.discard(wire)
        self._next()

    def give_back(self, to: Destination, wire: Wire) -> None:
        """Keep it for another call, unless the upstream answered before it had taken the whole request."""
        self._lent.discard(wire)
        transport = wire.transport
        if transport is None or self._is_unsent(transport) or (wire.should_close and to.is_tls):
            wire.abort()  # TLS that is closed in order keeps its socket until the other end agrees
        elif wire.should_close:
            wire.close()
        else:
            self._kept.setdefault(to, []).append(_Idle(wire, self._loop.time()))
            if self._sweeper is None:
                self._sweeper = self._loop.call_later(self._keep_alive, self._sweep)
        self._next()

    def _is_unsent(self, transport: asyncio.Transport) -> bool:
        """Whether something that was written has not left: the next request would leave behind it."""
        return bool(transport.get_write_buffer_size()) or self.bursts.holds(transport)

    def abort(self, wire: Wire) -> None:
        """Close without the courtesies of TLS and without flushing; it may be lent no more."""
        self._lent.discard(wire)
        wire.abort()
        self._next()

    # Opening

    async def _open(self, to: Destination) -> Wire:
        tls = None
        if to.is_tls:
            tls = self._tls = self._tls or await asyncio.to_thread(_context)
        addresses = await self._addresses(to.host, to.port)
        sock = await start_connection(
            addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, loop=self._loop, socket_factory=self._socket
        )
        _, wire = await self._loop.create_connection(
            self._wire, sock=sock, ssl=tls, server_hostname=None if tls is None else to.host.rstrip(".")
        )
        if wire.is_connected():
            self._wires.add(wire)
            self._lent.add(wire)
        return wire

    def _wire(self) -> Wire:
        return Wire(self._loop, self._buffer, self._gone)

    async def _addresses(self, host: str, port: int) -> Sequence[Address]:
        """Where a host is. Raises `NameUnknown`, and what a dial refuses with."""
        literal = _literal(host, port)
        if literal is not None:
            return [literal]
        key = (host, port)
        found = self._names.get(key)
        if found is not None and self._loop.time() < found.until:
            # Another one goes first each time.
            found.addresses.rotate(-1)
            return tuple(found.addresses)
        try:
            return await self._looked_up(key)
        except OSError as error:
            raise NameUnknown(str(error)) from error

    async def _looked_up(self, key: tuple[str, int]) -> Sequence[Address]:
        """Ask the resolver; who asks for the same name meanwhile shares the answer, unless each connection has to ask."""
        if not self._dns_seconds:
            return await self._resolver.resolve(*key)
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = self._loop.create_task(self._ask(key))
        return await asyncio.shield(task)

    async def _ask(self, key: tuple[str, int]) -> Sequence[Address]:
        try:
            addresses = await self._resolver.resolve(*key)
            self._names[key] = _Found(deque(addresses), self._loop.time() + self._dns_seconds)
            return addresses
        finally:
            del self._asked[key]

    # Closing

    def _sweep(self) -> None:
        """Close what nobody has needed for as long as it is kept."""
        oldest = self._loop.time() - self._keep_alive
        for to, kept in tuple(self._kept.items()):
            left: list[_Idle] = []
            for idle in kept:
                if idle.since > oldest and idle.wire.is_connected():
                    left.append(idle)
                else:
                    idle.wire.abort()
            if left:
                self._kept[to] = left
            else:
                del self._kept[to]
        self._sweeper = self._loop.call_later(self._keep_alive, self._sweep) if self._kept else None

    async def close(self) -> None:
        """Close every connection, lent or not."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._kept.clear()
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(ConnectionAbortedError("the connections are being closed"))
        for task in self._asked.values():
            task.cancel()
        closing = [wire.closed for wire in tuple(self._wires)]
        for wire in tuple(self._wires):
            wire.abort()
        if waiting := [each for each in closing if each is not None]:
            await asyncio.wait(waiting, timeout=_CLOSING_SECONDS)


def _literal(host: str, port: int) -> Address | None:
    """An address that needs no looking up; None for a name."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if address.version == 4:
        return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))
    return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, 0, 0))


def _context() -> ssl.SSLContext:
    """How servers are verified: by the system's authorities. Reads files."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
