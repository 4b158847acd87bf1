"""Admission of a try: what it can cost at most is held in every budget that binds it, before anything leaves.

The common case costs almost nothing: without budgets there is nothing to hold, and with them the worst case comes out of memory.
Only where memory does not suffice is the prompt counted exactly and the database asked; and only where the database has no
room does the budget's policy speak: stop, a cheaper chain, or a pause until somebody approves.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from execution_platform.catalog.prices import remedy
from execution_platform.config.outages import Concern, Lost, when
from execution_platform.exceptions import BudgetExceeded, ErrorKind, PriceUnknown
from execution_platform.ledger.accounts import Refused
from execution_platform.ledger.budgets import Amount, Bound, Rules, Subjects, describe
from execution_platform.ledger.estimate import FREE_CARD, OTHER_TOKENIZERS, RateCard, Tokens, rough_tokens, tokenizer
from execution_platform.ledger.keeper import Keeper
from execution_platform.ledger.leases import Hold
from execution_platform.ledger.money import to_usd
from execution_platform.ledger.periods import FOREVER
from execution_platform.router.target import Target
from execution_platform.runtime.call import Call
from execution_platform.runtime.estimate import count_tokens
from execution_platform.runtime.marks import contains, contains_any
from execution_platform.runtime.request import canonical

_IN_THREAD = 64 * 1024
"""Bodies from here on are counted off the event loop."""
_ASK_SECONDS = 1.0
_MOST_WAITING = 1000
_TERMS = (b'"service_tier"', b'"serviceTier"', b'"speed"', b'"inference_geo"', b'"region"')
"""Settings by which a caller chooses another price."""
_MEDIA_WORDS = (b"image", b"audio", b"video/", b"/pdf")
"""Without one of these there is none of the marks."""
_MEDIA_MARKS = (b'"image', b'"input_audio', b"image/", b"audio/", b"video/", b"/pdf")


class Breach(BudgetExceeded):
    """A budget without room for a request. Terminal for the caller: asking again changes nothing before the period ends.

    `downgrade_to` names the model or logical model that may still fit.
    """

    def __init__(self, refused: Refused, *, downgrade_to: str | None = None, seconds_left: float | None = None) -> None:
        """`seconds_left` is the time to the end of the window, where it has one."""
        bound, need = refused.bound, refused.need
        account = describe(bound.scope, bound.period)
        what = f"${to_usd(need.nanos):.6f}" if refused.lacks_money else f"{need.tokens} tokens"
        until = "" if refused.window.end == FOREVER else f" until {_moment(refused.window.end)}"
        super().__init__(
            f"{account} has no room for this request{until}: it may come to {what}; lower its max_tokens or have the budget raised",
            code="cost_budget_exceeded" if refused.lacks_money else "token_budget_exceeded",
        )
        if not refused.lacks_money:
            self.kind = ErrorKind.RATE_LIMIT
            self.retry_after = seconds_left
        self.refused = refused
        self.downgrade_to = downgrade_to


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


class Reservation(NamedTuple):
    """What a try may come to, and what is held for it."""

    tokens: Tokens
    card: RateCard
    hold: Hold | None
    """None when no budget binds the try: then nobody has counted what it may come to."""


_UNBOUND = Reservation(Tokens(0, 0), FREE_CARD, None)


class Ahead(NamedTuple):
    """A reservation for a target that has not been tried yet."""

    target: Target
    reservation: Reservation

    def release(self) -> None:
        """Give it back unused."""
        if self.reservation.hold is not None:
            self.reservation.hold.release()


class Waiting(NamedTuple):
    """A request that is held until somebody approves more."""

    request_id: str
    bound: Bound
    need: Amount
    since: float


class Reserver:
    """Reserves for the tries of one process."""

    def __init__(self, keeper: Keeper, refused: Callable[[Refused], None]) -> None:
        """`refused` is told of every request that a budget has no room for."""
        self.keeper = keeper
        self.refused = refused
        self._loading = asyncio.Lock()
        self.waiting: dict[str, Waiting] = {}
        """Requests that are held for an approval, by id."""

    def ahead(self, call: Call) -> Awaitable[None] | None:
        """Reserve for the first target before any time of an upstream runs; to be awaited if anything is returned.

        Then the database is asked, and what a budget without room says is done: pause, or turn to a cheaper chain. Raises
        `Breach`, `StorageUnavailable`.
        """
        if call.route is None:
            return None
        target = call.route.targets[0]
        try:
            found = self.take(call, target)
        except PriceUnknown:
            return None  # the next target may have a price; the tries will tell
        if found is None:
            return self._ask_ahead(call, target)
        if found.hold is not None:
            call.ahead = Ahead(target, found)
        return None

    async def _ask_ahead(self, call: Call, target: Target) -> None:
        try:
            call.ahead = Ahead(target, await self.ask(call, target, patient=True))
        except PriceUnknown:
            return
        except Breach as breach:
            if not downgraded(call, breach):
                raise
            asked = self.ahead(call)
            if asked is not None:
                await asked

    def claim(self, call: Call, target: Target) -> Reservation | None:
        """What was reserved ahead for this target, once; else `take`. Raises `PriceUnknown`."""
        ahead = call.ahead
        if ahead is not None:
            call.ahead = None
            if ahead.target is target or ahead.target == target:
                return ahead.reservation
            ahead.release()
        return self.take(call, target)

    def take(self, call: Call, target: Target) -> Reservation | None:
        """Hold the worst case of sending `call` to `target` out of memory; None where `ask` must be asked.

        Raises `PriceUnknown`; where nothing is held the books see to that, who need the price anyway.
        """
        bounds = binding(self.keeper.rules, call, target)
        if not bounds:
            return _UNBOUND
        tokens, card = priced(call, target)
        hold = self.keeper.take(bounds, Amount(card.nanos(tokens), tokens.total))
        return None if hold is None else Reservation(tokens, card, hold)

    async def ask(self, call: Call, target: Target, *, patient: bool = False) -> Reservation:
        """The same with the database and an exact count of the prompt; if `patient`, pausing where a budget says so.

        Raises `Breach`, `StorageUnavailable`, `PriceUnknown`.
        """
        tokens, card = priced(call, target)
        bounds = binding(self.keeper.rules, call, target)
        is_exact = False
        while True:
            found = await self.keeper.hold(bounds, Amount(card.nanos(tokens), tokens.total))
            if isinstance(found, Hold):
                self.waiting.pop(call.id, None)
                return Reservation(tokens, card, found)
            if not is_exact:
                is_exact = True
                counted = await self.counted_prompt(call)
                if counted < tokens.input:
                    call.prompt_tokens = counted
                    tokens = tokens._replace(input=counted)
                    continue
            policy = found.bound.on_breach
            if patient and policy == "pause" and await self._approved(call, found):
                continue
            self.refused(found)
            downgrade_to = found.bound.downgrade_to if policy == "downgrade" else None
            raise Breach(found, downgrade_to=downgrade_to, seconds_left=self.keeper.seconds_left(found.window))

    async def counted_prompt(self, call: Call) -> int:
        """The prompt's tokens by a tokenizer, with a margin for those of other vendors; the rough bound without one."""
        async with self._loading:
            counter = await asyncio.to_thread(tokenizer)
        if counter is None or call.operation != "chat":
            return call.prompt_tokens
        request = canonical(call)
        if len(call.body) > _IN_THREAD:
            tokens = await asyncio.to_thread(count_tokens, request, counter.count)
        else:
            tokens = count_tokens(request, counter.count)
        return min(int(tokens * OTHER_TOKENIZERS), call.prompt_tokens)

    async def _approved(self, call: Call, refused: Refused) -> bool:
        """Wait a little for an approval; False when the request has waited long enough."""
        limit = call.snapshot.config.spending.pause_seconds
        waiting = self.waiting.get(call.id)
        if waiting is None:
            if len(self.waiting) >= _MOST_WAITING:
                return False
            waiting = self.waiting[call.id] = Waiting(call.id, refused.bound, refused.need, time.monotonic())
        loop = asyncio.get_running_loop()
        patience = waiting.since + limit - time.monotonic()
        if call.deadline is not None:
            patience = min(patience, call.deadline - loop.time())
        if patience <= 0:
            del self.waiting[call.id]
            return False
        try:
            await asyncio.sleep(min(_ASK_SECONDS, patience))
        except asyncio.CancelledError:
            self.waiting.pop(call.id, None)
            raise
        return True


def downgraded(call: Call, breach: Breach) -> bool:
    """Route `call` to the cheaper chain that the breached budget names; False when it names none, or was followed already."""
    if breach.downgrade_to is None or call.downgraded is not None:
        return False
    persona = call.route.persona if call.route is not None else None
    call.route = replace(call.snapshot.routing.route(breach.downgrade_to), persona=persona)
    call.downgraded = breach.refused.bound.scope
    return True


def priced(call: Call, target: Target) -> tuple[Tokens, RateCard]:
    """What `call` may come to at `target`, and what that may cost. Raises `PriceUnknown`."""
    tokens = sized(call, target)
    card = call.snapshot.cards.card(target.provider, target.model, tokens.input, special=tokens.special)
    if card is None:
        raise unpriced(target)
    return tokens, card


def unpriced(target: Target) -> PriceUnknown:
    """Refuses a target whose price nobody knows."""
    return PriceUnknown(
        f"the price of {target} is not known, so its use cannot be accounted for: "
        f"{remedy(target.provider, target.model)}",
        code=when(Lost.PRICE, Concern.BUDGET).code,
    )


def binding(rules: Rules, call: Call, target: Target) -> Sequence[Bound]:
    """The budgets that a try of `call` at `target` must obey."""
    route = call.route
    persona = route.persona.name if route is not None and route.persona is not None else ""
    if not rules.may_bind(persona):
        return ()
    principal = call.principal
    who = Subjects(principal.tenant, principal.subject, principal.team, persona, call.run)
    bounds = rules.binding(who)
    models = rules.binding_model(target.provider, target.model)
    return bounds if not models else (*bounds, *models)


def sized(call: Call, target: Target) -> Tokens:
    """What `call` may come to at `target`, by its bytes and its limits."""
    body = call.body
    if call.prompt_tokens == 0:
        call.prompt_tokens = rough_prompt(call)
    cached = contains(body, b"cache")
    if call.operation != "chat":
        return Tokens(call.prompt_tokens, 0, cached)
    return Tokens(
        call.prompt_tokens,
        output_limit(call, target),
        cached,
        contains(body, b"audio"),
        call.peek.has_tools and contains(body, b"search"),
        contains_any(body, _TERMS),
    )


def rough_prompt(call: Call) -> int:
    """The prompt's tokens at most, by its bytes; media that is only referred to counts by its kind."""
    tokens = rough_tokens(call.body)
    persona = call.route.persona if call.route is not None else None
    if persona is not None and persona.system:
        tokens += len(persona.system)
    if contains_any(call.body, _MEDIA_WORDS):
        tokens += sum(map(call.body.count, _MEDIA_MARKS)) * 5000
    return tokens


def output_limit(call: Call, target: Target) -> int:
    """Output tokens held back: the request's own limit, else the persona's, else the model's or what is assumed, for each answer."""
    peek = call.peek
    persona = call.route.persona if call.route is not None else None
    most = call.snapshot.profile(target).max_output_tokens
    limit = peek.max_tokens
    if limit is None and persona is not None:
        limit = persona.max_tokens
    if limit is None:
        assumed = call.snapshot.config.spending.assume_output_tokens
        limit = assumed if most is None else min(most, assumed)
    elif most is not None:
        limit = min(limit, most)
    return max(1, limit) * max(1, peek.n)
