"""`FaultProxy`: a TCP proxy on loopback that breaks what passes, in front of any upstream.

::

    async with FakeUpstream() as upstream, FaultProxy(upstream.url) as proxy:
        proxy.script([Stop(after_events=2, goes="rst")])   # every answer from now on
        ...                                                # let a client call proxy.url
        await proxy.listen("refuse")                       # new connections are refused

What belongs to an answer is scripted (`proxy_faults`); what belongs to the address is a way of listening: served,
refused, dropped (no answer to a SYN), reset after it was accepted, or accepted and never read. With `tls` the proxy
ends TLS with a certificate of the test's choice (`certificates`).

A request begins where bytes come from the client after an answer has begun, which is true of every client that does not
pipeline. The port stays the same in all ways of listening.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ssl import SSLContext
from types import TracebackType
from typing import Literal, Self, cast
from urllib.parse import urlsplit

from execution_platform.testing.proxy_faults import (
    Cutter,
    Delay,
    Garbage,
    Goes,
    NeverEnding,
    Placed,
    ProxyFault,
    Stop,
    Throttle,
    framed,
)

Listening = Literal["serve", "refuse", "drop", "reset", "silent"]
"""What befalls a new connection: served; refused; its SYN unanswered; accepted and reset; accepted and never read."""

_PIECE = 65_536
_TICK = 0.02
_FILL = 3
"""Connections that fill a listener's queue of one; the system leaves every later SYN unanswered."""


@dataclass(slots=True)
class Passage:
    """One connection through the proxy. Times are seconds of the event loop's clock."""

    opened_at: float
    requests: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    client_left_at: float | None = None
    closed_at: float | None = None


class FaultProxy:
    """A proxy in front of `upstream`, a URL or `host:port`."""

    def __init__(self, upstream: str, *, host: str = "127.0.0.1", port: int = 0, tls: SSLContext | None = None) -> None:
        split = urlsplit(upstream if "//" in upstream else f"//{upstream}")
        if split.hostname is None or split.port is None:
            raise ValueError(f"the upstream {upstream!r} needs a host and a port, as http://127.0.0.1:8080")
        self._upstream = (split.hostname, split.port)
        self._host, self._port, self._tls = host, port, tls
        self.passages: list[Passage] = []
        self._script: list[Sequence[ProxyFault]] = []
        self._used = 0
        self._holder: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._full: list[socket.socket] = []
        self._mode: Listening = "refuse"
        self._links: set[_Link] = set()

    # --- life ---

    async def start(self) -> None:
        """Bind and serve.

        Raises:
            OSError: the port is taken.
        """
        # Bound and never listening: it keeps the port while nobody serves it, and a SYN to it alone is refused.
        self._holder = _bound(self._host, self._port)
        self._port = int(self._holder.getsockname()[1])
        await self.listen("serve")

    async def stop(self) -> None:
        """Stop listening and reset every connection that is left."""
        await self.listen("refuse")
        self.break_all()
        await asyncio.gather(*(link.over.wait() for link in tuple(self._links)))
        if self._holder is not None:
            self._holder.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        """The port that is served."""
        return self._port

    @property
    def url(self) -> str:
        """The base URL without a path."""
        return f"http{'s' if self._tls else ''}://{self._host}:{self._port}"

    # --- scripting ---

    async def listen(self, mode: Listening) -> None:
        """Treat new connections this way from now on; those that are open stay as they are (see `break_all`)."""
        if self._server is not None and mode in {"refuse", "drop"}:
            self._server.close()
            self._server = None
        for filler in self._full:
            filler.close()
        self._full.clear()
        if mode == "drop":
            self._full = await asyncio.get_running_loop().run_in_executor(None, _full_listener, self._host, self._port)
        elif mode != "refuse" and self._server is None:
            listener = _bound(self._host, self._port)
            self._server = await asyncio.start_server(self._accept, sock=listener, ssl=self._tls, backlog=1024)
        self._mode = mode

    def script(self, *answers: Sequence[ProxyFault]) -> None:
        """Do this to the answers from now on, one sequence for each; the last one stays. Nothing heals them all."""
        self._script = list(answers)
        self._used = 0

    def break_all(self, goes: Literal["fin", "rst"] = "rst") -> None:
        """End every connection that is open."""
        for link in tuple(self._links):
            link.end(goes)

    @property
    def connections_open(self) -> int:
        """Connections that are accepted and not yet closed."""
        return len(self._links)

    def next_faults(self) -> Sequence[ProxyFault]:
        """What to do to the next answer."""
        if not self._script:
            return ()
        faults = self._script[min(self._used, len(self._script) - 1)]
        self._used += 1
        return faults

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(self, reader, writer)
        self._links.add(link)
        self.passages.append(link.passage)
        try:
            if self._mode == "reset":
                link.end("rst")
            elif self._mode == "silent":
                cast(asyncio.Transport, writer.transport).pause_reading()
                await link.closing.wait()
            else:
                await link.run(*self._upstream)
        finally:
            link.end("fin")
            link.passage.closed_at = asyncio.get_running_loop().time()
            self._links.discard(link)
            link.over.set()


class _Link:
    """One client's connection and the one to the upstream behind it."""

    def __init__(self, proxy: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._reader, self._writer = reader, writer
        self._behind: asyncio.StreamWriter | None = None
        self._answer = _Answer(())
        self._answered = True
        self.closing = asyncio.Event()
        self.over = asyncio.Event()
        self.passage = Passage(asyncio.get_running_loop().time())

    def end(self, goes: Goes) -> None:
        """End both sides; a silence ends nothing here."""
        if goes == "silence":
            return
        for writer in (self._writer, self._behind):
            if writer is not None:
                _close(writer, goes)
        self.closing.set()

    async def run(self, host: str, port: int) -> None:
        """Pass bytes both ways until one of the sides has gone."""
        try:
            back, self._behind = await asyncio.open_connection(host, port, limit=_PIECE)
        except OSError:
            self.end("rst")
            return
        ups, downs = asyncio.create_task(self._up()), asyncio.create_task(self._down(back))
        closing = asyncio.create_task(self.closing.wait())
        try:
            await asyncio.wait({ups, downs, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (ups, downs, closing):
                task.cancel()
            await asyncio.gather(ups, downs, closing, return_exceptions=True)

    async def _up(self) -> None:
        while self._behind is not None:
            data = await _read(self._reader)
            if not data:
                self.passage.client_left_at = asyncio.get_running_loop().time()
                return
            if self._answered:
                self._answered = False
                self._answer = _Answer(self._proxy.next_faults())
                self.passage.requests += 1
                await self._answer.wait("request")
            self.passage.bytes_up += len(data)
            if self._answer.swallows:
                await self._stop(self._answer.goes)
                continue
            self._behind.write(data)
            await self._behind.drain()

    async def _down(self, back: asyncio.StreamReader) -> None:
        while data := await _read(back):
            answer = self._answer
            if not self._answered:
                self._answered = True
                await answer.wait("head")
            await self._pass(answer, data)
        if self._answer.is_silent:
            await self.closing.wait()

    async def _pass(self, answer: "_Answer", data: bytes) -> None:
        if answer.is_silent:
            return
        cutter = answer.cutter
        at = cutter.find(data) if cutter is not None else None
        if cutter is None or at is None:
            await self._write(answer, data)
            return
        await self._write(answer, data[:at])
        fault = cutter.fault
        answer.cutter = None
        if isinstance(fault, Garbage):
            await self._write(answer, framed(fault.data) if fault.framed else fault.data)
            await self._write(answer, data[at:])
        elif isinstance(fault, NeverEnding):
            while True:
                await self._write(answer, framed(fault.data) if cutter.chunked else fault.data)
                await asyncio.sleep(fault.pause)
        else:
            answer.is_silent = True
            await self._stop(fault.goes)

    async def _stop(self, goes: Goes) -> None:
        await self._writer.drain()
        self.end(goes)

    async def _write(self, answer: "_Answer", data: bytes) -> None:
        rate = answer.throttle
        size = len(data) if rate is None else max(1, int(rate.bytes_per_second * _TICK))
        for start in range(0, len(data), max(size, 1)):
            piece = data[start : start + size]
            self._writer.write(piece)
            await self._writer.drain()
            self.passage.bytes_down += len(piece)
            if answer.throttle is not None and rate is not None:
                await asyncio.sleep(len(piece) / rate.bytes_per_second)
        if rate is not None and rate.only_head and b"\r\n\r\n" in data:
            answer.throttle = None


class _Answer:
    """What is still to be done to one answer."""

    def __init__(self, faults: Sequence[ProxyFault]) -> None:
        self._delays = {fault.before: fault.seconds for fault in faults if isinstance(fault, Delay)}
        placed = [fault for fault in faults if isinstance(fault, Placed)]
        if len(placed) > 1:
            raise ValueError(f"one answer can have one fault with a place, not {len(placed)}: {placed}")
        self.throttle = next((fault for fault in faults if isinstance(fault, Throttle)), None)
        self.cutter = Cutter(placed[0]) if placed else None
        self.swallows = bool(placed) and isinstance(placed[0], Stop) and placed[0].swallow
        self.goes: Goes = placed[0].goes if placed and isinstance(placed[0], Stop) else "fin"
        self.is_silent = False

    async def wait(self, before: Literal["request", "head"]) -> None:
        """Keep back what comes next for as long as was asked."""
        seconds = self._delays.pop(before, 0.0)
        if seconds:
            await asyncio.sleep(seconds)


async def _read(reader: asyncio.StreamReader) -> bytes:
    """What has come; empty when the other side has gone in whatever way."""
    try:
        return await reader.read(_PIECE)
    except OSError:
        return b""


def _close(writer: asyncio.StreamWriter, goes: Goes) -> None:
    if goes == "fin":
        writer.close()
        return
    sock = writer.get_extra_info("socket")
    if sock is not None:  # not yet closed
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _bound(host: str, port: int) -> socket.socket:
    """A bound socket that shares its port with our others."""
    sock = socket.socket(proto=socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _full_listener(host: str, port: int) -> list[socket.socket]:
    """A listener whose queue is full and whom nobody accepts from, and the connections that fill it."""
    listener = _bound(host, port)
    listener.listen(0)
    kept = [listener]
    for _ in range(_FILL):
        filler = socket.socket()
        filler.settimeout(0.2)
        with contextlib.suppress(OSError):
            filler.connect((host, port))
        kept.append(filler)
    return kept
