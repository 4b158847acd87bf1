"""The way in: connections are taken as they come, all that wait in one turn of the event loop.

An event loop's own server takes one connection in each of its turns. A turn of a busy process is long, so that clients would wait in
the kernel's queue for seconds, unseen: neither served nor refused, nor counted. Here all that wait are taken at once, and admission
tells each of them what it is to expect. Who is refused and has sent all of its request is told so before it becomes a
connection of the event loop, which would cost more than the refusal and take two more turns.
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress

_MOST = 256
"""Connections taken in one turn."""
_LOOK = 64 * 1024
"""Bytes of a request that are looked at; a longer one is refused in the usual way."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_MORE = getattr(socket, "MSG_MORE", 0)
"""Linux': what is sent waits for what comes after it."""
_PAUSE = 0.1
"""Seconds in which nobody is taken after the machine had nothing left for another connection."""

Make = Callable[[], asyncio.BaseProtocol]
Refuse = Callable[[bytes, int], bytes | None]
"""The whole answer to what a client has sent, with so many let in before it that have not been counted yet; None when it is to be
served, or is not there to its end."""


class Greeter:
    """Takes what comes at one listening socket, of which it keeps a descriptor of its own from `start` until `close`."""

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
        self._seen = memoryview(bytearray(_LOOK))
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Take what comes from now on."""
        self._pause = None
        self._loop.add_reader(self._sock, self.greet)

    def greet(self) -> int:
        """Take what waits; how many."""
        for taken in range(_MOST):
            try:
                sock, _ = self._sock.accept()
            except ConnectionAbortedError:
                continue  # it has left again
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._rest()
                return taken
            sock.setblocking(False)
            if self._is_full(len(self._tasks)) and self._refused(sock):
                continue
            task = self._loop.create_task(self._serve(sock))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return _MOST

    def _rest(self) -> None:
        """What waits would wake the event loop again and again while it cannot be taken."""
        self._loop.remove_reader(self._sock)
        self._pause = self._loop.call_later(_PAUSE, self.start)

    def _refused(self, sock: socket.socket) -> bool:
        """Refuse at once who is to be refused; whether that was done."""
        buffer = self._seen
        try:
            size = sock.recv_into(buffer, 0, socket.MSG_PEEK)
        except OSError:
            return False  # nothing has come, or the client has left: the usual way knows what to do
        answer = self._refuse(bytes(buffer[:size]), len(self._tasks)) if size < _LOOK else None
        if answer is None:
            return False
        with sock, suppress(OSError):
            # What was not read would make the end of the connection a reset, which may overtake the answer.
            sock.recv_into(buffer, size)
            # One packet with the end of the connection, for which the client is woken once.
            sock.send(answer, _MORE)
        return True

    async def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError):
            await self._loop.connect_accepted_socket(self._make, sock)

    def close(self) -> None:
        """Listen no more."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()
