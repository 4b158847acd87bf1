"""SQLite as tools reach it: a file opened read-only, with an authorizer that allows reading and nothing else."""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from execution_platform import _json
from execution_platform.exceptions import ToolDenied, ToolError, ToolTimeout
from execution_platform.tool_bridge.db.interfaces import (
    CONNECTIONS,
    LARGEST,
    MIGRATION_SECONDS,
    SECONDS,
    Answer,
    Question,
)
from execution_platform.tool_bridge.results import normalised

_STEPS: Final = 10_000
"""Instructions of the virtual machine between two looks at the clock."""
_READS: Final = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
_PRAGMAS: Final = frozenset({"table_info", "table_xinfo", "table_list", "index_list", "index_info", "foreign_key_list"})
_FUNCTIONS: Final = frozenset({"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "printf", "format"})
"""Those that reach out of the database, and those that one call keeps busy for seconds without looking up."""
_LONGEST_LIKE: Final = 200
_LEAVES: Final = frozenset(
    {
        sqlite3.SQLITE_ATTACH,
        sqlite3.SQLITE_DETACH,
        sqlite3.SQLITE_PRAGMA,
        sqlite3.SQLITE_TRANSACTION,
        sqlite3.SQLITE_SAVEPOINT,
    }
)


class SqliteDatabase:
    """One file. `views` are the tables and views that may be read; None for all."""

    def __init__(self, path: Path, *, migrates: bool = False, views: frozenset[str] | None = None) -> None:
        self._path = path
        self._migrates = migrates
        self._views = views
        self._places = asyncio.Semaphore(CONNECTIONS)

    async def ask(self, question: Question) -> Answer:
        """Read. Raises `ToolError`s."""
        ending = time.monotonic() + SECONDS
        try:
            async with asyncio.timeout(SECONDS):
                await self._places.acquire()
        except TimeoutError:
            raise _too_slow(SECONDS) from None
        try:
            return await asyncio.to_thread(self._ask, question, ending)
        finally:
            self._places.release()

    def _ask(self, question: Question, ending: float) -> Answer:
        try:
            with closing(self._open("ro", ending)) as connection:
                connection.set_authorizer(self._may_read)
                cursor = connection.execute(question.statement, tuple(question.parameters))
                columns = tuple(column[0] for column in cursor.description or ())
                return _limited(columns, cursor, question.rows)
        except sqlite3.Error as error:
            raise _told(error, ending) from None
        except (TypeError, OverflowError):
            raise ToolError("a parameter is no text, number, truth value or null", param="args.parameters") from None

    async def change(self, statements: Sequence[str], tenant: str, *, keep: bool) -> int:
        """Run statements in one transaction. Raises `ToolError`s."""
        if not self._migrates:
            raise ToolDenied("this connection cannot be migrated")
        return await asyncio.to_thread(self._change, statements, keep)

    def _change(self, statements: Sequence[str], keep: bool) -> int:  # noqa: FBT001 - as the caller says it
        ending = time.monotonic() + MIGRATION_SECONDS
        try:
            with closing(self._open("rw", ending)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.set_authorizer(_may_change)
                for statement in statements:
                    connection.execute(statement)
                connection.set_authorizer(None)
                connection.execute("COMMIT" if keep else "ROLLBACK")
        except sqlite3.Error as error:
            raise _told(error, ending) from None
        return len(statements)

    def _open(self, mode: str, ending: float) -> sqlite3.Connection:
        address = f"file:{quote(str(self._path))}?mode={mode}"
        connection = sqlite3.connect(address, uri=True, timeout=SECONDS, isolation_level=None, check_same_thread=False)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 4 * LARGEST)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, _LONGEST_LIKE)
        connection.set_progress_handler(lambda: time.monotonic() > ending, _STEPS)
        return connection

    def _may_read(
        self, action: int, first: str | None, second: str | None, database: str | None, within: str | None
    ) -> int:
        allowed = action in _READS
        if action == sqlite3.SQLITE_FUNCTION:
            allowed = (second or "").lower() not in _FUNCTIONS
        elif action == sqlite3.SQLITE_PRAGMA:
            allowed = (first or "").lower() in _PRAGMAS and self._views is None
        elif action == sqlite3.SQLITE_READ and self._views is not None:
            allowed = first in self._views or within in self._views
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    async def aclose(self) -> None:
        """Nothing stays open."""


def _may_change(action: int, first: str | None, second: str | None, database: str | None, within: str | None) -> int:
    loads = action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS
    return sqlite3.SQLITE_DENY if loads or action in _LEAVES else sqlite3.SQLITE_OK


def _limited(columns: tuple[str, ...], cursor: sqlite3.Cursor, most: int) -> Answer:
    rows: list[tuple[object, ...]] = []
    size = 0
    for row in cursor:
        plain = tuple(normalised(value) for value in row)
        size += len(_json.dumps(plain))
        if len(rows) >= most or size > LARGEST:
            return Answer(columns, tuple(rows), truncated=True)
        rows.append(plain)
    return Answer(columns, tuple(rows), truncated=False)


def _told(error: sqlite3.Error, ending: float) -> ToolError:
    """An error by SQLite's own name; its text may hold names and values."""
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    if name == "SQLITE_INTERRUPT" or time.monotonic() > ending:
        return _too_slow(SECONDS)
    if name == "SQLITE_AUTH":
        return ToolDenied("the statement does more than read what this connection may show", param="args.sql")
    if name == "SQLITE_CANTOPEN":
        return ToolError("the database cannot be opened; an operator has to look at the connection", code="unavailable")
    return ToolError(f"the database refuses the statement ({name})", param="args.sql")


def _too_slow(seconds: float) -> ToolTimeout:
    return ToolTimeout(
        f"the database did not finish within {seconds:g} seconds; ask for less, or for fewer rows at a time"
    )
