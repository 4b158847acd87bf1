"""Addresses of upstreams while the name service fails: the last ones known serve on for five minutes."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, Final

STALE_SECONDS: Final = 300.0
"""How long an address is used after the last time it was confirmed."""
_PASSING: Final = frozenset({socket.EAI_AGAIN, socket.EAI_FAIL})
"""The name service fails. A name that does not exist (any more) is another matter."""
_MOST_NAMES: Final = 1024

Address = tuple[int, int, int, str, tuple[Any, ...]]
"""Where a server may be, as `getaddrinfo` gives it: family, type, protocol, canonical name, address."""


class PatientResolver:
    """The system's resolver, with a memory for its failures. One for each event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._known: dict[tuple[str, int], tuple[float, Sequence[Address]]] = {}

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """The addresses of `host`. Raises `OSError` when there are none, or the name service fails and none are known."""
        key, now = (host, port), self._loop.time()
        try:
            found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        except socket.gaierror as error:
            known = self._known.get(key)
            if error.errno in _PASSING and known is not None and now - known[0] <= STALE_SECONDS:
                return known[1]
            raise
        if len(self._known) >= _MOST_NAMES:
            self._known.clear()
        self._known[key] = (now, found)
        return found
