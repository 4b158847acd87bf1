"""Events into the database: each once, with every sum of them, in one transaction.

Delivery is at least once: a batch whose commit got no answer comes again. What is already there is found by the event's id
and changes nothing, neither the row nor the sums, so totals are exact however often a batch is delivered.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import select

from execution_platform._failpoint import ARMED, reach
from execution_platform.ledger.inserting import insert_new
from execution_platform.ledger.interfaces import CostEvent, Projection
from execution_platform.ledger.rollups import Rollups
from execution_platform.ledger.rows import REQUEST_ID, row, text
from execution_platform.storage.engine import Storage
from execution_platform.storage.migrations import prepare
from execution_platform.storage.schema import cost_events

if TYPE_CHECKING:
    from sqlalchemy import RowMapping


class EventStore:
    """Where events end up. `projections` are kept beside the roll-ups."""

    def __init__(self, storage: Storage, projections: Sequence[Projection] = ()) -> None:
        self.storage = storage
        self._projections: tuple[Projection, ...] = (Rollups(), *projections)
        self._prepared = False

    async def prepare(self) -> None:
        """Make the database usable, once. Raises `DatabaseUnavailable`."""
        if not self._prepared:
            await prepare(self.storage)
            self._prepared = True

    async def apply(self, events: Sequence[CostEvent]) -> int:
        """Store those of `events` that are not there yet; their number. Raises `DatabaseUnavailable`; then none is stored."""
        await self.prepare()
        unique: dict[str, CostEvent] = {}
        for event in events:
            unique.setdefault(event.id, event)
        async with self.storage.write() as connection:
            if ARMED:
                await reach("ledger.before_insert")
            stored = await insert_new(connection, [row(event) for event in unique.values()])
            new = [event for event in unique.values() if event.id in stored]
            if ARMED:
                await reach("ledger.after_insert")
            if new:
                for projection in self._projections:
                    await projection.project(connection, new)
            if ARMED:
                await reach("ledger.before_commit")
        return len(new)

    async def find(self, event_id: str) -> "RowMapping":
        """The stored row of an event. Raises `DatabaseUnavailable`, and `LookupError` when there is none."""
        async with self.storage.read() as connection:
            row = (await connection.execute(select(cost_events).where(cost_events.c.id == event_id))).mappings().first()
        if row is None:
            raise LookupError(event_id)
        return row

    async def finished(self, request_ids: Iterable[str]) -> set[str]:
        """Those of `request_ids` that have a final event already. Raises `DatabaseUnavailable`."""
        wanted = [text(request_id, REQUEST_ID) for request_id in request_ids]
        found: set[str] = set()
        async with self.storage.read() as connection:
            for start in range(0, len(wanted), 500):
                chosen = cost_events.c.request_id.in_(wanted[start : start + 500])
                rows = await connection.execute(select(cost_events.c.request_id).where(chosen, cost_events.c.final))
                found.update(rows.scalars())
        return found
