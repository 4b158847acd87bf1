"""Failed authentications by peer address: who guesses keys is told to wait.

GCRA with one number per address: a hundred failures at once, then as many a minute. A right key is always served, for
a limiter that refused it would let anybody behind the same address lock everybody out; with 256-bit keys there is
nothing to win by guessing on. The table is bounded: the address that failed longest ago is forgotten first.
"""

import ipaddress
import time
from collections.abc import Callable

PER_MINUTE = 100
_INTERVAL = 60.0 / PER_MINUTE
_MOST = 16_384
_TINY = 1e-6
_V6_PREFIX = 64


class FailureLimiter:
    """How often each peer address failed lately."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, most: int = _MOST) -> None:
        self._clock = clock
        self._most = most
        self._arrivals: dict[str, float] = {}

    def note(self, address: str) -> float:
        """One more failure of `address`; seconds to wait when there were too many, else 0."""
        peer = _peer(address)
        now = self._clock()
        arrival = max(self._arrivals.pop(peer, now), now)
        wait = arrival + _INTERVAL - now - 60.0
        if wait <= _TINY:
            arrival += _INTERVAL
        if len(self._arrivals) >= self._most:
            del self._arrivals[next(iter(self._arrivals))]
        self._arrivals[peer] = arrival
        return wait if wait > _TINY else 0.0

    def __len__(self) -> int:
        """Addresses that are remembered."""
        return len(self._arrivals)


def _peer(address: str) -> str:
    """What counts as one peer: an IPv4 address, or the /64 an IPv6 host can choose its addresses from."""
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found), _V6_PREFIX), strict=False).network_address)
