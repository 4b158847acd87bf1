"""A chat request in the canonical language."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Literal

from execution_platform.spi.messages import Message
from execution_platform.spi.parts import CacheMark
from execution_platform.spi.tools import ToolChoice, ToolDefinition
from execution_platform.spi.value import overwrite, value

Extra = Mapping[str, object]


@value(kw_only=True)
class Reasoning:
    """How much the model should think, and how much of it the caller wants to see.

    `mode` is `enabled`, `disabled` or `adaptive` where the wire says so; `summary` is `auto`,
    `concise`, `detailed` or `none`; `include` asks for the thoughts themselves.
    """

    effort: str | None = None
    budget_tokens: int | None = None
    summary: str | None = None
    include: bool | None = None
    mode: str | None = None
    extra: Extra = field(default_factory=dict[str, object])


@value(kw_only=True)
class OutputFormat:
    """What the answer must look like."""

    kind: Literal["text", "json", "json_schema"] = "text"
    schema: Mapping[str, object] | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None
    verbosity: str | None = None
    modalities: tuple[str, ...] | None = None
    audio: Extra | None = None
    image: Extra | None = None
    extra: Extra = field(default_factory=dict[str, object])
    raw: Extra | None = None
    """The members as received, for the same dialect."""


@value(kw_only=True)
class CachePolicy:
    """Prompt caching for the request as a whole (marks on parts are `CacheMark`)."""

    key: str | None = None
    retention: str | None = None
    mode: str | None = None
    cached_content: str | None = None
    mark: CacheMark | None = None


@value(kw_only=True)
class Safety:
    """Safety settings and end-user identifiers."""

    settings: object = None
    identifier: str | None = None
    user: str | None = None
    moderation: object = None


@value(kw_only=True)
class Continuation:
    """State the provider keeps between requests."""

    previous_id: str | None = None
    conversation: object = None
    store: bool | None = None
    background: bool | None = None
    truncation: object = None
    context_management: object = None
    container: object = None


@value()
class ChatRequest:
    """One request to a chat model; everything but `messages` may be left out.

    `system` is a convenience: it becomes a leading system message with `placement="top"`.
    `extra` holds members of the source `dialect` that nobody here understands; `provider_options`
    is the caller's intent for one provider or dialect and goes only there.
    """

    messages: Sequence[Message]
    model: str | None = None
    persona: str | None = field(default=None, kw_only=True)
    system: str | None = field(default=None, kw_only=True)
    max_tokens: int | None = field(default=None, kw_only=True)
    temperature: float | None = field(default=None, kw_only=True)
    top_p: float | None = field(default=None, kw_only=True)
    top_k: int | None = field(default=None, kw_only=True)
    stop: Sequence[str] | None = field(default=None, kw_only=True)
    seed: int | None = field(default=None, kw_only=True)
    n: int | None = field(default=None, kw_only=True)
    presence_penalty: float | None = field(default=None, kw_only=True)
    frequency_penalty: float | None = field(default=None, kw_only=True)
    logit_bias: Mapping[str, float] | None = field(default=None, kw_only=True)
    logprobs: bool | None = field(default=None, kw_only=True)
    top_logprobs: int | None = field(default=None, kw_only=True)
    tools: Sequence[ToolDefinition] | None = field(default=None, kw_only=True)
    tool_choice: ToolChoice | None = field(default=None, kw_only=True)
    reasoning: Reasoning | None = field(default=None, kw_only=True)
    output: OutputFormat | None = field(default=None, kw_only=True)
    cache: CachePolicy | None = field(default=None, kw_only=True)
    service_tier: str | None = field(default=None, kw_only=True)
    speed: str | None = field(default=None, kw_only=True)
    region: str | None = field(default=None, kw_only=True)
    safety: Safety | None = field(default=None, kw_only=True)
    continuation: Continuation | None = field(default=None, kw_only=True)
    metadata: Mapping[str, object] | None = field(default=None, kw_only=True)
    stream: bool = field(default=False, kw_only=True)
    stream_options: Extra | None = field(default=None, kw_only=True)
    requires: Mapping[str, object] | Sequence[str] | None = field(default=None, kw_only=True)
    """Capabilities this request needs, beyond those of its persona."""
    provider_options: Mapping[str, Extra] = field(default_factory=dict[str, Extra], kw_only=True)
    dialect: str | None = field(default=None, kw_only=True)
    extra: Extra = field(default_factory=dict[str, object], kw_only=True)
    spelling: Extra = field(default_factory=dict[str, object], kw_only=True)
    """Which of several forms the source dialect used; read by that dialect alone, nothing is lost with it."""

    def __post_init__(self) -> None:
        messages = tuple(self.messages)
        if self.system is not None:
            messages = (Message("system", self.system, placement="top"), *messages)
            overwrite(self, "system", None)
        overwrite(self, "messages", messages)
        if self.tools is not None:
            overwrite(self, "tools", tuple(self.tools))
        if self.stop is not None:
            overwrite(self, "stop", (self.stop,) if isinstance(self.stop, str) else tuple(self.stop))


@value()
class EmbeddingsRequest:
    """Texts to turn into vectors. An input may be token ids where the dialect has them."""

    inputs: Sequence[str | Sequence[int]]
    model: str | None = None
    dimensions: int | None = field(default=None, kw_only=True)
    encoding_format: Literal["float", "base64"] | None = field(default=None, kw_only=True)
    task: str | None = field(default=None, kw_only=True)
    title: str | None = field(default=None, kw_only=True)
    user: str | None = field(default=None, kw_only=True)
    dialect: str | None = field(default=None, kw_only=True)
    extra: Extra = field(default_factory=dict[str, object], kw_only=True)
