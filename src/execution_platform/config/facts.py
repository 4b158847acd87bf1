"""The shapes of a model's facts as a file may state them: requirements of personas and overrides of profiles."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

ToolTier = Literal["native", "simulated", "prompted", "none"]

CAPABILITY_SPELLINGS: Mapping[str, str] = {
    "system": "system_prompts",
    "system_prompt": "system_prompts",
    "stream": "streaming",
    "tools": "tool_calling",
    "tool_use": "tool_calling",
    "function_calling": "tool_calling",
    "parallel_tools": "parallel_tool_calls",
    "json": "json_mode",
    "structured_output": "json_schema",
    "structured_outputs": "json_schema",
    "images": "vision",
    "caching": "prompt_caching",
    "thinking": "reasoning",
    "long_context": "context_window",
}
"""Other words for capabilities, read in the older files only."""


class Raw(BaseModel):
    """A part of the file: unknown keys and wrong types are refused, values never appear in error texts."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


def _tool_tier(value: object) -> object:
    """`true` asks for tools in any of the three tiers, `false` for none."""
    if value is True:
        return "prompted"
    return "none" if value is False else value


Tier = Annotated[
    ToolTier,
    BeforeValidator(_tool_tier),
    WithJsonSchema({"anyOf": [{"enum": ["native", "simulated", "prompted", "none"]}, {"type": "boolean"}]}),
]


class RawCapabilities(Raw):
    """Capabilities by their published names."""

    system_prompts: bool | None = Field(default=None, description="System messages are understood.")
    streaming: bool | None = Field(default=None, description="Answers can be streamed.")
    tool_calling: Tier | None = Field(
        default=None,
        description="Tools: native, simulated through structured output, or prompted; true means any of them.",
    )
    parallel_tool_calls: bool | None = Field(default=None, description="Several tool calls in one answer.")
    json_mode: bool | None = Field(default=None, description="Answers can be restricted to JSON.")
    json_schema: bool | None = Field(default=None, description="Answers can be restricted to a JSON Schema.")
    vision: bool | None = Field(default=None, description="Images in the request.")
    audio: bool | None = Field(default=None, description="Audio in the request.")
    pdf: bool | None = Field(default=None, description="PDF documents in the request.")
    stop_sequences: bool | None = Field(default=None, description="The caller may name texts that end the answer.")
    token_count: bool | None = Field(
        default=None, description="The provider counts the tokens of a request beforehand."
    )
    prompt_caching: bool | None = Field(default=None, description="Repeated prompts are cached and cheaper.")
    reasoning: bool | None = Field(default=None, description="The model thinks before it answers.")
    embeddings: bool | None = Field(default=None, description="The model turns texts into vectors.")
    logprobs: bool | None = Field(default=None, description="Token log probabilities are returned.")
    context_window: int | None = Field(
        default=None, ge=1, description="Input tokens the model takes; a requirement means at least."
    )
    region: str | None = Field(default=None, description="Region in which the model runs.")


class RawRequires(RawCapabilities):
    """What a persona needs of a model. A list of names means true for each."""


class RawProfile(RawCapabilities):
    """Facts of models that override the catalogue."""

    max_output_tokens: int | None = Field(default=None, ge=1, description="Most tokens the model answers with.")
    default_max_tokens: int | None = Field(
        default=None, ge=1, description="Limit sent where the dialect requires one and the caller gave none."
    )
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = Field(
        default=None, description="Wire name of the answer's limit."
    )
    developer_role: bool | None = Field(default=None, description="The wire knows the role developer.")
    mid_system: Literal["native", "inline"] | None = Field(
        default=None, description="How system text in mid-conversation is sent."
    )
    prefill: bool | None = Field(default=None, description="A trailing assistant message is continued.")
    thinking_replay: Literal["native", "field", "tags", "drop"] | None = Field(
        default=None, description="How earlier thinking is sent back to the model it came from."
    )
    sampling: bool | None = Field(default=None, description="temperature and top_p may be set.")
    sampling_with_reasoning: bool | None = Field(
        default=None, description="temperature and top_p may be set while the model thinks."
    )
    adaptive_thinking: bool | None = Field(
        default=None, description="Thinking is asked for by effort instead of a token budget."
    )
    effort_levels: list[str] | None = Field(
        default=None, description="Words for reasoning effort the model knows, weakest first."
    )
    thinking_budget_min: int | None = Field(default=None, ge=0, description="Smallest thinking budget in tokens.")
    max_stop_sequences: int | None = Field(default=None, ge=0, description="Most stop sequences of one request.")
    multiple_outputs: bool | None = Field(default=None, description="n > 1 is served.")
    seed: bool | None = Field(default=None, description="seed is understood.")
    penalties: bool | None = Field(default=None, description="presence_penalty and frequency_penalty are understood.")
    logit_bias: bool | None = Field(default=None, description="logit_bias is understood.")
    url_media: list[Literal["image", "audio", "video", "document"]] | None = Field(
        default=None, description="Kinds of media the provider fetches from a URL by itself."
    )
    tool_result_media: bool | None = Field(default=None, description="Tool results may hold media.")
    schema_flavor: Literal["json_schema", "openai_strict", "openapi"] | None = Field(
        default=None, description="Flavour of JSON Schema that is understood."
    )
    tool_name_max: int | None = Field(default=None, ge=1, description="Longest tool name.")
    include_usage: bool | None = Field(default=None, description="stream_options.include_usage is understood.")
    cancel_stops_billing: bool | None = Field(
        default=None,
        description="Closing the connection ends an answer's cost; false: streams are read to their usage though the client left.",
    )


def requirements(value: object) -> object:
    """A list of capabilities as the map it stands for: `[vision, {context_window: 9}]`."""
    if not isinstance(value, list):
        return value
    found: dict[object, object] = {}
    for item in value:  # pyright: ignore[reportUnknownVariableType] - a file's list holds anything
        if isinstance(item, dict):
            found.update(item)  # pyright: ignore[reportUnknownArgumentType]
        else:
            found[item] = True
    return found
