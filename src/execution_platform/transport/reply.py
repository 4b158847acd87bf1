"""The answer to one call: its head at once, its body as it comes, and how long both may take."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator, Mapping

from execution_platform.exceptions import ErrorKind, ProtocolError
from execution_platform.transport.failures import FAILURES, Silence, cut_short
from execution_platform.transport.pool import Destination, Pool
from execution_platform.transport.turns import Turns
from execution_platform.transport.vigil import Vigil
from execution_platform.transport.wire import Hangup, Pairs, Wire


class Headers(Mapping[str, str]):
    """The headers of an answer; names are looked up in any case, and of equal ones the first counts."""

    __slots__ = ("_known",)

    def __init__(self, pairs: Pairs) -> None:
        known: dict[str, str] = {}
        for name, value in pairs:
            text = name.decode("latin-1")
            if text not in known:
                known[text] = value.decode("utf-8", "surrogateescape")
        self._known = known

    def __getitem__(self, name: str) -> str:
        return self._known[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        """The value of a header that may be missing."""
        return self._known.get(name.lower(), default)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._known


class Reply:
    """An answer; `headers` looks names up in any case.

    `host` is the upstream's, for messages. `close` it in every case; after the body's end that does nothing.
    """

    __slots__ = (
        "_failure",
        "_held",
        "_is_over",
        "_most",
        "_pool",
        "_silence",
        "_since",
        "_size",
        "_to",
        "_turns",
        "_until",
        "_vigil",
        "_waiter",
        "_wire",
        "headers",
        "held_bytes",
        "host",
        "loop",
        "status",
    )

    def __init__(
        self, pool: Pool, to: Destination, wire: Wire, vigil: Vigil, turns: Turns, *, host: str, most: int
    ) -> None:
        """`wire` is lent by `pool` for a call `to` that server, and goes back to it at the end of the answer."""
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.host = host
        self.loop = vigil.loop
        self.held_bytes = 0
        self._pool: Pool | None = pool
        """None once the connection went back."""
        self._to = to
        self._wire = wire
        self._vigil = vigil
        self._turns = turns
        self._most = most
        self._size = 0
        self._held: list[bytes] = []
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._is_over = False
        self._since = self._silence = self._until = math.inf

    # The head

    async def head(self, silence: float, until: float) -> None:
        """Return when the head is there. Raises what befell the connection, or `Silence`."""
        self._since = since = self.loop.time()
        self._silence, self._until = silence, until
        due = since + silence
        self._vigil.add(self, min(until, due))
        while not self.status and self._failure is None:
            await self._wait()
        if self._failure is not None and not self.status:
            raise self._failure

    def reading(self, silence: float) -> None:
        """The head is there; from now on another silence is allowed, and only while a read waits."""
        self._silence = silence
        self._since = math.inf

    def is_young(self, seconds: float) -> bool:
        """Whether the request went out less than `seconds` ago."""
        return self.loop.time() - self._since < seconds

    # The body

    async def read(self, limit: int) -> bytes:
        """The whole body, or what `chunks` has left of it.

        Raises:
            ProtocolError: It is over `limit` bytes, or breaks its framing.
            TimeoutError: It did not come in time.
            ProviderError: The connection broke (`kind` connection).
        """
        self._most = min(self._most, self._size + limit)
        if self._is_over:
            return self._take() if self._held else b""
        return b"".join([data async for data in self])

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, one item for all that was there; the same iterator at every call. Raises as `read` does."""
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._held:
            if not self._is_over and self._failure is None:
                self._since = since = self.loop.time()
                due = since + self._silence
                self._vigil.expect(min(self._until, due))
                await self._wait()
                # How long its reader is busy with it is not the upstream's silence.
                self._since = math.inf
            if not self._held:
                error = self._failure
                if error is None:
                    raise StopAsyncIteration
                self.close()
                raise cut_short(error, self.host) from error
        return self._take()

    def _take(self) -> bytes:
        """What is there. Raises `ProtocolError` where that is too much."""
        held = self._held
        data = held[0] if len(held) == 1 else b"".join(held)
        held.clear()
        self.held_bytes = 0
        if not self._is_over:
            self._wire.go_on()
        self._size += len(data)
        if self._size > self._most:
            self.close()
            message = f"{self.host}: the body of the answer is over {self._most} bytes"
            raise ProtocolError(message, kind=ErrorKind.PROTOCOL, status=self.status)
        return data

    async def _wait(self) -> None:
        """Until something happens."""
        self._waiter = waiter = self.loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            self._waiter = None
            self._turns.wake(waiter)

    # The connection's side

    def headed(self, status: int, headers: Pairs) -> None:
        """The head is whole."""
        self.status = status
        self.headers = Headers(headers)
        self._wake()

    def fed(self, data: bytes) -> None:
        """What one read brought of the body."""
        self._held.append(data)
        self.held_bytes += len(data)
        self._wake()

    def ended(self) -> None:
        """The answer is whole: the connection is free for another call."""
        self._is_over = True
        self._vigil.discard(self)
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.give_back(self._to, self._wire)
        self._wake()

    def failed(self, error: Exception) -> None:
        """The connection is gone, or what came on it is no HTTP."""
        if self._failure is None:
            self._failure = error
        self._wake()

    # The end

    @property
    def due(self) -> float:
        """The time of the event loop when it is too late."""
        due = self._since + self._silence
        return min(self._until, due)

    def ring(self) -> None:
        """It is too late."""
        over = self._since + self._silence >= self._until
        silent = f"silent for {self._silence:g} s"
        self.failed(Silence("no complete answer in the time the call has" if over else silent))
        self._wire.listener = None
        if self._wire.transport is not None:
            self._wire.transport.abort()

    def close(self) -> None:
        """Abort what is still under way."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        self._vigil.discard(self)
        self._wire.listener = None
        self._held.clear()
        self.failed(Hangup("closed by the reader"))
        pool.abort(self._wire)


__all__ = ["FAILURES", "Headers", "Reply"]
