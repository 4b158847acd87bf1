"""Who may pass now: every limit of a request is taken, or none and the request is refused.

Without Redis the windows of this process decide. With Redis the windows are shared, and the steady state needs no round
trip: a task in the background keeps a small lease of every limit in use (see `meter.py`). When the lease does not do,
the request waits for one answer of Redis, together with all others that wait at that moment. When Redis does not answer,
the outage table says what follows: each replica takes its share of the limit, by its own clock, and says so.

A limiter never fails: whatever happens to Redis, the answer is yes or no.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.resources import files
from typing import Any, Literal

from execution_platform.config.outages import Action, Concern, Lost, when
from execution_platform.exceptions import RateLimited
from execution_platform.limits.meter import Held, Meter, Order, Waiting
from execution_platform.limits.rules import Rule
from execution_platform.limits.window import Ceiling
from execution_platform.replicas.link import RedisLink, Script, StoreDown, key

Mode = Literal["local", "shared", "degraded"]
TICK_SECONDS = 0.1
"""Pause between two rounds of leases."""
_MOST = 20_000
"""Limits that are kept at once."""
_ROUND = 128
"""Limits in one round trip."""
_KEY_LIMITS = "limit"
_DENIED = 1_000_000
"""Microseconds after which to come back where a limit that cannot be read denies."""


class Limit:
    """A rule with its meter, as a configuration binds them."""

    __slots__ = ("meter", "rule")

    def __init__(self, rule: Rule, meter: Meter) -> None:
        self.rule = rule
        self.meter = meter


class Admission:
    """What one request holds of its limits."""

    __slots__ = ("_limiter", "_tokens")

    def __init__(self, limiter: "Limiter", held: Sequence[Held]) -> None:
        self._limiter = limiter
        self._tokens = [each for each in held if each.meter.rule.unit == "tokens"]

    def settle(self, tokens: int) -> None:
        """The request used `tokens`: estimates are corrected."""
        if self._tokens:
            self._limiter.correct(self._tokens, tokens)


class Limiter:
    """The limits of one process. It outlives configurations; meters are found by scope, name and unit."""

    def __init__(
        self,
        link: RedisLink | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        server_clock: Callable[[], float] | None = None,
    ) -> None:
        """`clock` is monotonic; shared windows go by Redis' own clock unless `server_clock` is given. Both in seconds."""
        self._link = link
        self._clock = clock
        self._server_clock = server_clock
        self._meters: dict[tuple[str, str, str], Meter] = {}
        self._active: dict[int, Meter] = {}
        self._task: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._script = Script(files("execution_platform.limits").joinpath("window.lua").read_text(encoding="utf-8"))
        self._when_down = when(Lost.REDIS, Concern.RATE_LIMIT)
        self.configured = 1
        """Processes that share the limits, as the configuration says."""

    @property
    def mode(self) -> Mode:
        """Where decisions are taken now."""
        if self._link is None:
            return "local"
        return "shared" if self._link.up else "degraded"

    def bind(self, rule: Rule) -> Limit:
        """The meter of `rule`, made when it is first asked for."""
        found = self._meters.get((rule.scope, rule.name, rule.unit))
        if found is None:
            if len(self._meters) >= _MOST:
                self._forget()
            found = self._meters[rule.scope, rule.name, rule.unit] = Meter(rule)
        return Limit(rule, found)

    async def start(self) -> None:
        """Keep leases in the background, where there is something to share."""
        if self._link is not None:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Give back what is leased and end the background tasks."""
        tasks = [task for task in (self._task, self._asking) if task is not None]
        self._task = self._asking = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for meter in self._active.values():
            meter.returned.extend((batch.slot, batch.units) for batch in meter.batches)
            meter.batches.clear()
            meter.last_use = -(10**12)
        with suppress(StoreDown):
            await self._round(list(self._active.values()))

    async def admit(self, limits: Sequence[Limit], tokens: int) -> Admission:
        """Take a request and `tokens` of every limit. Raises `RateLimited`, and then holds nothing of them."""
        taken: list[Held] = []
        try:
            for limit in limits:
                cost = 1 if limit.rule.unit == "requests" else tokens
                now = int(self._clock() * 1_000_000)
                held = self._take(limit, cost, now)
                if held is None and self._must_ask(limit.meter, cost, now):
                    try:
                        held = await self._ask(limit.meter, cost)
                    except StoreDown:
                        held = self._take_down(limit, cost, int(self._clock() * 1_000_000))
                if held is None:
                    raise self._refusal(limit)
                taken.append(held)
        except BaseException:
            self.correct(taken, 0)
            raise
        return Admission(self, taken)

    def correct(self, held: Sequence[Held], actual: int) -> None:
        """Each of `held` used `actual` units in truth."""
        now = int(self._clock() * 1_000_000)
        for each in held:
            each.correct(now, actual, report=self._link is not None)
            if self._link is not None:
                self._activate(each.meter)

    def remaining(self, limit: Limit) -> int:
        """Units that are free, for the answer's headers."""
        shared = self.mode == "shared"
        now = int(self._clock() * 1_000_000)
        return limit.meter.remaining(now, shared=shared, ceiling=limit.rule.ceiling if shared else self._share(limit))

    def reset_seconds(self, limit: Limit) -> float:
        """Seconds until the whole limit is free again, by what this process let through."""
        return limit.meter.own.empty_at(int(self._clock() * 1_000_000)) / 1_000_000

    def share_of(self, limit: Limit) -> Ceiling:
        """What this process decides by: the whole limit, or its share where replicas cannot speak."""
        return limit.rule.ceiling if self.mode == "shared" else self._share(limit)

    def _share(self, limit: Limit) -> Ceiling:
        known = self._link.replicas if self._link is not None else 0
        return limit.rule.ceiling.share(max(known, self.configured))

    def _take(self, limit: Limit, cost: int, now: int) -> Held | None:
        """Without waiting; None when it is refused, or when Redis must be asked."""
        meter = limit.meter
        meter.rule = limit.rule
        link = self._link
        if link is None:
            return meter.take_own(now, self._share(limit), cost, report=False)
        if link.up:
            held = meter.spend(now, cost)
            if held is not None and id(meter) not in self._active:
                self._activate(meter)
            return held
        return self._take_down(limit, cost, now)

    def _take_down(self, limit: Limit, cost: int, now: int) -> Held | None:
        """Without Redis where there should be one: as the outage table says."""
        if self._when_down.action is Action.DENY:
            limit.meter.retry_at = now + _DENIED
            return None
        ceiling = limit.rule.ceiling if self._when_down.action is Action.NORMAL else self._share(limit)
        return limit.meter.take_own(now, ceiling, cost, report=True)

    def _must_ask(self, meter: Meter, cost: int, now: int) -> bool:
        """Whether Redis may grant what the lease does not hold; what it has just refused it would refuse again."""
        if self._link is None or not self._link.up:
            return False
        return now >= meter.denied_until or cost < meter.denied_cost

    async def _ask(self, meter: Meter, cost: int) -> Held | None:
        """Wait for the next round; what it grants to this request."""
        waiting = Waiting(cost, asyncio.get_running_loop().create_future())
        meter.waiting.append(waiting)
        self._activate(meter)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._answer())
        try:
            return await waiting.answered
        except asyncio.CancelledError:
            if waiting.answered.done() and not waiting.answered.cancelled():
                held = waiting.answered.result()
                if held is not None:
                    self.correct([held], 0)
            raise

    async def _answer(self) -> None:
        """Round after round, until nobody waits."""
        while asked := [meter for meter in self._active.values() if meter.waiting][:_ROUND]:
            with suppress(StoreDown):  # Those who waited have been told, and go by the local share.
                await self._round(asked)

    async def _run(self) -> None:
        while True:
            await self._woken.wait()
            await asyncio.sleep(TICK_SECONDS)
            await self.renew()

    async def renew(self) -> None:
        """Renew the leases of all limits in use, and tell what Redis does not know."""
        now = int(self._clock() * 1_000_000)
        for meter in list(self._active.values()):
            if meter.quiet and not meter.wanted(now):
                del self._active[id(meter)]
        if not self._active:
            self._woken.clear()
        meters = list(self._active.values())
        for first in range(0, len(meters), _ROUND):
            with suppress(StoreDown):  # The link says so to whoever asks; leases run out by themselves.
                await self._round(meters[first : first + _ROUND])

    async def _round(self, meters: Sequence[Meter]) -> None:
        """One round trip for `meters`. Raises `StoreDown`."""
        if self._link is None or not meters:
            return
        now = int(self._clock() * 1_000_000)
        orders = [meter.order(now, int(TICK_SECONDS * 1_000_000)) for meter in meters]
        words: list[str | int] = ["" if self._server_clock is None else int(self._server_clock() * 1_000_000)]
        for meter, order in zip(meters, orders, strict=True):
            words += _words(meter, order)
        keys = [key(_KEY_LIMITS, meter.rule.scope, meter.rule.unit, meter.rule.name) for meter in meters]
        answers: list[Any] = []
        try:
            answers = await self._link.run(self._script, keys, words)
        finally:
            now = int(self._clock() * 1_000_000)
            if answers:
                for meter, order, answer in zip(meters, orders, answers, strict=True):
                    meter.filled(order, tuple(answer), now)
            else:
                for meter, order in zip(meters, orders, strict=True):
                    meter.failed(order)

    def _activate(self, meter: Meter) -> None:
        if id(meter) not in self._active:
            self._active[id(meter)] = meter
            self._woken.set()

    def _forget(self) -> None:
        """Drop the limit that was made first among those nobody uses."""
        for name, meter in self._meters.items():
            if id(meter) not in self._active:
                del self._meters[name]
                return

    def _refusal(self, limit: Limit) -> RateLimited:
        now = int(self._clock() * 1_000_000)
        seconds = max(0.001, (limit.meter.retry_at - now) / 1_000_000)
        whose = "this replica's share of " if self.mode == "degraded" else ""
        return RateLimited(
            f"{whose}the limit of {limit.rule} is used up; try again in {seconds:.3g} s", retry_after=seconds
        )


def _words(meter: Meter, order: Order) -> list[str | int]:
    ceiling = meter.rule.ceiling
    words: list[str | int] = [ceiling.limit, ceiling.burst, order.want, order.least, meter.birth, len(order.returned)]
    for slot, units in order.returned:
        words += (slot, units)
    words.append(len(order.owed))
    for age, units in order.owed:
        words += (age, units)
    return words
