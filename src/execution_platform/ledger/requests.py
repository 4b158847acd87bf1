"""The request log in the database: who asked for what, and how it went. Names, numbers and codes; content only on demand.

It is a convenience beside the books, so it fails open: requests are gathered in memory and written in batches, and when the
database is away for long the newest are dropped and counted.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from operator import add
from typing import TYPE_CHECKING, Any

import msgspec

from execution_platform.ledger.rows import REQUEST_ID, is_short, local_moment, moment, names, text, whole
from execution_platform.storage.engine import Storage
from execution_platform.storage.given import Given

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

    from execution_platform.storage.local import Session

_BATCH = 5000
_FORGOTTEN = 1000
"""Rows deleted by one statement, so that no lock is held for long."""
_CODE = 64
FILTERS = ("tenant", "key_id", "persona", "provider", "model", "status", "error", "request_id", "run_id")
_BODIES = ("request_body", "response_body")


class Noted(msgspec.Struct, frozen=True, gc=False):
    """One request that is over: the columns of `requests`, as they come."""

    request_id: str
    timestamp: int
    """Nanoseconds since 1970."""
    tenant: str
    key_id: str
    persona: str
    run_id: str
    provider: str
    model: str
    dialect: str
    operation: str
    status: int
    error: str | None
    stream: bool
    attempts: int
    finish: str | None
    duration_ms: float
    first_content_ms: float | None
    input_tokens: int
    output_tokens: int
    cost_nanos: int
    config_version: str
    trace_id: str | None
    request_body: bytes | None
    response_body: bytes | None


COLUMNS = Noted.__struct_fields__
_SHARED = (
    "tenant", "key_id", "persona", "run_id", "provider", "model", "dialect", "operation", "status", "error", "stream",
    "attempts", "finish", "config_version",
)  # fmt: skip
_OWN = ("request_id", "timestamp", "duration_ms", "input_tokens", "output_tokens", "cost_nanos")
_RARE = ("first_content_ms", "trace_id")
_ONE = f"INSERT INTO requests ({','.join(COLUMNS)}) VALUES ({','.join('?' * len(COLUMNS))})"  # noqa: S608 - ours


async def write(storage: Storage, waiting: deque[Noted]) -> None:
    """Write everything that waits now. Raises `DatabaseUnavailable`; what is not written still waits then."""
    left = len(waiting)
    while left:
        batch = [waiting[place] for place in range(min(_BATCH, left))]
        left -= len(batch)
        if storage.is_postgresql:
            await _send(storage, batch)
        else:
            await storage.local(partial(_store, batch))
        for _ in batch:
            waiting.popleft()


def _store(batch: Sequence[Noted], session: "Session") -> None:
    full = [each for each in batch if each.request_body is not None or each.response_body is not None]
    if not full:
        session.insert("requests", _given(batch))  # one statement is a transaction by itself
        return
    plain = [each for each in batch if each.request_body is None and each.response_body is None]
    with session.transaction():
        session.insert("requests", _given(plain))
        session.connection.executemany(_ONE, [_row(each, local_moment(each.timestamp)) for each in full])


def _given(batch: Sequence[Noted]) -> Given:
    """Rows without content. What most of them have in common is given once."""
    places: dict[tuple[Any, ...], int] = {}
    rows: list[tuple[Any, ...]] = []
    for each in batch:
        given = (
            each.tenant, each.key_id, each.persona, each.run_id, each.provider, each.model, each.dialect,
            each.operation, each.status, each.error, each.stream, each.attempts, each.finish, each.config_version,
        )  # fmt: skip
        place = places.get(given)
        if place is None:
            place = places[given] = len(places)
        request_id = each.request_id
        rows.append(
            (
                place,
                request_id if is_short(request_id, REQUEST_ID) else text(request_id, REQUEST_ID),
                local_moment(each.timestamp),
                each.duration_ms,
                whole(each.input_tokens),
                whole(each.output_tokens),
                whole(each.cost_nanos),
            )
        )
    shared, rare = [_cut(each) for each in places], [(each.first_content_ms, each.trace_id) for each in batch]
    if all(each == (None, None) for each in rare):
        return Given(_OWN, rows, _SHARED, shared)
    return Given((*_OWN, *_RARE), list(map(add, rows, rare)), _SHARED, shared)


def _cut(given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Values of `_SHARED` as columns hold them."""
    *named, dialect, operation, status, error, stream, attempts, finish, version = given
    error = None if error is None else text(error, _CODE)
    return (*names(*named), dialect, operation, status, error, stream, attempts, finish, version)


async def _send(storage: Storage, batch: Sequence[Noted]) -> None:
    from sqlalchemy import insert

    from execution_platform.storage.schema import request_log

    rows = [dict(zip(COLUMNS, _row(each, moment(each.timestamp)), strict=True)) for each in batch]
    async with storage.write() as connection:
        await connection.execute(insert(request_log), rows)


def _row(given: Noted, at: object) -> tuple[Any, ...]:
    """In the order of `COLUMNS`."""
    request_id = given.request_id
    return (
        request_id if is_short(request_id, REQUEST_ID) else text(request_id, REQUEST_ID),
        at,
        *names(given.tenant, given.key_id, given.persona, given.run_id, given.provider, given.model),
        given.dialect,
        given.operation,
        given.status,
        None if given.error is None else text(given.error, _CODE),
        given.stream,
        given.attempts,
        given.finish,
        given.duration_ms,
        given.first_content_ms,
        whole(given.input_tokens),
        whole(given.output_tokens),
        whole(given.cost_nanos),
        given.config_version,
        given.trace_id,
        given.request_body,
        given.response_body,
    )


async def page(
    storage: Storage,
    only: Mapping[str, object],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Requests, the newest first, without content: those before `before` (a `seq`). Raises `DatabaseUnavailable`."""
    from sqlalchemy import select

    from execution_platform.storage.schema import request_log

    columns = request_log.c
    asked = select(*(column for column in columns if column.name not in _BODIES))
    asked = asked.where(*(columns[each] == value for each, value in only.items()))
    if start is not None:
        asked = asked.where(columns.timestamp >= start)
    if end is not None:
        asked = asked.where(columns.timestamp < end)
    if before is not None:
        asked = asked.where(columns.seq < before)
    tenant = only.get("tenant")
    async with storage.read(str(tenant) if tenant else None) as connection:
        rows = await connection.execute(asked.order_by(columns.seq.desc()).limit(limit))
        return [_named(row) for row in rows.mappings()]


async def find(storage: Storage, request_id: str, tenant: str | None) -> dict[str, Any] | None:
    """The newest request of that id with its content; None when there is none of that tenant."""
    from sqlalchemy import select

    from execution_platform.storage.schema import request_log

    columns = request_log.c
    asked = select(request_log).where(columns.request_id == request_id).order_by(columns.seq.desc()).limit(1)
    if tenant is not None:
        asked = asked.where(columns.tenant == tenant)
    async with storage.read(tenant) as connection:
        row = (await connection.execute(asked)).mappings().first()
    return None if row is None else _named(row)


def _named(row: "RowMapping") -> dict[str, Any]:
    return {str(column): value for column, value in row.items()}


async def forget(
    storage: Storage, now: datetime, days: int, *, of: str | None = None, but: Collection[str] = ()
) -> int:
    """Delete what is older than so many days, of one tenant or of all but some; how many requests. Raises `DatabaseUnavailable`."""
    gone, old = 0, now - timedelta(days=days)
    while True:
        if storage.is_postgresql:
            deleted = await _forget(storage, old, of, but)
        else:
            deleted = await storage.local(partial(_forget_locally, int(old.timestamp() * 1e9), of, sorted(but)))
        gone += deleted
        if deleted < _FORGOTTEN:
            return gone


def _forget_locally(old: int, of: str | None, but: Sequence[str], session: "Session") -> int:
    some = f"SELECT seq FROM requests WHERE timestamp < ? AND tenant NOT IN ({','.join('?' * len(but))})"  # noqa: S608 - question marks
    values: list[object] = [local_moment(old), *but]
    if of is not None:
        some += " AND tenant = ?"
        values.append(of)
    statement = f"DELETE FROM requests WHERE seq IN ({some} LIMIT ?)"  # noqa: S608 - the text above
    return session.connection.execute(statement, (*values, _FORGOTTEN)).rowcount


async def _forget(storage: Storage, old: datetime, of: str | None, but: Collection[str]) -> int:
    from sqlalchemy import delete, select

    from execution_platform.storage.schema import request_log

    columns = request_log.c
    some = select(columns.seq).where(columns.timestamp < old, columns.tenant.not_in(but)).limit(_FORGOTTEN)
    if of is not None:
        some = some.where(columns.tenant == of)
    async with storage.write() as connection:
        done = await connection.execute(delete(request_log).where(columns.seq.in_(some.scalar_subquery())))
    return done.rowcount
