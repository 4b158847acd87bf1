"""Tries whose machine is gone for good: copies of what is open, and what becomes of them.

A worker that dies leaves its journal, and whoever starts on its machine reads it (`recovery.py`). A machine that never comes
back takes the journal along. So a worker on PostgreSQL copies every try that has been open for a second into `reservations`,
with how far its answer has come, and renews the copy while the try lasts; short calls never get one. The copy is deleted in
the transaction that stores the event.

A copy that nobody renewed for `ledger.lost_after` belongs to a worker that is gone: its try becomes an event with the status
`lost`, by estimate, and what was held for it beyond that goes back to its budgets. What such a worker may have spent and nobody
can tell, in its last second, stays held until the period ends or the journal comes back: money fails closed.

On SQLite the database is on the machine of the journal, and nothing of this is needed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.ledger.books import JournalLedger
from execution_platform.ledger.budget_store import give_back
from execution_platform.ledger.budgets import Amount
from execution_platform.ledger.interfaces import Checkpoint, CostEvent, Dispatch, now
from execution_platform.ledger.outbox import Store, happens
from execution_platform.ledger.recovery import lost_settlement, with_final
from execution_platform.ledger.rows import REQUEST_ID, name, text
from execution_platform.storage.engine import Storage

if TYPE_CHECKING:
    from sqlalchemy import Connection

_TICK_SECONDS = 1.0
_RENEWALS = 60
"""A copy is renewed so often before it runs out."""
_SECOND = 1_000_000_000
_MOST = 500


class Leases(Protocol):
    """Who knows under which leases the hold of a try is."""

    def leases_of(self, dispatch_id: str) -> Sequence[str]:
        """Their ids; none where no budget binds the try."""
        ...


class Stores(Store, Protocol):
    """The books in the database."""

    async def finished(self, request_ids: set[str]) -> set[str]:
        """Those of `request_ids` that have a final event. Raises `DatabaseUnavailable`."""
        ...


class OpenTries:
    """Keeps the copies of one worker's open tries. Also a `Projection`: an event that is stored takes its copy with it."""

    def __init__(
        self,
        ledger: JournalLedger,
        storage: Storage,
        ready: Callable[[], Awaitable[object]],
        leases: Leases,
        *,
        lost_after: float,
    ) -> None:
        self._ledger = ledger
        self._storage = storage
        self._ready = ready
        self._leases = leases
        self._lost_after = lost_after
        self._copied: dict[str, int] = {}
        """When a try was copied last, by id."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Copy until `stopping` is set. A database that is away is asked again in the next round."""
        while not await happens(stopping, within=_TICK_SECONDS):
            try:
                await self.copy()
            except ExecutionPlatformError:
                self._copied = dict.fromkeys(self._copied, 0)

    async def copy(self) -> None:
        """Copy what has been open for a second, and renew what was copied. Raises `DatabaseUnavailable`."""
        from sqlalchemy import delete, func
        from sqlalchemy.dialects.postgresql import insert

        from execution_platform.storage.schema import reservations

        at = now()
        due = [each for each in self._ledger.open.values() if self._is_due(each, at)]
        if not due:
            return
        await self._ready()
        rows = [self._row(each) for each in due]
        ids = [each.id for each in due]
        # Noted before the row is there: an event that is stored meanwhile deletes it, now or below.
        self._copied.update(dict.fromkeys(ids, at))
        made = insert(reservations).values(lease_until=func.now() + timedelta(seconds=self._lost_after))
        renewed = {"record": made.excluded.record, "lease_until": made.excluded.lease_until}
        async with self._storage.write() as connection:
            await connection.execute(made.on_conflict_do_update(index_elements=["id"], set_=renewed), rows)
        stored = [each for each in ids if each not in self._copied]
        if stored:
            async with self._storage.write() as connection:
                await connection.execute(delete(reservations).where(reservations.c.id.in_(stored)))

    def _is_due(self, dispatch: Dispatch, at: int) -> bool:
        copied = self._copied.get(dispatch.id)
        if copied is None:
            return at - dispatch.at >= _SECOND
        return at - copied >= self._lost_after / _RENEWALS * _SECOND

    def _row(self, dispatch: Dispatch) -> dict[str, object]:
        account = dispatch.account
        copy = _Copy(dispatch, self._ledger.progress_of(dispatch.id), tuple(self._leases.leases_of(dispatch.id)))
        return {
            "id": dispatch.id,
            "request_id": text(account.request_id, REQUEST_ID),
            "worker": self._ledger.worker,
            "tenant": name(account.tenant),
            "hold_nanos": dispatch.hold_nanos,
            "hold_tokens": dispatch.hold_tokens,
            "record": msgspec.to_builtins(copy),
        }

    # The projection

    def concerns(self, events: Sequence[CostEvent]) -> bool:
        """Whether any of `events` has a copy."""
        return bool(self._copied) and any(event.id in self._copied for event in events)

    def project(self, connection: "Connection", events: Sequence[CostEvent]) -> None:
        """Delete the copies of `events`."""
        from sqlalchemy import delete

        from execution_platform.storage.schema import reservations

        ids = [event.id for event in events if event.id in self._copied]
        connection.execute(delete(reservations).where(reservations.c.id.in_(ids)))

    def stored(self, events: Sequence[CostEvent]) -> None:
        """Their copies are gone."""
        if self._copied:
            for event in events:
                self._copied.pop(event.id, None)


class _Copy(msgspec.Struct, frozen=True):
    """What a row keeps of a try."""

    dispatch: Dispatch
    progress: Checkpoint | None
    leases: tuple[str, ...]


class Found(NamedTuple):
    """What a round found of workers that are gone."""

    lost: int = 0
    """Tries that are in the books now."""
    released_nanos: int = 0
    """What went back to budgets: beyond what the tries are billed."""


class LostWorkers:
    """Settles what workers that are gone have left in the database."""

    def __init__(self, storage: Storage, store: Stores) -> None:
        self._storage = storage
        self._store = store

    async def settle(self) -> Found:
        """Bill the tries nobody renewed, and give back what they held. Raises `DatabaseUnavailable`; then it is done again."""
        found = Found()
        while copies := await self._expired():
            told = await self._told({each.dispatch.id for each in copies})
            fresh = [each for each in copies if each.dispatch.id not in told]
            lost = await self._store.apply(await self._events(fresh)) if fresh else 0
            found = Found(found.lost + lost, found.released_nanos + await self._release(copies, told))
        return found

    async def _expired(self) -> list[_Copy]:
        from sqlalchemy import func, select

        from execution_platform.storage.schema import reservations

        columns = reservations.c
        asked = select(columns.record).where(columns.lease_until < func.now()).order_by(columns.id).limit(_MOST)
        async with self._storage.read() as connection:
            return [msgspec.convert(each, _Copy) for each in (await connection.execute(asked)).scalars()]

    async def _told(self, ids: set[str]) -> set[str]:
        """Those whose own worker has told how they ended: their leases know it."""
        from sqlalchemy import select

        from execution_platform.storage.schema import cost_events

        columns = cost_events.c
        asked = select(columns.id).where(columns.id.in_(ids), columns.status != "lost")
        async with self._storage.read() as connection:
            return set((await connection.execute(asked)).scalars())

    async def _events(self, copies: Sequence[_Copy]) -> list[CostEvent]:
        progress = {each.dispatch.id: each.progress for each in copies}
        finished = await self._store.finished({each.dispatch.account.request_id for each in copies})
        return [
            CostEvent(dispatch, lost_settlement(dispatch, progress[dispatch.id], final=final))
            for dispatch, final in with_final((each.dispatch for each in copies), finished)
        ]

    async def _release(self, copies: Sequence[_Copy], told: set[str]) -> int:
        """Nano-dollars that went back to budgets; a try under several counts for each."""
        from sqlalchemy import delete

        from execution_platform.storage.schema import reservations

        back = 0
        ids = [each.dispatch.id for each in copies]
        async with self._storage.write() as connection:
            # Whoever deletes a copy gives back what it held, so that two replicas never do it twice.
            gone = delete(reservations).where(reservations.c.id.in_(ids)).returning(reservations.c.id)
            mine = set((await connection.execute(gone)).scalars()) - told
            held = [(lease, each.dispatch) for each in copies if each.dispatch.id in mine for lease in each.leases]
            for lease, dispatch in sorted(held, key=lambda each: each[0]):
                hold = Amount(dispatch.hold_nanos, dispatch.hold_tokens)
                back += (await give_back(connection, lease, hold)).nanos
        return back


async def forget(storage: Storage, worker: str) -> None:
    """Delete the copies of a worker whose journal was read. Raises `DatabaseUnavailable`."""
    from sqlalchemy import delete

    from execution_platform.storage.schema import reservations

    async with storage.write() as connection:
        await connection.execute(delete(reservations).where(reservations.c.worker == worker))
