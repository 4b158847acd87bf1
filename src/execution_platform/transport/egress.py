"""The guarded way out: calls to places that are not providers, such as webhooks and tools.

Theory of operation
-------------------
A URL is read strictly: https (http only where the policy allows that), a plain ASCII host, no user, no odd
spelling of an address. A name is resolved once for each connection, and the connection is refused if *any* of its addresses
is not public; the addresses that were checked are the ones that are dialled, so a name that changes its mind in between gains
nothing. The socket's address is checked once more where it is opened, which is also where literal addresses come by. TLS and
the Host header keep the name. Redirects are not followed, proxies and credentials of the environment are not looked at,
answers are bounded.
"""

import asyncio
import socket
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, ip_address
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from execution_platform.exceptions import ErrorKind, ExecutionPlatformError
from execution_platform.transport.addresses import is_loopback, is_public
from execution_platform.transport.http import HttpCall, HttpTransport, Reply
from execution_platform.transport.pool import Dial
from execution_platform.transport.resolver import Address
from execution_platform.transport.timeouts import Timeouts

_LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_LONGEST_URL: Final = 2048
_KEEP_ALIVE: Final = 5.0
_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}
_CONNECTIONS: Final = 64


class EgressBlocked(ExecutionPlatformError):
    """The policy does not allow this destination. Nothing was sent."""

    kind = ErrorKind.PERMISSION
    code = "egress_blocked"

    @property
    def status(self) -> int:
        """The caller's own choice of a place, so 403."""
        return 403


class EgressPolicy(NamedTuple):
    """What a kind of caller may reach."""

    name: str
    loopback: bool = False
    """This machine by its usual names, over http too: for places an operator configured."""
    ports: frozenset[int] | None = None
    """Ports that may be reached; None for all."""
    seconds: float = 10.0
    most: int = 64 * 1024
    """Bytes of an answer that are read."""
    plain: bool = False
    """Whether http is allowed, beside https."""
    only: tuple[str, ...] | None = None
    """Hosts that may be reached, `*.` for all below one; None for all."""
    blocked: tuple[str, ...] = ()
    """Hosts that may not be reached; stronger than `only`."""
    internal: tuple[str, ...] = ()
    """Places an operator names, as host or host:port, that may be reached although their addresses are not public."""

    def is_internal(self, host: str, port: int) -> bool:
        """Whether an operator named this place."""
        return host in self.internal or f"{host}:{port}" in self.internal

    def refuses(self, host: str) -> bool:
        """Whether the lists of hosts leave this one out."""
        return within(host, self.blocked) or (self.only is not None and not within(host, self.only))


WEBHOOKS: Final = EgressPolicy("webhook", loopback=True)
"""Addresses come from the operator's configuration."""


class EgressReply(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes


def within(host: str, hosts: Iterable[str]) -> bool:
    """Whether a list names a host, itself or by `*.` one that it is below."""
    host = host.lower()
    return any(host == each or (each.startswith("*.") and host.endswith(each[1:])) for each in map(str.lower, hosts))


def check_url(url: str, policy: EgressPolicy) -> str:
    """The host of a URL that the policy may allow, before anything is looked up. Raises `EgressBlocked`."""
    try:
        parts = urlsplit(url)
        port = _PORTS.get(parts.scheme, 0) if parts.port is None else parts.port
    except ValueError:
        raise _blocked(policy, "the URL cannot be read") from None
    host = parts.hostname or ""
    named = policy.is_internal(host, port)
    is_local = policy.loopback and host in _LOOPBACK_HOSTS
    if len(url) > _LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise _blocked(policy, "the URL is too long or holds characters that no plain URL has")
    if parts.scheme != "https" and not (parts.scheme == "http" and (is_local or policy.plain)):
        raise _blocked(policy, "only http and https are allowed" if policy.plain else "only https is allowed")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise _blocked(policy, "a URL with a user or password is not allowed")
    if not _is_plain(host):
        raise _blocked(policy, "the host is neither a plain name nor a plain address")
    if not named:
        _check_place(host, port, policy)
    return host


def _check_place(host: str, port: int, policy: EgressPolicy) -> None:
    """Raises `EgressBlocked` for a port, a host or a literal address that the policy leaves out."""
    if policy.ports is not None and port not in policy.ports:
        raise _blocked(policy, f"port {port} is not allowed")
    if policy.refuses(host):
        raise _blocked(policy, "the host is not on the list of those that may be reached")
    if policy.internal and _is_address(host) and not is_public(host):
        raise _blocked(policy, "the address is not public")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_plain(host: str) -> bool:
    """Whether all parsers agree on what `host` names."""
    if ":" in host:  # urlsplit has taken the brackets off and checked that it is an address
        return "%" not in host
    if not host or host.endswith(".") or not all(part and len(part) < 64 for part in host.split(".")):
        return False
    if not all(character.isalnum() or character in "-._" for character in host):
        return False
    last = host.rpartition(".")[2]
    if last.isdigit() or last.startswith("0x"):
        try:
            return str(IPv4Address(host)) == host
        except ValueError:
            return False
    return True


def _blocked(policy: EgressPolicy, reason: str) -> EgressBlocked:
    return EgressBlocked(f"this {policy.name} destination is not allowed: {reason}")


class _Resolver:
    """The system's resolver, all of whose answers must be allowed."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._policy = policy
        self.internal: set[str] = set()
        """Addresses of internal places, which the socket may lead to."""

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """The checked addresses of a name. Raises `EgressBlocked` if any of them is not allowed, `OSError` without any."""
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        for *_, place in found:
            self._check(host, port, str(place[0]))
        return found

    def _check(self, host: str, port: int, address: str) -> None:
        if is_public(address):
            return
        if self._policy.is_internal(host, port):
            self.internal.add(address)
            return
        if self._policy.loopback and host in _LOOPBACK_HOSTS and is_loopback(address):
            return
        raise _blocked(self._policy, "its name leads to an address that is not public")


class Egress:
    """Calls under one policy. Opens nothing before the first `send`."""

    def __init__(self, policy: EgressPolicy) -> None:
        self.policy = policy
        self._resolver = _Resolver(policy)
        self._resolver.internal.update(place.rpartition(":")[0] or place for place in policy.internal)
        self._timeouts = Timeouts(
            connect=min(3.0, policy.seconds), first_token=policy.seconds, idle=policy.seconds, total=policy.seconds
        )
        self._transport = HttpTransport(
            connections=_CONNECTIONS,
            keep_alive=_KEEP_ALIVE,
            most=policy.most,
            dial=Dial(self._resolver, self._open),
        )

    def _open(self, address: Address) -> socket.socket:
        """The socket to an address, which is checked here whatever was checked before. Raises `EgressBlocked`."""
        family, kind, protocol, _, place = address
        host = str(place[0])
        expected = host in self._resolver.internal or (self.policy.loopback and is_loopback(host))
        if not expected and not is_public(host):
            raise _blocked(self.policy, "the address is not public")
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made

    async def open(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Reply:
        """Send one request; its answer whatever its status, redirects included, to be read as it comes and closed.

        Raises `EgressBlocked`, and the `ProviderError`s of `HttpTransport.send`.
        """
        check_url(url, self.policy)
        return await self._transport.send(HttpCall(method, url, headers, body), timeouts=self._timeouts)

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> EgressReply:
        """Send one request, and read its answer. Raises what `open` raises, and for a body over the limit."""
        reply = await self.open(method, url, headers, body)
        try:
            headers = {name.lower(): value for name, value in reply.headers.items()}
            return EgressReply(reply.status, headers, await reply.read(self.policy.most))
        finally:
            reply.close()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()
