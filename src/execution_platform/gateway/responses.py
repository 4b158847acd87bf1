"""The state of the Responses API in one gateway process: conversations that go on by `previous_response_id`.

Theory of operation
-------------------
No provider keeps anything for a caller: an id at a provider belongs to the operator's account, not to a tenant, and is worth
nothing at the next provider. The gateway keeps each response of a tenant that stores content, redacted, under an id of its own. A
request that names one gets the whole conversation as its input before it is planned, so every provider, every failover and
every budget sees it whole. The answer is kept before its last event leaves, which then says whether it was.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from datetime import timedelta
from typing import cast
from uuid import uuid4

from execution_platform import _json
from execution_platform.dialects import dialect
from execution_platform.dialects.openai_responses.kept import (
    MARKS,
    Turn,
    asked,
    cleaned,
    continued,
    ended,
    frames,
    own_items,
    retold,
)
from execution_platform.dialects.take import Object, body_object
from execution_platform.exceptions import ExecutionPlatformError, InvalidRequest, RequestTooLarge
from execution_platform.gateway.bookkeeping import Bookkeeping
from execution_platform.identity.principal import Principal
from execution_platform.responses.store import Kept, Reader, ResponseStore
from execution_platform.router.chain import aclose
from execution_platform.runtime.answer import Answer
from execution_platform.runtime.call import Call
from execution_platform.runtime.snapshot import Snapshot

RESPONSES = dialect("openai_responses")
EVERY = "*"
_PREVIOUS = "previous_response_id"


class Responses:
    """What is kept of the responses of all tenants."""

    def __init__(self, bookkeeping: Bookkeeping, snapshot: Callable[[], Snapshot], tell: Callable[..., None]) -> None:
        self.store = ResponseStore(bookkeeping.storage)
        self._log = bookkeeping.requests
        self._snapshot = snapshot
        self._tell = tell

    def keeps(self, tenant: str) -> bool:
        """Whether responses of `tenant` are kept."""
        wanted = self._snapshot().config.responses.keep_for
        return tenant in self._log.wishes.content or tenant in wanted or EVERY in wanted

    def keep_time(self, tenant: str | None) -> timedelta:
        """How long responses of `tenant` are kept: no longer than its content in the request log."""
        config = self._snapshot().config
        days = self._log.wishes.days.get(tenant or "", config.ledger.request_days)
        return min(timedelta(hours=config.responses.keep_hours), timedelta(days=days))

    def reader(self, principal: Principal) -> Reader:
        """What `principal` may see."""
        owner = None if principal.role in {"admin", "owner"} else principal.subject
        return Reader(principal.only, owner, self.keep_time(principal.only))

    async def enter(self, call: Call) -> "Keeping | None":
        """Give `call` the conversation it continues; its answer's place, if that is to be kept.

        Raises `InvalidRequest` when the tenant keeps no responses, `RouterError` for a response that is not there for this
        caller, `RequestTooLarge`, `DatabaseUnavailable`.
        """
        body, tenant = call.body, call.principal.tenant
        keeps = self.keeps(tenant)
        if not keeps and not any(mark in body for mark in MARKS):
            return None
        wanted = asked(body)
        turns: list[Turn] = []
        if wanted.previous_id is not None:
            if not keeps:
                raise _keeps_none(tenant)
            reader = Reader(tenant, self.reader(call.principal).owner, self.keep_time(tenant))
            turns = await self.store.chain(wanted.previous_id, reader, _PREVIOUS)
        items = own_items(body)
        if wanted.previous_id is not None or body_object(body).get("store"):
            most = call.snapshot.config.limits.body
            whole = continued(body, turns)
            if len(whole) > most:
                raise RequestTooLarge(
                    f"the conversation has grown to {len(whole)} bytes and limits.body is {most}: begin a new one",
                    param=_PREVIOUS,
                )
            call.body = _json.read(whole, max_depth=call.snapshot.config.limits.depth)
        if not keeps or not wanted.store or call.operation != "chat":
            return None
        return Keeping(self, call, items, wanted.previous_id)

    async def keep(self, kept: Kept) -> bool:
        """Keep a response; whether that succeeded."""
        try:
            await self.store.put(kept)
        except ExecutionPlatformError as error:
            self._tell("response_not_kept", "error", response=kept.id, reason=error.message)
            return False
        return True

    async def forget(self) -> int:
        """Delete what is older than its tenant keeps it; how many responses. Raises `DatabaseUnavailable`."""
        days = self._log.wishes.days
        gone = await self.store.forget(self.keep_time(None), but=days)
        for tenant in days:
            gone += await self.store.forget(self.keep_time(tenant), of=tenant)
        return gone


class Keeping:
    """One answer that is to be kept."""

    def __init__(self, responses: Responses, call: Call, items: list[Object], previous_id: str | None) -> None:
        self._responses = responses
        self._call = call
        self._items = items
        self.told: Mapping[str, object] = {"id": f"resp_{uuid4().hex}", "store": True, _PREVIOUS: previous_id}
        """What the answer says of itself."""

    async def answer(self, answer: Answer) -> Answer:
        """`answer` under its own id, kept by the time it ends."""
        if answer.body is not None:
            answer.body = _json.dumps(await self._keep(body_object(answer.body)))
        elif answer.stream is not None:
            answer.stream = self._stream(answer.stream)
        return answer

    async def _stream(self, stream: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        try:
            async for data in stream:
                out = b""
                for frame in frames(data):
                    whole = ended(frame)
                    out += retold(frame, self.told if whole is None else await self._keep(whole))
                yield out
        finally:
            await aclose(stream)

    async def _keep(self, response: Object) -> Object:
        """`response` as it is told, which is how it is kept if it can be."""
        told = {**response, **self.told}
        principal, clean = self._call.principal, self._call.snapshot.redactor.text
        items = cast("list[Object]", cleaned(self._items, clean))
        turn = Turn(items, cast("Object", cleaned(told, clean)))
        previous = cast("str | None", self.told[_PREVIOUS])
        kept = Kept(str(told["id"]), principal.tenant, principal.subject, previous, turn)
        return told if await self._responses.keep(kept) else {**told, "store": False}


def _keeps_none(tenant: str) -> InvalidRequest:
    return InvalidRequest(
        f"{_PREVIOUS}: no responses of tenant {tenant} are kept; send the whole conversation as input, or let the tenant "
        "store content (store_content of PATCH /v1/tenants, ledger.content_of of the configuration) or list it in "
        "responses.keep_for",
        code="responses_not_kept",
        param=_PREVIOUS,
    )
