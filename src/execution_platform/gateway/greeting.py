"""Connections that wait in the kernel while the event loop is late.

The event loop takes one connection in each of its turns. A turn of a busy process is long, so that clients would wait in the
kernel's queue for seconds, unseen: neither served nor refused, nor counted. While the loop is late this takes all that wait,
behind the one that came by the usual way; admission then tells each of them at once what it is to expect. Who is refused and
has sent all of its request is told so before it becomes a connection of the event loop, which would take two more turns.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

_MOST = 256
"""Connections taken in one turn beyond the first."""
_LOOK = 64 * 1024
"""Bytes of a request that are looked at; a longer one is refused in the usual way."""

Make = Callable[[], asyncio.BaseProtocol]
Refuse = Callable[[bytes, int], bytes | None]
"""The whole answer to what a client has sent, with so many let in before it that have not been counted yet; None when it is to be
served, or is not there to its end."""


class Greeter:
    """Takes what waits at one listening socket, of which it keeps a descriptor of its own until `close`."""

    def __init__(
        self,
        descriptor: int,
        make: Make,
        loop: asyncio.AbstractEventLoop,
        *,
        refuse: Refuse = lambda _data, _ahead: None,
        is_full: Callable[[int], bool] = lambda _ahead: False,
    ) -> None:
        """`refuse` is asked while `is_full`."""
        self._sock = socket.socket(fileno=descriptor)
        self._sock.setblocking(False)
        self._make = make
        self._loop = loop
        self._refuse = refuse
        self._is_full = is_full
        self._tasks: set[asyncio.Task[object]] = set()

    def greet(self) -> int:
        """Take what waits; how many. What keeps it from that befalls the usual way, too, and is dealt with there."""
        for taken in range(_MOST):
            try:
                sock, _ = self._sock.accept()
            except OSError:
                return taken
            sock.setblocking(False)
            if self._is_full(len(self._tasks)) and self._refused(sock):
                continue
            task = self._loop.create_task(self._serve(sock))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return _MOST

    def _refused(self, sock: socket.socket) -> bool:
        """Refuse at once who is to be refused; whether that was done."""
        try:
            seen = sock.recv(_LOOK, socket.MSG_PEEK)
        except OSError:
            return False  # nothing has come, or the client has left: the usual way knows what to do
        answer = self._refuse(seen, len(self._tasks)) if len(seen) < _LOOK else None
        if answer is None:
            return False
        with sock, suppress(OSError):
            # What was not read would make the end of the connection a reset, which may overtake the answer.
            sock.recv(len(seen))
            sock.send(answer)
        return True

    async def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError):
            await self._loop.connect_accepted_socket(self._make, sock)

    def close(self) -> None:
        """Listen no more."""
        self._sock.close()
