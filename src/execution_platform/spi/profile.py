"""What is known about a model: capabilities that routing asks for and facts that encoders need.

Only the type lives here, so that dialects and routing can speak of it; the data and its layering are
in `catalog`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ThinkingReplay = Literal["native", "field", "tags", "drop"]
MidSystem = Literal["native", "inline"]
SchemaFlavor = Literal["json_schema", "openai_strict", "openapi"]
ToolCalling = Literal["native", "simulated", "prompted", "none"]

EFFORT_TOKENS: Mapping[str, int] = {
    "none": 0,
    "minimal": 1024,
    "low": 4096,
    "medium": 8192,
    "high": 16384,
    "xhigh": 32768,
    "max": 65536,
}
"""Reasoning effort as a token budget and back, where a target knows only the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProfile:
    """Facts of one model at one provider. The defaults suit an unknown OpenAI-compatible model."""

    # Capabilities (contract: section 6)
    system_prompts: bool = True
    streaming: bool = True
    tool_calling: ToolCalling = "native"
    parallel_tool_calls: bool = True
    json_mode: bool = True
    json_schema: bool = True
    vision: bool = False
    audio: bool = False
    pdf: bool = False
    stop_sequences: bool = True
    token_count: bool = False
    prompt_caching: bool = False
    reasoning: bool = False
    embeddings: bool = False
    logprobs: bool = False
    context_window: int | None = None
    region: str | None = None

    # Facts for encoders
    max_output_tokens: int | None = None
    default_max_tokens: int = 4096
    """Sent where the dialect requires a limit and the caller gave none."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    developer_role: bool = False
    """The wire knows the role `developer`; otherwise it becomes `system`."""
    mid_system: MidSystem = "native"
    """System text in mid-conversation: as its role, or inlined as a marked user reminder."""
    prefill: bool = True
    """A trailing assistant message is continued."""
    prefill_flag: bool = False
    """It is continued only when it says `prefix: true` (Mistral)."""
    thinking_replay: ThinkingReplay = "drop"
    """How earlier thinking of this very target is sent back."""
    sampling_with_reasoning: bool = True
    """temperature/top_p may be set while the model reasons."""
    sampling: bool = True
    """temperature/top_p may be set at all."""
    adaptive_thinking: bool = False
    """Anthropic `thinking: {type: adaptive}` with `output_config.effort` instead of a token budget."""
    effort_levels: tuple[str, ...] = ("minimal", "low", "medium", "high")
    thinking_budget_min: int = 1024
    max_stop_sequences: int | None = None
    multiple_outputs: bool = True
    """`n > 1` is served."""
    seed: bool = True
    seed_field: Literal["seed", "random_seed"] = "seed"
    penalties: bool = True
    logit_bias: bool = True
    url_media: frozenset[str] = frozenset({"image"})
    """Kinds of media the provider fetches from a URL by itself."""
    tool_result_media: bool = False
    """Tool results may hold media; otherwise it moves to a following user message."""
    schema_flavor: SchemaFlavor = "json_schema"
    tool_name_max: int = 64
    include_usage: bool = True
    """`stream_options.include_usage` is understood."""
    cancel_stops_billing: bool = True
    """Closing the connection ends the answer and its cost; otherwise a stream nobody reads any more is read to its usage."""
    extra: Mapping[str, object] = field(default_factory=dict[str, object])

    def offers(self, capability: str) -> object:
        """The value of a capability by its published name; None when the name is unknown."""
        return getattr(self, capability, None) if capability in CAPABILITIES else None


CAPABILITIES: tuple[str, ...] = (
    "system_prompts",
    "streaming",
    "tool_calling",
    "parallel_tool_calls",
    "json_mode",
    "json_schema",
    "vision",
    "audio",
    "pdf",
    "stop_sequences",
    "token_count",
    "prompt_caching",
    "reasoning",
    "embeddings",
    "logprobs",
    "context_window",
    "region",
)
"""Every name a requirement may use, in the order in which tables show them."""
