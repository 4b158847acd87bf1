"""Questions to the books, answered from the roll-ups: some hundred rows, however many events there are.

A range is in whole hours, UTC. Whole months of it are read from the monthly sums, whole days from the daily ones, and the
hours at its ends from the hourly ones.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from sqlalchemy import ColumnElement, and_, func, literal, or_, select

from execution_platform.ledger.rollups import DAY, HOUR, Grain, start_of
from execution_platform.storage.schema import cost_rollups

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

By = Literal["tenant", "team", "key", "persona", "provider", "model"]
BY: tuple[By, ...] = get_args(By)
Period = Literal["hourly", "daily", "monthly"]
PERIODS: tuple[Period, ...] = get_args(Period)
NOBODY = "none"
"""What rows without a name (no persona, no team) are called."""

_COLUMN: Mapping[By, str] = {"key": "key_id"}
_SUMS = ("cost_nanos", "requests", "attempts", "input_tokens", "output_tokens", "estimated_nanos", "unpriced")
_TYPICAL_DAYS = 14
_LEAST_DAYS = 3


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` to before `end`, in seconds since 1970, on whole hours."""

    start: int
    end: int

    @classmethod
    def of(cls, start: datetime, end: datetime) -> "Span":
        """Outwards to whole hours."""
        begun, over = int(start.timestamp()), int(end.timestamp())
        return cls(begun - begun % HOUR, over + -over % HOUR)


@dataclass(frozen=True, slots=True)
class Line:
    """One group of a report; `names` in the order in which it was grouped."""

    names: tuple[str, ...]
    nanos: int = 0
    requests: int = 0
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    estimated_nanos: int = 0
    unpriced: int = 0

    @property
    def tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A day on which something cost far more than usual."""

    day: str
    by: By
    name: str
    nanos: int
    typical: int


def period_of(period: Period, now: datetime) -> tuple[datetime, datetime]:
    """The calendar period `now` is in, UTC: its start and its end."""
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if period == "hourly":
        return hour, hour + timedelta(hours=1)
    day = hour.replace(hour=0)
    if period == "daily":
        return day, day + timedelta(days=1)
    month = day.replace(day=1)
    return month, (month + timedelta(days=32)).replace(day=1)


async def total(connection: "AsyncConnection", span: Span, only: Mapping[By, str]) -> Line:
    """Everything in `span` that is of `only`."""
    return (await _lines(connection, span, only, ()))[0]


async def grouped(
    connection: "AsyncConnection",
    span: Span,
    only: Mapping[By, str],
    by: Sequence[By],
    *,
    after: Sequence[str] | None = None,
    limit: int | None = None,
) -> list[Line]:
    """One line for each group, in the order of its names; those behind `after`, at most `limit`."""
    return await _lines(connection, span, only, by, after=after, limit=limit)


async def _lines(
    connection: "AsyncConnection",
    span: Span,
    only: Mapping[By, str],
    by: Sequence[By],
    *,
    after: Sequence[str] | None = None,
    limit: int | None = None,
) -> list[Line]:
    names = [cost_rollups.c[_column(each)] for each in by]
    sums = [func.coalesce(func.sum(cost_rollups.c[name]), 0) for name in _SUMS]
    asked = select(*names, *sums).where(_within(span), *_of(only)).group_by(*names).order_by(*names)
    if after is not None:
        asked = asked.where(_behind(names, after))
    if limit is not None:
        asked = asked.limit(limit)
    rows = (await connection.execute(asked)).all()
    return [Line(tuple(row[: len(by)]), *map(int, row[len(by) :])) for row in rows]


async def series(
    connection: "AsyncConnection", span: Span, only: Mapping[By, str], grain: Grain
) -> list[tuple[int, Line]]:
    """One line for each hour, day or month of `span` with any spending: its start, in order."""
    columns = cost_rollups.c
    sums = [func.sum(columns[name]) for name in _SUMS]
    asked = select(columns.bucket, *sums).where(_within(span, grain), *_of(only)).group_by(columns.bucket)
    found: dict[int, list[int]] = {}
    for bucket, *amounts in (await connection.execute(asked)).all():
        start = start_of(grain, int(bucket))
        before = found.get(start, [0] * len(amounts))
        found[start] = [one + int(other) for one, other in zip(before, amounts, strict=True)]
    return [(start, Line((), *found[start])) for start in sorted(found)]


async def anomalies(
    connection: "AsyncConnection", span: Span, only: Mapping[By, str], by: By, factor: float
) -> list[Anomaly]:
    """Days in `span` that cost more than `factor` times the median of the fourteen before, the dearest first.

    A group needs three days of spending before a fourth can stand out.
    """
    columns, name = cost_rollups.c, cost_rollups.c[_column(by)]
    begin = span.start - span.start % DAY - _TYPICAL_DAYS * DAY
    inside = and_(columns.grain == "d", columns.bucket >= begin, columns.bucket < span.end)
    asked = select(name, columns.bucket, func.sum(columns.cost_nanos)).where(inside, *_of(only))
    rows = (await connection.execute(asked.group_by(name, columns.bucket))).all()
    spent: dict[str, dict[int, int]] = {}
    for each, bucket, nanos in rows:
        spent.setdefault(each, {})[int(bucket)] = int(nanos)
    found = [
        anomaly
        for each, days in spent.items()
        for bucket in days
        if bucket >= span.start - span.start % DAY and (anomaly := _anomaly(by, each, days, bucket, factor)) is not None
    ]
    return sorted(found, key=lambda anomaly: (-anomaly.nanos, anomaly.day, anomaly.name))


def _anomaly(by: By, name: str, days: Mapping[int, int], bucket: int, factor: float) -> Anomaly | None:
    before = [days[day] for day in range(bucket - _TYPICAL_DAYS * DAY, bucket, DAY) if days.get(day)]
    if len(before) < _LEAST_DAYS:
        return None
    typical = int(statistics.median(before))
    if days[bucket] <= factor * typical:
        return None
    day = datetime.fromtimestamp(bucket, UTC).date().isoformat()
    return Anomaly(day, by, name or NOBODY, days[bucket], typical)


def forecast(spent: int, days: Sequence[int], start: datetime, end: datetime, now: datetime) -> int:
    """What a period will have cost at its end: what is spent, and the rest at the pace of the last days.

    `days` are whole days before today, the newest last; without any the pace of the period itself counts.
    """
    left = max(0.0, (end - now).total_seconds())
    if days:
        per_second = statistics.fmean(days) / DAY
    else:
        elapsed = (now - start).total_seconds()
        per_second = spent / elapsed if elapsed > 0 else 0.0
    return spent + round(per_second * left)


def _column(by: By) -> str:
    return _COLUMN.get(by, by)


def _of(only: Mapping[By, str]) -> Iterable[ColumnElement[bool]]:
    return [cost_rollups.c[_column(by)] == ("" if value == NOBODY else value) for by, value in only.items()]


def _within(span: Span, widest: Grain = "m") -> ColumnElement[bool]:
    """Everything in `span`, once: from the widest sums that fit into it, and from smaller ones at its ends."""
    if widest == "h":
        return _sums("h", span.start, span.end)
    first = span.start + -span.start % DAY if widest == "d" else _next_month(span.start)
    last = start_of(widest, span.end)
    finer: Grain = "h" if widest == "d" else "d"
    if first >= last:
        return _within(span, finer)
    parts = [_sums(widest, first, last)]
    if span.start < first:
        parts.append(_within(Span(span.start, first), finer))
    if last < span.end:
        parts.append(_within(Span(last, span.end), finer))
    return or_(*parts)


def _sums(grain: Grain, start: int, end: int) -> ColumnElement[bool]:
    columns = cost_rollups.c
    return and_(columns.grain == grain, columns.bucket >= start, columns.bucket < end)


def _next_month(seconds: int) -> int:
    """The first start of a month from then on."""
    start = start_of("m", seconds)
    return start if start == seconds else start_of("m", start + 32 * DAY)


def _behind(names: Sequence[ColumnElement[Any]], after: Sequence[str]) -> ColumnElement[bool]:
    """Lexicographically greater than `after`."""
    found: ColumnElement[bool] = literal(value=False)
    for column, value in zip(reversed(names), reversed(after), strict=True):
        found = or_(column > value, and_(column == value, found))
    return found
