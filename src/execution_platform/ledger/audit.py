"""Whether the sums are what the events add up to. They are kept in one transaction, so a difference is damage, not lag."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from execution_platform.ledger.money import NANOS
from execution_platform.ledger.rows import local_moment
from execution_platform.storage.engine import Storage

if TYPE_CHECKING:
    from execution_platform.storage.local import Session

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


async def drift(storage: Storage, start: int, end: int) -> Drift:
    """Events and hourly roll-ups from `start` to before `end`, in seconds since 1970, whole hours. Raises `DatabaseUnavailable`.

    Both are read in one statement, so at one moment.
    """
    if not storage.is_postgresql:
        return await storage.local(partial(_drift_locally, start, end))
    from sqlalchemy import and_, func, select

    from execution_platform.storage.schema import cost_events, cost_rollups

    begun, over = (datetime.fromtimestamp(each, UTC) for each in (start, end))
    events = and_(cost_events.c.timestamp >= begun, cost_events.c.timestamp < over)
    hours = and_(cost_rollups.c.grain == "h", cost_rollups.c.bucket >= start, cost_rollups.c.bucket < end)
    asked = select(
        select(func.count()).select_from(cost_events).where(events).scalar_subquery(),
        select(func.coalesce(func.sum(cost_rollups.c.attempts), 0)).where(hours).scalar_subquery(),
        select(func.coalesce(func.sum(cost_events.c.cost_nanos), 0)).where(events).scalar_subquery(),
        select(func.coalesce(func.sum(cost_rollups.c.cost_nanos), 0)).where(hours).scalar_subquery(),
    )
    async with storage.read() as connection:
        return Drift(*map(int, (await connection.execute(asked)).one()))


def _drift_locally(start: int, end: int, session: "Session") -> Drift:
    events = "FROM cost_events WHERE timestamp >= :begun AND timestamp < :over"
    hours = "FROM cost_rollups WHERE grain = 'h' AND bucket >= :start AND bucket < :end"
    asked = (
        f"SELECT (SELECT count(*) {events}), (SELECT coalesce(sum(attempts), 0) {hours}),"
        f" (SELECT coalesce(sum(cost_nanos), 0) {events}), (SELECT coalesce(sum(cost_nanos), 0) {hours})"
    )
    given = {"start": start, "end": end, "begun": local_moment(start * NANOS), "over": local_moment(end * NANOS)}
    return Drift(*map(int, session.connection.execute(asked, given).fetchone()))
