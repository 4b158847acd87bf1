"""What the money side costs a request: all that the kernel asks of the books for one call, at a provider that does nothing.

The budgets that bind the call are looked for and its worst case is held, its dispatch is journalled, what it used is priced,
journalled and charged, and its event reaches SQLite, in batches as large as those of a busy gateway. CPU time of the
database's thread counts. The request log, which is written by the same thread, has a figure of its own.
"""

import asyncio
import gc
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from execution_platform.config.settings import Settings
from execution_platform.dialects import dialect
from execution_platform.dialects.base import Peek
from execution_platform.gateway.app import steady
from execution_platform.gateway.state import State
from execution_platform.identity.principal import Principal
from execution_platform.resilience.retry import Option
from execution_platform.router.attempt import Attempt
from execution_platform.router.chain import Run
from execution_platform.router.table import Route
from execution_platform.router.target import Target
from execution_platform.runtime.call import Call
from execution_platform.runtime.observe import settle
from execution_platform.spi.usage import Usage

_REQUESTS = 2_000
_BATCH = 500
"""Requests between two deliveries: what a thousand a second gather in half of one."""
_ROUNDS = 15
_TARGET = Target("openai", "gpt-4o-mini")
_BODY = b'{"model":"gpt-4o-mini","max_tokens":100,"messages":[{"role":"user","content":"' + b"x" * 900 + b'"}]}'
_CONFIG = """version: 1
providers:
  openai: {kind: openai, base_url: "http://upstream.invalid/v1", api_key: sk-bench, models: [gpt-4o-mini]}
"""
_BUDGETS = (
    "{tenant: default, period: monthly, usd: 100000}",
    "{key: bench, period: daily, usd: 100000}",
    "{model: openai/gpt-4o-mini, period: hourly, usd: 100000}",
)


class Cost(NamedTuple):
    """CPU microseconds of one request."""

    money: float
    log: float


@asynccontextmanager
async def _books(config: str) -> AsyncGenerator[State]:
    """A process that keeps books of its own and serves nobody."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "platform.yaml"
        file.write_text(config)
        given = {"EP_CONFIG": str(file), "EP_WORKSPACE_ROOT": folder, "EP_CONFIG_WATCH": "false"}
        state = State(Settings(environ=given))
        await state.bookkeeping.start()
        state.budgeting.start()
        steady(state)
        try:
            yield state
        finally:
            gc.unfreeze()
            await state.budgeting.stop()
            await state.bookkeeping.stop()


def _calls(state: State) -> list[tuple[Call, Attempt]]:
    """Requests that are admitted and routed, each with the answer its try will have."""
    made: list[tuple[Call, Attempt]] = []
    option = Option(state.snapshot.board.deployment(_TARGET.provider, _TARGET.model))
    for _ in range(_BATCH):
        call = Call(
            f"req_{state.books.ledger.new_id()}",
            Principal("bench"),
            dialect("openai_chat"),
            _BODY,
            Peek("gpt-4o-mini", max_tokens=100),
            state.snapshot,
            books=state.books,
            route=Route((_TARGET,)),
        )
        attempt = Attempt(_TARGET, "first", option, state.snapshot.board, 1, status="ok")
        attempt.metered.usage = Usage(230, 100)
        attempt.metered.committed = attempt.metered.finished = True
        call.outcome.run = Run(state.snapshot.board, winner=attempt)
        made.append((call, attempt))
    return made


async def _account(state: State, call: Call, attempt: Attempt) -> None:
    """One request's way through the books, as the kernel goes it."""
    reserver = state.books.reserver
    asked = None if reserver is None else reserver.ahead(call)
    if asked is not None:
        await asked
    waiting = state.books.begin(call, attempt).depart()
    if waiting is not None:
        await waiting
    call.outcome.adopt(attempt)
    settle(call)
    state.books.close(call)


async def _measure(config: str) -> Cost:
    """The least of some rounds: what else the machine does only adds to it."""
    async with _books(config) as state:
        outbox, log = state.bookkeeping.outbox, state.bookkeeping.requests
        assert outbox is not None
        rounds: list[Cost] = []
        for _ in range(1 + _ROUNDS):
            money = noted = 0.0
            for _ in range(_REQUESTS // _BATCH):
                calls = _calls(state)
                started = time.process_time()
                for call, attempt in calls:
                    await _account(state, call, attempt)
                await outbox.deliver()
                kept = time.process_time()
                for call, _ in calls:
                    log.add(call, 200, 0.01)
                await log.flush()
                money, noted = money + kept - started, noted + time.process_time() - kept
            rounds.append(Cost(money, noted))
        if outbox.progress.delivered != (1 + _ROUNDS) * _REQUESTS or outbox.progress.failures:
            raise RuntimeError(
                f"{outbox.progress.delivered} events were stored, {outbox.progress.failures} batches failed"
            )
    least = Cost(*map(min, zip(*rounds[1:], strict=True)))
    return Cost(*(seconds / _REQUESTS * 1e6 for seconds in least))


def cost(budgets: int) -> Cost:
    """CPU microseconds that the books add to a request which so many budgets bind, three at most."""
    lines = [f"    - {budget}\n" for budget in _BUDGETS[:budgets]]
    return asyncio.run(_measure("".join([_CONFIG, *(["budgets:\n  limits:\n"] if lines else []), *lines])))
