"""Why an answer ended, both ways.

Source: ai.google.dev API reference, Candidate.FinishReason and PromptFeedback.BlockReason, and
`google.genai.types.FinishReason` 3.4 (2026-11).
"""

from collections.abc import Mapping
from typing import Final

from execution_platform.dialects.gemini.wire import member
from execution_platform.dialects.take import Object
from execution_platform.spi.response import Finish, FinishReason

_REASONS: Final[Mapping[str, FinishReason]] = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    "SAFETY": FinishReason.CONTENT_FILTER,
    "RECITATION": FinishReason.CONTENT_FILTER,
    "BLOCKLIST": FinishReason.CONTENT_FILTER,
    "PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "SPII": FinishReason.CONTENT_FILTER,
    "MODEL_ARMOR": FinishReason.CONTENT_FILTER,
    "IMAGE_SAFETY": FinishReason.CONTENT_FILTER,
    "IMAGE_PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "IMAGE_RECITATION": FinishReason.CONTENT_FILTER,
    "LANGUAGE": FinishReason.ERROR,
    "MALFORMED_FUNCTION_CALL": FinishReason.ERROR,
    "UNEXPECTED_TOOL_CALL": FinishReason.ERROR,
    "TOO_MANY_TOOL_CALLS": FinishReason.ERROR,
    "MISSING_THOUGHT_SIGNATURE": FinishReason.ERROR,
    "MALFORMED_RESPONSE": FinishReason.ERROR,
    "NO_IMAGE": FinishReason.ERROR,
    "IMAGE_OTHER": FinishReason.ERROR,
    "CONTINUATION": FinishReason.PAUSE,
}
_WORDS: Final[Mapping[FinishReason, str]] = {
    FinishReason.STOP: "STOP",
    FinishReason.STOP_SEQUENCE: "STOP",
    FinishReason.TOOL_CALLS: "STOP",
    FinishReason.LENGTH: "MAX_TOKENS",
    FinishReason.CONTEXT_WINDOW: "MAX_TOKENS",
    FinishReason.CONTENT_FILTER: "SAFETY",
    FinishReason.REFUSAL: "SAFETY",
}
"""All others are OTHER: the wire's words for them promise things this answer cannot keep."""


def decode_finish(word: str | None, *, called: bool, message: object = None) -> Finish:
    """A candidate's `finishReason`; STOP after a function call means that the call waits for its result."""
    reason = FinishReason.UNKNOWN if word is None else _REASONS.get(word, FinishReason.UNKNOWN)
    if called and (reason is FinishReason.STOP or word in (None, "FINISH_REASON_UNSPECIFIED")):
        reason = FinishReason.TOOL_CALLS
    return Finish(reason, word, details={"finishMessage": message} if isinstance(message, str) else None)


def blocked(feedback: Mapping[str, object]) -> Finish | None:
    """The end of an answer that never began because its prompt was blocked."""
    word = feedback.get("blockReason")
    if not isinstance(word, str):
        return None
    return Finish(FinishReason.CONTENT_FILTER, word, details={"promptFeedback": dict(feedback)})


def encode_finish(finish: Finish, *, same: bool) -> Object:
    """The candidate's members that say why it ended."""
    wire: Object = {}
    if not same:
        wire["finishReason"] = _WORDS.get(finish.reason, "OTHER")
    elif finish.raw is not None:
        wire["finishReason"] = finish.raw
    message = (finish.details or {}).get("finishMessage")
    if isinstance(message, str):
        wire["finishMessage"] = message
    return wire


def feedback_of(finish: Finish) -> Object:
    """The `promptFeedback` of a blocked prompt; empty for any other end."""
    return member(finish.details or {}, "promptFeedback")
