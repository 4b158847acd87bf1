"""The answer to one call: its head at once, its body as it comes, and the timer over both."""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from typing import cast

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import EmptyStreamReader, StreamReader

from execution_platform.exceptions import ErrorKind, ProtocolError
from execution_platform.transport.failures import FAILURES, Silence, cut_short
from execution_platform.transport.pool import Wire, abort, give_back


class Watch:
    """The one timer of a call.

    It is not moved at every read: a read notes when it began to wait, and the timer, when it fires, looks whether that is
    too long ago or moves itself to the time when it would be.
    """

    __slots__ = ("_handle", "_loop", "_silence", "_since", "_until", "_when", "_wire")

    def __init__(self, wire: Wire, silence: float, until: float) -> None:
        self._wire = wire
        self._loop = loop = asyncio.get_running_loop()
        self._silence = silence
        self._until = until
        self._since = loop.time()
        self._when = min(self._since + silence, until)
        self._handle: asyncio.TimerHandle | None = loop.call_at(self._when, self._fire)

    def reading(self, silence: float) -> None:
        """The head is there; from now on another silence is allowed, and only while a read waits."""
        self._silence = silence
        self._since = math.inf

    def is_young(self, seconds: float) -> bool:
        """Whether the request went out less than `seconds` ago."""
        return self._loop.time() - self._since < seconds

    def waits(self) -> None:
        """A read begins to wait."""
        self._since = self._loop.time()
        due = min(self._since + self._silence, self._until)
        if due < self._when:
            if self._handle is not None:
                self._handle.cancel()
            self._arm(due)

    def got(self) -> None:
        """A read has something; how long its reader is busy with it is not the upstream's silence."""
        self._since = math.inf

    def stop(self) -> None:
        """Nothing is awaited any more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, due: float) -> None:
        self._when = due
        self._handle = None if due == math.inf else self._loop.call_at(due, self._fire)

    def _fire(self) -> None:
        due = min(self._since + self._silence, self._until)
        if self._loop.time() < due:
            self._arm(due)
            return
        self._handle = None
        over = due == self._until
        error = Silence("no complete answer in the time the call has" if over else f"silent for {self._silence:g} s")
        self._wire.set_exception(error)
        if self._wire.transport is not None:
            self._wire.transport.abort()


class _Body(StreamReader):
    """aiohttp's reader, which takes what is there chunk by chunk, three looks at its limits each; here all at once."""

    __slots__ = ()

    def take(self) -> bytes:
        """What `read_nowait` gives."""
        pieces = self._buffer
        if len(pieces) < 2 or self._buffer_offset or self._exception is not None:
            return self.read_nowait()
        data = b"".join(pieces)
        pieces.clear()
        self._size = 0
        self._cursor += len(data)
        splits = self._http_chunk_splits
        if splits:
            while splits and splits[0] < self._cursor:
                splits.popleft()
        self._protocol.resume_reading()
        return data

    async def more(self) -> bytes:
        """What `readany` gives."""
        if self._exception is not None:
            raise self._exception
        while not self._buffer and not self._eof:
            await self._wait("readany")
        return _take(self)


def _take(payload: StreamReader) -> bytes:
    """All that has come and was not read; made by the parser, a reader is never a `_Body`, but has all it needs."""
    return payload.read_nowait() if isinstance(payload, EmptyStreamReader) else _Body.take(cast("_Body", payload))


class Reply:
    """An answer whose head has arrived; `headers` looks names up in any case.

    `host` is the upstream's, for messages. `close` it in every case; after the body's end that does nothing.
    """

    __slots__ = ("_connection", "_most", "_payload", "_size", "_watch", "_wire", "headers", "host", "status")

    def __init__(
        self,
        message: RawResponseMessage,
        payload: StreamReader,
        connection: Connection,
        wire: Wire,
        watch: Watch,
        *,
        host: str,
        most: int,
    ) -> None:
        self.status: int = message.code
        self.headers: Mapping[str, str] = message.headers
        self.host = host
        self._connection: Connection | None = connection
        self._wire = wire
        self._payload = payload
        self._watch = watch
        self._most = most
        self._size = 0
        wire.reader = payload
        payload.on_eof(self._ended)

    async def read(self, limit: int) -> bytes:
        """The whole body, or what `chunks` has left of it.

        Raises:
            ProtocolError: It is over `limit` bytes, or breaks its framing.
            TimeoutError: It did not come in time.
            ProviderError: The connection broke (`kind` connection).
        """
        payload = self._payload
        self._most = min(self._most, self._size + limit)
        if payload.is_eof() and payload.exception() is None:
            data = _take(payload)
            self._count(data)
            return data
        return b"".join([data async for data in self])

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, one item for all that was there; the same iterator at every call. Raises as `read` does."""
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        payload = self._payload
        try:
            data = _take(payload)
            if not data:
                if payload.is_eof():
                    raise StopAsyncIteration
                self._watch.waits()
                data = await _Body.more(cast("_Body", payload))
                if not data:
                    raise StopAsyncIteration
                self._watch.got()
        except FAILURES as error:
            self.close()
            raise cut_short(error, self.host) from error
        self._count(data)
        return data

    def _count(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._most:
            self.close()
            message = f"{self.host}: the body of the answer is over {self._most} bytes"
            raise ProtocolError(message, kind=ErrorKind.PROTOCOL, status=self.status)

    def _ended(self) -> None:
        self._watch.stop()
        connection, self._connection = self._connection, None
        if connection is not None:
            self._wire.reader = None
            give_back(connection)

    def close(self) -> None:
        """Abort what is still under way."""
        self._watch.stop()
        connection, self._connection = self._connection, None
        if connection is not None:
            self._wire.set_exception(aiohttp.ClientConnectionError("closed by the reader"))
            self._wire.reader = None
            abort(connection)
