"""Words and small shapes of the chat completions wire that several modules share.

Source: openai SDK 3.52 `types/chat` (read 2026-11); vLLM and OpenRouter documentation for `video_url`, `audio_url`, `images`.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple, cast

from execution_platform.dialects.take import Object

NAME = "openai_chat"

CONTENT = "content"
"""Group of parts that stood in a content list."""
LEGACY = "function_call"
"""Group of calls and results in the form that came before `tool_calls`."""
THOUGHT = "thought"
"""Signature kind of `extra_content.google.thought_signature`."""

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,", re.ASCII)
_FORMAT_OF: Mapping[str, str] = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
}
_MIME_OF: Mapping[str, str] = {"wav": "audio/wav", "mp3": "audio/mpeg"}


class DataUrl(NamedTuple):
    """A base64 data URL taken apart."""

    mime: str
    data: str


def data_url(url: str) -> DataUrl | None:
    """`url` taken apart, if it is a plain base64 data URL that `f"data:{mime};base64,{data}"` gives back."""
    found = _DATA_URL.match(url)
    return DataUrl(found.group(1), url[found.end() :]) if found else None


def audio_mime(word: str) -> str:
    """The media type of an audio format word."""
    return _MIME_OF.get(word, f"audio/{word}")


def audio_format(mime: str) -> str:
    """The audio format word of a media type."""
    return _FORMAT_OF.get(mime) or mime.partition("/")[2] or "wav"


def thought_of(extra_content: object) -> str | None:
    """The token in an `extra_content` object by Google's convention."""
    google = cast("Object", extra_content).get("google") if isinstance(extra_content, dict) else None
    token = cast("Object", google).get("thought_signature") if isinstance(google, dict) else None
    return token if isinstance(token, str) and token else None


def thought(token: str) -> Object:
    """An `extra_content` object that holds `token`."""
    return {"google": {"thought_signature": token}}


def chat_path(model: str, *, stream: bool) -> str:
    """Path below the provider's base URL; model and streaming stand in the body."""
    del model, stream
    return "/chat/completions"
