"""The section `tools`: as it is written, and at run time."""

from dataclasses import dataclass

from pydantic import Field

from execution_platform.config.facts import Raw
from execution_platform.config.units import Seconds


class RawTools(Raw):
    """The platform's own tools."""

    seconds: Seconds = Field(default=30, description="Seconds a call of a tool may take.")
    protected: list[str] = Field(
        default_factory=list[str],
        description="Patterns of paths that no tool touches, besides .env*, .git/**, *.pem, *.key and **/secrets/**.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsConfig:
    """How the platform's own tools work."""

    seconds: float = 30.0
    protected: tuple[str, ...] = ()
    """Patterns of paths, besides those that are always protected."""


def resolve_tools(raw: RawTools) -> ToolsConfig:
    """The run-time values."""
    return ToolsConfig(seconds=raw.seconds, protected=tuple(raw.protected))
