"""The section `tools`: as it is written, and at run time."""

from dataclasses import dataclass, field

from pydantic import Field

from execution_platform.config.exec import ExecConfig, RawExec, resolve_exec
from execution_platform.config.facts import Raw
from execution_platform.config.units import Seconds


class RawTools(Raw):
    """The platform's own tools."""

    exec: RawExec = Field(default_factory=RawExec, description="Tools that run programs, in the sandbox.")

    seconds: Seconds = Field(default=30, description="Seconds a call of a tool may take.")
    protected: list[str] = Field(
        default_factory=list[str],
        description="Patterns of paths that no tool touches, besides .env*, .git/**, *.pem, *.key and **/secrets/**.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsConfig:
    """How the platform's own tools work."""

    exec: ExecConfig = field(default_factory=ExecConfig)

    seconds: float = 30.0
    protected: tuple[str, ...] = ()
    """Patterns of paths, besides those that are always protected."""


def resolve_tools(raw: RawTools) -> ToolsConfig:
    """The run-time values."""
    return ToolsConfig(exec=resolve_exec(raw.exec), seconds=raw.seconds, protected=tuple(raw.protected))
