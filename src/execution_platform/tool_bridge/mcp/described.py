"""A tool of another gateway, as far as a client has to know it."""

from collections.abc import Mapping

from execution_platform.exceptions import ToolError
from execution_platform.tool_bridge.protocol import ToolResult


class DescribedTool:
    """What a tool is, without the tool."""

    def __init__(self, name: str, description: str, parameters: Mapping[str, object], side_effect: str) -> None:
        self.name = name
        self.description = description
        self.parameters = parameters
        self.side_effect = side_effect

    def validate_args(self, args: Mapping[str, object]) -> None:
        """The gateway that has the tool checks them."""
        del args

    async def execute(self, args: Mapping[str, object]) -> ToolResult:
        """Not here. Raises `ToolError`."""
        del args
        raise ToolError(f"tool {self.name!r} runs at the gateway that has it")
