"""Events into the database: each once, with every sum of them, in one transaction.

Delivery is at least once: a batch whose commit got no answer comes again. What is already there is found by the event's id
and changes nothing, neither the row nor the sums, so totals are exact however often a batch is delivered.

The event loop only waits. On SQLite rows are made and stored in the thread of the plain driver; for PostgreSQL they are made
in a thread and sent as arrays. SQLAlchemy is not needed on SQLite unless a projection has something to keep.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from execution_platform._failpoint import ARMED, hit, reach
from execution_platform.ledger import rollups
from execution_platform.ledger.inserting import insert_locally, insert_remotely
from execution_platform.ledger.interfaces import CostEvent, Projection
from execution_platform.ledger.rows import REQUEST_ID, local_rows, row, text
from execution_platform.storage.engine import Storage
from execution_platform.storage.migrations import prepare

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

    from execution_platform.storage.local import Session

_ASKED = 500


class EventStore:
    """Where events end up. `projections` are kept beside the roll-ups."""

    def __init__(self, storage: Storage, projections: Sequence[Projection] = ()) -> None:
        self.storage = storage
        self._projections = projections
        self._prepared = False

    async def prepare(self) -> None:
        """Make the database usable, once. Raises `DatabaseUnavailable`."""
        if not self._prepared:
            await prepare(self.storage)
            self._prepared = True

    async def apply(self, events: Sequence[CostEvent]) -> int:
        """Store those of `events` that are not there yet; their number. Raises `DatabaseUnavailable`; then none is stored."""
        await self.prepare()
        if not events:
            return 0
        if self.storage.is_postgresql:
            new = await self._send(events)
        else:
            new = await self.storage.local(partial(_store, events, self._projections))
        for projection in self._projections:
            projection.stored(events)
        return new

    async def _send(self, events: Sequence[CostEvent]) -> int:
        unique, rows, sums, projections = await asyncio.to_thread(_prepared, events, self._projections)
        async with self.storage.write() as connection:
            if ARMED:
                await reach("ledger.before_send")
            stored = await insert_remotely(connection, rows)
            if not stored:
                return 0
            new = unique
            if len(stored) < len(unique):
                new = [event for event in unique if event.id in stored]
                sums = await asyncio.to_thread(rollups.rows_of, new)
            if ARMED:
                await reach("ledger.after_send")
            await rollups.add_remotely(connection, sums)
            for projection in projections:
                await connection.run_sync(projection.project, new)
            if ARMED:
                await reach("ledger.before_send_commit")
        return len(new)

    async def find(self, event_id: str) -> "RowMapping":
        """The stored row of an event. Raises `DatabaseUnavailable`, and `LookupError` when there is none."""
        from sqlalchemy import select

        from execution_platform.storage.schema import cost_events

        async with self.storage.read() as connection:
            row = (await connection.execute(select(cost_events).where(cost_events.c.id == event_id))).mappings().first()
        if row is None:
            raise LookupError(event_id)
        return row

    async def finished(self, request_ids: Iterable[str]) -> set[str]:
        """Those of `request_ids` that have a final event already. Raises `DatabaseUnavailable`."""
        wanted = [text(request_id, REQUEST_ID) for request_id in request_ids]
        found: set[str] = set()
        for start in range(0, len(wanted), _ASKED):
            asked = wanted[start : start + _ASKED]
            if self.storage.is_postgresql:
                found.update(await self._finished(asked))
            else:
                found.update(await self.storage.local(partial(_finished, asked)))
        return found

    async def _finished(self, asked: Sequence[str]) -> Sequence[str]:
        from sqlalchemy import select

        from execution_platform.storage.schema import cost_events

        columns = cost_events.c
        statement = select(columns.request_id).where(columns.request_id.in_(asked), columns.final)
        async with self.storage.read() as connection:
            return (await connection.execute(statement)).scalars().all()


def _finished(asked: Sequence[str], session: "Session") -> list[str]:
    marks = ",".join("?" * len(asked))
    statement = f"SELECT request_id FROM cost_events WHERE request_id IN ({marks}) AND final"  # noqa: S608 - question marks
    return [found for (found,) in session.connection.execute(statement, asked)]


def _unique(events: Sequence[CostEvent]) -> list[CostEvent]:
    unique: dict[str, CostEvent] = {}
    for event in events:
        unique.setdefault(event.id, event)
    return list(unique.values())


class _Prepared(NamedTuple):
    unique: list[CostEvent]
    rows: list[tuple[Any, ...]]
    sums: list[rollups.Row]
    projections: list[Projection]


def _prepared(events: Sequence[CostEvent], projections: Sequence[Projection]) -> _Prepared:
    unique = _unique(events)
    rows = [row(event) for event in unique]
    return _Prepared(unique, rows, rollups.rows_of(unique), _concerned(projections, unique))


def _concerned(projections: Sequence[Projection], events: Sequence[CostEvent]) -> list[Projection]:
    return [each for each in projections if each.concerns(events)]


def _store(events: Sequence[CostEvent], projections: Sequence[Projection], session: "Session") -> int:
    """One transaction on SQLite, in the thread of its driver."""
    new = _unique(events)
    given = local_rows(new)
    concerned = _concerned(projections, new)
    with session.sqlalchemy() if concerned else nullcontext() as connection, session.transaction():
        if ARMED:
            hit("ledger.before_insert")
        known = insert_locally(session, given)
        if known is not None:
            new = [event for event in new if event.id.replace("-", "") not in known]
        if ARMED:
            hit("ledger.after_insert")
        rollups.add_locally(session, rollups.rows_of(new))
        if connection is not None and new:
            for projection in concerned:
                projection.project(connection, new)
        if ARMED:
            hit("ledger.before_commit")
    if ARMED:
        hit("ledger.after_commit")
    return len(new)
