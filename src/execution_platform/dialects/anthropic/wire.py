"""Words and small rules of the Messages API that several modules of this dialect share.

Source: anthropic SDK 2.11 types and platform.claude.com/docs/en/api/messages (read 2026-11).
"""

from collections.abc import Mapping
from typing import cast

from execution_platform import _json
from execution_platform.spi.response import FinishReason

NAME = "anthropic"

RESULT = "_tool_result"
"""Ending of the block types that hold the result of a provider-run tool."""

TOOLSET = "mcp_toolset"
UNPARSED = "_unparsed_arguments"
"""The member under which arguments travel that are not a JSON object; the wire takes objects only."""

NEXT, PREVIOUS, ALONE = "ep:next", "ep:previous", "ep:text"
"""Item ids inside an envelope that say whose signature a `redacted_thinking` block carries.

This wire has a signature on thinking only. A token that another provider put on text or on a call travels
in a block of its own beside that part: before it, after it, or instead of it when it is empty text.
"""

FINISH: Mapping[str, FinishReason] = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP_SEQUENCE,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.CONTEXT_WINDOW,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.REFUSAL,
    "pause_turn": FinishReason.PAUSE,
    "compaction": FinishReason.COMPACTION,
}

STOP_REASON: Mapping[FinishReason, str] = {
    **{reason: word for word, reason in FINISH.items()},
    FinishReason.CONTENT_FILTER: "refusal",
}


def input_object(arguments: str) -> object:
    """A call's arguments as this wire wants them: an object, whatever the model wrote."""
    if not arguments.strip():
        return {}
    try:
        value = _json.loads(arguments)
    except ValueError:
        return {UNPARSED: arguments}
    return cast("object", value) if isinstance(value, dict) else {UNPARSED: arguments}


def arguments_text(value: Mapping[str, object]) -> str:
    """An `input` object as JSON text; what `input_object` wrapped comes out as it was."""
    inner = value.get(UNPARSED) if len(value) == 1 else None
    if isinstance(inner, str) and input_object(inner) == value:
        return inner
    return _json.dumps(value).decode()


def chat_path(model: str, *, stream: bool) -> str:
    """Path below the provider's base URL; model and streaming stand in the body."""
    del model, stream
    return "/v1/messages"
