"""How many tokens a request is: roughly, for targets that cannot count; exactly, where a budget hangs on it.

Without a tokenizer text counts four bytes of UTF-8 a token, schemas and arguments three, as the vendors' own rules of thumb say
(OpenAI, "What are tokens", 2026-10). Media is bounded by what vendors charge at most for one item of its kind and size.
"""

from collections.abc import Callable
from functools import partial

from execution_platform import _json
from execution_platform.spi.parts import (
    Inline,
    MediaPart,
    Part,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from execution_platform.spi.request import ChatRequest

Counter = Callable[[str], int]
"""Tokens of a text."""

_MESSAGE = 4
_MEDIA = 1000
_MEDIA_MOST = {"image": 5000, "audio": 10_000, "video": 100_000, "document": 20_000}
"""One item of unknown size: the largest image any vendor counts, five minutes of sound or of film, some ten pages."""
_MEDIA_BYTES = {"image": 1 << 40, "audio": 200, "video": 50, "document": 8}
"""Bytes of base64 that make a token at most, where the item is in the request itself."""


def estimate_tokens(request: ChatRequest) -> int:
    """Roughly how many tokens the request's messages and tools are; at least 1."""
    return _tokens(request, _by_bytes, _by_dense_bytes, media=_flat)


def count_tokens(request: ChatRequest, count: Counter) -> int:
    """How many tokens the request is by the tokenizer `count`, with an upper bound for media."""
    return _tokens(request, count, count, media=_bounded)


def _by_bytes(text: str) -> int:
    return (len(text.encode()) + 3) // 4


def _by_dense_bytes(text: str) -> int:
    return len(text.encode()) // 3


def _flat(part: MediaPart) -> int:
    del part
    return _MEDIA


def _bounded(part: MediaPart) -> int:
    most = _MEDIA_MOST.get(part.kind, _MEDIA_MOST["document"])
    if isinstance(part.source, Inline):
        by_size = len(part.source.data) // _MEDIA_BYTES.get(part.kind, 8)
        return max(_MEDIA, by_size) if part.kind != "image" else most
    return most


def _tokens(request: ChatRequest, text: Counter, dense: Counter, *, media: Callable[[MediaPart], int]) -> int:
    of = partial(_part, text=text, dense=dense, media=media)
    total = sum(_MESSAGE + sum(of(part) for part in message.parts) for message in request.messages)
    for tool in request.tools or ():
        declared = f"{tool.name}{tool.description or ''}{_json.dumps(tool.input_schema or {}).decode()}"
        total += _MESSAGE + dense(declared)
    return max(1, total)


def _part(part: Part, *, text: Counter, dense: Counter, media: Callable[[MediaPart], int]) -> int:
    match part:
        case TextPart() | ThinkingPart():
            return text(part.text)
        case ToolCallPart():
            return _MESSAGE + dense(part.name + part.arguments)
        case ToolResultPart():
            return _MESSAGE + sum(_part(inner, text=text, dense=dense, media=media) for inner in part.parts)
        case MediaPart():
            return media(part)
        case _:
            return 0
