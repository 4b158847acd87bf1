"""Words and small shapes of the chat completions wire that several modules share.

Source: openai SDK 3.52 `types/chat` (read 2026-11); vLLM and OpenRouter documentation for `video_url`, `audio_url`, `images`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from execution_platform.dialects.losses import foreign_extra
from execution_platform.dialects.take import Object
from execution_platform.dialects.toolnames import NameMap, legal_call_id
from execution_platform.spi.loss import Loss, Severity
from execution_platform.spi.parts import FileRef, Origin, Signature
from execution_platform.spi.profile import ModelProfile

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


@dataclass(slots=True)
class Target:
    """For whom a request is being encoded, and what was lost on the way."""

    profile: ModelProfile
    source: str | None
    names: NameMap
    losses: list[Loss] = field(default_factory=list[Loss])

    @property
    def same(self) -> bool:
        """The request came in this very dialect, so its own forms are kept."""
        return self.source == NAME

    @property
    def provider(self) -> str | None:
        """The provider that will read the request."""
        provider = self.profile.extra.get("provider")
        return provider if isinstance(provider, str) else None

    def lose(self, path: str, what: str, severity: Severity = "knob") -> None:
        """Record a loss."""
        self.losses.append(Loss(path, what, severity))

    def lose_extra(self, extra: Mapping[str, object], path: str) -> None:
        """Record the leftovers of another dialect."""
        self.losses.extend(foreign_extra(extra, self.source, NAME, path=path))

    def is_home(self, signature: Signature) -> bool:
        """Whether the target issued `signature`, as far as is known."""
        return self._is_own(signature.origin)

    def is_home_file(self, source: FileRef) -> bool:
        """Whether the target stores this file, as far as is known."""
        return self._is_own(source.origin)

    def _is_own(self, origin: Origin) -> bool:
        if origin.dialect != NAME:
            return False
        return origin.provider is None or self.provider is None or origin.provider == self.provider

    def call_id(self, call_id: str) -> str:
        """A call id as sent: the caller's own, made legal when it comes from elsewhere."""
        return call_id if self.same else legal_call_id(call_id)

    def tool_name(self, name: str) -> str:
        """A tool name as sent."""
        return name if self.same else self.names(name)


def chat_path(model: str, *, stream: bool) -> str:
    """Path below the provider's base URL; model and streaming stand in the body."""
    del model, stream
    return "/chat/completions"
