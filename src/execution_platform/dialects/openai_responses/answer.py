"""Parts of an answer as output items, and the object around them; whole answers and streams write the same."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from execution_platform.dialects.base import Downstream
from execution_platform.dialects.losses import foreign_extra
from execution_platform.dialects.openai_responses.content import encode_annotation
from execution_platform.dialects.openai_responses.items import known_extra
from execution_platform.dialects.openai_responses.tools import wire_name
from execution_platform.dialects.openai_responses.usage import encode_usage
from execution_platform.dialects.openai_responses.wire import NAME, sealed
from execution_platform.dialects.take import Object, merged, put
from execution_platform.spi.loss import Loss, Severity
from execution_platform.spi.parts import (
    CompactionPart,
    Inline,
    MediaPart,
    OpaquePart,
    Origin,
    Part,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from execution_platform.spi.response import Finish, FinishReason
from execution_platform.spi.usage import Usage

_INCOMPLETE = {
    FinishReason.LENGTH: "max_output_tokens",
    FinishReason.CONTEXT_WINDOW: "max_output_tokens",
    FinishReason.CONTENT_FILTER: "content_filter",
    FinishReason.REFUSAL: "content_filter",
}
_UNSAID = frozenset({FinishReason.PAUSE, FinishReason.COMPACTION, FinishReason.UNKNOWN})


@dataclass(slots=True)
class Answer:
    """One answer that is being written: for whom, where it comes from, and what was lost."""

    downstream: Downstream
    origin: Origin | None = None
    given_id: str | None = None
    losses: list[Loss] = field(default_factory=list[Loss])

    @property
    def same(self) -> bool:
        """The answer came in this very dialect."""
        return self.origin is not None and self.origin.dialect == NAME

    @property
    def id(self) -> str:
        """The upstream's id where it suits the dialect, else the gateway's."""
        if self.given_id and (self.same or self.given_id.startswith("resp_")):
            return self.given_id
        return f"resp_{self.downstream.id.removeprefix('req_')}"

    def item_id(self, prefix: str, part: Part, number: int) -> str:
        """The id of an item: its own, or one that follows from the answer's id and its place."""
        if self.same and part.id:
            return part.id
        return f"{prefix}_{self.id.removeprefix('resp_')}_{number}"

    def lose(self, path: str, what: str, severity: Severity = "knob") -> None:
        """Record a loss."""
        self.losses.append(Loss(path, what, severity))

    def leftovers(self, part: Part, path: str) -> Object:
        """What goes back into the part's own object; a loss where it came from elsewhere."""
        if self.same:
            return known_extra(part)
        self.losses += foreign_extra(known_extra(part), None, NAME, path=path)
        return {}


def text_content(part: TextPart, answer: Answer, path: str) -> Object:
    """A text as an element of a message's content."""
    if part.signature is not None and not answer.same:
        answer.lose(f"{path}.signature", "no slot for a signature on text", "opaque")
    if part.refusal:
        return merged({"type": "refusal", "refusal": part.text}, answer.leftovers(part, path))
    wire: Object = {
        "type": "output_text",
        "annotations": [encode_annotation(each, len(part.text)) for each in part.citations],
        "logprobs": part.logprobs or [],
        "text": part.text,
    }
    return merged(wire, answer.leftovers(part, path))


def message_item(first: TextPart, content: Sequence[Object], answer: Answer, number: int, status: str) -> Object:
    """A message of the model."""
    wire: Object = {
        "id": answer.item_id("msg", first, number),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": list(content),
    }
    put(wire, phase=first.phase if answer.same else None)
    return merged(wire, cast("Object", first.extra.get("item") or {})) if answer.same else wire


def reasoning_item(part: ThinkingPart, answer: Answer, number: int, path: str) -> Object:
    """A thought: its summaries, its text, and the token that carries it, in an envelope where another API issued it."""
    wire: Object = {
        "id": answer.item_id("rs", part, number),
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": text} for text in part.summary],
    }
    if part.text:
        wire["content"] = [{"type": "reasoning_text", "text": part.text}]
    if part.signature is not None:
        wire["encrypted_content"] = sealed(part.signature, part.id)
    return merged(wire, answer.leftovers(part, path))


def call_item(part: ToolCallPart, answer: Answer, number: int, path: str, *, status: str = "completed") -> Object:
    """A call of a function or of a free-text tool."""
    custom = part.kind == "custom"
    wire: Object = {
        "id": answer.item_id("ctc" if custom else "fc", part, number),
        "type": "custom_tool_call" if custom else "function_call",
        "status": status,
        "call_id": part.call_id,
        **wire_name(part.name),
        "input" if custom else "arguments": part.arguments,
    }
    if part.signature is not None and not answer.same:
        answer.lose(f"{path}.signature", "no slot for a signature on a call", "opaque")
    put(wire, caller=part.caller)
    return merged(wire, answer.leftovers(part, path))


def other_item(part: Part, answer: Answer, number: int, path: str) -> Object | None:
    """An item of another kind; None for what the wire has no form for, which is a loss."""
    match part:
        case OpaquePart() if part.dialect == NAME:
            return dict(part.raw)
        case CompactionPart() if part.signature is not None:
            wire: Object = {"id": answer.item_id("cmp", part, number), "type": "compaction"}
            wire["encrypted_content"] = sealed(part.signature, part.id)
            return merged(wire, answer.leftovers(part, path))
        case MediaPart() if part.kind == "image" and isinstance(part.source, Inline):
            item_id = answer.item_id("ig", part, number)
            return {"id": item_id, "type": "image_generation_call", "status": "completed", "result": part.source.data}
        case ToolCallPart() if part.kind in ("function", "custom"):
            return call_item(part, answer, number, path)
        case _:
            answer.lose(path, "a part that responses have no form for", "content")
            return None


def whole_item(part: Part, answer: Answer, number: int, path: str) -> Object | None:
    """Any part that is no text as one item."""
    if isinstance(part, ThinkingPart):
        return reasoning_item(part, answer, number, path)
    return other_item(part, answer, number, path)


def ending(finish: Finish, answer: Answer) -> Object:
    """The members `status`, `error` and `incomplete_details`."""
    if answer.same and finish.details is not None:
        return dict(finish.details)
    reason = finish.reason
    if reason in _INCOMPLETE:
        return {"status": "incomplete", "error": None, "incomplete_details": {"reason": _INCOMPLETE[reason]}}
    if reason is FinishReason.ERROR:
        error = {"code": "server_error", "message": "The model's answer broke off."}
        return {"status": "failed", "error": error, "incomplete_details": None}
    if reason in _UNSAID:
        answer.lose("finish_reason", f"{reason} has no word here")
    return {"status": "completed", "error": None, "incomplete_details": None}


def envelope_of(answer: Answer, *, model: str | None, created: int | None, tier: str | None) -> Object:
    """The object around the items, with what the API always says about settings it was not told."""
    wire: Object = {
        "id": answer.id,
        "object": "response",
        "created_at": created if created is not None else answer.downstream.created,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": model or answer.downstream.model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": False,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
    }
    put(wire, service_tier=tier)
    return wire


def usage_member(usage: Usage | None, answer: Answer) -> Object | None:
    """The member `usage`."""
    return None if usage is None else encode_usage(usage, same=answer.same)
