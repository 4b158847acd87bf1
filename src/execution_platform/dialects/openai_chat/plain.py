"""The forms nearly all messages of a long conversation have, read and written without looking for what else could be in them.

`plain_message` knows a message by its exact members and types: text of any role, a user's list of texts, calls of functions, a
result that is text. For everything else, wrong things included, it says None and `messages` reads the message in full; where it
answers, the answer is the same. `plain_wires` does the same for messages of other dialects that leave nothing behind: what it does
not write, `turns` writes, and records what is lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from execution_platform.dialects.take import Object
from execution_platform.dialects.target import Target
from execution_platform.spi.messages import Message, Role
from execution_platform.spi.parts import Part, TextPart, ToolCallPart, ToolResultPart


def plain_message(value: Any) -> Message | None:
    """The message, if it has one of the plain forms."""
    if value.__class__ is not dict:
        return None
    wire: Object = value
    role = wire.get("role")
    if len(wire) == 2:
        content = wire.get("content")
        if type(content) is str:
            return Message(role, content) if role in ("user", "assistant", "system", "developer") else None
        return _texts(content) if role == "user" else None
    if len(wire) == 3:
        return _result(wire) if role == "tool" else _calls(wire) if role == "assistant" else None
    return None


def _texts(content: Any) -> Message | None:
    """A user's list of texts."""
    if content.__class__ is not list:
        return None
    parts: list[Part] = []
    wire: Any
    for wire in content:
        if wire.__class__ is not dict or len(wire) != 2 or wire.get("type") != "text":
            return None
        text = wire.get("text")
        if type(text) is not str:
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


def _calls(wire: Mapping[str, Any]) -> Message | None:
    """Calls of functions, with text or with a content of null before them."""
    calls, content = wire.get("tool_calls"), wire.get("content", "")
    if calls.__class__ is not list or not calls:
        return None
    parts: list[Part] = []
    if type(content) is str and content:
        parts.append(TextPart(content))
    elif content is not None:
        return None
    item: Any
    for item in calls:
        call = _call(item)
        if call is None:
            return None
        parts.append(call)
    return Message(_ASSISTANT, tuple(parts), extra={"content": None} if content is None else {})


def _call(wire: Any) -> ToolCallPart | None:
    if wire.__class__ is not dict or len(wire) != 3 or wire.get("type") != "function":
        return None
    call_id, inner = wire.get("id"), wire.get("function")
    if inner.__class__ is not dict or len(inner) != 2 or type(call_id) is not str or not call_id:
        return None
    name, arguments = inner.get("name"), inner.get("arguments")
    if type(name) is not str or type(arguments) is not str:
        return None
    return ToolCallPart(call_id, name, arguments)


@dataclass(slots=True)
class Wires:
    """What a message becomes: its results, each a message of its own, and then the rest of it."""

    results: list[Object] = field(default_factory=list[Object])
    rest: Object | None = None


def plain_wires(message: Message, target: Target) -> Wires | None:
    """A message of another dialect as the target's, if it has one of the plain forms; nothing is lost then."""
    role, content = message.role, message.content
    if message.extra or message.name is not None or role not in ("user", "assistant", "tool"):
        return None
    if isinstance(content, str):
        return None if role == "tool" else Wires(rest={"role": role, "content": content})
    return _said(content, target) if role == _ASSISTANT else _asked(content, target, is_user=role == "user")


def _is_text(part: Part) -> TypeGuard[TextPart]:
    """Whether a part is text that has nothing but its words."""
    return type(part) is TextPart and not (
        part.extra or part.citations or part.refusal or part.cache is not None or part.signature is not None
    )


def _asked(parts: Sequence[Part], target: Target, *, is_user: bool) -> Wires | None:
    """Results, then texts of the user: one text is the content itself."""
    wires = Wires()
    texts: list[str] = []
    for part in parts:
        if type(part) is ToolResultPart:
            wire = _result_wire(part, target)
            if wire is None:
                return None
            wires.results.append(wire)
        elif _is_text(part):
            texts.append(part.text)
        else:
            return None
    if texts and (is_user or wires.results):
        content = texts[0] if len(texts) == 1 else [{"type": "text", "text": text} for text in texts]
        wires.rest = {"role": "user", "content": content}
    return wires if wires.rest is not None or (wires.results and not texts) else None


def _result_wire(part: ToolResultPart, target: Target) -> Object | None:
    """A function's result that is text and no failure."""
    inner = part.parts
    if not inner or part.is_error or part.extra or part.kind not in ("function", "custom"):
        return None
    texts: list[str] = []
    for each in inner:
        if type(each) is not TextPart:
            return None
        texts.append(each.text)
    return {"role": "tool", "tool_call_id": target.call_id(part.call_id), "content": "".join(texts)}


def _said(parts: Sequence[Part], target: Target) -> Wires | None:
    """Texts and calls of functions."""
    texts: list[str] = []
    calls: list[Object] = []
    for part in parts:
        if type(part) is ToolCallPart:
            if part.kind != "function" or part.extra or part.signature is not None:
                return None
            inner = {"name": target.tool_name(part.name), "arguments": part.arguments or "{}"}
            calls.append({"id": target.call_id(part.call_id), "type": "function", "function": inner})
        elif _is_text(part):
            texts.append(part.text)
        else:
            return None
    text = "".join(texts)
    if not calls:
        return Wires(rest={"role": _ASSISTANT, "content": text})
    return Wires(rest={"role": _ASSISTANT, "content": text or None, "tool_calls": calls})
