"""Versions of the schema: what the database has, and how it gets what this program needs.

Migrations only ever add (expand); what nobody uses any more is removed one release later (contract). So this program
works on a database that a newer one has upgraded, and a rolling upgrade needs no pause.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from execution_platform.storage.engine import DatabaseUnavailable, Storage

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

    from execution_platform.storage.local import Session

HEAD = "0008"
"""The version this program was written for."""

VERSION_TABLE = "schema_version"
SCRIPT = Path(__file__).with_name("sqlite.sql")
"""The schema on SQLite, written down so that making it needs no library: the output of `script`."""
_LOCK = 0x65705F646200
"""PostgreSQL advisory lock that whoever changes the schema holds."""

State = Literal["empty", "current", "older", "newer"]


async def version(storage: Storage) -> str | None:
    """The schema's version; None for an empty database. Raises `DatabaseUnavailable`."""
    if not storage.is_postgresql:
        return await storage.local(_local_version)
    async with storage.read() as connection:
        return await connection.run_sync(_version)


async def state(storage: Storage) -> State:
    """How the database stands to this program. Raises `DatabaseUnavailable`."""
    return _state(await version(storage))


async def upgrade(storage: Storage) -> State:
    """Bring the schema to `HEAD`; the state it was in. One process does it, others wait. Raises `DatabaseUnavailable`."""
    if not storage.is_postgresql:
        found = await storage.local(_make)
        if found != "older":
            return found
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


def _local_version(session: "Session") -> str | None:
    found = session.connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (VERSION_TABLE,)).fetchone()
    if found is None:
        return None
    row = session.connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608 - a constant
    return None if row is None else str(row[0])


def _make(session: "Session") -> State:
    """All tables of an empty SQLite file; the state it was in."""
    with session.transaction():
        found = _state(_local_version(session))
        if found == "empty":
            for statement in SCRIPT.read_text().split(";\n"):
                session.connection.execute(statement)
            session.connection.execute(f"INSERT INTO {VERSION_TABLE} VALUES (?)", (HEAD,))  # noqa: S608 - a constant
        return found


def script() -> str:
    """What `SCRIPT` has to be: every table and index of the schema, as SQLite spells it."""
    from sqlalchemy.dialects import sqlite
    from sqlalchemy.schema import CreateIndex, CreateTable

    from execution_platform.storage.schema import metadata
    from execution_platform.storage.schema.walls import walls

    stamp = f"CREATE TABLE IF NOT EXISTS {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
    made: list[CreateTable | CreateIndex] = []
    for table in metadata.sorted_tables:
        made.append(CreateTable(table))
        made += map(CreateIndex, sorted(table.indexes, key=lambda index: str(index.name)))
    dialect = sqlite.dialect()
    text = ";\n".join([stamp, *(str(each.compile(dialect=dialect)).strip() for each in made), *walls("sqlite")])
    return "".join(f"{line.rstrip()}\n" for line in text.replace("\t", "  ").splitlines())


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
