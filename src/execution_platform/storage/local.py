"""SQLite through its plain driver, in one thread of its own: the way of everything that happens again and again.

The thread is the only user of its connection, so nothing here is locked, and the event loop hands over a function and gets
back its result. SQLAlchemy is loaded only for those who ask for it (`Session.sqlalchemy`).
"""

import asyncio
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

Result = TypeVar("Result")
Row = tuple[Any, ...]
_CHUNKS = (256, 32, 4, 1)
"""Rows inserted by one statement. The interpreter lock is given up and fought for once a statement, not once a row."""


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

    def insert(self, table: str, columns: tuple[str, ...], rows: Sequence[Row], otherwise: str = "") -> int:
        """Insert `rows`; how many were. `otherwise` is an `ON CONFLICT` clause."""
        before = self.connection.total_changes
        for chunk in _chunks(rows):
            statement = _insert(table, columns, len(chunk), otherwise)
            self.connection.execute(statement, tuple(chain.from_iterable(chunk)))
        return self.connection.total_changes - before

    def close(self) -> None:
        """Give up the connection, and what was not committed."""
        self.connection.close()


def _chunks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    start = 0
    for size in _CHUNKS:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size


@cache
def _insert(table: str, columns: tuple[str, ...], rows: int, otherwise: str) -> str:
    one = f"({','.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({','.join(columns)}) VALUES {','.join([one] * rows)} {otherwise}"  # noqa: S608 - ours


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
