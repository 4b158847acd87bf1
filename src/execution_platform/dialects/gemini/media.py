"""Media parts: `inlineData` and `fileData` ↔ `MediaPart`."""

import mimetypes
from collections.abc import Mapping
from typing import Final

from execution_platform.dialects.gemini.wire import NAME, camel, member
from execution_platform.dialects.take import Object, Taker
from execution_platform.spi.parts import FileRef, Inline, MediaKind, MediaPart, Origin, Url

_BY_DEFAULT: Final[Mapping[MediaKind, str]] = {
    "image": "image/jpeg",
    "audio": "audio/mpeg",
    "video": "video/mp4",
    "document": "application/pdf",
}
_LEVELS: Final = {"MEDIA_RESOLUTION_LOW": "low", "MEDIA_RESOLUTION_MEDIUM": "medium", "MEDIA_RESOLUTION_HIGH": "high"}
URL_SAFE: Final = "url_safe"
"""`form` of media whose base64 came in the URL-safe alphabet; held in the standard one, written back as it was."""
_TO_STANDARD: Final = str.maketrans("-_", "+/")
_TO_URL_SAFE: Final = str.maketrans("+/", "-_")
_NAMED: Final = {word: level for level, word in _LEVELS.items()}


def kind_of_media(mime: str | None, url: str | None = None) -> MediaKind:
    """What a mime type (or, without one, the end of a URL) says the media is."""
    if mime is None and url is not None:
        if "youtube.com/" in url or "youtu.be/" in url:
            return "video"
        mime = mimetypes.guess_type(url.partition("?")[0])[0]
    family = (mime or "").partition("/")[0].lower()
    if family == "image":
        return "image"
    if family == "audio":
        return "audio"
    return "video" if family == "video" else "document"


def decode_inline(value: object, path: str, extra: Object) -> MediaPart:
    """An `inlineData` object; `extra` gets what is left of it."""
    take = Taker(camel(Taker(value, path).rest), path)
    mime, data, title = take.str("mimeType"), take.need("data"), take.str("displayName")
    if take.rest:
        extra["inlineData"] = take.rest
    detail = _detail(extra)
    form = None
    if ("-" in data or "_" in data) and "+" not in data and "/" not in data:
        # What google-genai writes; other vendors refuse this alphabet (google-genai 3.4, read 2026-11).
        form, data = URL_SAFE, data.translate(_TO_STANDARD)
    source = Inline(mime or "", data)
    return MediaPart(kind_of_media(mime), source, title=title, detail=detail, form=form, extra=extra)


def decode_file(value: object, path: str, extra: Object) -> MediaPart:
    """A `fileData` object; `extra` gets what is left of it."""
    take = Taker(camel(Taker(value, path).rest), path)
    mime, title = take.str("mimeType"), take.str("displayName")
    uri = take.need("fileUri")
    if take.rest:
        extra["fileData"] = take.rest
    detail = _detail(extra)
    is_stored = uri.startswith(("files/", "gs://")) or "/v1beta/files/" in uri or "/v1/files/" in uri
    source = FileRef(uri, Origin(dialect=NAME), mime) if is_stored else Url(uri, mime)
    return MediaPart(kind_of_media(mime, uri), source, title=title, detail=detail, extra=extra)


def _detail(extra: Object) -> str | None:
    """The part's own `mediaResolution`, where it says a level and nothing else."""
    given = member(extra, "mediaResolution")
    word = _LEVELS.get(str(given.get("level"))) if len(given) == 1 else None
    if word is not None:
        del extra["mediaResolution"]
    return word


def resolution(detail: str | None) -> Object | None:
    """The `mediaResolution` that says `detail`; None where the wire has no word for it."""
    return {"level": _NAMED[detail]} if detail in _NAMED else None


def split_data_url(mime: str, data: str) -> Inline:
    """Inline media without the `data:…;base64,` prefix that some clients leave on it."""
    if data.startswith("data:"):
        head, _, data = data.partition(",")
        mime = mime or head[5:].partition(";")[0]
    return Inline(mime, data)


def as_received(part: MediaPart, source: Inline) -> Inline:
    """The source in the base64 alphabet in which it came."""
    return Inline(source.mime, source.data.translate(_TO_URL_SAFE)) if part.form == URL_SAFE else source


def inline(mime: str, data: str, title: str | None = None) -> Object:
    """An `inlineData` part."""
    blob: Object = {"mimeType": mime, "data": data} if mime else {"data": data}
    if title is not None:
        blob["displayName"] = title
    return {"inlineData": blob}


def file(uri: str, mime: str | None, title: str | None = None) -> Object:
    """A `fileData` part."""
    data: Object = {"fileUri": uri}
    if mime is not None:
        data["mimeType"] = mime
    if title is not None:
        data["displayName"] = title
    return {"fileData": data}


def mime_of(kind: MediaKind, url: str, mime: str | None) -> str | None:
    """The mime type of media at a URL: given, else guessed, else the usual one; YouTube takes none."""
    if mime is not None or "youtube.com/" in url or "youtu.be/" in url:
        return mime
    return mimetypes.guess_type(url.partition("?")[0])[0] or _BY_DEFAULT[kind]
