"""The database of one process: opened when first used, one door for reads and one for writes.

Theory of operation
-------------------
`Storage.write()` is a unit of work: it commits at the end of its block and undoes everything when the block raises.
`Storage.read()` sees one moment. On SQLite a write takes the lock at its first statement (`BEGIN IMMEDIATE`), because a
transaction that reads first and writes later fails at once when another wrote in between, whatever the busy timeout.
On PostgreSQL every statement has a time limit, so that a server that accepts and never answers is noticed.
`Storage.local()` is a third door, to SQLite alone and without SQLAlchemy, for what a serving process does all the time.

SQLAlchemy and its drivers weigh some 20 MB and are imported at the first use, in a thread, so that a gateway starts without them.
Failures of the database leave as `DatabaseUnavailable`; mistakes of ours (a wrong statement) leave as they are.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from execution_platform._failpoint import ARMED, reach
from execution_platform.exceptions import ConfigError, ErrorKind, ExecutionPlatformError
from execution_platform.storage.address import Address

if TYPE_CHECKING:
    import sqlite3

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from execution_platform.storage.local import LocalFile, Session

Result = TypeVar("Result")
_BUSY_MILLISECONDS = 5000
_CONNECT_SECONDS = 3.0
_STATEMENT_SECONDS = 10.0
_POOL = 5
TENANT_SETTING = "ep.tenant"
"""The setting of a transaction that the policies of row-level security compare with."""
_PRAGMAS = (
    f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}",
    "PRAGMA foreign_keys=ON",
    # The journal of the ledger is what survives a power failure; the database may lose its last moment and gets it again.
    "PRAGMA synchronous=NORMAL",
    # Nothing is written outside the workspace, which may be the only folder that can be.
    "PRAGMA temp_store=MEMORY",
    # Only a new file takes it: rows of some hundred bytes come in batches, and half as many pages are written for them.
    "PRAGMA page_size=8192",
)


class DatabaseUnavailable(ExecutionPlatformError):
    """The database cannot be reached, does not answer in time, or is not ready for this version."""

    kind = ErrorKind.UNAVAILABLE
    code = "database_unavailable"


class Storage:
    """One process's way to the database. Making one opens nothing."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._engine: AsyncEngine | None = None
        self._opening: asyncio.Lock | None = None
        self._local: LocalFile | None = None

    @property
    def is_postgresql(self) -> bool:
        """Whether this is PostgreSQL; SQLite otherwise."""
        return self.address.kind == "postgresql"

    @property
    def opened(self) -> bool:
        """Whether the database was used."""
        return self._engine is not None or (self._local is not None and self._local.opened)

    async def engine(self) -> "AsyncEngine":
        """The engine, made at the first call."""
        if self._engine is None:
            if self._opening is None:
                self._opening = asyncio.Lock()
            async with self._opening:
                if self._engine is None:
                    await asyncio.to_thread(_import, self.address)
                    self._engine = _engine(self.address)
        return self._engine

    @asynccontextmanager
    async def write(self, tenant: str | None = None) -> "AsyncGenerator[AsyncConnection]":
        """A transaction that commits at the end of the block. Raises `DatabaseUnavailable`.

        With `tenant` PostgreSQL shows and takes rows of that tenant only, whatever the statements ask for.
        """
        engine = await self.engine()
        try:
            async with engine.begin() as connection:
                await self._wall(connection, tenant)
                yield connection
            if ARMED:
                await reach("storage.after_commit")
        except _failures() as error:
            if _is_ours(error):
                raise
            raise _unavailable(self.address, error) from error

    @asynccontextmanager
    async def read(self, tenant: str | None = None) -> "AsyncGenerator[AsyncConnection]":
        """A transaction that only reads; with `tenant` as in `write`. Raises `DatabaseUnavailable`."""
        engine = await self.engine()
        try:
            async with engine.connect() as raw:
                connection = await raw.execution_options(ep_read=True)
                await self._wall(connection, tenant)
                yield connection
        except _failures() as error:
            if _is_ours(error):
                raise
            raise _unavailable(self.address, error) from error

    async def _wall(self, connection: "AsyncConnection", tenant: str | None) -> None:
        """Name the tenant for the policies of row-level security, for this transaction alone."""
        if tenant == "":
            raise ValueError("an empty tenant would show the things of all tenants")
        if tenant is not None and self.is_postgresql:
            from sqlalchemy import func, select

            await connection.execute(select(func.set_config(TENANT_SETTING, tenant, True)))

    async def local(self, work: "Callable[[Session], Result]") -> Result:
        """On SQLite: the result of `work`, which runs in the thread of the plain driver. Raises `DatabaseUnavailable`."""
        from sqlite3 import Error

        if self._local is None:
            from execution_platform.storage.local import LocalFile

            self._local = LocalFile(self.address.path or Path(), _PRAGMAS)
        try:
            return await self._local.run(work)
        except (Error, OSError) as error:
            if isinstance(error, Error) and _is_our_statement(error):
                raise
            raise _unavailable(self.address, error) from error

    async def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        if self._local is not None:
            await self._local.close()
        if self._engine is not None:
            engine, self._engine = self._engine, None
            await engine.dispose()


def _import(address: Address) -> None:
    import_module("sqlalchemy.ext.asyncio")
    if address.kind == "sqlite":
        import_module("aiosqlite")
        return
    try:
        import_module("asyncpg")
    except ImportError:
        raise ConfigError(
            "EP_DATABASE_URL names PostgreSQL, and its driver is not installed; install execution-platform[postgres]."
        ) from None


def _failures() -> tuple[type[Exception], ...]:
    """What a database that is not there raises, and what a statement of ours that is wrong raises, in one tuple."""
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.exc import TimeoutError as PoolTimeout

    return (DBAPIError, PoolTimeout, OSError)


def _is_ours(error: Exception) -> bool:
    """Whether a statement of ours is wrong, rather than the database away."""
    from sqlite3 import Error

    from sqlalchemy.exc import DataError, IntegrityError, NotSupportedError, ProgrammingError

    if isinstance(error, DataError | IntegrityError | NotSupportedError | ProgrammingError):
        return True
    cause = getattr(error, "orig", None)
    return isinstance(cause, Error) and _is_our_statement(cause)


def _is_our_statement(error: "sqlite3.Error") -> bool:
    from sqlite3 import SQLITE_ERROR, DataError, IntegrityError, NotSupportedError, ProgrammingError

    ours = DataError | IntegrityError | NotSupportedError | ProgrammingError
    return isinstance(error, ours) or getattr(error, "sqlite_errorcode", None) == SQLITE_ERROR


def _unavailable(address: Address, error: Exception) -> DatabaseUnavailable:
    cause = type(getattr(error, "orig", None) or error).__name__
    return DatabaseUnavailable(f"the database ({address}) does not answer: {cause}; see `ep db status`")


def _engine(address: Address) -> "AsyncEngine":
    return _sqlite(address) if address.kind == "sqlite" else _postgresql(address)


def _sqlite(address: Address) -> "AsyncEngine":
    from sqlite3 import OperationalError

    from sqlalchemy import URL, event
    from sqlalchemy.ext.asyncio import create_async_engine

    path = address.path or Path()
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)),
        pool_size=_POOL,
        max_overflow=0,
        pool_timeout=_STATEMENT_SECONDS,
    )

    def connected(connection: Any, record: object) -> None:
        connection.isolation_level = None  # transactions begin where we say, not where the driver guesses
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(pragma)
        with suppress(OperationalError):  # another process is just making the file; the next connection sees to it
            cursor.execute("PRAGMA journal_mode=WAL")
        cursor.close()

    def begun(connection: Any) -> None:
        reads = connection.get_execution_options().get("ep_read", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    event.listen(engine.sync_engine, "connect", connected)
    event.listen(engine.sync_engine, "begin", begun)
    return engine


def _postgresql(address: Address) -> "AsyncEngine":
    from sqlalchemy import URL
    from sqlalchemy.ext.asyncio import create_async_engine

    options = {"ssl" if name == "sslmode" else name: value for name, value in address.options}
    url = URL.create(
        "postgresql+asyncpg",
        username=address.user or None,
        password=None if address.password is None else address.password.reveal(),
        host=address.host,
        port=address.port,
        database=address.database,
        query=options,
    )
    milliseconds = str(int(_STATEMENT_SECONDS * 1000))
    return create_async_engine(
        url,
        pool_size=_POOL,
        max_overflow=_POOL,
        pool_timeout=_STATEMENT_SECONDS,
        pool_pre_ping=True,
        connect_args={
            "timeout": _CONNECT_SECONDS,
            "command_timeout": _STATEMENT_SECONDS,
            "server_settings": {
                "application_name": "execution-platform",
                "timezone": "UTC",
                "statement_timeout": milliseconds,
                "lock_timeout": "2000",
                "idle_in_transaction_session_timeout": milliseconds,
            },
        },
    )
