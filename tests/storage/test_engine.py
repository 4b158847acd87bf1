"""The way to the database: addresses, transactions, and what its absence looks like."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import StatementError

import servers
from execution_platform.config.secret import Secret
from execution_platform.exceptions import ConfigError
from execution_platform.storage.address import FILE, address
from execution_platform.storage.engine import DatabaseUnavailable, Storage
from execution_platform.storage.migrations import HEAD, prepare, state, upgrade, version
from execution_platform.storage.schema import metadata, tenants
from storage.opened import opened

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_every_spelling_of_postgresql_is_understood(scheme: str) -> None:
    found = address(Secret(f"{scheme}://us%40er:p%2Fw@db.example:6432/books?sslmode=require"), Path("w"))
    assert (found.kind, found.host, found.port, found.user, found.database) == (
        "postgresql",
        "db.example",
        6432,
        "us@er",
        "books",
    )
    assert found.password is not None
    assert found.password.reveal() == "p/w"
    assert found.options == (("sslmode", "require"),)


def test_an_address_never_shows_its_password() -> None:
    found = address(Secret("postgresql://u:hunter22@h/db"), Path("w"))
    assert "hunter22" not in str(found) + repr(found)


def test_sqlite_below_the_workspace_is_the_default() -> None:
    assert address(None, Path("w")).path == Path("w") / FILE
    assert address(Secret("sqlite:////var/lib/x.db"), Path("w")).path == Path("/var/lib/x.db")
    assert address(Secret("sqlite:///x.db"), Path("w")).path == Path("x.db")


@pytest.mark.parametrize(
    "text", ["mysql://h/db", "sqlite://", "sqlite:///:memory:", "postgresql://", "postgresql://h:x/d", "nonsense"]
)
def test_an_address_that_cannot_work_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="EP_DATABASE_URL"):
        address(Secret(text), Path("w"))


def test_a_block_that_raises_undoes_its_writes(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as storage:
            with pytest.raises(KeyError):
                async with storage.write() as connection:
                    await connection.execute(insert(tenants).values(id="acme", created_at=NOW))
                    raise KeyError
            async with storage.read() as connection:
                assert (await connection.execute(select(tenants.c.id))).all() == []

    asyncio.run(run())


def test_times_come_back_in_utc_whatever_zone_they_were_given_in(database_url: str) -> None:
    """R13."""

    async def run() -> None:
        async with opened(database_url) as storage:
            given = NOW.astimezone(timezone(timedelta(hours=9)))
            async with storage.write() as connection:
                await connection.execute(insert(tenants).values(id="acme", created_at=given))
            async with storage.read() as connection:
                found = (await connection.execute(select(tenants.c.created_at))).scalar_one()
            assert found == NOW
            assert found.tzinfo == UTC
            with pytest.raises(StatementError, match="zone"):
                async with storage.write() as connection:
                    await connection.execute(insert(tenants).values(id="b", created_at=datetime(2026, 1, 1)))

    asyncio.run(run())


def test_many_writers_wait_for_each_other(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as storage:

            async def read_then_write(number: int) -> None:
                async with storage.write() as connection:
                    await connection.execute(select(tenants.c.id))
                    await connection.execute(insert(tenants).values(id=f"t{number}", created_at=NOW))

            await asyncio.gather(*(read_then_write(number) for number in range(20)))
            async with storage.read() as connection:
                assert len((await connection.execute(select(tenants.c.id))).all()) == 20

    asyncio.run(run())


def test_a_database_that_is_not_there_is_said_to_be_unavailable() -> None:
    async def run() -> None:
        storage = Storage(address(Secret(f"postgresql://postgres@127.0.0.1:{servers.free_port()}/books"), Path()))
        with pytest.raises(DatabaseUnavailable, match="does not answer"):
            async with storage.read() as connection:
                await connection.execute(select(tenants.c.id))
        await storage.close()

    asyncio.run(run())


def test_a_database_comes_back_without_a_restart_of_ours() -> None:
    """R9."""

    async def run(server: servers.Postgres) -> None:
        async with opened(server.new_database()) as storage:
            server.stop()
            with pytest.raises(DatabaseUnavailable):
                async with storage.read() as connection:
                    await connection.execute(select(tenants.c.id))
            server.start()
            async with storage.read() as connection:
                assert (await connection.execute(select(tenants.c.id))).all() == []

    with servers.postgres() as server:
        asyncio.run(run(server))


@asynccontextmanager
async def way_to(port: int, host: str, at: int = 0) -> AsyncIterator[int]:
    """Another address of the database at `port` of 127.0.0.1; at the end everything that came by it is cut."""
    open_: set[asyncio.StreamWriter] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        open_.update((writer, back))
        await asyncio.gather(pass_on(reader, back), pass_on(there, writer))

    server = await asyncio.start_server(serve, host, at)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for each in open_:
            each.transport.abort()


def test_a_database_that_comes_back_at_another_address_of_its_name_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """R9: as after a failover, where the name leads to another machine; no restart, and no address is believed for ever."""
    there = "127.0.0.1"
    loop_class = asyncio.base_events.BaseEventLoop
    look_up = loop_class.getaddrinfo

    async def named(self: asyncio.AbstractEventLoop, host: str, port: int, **more: Any) -> Any:
        return await look_up(self, there if host == "books.test" else host, port, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(loop_class, "getaddrinfo", named)

    async def tenants_of(storage: Storage) -> list[Any]:
        async with storage.read() as connection:
            return list((await connection.execute(select(tenants.c.id))).all())

    async def run(server: servers.Postgres) -> None:
        nonlocal there
        async with AsyncExitStack() as stack:
            async with way_to(server.port, "127.0.0.1") as port:
                url = server.new_database().replace(f"127.0.0.1:{server.port}", f"books.test:{port}")
                storage = await stack.enter_async_context(opened(url))
                assert await tenants_of(storage) == []
            with pytest.raises(DatabaseUnavailable):
                await tenants_of(storage)
            await stack.enter_async_context(way_to(server.port, "127.0.0.2", port))
            there = "127.0.0.2"
            async with asyncio.timeout(10):
                assert await tenants_of(storage) == []

    with servers.postgres() as server:
        asyncio.run(run(server))


def test_an_empty_database_is_made_usable(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url, empty=True) as storage:
            assert await state(storage) == "empty"
            await prepare(storage)
            assert await version(storage) == HEAD
            assert await state(storage) == "current"
            await prepare(storage)

    asyncio.run(run())


def test_two_processes_may_prepare_at_once(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url, empty=True) as one, opened(database_url, empty=True) as two:
            await asyncio.gather(upgrade(one), upgrade(two), upgrade(one))
            assert await state(two) == "current"

    asyncio.run(run())


def test_importing_the_rooms_loads_no_database_library() -> None:
    rooms = "execution_platform.storage.engine, execution_platform.ledger.books, execution_platform.storage.migrations"
    code = f"import sys, {rooms}; print([name for name in ('sqlalchemy', 'alembic', 'asyncpg') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_the_schema_has_all_tables_of_the_contract() -> None:
    assert {"cost_events", "pricing_table", "budgets", "reservations", "audit_log", "requests"} <= set(metadata.tables)
