"""`Idempotency-Key` on the LLM paths: the first request is answered and recorded, the others get the recording.

A request that names itself belongs to nobody's connection: it goes on when its client leaves, so that the client that comes back
finds the answer. Repetitions are neither planned, nor limited, nor billed.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable
from datetime import timedelta

from execution_platform.config.values import IdempotencyConfig
from execution_platform.exceptions import InvalidRequest
from execution_platform.gateway.bookkeeping import Bookkeeping
from execution_platform.gateway.departure import on_departure
from execution_platform.gateway.http import ClientGone, HeaderList, Message, Receive, Scope, Send
from execution_platform.idempotency.claims import Claims, Turn
from execution_platform.idempotency.errors import PARAM
from execution_platform.idempotency.store import Claim, ClaimStore, Recording
from execution_platform.runtime.call import Call

KEY = b"idempotency-key"
_LONGEST = 255
_WAIT = re.compile(rb"(?:^|[\s,;])wait=([0-9]{1,6})(?:$|[\s,;])")
_OWN = frozenset({b"x-request-id", b"request-id", b"content-length", b"connection", b"x-ep-overhead-ms"})
"""Headers that are true of one answer only, and not of the same answer once more."""
_DECIDING = (b"x-ep-persona", b"accept")
"""Headers that are part of what is asked."""


class Once:
    """One request under a key: either `kept` is there to be sent again, or the request is carried out and recorded."""

    __slots__ = ("_call", "_head", "_most", "_pieces", "_send", "_size", "_turn", "kept")

    def __init__(self, call: Call, found: Turn | Recording, send: Send, most: int) -> None:
        self.kept = found if isinstance(found, Recording) else None
        self._turn = found if isinstance(found, Turn) else None
        self._call = call
        self._send = send
        self._most = most
        self._head: Message = {}
        self._pieces: list[bytes] = []
        self._size = 0

    async def send(self, message: Message) -> None:
        """Record a message of the answer and pass it on. What is recorded is stored before the last byte leaves."""
        if message["type"] == "http.response.start":
            if message["status"] >= 400 and self._began(message["status"]):
                # The same failure would come again: a vendor's client need not try.
                message = {**message, "headers": [*message["headers"], (b"x-should-retry", b"false")]}
            self._head = message
        else:
            body: bytes = message.get("body", b"")
            self._size += len(body)
            if body and self._size <= self._most:
                self._pieces.append(body)
            if not message.get("more_body", False):
                await self._end()
        await self._send(message)

    async def leave(self) -> None:
        """The request is over, however it ended."""
        turn = self._turn
        if turn is None or turn.ended:
            return
        await (turn.lose() if self._began(self._head.get("status", 0)) else turn.release())

    async def replay(self) -> int:
        """Send the kept answer again; its status."""
        kept = self.kept
        if kept is None:
            return 0
        headers: HeaderList = [pair for pair in kept.headers if pair[0] not in _OWN]
        headers.append((b"x-request-id", self._call.id.encode()))
        if self._call.dialect.name == "anthropic":
            headers.append((b"request-id", self._call.id.encode()))
        headers.append((b"x-ep-idempotency", b"replayed"))
        headers.append((b"x-ep-original-request", kept.request_id.encode()))
        headers.append((b"content-length", b"%d" % sum(map(len, kept.pieces))))
        await self._send({"type": "http.response.start", "status": kept.status, "headers": headers})
        for piece in kept.pieces:
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})
        return kept.status

    async def _end(self) -> None:
        turn, status = self._turn, self._head["status"]
        if turn is None:
            return
        if not self._began(status):
            await turn.release()
        elif self._size > self._most:
            await turn.keep(None)
        else:
            await turn.keep(Recording(self._call.id, status, list(self._head["headers"]), self._pieces))

    def _began(self, status: int) -> bool:
        """Whether anything has left for a provider: from then on the result counts."""
        return status == 200 or any(one.departed for one in self._call.outcome.tries)


class Repeats:
    """The keys of one process."""

    def __init__(self, bookkeeping: Bookkeeping, tell: Callable[[str, str], None]) -> None:
        self._storage = bookkeeping.storage
        self._claims = Claims(ClaimStore(bookkeeping.storage), bookkeeping.store, tell)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to renew and to forget."""
        self._task = asyncio.create_task(self._claims.run(lambda: self._storage.opened))

    async def stop(self) -> None:
        """Renew no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def enter(self, call: Call, scope: Scope, receive: Receive, send: Send) -> Once:
        """The place of `call` among those that have its key.

        Raises `InvalidRequest`, `KeyReused`, `InProgress`, `KeySpent`, `DatabaseUnavailable`, `ClientGone`.
        """
        config = call.snapshot.config.idempotency
        left = asyncio.get_running_loop().create_future()
        forget = on_departure(scope, receive, lambda: None if left.done() else left.set_result(None))
        try:
            found = await self._claims.enter(
                _claim(call, scope),
                call.id,
                keep=timedelta(hours=config.keep_hours),
                wait=_patience(call, config),
                left=left,
            )
        finally:
            forget()
        if found is None:
            raise ClientGone
        return Once(call, found, send, config.answer)


def _claim(call: Call, scope: Scope) -> Claim:
    key = call.headers[KEY]
    if not 0 < len(key) <= _LONGEST or any(byte <= 32 or byte >= 127 for byte in key):
        raise InvalidRequest(
            f"an idempotency key is 1 to {_LONGEST} visible ASCII characters",
            code="invalid_idempotency_key",
            param=PARAM,
        )
    seen = hashlib.sha256()
    asked = [scope["path"].encode(), scope["query_string"], *(call.headers.get(name, b"") for name in _DECIDING)]
    for part in (*asked, call.body):
        seen.update(b"%d:" % len(part))
        seen.update(part)
    return Claim(call.principal.tenant, call.principal.subject, hashlib.sha256(key).digest(), seen.digest())


def _patience(call: Call, config: IdempotencyConfig) -> float:
    """How long to wait for an answer under way: what `Prefer: wait` says (RFC 7240), within the configuration's limit."""
    found = _WAIT.search(call.headers.get(b"prefer", b""))
    most = float(config.wait_seconds)
    return most if found is None else min(most, float(found.group(1)))
