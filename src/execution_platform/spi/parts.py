"""Content parts: what a message is made of, in order, whoever wrote it.

Every part keeps what its dialect said and nobody here understands in `extra`; tokens that only
their issuer can read travel as a `Signature` with its `Origin`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from execution_platform.spi.value import value

MediaKind = Literal["image", "audio", "video", "document"]
CallKind = Literal["function", "custom", "mcp", "server"]
CitationKind = Literal["url", "char", "page", "content_block", "search_result", "file", "other"]


@value(kw_only=True)
class Origin:
    """Who issued an opaque token, as finely as is known: only that route can verify it."""

    dialect: str
    provider: str | None = None
    deployment: str | None = None
    model: str | None = None


@value()
class Signature:
    """An opaque token that goes back to its origin unchanged, or nowhere.

    `kind` is the wire slot it came from: `signature` (Anthropic thinking), `redacted`
    (Anthropic redacted_thinking data), `encrypted` (Responses encrypted_content),
    `thought` (Gemini thoughtSignature).
    """

    value: str
    origin: Origin
    kind: str = "signature"


@value(kw_only=True)
class CacheMark:
    """The prompt may be cached up to and including the part that carries this mark."""

    ttl: str | None = None
    scope: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict[str, object])


@value(kw_only=True)
class Citation:
    """A passage of the text and where it comes from. Offsets are code points of the part's text."""

    kind: CitationKind = "other"
    cited_text: str | None = None
    start: int | None = None
    end: int | None = None
    url: str | None = None
    title: str | None = None
    file_id: str | None = None
    document_index: int | None = None
    opaque: str | None = None
    """An index only the issuer can read (Anthropic `encrypted_index`)."""
    raw: Mapping[str, object] | None = None
    """The wire object as received, for the same dialect."""


@value()
class Inline:
    """Media inside the request; `data` is base64 as received, never re-coded."""

    mime: str
    data: str


@value()
class Url:
    """Media to be fetched by the provider."""

    url: str
    mime: str | None = None


@value()
class FileRef:
    """Media stored at the provider under an id that is bound to `origin`."""

    id: str
    origin: Origin
    mime: str | None = None


@value()
class TextSource:
    """A document given as plain text."""

    text: str
    mime: str = "text/plain"


@dataclass(frozen=True, kw_only=True)
class PartBase:
    """What every part may carry. It lends its fields; parts are told apart by their own classes."""

    extra: Mapping[str, object] = field(default_factory=dict[str, object])
    """Members of the wire object nobody here understands; kept for the same dialect."""
    id: str | None = None
    """The item's id on the wire."""
    signature: Signature | None = None
    cache: CacheMark | None = None
    group: str | None = None
    phase: str | None = None
    form: str | None = None
    """Which of two spellings the wire used where both mean the same (`string` or `list`); for the same dialect."""


@value()
class TextPart(PartBase):
    """Visible text; `refusal` marks text by which the model declines."""

    text: str
    citations: tuple[Citation, ...] = field(default=(), kw_only=True)
    logprobs: object = field(default=None, kw_only=True)
    """Token log probabilities in OpenAI's list form (`[{token, logprob, bytes, top_logprobs}]`)."""
    refusal: bool = field(default=False, kw_only=True)


@value()
class ThinkingPart(PartBase):
    """The model's thought. `redacted`: text is empty and the payload is in `signature`."""

    text: str = ""
    summary: tuple[str, ...] = field(default=(), kw_only=True)
    redacted: bool = field(default=False, kw_only=True)


@value()
class PartsSource:
    """A document given as parts (Anthropic `source.type = content`)."""

    parts: "tuple[Part, ...]"


MediaSource = Inline | Url | FileRef | TextSource | PartsSource


@value()
class MediaPart(PartBase):
    """Image, audio, video or document."""

    kind: MediaKind
    source: MediaSource
    detail: str | None = field(default=None, kw_only=True)
    title: str | None = field(default=None, kw_only=True)
    context: str | None = field(default=None, kw_only=True)
    citations_enabled: bool | None = field(default=None, kw_only=True)
    transcript: str | None = field(default=None, kw_only=True)
    options: Mapping[str, object] = field(default_factory=dict[str, object], kw_only=True)


@value()
class ToolCallPart(PartBase):
    """The model asks for a tool. `arguments` is the JSON text the model wrote, valid or not.

    `synthetic_id` is true when the wire had no id and ours must not be sent back there.
    """

    call_id: str
    name: str
    arguments: str = "{}"
    kind: CallKind = field(default="function", kw_only=True)
    namespace: str | None = field(default=None, kw_only=True)
    caller: object = field(default=None, kw_only=True)
    synthetic_id: bool = field(default=False, kw_only=True)


@value()
class ToolResultPart(PartBase):
    """A tool's answer to the call `call_id`; `is_error` None means the wire did not say."""

    call_id: str
    parts: "tuple[Part, ...]" = ()
    name: str | None = field(default=None, kw_only=True)
    is_error: bool | None = field(default=None, kw_only=True)
    kind: CallKind = field(default="function", kw_only=True)
    raw: object = field(default=None, kw_only=True)
    """The result as received where it is not text or parts (a Gemini `response` object)."""


@value()
class CompactionPart(PartBase):
    """A provider's own summary of earlier turns; the payload is in `signature`."""

    text: str = ""


@value()
class OpaquePart(PartBase):
    """A part nobody here knows, kept in place for the dialect it came from."""

    dialect: str
    raw: Mapping[str, object]


Part = TextPart | ThinkingPart | MediaPart | ToolCallPart | ToolResultPart | CompactionPart | OpaquePart
