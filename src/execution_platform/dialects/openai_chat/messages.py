"""Messages of a request → canonical.

A content string stays a string where the message holds nothing else. In assistant messages the order is thinking, content,
refusal, audio, images, calls: the wire keeps those in separate members. An empty content beside other members stays in `extra`,
where it costs nothing. The roles `function` and the member `function_call` are the older form of tool calls; their calls
have no ids, so each result takes the id of the last call before it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from execution_platform.dialects.openai_chat.calls import decode_calls, synthetic_id, take_thought
from execution_platform.dialects.openai_chat.content import decode_parts
from execution_platform.dialects.openai_chat.plain import plain_message
from execution_platform.dialects.openai_chat.reasoning import decode_reasoning
from execution_platform.dialects.openai_chat.wire import CONTENT, LEGACY, NAME
from execution_platform.dialects.take import Taker, wrong
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import (
    FileRef,
    MediaPart,
    Origin,
    Part,
    Signature,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

_ORIGIN = Origin(dialect=NAME)
_ROLES = "system, developer, user, assistant, tool or function"


def decode_messages(items: Sequence[object]) -> tuple[Message, ...]:
    """The list of messages. Raises `InvalidRequest` naming the member at fault."""
    if not items:
        raise InvalidRequest("messages: expected at least one message", param="messages")
    legacy: list[str] = []
    return tuple([plain_message(item) or decode_message(item, index, legacy) for index, item in enumerate(items)])


def decode_message(value: object, index: int, legacy: list[str]) -> Message:
    """One message in full. `legacy` holds the ids of the calls in the older form so far."""
    taker = Taker(value, f"messages[{index}]")
    role, name = taker.need("role"), taker.str("name")
    match role:
        case "system" | "developer" | "user":
            content = _content(taker)
            if content is None:
                raise InvalidRequest(f"{taker.at('content')}: required member is missing", param=taker.at("content"))
            return Message(role, content, name=name, extra=taker.rest)
        case "assistant":
            return _assistant(taker, index, name, legacy)
        case "tool":
            return _result(taker, taker.need("tool_call_id"), name, None)
        case "function":
            return _result(taker, legacy[-1] if legacy else synthetic_id(index), name, LEGACY)
        case _:
            raise InvalidRequest(f"{taker.at('role')}: expected {_ROLES}, got {role!r}", param=taker.at("role"))


def _content(taker: Taker) -> str | tuple[Part, ...] | None:
    value = taker.any("content")
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise wrong(taker.at("content"), "a string or a list of parts", value)
    return decode_parts(cast("list[object]", value), taker.at("content"), group=None)


def _result(taker: Taker, call_id: str, name: str | None, group: str | None) -> Message:
    content = _content(taker)
    parts: tuple[Part, ...] = ()
    if isinstance(content, tuple):
        parts, group = content, CONTENT
        if not content:
            taker.rest["content"] = []
    elif content:
        parts = (TextPart(content),)
    result = ToolResultPart(call_id, parts, name=name, group=group)
    return Message("tool", (result,), name=name, extra=taker.rest)


def _assistant(taker: Taker, index: int, name: str | None, legacy: list[str]) -> Message:
    parts: list[Part] = [*decode_reasoning(taker, _ORIGIN, keeps_raw=True)]
    content = _content(taker)
    signature = take_thought(taker, _ORIGIN)
    rest = [*_refusal(taker), *_audio(taker), *_images(taker)]
    calls = decode_calls(taker, _ORIGIN, lambda number, called: synthetic_id(index, number, called))
    legacy.extend(call.call_id for call in calls if call.group == LEGACY and isinstance(call, ToolCallPart))
    others = bool(parts or rest or calls or signature)
    if isinstance(content, str) and not others:
        return Message("assistant", content, name=name, extra=taker.rest)
    texts: list[Part] = []
    if isinstance(content, str) and content:
        texts = [TextPart(content)]
    elif isinstance(content, tuple) and content:
        texts = [replace(part, group=CONTENT) for part in content]
    elif content is not None:
        taker.rest["content"] = content if isinstance(content, str) else []
    if signature is not None:
        texts = sign_last_text(texts, signature)
    return Message("assistant", (*parts, *texts, *rest, *calls), name=name, extra=taker.rest)


def sign_last_text(parts: list[Part], signature: Signature) -> list[Part]:
    """The parts with the signature on the last text, or on an empty one of its own."""
    if parts and isinstance(parts[-1], TextPart):
        return [*parts[:-1], replace(parts[-1], signature=signature)]
    return [*parts, TextPart("", signature=signature)]


def _refusal(taker: Taker) -> list[Part]:
    text = taker.str("refusal")
    if text == "":
        taker.rest["refusal"] = ""
    return [TextPart(text, refusal=True)] if text else []


def _audio(taker: Taker) -> list[Part]:
    audio = taker.child("audio")
    if audio is None:
        return []
    source = FileRef(audio.need("id"), _ORIGIN)
    transcript = audio.str("transcript")
    return [MediaPart("audio", source, transcript=transcript, group="audio", extra=audio.rest)]


def _images(taker: Taker) -> list[Part]:
    items = taker.list("images")
    if items is not None and not items:
        taker.rest["images"] = items
    return list(decode_parts(items, taker.at("images"), group="images")) if items else []
