"""Whether the sums are what the events add up to. They are kept in one transaction, so a difference is damage, not lag."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import and_, func, select

from execution_platform.ledger.reports import Span
from execution_platform.storage.schema import cost_events, cost_rollups

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

ALARM = 0.001
"""Share of the events' sum by which the roll-ups may differ before anybody is told."""


@dataclass(frozen=True, slots=True)
class Drift:
    """Both sums of one range."""

    events: int
    attempts: int
    event_nanos: int
    rolled_nanos: int

    @property
    def ratio(self) -> float:
        """How far the two are apart, 0 when they are equal; the worse of number and money."""
        return max(_apart(self.events, self.attempts), _apart(self.event_nanos, self.rolled_nanos))


def _apart(one: int, two: int) -> float:
    return abs(one - two) / max(one, two, 1)


async def drift(connection: "AsyncConnection", span: Span) -> Drift:
    """Events and hourly roll-ups of a range, read in one statement, so at one moment."""
    start, end = (datetime.fromtimestamp(each, UTC) for each in (span.start, span.end))
    events = and_(cost_events.c.timestamp >= start, cost_events.c.timestamp < end)
    hours = and_(cost_rollups.c.grain == "h", cost_rollups.c.bucket >= span.start, cost_rollups.c.bucket < span.end)
    asked = select(
        select(func.count()).select_from(cost_events).where(events).scalar_subquery(),
        select(func.coalesce(func.sum(cost_rollups.c.attempts), 0)).where(hours).scalar_subquery(),
        select(func.coalesce(func.sum(cost_events.c.cost_nanos), 0)).where(events).scalar_subquery(),
        select(func.coalesce(func.sum(cost_rollups.c.cost_nanos), 0)).where(hours).scalar_subquery(),
    )
    return Drift(*map(int, (await connection.execute(asked)).one()))
