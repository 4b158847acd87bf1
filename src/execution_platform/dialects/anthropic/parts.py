"""Content blocks → parts. The same functions read requests and answers.

A block nobody here knows becomes an `OpaquePart` in its place. Source: anthropic SDK 2.11,
`types/content_block_param.py`, `types/content_block.py` and their beta twins (read 2026-11).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from execution_platform.dialects import envelope
from execution_platform.dialects.anthropic.signed_text import is_mark, signed
from execution_platform.dialects.anthropic.wire import ALONE, NAME, NEXT, RESULT, arguments_text
from execution_platform.dialects.take import Object, Taker, as_list, as_object, as_str, wrong
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi.parts import (
    CacheMark,
    CallKind,
    Citation,
    CitationKind,
    CompactionPart,
    FileRef,
    Inline,
    MediaKind,
    MediaPart,
    MediaSource,
    OpaquePart,
    Origin,
    Part,
    PartsSource,
    Signature,
    TextPart,
    TextSource,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    Url,
)

HERE = Origin(dialect=NAME)


@dataclass(frozen=True, slots=True)
class Blocks:
    """Whose blocks are read: a caller's (the default) or a provider's answer."""

    origin: Origin = HERE
    tool_names: Mapping[str, str] = field(default_factory=dict[str, str])
    answer: bool = False
    """In an answer null and empty members say nothing, and every token is the provider's own."""

    def left(self, take: Taker) -> Object:
        """What nobody read of a block."""
        if not self.answer:
            return take.rest
        return {name: value for name, value in take.rest.items() if value is not None and value not in ("", [])}


CALLER = Blocks()


def decode_content(value: object, path: str, how: Blocks = CALLER) -> tuple[Part, ...]:
    """A list of blocks as parts. Raises `InvalidRequest` naming the block that is wrong."""
    parts = [decode_block(block, f"{path}[{number}]", how) for number, block in enumerate(as_list(value, path))]
    return tuple(_attached(parts)) if any(_is_marker(part) for part in parts) else tuple(parts)


def decode_block(value: object, path: str, how: Blocks = CALLER) -> Part:
    """One block as a part."""
    raw = as_object(value, path)
    if len(raw) == 2 and raw.get("type") == "text" and isinstance(text := raw.get("text"), str):
        # By far the most frequent block, and nothing is left of it.
        return TextPart(text)
    take = Taker(raw, path)
    word = take.need("type")
    read = _READERS.get(word)
    if read is None and word.endswith(RESULT):
        return _server_result(take, how, word)
    part = read(take, how) if read is not None else None
    return part if part is not None else OpaquePart(NAME, raw)


def decode_cache(take: Taker) -> CacheMark | None:
    """The member `cache_control`."""
    if "cache_control" not in take.rest:
        return None
    child = take.child("cache_control")
    if child is None:
        return None
    word = child.need("type")
    extra = child.rest
    ttl, scope = child.str("ttl"), child.str("scope")
    if word != "ephemeral":
        extra["type"] = word
    return CacheMark(ttl=ttl, scope=scope, extra=extra)


def _text(take: Taker, how: Blocks) -> Part:
    text = take.need("text")
    return TextPart(text, citations=_citations(take), cache=decode_cache(take), extra=how.left(take))


def _citations(take: Taker) -> tuple[Citation, ...]:
    listed = take.list("citations")
    if listed is None:
        return ()
    if not listed:
        take.rest["citations"] = listed
        return ()
    path = take.at("citations")
    return tuple(decode_citation(value, f"{path}[{number}]") for number, value in enumerate(listed))


_LOCATIONS: Mapping[str, CitationKind] = {
    "char_location": "char",
    "page_location": "page",
    "content_block_location": "content_block",
    "web_search_result_location": "url",
    "search_result_location": "search_result",
}


def decode_citation(value: object, path: str) -> Citation:
    """One citation. It belongs to the whole text of its part, so it has no offsets there."""
    raw = as_object(value, path)
    take = Taker(raw, path)
    kind = _LOCATIONS.get(take.need("type"), "other")
    place = take.int("document_index") if kind != "search_result" else take.int("search_result_index")
    title = take.str("title")
    url = take.str("url")
    if url is None and kind == "search_result":
        url = take.str("source")
    return Citation(
        kind=kind,
        cited_text=take.str("cited_text"),
        url=url,
        title=title if title is not None else take.str("document_title"),
        file_id=take.str("file_id"),
        document_index=place,
        opaque=take.str("encrypted_index"),
        raw=raw,
    )


def _thinking(take: Taker, how: Blocks) -> Part | None:
    text = take.need("thinking")
    if how.answer:
        token = take.str("signature")
        signature = Signature(token, how.origin) if token else None
        return ThinkingPart(text, signature=signature, extra=how.left(take))
    if "signature" not in take.rest:
        # Not a block this API ever issued: kept as it is, so that thinking without a signature is always foreign.
        return None
    token = take.str("signature")
    if not token:
        if token is not None:
            take.rest["signature"] = token
        return ThinkingPart(text, extra=take.rest)
    opened = envelope.unseal(token)
    if opened is None:
        return ThinkingPart(text, signature=Signature(token, how.origin), extra=take.rest)
    signature = opened.signature if opened.signature.value else None
    if signature is not None and signature.kind == "encrypted" and text:
        # Responses shows summaries, which is all that the text of such a block can be.
        return ThinkingPart("", summary=(text,), signature=signature, id=opened.item_id, extra=take.rest)
    return ThinkingPart(text, signature=signature, id=opened.item_id, extra=take.rest)


def _redacted(take: Taker, how: Blocks) -> Part:
    data = take.need("data")
    opened = None if how.answer else envelope.unseal(data)
    extra = how.left(take)
    if opened is None:
        return ThinkingPart(redacted=True, signature=Signature(data, how.origin, "redacted"), extra=extra)
    return ThinkingPart(redacted=True, signature=opened.signature, id=opened.item_id, extra=extra)


def _is_marker(part: Part) -> bool:
    return isinstance(part, ThinkingPart) and part.redacted and (part.id in (NEXT, ALONE) or is_mark(part.id))


def _attached(parts: Sequence[Part]) -> list[Part]:
    """`parts` with every token that travelled in a block of its own put back on its part."""
    out: list[Part] = []
    waiting: Part | None = None
    for part in parts:
        if _is_marker(part) and part.id == NEXT:
            waiting = part
        elif _is_marker(part) and part.id == ALONE:
            out.append(TextPart("", signature=part.signature))
        elif _is_marker(part):
            out[-1:] = [each for last in out[-1:] for each in signed(last, part.id or "", part.signature)]
        elif waiting is not None:
            out.append(replace(part, signature=waiting.signature))
            waiting = None
        else:
            out.append(part)
    return out


def _call(kind: CallKind) -> "Callable[[Taker, Blocks], Part]":
    def read(take: Taker, how: Blocks) -> Part:
        call_id, name = take.str("id"), take.need("name")
        given = take.object("input")
        if not how.answer and (call_id is None or given is None):
            missing = take.at("id" if call_id is None else "input")
            raise InvalidRequest(f"{missing}: required member is missing", param=missing)
        return ToolCallPart(
            call_id or "",
            how.tool_names.get(name, name),
            arguments_text(given or {}),
            kind=kind,
            namespace=take.need("server_name") if kind == "mcp" else None,
            caller=take.object("caller"),
            cache=decode_cache(take),
            extra=how.left(take),
        )

    return read


def _tool_result(kind: CallKind) -> "Callable[[Taker, Blocks], Part]":
    def read(take: Taker, how: Blocks) -> Part:
        call_id = take.need("tool_use_id")
        parts, form = _result_content(take, how)
        return ToolResultPart(
            call_id,
            parts,
            is_error=take.bool("is_error"),
            kind=kind,
            form=form,
            cache=decode_cache(take),
            extra=how.left(take),
        )

    return read


def _result_content(take: Taker, how: Blocks) -> tuple[tuple[Part, ...], str | None]:
    content = take.any("content")
    if content is None:
        return (), None
    if isinstance(content, str):
        return (TextPart(content),), "string"
    return decode_content(content, take.at("content"), how), "list"


def _server_result(take: Taker, how: Blocks, word: str) -> Part:
    call_id = take.need("tool_use_id")
    content = take.any("content")
    if content is not None and not isinstance(content, str | dict | list):
        raise wrong(take.at("content"), "an object, a list or a string", content)
    failed = isinstance(content, dict) and str(cast("Object", content).get("type", "")).endswith("_error")
    return ToolResultPart(
        call_id,
        name=word.removesuffix(RESULT),
        is_error=True if failed else None,
        kind="server",
        raw=cast("object", content),
        cache=decode_cache(take),
        extra=how.left(take),
    )


def _image(take: Taker, how: Blocks) -> Part | None:
    source = _source(take, how)
    if source is None:
        return None
    return MediaPart("image", source, cache=decode_cache(take), extra=how.left(take))


def _document(take: Taker, how: Blocks) -> Part | None:
    child = take.object("source")
    form: str | None = None
    source: MediaSource | None
    if child is not None and child.get("type") == "content":
        source, form = _parts_source(take, child, how)
    else:
        if child is not None:
            take.rest["source"] = child
        source = _source(take, how)
    if source is None:
        return None
    title, context = take.str("title"), take.str("context")
    return MediaPart(
        "document",
        source,
        title=title,
        context=context,
        citations_enabled=_citations_enabled(take),
        form=form,
        cache=decode_cache(take),
        extra=how.left(take),
    )


def _parts_source(take: Taker, raw: Object, how: Blocks) -> tuple[MediaSource, str]:
    child = Taker(raw, take.at("source"))
    child.need("type")
    content = child.any("content")
    take.keep("source", child)
    if isinstance(content, str):
        return PartsSource((TextPart(content),)), "string"
    return PartsSource(decode_content(content, child.at("content"), how)), "list"


def _source(take: Taker, how: Blocks) -> MediaSource | None:
    """The member `source` of an image or document; None (and nothing taken) when its type is not known."""
    raw = take.object("source")
    if raw is None:
        raise InvalidRequest(f"{take.at('source')}: required member is missing", param=take.at("source"))
    child = Taker(raw, take.at("source"))
    source: MediaSource
    match child.need("type"):
        case "base64":
            source = Inline(child.need("media_type"), child.need("data"))
        case "url":
            source = Url(child.need("url"))
        case "file":
            source = FileRef(child.need("file_id"), how.origin)
        case "text":
            source = TextSource(child.need("data"), child.need("media_type"))
        case _:
            return None
    take.keep("source", child)
    return source


def _citations_enabled(take: Taker) -> bool | None:
    child = take.child("citations")
    if child is None:
        return None
    enabled = child.bool("enabled")
    if child.rest or enabled is None:
        take.rest["citations"] = child.rest
    return enabled


def _search_result(take: Taker, how: Blocks) -> Part:
    where, title = take.need("source"), take.need("title")
    parts = decode_content(take.any("content"), take.at("content"), how)
    kind: MediaKind = "document"
    return MediaPart(
        kind,
        PartsSource(parts),
        title=title,
        citations_enabled=_citations_enabled(take),
        options={"search_result": where},
        cache=decode_cache(take),
        extra=how.left(take),
    )


def _compaction(take: Taker, how: Blocks) -> Part:
    text, sealed = take.str("content"), take.str("encrypted_content")
    signature = Signature(sealed, how.origin, "encrypted") if sealed else None
    if sealed == "":
        take.rest["encrypted_content"] = sealed
    token = None if sealed else take.str("signature")
    if token == "":
        take.rest["signature"] = token
    elif token is not None:
        signature = Signature(token, how.origin, "signature")
    form = None if text is None else "string"
    return CompactionPart(text or "", signature=signature, form=form, cache=decode_cache(take), extra=how.left(take))


_READERS: Mapping[str, Callable[[Taker, Blocks], Part | None]] = {
    "text": _text,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _call("function"),
    "server_tool_use": _call("server"),
    "mcp_tool_use": _call("mcp"),
    "tool_result": _tool_result("function"),
    "mcp_tool_result": _tool_result("mcp"),
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    "compaction": _compaction,
}


def decode_system(value: object, path: str) -> str | tuple[Part, ...]:
    """System text: a string, or a list of text blocks."""
    return value if isinstance(value, str) else decode_content(value, path)


def expect_str(value: object, path: str) -> str:
    """A member of a list that must be a string."""
    return as_str(value, path)


def expect_object_or_str(value: object, path: str) -> object:
    """A member that is an id or an object."""
    if not isinstance(value, str | dict):
        raise wrong(path, "a string or an object", value)
    return cast("object", value)
