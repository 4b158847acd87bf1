"""The section `tools`: as it is written, and at run time."""

from dataclasses import dataclass, field
from typing import Literal, Self

from pydantic import Field, model_validator

from execution_platform.config.facts import Raw
from execution_platform.config.secret import SecretRef
from execution_platform.config.units import Seconds

SearchEngine = Literal["searxng", "brave", "tavily", "duckduckgo"]


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


class RawTools(Raw):
    """The platform's own tools."""

    seconds: Seconds = Field(default=30, description="Seconds a call of a tool may take.")
    protected: list[str] = Field(
        default_factory=list[str],
        description="Patterns of paths that no tool touches, besides .env*, .git/**, *.pem, *.key and **/secrets/**.",
    )
    http: RawHttpTools = Field(default_factory=RawHttpTools, description="Tools that call the web.")
    web_search: RawWebSearch | None = Field(default=None, description="Search engine; none unless set.")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsConfig:
    """How the platform's own tools work."""

    seconds: float = 30.0
    protected: tuple[str, ...] = ()
    """Patterns of paths, besides those that are always protected."""
    http: HttpToolsConfig = field(default_factory=HttpToolsConfig)
    web_search: WebSearchConfig | None = None


def resolve_tools(raw: RawTools) -> ToolsConfig:
    """The run-time values."""
    http, search = raw.http, raw.web_search
    return ToolsConfig(
        seconds=raw.seconds,
        protected=tuple(raw.protected),
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
