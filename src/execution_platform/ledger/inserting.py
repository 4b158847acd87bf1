"""Many rows into `cost_events` at once, and which of them were new.

This is the one statement that runs for every request, so it does without SQLAlchemy's work per value: the statement is
compiled once from the table, and the driver gets plain tuples. SQLite has one writer, who may look first and insert then;
PostgreSQL takes all rows as arrays in one statement and says itself which were new.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import ARRAY, bindparam, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from execution_platform.ledger.rows import COLUMNS
from execution_platform.storage.schema import cost_events

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_ID, _TIME = COLUMNS.index("id"), COLUMNS.index("timestamp")


async def insert_new(connection: "AsyncConnection", rows: Sequence[tuple[Any, ...]]) -> set[str]:
    """Insert those of `rows` (of different ids, as `rows.row` makes them) that are not there yet; their ids."""
    if connection.dialect.name == "postgresql":
        return await _as_arrays(connection, rows)
    return await _one_by_one(connection, rows)


async def _one_by_one(connection: "AsyncConnection", rows: Sequence[tuple[Any, ...]]) -> set[str]:
    ids = [row[_ID] for row in rows]
    known = await connection.execute(select(cost_events.c.id).where(cost_events.c.id.in_(ids)))
    new = set(ids) - set(known.scalars())
    if new:
        values = [_for_sqlite(row) for row in rows if row[_ID] in new]
        await connection.exec_driver_sql(_sqlite_statement(), values)
    return new


def _for_sqlite(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """As SQLAlchemy's types write a UUID and a time, so that they read them."""
    at: datetime = row[_TIME]
    written = at.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
    return (row[_ID].replace("-", ""), *row[1:_TIME], written)


@cache
def _sqlite_statement() -> str:
    dialect = sqlite.dialect(paramstyle="qmark")
    return str(insert(cost_events).values({name: bindparam(name) for name in COLUMNS}).compile(dialect=dialect))


async def _as_arrays(connection: "AsyncConnection", rows: Sequence[tuple[Any, ...]]) -> set[str]:
    columns = tuple(map(list, zip(*rows, strict=True)))
    result = await connection.exec_driver_sql(_postgresql_statement(), columns)
    return {str(each) for each in result.scalars()}


@cache
def _postgresql_statement() -> str:
    arrays = [func.unnest(bindparam(name, type_=ARRAY(cost_events.c[name].type))).label(name) for name in COLUMNS]
    statement = postgresql.insert(cost_events).from_select(COLUMNS, select(*arrays))
    once = statement.on_conflict_do_nothing(index_elements=["id"]).returning(cost_events.c.id)
    return str(once.compile(dialect=postgresql.asyncpg.dialect()))
