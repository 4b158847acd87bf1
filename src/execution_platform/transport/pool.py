"""aiohttp's pool of connections, with the four things it lacks here.

* `Destination`: what the pool must know of where a call goes, made once instead of for each call.
* `Wire.kept`: whether a connection has served a call before, so that its being closed at the other end can be told from a
  failure of this call.
* `Wire.reader`: who reads the body is told of everything that befalls the connection. aiohttp tells only who waits for the
  head when the framing of a body is broken, and its reader would wait until a time-out.
* `Wire.resume_reading` does nothing where nothing is paused. aiohttp calls it for every piece that is read and runs its parser
  on nothing each time, for the sake of decompression, which is never on here; that was a fifth of the cost of a stream.
"""

import asyncio
import functools
import math
import socket
from collections.abc import Callable
from ssl import SSLContext
from typing import Any, NamedTuple

from aiohttp import TCPConnector
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.connector import Connection
from aiohttp.streams import StreamReader
from yarl import URL

from execution_platform.transport.resolver import PatientResolver

__all__ = ["Destination", "Dial", "Pool", "Wire", "abort", "give_back"]


class Wire(ResponseHandler):
    """One connection to an upstream."""

    kept = False
    """It has served a call before."""
    reader: StreamReader | None = None
    """The body that is being read from it."""

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """Tell who waits for the head, and who reads a body."""
        cause = exc if exc_cause is None else exc_cause
        super().set_exception(exc, cause)
        reader = self.reader
        if reader is not None and not reader.is_eof() and reader.exception() is None:
            reader.set_exception(exc, cause)

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's signature
        """Go on with a connection that was paused because its reader is slow."""
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)


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
        self._factory = functools.partial(Wire, loop=asyncio.get_running_loop())


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
