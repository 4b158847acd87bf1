"""What one process gives to its runs: the tools, the places to work in, the limits."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from execution_platform.exceptions import ExecutionPlatformError, PermissionDenied, ToolError, ToolNotFound
from execution_platform.identity.principal import Principal
from execution_platform.observability.runs import RunMetrics
from execution_platform.runtime.agent.aside import Asides
from execution_platform.runtime.agent.caller import ANSWER_SECONDS
from execution_platform.runtime.agent.limits import Limits
from execution_platform.runtime.agent.workspace import Workspaces
from execution_platform.runtime.books import Books
from execution_platform.runtime.snapshot import Snapshot
from execution_platform.tool_bridge.aliases import canonical
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
    standing: Callable[[Principal], Awaitable[Principal | None]]
    """A caller as it is now, with no more rights than it had; None when it may not call any more."""
    metrics: RunMetrics
    turn_seconds: float = 300.0
    asides: Asides = field(default_factory=Asides)
    answer_seconds: float = ANSWER_SECONDS
    hooks: Sequence[Hook] = field(default_factory=tuple[Hook, ...])

    def why(self, name: str) -> ExecutionPlatformError | None:
        """Why a tool that is out of a run's reach cannot be called; None for a name nobody knows."""
        try:
            self.registry.tool(canonical(name))
        except ToolNotFound:
            return None
        except ToolError as absent:
            return absent
        return PermissionDenied(f"{name} is not among the tools of this run; go on without it")

    async def invoke(self, name: str, arguments: Mapping[str, object], context: ToolContext) -> ToolResult:
        """Run a tool. Raises `ToolError`."""
        return await self.registry.invoke(name, arguments, context=context)
