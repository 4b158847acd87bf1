"""The algorithm of every limit: a ceiling over any minute, and a pace (GCRA) within it.

In: the time in microseconds, never going back within one process, and what is wanted. Out: what is granted. No I/O and
no clock. `window.lua` is the same algorithm where replicas share a limit; a test runs both on the same
random histories and compares every answer.

GCRA alone admits its burst on top of a minute's worth, twice the limit when a caller may use all of it at once. So the
grants of the last minute are also counted, in 256 slots of equal length: over any 60 seconds no more than the limit is
granted, whatever the burst. The oldest slot is counted whole, which costs 1/256 of the limit at most.

States: `debt`, the units that the pace has not paid off at the time `seen` (GCRA's theoretical arrival time, kept as a
distance so that no digits are lost and a changed limit keeps its meaning), and the grants by slot with their sum. All
numbers are whole but `debt`, an IEEE double on both sides and computed in the same order.
"""

import math
from dataclasses import dataclass

MINUTE = 60_000_000
"""Microseconds in the period of every limit."""
SLOTS = 256
SLOT = MINUTE // SLOTS
"""Microseconds of one slot: 234,375, without a rest."""
SPAN = SLOTS + 1
"""Slots that are counted: a whole minute and the slot it begins in."""
SHARED_SPAN = SPAN + 1
"""Slots counted where grants may be used up to one slot later, as leases of replicas are."""
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Ceiling:
    """How much may pass: `limit` units a minute, at most `burst` of them at once."""

    limit: int
    burst: int

    def share(self, of: int) -> "Ceiling":
        """The part of one of `of` replicas; at least one unit."""
        return self if of <= 1 else Ceiling(max(1, self.limit // of), max(1, self.burst // of))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was granted, and when more can be had."""

    granted: int
    slot: int
    """The slot the grant is booked in; what is given back goes there."""
    used: int
    """Units that count against the limit now."""
    wait: int = 0
    """Microseconds until what was asked for can be granted; 0 when it was."""


class Window:
    """The grants of one limit."""

    __slots__ = ("_span", "debt", "seen", "slots", "used")

    def __init__(self, span: int = SPAN) -> None:
        self._span = span
        self.slots: dict[int, int] = {}
        """Units by slot, oldest first."""
        self.used = 0
        self.debt = 0.0
        self.seen = 0

    def take(self, now: int, ceiling: Ceiling, want: int, least: int) -> Verdict:
        """Grant up to `want` units, and nothing if fewer than `least` are free.

        More than the ceiling ever holds is granted in one piece once what holds it up is over: it is late, not impossible.
        """
        now = self._advance(now)
        limit, burst = ceiling.limit, ceiling.burst
        self._pay(now, limit)
        slot = now // SLOT
        room = self._room(ceiling)
        granted = 0
        if room >= least:
            granted = max(0, min(want, room))
        elif least > min(limit, burst) and self.used + min(least, limit) <= limit and self.debt == 0:
            granted = least
        if granted:
            self.slots[slot] = self.slots.get(slot, 0) + granted
            self.used += granted
            self.debt += granted
            return Verdict(granted, slot, self.used)
        if want <= 0:
            return Verdict(0, slot, self.used)
        return Verdict(0, slot, self.used, self._wait(now, ceiling, least))

    def room(self, now: int, ceiling: Ceiling) -> int:
        """Units that would be granted at once."""
        self._pay(self._advance(now), ceiling.limit)
        return max(0, self._room(ceiling))

    def _room(self, ceiling: Ceiling) -> int:
        return min(ceiling.limit - self.used, math.floor(ceiling.burst - self.debt + _TINY))

    def give_back(self, slot: int, units: int) -> None:
        """Units of a grant that were not used. What is older than the window is gone already."""
        held = self.slots.get(slot, 0)
        back = min(units, held)
        if back <= 0:
            return
        if back == held:
            del self.slots[slot]
        else:
            self.slots[slot] = held - back
        self.used -= back
        self.debt = max(0.0, self.debt - back)

    def owe(self, now: int, age: int, units: int, ceiling: Ceiling) -> int:
        """Book units that were used without asking, `age` slots ago; the slot they are in."""
        now = self._advance(now)
        slot = now // SLOT - age
        if age < self._span and units > 0:
            inserted = slot not in self.slots and age > 0
            self.slots[slot] = self.slots.get(slot, 0) + units
            if inserted:
                self.slots = dict(sorted(self.slots.items()))
            self.used += units
            self._pay(now, ceiling.limit)
            self.debt += units
        return slot

    def refresh(self, now: int) -> None:
        """Forget what is older than the window."""
        self._advance(now)

    def empty_at(self, now: int) -> int:
        """Microseconds until nothing counts any more."""
        return max(0, (next(reversed(self.slots)) + self._span) * SLOT - now) if self.slots else 0

    def _advance(self, now: int) -> int:
        """Forget what is older than the window; the time to use, which does not go back within the window."""
        slots = self.slots
        if not slots:
            return now
        slot = now // SLOT
        newest = next(reversed(slots))
        if newest > slot:
            if newest - slot > self._span:
                slots.clear()  # The clock was set back by more than the window: what is booked would block for as long.
                self.used, self.debt = 0, 0.0
                return now
            now, slot = newest * SLOT, newest
        last = slot - self._span
        while slots:
            oldest = next(iter(slots))
            if oldest > last:
                break
            self.used -= slots.pop(oldest)
        return now

    def _pay(self, now: int, limit: int) -> None:
        """The pace pays the debt off: the limit in a minute."""
        if self.debt:
            self.debt = max(0.0, self.debt - max(0, now - self.seen) * limit / MINUTE)
        self.seen = now

    def _wait(self, now: int, ceiling: Ceiling, least: int) -> int:
        """Microseconds until `least` units are free, if nobody else takes any."""
        limit = ceiling.limit
        free_at = now
        most = min(least, limit)
        used = self.used
        for slot, units in self.slots.items():
            if used + most <= limit:
                break
            used -= units
            free_at = (slot + self._span) * SLOT
        paced = (self.debt - max(0, ceiling.burst - least)) * MINUTE / limit
        return max(free_at - now, math.ceil(paced), 1)
