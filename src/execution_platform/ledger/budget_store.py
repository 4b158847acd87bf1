"""The authority over budgets: windows and leases in the database, one short transaction for each change.

Everything a process reports of its lease is absolute, so a transaction that is repeated because its outcome was unknown
changes nothing. The first statement of each transaction locks the window's row; who shares a window waits for microseconds.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from execution_platform.ledger.budgets import NO_LIMIT, UNLIMITED, Amount
from execution_platform.ledger.leases import Standing, SyncRequest, grant
from execution_platform.ledger.periods import Period, Window
from execution_platform.storage.engine import Storage

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping, Table
    from sqlalchemy.ext.asyncio import AsyncConnection

_LEASE = timedelta(seconds=15)
"""A lease that was not renewed for so long belongs to a process that is gone or stuck."""


class WindowState(NamedTuple):
    """One window as the database has it."""

    scope: str
    period: Period
    start: int
    spent: Amount
    reserved: Amount
    extra: Amount
    requests: int


def moment(seconds: float) -> datetime:
    """Seconds since the epoch as the database takes them. The end of time is the last year it knows."""
    return datetime.fromtimestamp(min(seconds, 253_402_214_400), UTC)


class SqlBudgetStore:
    """`BudgetStore` over SQLite or PostgreSQL."""

    def __init__(self, storage: Storage, ready: Callable[[], Awaitable[object]]) -> None:
        """`ready` makes sure that the tables are there, and is quick when they are."""
        self._storage = storage
        self._ready = ready

    async def sync(self, request: SyncRequest) -> Standing:
        """Report a lease and have it enlarged or reduced. Raises `DatabaseUnavailable`."""
        await self._ready()
        async with self._storage.write() as connection:
            state = await self._locked(connection, request)
            granted, projected = await _lease(connection, request.lease)
            cap = _raised(request.bound.cap, state.extra)
            floor = request.settled.plus(request.held)
            reserves = granted.minus(projected).positive
            others = state.reserved.minus(reserves)
            room = cap.minus(state.spent).minus(others).minus(floor.minus(projected))
            give, limited = grant(request, room)
            target = floor.plus(give)
            change = target.minus(projected).positive.minus(reserves)
            await _write(connection, request, target, change, state.now)
            now = state.now.timestamp() if self._storage.is_postgresql else None
            return Standing(target, state.spent, state.reserved.plus(change), cap, limited, now)

    async def _locked(self, connection: "AsyncConnection", request: SyncRequest) -> "_Locked":
        from sqlalchemy import update

        from execution_platform.storage.schema import budget_windows

        key = _key(request)
        cap = request.bound.cap
        caps = {
            "cap_nanos": None if cap.nanos >= NO_LIMIT else cap.nanos,
            "cap_tokens": None if cap.tokens >= NO_LIMIT else cap.tokens,
        }
        columns = budget_windows.c
        statement = (
            update(budget_windows)
            .where(
                columns.scope == key["scope"],
                columns.period == key["period"],
                columns.period_start == key["period_start"],
            )
            .values(**caps)
            .returning(
                columns.spent_nanos,
                columns.spent_tokens,
                columns.reserved_nanos,
                columns.reserved_tokens,
                columns.extra_nanos,
                columns.extra_tokens,
                self._clock(),
            )
        )
        row = (await connection.execute(statement)).mappings().first()
        if row is None:
            await connection.run_sync(insert_quietly, budget_windows, [{**key, **caps}])
            row = (await connection.execute(statement)).mappings().one()
        now = datetime.now(UTC) if row["now"] is None else row["now"]
        return _Locked(
            Amount(row["spent_nanos"], row["spent_tokens"]),
            Amount(row["reserved_nanos"], row["reserved_tokens"]),
            Amount(row["extra_nanos"], row["extra_tokens"]),
            now,
        )

    def _clock(self):  # noqa: ANN202 - an SQL expression, typed where SQLAlchemy is imported
        from sqlalchemy import DateTime, func, null

        if self._storage.is_postgresql:
            return func.clock_timestamp(type_=DateTime(timezone=True)).label("now")
        # SQLite is on this machine: its clock is ours.
        return null().label("now")

    async def now(self) -> float | None:
        """The time by the database's clock; None where that is this machine's. Raises `DatabaseUnavailable`."""
        if not self._storage.is_postgresql:
            return None
        from sqlalchemy import select

        async with self._storage.read() as connection:
            moment = (await connection.execute(select(self._clock()))).scalar_one()
        return None if moment is None else moment.timestamp()

    async def close(self, lease: str) -> bool:
        """Forget a lease once every cost under it has arrived in the books. Raises `DatabaseUnavailable`."""
        from sqlalchemy import delete, select

        from execution_platform.storage.schema import budget_leases

        await self._ready()
        columns = budget_leases.c
        async with self._storage.write() as connection:
            done = await connection.execute(
                delete(budget_leases).where(
                    columns.id == lease,
                    columns.amount_nanos == columns.spent_nanos,
                    columns.amount_tokens == columns.spent_tokens,
                )
            )
            if done.rowcount:
                return True
            left = await connection.execute(select(columns.id).where(columns.id == lease))
            return left.first() is None

    async def close_worker(self, worker: str) -> int:
        """Release what the leases of a process still reserve, once all its costs are in the books; how many there were.

        To be called when the journal of a process that is gone has been read to its end. Raises `DatabaseUnavailable`.
        """
        from sqlalchemy import delete, select

        from execution_platform.storage.schema import budget_leases

        await self._ready()
        columns = budget_leases.c
        async with self._storage.write() as connection:
            found = await connection.execute(
                select(columns.id)
                .where(columns.worker == worker)
                .order_by(columns.scope, columns.period, columns.period_start)
            )
            leases: Sequence[str] = found.scalars().all()
            for lease in leases:
                await give_back(connection, lease, UNLIMITED)
            await connection.execute(delete(budget_leases).where(columns.worker == worker))
            return len(leases)

    async def approve(self, scope: str, period: Period, window: Window, extra: Amount) -> None:
        """Raise the limits of one window. Raises `DatabaseUnavailable`."""
        from sqlalchemy import update

        from execution_platform.storage.schema import budget_windows

        columns = budget_windows.c
        key = {"scope": scope, "period": period, "period_start": moment(window.start)}
        await self._ready()
        async with self._storage.write() as connection:
            await connection.run_sync(insert_quietly, budget_windows, [key])
            await connection.execute(
                update(budget_windows)
                .where(columns.scope == scope, columns.period == period, columns.period_start == key["period_start"])
                .values(extra_nanos=columns.extra_nanos + extra.nanos, extra_tokens=columns.extra_tokens + extra.tokens)
            )

    async def windows(self, wanted: Sequence[tuple[str, Period, int]]) -> list[WindowState]:
        """The windows of these scopes, periods and starts that exist. Raises `DatabaseUnavailable`."""
        from sqlalchemy import select, tuple_

        from execution_platform.storage.schema import budget_windows

        if not wanted:
            return []
        columns = budget_windows.c
        keys = [(scope, period, moment(start)) for scope, period, start in wanted]
        await self._ready()
        async with self._storage.read() as connection:
            found = await connection.execute(
                select(budget_windows).where(tuple_(columns.scope, columns.period, columns.period_start).in_(keys))
            )
            return [_state(row) for row in found.mappings()]

    async def latest(self, period: Period, start: int, *, prefix: str, most: int) -> list[WindowState]:
        """The windows of one period and start whose scope begins with `prefix`, by what they spent. Raises `DatabaseUnavailable`."""
        from sqlalchemy import select

        from execution_platform.storage.schema import budget_windows

        columns = budget_windows.c
        await self._ready()
        async with self._storage.read() as connection:
            found = await connection.execute(
                select(budget_windows)
                .where(
                    columns.period == period,
                    columns.period_start == moment(start),
                    columns.scope.startswith(prefix, autoescape=True),
                )
                .order_by(columns.spent_nanos.desc(), columns.spent_tokens.desc())
                .limit(most)
            )
            return [_state(row) for row in found.mappings()]


class _Locked(NamedTuple):
    spent: Amount
    reserved: Amount
    extra: Amount
    now: datetime


def _state(row: "RowMapping") -> WindowState:
    return WindowState(
        row["scope"],
        row["period"],
        int(row["period_start"].timestamp()),
        Amount(row["spent_nanos"], row["spent_tokens"]),
        Amount(row["reserved_nanos"], row["reserved_tokens"]),
        Amount(row["extra_nanos"], row["extra_tokens"]),
        row["requests"],
    )


def _raised(cap: Amount, extra: Amount) -> Amount:
    return Amount(min(NO_LIMIT, cap.nanos + extra.nanos), min(NO_LIMIT, cap.tokens + extra.tokens))


def _key(request: SyncRequest) -> dict[str, object]:
    bound = request.bound
    return {"scope": bound.scope, "period": bound.period, "period_start": moment(request.window.start)}


async def _lease(connection: "AsyncConnection", lease: str) -> tuple[Amount, Amount]:
    """What was granted under the lease, and how much of that is in the books."""
    from sqlalchemy import select

    from execution_platform.storage.schema import budget_leases

    row = (await connection.execute(select(budget_leases).where(budget_leases.c.id == lease))).mappings().first()
    if row is None:
        return Amount(), Amount()
    return Amount(row["amount_nanos"], row["amount_tokens"]), Amount(row["spent_nanos"], row["spent_tokens"])


async def _write(
    connection: "AsyncConnection", request: SyncRequest, target: Amount, change: Amount, now: datetime
) -> None:
    from sqlalchemy import update

    from execution_platform.storage.schema import budget_leases, budget_windows

    key = _key(request)
    renewed = {"amount_nanos": target.nanos, "amount_tokens": target.tokens, "expires_at": now + _LEASE}
    done = await connection.execute(update(budget_leases).where(budget_leases.c.id == request.lease).values(**renewed))
    if not done.rowcount:
        await connection.execute(
            budget_leases.insert().values(id=request.lease, worker=request.worker, **key, **renewed)
        )
    if change != Amount():
        columns = budget_windows.c
        await connection.execute(
            update(budget_windows)
            .where(
                columns.scope == key["scope"],
                columns.period == key["period"],
                columns.period_start == key["period_start"],
            )
            .values(
                reserved_nanos=columns.reserved_nanos + change.nanos,
                reserved_tokens=columns.reserved_tokens + change.tokens,
            )
        )


async def give_back(connection: "AsyncConnection", lease: str, most: Amount) -> Amount:
    """Take up to `most` out of what a lease reserves, as part of a transaction; how much that was.

    Only for a lease whose process is gone. The window's row is locked first, as everywhere.
    """
    from sqlalchemy import select, update

    from execution_platform.storage.schema import budget_leases, budget_windows

    asked = select(budget_leases).where(budget_leases.c.id == lease)
    row = (await connection.execute(asked)).mappings().first()
    if row is None:
        return Amount()
    columns = budget_windows.c
    here = (
        (columns.scope == row["scope"])
        & (columns.period == row["period"])
        & (columns.period_start == row["period_start"])
    )
    await connection.execute(update(budget_windows).where(here).values(requests=columns.requests))
    row = (await connection.execute(asked)).mappings().first()
    if row is None:
        return Amount()
    left = Amount(row["amount_nanos"], row["amount_tokens"]).minus(Amount(row["spent_nanos"], row["spent_tokens"]))
    back = left.positive.at_most(most)
    await connection.execute(
        update(budget_leases)
        .where(budget_leases.c.id == lease)
        .values(amount_nanos=row["amount_nanos"] - back.nanos, amount_tokens=row["amount_tokens"] - back.tokens)
    )
    await connection.execute(
        update(budget_windows)
        .where(here)
        .values(
            reserved_nanos=columns.reserved_nanos - back.nanos, reserved_tokens=columns.reserved_tokens - back.tokens
        )
    )
    return back


def insert_quietly(connection: "Connection", table: "Table", rows: "Sequence[Mapping[str, object]]") -> int:
    """Insert those of `rows` that are not there yet; how many that were."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert
    done = connection.execute(insert(table).values(list(rows)).on_conflict_do_nothing())
    return done.rowcount
