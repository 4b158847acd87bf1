"""Content parts of messages, both ways.

Forms: `text`, `refusal`, `image_url`, `input_audio`, `file`, and the `video_url` and `audio_url` of compatible servers; any other
becomes an opaque part in its place. Data URLs are taken apart and put together again without touching the base64. Leftovers
of a nested object (`image_url.foo`) stay under the object's name.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from execution_platform.dialects.openai_chat.wire import (
    CONTENT,
    NAME,
    audio_format,
    audio_mime,
    data_url,
)
from execution_platform.dialects.take import Object, Taker, as_list, as_object, merged, put
from execution_platform.dialects.target import Target
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi.parts import (
    CacheMark,
    CompactionPart,
    FileRef,
    Inline,
    MediaKind,
    MediaPart,
    OpaquePart,
    Origin,
    Part,
    PartsSource,
    TextPart,
    TextSource,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    Url,
)

_URL_KINDS: Mapping[str, MediaKind] = {"image_url": "image", "video_url": "video", "audio_url": "audio"}
_OPENAI_TTLS = (("30m", 30), ("12h", 720))
_UNITS = {"s": 1 / 60, "m": 1, "h": 60, "d": 1440}


def decode_parts(value: object, path: str, *, group: str | None = CONTENT) -> tuple[Part, ...]:
    """A content list as parts."""
    items = as_list(value, path)
    parts = [decode_part(item, f"{path}[{index}]") for index, item in enumerate(items)]
    return tuple(replace(part, group=group) for part in parts) if group else tuple(parts)


def decode_part(value: object, path: str) -> Part:
    """One element of a content list. Raises `InvalidRequest` naming the member."""
    taker = Taker(value, path)
    kind = taker.str("type")
    if kind is None:
        raise InvalidRequest(f"{path}.type: required member is missing", param=f"{path}.type")
    if kind in ("text", "refusal"):
        text = taker.need(kind)
        mark = _mark(taker)
        return TextPart(text, refusal=kind == "refusal", cache=mark, extra=taker.rest)
    if kind in _URL_KINDS:
        return _decode_url(taker, kind)
    if kind == "input_audio":
        return _decode_audio(taker)
    if kind == "file":
        return _decode_file(taker)
    return OpaquePart(NAME, as_object(value, path))


def _mark(taker: Taker) -> CacheMark | None:
    for name in ("prompt_cache_breakpoint", "cache_control"):
        raw = taker.object(name)
        if raw is not None:
            ttl = raw.get("ttl")
            return CacheMark(ttl=ttl if isinstance(ttl, str) else None, extra={name: raw})
    return None


def _inner(taker: Taker, name: str) -> Taker:
    child = taker.child(name)
    if child is None:
        raise InvalidRequest(f"{taker.at(name)}: required member is missing", param=taker.at(name))
    return child


def _decode_url(taker: Taker, kind: str) -> MediaPart:
    child = _inner(taker, kind)
    url, detail = child.need("url"), child.str("detail")
    taker.keep(kind, child)
    found = data_url(url)
    source = Url(url) if found is None else Inline(found.mime, found.data)
    mark = _mark(taker)
    return MediaPart(_URL_KINDS[kind], source, detail=detail, cache=mark, extra=taker.rest)


def _decode_audio(taker: Taker) -> MediaPart:
    child = _inner(taker, "input_audio")
    data, word = child.need("data"), child.str("format")
    taker.keep("input_audio", child)
    found = data_url(data)
    options: Object = {}
    if found is not None:
        options["prefixed"] = True
    mime = found.mime if found is not None else audio_mime(word or "wav")
    if word is None or audio_format(mime) != word:
        options["format"] = word
    source = Inline(mime, data if found is None else found.data)
    mark = _mark(taker)
    return MediaPart("audio", source, options=options, cache=mark, extra=taker.rest)


def _decode_file(taker: Taker) -> MediaPart:
    child = _inner(taker, "file")
    data, file_id, title = child.str("file_data"), child.str("file_id"), child.str("filename")
    options: Object = {}
    if data is None and file_id is None:
        raise InvalidRequest(f"{child.path}: expected file_data or file_id", param=child.path)
    if data is None:
        source = FileRef(cast("str", file_id), Origin(dialect=NAME))
    elif (found := data_url(data)) is not None:
        source = Inline(found.mime, found.data)
    elif data.startswith(("http://", "https://")):
        source = Url(data)
    else:
        options["bare"] = True
        source = Inline("application/pdf", data)
    if data is not None and file_id is not None:
        child.rest["file_id"] = file_id
    taker.keep("file", child)
    mark = _mark(taker)
    return MediaPart("document", source, title=title, options=options, cache=mark, extra=taker.rest)


def encode_parts(parts: tuple[Part, ...], path: str, target: Target) -> list[Object]:
    """Parts as a content list; what has no form there is a loss."""
    out: list[Object] = []
    for index, part in enumerate(parts):
        out.extend(encode_part(part, f"{path}[{index}]", target))
    return out


def encode_part(part: Part, path: str, target: Target) -> list[Object]:
    """One part as elements of a content list (none if it is lost, several for a document made of parts)."""
    match part:
        case TextPart():
            name = "refusal" if part.refusal else "text"
            return [_finished({"type": name, name: part.text}, part, path, target)]
        case MediaPart():
            return _encode_media(part, path, target)
        case OpaquePart():
            if part.dialect == NAME:
                return [dict(part.raw)]
            target.lose(path, f"a part that only {part.dialect} knows", "content")
        case CompactionPart():
            target.lose(path, "a provider's own summary of earlier turns", "opaque")
            return [{"type": "text", "text": part.text}] if part.text else []
        case ThinkingPart():
            target.lose(path, "thinking outside an assistant message", "opaque")
        case ToolCallPart() | ToolResultPart():
            target.lose(path, "a call or result where the target takes none", "content")
    return []


def _finished(wire: Object, part: TextPart | MediaPart, path: str, target: Target) -> Object:
    """Cache mark and leftovers of a part that has a form."""
    if part.cache is not None:
        _encode_mark(wire, part.cache, path, target)
    if part.signature is not None and isinstance(part, MediaPart):
        target.lose(f"{path}.signature", "no slot for a signature", "opaque")
    target.lose_extra(part.extra, path)
    if isinstance(part, TextPart) and part.citations and not target.same:
        target.lose(f"{path}.citations", "no slot for citations in a request")
    return merged(wire, part.extra) if target.same else wire


def _encode_mark(wire: Object, mark: CacheMark, path: str, target: Target) -> None:
    if target.same and mark.extra:
        put(wire, **mark.extra)
        return
    form = target.profile.extra.get("cache_marks")
    if form == "anthropic":
        wire["cache_control"] = {"type": "ephemeral"} if mark.ttl is None else {"type": "ephemeral", "ttl": mark.ttl}
    elif form == "openai":
        point: Object = {"mode": "explicit"}
        put(point, ttl=nearest_ttl(mark.ttl))
        wire["prompt_cache_breakpoint"] = point
    else:
        target.lose(f"{path}.cache", "the target takes no cache marks")


def nearest_ttl(ttl: str | None) -> str | None:
    """The lifetime OpenAI knows that is nearest to `ttl`; None leaves it to the request."""
    if ttl is None or not ttl[:-1].isdigit() or ttl[-1] not in _UNITS:
        return None
    minutes = int(ttl[:-1]) * _UNITS[ttl[-1]]
    return min(_OPENAI_TTLS, key=lambda known: abs(known[1] - minutes))[0]


def _encode_media(part: MediaPart, path: str, target: Target) -> list[Object]:
    source = part.source
    match source:
        case TextSource():
            text = source.text if part.title is None else f"{part.title}\n\n{source.text}"
            return [_finished({"type": "text", "text": text}, replace(part, extra={}), path, target)]
        case PartsSource():
            return encode_parts(source.parts, f"{path}.source", target)
        case FileRef() if not target.is_home_file(source):
            target.lose(path, "a file stored at another provider", "content")
            return []
        case Url() if not target.same and part.kind not in target.profile.url_media:
            target.lose(path, f"the target fetches no {part.kind} from a URL", "content")
            return []
        case _:
            pass
    wire = _media_form(part, source, is_named=not target.same)
    if wire is None or (part.kind == "video" and not target.same and not target.profile.extra.get("video")):
        target.lose(path, f"the target takes no {part.kind} in this form", "content")
        return []
    return [_finished(wire, part, path, target)]


def _media_form(part: MediaPart, source: Inline | Url | FileRef, *, is_named: bool) -> Object | None:
    match part.kind:
        case "document":
            return {"type": "file", "file": _file(part, source, is_named=is_named)}
        case "audio" if isinstance(source, Inline):
            return {"type": "input_audio", "input_audio": _audio(part, source)}
        case _ if isinstance(source, FileRef):
            return None
        case _:
            name = f"{part.kind}_url"
            inner: Object = {"url": url_of(source)}
            put(inner, detail=part.detail)
            return {"type": name, name: inner}


def url_of(source: Inline | Url) -> str:
    """The source as one URL."""
    return source.url if isinstance(source, Url) else f"data:{source.mime};base64,{source.data}"


def _audio(part: MediaPart, source: Inline) -> Object:
    prefixed = part.options.get("prefixed") is True
    wire: Object = {"data": url_of(source) if prefixed else source.data}
    put(wire, format=part.options["format"] if "format" in part.options else audio_format(source.mime))
    return wire


def _file(part: MediaPart, source: Inline | Url | FileRef, *, is_named: bool) -> Object:
    wire: Object = {}
    if isinstance(source, FileRef):
        wire["file_id"] = source.id
    elif isinstance(source, Inline) and part.options.get("bare") is True:
        wire["file_data"] = source.data
    else:
        wire["file_data"] = url_of(source)
    title = part.title
    if title is None and is_named and isinstance(source, Inline):
        # The API refuses inline files without a name.
        title = f"document.{source.mime.rpartition('/')[2]}"
    put(wire, filename=title)
    return wire
