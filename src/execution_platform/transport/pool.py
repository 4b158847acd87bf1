"""aiohttp's pool of connections, with the three things it lacks here.

* `Destination`: what the pool must know of where a call goes, made once instead of for each call.
* `Wire`: a protocol of our own on its connections (see there).
* `give_back`: a connection whose upstream answered before it had taken the whole request is not used again.
"""

import asyncio
import functools
import math
import socket
from collections.abc import Callable
from ssl import SSLContext
from typing import Any, NamedTuple, cast

from aiohttp import TCPConnector
from aiohttp.abc import AbstractResolver
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.connector import Connection
from yarl import URL

from execution_platform.transport.resolver import PatientResolver
from execution_platform.transport.wire import Wire, read_buffer

__all__ = ["Destination", "Dial", "Pool", "abort", "give_back"]


class Destination(ClientRequest):
    """The server a call goes to, in the form the pool asks for."""

    def __init__(self, url: URL, loop: asyncio.AbstractEventLoop, *, ssl: SSLContext | bool) -> None:
        super().__init__("POST", url, loop=loop, ssl=ssl)
        self._key = super().connection_key

    @property
    def connection_key(self) -> ConnectionKey:
        """Which connections will do."""
        return self._key


class Dial(NamedTuple):
    """Who finds the addresses of a name, and who opens the socket to one: the place to refuse it."""

    resolver: AbstractResolver
    connect: Callable[[tuple[Any, ...]], socket.socket]


class Pool(TCPConnector):
    """Connections by destination; time limits are kept to the millisecond. With `dial` every connection asks it anew."""

    def __init__(self, *, limit: int, keep_alive: float, dns_seconds: int, dial: Dial | None = None) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType] - one of aiohttp's own parameters is loosely typed
            limit=limit,
            keepalive_timeout=keep_alive,
            use_dns_cache=dial is None,
            ttl_dns_cache=dns_seconds,
            timeout_ceil_threshold=math.inf,
            resolver=PatientResolver() if dial is None else dial.resolver,
            socket_factory=None if dial is None else dial.connect,
        )
        # The pool asks of a protocol what `Wire` has: `transport`, `is_connected`, `should_close`, `close`, `abort`, `closed`.
        self._factory = cast("Any", functools.partial(Wire, asyncio.get_running_loop(), read_buffer()))


def give_back(connection: Connection) -> None:
    """Return it to the pool, unless the upstream answered before it had taken the whole request."""
    transport = connection.transport
    if transport is not None and transport.get_write_buffer_size():
        abort(connection)
    else:
        connection.release()


def abort(connection: Connection) -> None:
    """Close without the courtesies of TLS and without flushing."""
    if connection.transport is not None:
        connection.transport.abort()
    connection.close()
