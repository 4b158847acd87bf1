"""A whole answer in the canonical language."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import StrEnum

from execution_platform.spi.messages import Message
from execution_platform.spi.parts import Origin, ToolCallPart
from execution_platform.spi.usage import Usage
from execution_platform.spi.value import value


class FinishReason(StrEnum):
    """Why the model stopped."""

    STOP = "stop"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    CONTEXT_WINDOW = "context_window"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    PAUSE = "pause"
    COMPACTION = "compaction"
    ERROR = "error"
    UNKNOWN = "unknown"


@value()
class Finish:
    """The finish reason with what the wire said: its own word, the sequence that matched, details."""

    reason: FinishReason
    raw: str | None = None
    stop_sequence: str | None = None
    details: Mapping[str, object] | None = None


@value()
class Output:
    """One alternative answer (`n > 1` gives several)."""

    message: Message
    finish: Finish
    extra: Mapping[str, object] = field(default_factory=dict[str, object])


@value()
class ChatResponse:
    """A complete answer. `.message`, `.text` and `.tool_calls` read the first output."""

    outputs: Sequence[Output]
    id: str | None = field(default=None, kw_only=True)
    model: str | None = field(default=None, kw_only=True)
    created: int | None = field(default=None, kw_only=True)
    usage: Usage | None = field(default=None, kw_only=True)
    origin: Origin | None = field(default=None, kw_only=True)
    service_tier: str | None = field(default=None, kw_only=True)
    system_fingerprint: str | None = field(default=None, kw_only=True)
    safety: object = field(default=None, kw_only=True)
    grounding: object = field(default=None, kw_only=True)
    diagnostics: object = field(default=None, kw_only=True)
    extra: Mapping[str, object] = field(default_factory=dict[str, object], kw_only=True)

    @property
    def message(self) -> Message:
        """The first output's message; empty when the provider answered with no output at all."""
        return self.outputs[0].message if self.outputs else Message("assistant")

    @property
    def finish(self) -> Finish:
        """The first output's finish."""
        return self.outputs[0].finish if self.outputs else Finish(FinishReason.UNKNOWN)

    @property
    def text(self) -> str:
        """The visible text of the first output."""
        return self.message.text

    @property
    def tool_calls(self) -> tuple[ToolCallPart, ...]:
        """The calls of the first output."""
        return self.message.tool_calls


@value()
class EmbeddingsResponse:
    """One vector for each input, in order."""

    vectors: Sequence[Sequence[float]]
    model: str | None = None
    usage: Usage | None = None
    extra: Mapping[str, object] = field(default_factory=dict[str, object], kw_only=True)
