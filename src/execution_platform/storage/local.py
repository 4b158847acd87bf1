"""SQLite through its plain driver, in one thread of its own: the way of everything that happens again and again.

The thread is the only user of its connection, so nothing here is locked, and the event loop hands over a function and gets
back its result. What the thread shares with the loop is the interpreter's lock, and a statement fights for it once: so any
number of rows is one statement, with one parameter that SQLite takes apart by itself, in JSON. SQLAlchemy is loaded only
for those who ask for it (`Session.sqlalchemy`).
"""

import asyncio
import sqlite3
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from execution_platform import _json
from execution_platform.storage.given import Given

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

Result = TypeVar("Result")


class Session:
    """What a function gets that works with the database. Belongs to the thread of its `LocalFile`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._engine: Engine | None = None

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Commits at the end of the block; a block that raises changes nothing."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.rollback()
            raise
        self.connection.execute("COMMIT")

    @contextmanager
    def sqlalchemy(self) -> "Generator[Connection]":
        """The same connection as SQLAlchemy sees it. To be opened before the transaction it is for, and closed behind it."""
        if self._engine is None:
            from sqlalchemy import StaticPool, create_engine

            self._engine = create_engine(
                "sqlite://", creator=lambda: self.connection, poolclass=StaticPool, pool_reset_on_return=None
            )
        from sqlalchemy.exc import DBAPIError

        try:
            with self._engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise error.orig or error from error

    def insert(self, table: str, given: Given, otherwise: str = "") -> int:
        """Insert rows; how many were. `otherwise` is an `ON CONFLICT` clause."""
        before = self.connection.total_changes
        texts = [_json.dumps(given.rows).decode()]
        if given.shared:
            texts.append(_json.dumps(given.groups).decode())
        self.connection.execute(_insert(table, given.columns, given.shared, otherwise), texts)
        return self.connection.total_changes - before

    def close(self) -> None:
        """Give up the connection, and what was not committed."""
        self.connection.close()


@cache
def _insert(table: str, columns: tuple[str, ...], shared: tuple[str, ...], otherwise: str) -> str:
    source, common = "json_each(?1) AS given", ""
    values = [f"json_extract(given.value,'$[{place + bool(shared)}]')" for place in range(len(columns))]
    if shared:
        parts = ",".join(f"json_extract(value,'$[{place}]') AS {name}" for place, name in enumerate(shared))
        # Taken apart once, and found by number: a row costs the same however many groups there are.
        common = f"WITH common AS MATERIALIZED (SELECT key AS number,{parts} FROM json_each(?2)) "  # noqa: S608 - ours
        # A left join, so that a row without its group is refused and not lost.
        source += " LEFT JOIN common ON common.number = json_extract(given.value,'$[0]')"
        values += [f"common.{name}" for name in shared]
    names = ",".join((*columns, *shared))
    # Without `WHERE` the clause that may follow would be read as a condition of the join.
    return f"{common}INSERT INTO {table} ({names}) SELECT {','.join(values)} FROM {source} WHERE true {otherwise}"  # noqa: S608 - ours


class LocalFile:
    """One SQLite file and the thread that works with it. Making one opens nothing."""

    def __init__(self, path: Path, pragmas: Iterable[str]) -> None:
        self._path = path
        self._pragmas = tuple(pragmas)
        self._thread: ThreadPoolExecutor | None = None
        self._session: Session | None = None

    @property
    def opened(self) -> bool:
        """Whether the file was used."""
        return self._thread is not None

    async def run(self, work: Callable[[Session], Result]) -> Result:
        """The result of `work`, which runs in the thread. Raises what it raises, and `sqlite3.Error`, `OSError`."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._work, work)

    def _work(self, work: Callable[[Session], Result]) -> Result:
        session = self._session
        if session is None:
            session = self._session = self._open()
        try:
            return work(session)
        except sqlite3.Error:
            # What the connection knows may be out of date; the next one looks at the file again.
            self._close()
            raise

    def _open(self) -> Session:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, isolation_level=None)
        for pragma in self._pragmas:
            connection.execute(pragma)
        with suppress(sqlite3.OperationalError):  # another process is just making the file; the next one sees to it
            connection.execute("PRAGMA journal_mode=WAL")
        return Session(connection)

    def _close(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            session.close()

    async def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            await asyncio.get_running_loop().run_in_executor(thread, self._close)
            thread.shutdown(wait=False)
