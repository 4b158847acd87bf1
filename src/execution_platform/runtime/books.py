"""A call's entries in the books: every try that leaves has one, whatever becomes of it.

Theory of operation
-------------------
`Books.begin` makes a `Try` for every exchange with a provider. The provider calls `depart` at the last moment before the
first byte, which records the dispatch; a try that never departed has no entry. How a try ended is known when the next one
begins or when the call is closed, and is settled then: exactly one try of a call is final.

What a try cost is what the provider reported, at the price of the moment. Where it reported nothing, because the client
left, the answer broke off or the process died, it is counted from what came: the deltas of the answer, and how many tokens
such a delta holds, from the last read. That is always flagged `estimated`. A try that was refused, or never got through,
costs nothing; one that timed out may have been worked on, so its prompt is billed, flagged.

While answers stream, a ticker writes a checkpoint for each at least every two seconds or 256 tokens; the loop that relays
bytes only counts.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace

from execution_platform.dialects.base import Metered
from execution_platform.exceptions import ErrorKind, ExecutionPlatformError, ProviderError
from execution_platform.ledger.budgets import NOTHING
from execution_platform.ledger.interfaces import (
    Account,
    Checkpoint,
    Counts,
    Dispatch,
    EventStatus,
    Ledger,
    NullLedger,
    Settlement,
    StorageUnavailable,
    now,
)
from execution_platform.router.attempt import Attempt
from execution_platform.router.target import Target
from execution_platform.runtime.admit import Reservation, Reserver, unpriced
from execution_platform.runtime.call import Call
from execution_platform.runtime.estimate import estimate_tokens
from execution_platform.runtime.partial import tokens_so_far
from execution_platform.runtime.request import decoded
from execution_platform.spi.usage import Confidence, Cost, Usage

TICK_SECONDS = 0.5
CHECKPOINT_SECONDS = 1.0
CHECKPOINT_TOKENS = 256
_BYTES_A_TOKEN = 4
_LARGEST = 2**62
_UNKNOWN = -1
_FREE = frozenset({"count"})
"""Operations no vendor charges for."""
_OVER = frozenset({"failed", "cut", "hedge_loser"})
"""States of a try that another one follows."""
_MAYBE_WORKED_ON = frozenset(
    {ErrorKind.TIMEOUT, ErrorKind.CONNECTION, ErrorKind.PROTOCOL, ErrorKind.CANCELLED, ErrorKind.UNKNOWN}
)
"""Failures after which the provider may have read the prompt all the same."""


class Try:
    """One exchange with a provider on its way through the books."""

    __slots__ = ("attempt", "books", "call", "departed", "id", "marked", "number", "reservation", "settled", "ticks")

    def __init__(self, books: "Books", call: Call, attempt: Attempt, number: int) -> None:
        self.books = books
        self.call = call
        self.attempt = attempt
        self.number = number
        self.id = ""
        self.departed = False
        self.settled = False
        self.reservation: Reservation | None = None
        """What is held for this try in the budgets, once it has departed."""
        self.marked = 0
        """Deltas that had come at its last checkpoint."""
        self.ticks = 0
        """Rounds of the ticker since then."""

    @property
    def target(self) -> Target:
        """Where it goes."""
        return self.attempt.target

    def depart(self) -> Awaitable[None] | None:
        """Reserve and record the dispatch; to be awaited if anything is returned.

        Raises `BudgetExceeded`, `PriceUnknown`, `StorageUnavailable`: then nothing may leave.
        """
        if self.departed:
            return None
        reserver = self.books.reserver
        if reserver is None or self.call.operation in _FREE:
            return self._leave()
        self.reservation = reserver.claim(self.call, self.target)
        return self._leave() if self.reservation is not None else self._leave_later(reserver)

    async def _leave_later(self, reserver: Reserver) -> None:
        self.reservation = await reserver.ask(self.call, self.target)
        durable = self._leave()
        if durable is not None:
            await durable

    def _leave(self) -> Awaitable[None] | None:
        books, reservation = self.books, self.reservation
        ledger = books.ledger
        self.id = ledger.new_id()
        hold = reservation.hold if reservation is not None else None
        try:
            dispatch = books.dispatch_of(self)
            if reservation is not None and hold is None and self.attempt.quote is None:
                raise unpriced(self.target)
            ledger.dispatch(dispatch)
        except StorageUnavailable:
            if hold is not None:
                hold.release()
            raise
        self.departed = True
        books.running[self.id] = self
        if hold is not None and books.reserver is not None:
            books.reserver.keeper.attach(self.id, hold)
        return ledger.durable() if ledger.waits else None


class Books:
    """What the kernel tells the ledger. One per process."""

    def __init__(self, ledger: Ledger | None = None) -> None:
        self.ledger: Ledger = ledger if ledger is not None else NullLedger()
        self.reserver: Reserver | None = None
        """Who reserves in the budgets; None where there are none."""
        self.running: dict[str, Try] = {}
        """Tries that have left and are not settled, by id: the ticker writes their checkpoints."""
        self._ticker: asyncio.Task[None] | None = None

    def begin(self, call: Call, attempt: Attempt) -> Try:
        """The next try of `call`. Tries before it that are over are settled: they are not the final one."""
        tries = call.outcome.tries
        for earlier in tries:
            if earlier.departed and not earlier.settled and earlier.attempt.status in _OVER:
                self._settle(earlier, final=False)
        made = Try(self, call, attempt, len(tries) + 1)
        tries.append(made)
        return made

    def answered(self, call: Call) -> None:
        """`call` has its answer in full, and what that used: it is settled now, and not when all of it is sent."""
        metered = call.outcome.metered
        for one in call.outcome.tries:
            if one.attempt.metered is metered:
                if one.departed and not one.settled and metered.usage is not None:
                    self._settle(one, final=True)
                return

    def close(self, call: Call) -> None:
        """The call is over, in whatever way: settle what is not settled yet, one of its tries as the final one."""
        if call.ahead is not None:
            call.ahead.release()
            call.ahead = None
        tries = call.outcome.tries
        if not tries:
            return
        left = [each for each in tries if each.departed and not each.settled]
        if left:
            last = _final(call, tries)
            for each in left:
                self._settle(each, final=each is last)
        # A try knows its call: the two would keep each other, and the request's body, until the collector comes by.
        tries.clear()

    def dispatch_of(self, one: Try) -> Dispatch:
        """The record of a try that is about to leave."""
        call, attempt = one.call, one.attempt
        target = attempt.target
        account = call.outcome.account
        if account is None:
            account = call.outcome.account = account_of(call)
        at = now()
        quote = attempt.quote = call.snapshot.prices.quote(target.provider, target.model, at)
        hold = None if one.reservation is None else one.reservation.hold
        held = NOTHING if hold is None else hold.total
        if quote is None:
            input_rate, output_rate, version = _UNKNOWN, _UNKNOWN, ""
        else:
            rates, version = quote.price.rates, quote.version
            input_rate, output_rate = rates.input, rates.output
        return Dispatch(
            one.id,
            account,
            target.provider,
            target.model,
            one.number,
            "shadow" if call.shadow_of is not None else target.arm or "",
            held.nanos,
            held.tokens,
            len(call.body) // _BYTES_A_TOKEN,
            input_rate,
            output_rate,
            version,
            at,
        )

    def _settle(self, one: Try, *, final: bool) -> None:
        one.settled = True
        self.running.pop(one.id, None)
        call, attempt = one.call, one.attempt
        metered, error = attempt.metered, attempt.error
        if call.operation in _FREE:
            counts, nanos, confidence = Counts(), 0, "metered"
        elif metered.finished and metered.usage is not None:
            counts, nanos, confidence = self._reported(one, metered.usage)
        elif metered.finished or metered.committed:
            counts, nanos, confidence = self._counted(one, metered)
        else:
            counts, nanos, confidence = self._unanswered(one)
        status = _status(one, final=final)
        error = error if error is not None else call.outcome.error
        code = error.code if error is not None and status not in {"ok", "aborted"} else None
        self.ledger.settle(Settlement(one.id, status, nanos, confidence, final, counts, code, now()))

    def _reported(self, one: Try, usage: Usage) -> tuple[Counts, int, Confidence]:
        """The provider's own numbers, at the price of the moment the try left."""
        outcome = one.call.outcome
        is_answer = one.attempt.metered is outcome.metered
        cost = outcome.cost if is_answer else None
        if cost is None:
            cost = _cost(one, usage)
            if is_answer:
                outcome.cost = cost
        if cost is None:
            return counts_of(usage), 0, "unpriced"
        return counts_of(usage), _whole(cost.nanos), cost.confidence

    def _counted(self, one: Try, metered: Metered) -> tuple[Counts, int, Confidence]:
        """An answer whose end nobody told: what came of it."""
        told = metered.usage or Usage()
        estimate = replace(
            told,
            input_tokens=self._prompt(one.call) if told.input_tokens is None else told.input_tokens,
            output_tokens=max(told.completion_tokens, tokens_so_far(metered, one.call.dialect)),
            cost_usd=None,
            estimated=True,
        )
        return self._reported_as_estimate(one, estimate)

    def _unanswered(self, one: Try) -> tuple[Counts, int, Confidence]:
        """A try without an answer: free when the provider refused it or never got it."""
        error = one.attempt.error
        if isinstance(error, ProviderError):
            refused = error.upstream_status is not None and error.upstream_status >= 400
            if error.never_sent or refused or error.kind not in _MAYBE_WORKED_ON:
                return Counts(), 0, "metered"
        return self._reported_as_estimate(one, Usage(self._prompt(one.call), 0, estimated=True))

    def _reported_as_estimate(self, one: Try, usage: Usage) -> tuple[Counts, int, Confidence]:
        cost = _cost(one, usage)
        if cost is None:
            return counts_of(usage), 0, "unpriced"
        return counts_of(usage), _whole(cost.nanos), "estimated"

    def _prompt(self, call: Call) -> int:
        """Input tokens by our own count."""
        if call.operation != "chat":
            return len(call.body) // _BYTES_A_TOKEN
        try:
            return estimate_tokens(decoded(call))
        except ExecutionPlatformError:
            return len(call.body) // _BYTES_A_TOKEN

    # Checkpoints

    def start(self) -> None:
        """Begin to write checkpoints."""
        self._ticker = asyncio.get_running_loop().create_task(self._tick())

    async def stop(self) -> None:
        """Stop writing checkpoints."""
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
            self._ticker = None

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._check_all()

    def _check_all(self) -> None:
        # Not in the coroutine: its variable would hold the last try, and the request, until another one runs.
        for one in tuple(self.running.values()):
            one.ticks += 1
            self.check(one)

    def check(self, one: Try) -> None:
        """Write a checkpoint for an answer that has grown enough, or for long enough."""
        metered = one.attempt.metered
        if metered.deltas == one.marked:
            return
        grown = metered.deltas - one.marked
        if grown < CHECKPOINT_TOKENS and one.ticks * TICK_SECONDS < CHECKPOINT_SECONDS:
            return
        one.ticks, one.marked = 0, metered.deltas
        usage = metered.usage
        prompt = None if usage is None else usage.input_tokens
        self.ledger.checkpoint(Checkpoint(one.id, tokens_so_far(metered, one.call.dialect), prompt))


def _final(call: Call, tries: Sequence[Try]) -> Try | None:
    """The try that ends the call: the one that answered, else the last that was not given up for another."""
    run = call.outcome.run
    winner = None if run is None else run.winner
    if len(tries) == 1 and tries[0].attempt is winner and not tries[0].settled:
        return tries[0]
    departed = [each for each in tries if each.departed]
    if any(each.settled and each.attempt is winner for each in departed):
        return None  # settled when its answer was complete
    found = next((each for each in departed if each.attempt is winner), None)
    return found or next((each for each in reversed(departed) if each.attempt.status != "hedge_loser"), None)


def _status(one: Try, *, final: bool) -> EventStatus:
    attempt = one.attempt
    if one.call.shadow_of is not None:
        return "shadow"
    if attempt.status in {"hedge_loser", "cut"}:
        return "hedge_loser" if attempt.status == "hedge_loser" else "cut"
    if attempt.status == "failed":
        return "failed" if final else "retried"
    if attempt.metered.finished:
        return "aborted" if attempt.was_left else "ok"
    return "cut" if one.call.outcome.error is not None else "aborted"


def account_of(call: Call) -> Account:
    """Who pays for `call`."""
    principal, route = call.principal, call.route
    persona = route.persona.name if route is not None and route.persona is not None else ""
    return Account(
        call.id,
        principal.tenant,
        principal.subject,
        persona,
        call.run,
        call.operation,
        call.snapshot.version,
        principal.team,
    )


def counts_of(usage: Usage) -> Counts:
    """The columns of a usage. A provider's nonsense is cut to what a column holds: no negative number gives money back."""
    if not (
        usage.cache_read_tokens
        or usage.cache_write_tokens
        or usage.reasoning_tokens
        or usage.input_audio_tokens
        or usage.output_audio_tokens
        or usage.units
        or usage.cache_write_by_ttl
    ):
        return Counts(_whole(usage.input_tokens), _whole(usage.output_tokens))
    return Counts(
        _whole(usage.input_tokens),
        _whole(usage.output_tokens),
        _whole(usage.cache_read_tokens),
        _whole(usage.cache_write_tokens),
        _whole(usage.cache_write_by_ttl.get("1h")),
        _whole(usage.reasoning_tokens),
        _whole(usage.input_audio_tokens),
        _whole(usage.output_audio_tokens),
        {name: _whole(count) for name, count in usage.units.items()} or None,
    )


def _whole(value: int | None) -> int:
    return 0 if value is None or value < 0 else min(value, _LARGEST)


def _cost(one: Try, usage: Usage) -> Cost | None:
    """What `usage` costs at the price of the moment the try left."""
    quote = one.attempt.quote
    return None if quote is None else quote.cost(usage)
