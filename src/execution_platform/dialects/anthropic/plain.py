"""The forms nearly all messages of a long conversation have, read and written without looking for what else could be in them.

`plain_message` knows a message by its exact members and types: text of any role, and lists of texts, calls of functions and results
that are text. For everything else, wrong things included, it says None and `request` reads the message in full; where it answers,
the answer is the same. `text_block`, `call_block` and `result_block` do the same for parts of another dialect that leave nothing
behind: what they do not write, `blocks` writes, and records what is lost.
"""

from collections.abc import Mapping
from typing import Any

from execution_platform.dialects.anthropic.wire import arguments_text, input_object
from execution_platform.dialects.take import Object
from execution_platform.dialects.toolnames import NameMap
from execution_platform.spi.messages import Message, Role
from execution_platform.spi.parts import Part, TextPart, ToolCallPart, ToolResultPart

CALLS_ALONE: Mapping[str, object] = {"content": None}
"""What is left of an OpenAI message of nothing but calls. It says nothing, so nothing is lost with it."""
_ROLES: Mapping[object, Role] = {"user": "user", "assistant": "assistant", "system": "system"}


def plain_message(value: Any) -> Message | None:
    """The message, if it has one of the plain forms."""
    if value.__class__ is not dict or len(value) != 2:
        return None
    role, content = value.get("role"), value.get("content")
    if type(role) is not str or role not in _ROLES:
        return None
    if type(content) is str:
        return Message(_ROLES[role], content)
    if content.__class__ is not list or not content:
        return None
    parts: list[Part] = []
    for block in content:
        part = _part(block)
        if part is None:
            return None
        parts.append(part)
    return Message(_ROLES[role], tuple(parts))


def _part(block: Any) -> Part | None:
    if block.__class__ is not dict:
        return None
    word = block.get("type")
    if word == "text":
        text = block.get("text")
        return TextPart(text) if len(block) == 2 and type(text) is str else None
    if word == "tool_use":
        return _call(block)
    return _result(block) if word == "tool_result" else None


def _call(block: Mapping[str, Any]) -> ToolCallPart | None:
    call_id, name = block.get("id"), block.get("name")
    given: Any = block.get("input")
    if len(block) != 4 or type(call_id) is not str or type(name) is not str or given.__class__ is not dict:
        return None
    return ToolCallPart(call_id, name, arguments_text(given))


def _result(block: Mapping[str, Any]) -> ToolResultPart | None:
    """A result that is text, which may say whether it is one of a failure."""
    call_id, content, failed = block.get("tool_use_id"), block.get("content"), block.get("is_error")
    if type(call_id) is not str or len(block) != (3 if failed is None else 4):
        return None
    if failed is not None and type(failed) is not bool:
        return None
    if type(content) is str:
        return ToolResultPart(call_id, (TextPart(content),), is_error=failed, form="string")
    if content.__class__ is not list or not content:
        return None
    parts: list[Part] = []
    for item in content:
        part = _part(item)
        if type(part) is not TextPart:
            return None
        parts.append(part)
    return ToolResultPart(call_id, tuple(parts), is_error=failed, form="list")


def text_block(part: Part) -> Object | None:
    """The block of a text that has nothing but its words."""
    if type(part) is not TextPart or not part.text:
        return None
    if part.extra or part.citations or part.cache is not None or part.signature is not None:
        return None
    return {"type": "text", "text": part.text}


def call_block(part: ToolCallPart, call_id: str, names: NameMap) -> Object | None:
    """The block of a function's call that has nothing but its arguments."""
    if part.kind != "function" or part.extra or part.cache is not None or part.signature is not None:
        return None
    return {"type": "tool_use", "id": call_id, "name": names(part.name), "input": input_object(part.arguments)}


def result_block(part: ToolResultPart, call_id: str) -> Object | None:
    """The block of a function's result that is one text and no failure."""
    parts = part.parts
    if len(parts) != 1 or part.is_error or part.extra or part.cache is not None or part.form == "list":
        return None
    only = parts[0]
    if type(only) is not TextPart or only.extra or only.cache is not None or part.kind not in ("function", "custom"):
        return None
    return {"type": "tool_result", "tool_use_id": call_id, "content": only.text}
