"""Where, for whom and how freely one call of a tool runs."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from execution_platform.config.values import PermissionLevel
from execution_platform.tool_bridge.protocol import SideEffect, ToolProtocol, ToolResult
from execution_platform.tool_bridge.provenance import Provenance


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool knows of the call it serves, and nothing more: no credential, no environment, no other run."""

    workspace: Path
    """The directory of the run; every path of the tool is below it."""
    call_id: str
    """The same when a run repeats the call after a crash: the idempotency key of what the tool does elsewhere."""
    level: PermissionLevel = "full"
    """How much of the tool the persona may use. `none` never reaches a tool."""
    tenant: str = "default"
    persona: str | None = None
    run_id: str | None = None
    """None outside a run."""
    provenance: Provenance = field(default_factory=Provenance)
    """What the run has seen: one object for all calls of a run."""
    notes: MutableMapping[str, object] = field(default_factory=dict[str, object])
    """What tools keep for the rest of the run, as JSON: one object for all calls of a run."""


@runtime_checkable
class ContextualTool(ToolProtocol, Protocol):
    """A tool that works in a workspace, on behalf of somebody."""

    @property
    def side_effect(self) -> SideEffect:
        """The worst a call can do."""
        ...

    @property
    def repeatable(self) -> bool:
        """Whether running the same call twice leaves the same state as running it once."""
        ...

    async def execute_in(self, context: ToolContext, args: Mapping[str, object]) -> ToolResult:
        """Run it there. The arguments have passed `validate_args`. Raises `ToolError` with what the model should know."""
        ...
