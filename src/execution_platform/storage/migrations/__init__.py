"""Versions of the schema: what the database has, and how it gets what this program needs.

Migrations only ever add (expand); what nobody uses any more is removed one release later (contract). So this program
works on a database that a newer one has upgraded, and a rolling upgrade needs no pause.
"""

from typing import TYPE_CHECKING, Literal

from execution_platform.storage.engine import DatabaseUnavailable, Storage

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

HEAD = "0002"
"""The version this program was written for."""

VERSION_TABLE = "schema_version"
_LOCK = 0x65705F646200
"""PostgreSQL advisory lock that whoever changes the schema holds."""

State = Literal["empty", "current", "older", "newer"]


async def version(storage: Storage) -> str | None:
    """The schema's version; None for an empty database. Raises `DatabaseUnavailable`."""
    async with storage.read() as connection:
        return await connection.run_sync(_version)


async def state(storage: Storage) -> State:
    """How the database stands to this program. Raises `DatabaseUnavailable`."""
    return _state(await version(storage))


async def upgrade(storage: Storage) -> State:
    """Bring the schema to `HEAD`; the state it was in. One process does it, others wait. Raises `DatabaseUnavailable`."""
    async with storage.write() as connection:
        return await connection.run_sync(_upgrade)


async def prepare(storage: Storage) -> None:
    """Make an empty database usable and upgrade SQLite; PostgreSQL is upgraded only by `ep db upgrade`.

    Raises `DatabaseUnavailable`, also when the schema is too old for this program.
    """
    found = await state(storage)
    if found == "empty" or (found == "older" and not storage.is_postgresql):
        await upgrade(storage)
    elif found == "older":
        raise DatabaseUnavailable("the database has an older schema than this version needs; run `ep db upgrade`")


def _state(found: str | None) -> State:
    if found is None:
        return "empty"
    if found == HEAD:
        return "current"
    return "older" if found < HEAD else "newer"


def _version(connection: "Connection") -> str | None:
    from sqlalchemy import String, column, inspect, select, table

    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    number = column("version_num", String)
    return connection.execute(select(number).select_from(table(VERSION_TABLE))).scalar()


def _upgrade(connection: "Connection") -> State:
    from sqlalchemy import func, select

    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    found = _state(_version(connection))
    if found == "empty":
        _create(connection)
    elif found == "older":
        from alembic import command

        config = configuration()
        config.attributes["connection"] = connection
        command.upgrade(config, HEAD)
    return found


def _create(connection: "Connection") -> None:
    """All tables at once: what the migrations add up to, without loading the library that runs them."""
    from sqlalchemy import Column, MetaData, String, Table, insert

    from execution_platform.storage.schema import metadata
    from execution_platform.storage.schema.walls import raise_walls

    metadata.create_all(connection)
    raise_walls(connection)
    stamp = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32), primary_key=True, nullable=False))
    stamp.create(connection, checkfirst=True)
    connection.execute(insert(stamp).values(version_num=HEAD))


def configuration() -> "Config":
    """Alembic's configuration, without a file: it is the same in a wheel."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "execution_platform.storage:migrations")
    config.set_main_option("path_separator", "os")
    return config
