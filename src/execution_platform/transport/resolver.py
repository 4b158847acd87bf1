"""Addresses of upstreams while the name service fails: the last ones known serve on for five minutes."""

import asyncio
import socket
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

STALE_SECONDS: Final = 300.0
"""How long an address is used after the last time it was confirmed."""
_PASSING: Final = frozenset({socket.EAI_AGAIN, socket.EAI_FAIL})
"""The name service fails. A name that does not exist (any more) is another matter."""
_MOST_NAMES: Final = 1024

_Key = tuple[str, int, int]


class PatientResolver(AbstractResolver):
    """The system's resolver, with a memory for its failures. One for each event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._system = ThreadedResolver(self._loop)
        self._known: dict[_Key, tuple[float, list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`. Raises `OSError` when there are none, or the name service fails and none are known."""
        key = (host, port, int(family))
        now = self._loop.time()
        try:
            found = await self._system.resolve(host, port, family)
        except socket.gaierror as error:
            known = self._known.get(key)
            if error.errno in _PASSING and known is not None and now - known[0] <= STALE_SECONDS:
                return known[1]
            raise
        if len(self._known) >= _MOST_NAMES:
            self._known.clear()
        self._known[key] = (now, found)
        return found

    async def close(self) -> None:
        """Nothing is open."""
        await self._system.close()
