"""The section `tools` at run time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from execution_platform.config.exec import ExecConfig
from execution_platform.config.secret import SecretRef

SearchEngine = Literal["searxng", "brave", "tavily", "duckduckgo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpToolsConfig:
    """Where the tools that call the web may go."""

    allow: tuple[str, ...] | None = None
    """Hosts; None for all that are public."""
    block: tuple[str, ...] = ()
    internal: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSearchConfig:
    """The engine behind `web_search`."""

    engine: SearchEngine
    url: str | None = None
    api_key: SecretRef | None = None
    trusted: bool = False


_RUFF = ("ruff", "format", "--isolated", "--no-cache", "--stdin-filename", "{name}", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeToolsConfig:
    """The tools that work on source code."""

    formatters: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"py": _RUFF, "pyi": _RUFF})
    """Commands by the ending of a file's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DbConnection:
    """One database that tools may ask."""

    url: SecretRef
    tenant: str | None = None
    tenant_setting: str | None = None
    views: frozenset[str] | None = None
    """None for all the role may read."""
    rows: int = 1000
    migrate: SecretRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsConfig:
    """How the platform's own tools work."""

    exec: ExecConfig = field(default_factory=ExecConfig)

    seconds: float = 30.0
    protected: tuple[str, ...] = ()
    """Patterns of paths, besides those that are always protected."""
    code: CodeToolsConfig = field(default_factory=CodeToolsConfig)
    databases: Mapping[str, DbConnection] = field(default_factory=dict[str, DbConnection])
    http: HttpToolsConfig = field(default_factory=HttpToolsConfig)
    web_search: WebSearchConfig | None = None
