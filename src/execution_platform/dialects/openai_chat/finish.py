"""Finish reasons, both ways.

Source: openai SDK 3.52 `Choice.finish_reason`; OpenRouter (`error`), Mistral (`model_length`), Together (`eos`), vLLM (`abort`,
`stop_reason`), DeepSeek (`insufficient_system_resource`), Gemini's compatible endpoint (upper-case words), read 2026-11.
"""

from collections.abc import Mapping

from execution_platform.dialects.openai_chat.wire import NAME
from execution_platform.spi.parts import Origin
from execution_platform.spi.response import Finish, FinishReason

_DECODE: Mapping[str, FinishReason] = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "eos_token": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP_SEQUENCE,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.CONTEXT_WINDOW,
    "tool_calls": FinishReason.TOOL_CALLS,
    "tool_use": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "safety": FinishReason.CONTENT_FILTER,
    "recitation": FinishReason.CONTENT_FILTER,
    "prohibited_content": FinishReason.CONTENT_FILTER,
    "error": FinishReason.ERROR,
    "abort": FinishReason.ERROR,
    "insufficient_system_resource": FinishReason.ERROR,
}
_ENCODE: Mapping[FinishReason, str] = {
    FinishReason.STOP: "stop",
    FinishReason.STOP_SEQUENCE: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.CONTEXT_WINDOW: "length",
    FinishReason.TOOL_CALLS: "tool_calls",
    FinishReason.CONTENT_FILTER: "content_filter",
    FinishReason.REFUSAL: "content_filter",
    FinishReason.PAUSE: "stop",
    FinishReason.COMPACTION: "stop",
    # OpenRouter's word: an answer that broke must not look like one that ended.
    FinishReason.ERROR: "error",
    FinishReason.UNKNOWN: "stop",
}
UNSAID = frozenset({FinishReason.PAUSE, FinishReason.COMPACTION, FinishReason.UNKNOWN})
"""Reasons the wire has no word for: `stop` stands for them, and that is a loss."""


def decode_finish(word: str, *, has_calls: bool, stop_reason: object = None) -> Finish:
    """A `finish_reason`; `stop_reason` is vLLM's matched sequence. A call beside `stop` means that tools are wanted."""
    reason = _DECODE.get(word.lower(), FinishReason.UNKNOWN)
    if has_calls and reason is FinishReason.STOP:
        reason = FinishReason.TOOL_CALLS
    matched = stop_reason if isinstance(stop_reason, str) else None
    if matched is not None and reason is FinishReason.STOP:
        reason = FinishReason.STOP_SEQUENCE
    return Finish(reason, word, matched)


def encode_finish(finish: Finish, origin: Origin | None) -> str:
    """The wire's word: the very same one if the answer came in this dialect."""
    if origin is not None and origin.dialect == NAME and finish.raw is not None:
        return finish.raw
    return _ENCODE[finish.reason]
