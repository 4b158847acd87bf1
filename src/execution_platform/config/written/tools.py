"""The section `tools` as it is written."""

from typing import Self

from pydantic import Field, model_validator

from execution_platform.config.facts import Raw
from execution_platform.config.secret import SecretRef
from execution_platform.config.tools import (
    CodeToolsConfig,
    DbConnection,
    HttpToolsConfig,
    SearchEngine,
    ToolsConfig,
    WebSearchConfig,
)
from execution_platform.config.units import Seconds
from execution_platform.config.written.exec import RawExec, resolve_exec


class RawHttpTools(Raw):
    """Where the tools that call the web may go: to public addresses on ports 80 and 443, unless said otherwise."""

    allow: list[str] | None = Field(
        default=None,
        description="Hosts that may be reached, *.example.com for all below one; all public ones unless set.",
    )
    block: list[str] = Field(
        default_factory=list[str], description="Hosts that may not be reached; stronger than allow."
    )
    internal: list[str] = Field(
        default_factory=list[str],
        description="Places such as wiki.corp:8080 that may be reached although their addresses are not public.",
    )
    trusted: list[str] = Field(
        default_factory=list[str],
        description="Hosts that a run may still call when it has read both private data and text of outsiders.",
    )


class RawWebSearch(Raw):
    """The engine behind web_search."""

    engine: SearchEngine = Field(description="Which engine.")
    url: str | None = Field(
        default=None, pattern=r"^https?://", description="Root of the engine's API; needed for searxng."
    )
    api_key: SecretRef | None = Field(default=None, description="Its key, where it needs one.")
    trusted: bool = Field(
        default=False,
        description="Let runs search that have read both private data and text of outsiders: what they ask may hold both.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.engine == "searxng" and self.url is None:
            raise ValueError("searxng needs url, the address of your installation")
        if self.engine in ("brave", "tavily") and self.api_key is None:
            raise ValueError(f"{self.engine} needs api_key, best as a reference such as ${{SEARCH_API_KEY}}")
        return self


class RawCodeTools(Raw):
    """The tools that work on source code."""

    formatters: dict[str, list[str]] = Field(
        default_factory=dict[str, list[str]],
        description="Formatter by the ending of a file's name: a command in the sandbox that reads the text and writes it "
        "formatted; {name} stands for the file's name. ruff formats Python unless set.",
    )


class RawDbConnection(Raw):
    """One database that tools may ask."""

    url: SecretRef = Field(
        description="postgresql://… of a role that may only read, or sqlite:///path; best as a reference."
    )
    tenant: str | None = Field(
        default=None, description="Tenant the database belongs to; the only one that may use it."
    )
    tenant_setting: str | None = Field(
        default=None,
        pattern=r"^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)+$",
        description="Instead of tenant: the setting, such as app.tenant, by which policies of PostgreSQL wall rows off.",
    )
    views: list[str] | None = Field(
        default=None,
        description="Tables and views that may be read, as name or schema.name; all the role may unless set.",
    )
    rows: int = Field(default=1000, ge=1, le=10_000, description="Most rows of an answer.")
    migrate: SecretRef | None = Field(
        default=None, description="Address of the role that may change the schema; db_migrate is refused unless set."
    )

    @model_validator(mode="after")
    def _owned(self) -> Self:
        if (self.tenant is None) == (self.tenant_setting is None):
            raise ValueError(
                "needs either tenant, whose database it is, or tenant_setting, by which rows are walled off"
            )
        return self


class RawDbTools(Raw):
    """The tools that ask databases."""

    connections: dict[str, RawDbConnection] = Field(
        default_factory=dict[str, RawDbConnection], description="Databases by the name that models use."
    )


class RawTools(Raw):
    """The platform's own tools."""

    exec: RawExec = Field(default_factory=RawExec, description="Tools that run programs, in the sandbox.")

    seconds: Seconds = Field(default=30, description="Seconds a call of a tool may take.")
    protected: list[str] = Field(
        default_factory=list[str],
        description="Patterns of paths that no tool touches, besides .env*, .git/**, *.pem, *.key and **/secrets/**.",
    )
    code: RawCodeTools = Field(default_factory=RawCodeTools, description="Tools that work on source code.")
    db: RawDbTools = Field(default_factory=RawDbTools, description="Tools that ask databases.")
    http: RawHttpTools = Field(default_factory=RawHttpTools, description="Tools that call the web.")
    web_search: RawWebSearch | None = Field(default=None, description="Search engine; none unless set.")


def resolve_tools(raw: RawTools) -> ToolsConfig:
    """The run-time values."""
    http, search = raw.http, raw.web_search
    return ToolsConfig(
        exec=resolve_exec(raw.exec),
        seconds=raw.seconds,
        protected=tuple(raw.protected),
        code=CodeToolsConfig(
            formatters={
                **CodeToolsConfig().formatters,
                **{ending: tuple(argv) for ending, argv in raw.code.formatters.items() if argv},
            }
        ),
        databases={name: _connection(given) for name, given in raw.db.connections.items()},
        http=HttpToolsConfig(
            allow=None if http.allow is None else tuple(http.allow),
            block=tuple(http.block),
            internal=tuple(http.internal),
            trusted=tuple(http.trusted),
        ),
        web_search=None
        if search is None
        else WebSearchConfig(engine=search.engine, url=search.url, api_key=search.api_key, trusted=search.trusted),
    )


def _connection(raw: RawDbConnection) -> DbConnection:
    return DbConnection(
        url=raw.url,
        tenant=raw.tenant,
        tenant_setting=raw.tenant_setting,
        views=None if raw.views is None else frozenset(raw.views),
        rows=raw.rows,
        migrate=raw.migrate,
    )
