"""Answers of servers as results of tools, and results of tools as answers to clients."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

from execution_platform import _json
from execution_platform.exceptions import ExecutionPlatformError, ToolError
from execution_platform.tool_bridge.protocol import ToolProtocol, ToolResult

if TYPE_CHECKING:
    from mcp_types import CallToolResult, ContentBlock, GetPromptResult, ReadResourceResult, Tool

_LONGEST_ERROR: Final = 2000
_ANY: Final[Mapping[str, object]] = {"type": "object", "properties": {}}


def result_of(server: str, answer: "CallToolResult", most: int) -> ToolResult:
    """What a tool of a server gave. Raises `ToolError` with its words where it says that it failed, or says too much."""
    if answer.is_error:
        words = " ".join(text for block in answer.content if (text := getattr(block, "text", None)))
        raise ToolError(f"the MCP server {server} says: {words[:_LONGEST_ERROR] or 'the tool failed'}")
    output = answer.structured_content
    if output is None:
        blocks = [_block(block) for block in answer.content]
        output = blocks[0] if len(blocks) == 1 else blocks
    return ToolResult(_bounded(server, output, most))


def resources_of(server: str, answer: "ReadResourceResult", most: int) -> ToolResult:
    """What a resource holds: each part with its address."""
    parts = [part.model_dump(mode="json", by_alias=True, exclude_none=True) for part in answer.contents]
    return ToolResult(_bounded(server, parts, most))


def prompt_of(server: str, answer: "GetPromptResult", most: int) -> ToolResult:
    """A prompt's messages: role and text."""
    messages = [{"role": each.role, "content": _block(each.content)} for each in answer.messages]
    return ToolResult(_bounded(server, messages, most))


def _block(block: "ContentBlock") -> object:
    text = getattr(block, "text", None)
    return text if isinstance(text, str) else block.model_dump(mode="json", by_alias=True, exclude_none=True)


def _bounded(server: str, output: object, most: int) -> object:
    if len(_json.dumps(output)) > most:
        raise ToolError(f"the answer of the MCP server {server} is larger than {most} bytes", code="result_too_large")
    return output


def described(tool: ToolProtocol) -> "Tool":
    """A tool of ours as clients are told of it."""
    from mcp_types import Tool, ToolAnnotations

    effect = getattr(tool, "side_effect", "exec")
    return Tool(
        name=tool.name,
        description=tool.description,
        input_schema={**_ANY, **tool.parameters},
        annotations=ToolAnnotations(
            read_only_hint=effect == "read",
            destructive_hint=effect in ("write", "exec"),
            idempotent_hint=bool(getattr(tool, "repeatable", False)),
            open_world_hint=effect == "network",
        ),
    )


def answered(output: object) -> "CallToolResult":
    """A result of a tool of ours: as text, and as it is where it is an object."""
    from mcp_types import CallToolResult, TextContent

    text = output if isinstance(output, str) else _json.dumps(output).decode()
    structured = cast("dict[str, object]", output) if isinstance(output, dict) else None
    return CallToolResult(content=[TextContent(text=text)], structured_content=structured)


def failed(error: ExecutionPlatformError) -> "CallToolResult":
    """A failure of a tool of ours, as the client's model reads it: its code and its words."""
    from mcp_types import CallToolResult, TextContent

    return CallToolResult(content=[TextContent(text=f"{error.code}: {error.message}")], is_error=True)
