"""PostgreSQL as tools reach it.

Theory of operation
-------------------
The control is the role. Before a connection is used its role is looked at, and the connection is refused when the role could do
harm: a superuser, an owner, a member of the roles that read files or run programs, one that may write to any table, or read
more than the configured views. A question is one statement by the extended protocol, in a transaction that is read-only and
always undone, with time limits set in the session and one around it; its rows come through a cursor until there are enough.

Where one database serves several tenants, rows are walled off by policies that compare with a setting. Such a wall holds
only if nobody but us can change the setting, so the role must not be able to call `set_config`, and every table it reads must
have its policies forced; both are checked as well. The setting is made by `SET LOCAL`, which is no question and so cannot be said.

Failures are told by their SQLSTATE and its name: their texts may hold addresses, names and values.
"""

import asyncio
import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

from execution_platform import _json
from execution_platform.config.secret import Secret
from execution_platform.exceptions import ToolError, ToolTimeout
from execution_platform.tool_bridge.db.interfaces import (
    CONNECTIONS,
    LARGEST,
    MIGRATION_SECONDS,
    SECONDS,
    Answer,
    Question,
)
from execution_platform.tool_bridge.results import normalised

_BATCH: Final = 100
_IDLE_SECONDS: Final = 60.0
_WORDS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_ROLE: Final = """
SELECT r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls AS powerful,
  EXISTS (SELECT FROM pg_roles d WHERE d.rolname = ANY ($1) AND pg_has_role(d.oid, 'MEMBER')) AS dangerous,
  EXISTS (SELECT FROM pg_class c WHERE c.relowner <> 10 AND pg_has_role(c.relowner, 'USAGE')) AS owner,
  has_function_privilege('pg_catalog.set_config(text,text,boolean)', 'EXECUTE') AS sets
FROM pg_roles r WHERE r.rolname = current_user
"""
_DANGEROUS: Final = [
    "pg_read_server_files",
    "pg_write_server_files",
    "pg_execute_server_program",
    "pg_signal_backend",
    "pg_read_all_data",
    "pg_write_all_data",
    "pg_checkpoint",
    "pg_maintain",
    "pg_create_subscription",
]
_RELATIONS: Final = """
SELECT n.nspname || '.' || c.relname AS name, c.relkind IN ('r', 'p') AS is_table,
  c.relrowsecurity AND c.relforcerowsecurity AS walled,
  has_table_privilege(c.oid, 'SELECT') OR has_any_column_privilege(c.oid, 'SELECT') AS reads,
  has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
    OR has_any_column_privilege(c.oid, 'INSERT, UPDATE') AS writes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp%' AND has_schema_privilege(n.oid, 'USAGE')
"""


class PostgresDatabase:
    """One database. `setting` walls tenants off from each other, `views` are all that may be read; None for no such limit."""

    def __init__(
        self, url: Secret, migrate: Secret | None, *, setting: str | None = None, views: frozenset[str] | None = None
    ) -> None:
        self._url = url
        self._migrate = migrate
        self._setting = setting
        self._views = views
        self._pool: Any = None
        self._opening = asyncio.Lock()

    async def ask(self, question: Question) -> Answer:
        """Read. Raises `ToolError`s."""
        driver = _driver()
        try:
            async with asyncio.timeout(SECONDS + 0.2):
                pool = await self._open(driver)
                async with pool.acquire() as connection:
                    transaction = connection.transaction(readonly=True)
                    await transaction.start()
                    try:
                        await self._name(connection, question.tenant)
                        return await _read(connection, question)
                    finally:
                        await transaction.rollback()
        except TimeoutError:
            raise _too_slow(SECONDS) from None
        except (driver.PostgresError, driver.InterfaceError, OSError, ValueError, TypeError) as error:
            raise _told(error) from None

    async def change(self, statements: Sequence[str], tenant: str, *, keep: bool) -> int:
        """Run statements in one transaction. Raises `ToolError`s."""
        driver = _driver()
        if self._migrate is None:
            raise ToolError("this connection cannot be migrated", code="permission_denied")
        try:
            async with asyncio.timeout(MIGRATION_SECONDS):
                connection = await driver.connect(self._migrate.reveal(), server_settings=_settings(MIGRATION_SECONDS))
                try:
                    transaction = connection.transaction()
                    await transaction.start()
                    await self._name(connection, tenant)
                    for number, statement in enumerate(statements, 1):
                        await _run(connection, statement, number, driver)
                    await (transaction.commit() if keep else transaction.rollback())
                finally:
                    connection.terminate()
        except TimeoutError:
            raise _too_slow(MIGRATION_SECONDS) from None
        except (driver.PostgresError, driver.InterfaceError, OSError, ValueError) as error:
            raise _told(error) from None
        return len(statements)

    async def aclose(self) -> None:
        """Close every connection."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.terminate()

    async def _open(self, driver: Any) -> Any:
        async with self._opening:
            if self._pool is None:
                self._pool = await driver.create_pool(
                    self._url.reveal(),
                    min_size=0,
                    max_size=CONNECTIONS,
                    max_inactive_connection_lifetime=_IDLE_SECONDS,
                    server_settings={**_settings(SECONDS), "default_transaction_read_only": "on", "jit": "off"},
                    init=self._check,
                )
        return self._pool

    async def _name(self, connection: Any, tenant: str) -> None:
        """Tell the policies whose rows may be seen, for this transaction alone."""
        if self._setting is not None:
            quoted = tenant.replace("'", "''")
            await connection.execute(f"SET LOCAL {self._setting} = '{quoted}'")  # no parameters in a SET

    async def _check(self, connection: Any) -> None:
        """Raises `ToolError` when the role of a new connection could do more than it should."""
        # The driver calls set_config to turn the JIT off while it looks types up; it is off here, and the role may not.
        connection._server_caps = connection._server_caps._replace(jit=False)  # noqa: SLF001 - it has no other switch
        role = await connection.fetchrow(_ROLE, _DANGEROUS)
        relations = await connection.fetch(_RELATIONS)
        readable = [row for row in relations if row["reads"]]
        faults = {
            "is a superuser, or may create roles or databases, replicate, or pass policies": role["powerful"],
            "is a member of a role that reads files, runs programs, ends sessions or reads everything": role[
                "dangerous"
            ],
            "owns tables": role["owner"],
            "may write to tables": any(row["writes"] for row in relations),
            "may read more than the configured views": not all(self._listed(row["name"]) for row in readable),
        }
        if self._setting is not None:
            faults["may call set_config and so choose its tenant; revoke that from public"] = role["sets"]
            faults["reads a table without forced row-level security"] = any(
                row["is_table"] and not row["walled"] for row in readable
            )
        found = [fault for fault, is_so in faults.items() if is_so]
        if found:
            raise ToolError(
                f"the connection is not used, because its database role {'; it '.join(found)}. An operator has to correct it.",
                code="not_configured",
            )

    def _listed(self, name: str) -> bool:
        return self._views is None or name in self._views or name.rpartition(".")[2] in self._views


def _driver() -> Any:
    try:
        return import_module("asyncpg")
    except ImportError:
        raise ToolError(
            "PostgreSQL cannot be asked: an operator installs the extra execution-platform[postgres]",
            code="not_configured",
        ) from None


def _settings(seconds: float) -> dict[str, str]:
    limit = str(int(seconds * 1000))
    return {
        "application_name": "execution-platform-tool",
        "statement_timeout": limit,
        "lock_timeout": str(int(SECONDS * 1000)),
        "idle_in_transaction_session_timeout": limit,
    }


async def _read(connection: Any, question: Question) -> Answer:
    prepared = await connection.prepare(question.statement)
    columns = tuple(attribute.name for attribute in prepared.get_attributes())
    rows: list[tuple[object, ...]] = []
    size = 0
    cursor = await prepared.cursor(*question.parameters)
    while batch := await cursor.fetch(min(_BATCH, question.rows + 1 - len(rows))):
        for row in batch:
            plain = tuple(normalised(value) for value in row.values())
            size += len(_json.dumps(plain))
            if len(rows) >= question.rows or size > LARGEST:
                return Answer(columns, tuple(rows), truncated=True)
            rows.append(plain)
    return Answer(columns, tuple(rows), truncated=False)


async def _run(connection: Any, statement: str, number: int, driver: Any) -> None:
    try:
        prepared = await connection.prepare(statement)  # exactly one statement, or an error
        await prepared.fetch()
    except driver.PostgresError as error:
        raise _told(error, f"statement {number}: ") from None


def _told(error: Exception, where: str = "") -> ToolError:
    """An error by its SQLSTATE and place; what else it says stays here."""
    state = getattr(error, "sqlstate", None)
    if state is None or state == "22000":  # the latter is the driver's own
        if state or isinstance(error, ValueError | TypeError):
            return ToolError(f"{where}a parameter does not fit its place in the statement", param="args.parameters")
        return ToolError(f"{where}the database cannot be reached or broke off; try again later", code="unavailable")
    if state in ("57014", "55P03", "25P03"):
        return _too_slow(SECONDS)
    name = _WORDS.sub(" ", type(error).__name__.removesuffix("Error")).lower()
    position = getattr(error, "position", None)
    place = f" at character {position}" if isinstance(position, str) and position.isdigit() else ""
    return ToolError(f"{where}the database refuses: {name}{place} (SQLSTATE {state})", param="args.sql")


def _too_slow(seconds: float) -> ToolTimeout:
    return ToolTimeout(
        f"the database did not finish within {seconds:g} seconds; ask for less, or for fewer rows at a time"
    )
