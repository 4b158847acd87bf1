"""Connections that wait in the kernel while the event loop is late.

The event loop takes one connection in each of its turns. A turn of a busy process is long, so that clients would wait in the
kernel's queue for seconds, unseen: neither served nor refused, nor counted. While the loop is late this takes all that wait,
behind the one that came by the usual way; admission then tells each of them at once what it is to expect.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

_MOST = 64
"""Connections taken in one turn beyond the first."""

Make = Callable[[], asyncio.BaseProtocol]


class Greeter:
    """Takes what waits at one listening socket, of which it keeps a descriptor of its own until `close`."""

    def __init__(self, descriptor: int, make: Make, loop: asyncio.AbstractEventLoop) -> None:
        self._sock = socket.socket(fileno=descriptor)
        self._sock.setblocking(False)
        self._make = make
        self._loop = loop
        self._tasks: set[asyncio.Task[object]] = set()

    def greet(self) -> int:
        """Take what waits; how many. What keeps it from that befalls the usual way, too, and is dealt with there."""
        for taken in range(_MOST):
            try:
                sock, _ = self._sock.accept()
            except OSError:
                return taken
            sock.setblocking(False)
            task = self._loop.create_task(self._serve(sock))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return _MOST

    async def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError):
            await self._loop.connect_accepted_socket(self._make, sock)

    def close(self) -> None:
        """Listen no more."""
        self._sock.close()
