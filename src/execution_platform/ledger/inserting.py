"""Many rows into `cost_events` at once, and which of them were new.

This is what happens for every request, so it does without SQLAlchemy's work per value. SQLite
has one writer, who is told how many rows were new and looks which only when not all were; PostgreSQL takes all rows as
arrays in one statement and says itself which were new.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from execution_platform.ledger.rows import COLUMNS

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from execution_platform.storage.given import Given
    from execution_platform.storage.local import Session

TABLE = "cost_events"
_LOCAL_ID = 1
"""Where `rows.local_rows` has the id of a row."""
_ASKED = 500

Row = tuple[Any, ...]


def insert_locally(session: "Session", given: "Given") -> set[str] | None:
    """Insert those rows of `given` that SQLite does not have yet; the ids of those it had, None when that is no row."""
    if session.insert(TABLE, given, "ON CONFLICT (id) DO NOTHING") == len(given.rows):
        return None
    # Some were there. Which cannot be seen any more, so the insertion is undone and done again without them.
    session.connection.execute("ROLLBACK")
    session.connection.execute("BEGIN IMMEDIATE")
    known: set[str] = set()
    ids = [str(row[_LOCAL_ID]) for row in given.rows]
    for start in range(0, len(ids), _ASKED):
        asked = ids[start : start + _ASKED]
        known.update(found for (found,) in session.connection.execute(_known(len(asked)), asked))
    session.insert(TABLE, given._replace(rows=[row for row in given.rows if row[_LOCAL_ID] not in known]))
    return known


@cache
def _known(count: int) -> str:
    return f"SELECT id FROM {TABLE} WHERE id IN ({','.join('?' * count)})"  # noqa: S608 - a constant and question marks


async def insert_remotely(connection: "AsyncConnection", rows: Sequence[Row]) -> set[str]:
    """Insert those of `rows` that PostgreSQL does not have yet; their ids."""
    columns = tuple(map(list, zip(*rows, strict=True)))
    result = await connection.exec_driver_sql(_postgresql_statement(), columns)
    return {str(each) for each in result.scalars()}


@cache
def _postgresql_statement() -> str:
    from sqlalchemy import ARRAY, bindparam, func, select
    from sqlalchemy.dialects import postgresql

    from execution_platform.storage.schema import cost_events

    arrays = [func.unnest(bindparam(name, type_=ARRAY(cost_events.c[name].type))).label(name) for name in COLUMNS]
    statement = postgresql.insert(cost_events).from_select(COLUMNS, select(*arrays))
    once = statement.on_conflict_do_nothing(index_elements=["id"]).returning(cost_events.c.id)
    return str(once.compile(dialect=postgresql.asyncpg.dialect()))
