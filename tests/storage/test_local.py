"""SQLite without SQLAlchemy: one thread, transactions that are whole, and a file that is found again."""

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from execution_platform.storage.engine import DatabaseUnavailable
from execution_platform.storage.given import Given
from execution_platform.storage.local import Session
from storage.opened import opened


def names(session: Session) -> list[str]:
    return [name for (name,) in session.connection.execute("SELECT id FROM tenants ORDER BY id")]


def add(session: Session, count: int, *, fail: bool = False) -> int:
    with session.transaction():
        rows = [(f"t{number:03}", "2026-01-01 00:00:00.000000") for number in range(count)]
        added = session.insert("tenants", Given(("id", "created_at"), rows), "ON CONFLICT (id) DO NOTHING")
        if fail:
            raise KeyError
    return added


@pytest.mark.parametrize("count", [0, 1, 15, 16, 127, 128, 300])
def test_rows_of_any_number_are_inserted_and_counted(tmp_path: Path, count: int) -> None:
    async def run() -> None:
        async with opened(f"sqlite:///{tmp_path / 'x.db'}") as storage:
            assert await storage.local(lambda session: add(session, count)) == count
            assert await storage.local(lambda session: add(session, count + 2)) == 2
            assert len(await storage.local(names)) == count + 2

    asyncio.run(run())


def test_what_rows_have_in_common_is_given_once(tmp_path: Path) -> None:
    groups = [(f"created by {number}", f"2026-01-{number + 1:02} 00:00:00.000000") for number in range(20)]
    rows = [(number % 20, f"t{number:03}") for number in range(100)]

    async def run() -> None:
        async with opened(f"sqlite:///{tmp_path / 'x.db'}") as storage:
            given = Given(("id",), rows, ("display_name", "created_at"), groups)
            assert await storage.local(lambda session: session.insert("tenants", given)) == 100
            found = await storage.local(
                lambda session: session.connection.execute(
                    "SELECT id, display_name, created_at FROM tenants"
                ).fetchall()
            )
        assert found == [(name, *groups[place]) for place, name in rows]

    asyncio.run(run())


def test_a_block_that_raises_changes_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(f"sqlite:///{tmp_path / 'x.db'}") as storage:
            with pytest.raises(KeyError):
                await storage.local(lambda session: add(session, 20, fail=True))
            assert await storage.local(names) == []

    asyncio.run(run())


def test_a_file_that_is_locked_is_unavailable_and_found_again(tmp_path: Path) -> None:
    """R9."""

    async def run() -> None:
        path = tmp_path / "x.db"
        async with opened(f"sqlite:///{path}") as storage:
            await storage.local(lambda session: session.connection.execute("PRAGMA busy_timeout=1"))
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(DatabaseUnavailable):
                await storage.local(lambda session: add(session, 1))
            other.execute("COMMIT")
            other.close()
            assert await storage.local(lambda session: add(session, 1)) == 1

    asyncio.run(run())


def test_a_wrong_statement_of_ours_is_no_absence_of_the_database(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(f"sqlite:///{tmp_path / 'x.db'}") as storage:
            with pytest.raises(sqlite3.OperationalError):
                await storage.local(lambda session: session.connection.execute("SELECT nothing"))

    asyncio.run(run())


def test_events_are_stored_on_sqlite_without_sqlalchemy(tmp_path: Path) -> None:
    code = f"""
import asyncio, sys
from pathlib import Path
from execution_platform.ledger.interfaces import Account, CostEvent, Dispatch, Settlement
from execution_platform.ledger.store import EventStore
from execution_platform.storage.address import Address
from execution_platform.storage.engine import Storage

async def run():
    storage = Storage(Address("sqlite", path=Path({str(tmp_path / "x.db")!r})))
    name = "00000000-0000-8000-8000-000000000001"
    event = CostEvent(Dispatch(name, Account("r"), "p", "m"), Settlement(name, "ok", 1, "metered", True))
    print(await EventStore(storage).apply([event]), [each for each in sys.modules if each == "sqlalchemy"])
    await storage.close()

asyncio.run(run())
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "1 []"


def pragmas(session: Session) -> list[object]:
    asked = ("page_size", "journal_mode", "temp_store", "synchronous")
    return [session.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in asked]


@pytest.mark.parametrize("first", ["local", "sqlalchemy"])
def test_a_new_file_is_the_same_whoever_makes_it(tmp_path: Path, first: str) -> None:
    async def run() -> None:
        async with opened(f"sqlite:///{tmp_path / 'x.db'}", empty=True) as storage:
            if first == "local":
                await storage.local(lambda session: session.connection.execute("CREATE TABLE t (x)"))
            else:
                async with storage.write() as connection:
                    await connection.exec_driver_sql("CREATE TABLE t (x)")
            assert await storage.local(pragmas) == [8192, "wal", 2, 1]

    asyncio.run(run())
