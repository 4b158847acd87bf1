"""Media parts on the native wire.

Images, short audio and documents take the part forms of chat completions (`image_url`, `input_audio`, `file`;
https://platform.openai.com/docs/api-reference/chat, 2026-11), so that a content list written for that API works as it is.
What those forms cannot say (video, titles, provider files with their origin, text documents) takes the form `media`.
"""

from collections.abc import Callable, Mapping, Sequence

from execution_platform.dialects.take import Object, Taker, as_list, put
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi.parts import (
    FileRef,
    Inline,
    MediaKind,
    MediaPart,
    MediaSource,
    Origin,
    Part,
    PartsSource,
    TextSource,
    Url,
)

KINDS: Mapping[str, MediaKind] = {"image": "image", "audio": "audio", "video": "video", "document": "document"}
_AUDIO_MIME: Mapping[str, str] = {"wav": "audio/wav", "mp3": "audio/mpeg"}
_AUDIO_FORMAT: Mapping[str, str] = {mime: word for word, mime in _AUDIO_MIME.items()}

DecodeParts = Callable[[Sequence[object], str], tuple[Part, ...]]
EncodeParts = Callable[[Sequence[Part]], list[Object]]


def split_data_url(url: str, path: str) -> Inline | None:
    """The inline data of a base64 `data:` URL; None for any other URL. Raises `InvalidRequest` on a `data:` URL without base64."""
    if not url.startswith("data:"):
        return None
    mime, found, data = url[5:].partition(";base64,")
    if not found:
        raise InvalidRequest(f"{path}: a data: URL must hold base64 (data:image/png;base64,...)", param=path)
    return Inline(mime, data)


def _source(url: str, path: str) -> MediaSource:
    return split_data_url(url, path) or Url(url)


def decode_image(take: Taker) -> MediaPart:
    """`{"type": "image_url", "image_url": {"url", "detail"?}}`; the inner value may be the bare URL."""
    value = take.any("image_url")
    path = take.at("image_url")
    if isinstance(value, str):
        return MediaPart("image", _source(value, path), extra=take.rest)
    inner = Taker(value, path)
    part = MediaPart("image", _source(inner.need("url"), inner.at("url")), detail=inner.str("detail"), extra=take.rest)
    take.keep("image_url", inner)
    return part


def decode_audio(take: Taker) -> MediaPart:
    """`{"type": "input_audio", "input_audio": {"data", "format"}}`."""
    inner = Taker(take.any("input_audio"), take.at("input_audio"))
    word = inner.need("format")
    part = MediaPart("audio", Inline(_AUDIO_MIME.get(word, f"audio/{word}"), inner.need("data")), extra=take.rest)
    take.keep("input_audio", inner)
    return part


def decode_file(take: Taker) -> MediaPart:
    """`{"type": "file", "file": {"file_data" | "file_url" | "file_id", "filename"?}}`."""
    inner = Taker(take.any("file"), take.at("file"))
    title = inner.str("filename")
    data, url, file_id = inner.str("file_data"), inner.str("file_url"), inner.str("file_id")
    source: MediaSource
    if data is not None:
        source = split_data_url(data, inner.at("file_data")) or Inline("application/pdf", data)
    elif url is not None:
        source = _source(url, inner.at("file_url"))
    elif file_id is not None:
        source = FileRef(file_id, Origin(dialect="native"))
    else:
        raise InvalidRequest(f"{inner.path}: give file_data, file_url or file_id", param=inner.path)
    take.keep("file", inner)
    return MediaPart("document", source, title=title, extra=take.rest)


def decode_media(take: Taker, decode_parts: DecodeParts) -> MediaPart:
    """`{"type": "media", "kind", "source": {"type": inline|url|file|text|parts, ...}, ...}`."""
    word = take.need("kind")
    kind = KINDS.get(word)
    if kind is None:
        raise InvalidRequest(
            f"{take.at('kind')}: expected one of {', '.join(KINDS)}; got {word!r}", param=take.at("kind")
        )
    source = _decode_source(Taker(take.any("source"), take.at("source")), decode_parts)
    return MediaPart(
        kind,
        source,
        detail=take.str("detail"),
        title=take.str("title"),
        context=take.str("context"),
        citations_enabled=take.bool("citations_enabled"),
        transcript=take.str("transcript"),
        options=take.object("options") or {},
        extra=take.rest,
    )


def _decode_source(take: Taker, decode_parts: DecodeParts) -> MediaSource:
    word = take.need("type")
    match word:
        case "inline":
            return Inline(take.need("mime"), take.need("data"))
        case "url":
            return Url(take.need("url"), take.str("mime"))
        case "file":
            return FileRef(take.need("id"), _decode_origin(take.child("origin")), take.str("mime"))
        case "text":
            return TextSource(take.need("text"), take.str("mime") or "text/plain")
        case "parts":
            path = take.at("parts")
            return PartsSource(decode_parts(as_list(take.any("parts"), path), path))
        case _:
            sentence = f"{take.at('type')}: expected inline, url, file, text or parts; got {word!r}"
            raise InvalidRequest(sentence, param=take.at("type"))


def _decode_origin(take: Taker | None) -> Origin:
    if take is None:
        return Origin(dialect="native")
    return Origin(
        dialect=take.need("dialect"),
        provider=take.str("provider"),
        deployment=take.str("deployment"),
        model=take.str("model"),
    )


def encode_media(part: MediaPart, encode_parts: EncodeParts) -> Object:
    """The shortest form that says all of `part`; leftovers are merged by the caller."""
    short = _encode_short(part)
    if short is not None:
        return short
    out: Object = {"type": "media", "kind": part.kind, "source": _encode_source(part.source, encode_parts)}
    put(
        out,
        detail=part.detail,
        title=part.title,
        context=part.context,
        citations_enabled=part.citations_enabled,
        transcript=part.transcript,
        options=dict(part.options) or None,
    )
    return out


def _encode_short(part: MediaPart) -> Object | None:
    """The chat-completions form, where it says everything."""
    source = part.source
    if (part.context, part.citations_enabled, part.transcript) != (None, None, None) or part.options:
        return None
    if part.kind == "image" and part.title is None:
        url = _as_url(source)
        if url is not None:
            inner: Object = {"url": url}
            put(inner, detail=part.detail)
            return {"type": "image_url", "image_url": inner}
    if part.detail is not None:
        return None
    if part.kind == "audio" and part.title is None and isinstance(source, Inline) and source.mime in _AUDIO_FORMAT:
        return {"type": "input_audio", "input_audio": {"data": source.data, "format": _AUDIO_FORMAT[source.mime]}}
    return _encode_file(part) if part.kind == "document" else None


def _encode_file(part: MediaPart) -> Object | None:
    source = part.source
    inner: Object = {}
    if isinstance(source, Inline):
        inner["file_data"] = _as_url(source)
    elif isinstance(source, Url) and source.mime is None and not source.url.startswith("data:"):
        inner["file_url"] = source.url
    elif isinstance(source, FileRef) and source.mime is None and source.origin == Origin(dialect="native"):
        inner["file_id"] = source.id
    else:
        return None
    put(inner, filename=part.title)
    return {"type": "file", "file": inner}


def _as_url(source: MediaSource) -> str | None:
    if isinstance(source, Inline) and ";base64," not in source.mime:
        return f"data:{source.mime};base64,{source.data}"
    if isinstance(source, Url) and source.mime is None and not source.url.startswith("data:"):
        return source.url
    return None


def _encode_source(source: MediaSource, encode_parts: EncodeParts) -> Object:
    match source:
        case Inline():
            return {"type": "inline", "mime": source.mime, "data": source.data}
        case Url():
            out: Object = {"type": "url", "url": source.url}
            put(out, mime=source.mime)
            return out
        case FileRef():
            out = {"type": "file", "id": source.id, "origin": _encode_origin(source.origin)}
            put(out, mime=source.mime)
            return out
        case TextSource():
            return {"type": "text", "text": source.text, "mime": source.mime}
        case PartsSource():
            return {"type": "parts", "parts": encode_parts(source.parts)}


def _encode_origin(origin: Origin) -> Object:
    out: Object = {"dialect": origin.dialect}
    put(out, provider=origin.provider, deployment=origin.deployment, model=origin.model)
    return out
