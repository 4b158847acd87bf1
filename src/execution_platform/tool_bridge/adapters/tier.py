"""What the two substitutes for real tool calls have in common: tools, calls and results told as text."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol, cast

from execution_platform import _json
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi.assemble import accumulate, explode
from execution_platform.spi.events import Event
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import Part, TextPart, ToolCallPart, ToolResultPart
from execution_platform.spi.request import ChatRequest
from execution_platform.spi.response import ChatResponse
from execution_platform.spi.tools import ToolDefinition

_NO_ARGUMENTS: dict[str, object] = {"type": "object", "properties": {}}
OPEN = "<tool_call>"
CLOSE = "</tool_call>"


class Tier(Protocol):
    """One answer of a model that has no tool calls of its own."""

    @property
    def way(self) -> str:
        """How the model calls, for people."""
        ...

    @property
    def request(self) -> ChatRequest:
        """The request as the model gets it: without tools, calls and results."""
        ...

    def feed(self, events: Sequence[Event]) -> list[Event]:
        """The model's events, with calls where it wrote some."""
        ...

    def response(self, response: ChatResponse) -> ChatResponse:
        """The same for a whole answer."""
        ...


def read_response(tier: Tier, response: ChatResponse) -> ChatResponse:
    """A whole answer by way of its events."""
    return accumulate(tier.feed(explode(response)))


def offered(request: ChatRequest) -> tuple[ToolDefinition, ...]:
    """The tools the model may call in this answer. Raises `InvalidRequest` for one that no text can stand for."""
    tools, choice = request.tools or (), request.tool_choice
    for tool in tools:
        if tool.kind not in {"function", "custom"}:
            raise InvalidRequest(
                f"tool {tool.name!r} is run by a provider, and this model has no tools of its own", param="tools"
            )
    if choice is None or choice.mode in {None, "auto", "required"}:
        return tuple(tools)
    return tuple(tool for tool in tools if tool.name in choice.names)


def is_forced(request: ChatRequest) -> bool:
    """Whether the model has to call."""
    choice = request.tool_choice
    return choice is not None and (choice.mode in {"required", "named"} or choice.forced)


def schema_of(tool: ToolDefinition) -> dict[str, object]:
    """The arguments of a tool as JSON Schema."""
    if tool.kind == "custom":
        return {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    return dict(tool.input_schema or _NO_ARGUMENTS)


def listed(tools: Sequence[ToolDefinition]) -> str:
    """Tools as the text a model reads, one a line."""
    lines: list[str] = []
    for tool in tools:
        told = {"name": tool.name, "description": tool.description or "", "arguments": schema_of(tool)}
        lines.append(_json.dumps(told).decode())
    return "\n".join(lines)


def without_tools(request: ChatRequest, instructions: str) -> ChatRequest:
    """`request` with calls and results as text, and `instructions` at the end of its leading system text."""
    messages = [_plain(message) for message in request.messages]
    if instructions:
        lead = 0
        while lead < len(messages) and messages[lead].role in {"system", "developer"}:
            lead += 1
        messages.insert(lead, Message("system", instructions, placement="top"))
    return replace(request, messages=tuple(_joined(messages)), tools=None, tool_choice=None)


def _plain(message: Message) -> Message:
    if not any(isinstance(part, ToolCallPart | ToolResultPart) for part in message.parts):
        return message
    parts: list[Part] = []
    for part in message.parts:
        if isinstance(part, ToolCallPart):
            parts.append(TextPart(written(part.name, part.arguments)))
        elif isinstance(part, ToolResultPart):
            parts.extend(_result(part))
        else:
            parts.append(part)
    role = "user" if message.role == "tool" else message.role
    return replace(message, role=role, content=tuple(parts), tool_call_id=None, name=None)


def written(name: str, arguments: str) -> str:
    """A call as the model writes it."""
    told = _json.dumps({"name": name}).decode()[:-1]
    return f'{OPEN}{told},"arguments":{arguments or "{}"}}}{CLOSE}'


def _result(part: ToolResultPart) -> Iterator[Part]:
    said = "error" if part.is_error else "result"
    text = "".join(inner.text for inner in part.parts if isinstance(inner, TextPart))
    if part.raw is not None and not text:
        text = part.raw if isinstance(part.raw, str) else _json.dumps(part.raw).decode()
    # A result that holds our closing tag must not end the quotation it stands in.
    text = text.replace("</tool_", "<\\/tool_")
    yield TextPart(f'<tool_{said} name="{part.name or ""}">\n{text}\n</tool_{said}>')
    yield from (inner for inner in part.parts if not isinstance(inner, TextPart))


def _joined(messages: Sequence[Message]) -> Iterator[Message]:
    """Neighbours of the user's role as one message: many chat templates want roles to alternate."""
    held: Message | None = None
    for message in messages:
        if held is not None and held.role == message.role == "user":
            held = replace(held, content=(*held.parts, *message.parts))
            continue
        if held is not None:
            yield held
        held = message
    if held is not None:
        yield held


def count_calls(request: ChatRequest) -> int:
    """How many calls the conversation holds, so that the ids of further ones are new."""
    return sum(len(message.tool_calls) for message in request.messages)


def read_call(text: str, number: int) -> ToolCallPart | None:
    """A call as the model wrote it; None when it is none."""
    body = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    try:
        value = _json.loads(body)
    except _json.JsonError:
        return None
    return call_of(value, number)


def call_of(value: object, number: int) -> ToolCallPart | None:
    """A call from `{"name", "arguments"}`; None when that is something else."""
    if not isinstance(value, dict):
        return None
    told = cast("dict[str, object]", value)
    name = told.get("name")
    arguments = told.get("arguments", told.get("parameters", {}))
    if not isinstance(name, str) or not name:
        return None
    if isinstance(arguments, str):
        text = arguments
    elif isinstance(arguments, dict):
        text = _json.dumps(cast("dict[str, object]", arguments)).decode()
    else:
        return None
    return ToolCallPart(f"call_{number}", name, text, synthetic_id=True)
