"""The forms nearly all messages of a long conversation have, read without looking for what else could be in them.

`plain_message` knows a message by its exact members and types: text of any role, a user's list of texts, calls of functions, a
result that is text. For everything else, wrong things included, it says None and `messages` reads the message in full; where it
answers, the answer is the same.
"""

from typing import cast

from execution_platform.dialects.take import Object
from execution_platform.spi.messages import Message, Role
from execution_platform.spi.parts import Part, TextPart, ToolCallPart, ToolResultPart


def plain_message(value: object) -> Message | None:
    """The message, if it has one of the plain forms."""
    if type(value) is not dict:
        return None
    wire = cast("Object", value)
    role = wire.get("role")
    if len(wire) == 2:
        content = wire.get("content")
        if type(content) is str:
            return Message(role, content) if role in ("user", "assistant", "system", "developer") else None
        return _texts(content) if role == "user" else None
    if len(wire) == 3:
        return _result(wire) if role == "tool" else _calls(wire) if role == "assistant" else None
    return None


def _texts(content: object) -> Message | None:
    """A user's list of texts."""
    if type(content) is not list:
        return None
    parts: list[Part] = []
    for item in cast("list[object]", content):
        if type(item) is not dict or len(cast("Object", item)) != 2:
            return None
        wire = cast("Object", item)
        text = wire.get("text")
        if wire.get("type") != "text" or type(text) is not str:
            return None
        parts.append(TextPart(text))
    return Message("user", tuple(parts))


def _result(wire: Object) -> Message | None:
    """A tool's result as text."""
    call_id, content = wire.get("tool_call_id"), wire.get("content")
    if type(call_id) is not str or type(content) is not str or not content:
        return None
    return Message("tool", (ToolResultPart(call_id, (TextPart(content),)),))


_ASSISTANT: Role = "assistant"


def _calls(wire: Object) -> Message | None:
    """Calls of functions, with text or with a content of null before them."""
    calls, content = wire.get("tool_calls"), wire.get("content", "")
    if type(calls) is not list or not calls:
        return None
    parts: list[Part] = []
    if type(content) is str and content:
        parts.append(TextPart(content))
    elif content is not None:
        return None
    for item in cast("list[object]", calls):
        call = _call(item)
        if call is None:
            return None
        parts.append(call)
    return Message(_ASSISTANT, tuple(parts), extra={"content": None} if content is None else {})


def _call(item: object) -> ToolCallPart | None:
    if type(item) is not dict or len(cast("Object", item)) != 3:
        return None
    wire = cast("Object", item)
    call_id, function = wire.get("id"), wire.get("function")
    if wire.get("type") != "function" or type(function) is not dict or len(cast("Object", function)) != 2:
        return None
    inner = cast("Object", function)
    name, arguments = inner.get("name"), inner.get("arguments")
    if type(call_id) is not str or not call_id or type(name) is not str or type(arguments) is not str:
        return None
    return ToolCallPart(call_id, name, arguments)
