"""Input items → canonical messages.

What the model said before comes as separate items: reasoning, message, function call, one after the other. Items that follow
each other on the model's side become one assistant message, as every other API has it; a part's `id` and `group` say which item
it was. Every tool output is a message of its own. Items nobody here understands stay in their place as opaque parts.
"""

from collections.abc import Sequence
from dataclasses import replace

from execution_platform.dialects.openai_responses.content import decode_content
from execution_platform.dialects.openai_responses.wire import NAME, ORIGIN, joined, read_token
from execution_platform.dialects.take import Object, Taker, as_object
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import (
    CompactionPart,
    OpaquePart,
    Origin,
    Part,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

_OUTPUTS = {"function_call_output": "function", "custom_tool_call_output": "custom"}
_FROM_CALLER = ("_output", "mcp_approval_response")
"""How the types of items end that the caller writes and not the model."""


def decode_items(items: Sequence[object]) -> tuple[Message, ...]:
    """The list `input`. Raises `InvalidRequest` naming the member at fault."""
    messages: list[Message] = []
    said: list[Part] = []

    def turn_over() -> None:
        if said:
            messages.append(Message("assistant", tuple(said)))
            said.clear()

    for index, item in enumerate(items):
        found = _decode_item(Taker(item, f"input[{index}]"), f"{index}")
        if isinstance(found, Message):
            turn_over()
            messages.append(found)
        else:
            said += found
    turn_over()
    return tuple(messages)


def _decode_item(taker: Taker, number: str) -> Message | list[Part]:
    """A message of its own, or what the item adds to what the model said."""
    kind = taker.str("type") or "message"
    if kind == "message":
        return _decode_message(taker, number)
    if kind in _OUTPUTS:
        return _decode_output(taker, kind)
    part = decode_answer_item({"type": kind, **taker.rest}, taker.path, ORIGIN)
    if kind.endswith(_FROM_CALLER):
        return Message("user", (part,))
    return [part]


def _decode_message(taker: Taker, number: str) -> Message | list[Part]:
    role = taker.need("role")
    value = taker.any("content")
    if value is None:
        raise InvalidRequest(f"{taker.at('content')}: required member is missing", param=taker.at("content"))
    content = decode_content(value, taker.at("content"))
    match role:
        case "user" | "system" | "developer":
            taker.any("status")
            return Message(role, content, extra=taker.rest)
        case "assistant":
            return list(message_parts(taker, content, number))
        case _:
            known = "user, assistant, system or developer"
            raise InvalidRequest(f"{taker.at('role')}: expected {known}, got {role!r}", param=taker.at("role"))


def message_parts(taker: Taker, content: str | tuple[Part, ...], number: str) -> list[Part]:
    """The parts of one of the model's messages; what the item itself says beside them stays with the first."""
    item_id, phase = taker.str("id"), taker.str("phase")
    for name in ("status", "role", "type"):
        taker.any(name)
    parts: Sequence[Part] = (TextPart(content),) if isinstance(content, str) else content
    group = item_id or f"message {number}"
    found = [replace(part, id=item_id, group=group, phase=phase) for part in parts]
    if found and taker.rest:
        found[0] = replace(found[0], extra={**found[0].extra, "item": taker.rest})
    return found


def _decode_output(taker: Taker, kind: str) -> Message:
    call_id, name, namespace, item_id = (
        taker.need("call_id"),
        taker.str("name"),
        taker.str("namespace"),
        taker.str("id"),
    )
    value = taker.any("output")
    taker.any("status")
    if value is None:
        raise InvalidRequest(f"{taker.at('output')}: required member is missing", param=taker.at("output"))
    content = decode_content(value, taker.at("output"))
    is_text = isinstance(content, str)
    parts: tuple[Part, ...] = ((TextPart(content),) if content else ()) if isinstance(content, str) else content
    result = ToolResultPart(
        call_id,
        parts,
        name=None if name is None else joined(namespace, name),
        kind="custom" if _OUTPUTS[kind] == "custom" else "function",
        id=item_id,
        form="string" if is_text else None,
        extra=taker.rest,
    )
    return Message("tool", (result,), tool_call_id=call_id)


def decode_answer_item(item: object, path: str, origin: Origin) -> Part:
    """An item of the model that is no message."""
    raw = as_object(item, path)
    taker = Taker(raw, path)
    match taker.need("type"):
        case "reasoning":
            return decode_reasoning(taker, origin)
        case "function_call":
            return _call(taker, taker.str("arguments") or "", custom=False)
        case "custom_tool_call":
            return _call(taker, taker.str("input") or "", custom=True)
        case "compaction":
            token = read_token(taker.str("encrypted_content"), origin)
            return CompactionPart(id=taker.str("id") or token.item_id, signature=token.signature, extra=taker.rest)
        case _:
            item_id = raw.get("id")
            return OpaquePart(NAME, raw, id=item_id if isinstance(item_id, str) else None)


def decode_reasoning(taker: Taker, origin: Origin) -> ThinkingPart:
    """A reasoning item: summaries, the thoughts themselves, and the token that carries them."""
    item_id, value = taker.str("id"), taker.str("encrypted_content")
    token = read_token(value, origin)
    taker.any("status")
    summary = tuple(_texts(taker, "summary"))
    text = "".join(_texts(taker, "content"))
    return ThinkingPart(
        text,
        summary=summary,
        redacted=token.signature is not None and not text and not summary,
        id=token.item_id if token.item_id is not None else item_id,
        signature=token.signature,
        extra=taker.rest,
    )


def _texts(taker: Taker, name: str) -> list[str]:
    items = [Taker(item, f"{taker.at(name)}[{n}]") for n, item in enumerate(taker.list(name) or [])]
    return [item.need("text") for item in items]


def _call(taker: Taker, arguments: str, *, custom: bool) -> ToolCallPart:
    call_id, name, namespace = taker.need("call_id"), taker.need("name"), taker.str("namespace")
    item_id, caller = taker.str("id"), taker.any("caller")
    taker.any("status")
    return ToolCallPart(
        call_id,
        joined(namespace, name),
        arguments,
        kind="custom" if custom else "function",
        namespace=namespace,
        caller=caller,
        id=item_id,
        extra=taker.rest,
    )


def known_extra(part: Part) -> Object:
    """The leftovers of a part's own wire object, without those of the item around it."""
    return {name: value for name, value in part.extra.items() if name != "item"}
