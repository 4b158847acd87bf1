"""Slices of budgets held in memory, so that reserving costs no round trip and replicas never overspend together.

Theory of operation
-------------------
The database is the authority. For one account (scope and period) and one window of time it knows `cap`, `spent`, and what is
`reserved`, which is the sum over all leases of `granted - projected` (where that is above zero: a provider may charge more than
was held). A lease is one process's slice of one window:

* `granted` is everything the process was ever allowed under this lease; only the process raises or lowers it, by `sync`;
* `projected` is how much of that has arrived in `spent`; it rises in the transaction that stores the cost events.

Both are absolute, so repeating a statement whose outcome is unknown changes nothing. In memory the process splits what it was
granted::

    granted = settled (cost of finished tries) + held (worst case of tries under way) + free

A try takes its worst case from `free` and, when it is over, gives back what it did not cost. Only when `free` does not suffice
does anybody wait for the database: one `sync` for all who wait, which asks for their needs and a cushion by recent demand. The
database lets the cushion shrink with what is left, so that near the cap a slice is one request.

Rules: `granted >= settled + held + free` at all times, whatever the database answers; what a sync gives back is taken out of
`free` before it is sent; a process that dies leaves its lease reserved until its journal has been read, because what it spent
last is known nowhere else; a clock that goes wrong moves requests to another window, never money out of one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from execution_platform.ledger.budgets import NO_LIMIT, NOTHING, Amount, Bound
from execution_platform.ledger.interfaces import Settlement
from execution_platform.ledger.periods import Window

_CUSHION_REQUESTS = 4
_CUSHION_SECONDS = 2.0
_SHARE = 64
"""A cushion is at most this part of what is left, so that a lost slice is a small loss."""
_LOW_PART = 4


class SyncRequest(NamedTuple):
    """What a process tells the database of one lease, and what it asks for. Amounts are absolute but for the last three."""

    lease: str
    worker: str
    bound: Bound
    window: Window
    settled: Amount
    held: Amount
    keep: Amount
    """What is free now and must stay granted."""
    needs: Amount
    """What waiting requests ask for."""
    cushion: Amount
    """What would be good to have besides."""


class Standing(NamedTuple):
    """A window as the database sees it after a sync."""

    granted: Amount
    """Of the lease: absolute."""
    spent: Amount
    reserved: Amount
    cap: Amount
    """With what was approved on top."""
    limited: bool
    """The lease did not get all it asked for."""
    now: float | None
    """The database's clock in seconds since the epoch, where it is not this machine's."""


class Charge(NamedTuple):
    """Where a cost goes: one window, and the lease it was held under, if any is known."""

    bound: Bound
    start: int
    lease: str | None


def cost_of(settlement: Settlement) -> Amount:
    """What a settled try takes out of budgets."""
    counts = settlement.counts
    return Amount(settlement.cost_nanos, counts.input_tokens + counts.output_tokens)


class BudgetStore(Protocol):
    """The authority over budgets. Every method raises `StorageUnavailable` when the database does not answer."""

    async def sync(self, request: SyncRequest) -> Standing:
        """Report a lease and have it enlarged or reduced, in one transaction."""
        ...

    async def close(self, lease: str) -> bool:
        """Forget a lease whose costs have all been projected; False while some have not."""
        ...


def grant(request: SyncRequest, room: Amount) -> tuple[Amount, bool]:
    """How much a lease may have free when `room` is left beyond what it has settled and holds; and whether that is less than asked.

    The one rule of sharing. `room` still contains what is free now, so `keep` can always be kept.
    """
    give: list[int] = []
    limited = False
    for part, limit in enumerate(request.bound.cap):
        need, keep = request.needs[part], request.keep[part]
        if limit >= NO_LIMIT:
            give.append(0)
            continue
        cushion = min(request.cushion[part], max(0, room[part] - need) // _SHARE)
        wanted = need + cushion
        give.append(max(keep, min(wanted, room[part])))
        limited = limited or room[part] < need + request.cushion[part]
    return Amount(give[0], give[1]), limited


class Slice:
    """One lease: a process's part of one window of one account.

    What every try changes is kept as plain numbers; an `Amount` for each change would cost more than the change.
    """

    __slots__ = (
        "bound",
        "charge",
        "closing",
        "free_nanos",
        "free_tokens",
        "granted",
        "held_nanos",
        "held_tokens",
        "lease",
        "limited",
        "low",
        "refused",
        "refused_until",
        "settled_nanos",
        "settled_tokens",
        "synced_at",
        "taken_nanos",
        "taken_tokens",
        "touched_at",
        "window",
    )

    def __init__(self, lease: str, bound: Bound, window: Window, at: float) -> None:
        self.lease = lease
        self.bound = bound
        self.window = window
        self.charge = Charge(bound, window.start, lease)
        self.granted = NOTHING
        self.settled_nanos = self.settled_tokens = 0
        self.held_nanos = self.held_tokens = 0
        self.free_nanos = self.free_tokens = 0
        self.limited = False
        self.closing = False
        self.low = NOTHING
        self.taken_nanos = self.taken_tokens = 0
        """Since the last sync: the demand."""
        self.refused: Amount | None = None
        self.refused_until = 0.0
        self.synced_at = -math.inf
        self.touched_at = at
        self.recount()

    @property
    def held(self) -> Amount:
        """The worst case of tries under way."""
        return Amount(self.held_nanos, self.held_tokens)

    @property
    def settled(self) -> Amount:
        """The cost of finished tries."""
        return Amount(self.settled_nanos, self.settled_tokens)

    def recount(self) -> None:
        """What is free, from what was granted; a part without a limit is always free."""
        cap = self.bound.cap
        left = self.granted.minus(self.settled).minus(self.held)
        self.free_nanos = NO_LIMIT if cap.nanos >= NO_LIMIT else left.nanos
        self.free_tokens = NO_LIMIT if cap.tokens >= NO_LIMIT else left.tokens

    def take(self, amount: Amount, at: float) -> bool:
        """Hold `amount` if it is free."""
        nanos, tokens = amount
        if self.free_nanos < nanos or self.free_tokens < tokens:
            return False
        self.free_nanos -= nanos
        self.free_tokens -= tokens
        self.held_nanos += nanos
        self.held_tokens += tokens
        self.taken_nanos += nanos
        self.taken_tokens += tokens
        self.touched_at = at
        return True

    def settle(self, amount: Amount, cost: Amount) -> None:
        """End a hold of `amount` that came to cost `cost`."""
        nanos, tokens = amount
        spent_nanos, spent_tokens = cost
        self.held_nanos -= nanos
        self.held_tokens -= tokens
        self.settled_nanos += spent_nanos
        self.settled_tokens += spent_tokens
        self.free_nanos += nanos - spent_nanos
        self.free_tokens += tokens - spent_tokens

    def refuse(self, amount: Amount, until: float) -> None:
        """Remember that the database had no room for `amount`."""
        self.refused, self.refused_until = amount, until

    def set_aside(self) -> None:
        """Let nothing be taken until the next sync."""
        cap = self.bound.cap
        if cap.nanos < NO_LIMIT:
            self.free_nanos = min(self.free_nanos, 0)
        if cap.tokens < NO_LIMIT:
            self.free_tokens = min(self.free_tokens, 0)

    def remembers_refusal(self, amount: Amount, at: float) -> bool:
        """Whether the database has just said that no more than this is left."""
        return self.refused is not None and at < self.refused_until and amount.covers(self.refused)

    @property
    def is_low(self) -> bool:
        """Whether it is time to ask for more before anybody has to wait."""
        return self.free_nanos < self.low[0] or self.free_tokens < self.low[1]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held or free."""
        return self.held == NOTHING and self.surplus == NOTHING

    @property
    def surplus(self) -> Amount:
        """What is free and limited, and could be given back."""
        return Amount(
            0 if self.free_nanos >= NO_LIMIT // 2 else max(0, self.free_nanos),
            0 if self.free_tokens >= NO_LIMIT // 2 else max(0, self.free_tokens),
        )

    def cushion(self, need: Amount, at: float) -> Amount:
        """What recent demand suggests to have in hand."""
        seconds = max(at - self.synced_at, 0.05)
        if math.isinf(seconds):
            return Amount(need.nanos * _CUSHION_REQUESTS, need.tokens * _CUSHION_REQUESTS)
        factor = _CUSHION_SECONDS / seconds
        return Amount(
            max(need.nanos * _CUSHION_REQUESTS, int(self.taken_nanos * factor)),
            max(need.tokens * _CUSHION_REQUESTS, int(self.taken_tokens * factor)),
        )

    def request(self, worker: str, needs: Amount, cushion: Amount) -> SyncRequest:
        """What to tell the database."""
        return SyncRequest(
            self.lease, worker, self.bound, self.window, self.settled, self.held, self.surplus, needs, cushion
        )

    def synced(self, standing: Standing, cushion: Amount, at: float) -> None:
        """Take over what the database granted, for what has happened meanwhile too."""
        self.granted = standing.granted
        self.limited = standing.limited
        self.synced_at = at
        self.taken_nanos = self.taken_tokens = 0
        self.low = NOTHING if standing.limited else Amount(cushion.nanos // _LOW_PART, cushion.tokens // _LOW_PART)
        self.recount()


@dataclass(slots=True, eq=False)
class Hold:
    """What one try holds in every account that binds it, until it is settled."""

    slices: Sequence[Slice]
    amount: Amount
    over: bool = False
    """Whether it was settled."""
    extras: "list[Hold] | None" = None
    """What was added while the try was under way; perhaps in a later window."""

    @property
    def total(self) -> Amount:
        """All that is held for the try."""
        total = self.amount
        for extra in self.extras or ():
            total = total.plus(extra.amount)
        return total

    def add(self, extra: "Hold") -> None:
        """Hold more for the same try; it ends with this hold."""
        if self.extras is None:
            self.extras = []
        self.extras.append(extra)

    def settle(self, cost: Amount) -> None:
        """Give back what was held and not spent; the cost goes to the windows in which the try began. A second time changes nothing."""
        if self.over:
            return
        self.over = True
        for one in self.slices:
            one.settle(self.amount, cost)
        for extra in self.extras or ():
            extra.release()

    def release(self) -> None:
        """End a hold of which nothing was spent."""
        self.settle(NOTHING)
