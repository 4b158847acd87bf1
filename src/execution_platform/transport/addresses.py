"""Which addresses are public. Our own table: the standard library calls several tunnels into private networks global.

Sources: IANA special-purpose registries for IPv4 and IPv6 (2026-10), and what clouds keep for themselves (Azure's
168.63.129.16). IPv6 is an allow-list, because a range nobody thought of must not be public by accident.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

_IPV4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_IPV6_UNICAST: Final = IPv6Network("2000::/3")
_IPV6: Final = tuple(
    IPv6Network(network)
    # Protocol assignments with Teredo, documentation, 6to4, and what carries an IPv4 address inside.
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_LOOPBACK4: Final = IPv4Network("127.0.0.0/8")


def is_public(address: str) -> bool:
    """Whether `address` is one of the open internet. Raises `ValueError` for what is no address."""
    found = _unwrapped(address)
    if isinstance(found, IPv4Address):
        return not any(found in network for network in _IPV4)
    return found in _IPV6_UNICAST and not any(found in network for network in _IPV6)


def is_loopback(address: str) -> bool:
    """Whether `address` is this machine's own. Raises `ValueError` for what is no address."""
    found = _unwrapped(address)
    return found in _LOOPBACK4 if isinstance(found, IPv4Address) else found == IPv6Address("::1")


def _unwrapped(address: str) -> IPv4Address | IPv6Address:
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address) and found in _MAPPED:
        return IPv4Address(int(found) & 0xFFFFFFFF)
    return found
