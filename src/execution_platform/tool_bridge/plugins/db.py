"""The tools that ask databases: `db_query`, `db_migrate`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import unquote, urlsplit

from execution_platform.config.problems import suggest
from execution_platform.config.secret import Secret, SecretRef
from execution_platform.config.tools import DbConnection
from execution_platform.exceptions import InvalidToolArguments, TargetNotFound, ToolDenied, ToolError
from execution_platform.tool_bridge.builtin import BuiltinTool, Nature
from execution_platform.tool_bridge.context import ToolContext
from execution_platform.tool_bridge.db import Database, PostgresDatabase, Question, SqliteDatabase
from execution_platform.tool_bridge.db.statements import check_change, check_question

_MOST_STATEMENTS: Final = 100
_MOST_PARAMETERS: Final = 100

Name = Annotated[str | None, "Name of the connection; needed where there are several."]


class Databases:
    """The tools over the configured connections. Opens none before it is asked."""

    def __init__(self, connections: Mapping[str, DbConnection], secret: Callable[[SecretRef], Secret]) -> None:
        self._connections = connections
        self._secret = secret
        self._open: dict[str, Database] = {}

    def tools(self) -> tuple[BuiltinTool, ...]:
        """The tools."""
        changes = Nature(side_effect="write", repeatable=False, least="full")
        return (
            BuiltinTool(self.query, Nature(side_effect="read", repeatable=True), name="db_query"),
            BuiltinTool(self.migrate, changes, name="db_migrate"),
        )

    async def aclose(self) -> None:
        """Close every connection."""
        while self._open:
            _, database = self._open.popitem()
            await database.aclose()

    async def query(
        self,
        context: ToolContext,
        sql: Annotated[str, "One statement that reads: SELECT, WITH, VALUES, TABLE, SHOW, EXPLAIN."],
        parameters: Annotated[list[Any] | None, "Values for $1, $2 … (PostgreSQL) or ? (SQLite)."] = None,
        connection: Name = None,
        limit: Annotated[int | None, "Most rows; the connection's own limit unless set."] = None,
    ) -> Mapping[str, object]:
        """Ask a database a question in SQL. Nothing can be changed by it."""
        name, found = self._find(context, connection)
        check_question(sql)
        given = parameters or []
        if len(given) > _MOST_PARAMETERS:
            raise InvalidToolArguments(f"args.parameters: at most {_MOST_PARAMETERS}", param="args.parameters")
        most = found.rows if limit is None else max(1, min(limit, found.rows))
        answer = await self._database(name, found).ask(Question(sql, given, most, context.tenant))
        shown: dict[str, object] = {
            "connection": name,
            "columns": list(answer.columns),
            "rows": [list(row) for row in answer.rows],
            "truncated": answer.truncated,
        }
        if answer.truncated:
            shown["note"] = (
                f"The first {len(answer.rows)} rows; there are more. Use a condition, LIMIT and OFFSET, or sums."
            )
        return shown

    async def migrate(
        self,
        context: ToolContext,
        statements: Annotated[list[str], "The statements in order, one in each text, without BEGIN and COMMIT."],
        connection: Name = None,
        dry_run: Annotated[bool, "Run everything and undo it at the end."] = True,  # noqa: FBT002 - by name
    ) -> Mapping[str, object]:
        """Change the schema of a database, all statements or none. It is only tried and undone unless dry_run is false."""
        name, found = self._find(context, connection)
        if found.migrate is None:
            raise ToolDenied(
                f"connection {name!r} cannot be migrated; an operator allows it by tools.db.connections.{name}.migrate"
            )
        if not 1 <= len(statements) <= _MOST_STATEMENTS:
            raise InvalidToolArguments(f"args.statements: 1 to {_MOST_STATEMENTS}", param="args.statements")
        for statement in statements:
            check_change(statement)
        done = await self._database(name, found).change(statements, context.tenant, keep=not dry_run)
        return {"connection": name, "statements": done, "kept": not dry_run}

    def _find(self, context: ToolContext, name: str | None) -> tuple[str, DbConnection]:
        """A connection the tenant may use; those of others do not exist. Raises `ToolError`s."""
        mine = {
            each: given
            for each, given in self._connections.items()
            if given.tenant is None or given.tenant == context.tenant
        }
        if not mine:
            raise ToolError(
                "no database is configured; an operator adds one to tools.db.connections. Go on without it.",
                code="not_configured",
            )
        if name is None and len(mine) == 1:
            name = next(iter(mine))
        if name is None:
            raise InvalidToolArguments(f"args.connection: name one of {', '.join(mine)}", param="args.connection")
        if name not in mine:
            raise TargetNotFound(
                f"args.connection: no connection {name!r}. {suggest(name, mine)}", param="args.connection"
            )
        return name, mine[name]

    def _database(self, name: str, found: DbConnection) -> Database:
        database = self._open.get(name)
        if database is None:
            database = self._open[name] = self._made(name, found)
        return database

    def _made(self, name: str, found: DbConnection) -> Database:
        url = self._secret(found.url)
        scheme = urlsplit(url.reveal()).scheme
        if scheme in ("postgresql", "postgres"):
            migrate = None if found.migrate is None else self._secret(found.migrate)
            return PostgresDatabase(url, migrate, setting=found.tenant_setting, views=found.views)
        if scheme == "sqlite" and found.tenant_setting is None:
            path = Path(unquote(urlsplit(url.reveal()).path))
            return SqliteDatabase(path, migrates=found.migrate is not None, views=found.views)
        raise ToolError(
            f"connection {name!r} cannot be used: its address is neither postgresql:// nor sqlite:///, or is sqlite with "
            "tenant_setting; an operator has to correct it",
            code="not_configured",
        )
