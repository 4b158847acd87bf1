"""One limit as one process sees it: its own share of the books, and what it leases of a shared window.

A lease is a batch of units that the shared window has granted and that nobody has used. It may be spent for one slot
(234 ms) after it was asked for, and the shared window counts one slot more than a minute, so that leases of any size
never let more than the limit through in any 60 seconds. What is left of an expired batch is given back to its slot.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from execution_platform.limits.rules import Rule
from execution_platform.limits.window import SLOT, SPAN, Ceiling, Window
from execution_platform.replicas.link import StoreDown

LEASE = SLOT
"""Microseconds a batch may be spent, from before it was asked for."""
_ACTIVE = 2_000_000
"""Microseconds after the last use for which a unit is held ready."""


class Batch:
    """Units granted together."""

    __slots__ = ("expires", "slot", "units")

    def __init__(self, slot: int, units: int, expires: int) -> None:
        self.slot = slot
        self.units = units
        self.expires = expires


@dataclass(slots=True)
class Waiting:
    """A request that waits for the shared window's answer."""

    cost: int
    answered: "asyncio.Future[Held | None]"


@dataclass(slots=True)
class Order:
    """What is asked of the shared window for one limit, and what is told to it."""

    want: int
    least: int
    returned: list[tuple[int, int]]
    """Units given back, by shared slot."""
    owed: list[tuple[int, int]]
    """Units used without asking, by age in slots."""
    sent: int
    taken: dict[int, int] = field(default_factory=dict[int, int])
    """What `owed` was made from, for the case that it never arrives."""


class Meter:
    """The state of one limit in this process."""

    __slots__ = (
        "batches",
        "birth",
        "demand",
        "denied_cost",
        "denied_until",
        "last_cost",
        "last_use",
        "measured_at",
        "owed",
        "own",
        "retry_at",
        "returned",
        "rule",
        "shared_used",
        "spent",
        "waiting",
    )

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.own = Window()
        """What this process let through, by its own clock; also the window of the local share."""
        self.batches: deque[Batch] = deque()
        self.returned: list[tuple[int, int]] = []
        self.owed: dict[int, int] = {}
        """Units used that the shared window does not know of, by own slot."""
        self.waiting: list[Waiting] = []
        self.shared_used = 0
        self.birth = 0
        """When the shared window began that we know of."""
        self.denied_until = 0
        self.denied_cost = 0
        """The fewest units that were refused; fewer may be asked for at once."""
        self.retry_at = 0
        self.last_use = -_ACTIVE
        self.last_cost = 1
        self.spent = 0
        """Units used since the last order."""
        self.measured_at = 0
        self.demand = 0.0
        """Units used between two rounds, as a moving average that rises at once."""

    # The local share

    def take_own(self, now: int, ceiling: Ceiling, cost: int, *, report: bool) -> "Held | None":
        """Take `cost` of the local share; None when it is used up, and `retry_at` says until when."""
        verdict = self.own.take(now, ceiling, cost, cost)
        if not verdict.granted:
            self.retry_at = now + verdict.wait
            return None
        if report:
            self.owed[verdict.slot] = self.owed.get(verdict.slot, 0) + cost
        return Held(self, cost, verdict.slot, None)

    # The lease

    def spend(self, now: int, cost: int) -> "Held | None":
        """Take `cost` of what is leased; None when that is not enough."""
        batches = self.batches
        while batches and batches[0].expires <= now:
            self._expire(batches.popleft())
        if not batches:
            return None
        first = batches[0]
        slot = first.slot
        if first.units > cost:
            first.units -= cost
        elif not self._spend_many(cost):
            return None
        self.spent += cost
        self.last_use, self.last_cost = now, cost
        return Held(self, cost, self.own.owe(now, 0, cost, self.rule.ceiling), slot)

    def _spend_many(self, cost: int) -> bool:
        """Take `cost` of several batches; those that are used up go."""
        batches = self.batches
        if sum(batch.units for batch in batches) < cost:
            return False
        while cost:
            first = batches[0]
            part = min(cost, first.units)
            first.units -= part
            cost -= part
            if not first.units:
                batches.popleft()
        return True

    def _expire(self, batch: Batch) -> None:
        if batch.units:
            self.returned.append((batch.slot, batch.units))

    def order(self, now: int, ahead: int) -> Order:
        """What to ask for now, so that it lasts until the order after the next, `ahead` microseconds away."""
        self._measure(now, ahead)
        while self.batches and self.batches[0].expires <= now:
            self._expire(self.batches.popleft())
        lasting = sum(batch.units for batch in self.batches if batch.expires > now + ahead)
        asked = sum(each.cost for each in self.waiting)
        returned, self.returned = self.returned, []
        taken, self.owed = self.owed, {}
        slot = now // SLOT
        owed = [(slot - at, units) for at, units in taken.items() if 0 <= slot - at < SPAN and units > 0]
        want = max(0, self._ready(now) - lasting) + asked
        least = min((each.cost for each in self.waiting), default=0)
        return Order(want, least, returned, owed, now, taken)

    def _measure(self, now: int, ahead: int) -> None:
        """Follow how much is used in `ahead` microseconds; rounds in between tell too little."""
        elapsed = now - self.measured_at
        if elapsed < ahead // 2:
            return
        rate = self.spent * ahead / elapsed
        self.demand = max(rate, 0.7 * self.demand + 0.3 * rate)
        self.spent, self.measured_at = 0, now

    def _ready(self, now: int) -> int:
        """Units to hold ready: two rounds of what is used, at least one request's, and little of what others could need."""
        if now - self.last_use >= _ACTIVE:
            return 0
        limit = self.rule.ceiling.limit
        ready = max(round(2 * self.demand), self.last_cost)
        return min(ready, limit // 20, max(0, (limit - self.shared_used) // 4))

    def filled(self, order: Order, answer: "tuple[int, int, int, int, int]", now: int) -> None:
        """The shared window's answer to `order`: granted, slot, used, wait in microseconds, birth."""
        granted, slot, used, wait, birth = answer
        self.shared_used = used
        if birth != self.birth:
            if self.birth:
                self._contribute(order)
            self.birth = birth
        if granted:
            self.batches.append(Batch(slot, granted, order.sent + LEASE))
        waiting, self.waiting = self.waiting, []
        short = False
        for each in waiting:
            if each.answered.done():
                continue
            held = self.spend(now, each.cost)
            short = short or held is None
            each.answered.set_result(held)
        if short or granted < order.want:
            self.retry_at = now + max(wait, LEASE // 2)
        if short:
            self.denied_until = now + min(max(wait, 1), LEASE // 2)
            self.denied_cost = order.least

    def failed(self, order: Order) -> None:
        """No answer came. What is owed is told again; what was given back is not, since it may have arrived."""
        for slot, units in order.taken.items():
            self.owed[slot] = self.owed.get(slot, 0) + units
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            if not each.answered.done():
                each.answered.set_exception(StoreDown("no answer"))

    def _contribute(self, order: Order) -> None:
        """Redis has lost the shared window: tell it what we let through before. Leases went with it."""
        self.returned.clear()
        self.batches.clear()
        for slot, units in self.own.slots.items():
            unknown = units - order.taken.get(slot, 0) - self.owed.get(slot, 0)
            if unknown > 0:
                self.owed[slot] = self.owed.get(slot, 0) + unknown

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to ask and nothing to tell."""
        return not (self.batches or self.returned or self.owed or self.waiting)

    def wanted(self, now: int) -> bool:
        """Whether somebody used it lately."""
        return now - self.last_use < _ACTIVE

    # What callers are told

    def remaining(self, now: int, *, shared: bool, ceiling: Ceiling) -> int:
        """Units that would be granted at once, as far as this process knows."""
        if not shared:
            return self.own.room(now, ceiling)
        leased = sum(batch.units for batch in self.batches)
        return max(0, min(ceiling.limit, ceiling.burst, ceiling.limit - self.shared_used + leased))


class Held:
    """Units that were taken for one request."""

    __slots__ = ("cost", "meter", "own_slot", "shared_slot")

    def __init__(self, meter: Meter, cost: int, own_slot: int, shared_slot: int | None) -> None:
        self.meter = meter
        self.cost = cost
        self.own_slot = own_slot
        self.shared_slot = shared_slot

    def correct(self, now: int, actual: int, *, report: bool) -> None:
        """What was really used is `actual`: give the rest back, or book what is missing."""
        meter, rest = self.meter, self.cost - actual
        ceiling = meter.rule.ceiling
        if rest > 0:
            meter.own.give_back(self.own_slot, rest)
            if self.shared_slot is not None:
                meter.returned.append((self.shared_slot, rest))
            elif self.own_slot in meter.owed:
                meter.owed[self.own_slot] = max(0, meter.owed[self.own_slot] - rest)
        elif rest < 0:
            slot = meter.own.owe(now, 0, -rest, ceiling)
            if report:
                meter.owed[slot] = meter.owed.get(slot, 0) - rest
        self.cost = actual
