"""The platform's own tools in a workspace of the test's own."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from execution_platform.config.secret import Secret, SecretRef
from execution_platform.config.values import PermissionLevel
from execution_platform.config.written.tools import RawTools, resolve_tools
from execution_platform.exceptions import ToolDenied
from execution_platform.tool_bridge import ToolContext, ToolRegistry
from execution_platform.tool_bridge.plugins import builtin_tools
from execution_platform.tool_bridge.provenance import Provenance
from execution_platform.tool_bridge.sandbox import NoSandbox, Sandbox


@dataclass
class Bench:
    """A registry with the built-in tools, and the context its calls run in."""

    workspace: Path
    registry: ToolRegistry
    close: Callable[[], Any]
    provenance: Provenance = field(default_factory=Provenance)
    notes: dict[str, object] = field(default_factory=dict[str, object])
    level: PermissionLevel = "full"
    tenant: str = "default"
    refused: list[ToolDenied] = field(default_factory=list[ToolDenied])

    async def call(self, tool: str, /, **args: object) -> Any:
        """The result of one call."""
        context = ToolContext(
            self.workspace, "call-1", level=self.level, tenant=self.tenant, provenance=self.provenance, notes=self.notes
        )
        return (await self.registry.invoke(tool, args, context=context)).output

    def run(self, tool: str, /, **args: object) -> Any:
        """The same in a loop of its own, for tools without connections."""
        return asyncio.run(self.call(tool, **args))


def revealed(reference: SecretRef) -> Secret:
    """Literal secrets only."""
    assert reference.literal is not None
    return reference.literal


def bench(workspace: Path, config: Mapping[str, Any] | None = None, sandbox: Sandbox | None = None) -> Bench:
    """The tools under the section `tools` of a configuration."""
    values = resolve_tools(RawTools.model_validate(config or {}))
    toolset = builtin_tools(values, sandbox or NoSandbox("none in this test"), revealed)
    refused: list[ToolDenied] = []
    registry = ToolRegistry(installed=False, refused=lambda _tool, error, _context: refused.append(error))
    registry.configure(toolset.tools, seconds=values.seconds)
    return Bench(workspace, registry, toolset.aclose, refused=refused)
