"""`agent_task`: a part of the task for an agent on another persona. The agent loop runs it; here is what a model reads of it."""

from collections.abc import Mapping

from execution_platform.exceptions import ToolError
from execution_platform.tool_bridge.protocol import SideEffect, ToolResult
from execution_platform.tool_bridge.schema import ArgumentCheck, Schema

NAME = "agent_task"
_PARAMETERS: Schema = {
    "type": "object",
    "properties": {
        "persona": {"type": "string", "description": "Who works on it: the name of a persona."},
        "task": {
            "type": "string",
            "description": "What is to be done, with everything the other agent has to know: it sees nothing of this conversation.",
        },
    },
    "required": ["persona", "task"],
}


class AgentTask:
    """The tool as registries list it."""

    name = NAME
    description = (
        "Let another agent work on a part of the task, with a persona and tools of its own, in the same workspace. Its last words "
        "are the result. Several may work at once."
    )
    side_effect: SideEffect = "read"
    """Of the call itself: what the other agent does passes the same gate call by call."""
    repeatable = True
    """After a crash the other agent goes on by its own journal."""

    def __init__(self) -> None:
        self.parameters: Schema = _PARAMETERS
        self.returns: Schema = {"type": "string"}
        self._check = ArgumentCheck(NAME, _PARAMETERS)

    def validate_args(self, args: Mapping[str, object]) -> None:
        """Refuse arguments that do not fit. Raises `InvalidToolArguments`."""
        self._check(args)

    async def execute(self, args: Mapping[str, object]) -> ToolResult:
        """Not outside a run. Raises `ToolError`."""
        raise ToolError(f"tool {NAME!r} works within a run only; begin one on /v1/runs", code="run_missing")
