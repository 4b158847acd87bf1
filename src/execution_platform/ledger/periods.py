"""Calendar windows of budgets: which minute, hour, day or month a moment belongs to.

Windows of one period and zone partition time: every moment lies in exactly one, and each begins where the one before ends,
through daylight saving, leap days and zones that skipped a day. Minutes and hours are cut on UTC, so that none is longer than
another; days and months begin at local midnight of the zone.
"""

import math
from datetime import date, datetime, timedelta
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

Period = Literal["minute", "hourly", "daily", "monthly", "total"]
PERIODS: tuple[Period, ...] = ("minute", "hourly", "daily", "monthly", "total")

FOREVER = 1 << 53
"""End of the one window of the period `total`: a second no clock reaches, exact in every number format."""
_FIXED: dict[Period, int] = {"minute": 60, "hourly": 3600}
_ALLOWANCE = timedelta(days=1)


class Window(NamedTuple):
    """Seconds since the epoch: from `start` until just before `end`."""

    start: int
    end: int

    def holds(self, at: float) -> bool:
        """Whether the moment lies in this window."""
        return self.start <= at < self.end


TOTAL = Window(0, FOREVER)


def window(period: Period, at: float, zone: ZoneInfo) -> Window:
    """The window of `period` that holds the moment `at`, in seconds since the epoch."""
    if period == "total":
        return TOTAL
    seconds = _FIXED.get(period)
    if seconds is not None:
        start = math.floor(at / seconds) * seconds
        return Window(start, start + seconds)
    day = datetime.fromtimestamp(at, zone).date()
    if period == "monthly":
        day = day.replace(day=1)
        return Window(_midnight(day, zone), _midnight((day + timedelta(days=31)).replace(day=1), zone))
    return Window(_midnight(day, zone), _midnight(day + _ALLOWANCE, zone))


def _midnight(day: date, zone: ZoneInfo) -> int:
    """When `day` begins in `zone`; where midnight is skipped that is the instant at which the clocks moved."""
    return math.floor(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())


def forecast(spent: int, held: Window, at: float) -> int | None:
    """What will be spent at the end of the window when it goes on as so far; None while it is too early to tell.

    A straight line through what was spent, from one per cent of the window on. The window `total` has no end to look to.
    """
    length = held.end - held.start
    elapsed = min(at, held.end) - held.start
    if held.end == FOREVER or elapsed * 100 < length:
        return None
    return math.ceil(spent * length / elapsed)
