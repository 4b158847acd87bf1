"""Who a client is: the address of the connection, or what a trusted proxy says of it."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address, ip_network

from execution_platform.gateway.http import Scope


class Peers:
    """The trusted proxies. `x-forwarded-for` of anybody else is not looked at."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._networks = tuple(ip_network(network) for network in trusted)
        self.trusts = lru_cache(maxsize=1024)(self._trusts)

    def _trusts(self, address: str) -> bool:
        if not self._networks:
            return False
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._networks)

    def client(self, scope: Scope) -> str:
        """The rightmost address that no trusted proxy owns; empty where there is none, as on a Unix socket."""
        peer: tuple[str, int] | None = scope.get("client")
        if peer is None:
            return ""
        address = peer[0]
        if not self._networks or not self.trusts(address):
            return address
        said = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
        for given in reversed(said.decode("latin-1").split(",")):
            hop = _plain(given.strip())
            if hop is None:
                return address
            address = hop
            if not self.trusts(address):
                return address
        return address


def _plain(address: str) -> str | None:
    """`address` without a port and in its usual spelling; None when it is none."""
    if address.startswith("["):
        address = address[1:].partition("]")[0]
    elif address.count(":") == 1:
        address = address.partition(":")[0]
    try:
        return str(ip_address(address))
    except ValueError:
        return None
