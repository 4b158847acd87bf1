"""What one process gives to its runs: the tools, the places to work in, the limits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from execution_platform.runtime.agent.limits import Limits
from execution_platform.runtime.agent.workspace import Workspaces
from execution_platform.runtime.books import Books
from execution_platform.runtime.snapshot import Snapshot
from execution_platform.tool_bridge.aliases import aliases
from execution_platform.tool_bridge.approval import Hook
from execution_platform.tool_bridge.context import ToolContext
from execution_platform.tool_bridge.protocol import ToolResult
from execution_platform.tool_bridge.registry import ToolRegistry


@dataclass(slots=True, kw_only=True)
class Workshop:
    """One process's."""

    registry: ToolRegistry
    snapshot: Callable[[], Snapshot]
    books: Books | None
    workspaces: Callable[[], Workspaces]
    limits: Callable[[], Limits]
    turn_seconds: float = 300.0
    hooks: Sequence[Hook] = field(default_factory=tuple[Hook, ...])

    def names(self) -> frozenset[str]:
        """Every tool there is, by all of its names."""
        own = {tool.name for tool in self.registry.tools()}
        return frozenset(own | {name for name, alias in aliases().items() if alias.tool in own})

    async def invoke(self, name: str, arguments: Mapping[str, object], context: ToolContext) -> ToolResult:
        """Run a tool. Raises `ToolError`."""
        return await self.registry.invoke(name, arguments, context=context)
