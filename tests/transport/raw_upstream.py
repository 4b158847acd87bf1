"""A server on loopback that answers with the bytes a test gives it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

PATIENCE = 5.0
"""Seconds a test waits for anything."""


@dataclass
class Exchange:
    """One request as it arrived, and the way to answer it."""

    number: int
    connection: int
    head: str
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def header(self, name: str) -> list[str]:
        lines = self.head.split("\r\n")[1:]
        return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].lower() == name]

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def peer_gone(self) -> None:
        """Wait until the client has closed the connection."""
        try:
            async with asyncio.timeout(PATIENCE):
                assert await self.reader.read(1) == b""
        except ConnectionError:
            return


Handler = Callable[[Exchange], Awaitable[object]]


@dataclass
class RawUpstream:
    url: str
    exchanges: list[Exchange] = field(default_factory=list)
    connections: int = 0
    failures: list[BaseException] = field(default_factory=list)


def ok(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    extra = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{extra}\r\n".encode() + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STREAM_END = b"0\r\n\r\n"


async def _request(reader: asyncio.StreamReader) -> tuple[str, bytes] | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    size = next(
        (int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length:")), 0
    )
    return head, await reader.readexactly(size)


@asynccontextmanager
async def raw_upstream(handler: Handler) -> AsyncIterator[RawUpstream]:
    """Serve `handler` for each request until the block ends; its own failures fail the test."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream.connections += 1
        connection = upstream.connections
        try:
            while (request := await _request(reader)) is not None:
                exchange = Exchange(len(upstream.exchanges), connection, *request, reader, writer)
                upstream.exchanges.append(exchange)
                await handler(exchange)
                if writer.is_closing():
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except BaseException as error:
            upstream.failures.append(error)
            raise
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    upstream = RawUpstream(f"http://{host}:{port}")
    try:
        async with asyncio.timeout(4 * PATIENCE):
            yield upstream
    finally:
        server.close()
    assert [error for error in upstream.failures if not isinstance(error, asyncio.CancelledError)] == []
