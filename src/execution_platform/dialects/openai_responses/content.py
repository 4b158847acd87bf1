"""Content parts of message items and tool outputs, both ways.

Forms: `input_text`, `output_text`, `refusal`, `input_image`, `input_file`, `input_audio`; any other becomes an opaque part in its
place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from execution_platform.dialects.openai_responses.wire import NAME, ORIGIN, data_url
from execution_platform.dialects.take import Object, Taker, as_list, as_object, merged, put
from execution_platform.dialects.target import Target
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi.parts import (
    Citation,
    CitationKind,
    FileRef,
    Inline,
    MediaPart,
    OpaquePart,
    Part,
    PartsSource,
    TextPart,
    TextSource,
    Url,
)

_AUDIO: Mapping[str, str] = {"wav": "audio/wav", "mp3": "audio/mpeg"}
_AUDIO_WORD: Mapping[str, str] = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
_CITATIONS: Mapping[str, CitationKind] = {
    "url_citation": "url",
    "file_citation": "file",
    "container_file_citation": "file",
    "file_path": "file",
}


def decode_content(value: object, path: str) -> str | tuple[Part, ...]:
    """The content of an item: text, or parts."""
    if isinstance(value, str):
        return value
    return tuple(decode_part(item, f"{path}[{index}]") for index, item in enumerate(as_list(value, path)))


def decode_part(value: object, path: str) -> Part:
    """One element of a content list. Raises `InvalidRequest` naming the member."""
    taker = Taker(value, path)
    match taker.need("type"):
        case "input_text" | "output_text" | "text":
            return _decode_text(taker)
        case "refusal":
            return TextPart(taker.need("refusal"), refusal=True, extra=taker.rest)
        case "input_image":
            return _decode_image(taker)
        case "input_file":
            return _decode_file(taker)
        case "input_audio":
            return _decode_audio(taker)
        case _:
            return OpaquePart(NAME, as_object(value, path))


def _decode_text(taker: Taker) -> TextPart:
    text = taker.need("text")
    citations = tuple(decode_annotation(item) for item in taker.list("annotations") or [])
    logprobs = taker.list("logprobs")
    return TextPart(text, citations=citations, logprobs=logprobs or None, extra=taker.rest)


def decode_annotation(value: object) -> Citation:
    """One element of `annotations`."""
    raw = cast("Object", value) if isinstance(value, dict) else {}
    start, end = raw.get("start_index"), raw.get("end_index")
    url, title, file_id = (raw.get(name) for name in ("url", "title", "file_id"))
    return Citation(
        kind=_CITATIONS.get(str(raw.get("type")), "other"),
        start=start if isinstance(start, int) else None,
        end=end if isinstance(end, int) else None,
        url=url if isinstance(url, str) else None,
        title=title if isinstance(title, str) else None,
        file_id=file_id if isinstance(file_id, str) else None,
        raw=raw,
    )


def _decode_image(taker: Taker) -> MediaPart:
    url, file_id, detail = taker.str("image_url"), taker.str("file_id"), taker.str("detail")
    if file_id is not None:
        return MediaPart("image", FileRef(file_id, ORIGIN), detail=detail, extra=taker.rest)
    if url is None:
        raise InvalidRequest(f"{taker.path}: give image_url or file_id", param=taker.at("image_url"))
    found = data_url(url)
    source = Url(url) if found is None else Inline(found.mime, found.data)
    return MediaPart("image", source, detail=detail, extra=taker.rest)


def _decode_file(taker: Taker) -> MediaPart:
    title, file_id, url, data = (taker.str(name) for name in ("filename", "file_id", "file_url", "file_data"))
    if file_id is not None:
        return MediaPart("document", FileRef(file_id, ORIGIN), title=title, extra=taker.rest)
    if url is not None:
        return MediaPart("document", Url(url), title=title, extra=taker.rest)
    if data is None:
        raise InvalidRequest(f"{taker.path}: give file_id, file_url or file_data", param=taker.at("file_data"))
    found = data_url(data)
    if found is not None:
        return MediaPart("document", Inline(found.mime, found.data), title=title, extra=taker.rest)
    return MediaPart("document", Inline("application/pdf", data), title=title, options={"bare": True}, extra=taker.rest)


def _decode_audio(taker: Taker) -> MediaPart:
    inner = taker.child("input_audio")
    if inner is None:
        raise InvalidRequest(f"{taker.at('input_audio')}: required member is missing", param=taker.at("input_audio"))
    data, word = inner.need("data"), inner.need("format")
    taker.keep("input_audio", inner)
    return MediaPart("audio", Inline(_AUDIO.get(word, f"audio/{word}"), data), extra=taker.rest)


def encode_parts(parts: Sequence[Part], path: str, target: Target, *, text: str = "input_text") -> list[Object]:
    """Parts as a content list; `text` is the word for text in this place."""
    out: list[Object] = []
    for index, part in enumerate(parts):
        out += _encode_part(part, f"{path}[{index}]", target, text)
    return out


def _encode_part(part: Part, path: str, target: Target, word: str) -> list[Object]:
    match part:
        case TextPart():
            if part.refusal:
                return [_finished({"type": "refusal", "refusal": part.text}, part, path, target)]
            wire: Object = {"type": word, "text": part.text}
            if word == "output_text":
                wire["annotations"] = [encode_annotation(each, len(part.text)) for each in part.citations]
                put(wire, logprobs=part.logprobs)
            return [_finished(wire, part, path, target)]
        case MediaPart():
            return _encode_media(part, path, target)
        case OpaquePart() if part.dialect == NAME:
            return [dict(part.raw)]
        case _:
            target.lose(path, f"a {type(part).__name__} where the target takes none", "content")
            return []


def _finished(wire: Object, part: TextPart | MediaPart, path: str, target: Target) -> Object:
    if part.cache is not None and not target.same:
        target.lose(f"{path}.cache", "the target takes no cache marks")
    target.lose_extra(part.extra, path)
    return merged(wire, part.extra) if target.same else wire


def encode_annotation(citation: Citation, length: int) -> Object:
    """One element of `annotations`; the API's own object where the citation came in this dialect."""
    raw = citation.raw
    if raw is not None and raw.get("type") in _CITATIONS:
        return dict(raw)
    if citation.kind == "file" and citation.file_id is not None:
        return {"type": "file_citation", "file_id": citation.file_id, "filename": citation.title or "", "index": length}
    return {
        "type": "url_citation",
        "url": citation.url or "",
        "title": citation.title or citation.cited_text or "",
        "start_index": citation.start or 0,
        "end_index": length if citation.end is None else citation.end,
    }


def _encode_media(part: MediaPart, path: str, target: Target) -> list[Object]:
    source = part.source
    match source:
        case TextSource():
            said = source.text if part.title is None else f"{part.title}\n\n{source.text}"
            return [_finished({"type": "input_text", "text": said}, replace(part, extra={}), path, target)]
        case PartsSource():
            return encode_parts(source.parts, f"{path}.source", target)
        case FileRef() if not target.is_home_file(source):
            target.lose(path, "a file stored at another provider", "content")
            return []
        case Url() if not target.same and part.kind not in target.profile.url_media:
            target.lose(path, f"the target fetches no {part.kind} from a URL", "content")
            return []
        case _:
            wire = _media_form(part, source)
    if wire is None:
        target.lose(path, f"the target takes no {part.kind} in this form", "content")
        return []
    return [_finished(wire, part, path, target)]


def _media_form(part: MediaPart, source: Inline | Url | FileRef) -> Object | None:
    wire: Object = {}
    match part.kind:
        case "image":
            wire["type"] = "input_image"
            wire.update({"file_id": source.id} if isinstance(source, FileRef) else {"image_url": _url(source)})
            wire["detail"] = part.detail or "auto"
        case "document":
            wire["type"] = "input_file"
            wire.update(_file(part, source))
        case "audio" if isinstance(source, Inline):
            word = _AUDIO_WORD.get(source.mime) or source.mime.partition("/")[2]
            wire = {"type": "input_audio", "input_audio": {"data": source.data, "format": word}}
        case _:
            return None
    return wire


def _url(source: Inline | Url) -> str:
    return source.url if isinstance(source, Url) else f"data:{source.mime};base64,{source.data}"


def _file(part: MediaPart, source: Inline | Url | FileRef) -> Object:
    wire: Object = {}
    match source:
        case FileRef():
            wire["file_id"] = source.id
        case Url():
            wire["file_url"] = source.url
        case Inline():
            # The API refuses inline files without a name.
            wire["filename"] = part.title or f"document.{source.mime.rpartition('/')[2]}"
            wire["file_data"] = source.data if part.options.get("bare") is True else _url(source)
            return wire
    put(wire, filename=part.title)
    return wire
