"""Parts of a message on the native wire, both ways.

Every canonical part has a form of its own, so a conversation that comes from the SDK loses nothing on its way to the gateway::

    {"type": "text", "text"}                              {"type": "refusal", "refusal"}
    {"type": "thinking", "text", "summary"?, "redacted"?}  {"type": "compaction", "text"}
    {"type": "image_url" | "input_audio" | "file" | "media", ...}                      see `media`
    {"type": "tool_call", "id", "name", "arguments"}       only where a call stands before other content
    {"type": "tool_result", "tool_call_id", "content", "name"?, "is_error"?}
    {"type": "opaque", "dialect", "raw"}                   a part of another dialect that nobody here knows

Each may carry `signature` (a sealed token, see `dialects.envelope`), `cache` (`{"ttl", "scope"}`), `item_id`, `group` and `phase`.
A type that is not listed becomes an `OpaquePart` in its place.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from execution_platform import _json
from execution_platform.dialects import envelope
from execution_platform.dialects.native import media
from execution_platform.dialects.take import Object, Taker, as_list, as_object, as_str, merged, put, wrong
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi.parts import (
    CacheMark,
    CallKind,
    Citation,
    CitationKind,
    CompactionPart,
    MediaPart,
    OpaquePart,
    Part,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

NAME = "native"
_NUMBER = re.compile(r"\d+")
_CALL_KINDS: Mapping[str, CallKind] = {"function": "function", "custom": "custom", "mcp": "mcp", "server": "server"}
_CITATION_KINDS: Mapping[str, CitationKind] = {
    "url": "url",
    "char": "char",
    "page": "page",
    "content_block": "content_block",
    "search_result": "search_result",
    "file": "file",
    "other": "other",
}


def unknown_word(path: str, allowed: Mapping[str, object], word: str) -> InvalidRequest:
    """The error for a word that is none of `allowed`."""
    shown = word if len(word) <= 60 else word[:57] + "..."
    return InvalidRequest(f"{path}: expected one of {', '.join(allowed)}; got {shown!r}", param=path)


def decode_parts(values: Sequence[object], path: str) -> tuple[Part, ...]:
    """A content list as parts. Raises `InvalidRequest` with the path of what is wrong."""
    return tuple(decode_part(value, f"{path}[{number}]") for number, value in enumerate(values))


def decode_part(value: object, path: str) -> Part:
    """One part."""
    if isinstance(value, str):
        return TextPart(value)
    take = Taker(value, path)
    word = take.need("type")
    part = _decode_known(word, take)
    if part is None:
        return OpaquePart(NAME, as_object(value, path))
    return _decode_common(part, take)


def _decode_known(word: str, take: Taker) -> Part | None:
    part = _decode_media(word, take)
    if part is not None:
        return part
    match word:
        case "text":
            return _decode_text(take)
        case "refusal":
            return TextPart(take.need("refusal"), refusal=True, extra=take.rest)
        case "thinking":
            return _decode_thinking(take)
        case "tool_call":
            return decode_call(take)
        case "tool_result":
            return _decode_result(take)
        case "compaction":
            return CompactionPart(text=take.str("text") or "", extra=take.rest)
        case "opaque":
            return OpaquePart(take.need("dialect"), as_object(take.any("raw"), take.at("raw")), extra=take.rest)
        case _:
            return None


def _decode_media(word: str, take: Taker) -> Part | None:
    match word:
        case "image_url":
            return media.decode_image(take)
        case "input_audio":
            return media.decode_audio(take)
        case "file":
            return media.decode_file(take)
        case "media":
            return media.decode_media(take, decode_parts)
        case _:
            return None


def _decode_common(part: Part, take: Taker) -> Part:
    """The members any part may carry. `part.extra` is the Taker's own rest, so it shrinks along."""
    token = take.str("signature")
    cache = take.child("cache")
    item_id, group, phase = take.str("item_id"), take.str("group"), take.str("phase")
    take.rest.pop("type", None)
    for name in [name for name, value in take.rest.items() if value is None]:
        del take.rest[name]
    if token is not None:
        part = replace(part, signature=envelope.read(token, NAME, "signature"))
    if cache is not None:
        part = replace(part, cache=decode_cache(cache))
    if (item_id, group, phase) != (None, None, None):
        part = replace(part, id=item_id, group=group, phase=phase)
    return part


def decode_cache(take: Taker) -> CacheMark:
    """A cache mark."""
    return CacheMark(ttl=take.str("ttl"), scope=take.str("scope"), extra=take.rest)


def _decode_text(take: Taker) -> TextPart:
    text = take.need("text")
    citations = tuple(
        _decode_citation(Taker(value, f"{take.at('citations')}[{number}]"))
        for number, value in enumerate(take.list("citations") or [])
    )
    return TextPart(text, citations=citations, logprobs=take.any("logprobs"), extra=take.rest)


def _decode_thinking(take: Taker) -> ThinkingPart:
    path = take.at("summary")
    summary = tuple(as_str(value, f"{path}[{number}]") for number, value in enumerate(take.list("summary") or []))
    redacted = take.bool("redacted") or False
    return ThinkingPart(take.str("text") or "", summary=summary, redacted=redacted, extra=take.rest)


def _decode_citation(take: Taker) -> Citation:
    return Citation(
        kind=_CITATION_KINDS.get(take.str("kind") or "", "other"),
        cited_text=take.str("cited_text"),
        start=take.int("start"),
        end=take.int("end"),
        url=take.str("url"),
        title=take.str("title"),
        file_id=take.str("file_id"),
        document_index=take.int("document_index"),
        opaque=take.str("opaque"),
        raw=take.object("raw"),
    )


def decode_call(take: Taker) -> ToolCallPart:
    """A call: `{id, name, args | arguments}`, or the chat-completions form with `function` inside.

    A call without an id gets one made of its place in the request.
    """
    inner = take.child("function")
    source = inner or take
    name = source.need("name")
    arguments = _decode_arguments(source)
    call_id = take.str("id")
    word = take.str("kind") or "function"
    kind = _CALL_KINDS.get(word)
    if kind is None:
        raise unknown_word(take.at("kind"), _CALL_KINDS, word)
    if inner is not None:
        take.keep("function", inner)
    synthetic = take.bool("synthetic_id") or not call_id
    return ToolCallPart(
        call_id or "_".join(("call", *_NUMBER.findall(take.path))),
        name,
        arguments,
        kind=kind,
        namespace=take.str("namespace"),
        caller=take.any("caller"),
        synthetic_id=synthetic,
        extra=take.rest,
    )


def _decode_arguments(take: Taker) -> str:
    for name in ("arguments", "args"):
        value = take.any(name)
        if isinstance(value, str):
            return value
        if isinstance(value, dict):
            return _json.dumps(cast("Object", value)).decode()
        if value is not None:
            raise wrong(take.at(name), "an object or its JSON text", value)
    return "{}"


def _decode_result(take: Taker) -> ToolResultPart:
    word = take.str("kind") or "function"
    kind = _CALL_KINDS.get(word)
    if kind is None:
        raise unknown_word(take.at("kind"), _CALL_KINDS, word)
    call_id = take.need("tool_call_id")
    return ToolResultPart(
        call_id,
        decode_content_parts(take),
        name=take.str("name"),
        is_error=take.bool("is_error"),
        kind=kind,
        raw=take.any("raw"),
        extra=take.rest,
    )


def decode_content_parts(take: Taker) -> tuple[Part, ...]:
    """The member `content`, text or a list, as parts."""
    value = take.any("content")
    if value is None:
        return ()
    if isinstance(value, str):
        return (TextPart(value),) if value else ()
    if isinstance(value, list):
        return decode_parts(cast("list[object]", value), take.at("content"))
    raise wrong(take.at("content"), "a string or a list of parts", value)


def encode_parts(parts: Sequence[Part]) -> list[Object]:
    """Parts as a content list."""
    return [encode_part(part) for part in parts]


def encode_part(part: Part) -> Object:
    """One part."""
    if isinstance(part, OpaquePart) and part.dialect == NAME:
        return dict(part.raw)
    out = _encode_known(part)
    put(
        out,
        signature=None if part.signature is None else envelope.seal(part.signature, part.id),
        cache=None if part.cache is None else encode_cache(part.cache),
        item_id=part.id,
        group=part.group,
        phase=part.phase,
    )
    return merged(out, part.extra)


def encode_cache(mark: CacheMark) -> Object:
    """A cache mark."""
    out: Object = {}
    put(out, ttl=mark.ttl, scope=mark.scope)
    return merged(out, mark.extra)


def _encode_known(part: Part) -> Object:
    match part:
        case TextPart():
            return _encode_text(part)
        case ThinkingPart():
            out: Object = {"type": "thinking", "text": part.text}
            put(out, summary=list(part.summary) or None, redacted=part.redacted or None)
            return out
        case MediaPart():
            return media.encode_media(part, encode_parts)
        case ToolCallPart():
            return {"type": "tool_call", **encode_call(part)}
        case ToolResultPart():
            return _encode_result(part)
        case CompactionPart():
            return {"type": "compaction", "text": part.text}
        case OpaquePart():
            return {"type": "opaque", "dialect": part.dialect, "raw": dict(part.raw)}


def _encode_text(part: TextPart) -> Object:
    if part.refusal:
        return {"type": "refusal", "refusal": part.text}
    out: Object = {"type": "text", "text": part.text}
    put(out, citations=[_encode_citation(citation) for citation in part.citations] or None, logprobs=part.logprobs)
    return out


def _encode_citation(citation: Citation) -> Object:
    out: Object = {"kind": citation.kind}
    put(
        out,
        cited_text=citation.cited_text,
        start=citation.start,
        end=citation.end,
        url=citation.url,
        title=citation.title,
        file_id=citation.file_id,
        document_index=citation.document_index,
        opaque=citation.opaque,
        raw=None if citation.raw is None else dict(citation.raw),
    )
    return out


def encode_call(part: ToolCallPart) -> Object:
    """A call with its arguments as the text the model wrote."""
    out: Object = {"id": part.call_id, "name": part.name, "arguments": part.arguments}
    put(
        out,
        kind=None if part.kind == "function" else part.kind,
        namespace=part.namespace,
        caller=part.caller,
        synthetic_id=part.synthetic_id or None,
    )
    return out


def _encode_result(part: ToolResultPart) -> Object:
    out: Object = {"type": "tool_result", "tool_call_id": part.call_id, "content": encode_content(part.parts)}
    put(
        out,
        name=part.name,
        is_error=part.is_error,
        kind=None if part.kind == "function" else part.kind,
        raw=part.raw,
    )
    return out


def encode_content(parts: Sequence[Part]) -> str | list[Object]:
    """Text alone as a string, anything else as a list."""
    if not parts:
        return ""
    if len(parts) == 1 and isinstance(parts[0], TextPart) and parts[0] == TextPart(parts[0].text) and parts[0].text:
        return parts[0].text
    return encode_parts(parts)


def decode_calls(values: object, path: str) -> tuple[Part, ...]:
    """The member `tool_calls` of a message."""
    calls: list[Part] = []
    for number, value in enumerate(as_list(values, path)):
        take = Taker(value, f"{path}[{number}]")
        calls.append(_decode_common(decode_call(take), take))
    return tuple(calls)


def encode_calls(parts: Sequence[ToolCallPart]) -> list[Object]:
    """Calls as the member `tool_calls` of a message."""
    calls = [encode_part(part) for part in parts]
    for call in calls:
        call.pop("type", None)
    return calls
