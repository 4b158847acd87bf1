"""The request log in the database: who asked for what, and how it went. Names, numbers and codes; content only on demand.

It is a convenience beside the books, so it fails open: requests are gathered in memory and written in batches, and when the
database is away for long the newest are dropped and counted.
"""

from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select

from execution_platform.ledger.rows import REQUEST_ID, name, text, whole
from execution_platform.storage.engine import Storage
from execution_platform.storage.schema import request_log

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

_BATCH = 500
_FORGOTTEN = 1000
"""Rows deleted by one statement, so that no lock is held for long."""
FILTERS = ("tenant", "key_id", "persona", "provider", "model", "status", "error", "request_id", "run_id")
_BODIES = ("request_body", "response_body")


async def write(storage: Storage, waiting: "deque[dict[str, Any]]") -> None:
    """Write everything that waits. Raises `DatabaseUnavailable`; what is not written still waits then."""
    while waiting:
        batch = [waiting[place] for place in range(min(_BATCH, len(waiting)))]
        async with storage.write() as connection:
            await connection.execute(insert(request_log), [_row(each) for each in batch])
        for _ in batch:
            waiting.popleft()


def _row(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **given,
        "request_id": text(given["request_id"], REQUEST_ID),
        "error": None if given["error"] is None else text(given["error"], 64),
        **{each: name(given[each]) for each in ("tenant", "key_id", "persona", "run_id", "provider", "model")},
        **{each: whole(given[each]) for each in ("input_tokens", "output_tokens", "cost_nanos")},
    }


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
    columns = request_log.c
    asked = select(request_log).where(columns.request_id == request_id).order_by(columns.seq.desc()).limit(1)
    if tenant is not None:
        asked = asked.where(columns.tenant == tenant)
    async with storage.read(tenant) as connection:
        row = (await connection.execute(asked)).mappings().first()
    return None if row is None else _named(row)


def _named(row: "RowMapping") -> dict[str, Any]:
    return {str(column): value for column, value in row.items()}


async def forget(storage: Storage, now: datetime, days: int) -> int:
    """Delete what is older than so many days; how many requests that were. Raises `DatabaseUnavailable`."""
    columns, gone = request_log.c, 0
    old = select(columns.seq).where(columns.timestamp < now - timedelta(days=days)).limit(_FORGOTTEN)
    while True:
        async with storage.write() as connection:
            done = await connection.execute(delete(request_log).where(columns.seq.in_(old.scalar_subquery())))
        gone += done.rowcount
        if done.rowcount < _FORGOTTEN:
            return gone
