"""The migrations add up to the schema, on both databases."""

import asyncio
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from execution_platform.storage.migrations import (
    HEAD,
    SCRIPT,
    VERSION_TABLE,
    configuration,
    script,
    state,
    upgrade,
    version,
)
from execution_platform.storage.schema import metadata
from storage.opened import opened


def differences(connection: Connection) -> list[Any]:
    options = {"version_table": VERSION_TABLE, "compare_type": True}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def migrate(connection: Connection, to: str = "head") -> None:
    config = configuration()
    config.attributes["connection"] = connection
    (command.upgrade if to == "head" else command.downgrade)(config, to)


def test_the_newest_migration_is_the_one_this_program_was_written_for() -> None:
    assert ScriptDirectory.from_config(configuration()).get_heads() == [HEAD]


def test_migrations_and_tables_are_the_same_schema(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url, empty=True) as storage:
            async with storage.write() as connection:
                await connection.run_sync(migrate)
                assert await connection.run_sync(differences) == []
            assert await version(storage) == HEAD
            assert await state(storage) == "current"

    asyncio.run(run())


def test_a_schema_made_at_once_needs_no_migration(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as storage:
            async with storage.write() as connection:
                assert await connection.run_sync(differences) == []
                await connection.run_sync(migrate)
            assert await upgrade(storage) == "current"

    asyncio.run(run())


def test_an_older_schema_is_upgraded(database_url: str) -> None:
    """R24: by one process, while others wait."""

    async def run() -> None:
        async with opened(database_url) as storage:
            async with storage.write() as connection:
                await connection.run_sync(migrate, "base")
                left = await connection.run_sync(lambda each: inspect(each).get_table_names())
                assert left == [VERSION_TABLE]
            assert await state(storage) == "empty"
            await upgrade(storage)
            assert await version(storage) == HEAD

    asyncio.run(run())


def test_the_written_schema_of_sqlite_is_the_one_of_the_tables() -> None:
    remedy = "write `migrations.script()` to `migrations.SCRIPT` again"
    assert SCRIPT.read_text() == script(), remedy
