"""Parts of an answer → blocks for a caller of this dialect.

Tokens of this API go out as they are; tokens of other providers are sealed into the nearest slot, which is the
signature of thinking or, for text and calls, a `redacted_thinking` block beside them (see `wire`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from execution_platform.dialects import envelope
from execution_platform.dialects.anthropic.blocks import is_native_citation, is_provider_run
from execution_platform.dialects.anthropic.signed_text import DROPPED, is_mark, mark
from execution_platform.dialects.anthropic.wire import (
    ALONE,
    FINISH,
    NAME,
    NEXT,
    PREVIOUS,
    RESULT,
    STOP_REASON,
    input_object,
)
from execution_platform.dialects.take import Object, merged, put
from execution_platform.spi.loss import Loss, Severity
from execution_platform.spi.parts import (
    Citation,
    CompactionPart,
    MediaPart,
    OpaquePart,
    Origin,
    Part,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from execution_platform.spi.response import Finish, FinishReason


@dataclass(slots=True)
class Answer:
    """Where an answer that is being encoded came from, and what did not fit so far."""

    origin: Origin | None
    losses: list[Loss] = field(default_factory=list[Loss])

    @property
    def native(self) -> bool:
        """The answer is one of this API's own."""
        return self.origin is not None and self.origin.dialect == NAME

    def lose(self, path: str, what: str, severity: Severity) -> None:
        """Record a loss."""
        self.losses.append(Loss(path, what, severity))

    def finish(self, block: Object, part: Part) -> Object:
        """Add the leftovers of this dialect."""
        return merged(block, part.extra) if self.native and part.extra else block


def token(signature: Signature, item_id: str | None) -> str:
    """A signature as this caller carries it. What looks like an envelope already is sealed again."""
    if signature.origin.dialect == NAME and not signature.value.startswith(envelope.PREFIX):
        return signature.value
    return envelope.seal(signature, item_id)


def beside(signature: Signature, where: str) -> Object:
    """A block that carries the token of a part which has no slot for one."""
    return {"type": "redacted_thinking", "data": envelope.seal(signature, where)}


def encode_answer_part(part: Part, path: str, answer: Answer) -> list[Object]:
    """The blocks of one part; none, with a recorded loss, if this API has no form for it."""
    match part:
        case TextPart():
            return _text(part, path, answer)
        case ThinkingPart():
            return _thinking(part, path, answer)
        case ToolCallPart():
            block = call_head(part, path, answer)
            if block is None:
                return []
            block["input"] = {"input": part.arguments} if part.kind == "custom" else input_object(part.arguments)
            return [block] if part.signature is None else [beside(part.signature, NEXT), block]
        case ToolResultPart():
            return _result(part, path, answer)
        case CompactionPart():
            return _compaction(part, path, answer)
        case OpaquePart():
            if part.dialect == NAME:
                return [dict(part.raw)]
            answer.lose(path, f"a part of the dialect {part.dialect}", "content")
            return []
        case MediaPart():
            answer.lose(path, f"{part.kind} output", "content")
            return []


def _text(part: TextPart, path: str, answer: Answer) -> list[Object]:
    if not part.text and not answer.native:
        return [] if part.signature is None else [beside(part.signature, ALONE)]
    block: Object = {"type": "text", "text": part.text}
    citations = [wire for citation in part.citations if (wire := encode_citation(citation, path, answer)) is not None]
    if citations:
        block["citations"] = citations
    blocks = [answer.finish(block, part)]
    if part.signature is not None:
        blocks.append(beside(part.signature, PREVIOUS))
    return blocks


def encode_run(run: Sequence[Part], number: int, answer: Answer) -> list[Object]:
    """The blocks of parts that share one, the first of which is part `number` of the answer."""
    texts = [part for part in run if isinstance(part, TextPart)]
    if len(texts) < 2 or answer.native:
        return [
            block for at, part in enumerate(run, number) for block in encode_answer_part(part, f"content[{at}]", answer)
        ]
    citations = tuple(citation for part in texts for citation in part.citations)
    whole = replace(texts[0], text="".join(part.text for part in texts), citations=citations, signature=None)
    blocks = _text(whole, f"content[{number}]", answer)
    for at, part in enumerate(texts):
        if part.signature is not None:
            blocks.append(beside(part.signature, mark(len(part.text), is_first=at == 0, is_last=False)))
    return blocks


def without_last_tokens(content: list[Object], answer: Answer) -> list[Object]:
    """`content` without tokens of texts at its end: callers take the last block for the answer."""
    kept = len(content)
    while kept and _is_token(content[kept - 1]):
        kept -= 1
    # Without a text in front, the tokens are all there is.
    if kept in (0, len(content)) or content[kept - 1].get("type") != "text":
        return content
    answer.lose("content.signature", DROPPED, "opaque")
    return content[:kept]


def _is_token(block: Object) -> bool:
    data = block.get("data") if block.get("type") == "redacted_thinking" else None
    opened = envelope.unseal(data) if isinstance(data, str) else None
    return opened is not None and (opened.item_id == ALONE or is_mark(opened.item_id))


def encode_citation(citation: Citation, path: str, answer: Answer) -> Object | None:
    """A citation as the wire has it. Pages another provider found look like search results without an index."""
    if citation.raw is not None and (answer.native or is_native_citation(citation)):
        return dict(citation.raw)
    if citation.url is None:
        answer.lose(f"{path}.citations", f"a citation of kind {citation.kind}", "knob")
        return None
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title,
        "cited_text": citation.cited_text or "",
        "encrypted_index": "",
    }


def thinking_token(part: ThinkingPart, answer: Answer) -> str:
    """The signature member of a thinking block.

    Thinking that its provider does not sign is sealed without a value, so that it is never taken for this API's own.
    """
    if part.signature is not None:
        return token(part.signature, part.id)
    if answer.native:
        return ""
    return envelope.seal(Signature("", answer.origin or Origin(dialect="unknown"), "none"), part.id)


def _thinking(part: ThinkingPart, path: str, answer: Answer) -> list[Object]:
    if part.redacted:
        if part.signature is None:
            answer.lose(path, "hidden thinking without its payload", "opaque")
            return []
        return [answer.finish({"type": "redacted_thinking", "data": token(part.signature, part.id)}, part)]
    text = part.text or "\n\n".join(part.summary)
    block: Object = {"type": "thinking", "thinking": text, "signature": thinking_token(part, answer)}
    return [answer.finish(block, part)]


def call_head(part: ToolCallPart, path: str, answer: Answer) -> Object | None:
    """A call's block without its input; None, with a recorded loss, for calls another provider ran itself."""
    word = "tool_use"
    if part.kind in ("server", "mcp"):
        if not (answer.native or is_provider_run(part)):
            answer.lose(path, f"the call of {part.name!r}, which the provider ran itself", "content")
            return None
        word = f"{part.kind}_tool_use"
    block: Object = {"type": word, "id": part.call_id, "name": part.name, "input": {}}
    if part.kind == "mcp":
        block["server_name"] = part.namespace or ""
    if answer.native:
        put(block, caller=part.caller)
    return answer.finish(block, part)


def _result(part: ToolResultPart, path: str, answer: Answer) -> list[Object]:
    if part.kind not in ("server", "mcp") or not (answer.native or is_provider_run(part)):
        answer.lose(path, "the result of a tool the provider ran itself", "content")
        return []
    block: Object = {"tool_use_id": part.call_id}
    if part.kind == "server":
        block = {"type": f"{part.name}{RESULT}", **block}
        put(block, content=part.raw)
    else:
        texts = [item.text for item in part.parts if isinstance(item, TextPart)]
        content = "".join(texts) if part.form == "string" else [{"type": "text", "text": text} for text in texts]
        block = {"type": "mcp_tool_result", **block, "content": content, "is_error": bool(part.is_error)}
    return [answer.finish(block, part)]


def _compaction(part: CompactionPart, path: str, answer: Answer) -> list[Object]:
    signature = part.signature
    if not answer.native:
        answer.lose(path, "a summary in the form of another provider", "opaque")
        return [{"type": "text", "text": part.text}] if part.text else []
    block: Object = {"type": "compaction", "content": part.text if part.text or part.form == "string" else None}
    if signature is not None:
        block["encrypted_content" if signature.kind == "encrypted" else "signature"] = signature.value
    return [answer.finish(block, part)]


def stop_members(finish: Finish, answer: Answer, *, calls: bool) -> Object:
    """`stop_reason`, `stop_sequence` and, where there are any of this API, `stop_details`."""
    members: Object = {"stop_reason": _stop_reason(finish, answer, calls=calls), "stop_sequence": finish.stop_sequence}
    details = finish.details
    if details is not None:
        if answer.native or details.get("type") == "refusal":
            members["stop_details"] = details
        else:
            answer.lose("finish.details", "why another provider stopped, in its own words", "knob")
    return members


def _stop_reason(finish: Finish, answer: Answer, *, calls: bool) -> str:
    raw, reason = finish.raw, finish.reason
    if raw is not None and (FINISH.get(raw) is reason or (answer.native and raw not in FINISH)):
        return raw
    if calls and reason in (FinishReason.STOP, FinishReason.TOOL_CALLS, FinishReason.UNKNOWN):
        return "tool_use"
    if reason is FinishReason.TOOL_CALLS:
        return "end_turn"
    if reason is FinishReason.ERROR:
        answer.lose("finish.reason", "the provider stopped with an error", "content")
    return STOP_REASON.get(reason, "end_turn")


def is_call(part: Part) -> bool:
    """Whether the caller is asked to run something."""
    return isinstance(part, ToolCallPart) and part.kind in ("function", "custom")


def extra_members(extra: Mapping[str, object], answer: Answer) -> Object:
    """Leftovers of an answer of this API."""
    return dict(extra) if answer.native else {}
