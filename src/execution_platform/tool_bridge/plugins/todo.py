"""The tool that keeps a list: `todo_write`. The list lives as long as the run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from execution_platform.exceptions import InvalidToolArguments
from execution_platform.tool_bridge.builtin import BuiltinTool, Nature
from execution_platform.tool_bridge.context import ToolContext

_MOST: Final = 100
_LONGEST: Final = 500


@dataclass(frozen=True, slots=True)
class Todo:
    """One thing to do."""

    content: str
    status: Literal["pending", "in_progress", "completed"] = "pending"
    id: str | None = None
    activeForm: str | None = None  # noqa: N815 - as other agents' tools name it
    priority: str | None = None


async def todo_write(
    context: ToolContext, todos: Annotated[list[Todo], "The whole list, in order; it replaces the one before."]
) -> Mapping[str, object]:
    """Keep the list of steps of this task: write the whole list, with what is done, in progress and still to do."""
    if len(todos) > _MOST or any(len(todo.content) > _LONGEST for todo in todos):
        raise InvalidToolArguments(
            f"args.todos: at most {_MOST} entries of at most {_LONGEST} characters each", param="args.todos"
        )
    kept = [{"content": todo.content, "status": todo.status} for todo in todos]
    context.notes["todos"] = kept
    count = {status: sum(todo.status == status for todo in todos) for status in ("pending", "in_progress", "completed")}
    return {"todos": kept, **count}


def todo_tools() -> tuple[BuiltinTool, ...]:
    """The tool."""
    # It changes nothing but the run's own notes, so a persona that only reads may keep a list too.
    return (
        BuiltinTool(todo_write, Nature(side_effect="write", repeatable=True, least="read_only"), name="todo_write"),
    )
