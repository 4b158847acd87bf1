"""Small tools with visible effects, for tests of runs."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from execution_platform.exceptions import ToolError
from execution_platform.tool_bridge import ToolContext, ToolResult
from execution_platform.tool_bridge.protocol import SideEffect
from execution_platform.tool_bridge.schema import ArgumentCheck

PATH: dict[str, object] = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
WRITE: dict[str, object] = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
    "required": ["path", "content"],
    "additionalProperties": False,
}


@dataclass
class Tool:
    """A tool that records its calls."""

    name: str
    side_effect: SideEffect
    parameters: Mapping[str, object]
    repeatable: bool = False
    description: str = "A tool of a test."
    calls: list[tuple[ToolContext, dict[str, object]]] = field(
        default_factory=list[tuple[ToolContext, dict[str, object]]]
    )

    def validate_args(self, args: Mapping[str, object]) -> None:
        ArgumentCheck(self.name, self.parameters)(args)

    async def execute(self, args: Mapping[str, object]) -> ToolResult:
        raise ToolError("needs a workspace")

    async def execute_in(self, context: ToolContext, args: Mapping[str, object]) -> ToolResult:
        self.calls.append((context, dict(args)))
        return ToolResult(await self.work(context, args))

    async def work(self, context: ToolContext, args: Mapping[str, object]) -> object:
        await asyncio.sleep(0)
        return "done"


class ReadFile(Tool):
    """Reads a file of the workspace."""

    def __init__(self, name: str = "read_file") -> None:
        super().__init__(name, "read", PATH, repeatable=True)

    async def work(self, context: ToolContext, args: Mapping[str, object]) -> object:
        path = context.workspace / str(args["path"])
        if not path.exists():
            raise ToolError(f"{args['path']} is not there")
        return path.read_text()


class WriteFile(Tool):
    """Appends to a file of the workspace: running it twice shows."""

    def __init__(self, name: str = "write_file") -> None:
        super().__init__(name, "write", WRITE)

    async def work(self, context: ToolContext, args: Mapping[str, object]) -> object:
        with (context.workspace / str(args["path"])).open("a") as file:
            file.write(str(args["content"]))
        return {"written": len(str(args["content"]))}
