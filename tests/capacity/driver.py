"""The client of the measurements: a connection for each request, in an open loop: no request waits for another one's answer."""

import asyncio
import socket
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from capacity.upstream import Ask
from execution_platform import _json

_RECEIVE = 4096
"""Bytes the kernel keeps for a client that reads nothing."""


@dataclass(eq=False)
class Shot:
    """One request and what came of it. Times are of `time.perf_counter`."""

    begun: float
    status: int = 0
    head: bytes = b""
    first: float = 0.0
    """Seconds to the first byte after the head."""
    ended: float = 0.0
    """Seconds until the connection ended."""
    tail: bytes = b""
    arrivals: list[float] = field(default_factory=list)
    """When each read of the body came."""

    @property
    def is_good(self) -> bool:
        """An answer from its beginning to its end."""
        if self.status != 200 or b"transfer-encoding" not in self.head:
            return self.status == 200
        return self.tail.endswith(b"0\r\n\r\n") and (b"[DONE]" in self.tail or b"message_stop" in self.tail)

    def header(self, name: bytes) -> bytes:
        """A header's value; empty without it."""
        _, found, rest = self.head.partition(b"\r\n%b: " % name)
        return rest.partition(b"\r\n")[0] if found else b""


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, shot: Shot, request: bytes) -> None:
        self.shot = shot
        self._request = request
        self._head = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """asyncio's."""
        shot = self.shot
        if not shot.status:
            self._head += data
            head, end, rest = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            shot.head = head.lower() + b"\r\n"
            shot.status = int(head[9:12])
            data = rest
        if data:
            now = time.perf_counter()
            shot.first = shot.first or now - shot.begun
            shot.arrivals.append(now)
            shot.tail = (shot.tail + data)[-64:]

    def connection_lost(self, _: Exception | None) -> None:
        """asyncio's."""
        self.shot.ended = time.perf_counter() - self.shot.begun
        if not self.done.done():
            self.done.set_result(None)


class Driver:
    """Sends requests to one address."""

    def __init__(self, url: str, model: str = "fast", *, path: str = "/v1/chat/completions") -> None:
        split = urlsplit(url)
        self._address = (str(split.hostname), int(split.port or 80))
        self._model = model
        self._path = path

    def request(self, ask: Ask, *, stream: bool = True, padding: int = 0) -> bytes:
        """The bytes of one request, with so many more in an earlier message."""
        messages = [{"role": "user", "content": ask.text}]
        if padding:
            # In many messages, as agents send them.
            part = "word " * 100
            messages = [{"role": "user", "content": part} for _ in range(padding // len(part))] + messages
        body = _json.dumps({"model": self._model, "messages": messages, "stream": stream, "max_tokens": 100})
        head = f"POST {self._path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        return head.encode() + b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)

    async def fire(self, request: bytes, *, patience: float = 30.0, leave_after: float | None = None) -> Shot:
        """One request, until its connection ends, its client loses patience, or leaves."""
        shot = Shot(time.perf_counter())
        loop = asyncio.get_running_loop()
        try:
            _, client = await loop.create_connection(lambda: _Client(shot, request), *self._address)
        except OSError:
            shot.ended = time.perf_counter() - shot.begun
            return shot
        leaving = loop.call_later(patience if leave_after is None else leave_after, client.transport.abort)
        try:
            await client.done
        finally:
            leaving.cancel()
            client.transport.abort()
        shot.ended = shot.ended or time.perf_counter() - shot.begun
        return shot

    async def never_read(self, request: bytes) -> asyncio.Transport:
        """A client that asks and reads nothing; who gets the transport ends it."""
        loop = asyncio.get_running_loop()
        # Before it is connected: afterwards the window has been told to the other end.
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE)
        await loop.sock_connect(sock, self._address)
        _, client = await loop.create_connection(lambda: _Client(Shot(0.0), request), sock=sock)
        client.transport.pause_reading()
        return client.transport

    async def at_rate(self, request: bytes, per_second: float, seconds: float, *, patience: float = 30.0) -> list[Shot]:
        """Requests at even distances, for so long; returns when the last has ended."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        tasks: list[asyncio.Task[Shot]] = []
        for number in range(int(per_second * seconds)):
            wait = begun + number / per_second - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            elif number % 20 == 0:
                await asyncio.sleep(0)
            tasks.append(loop.create_task(self.fire(request, patience=patience)))
        return list(await asyncio.gather(*tasks))

    async def closed_loop(self, request: bytes, clients: int, seconds: float) -> list[Shot]:
        """As many requests as so many clients get answered, one after the other."""
        until = time.perf_counter() + seconds
        shots: list[Shot] = []

        async def ask() -> None:
            while time.perf_counter() < until:
                shots.append(await self.fire(request))

        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(ask())
        return shots


def quantile(values: list[float], share: float) -> float:
    """The value below which this share lies; 0 of nothing."""
    found = sorted(values)
    return found[min(len(found) - 1, int(share * len(found)))] if found else 0.0
