"""What the request log keeps of a call, and the task that writes it down."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime
from typing import Protocol

from execution_platform.config.values import LedgerConfig
from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.identity.tenants import Wishes, wishes
from execution_platform.ledger.outbox import happens
from execution_platform.ledger.requests import Noted, write
from execution_platform.router.chain import aclose
from execution_platform.runtime.answer import Answer
from execution_platform.runtime.call import Call
from execution_platform.storage.engine import Storage

_MOST = 20_000
_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
_FORGET_SECONDS = 3600.0
_LEARN_SECONDS = 2.0
CONTENT_BYTES = 64 * 1024
"""Kept of a prompt, and of an answer."""


class Place(Protocol):
    """Where the log is written: the database of the books, whose tables are made when something is first kept."""

    storage: Storage

    async def exists(self) -> bool:
        """Whether there is a database already; asking makes none."""
        ...

    async def store(self) -> object:
        """Open the database, and make its tables if need be. Raises `DatabaseUnavailable`."""
        ...


class RequestLog:
    """The requests of one process on their way into the database."""

    def __init__(self, place: Place, config: LedgerConfig) -> None:
        self.waiting: deque[Noted] = deque()
        self._flushing = asyncio.Lock()
        self.dropped = 0
        self._place = place
        self._config = config
        self.wishes = Wishes(frozenset(config.content_of), {})
        """Of the configuration and of the tenants themselves."""

    def keeps_content(self, call: Call) -> bool:
        """Whether the tenant has asked for prompts and answers in the log."""
        content = self.wishes.content
        return bool(content) and call.principal.tenant in content

    def keep_answer(self, call: Call, answer: Answer) -> Answer:
        """`answer`, whose beginning is kept as it passes, if the tenant has asked for that."""
        if not self.keeps_content(call):
            return answer
        if answer.body is not None:
            call.outcome.kept_answer = answer.body[:CONTENT_BYTES]
        elif answer.stream is not None:
            answer.stream = _keeping(call, answer.stream)
        return answer

    def add(self, call: Call, status: int, seconds: float) -> None:
        """One request that is over. Never waits, never raises."""
        if not self._config.log_requests:
            return
        if len(self.waiting) >= _MOST:
            self.dropped += 1
            return
        self.waiting.append(self._record(call, status, seconds))

    def _record(self, call: Call, status: int, seconds: float) -> Noted:
        outcome, route, principal = call.outcome, call.route, call.principal
        usage, target, finish = outcome.usage, outcome.target, outcome.metered.finish
        first = outcome.first_content
        asked = answered = None
        if self.keeps_content(call):
            clean = call.snapshot.redactor.body
            asked = clean(call.body[:CONTENT_BYTES])
            answered = clean(outcome.kept_answer) if outcome.kept_answer else None
        return Noted(
            call.id,
            time.time_ns(),
            principal.tenant,
            principal.subject,
            route.persona.name if route is not None and route.persona is not None else "",
            call.run,
            target.provider if target is not None else "",
            target.model if target is not None else call.path_model or call.peek.model or "",
            call.dialect.name,
            call.operation,
            status,
            outcome.error.code if outcome.error is not None else None,
            call.peek.stream,
            outcome.attempts,
            str(finish.reason) if finish is not None else None,
            round(seconds * 1000, 2),
            None if first is None else round((first - call.started) * 1000, 2),
            usage.prompt_tokens if usage is not None else 0,
            usage.completion_tokens if usage is not None else 0,
            outcome.cost.nanos if outcome.cost is not None else 0,
            call.snapshot.version,
            call.trace.trace_id if call.trace is not None else None,
            asked,
            answered,
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Write and forget until `stopping` is set."""
        pause, until_forgetting, until_learning = 0.0, 0.0, 0.0
        while not await happens(stopping, within=pause):
            until_forgetting -= pause
            until_learning -= pause
            try:
                if until_learning <= 0 and await self._place.exists():
                    until_learning = _LEARN_SECONDS
                    await self.learn()
                await self.flush()
                if until_forgetting <= 0 and self._place.storage.opened:
                    until_forgetting = _FORGET_SECONDS
                    await self.forget()
                pause = _PAUSE
            except ExecutionPlatformError:
                pause = min(_LONGEST_PAUSE, pause * 2)  # the outbox tells of a database that is away

    async def learn(self) -> None:
        """Take over what tenants have asked for. Raises `DatabaseUnavailable`."""
        await self._place.store()
        found = await wishes(self._place.storage)
        self.wishes = Wishes(found.content.union(self._config.content_of), found.days)

    async def flush(self) -> None:
        """Write what waits. Raises `DatabaseUnavailable`."""
        # A reader and the ticker may both want what waits; each row is written once.
        async with self._flushing:
            if self.waiting:
                await self._place.store()
                await write(self._place.storage, self.waiting)

    async def forget(self) -> int:
        """Delete what is older than the configuration keeps; how many requests. Raises `DatabaseUnavailable`."""
        await self._place.store()
        from execution_platform.ledger.requests import forget

        storage, now, days = self._place.storage, datetime.now(UTC), self.wishes.days
        gone = await forget(storage, now, self._config.request_days, but=days)
        for tenant, most in days.items():
            gone += await forget(storage, now, most, of=tenant)
        return gone


async def _keeping(call: Call, stream: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    kept = bytearray()
    try:
        async for data in stream:
            if len(kept) < CONTENT_BYTES:
                kept += data[: CONTENT_BYTES - len(kept)]
            yield data
    finally:
        call.outcome.kept_answer = bytes(kept)
        await aclose(stream)
