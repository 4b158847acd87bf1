"""Old and new versions share one database: migrations add, and what the older version writes is still taken."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from alembic import command
from alembic.operations import Operations
from alembic.operations import ops as operations
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, MetaData, Table, inspect

from execution_platform.storage.engine import DatabaseUnavailable
from execution_platform.storage.migrations import configuration, upgrade, version
from servers import Postgres
from storage.opened import opened

ADDS = (operations.CreateTableOp, operations.CreateIndexOp, operations.AddColumnOp, operations.ExecuteSQLOp)
WORDS = ("CREATE ", "ALTER TABLE")
"""Plain SQL of a migration begins so, and never takes anything away."""
TAKES_AWAY = (" DROP ", " RENAME ", " SET NOT NULL", " TYPE ")


def revisions() -> list[str]:
    """From the first to the newest."""
    return [each.revision for each in reversed([*ScriptDirectory.from_config(configuration()).walk_revisions()])]


def to(connection: Connection, revision: str) -> None:
    """Bring the schema to one revision."""
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


@pytest.fixture
def invoked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Every operation of the migrations that run meanwhile."""
    seen: list[Any] = []
    invoke = Operations.invoke

    def note(self: Operations, operation: Any) -> Any:
        seen.append(operation)
        return invoke(self, operation)

    monkeypatch.setattr(Operations, "invoke", note)
    return iter([seen])


def test_every_migration_only_adds(database_url: str, invoked: Iterator[list[Any]]) -> None:
    """R24: what is taken away, renamed or narrowed breaks the replicas that are not exchanged yet."""

    async def run() -> None:
        async with opened(database_url, empty=True) as storage, storage.write() as connection:
            await connection.run_sync(to, "head")

    seen = next(invoked)
    asyncio.run(run())
    assert len(seen) > 10
    for operation in seen:
        assert isinstance(operation, ADDS), f"{type(operation).__name__} takes something from the version before"
        if isinstance(operation, operations.AddColumnOp):
            column: Column[Any] = operation.column
            assert column.nullable or column.server_default is not None, f"{column.name}: old versions do not write it"
        if isinstance(operation, operations.ExecuteSQLOp):
            said = f" {operation.sqltext} ".upper()
            assert said.strip().startswith(WORDS), said
            assert not any(word in said for word in TAKES_AWAY), said


VALUES: dict[str, Any] = {
    "VARCHAR": "a", "TEXT": "a", "INTEGER": 1, "BIGINT": 1, "BOOLEAN": True, "FLOAT": 1.0, "DOUBLE": 1.0, "NUMERIC": 1,
    "BLOB": b"a", "BYTEA": b"a", "JSON": None, "JSONB": None,
}  # fmt: skip
CHECKED: dict[str, Any] = {"role": "member", "period": "daily", "budget_tokens": 1}
"""Columns whose values the schema itself limits, or wants."""


def value(column: Column[Any]) -> Any:
    """Something the column takes."""
    kind = str(column.type).upper()
    if column.name in CHECKED:
        return CHECKED[column.name]
    if kind.startswith(("UUID", "CHAR(32)")):
        return UUID(int=7) if kind.startswith("UUID") else UUID(int=7).hex
    if kind.startswith(("TIMESTAMP", "DATETIME")):
        return datetime(2026, 11, 1, tzinfo=UTC if "TIMESTAMP" in kind else None)
    if kind == "DATE":
        return date(2026, 11, 1)
    return VALUES[kind.partition("(")[0].split(" ")[0]]


def write_all(connection: Connection, tables: list[Table]) -> None:
    """One row into each table, of the columns that its version demands."""
    for table in tables:
        columns = [column for column in table.columns if column.name != "seq"]
        wanted = [each for each in columns if not each.nullable and each.server_default is None]
        needed = {each.name: value(each) for each in columns if each in wanted or each.name in CHECKED}
        connection.execute(table.insert().values(needed))
        assert connection.execute(table.select()).first() is not None


def known(connection: Connection) -> list[Table]:
    """The tables as the database has them now, without the version's own."""
    metadata = MetaData()
    metadata.reflect(connection)
    return [table for table in metadata.sorted_tables if table.name != "schema_version"]


@pytest.mark.parametrize("before", revisions()[:-1])
def test_the_newest_schema_takes_what_older_versions_write(before: str, database_url: str) -> None:
    """R24: rows of each version, with the tables as that version knew them, after the upgrade to the newest."""

    async def run() -> None:
        async with opened(database_url, empty=True) as storage:
            async with storage.write() as connection:
                await connection.run_sync(to, before)
                tables = await connection.run_sync(known)
            assert await upgrade(storage) == "older"
            async with storage.write() as connection:
                await connection.run_sync(write_all, tables)
            assert await version(storage) == revisions()[-1]

    asyncio.run(run())


def test_an_upgrade_that_cannot_have_its_locks_gives_up_and_changes_nothing(postgres_server: Postgres) -> None:
    """R24: after two seconds, so that no gateway waits behind it for long."""

    async def run() -> None:
        url = postgres_server.new_database()
        async with opened(url, empty=True) as storage, opened(url, empty=True) as other:
            async with storage.write() as connection:
                await connection.run_sync(to, "0001")
            async with other.write() as holding:
                await holding.exec_driver_sql("LOCK TABLE requests IN ACCESS SHARE MODE")
                async with asyncio.timeout(8):
                    with pytest.raises(DatabaseUnavailable):
                        await upgrade(storage)
            assert await version(storage) == "0001"
            async with storage.read() as connection:
                names = await connection.run_sync(lambda each: inspect(each).get_table_names())
            assert "idempotency_keys" not in names
            assert await upgrade(storage) == "older"

    asyncio.run(run())
