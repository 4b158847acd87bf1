"""Runs in the database: one row each, and what belongs to it.

A run is worked on by one worker at a time. Taking it counts its epoch up, and every write of a worker names the epoch it took: one
that has lost the run, because it was away for longer than its lease, changes nothing any more and learns that it has lost.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from execution_platform.exceptions import ErrorKind, ExecutionPlatformError
from execution_platform.storage import migrations
from execution_platform.storage.engine import Storage

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection

    from execution_platform.storage.local import Session

LEASE = timedelta(seconds=30)
OPEN = ("running", "waiting")
ANSWERED, FAILED = "answered", "failed"
"""What is decided of a call of the caller's own tool."""
_FORGOTTEN = 200
"""Runs deleted by one transaction, so that no lock is held for long."""
Row = Mapping[str, Any]


class RunLost(ExecutionPlatformError):
    """Another worker has taken the run; this one must do nothing more for it."""

    kind = ErrorKind.CANCELLED
    code = "run_lost"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal; `place` is -1 for a turn itself."""

    path: str
    turn: int
    place: int
    kind: str
    data: str


@dataclass(frozen=True, slots=True)
class Frames:
    """Events of a run from number `first` on."""

    first: int
    last: int
    data: str


@dataclass(slots=True)
class Orders:
    """What others want of a run."""

    cancel: bool = False
    model: str | None = None
    decisions: dict[str, str] = field(default_factory=dict[str, str])
    """By the seal of the approval."""


def utc() -> datetime:
    """Now."""
    return datetime.now(UTC)


class RunStore:
    """The runs of one database. Every method raises `DatabaseUnavailable`."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._is_ready = False

    async def _ready(self) -> None:
        if not self._is_ready:
            await migrations.prepare(self._storage)
            self._is_ready = True

    async def create(self, values: Row, worker: str) -> None:
        """A new run, taken by `worker` with epoch 1."""
        from sqlalchemy import insert

        from execution_platform.storage.schema import runs

        await self._ready()
        now = utc()
        own = {"epoch": 1, "worker": worker, "leased_until": now + LEASE, "created_at": now, "updated_at": now}
        async with self._storage.write() as connection:
            await connection.execute(insert(runs).values(**values, **own))

    async def take(self, run_id: str, epoch: int, worker: str) -> bool:
        """Take a run that stands at `epoch`; False when somebody else was first."""
        from sqlalchemy import update

        from execution_platform.storage.schema import runs

        await self._ready()
        now = utc()
        taken = {"epoch": epoch + 1, "worker": worker, "leased_until": now + LEASE, "updated_at": now}
        statement = update(runs).where(runs.c.id == run_id, runs.c.epoch == epoch, runs.c.status.in_(OPEN))
        async with self._storage.write() as connection:
            return (await connection.execute(statement.values(**taken))).rowcount == 1

    async def open_runs(self) -> list[Row]:
        """Every run that is not over, whoever works on it."""
        await self._ready()
        if not self._storage.is_postgresql and not await self._storage.local(_any_open):
            return []  # asked at every start, so without what the other statements need in memory
        from sqlalchemy import select

        from execution_platform.storage.schema import runs

        async with self._storage.read() as connection:
            found = await connection.execute(select(runs).where(runs.c.status.in_(OPEN)))
            return [dict(row) for row in found.mappings()]

    async def reopen(self, run_id: str) -> bool:
        """Let a run that failed or was stopped go on; False when it is not over, or is done."""
        from sqlalchemy import update

        from execution_platform.storage.schema import runs

        await self._ready()
        over = runs.c.status.in_(("failed", "stopped", "cancelled"))
        again = {
            "status": "running",
            "reason": None,
            "error": None,
            "cancel": False,
            "finished_at": None,
            "worker": None,
        }
        async with self._storage.write() as connection:
            done = await connection.execute(update(runs).where(runs.c.id == run_id, over).values(**again))
            return done.rowcount == 1

    async def forget(
        self, before: datetime, *, of: str | None = None, but: Collection[str] = ()
    ) -> list[tuple[str, str]]:
        """Delete some runs that were over by then, with their journals, events and approvals: the tenant and the id of each.

        Of one tenant, or of all but some; none when there are no more.
        """
        await self._ready()
        if not self._storage.is_postgresql and not await self._storage.local(_any_over):
            return []  # asked again and again, so without what the other statements need in memory
        from sqlalchemy import delete, select

        from execution_platform.storage.schema import run_approvals, run_events, run_journal, runs

        over = [runs.c.status.not_in(OPEN), runs.c.finished_at < before, runs.c.tenant.not_in(but)]
        if of is not None:
            over.append(runs.c.tenant == of)
        async with self._storage.write() as connection:
            # Held until the end, so that nobody takes one up again meanwhile.
            asked = select(runs.c.tenant, runs.c.id).where(*over).limit(_FORGOTTEN).with_for_update()
            found = [(str(row.tenant), str(row.id)) for row in await connection.execute(asked)]
            names = [run_id for _, run_id in found]
            for table in (run_journal, run_events, run_approvals):
                await connection.execute(delete(table).where(table.c.run_id.in_(names)))
            await connection.execute(delete(runs).where(runs.c.id.in_(names)))
        return found

    async def known(self, names: Sequence[str]) -> set[str]:
        """Those of `names` that are runs here."""
        if not names:
            return set()
        await self._ready()
        from sqlalchemy import select

        from execution_platform.storage.schema import runs

        found: set[str] = set()
        async with self._storage.read() as connection:
            for at in range(0, len(names), _FORGOTTEN):
                asked = select(runs.c.id).where(runs.c.id.in_(names[at : at + _FORGOTTEN]))
                found.update(str(row.id) for row in await connection.execute(asked))
        return found

    # What the worker of a run writes

    async def write(
        self,
        run_id: str,
        epoch: int,
        *,
        entries: Sequence[Entry] = (),
        frames: Frames | None = None,
        values: Row | None = None,
    ) -> None:
        """Journal, events and changes of the row, all or none. Raises `RunLost`."""
        from sqlalchemy import insert

        from execution_platform.storage.schema import run_events, run_journal

        async with self._storage.write() as connection:
            await self._hold(connection, run_id, epoch, values or {})
            if entries:
                at = utc()
                rows = [
                    {"run_id": run_id, "path": each.path, "turn": each.turn, "place": each.place, "kind": each.kind}
                    | {"data": each.data, "at": at}
                    for each in entries
                ]
                await connection.execute(insert(run_journal), rows)
            if frames is not None:
                told = {"run_id": run_id, "first": frames.first, "last": frames.last, "data": frames.data}
                await connection.execute(insert(run_events).values(**told))

    async def _hold(self, connection: "AsyncConnection", run_id: str, epoch: int, values: Row) -> None:
        from sqlalchemy import update

        from execution_platform.storage.schema import runs

        statement = update(runs).where(runs.c.id == run_id, runs.c.epoch == epoch)
        done = await connection.execute(statement.values(**{"updated_at": utc(), **values}))
        if done.rowcount != 1:
            raise RunLost(f"run {run_id} is worked on elsewhere")

    async def renew(self, held: Mapping[str, int]) -> dict[str, Orders]:
        """Prolong the leases of the runs with these epochs; what is wanted of each. A run that is missing is lost."""
        from sqlalchemy import and_, or_, select, update

        from execution_platform.storage.schema import run_approvals, runs

        mine = or_(*(and_(runs.c.id == run_id, runs.c.epoch == epoch) for run_id, epoch in held.items()))
        decided = run_approvals.c.decision.is_not(None)
        async with self._storage.write() as connection:
            await connection.execute(update(runs).where(mine).values(leased_until=utc() + LEASE))
            rows = await connection.execute(select(runs.c.id, runs.c.cancel, runs.c.model).where(mine))
            orders = {str(row.id): Orders(bool(row.cancel), row.model) for row in rows}
            asked = select(run_approvals.c.run_id, run_approvals.c.seal, run_approvals.c.decision)
            for row in await connection.execute(asked.where(decided, run_approvals.c.run_id.in_(list(orders)))):
                orders[str(row.run_id)].decisions[str(row.seal)] = str(row.decision)
        return orders

    async def release(self, held: Mapping[str, int]) -> None:
        """Let go of runs that others shall take on."""
        from sqlalchemy import update

        from execution_platform.storage.schema import runs

        async with self._storage.write() as connection:
            for run_id, epoch in held.items():
                free = update(runs).where(runs.c.id == run_id, runs.c.epoch == epoch)
                await connection.execute(free.values(worker=None, leased_until=None))

    # What anybody may read or want

    async def find(self, run_id: str, tenant: str | None) -> Row | None:
        """A run of that tenant; of any with None."""
        rows = await self._rows(tenant, run_id=run_id, limit=1)
        return rows[0] if rows else None

    async def page(
        self, tenant: str | None, *, owner: str | None = None, status: str | None = None, limit: int = 50
    ) -> list[Row]:
        """Runs, the newest first."""
        return await self._rows(tenant, owner=owner, status=status, limit=limit)

    async def _rows(
        self,
        tenant: str | None,
        *,
        run_id: str | None = None,
        owner: str | None = None,
        status: str | None = None,
        limit: int,
    ) -> list[Row]:
        from sqlalchemy import select

        from execution_platform.storage.schema import runs

        await self._ready()
        asked: dict[str, str | None] = {"tenant": tenant, "id": run_id, "owner": owner, "status": status}
        only: list[ColumnElement[bool]] = [runs.c[name] == value for name, value in asked.items() if value is not None]
        statement = select(runs).where(*only).order_by(runs.c.created_at.desc()).limit(limit)
        async with self._storage.read(tenant) as connection:
            return [dict(row) for row in (await connection.execute(statement)).mappings()]

    async def journal(self, run_id: str) -> list[Entry]:
        """What a run has written down, in order."""
        from sqlalchemy import select

        from execution_platform.storage.schema import run_journal as table

        columns = (table.c.path, table.c.turn, table.c.place, table.c.kind, table.c.data)
        statement = select(*columns).where(table.c.run_id == run_id).order_by(table.c.seq)
        async with self._storage.read() as connection:
            return [Entry(*row) for row in await connection.execute(statement)]

    async def frames(self, run_id: str, after: int) -> list[Frames]:
        """The events of a run behind number `after`; the first frames may begin before it."""
        from sqlalchemy import select

        from execution_platform.storage.schema import run_events as table

        columns = (table.c.first, table.c.last, table.c.data)
        statement = select(*columns).where(table.c.run_id == run_id, table.c.last > after).order_by(table.c.first)
        async with self._storage.read() as connection:
            return [Frames(*row) for row in await connection.execute(statement)]

    async def order(self, run_id: str, values: Row) -> bool:
        """Want something of a run (`cancel`, `model`); False when it is over."""
        from sqlalchemy import update

        from execution_platform.storage.schema import runs

        statement = update(runs).where(runs.c.id == run_id, runs.c.status.in_(OPEN)).values(**values)
        async with self._storage.write() as connection:
            return (await connection.execute(statement)).rowcount == 1

    async def ask(self, run_id: str, call_key: str, seal: str, expires: datetime) -> str | None:
        """Ask for an approval; the decision, where the same was asked and decided before."""
        from sqlalchemy import insert, select

        from execution_platform.storage.schema import run_approvals as table

        same = (table.c.run_id == run_id, table.c.call_key == call_key, table.c.seal == seal)
        async with self._storage.write() as connection:
            found = (await connection.execute(select(table.c.decision).where(*same))).first()
            if found is not None:
                return None if found.decision is None else str(found.decision)
            values = {"run_id": run_id, "call_key": call_key, "seal": seal, "expires_at": expires}
            await connection.execute(insert(table).values(**values))
        return None

    async def expect(self, run_id: str, call_key: str, seal: str, expires: datetime) -> tuple[str, bool] | None:
        """Wait for an answer of the caller until then; the answer, and whether it is a failure, where there is one."""
        from sqlalchemy import insert, select, update

        from execution_platform.storage.schema import run_approvals as table

        same = (table.c.run_id == run_id, table.c.call_key == call_key, table.c.seal == seal)
        async with self._storage.write() as connection:
            found = (await connection.execute(select(table.c.decision, table.c.answer).where(*same))).first()
            if found is None:
                values = {"run_id": run_id, "call_key": call_key, "seal": seal, "expires_at": expires}
                await connection.execute(insert(table).values(**values))
            elif found.decision is None:
                await connection.execute(update(table).where(*same).values(expires_at=expires))
            else:
                return str(found.answer or ""), found.decision != ANSWERED
        return None

    async def decide(
        self, run_id: str, call_key: str, seal: str, decision: str, by: str, *, answer: str | None = None
    ) -> bool:
        """Decide on what was asked for, or answer it, once and in time; False when there is nothing to decide."""
        from sqlalchemy import update

        from execution_platform.storage.schema import run_approvals as table

        now = utc()
        same = (table.c.run_id == run_id, table.c.call_key == call_key, table.c.seal == seal)
        open_ = (table.c.decision.is_(None), table.c.expires_at > now)
        values = {"decision": decision, "decided_by": by, "decided_at": now, "answer": answer}
        async with self._storage.write() as connection:
            return (await connection.execute(update(table).where(*same, *open_).values(**values))).rowcount == 1


def paths(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """The entries of each agent."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.path, []).append(entry)
    return found


def _any_over(session: "Session") -> bool:
    marks = ", ".join("?" * len(OPEN))
    asked = f"SELECT EXISTS (SELECT 1 FROM runs WHERE status NOT IN ({marks}))"  # noqa: S608 - marks only
    return bool(session.connection.execute(asked, OPEN).fetchone()[0])


def _any_open(session: "Session") -> bool:
    marks = ", ".join("?" * len(OPEN))
    asked = f"SELECT EXISTS (SELECT 1 FROM runs WHERE status IN ({marks}))"  # noqa: S608 - marks only
    return bool(session.connection.execute(asked, OPEN).fetchone()[0])
