"""Anthropic Messages, as the vendor writes it: one message, or the event set from `message_start` to `message_stop`.

Source: platform.claude.com "Messages" and "Streaming messages" and the types of anthropic-sdk-python 2.11 (November 2026).
What a stream keeps to: one open block at a time; a ping after the first block has opened; thinking ends with its
`signature_delta`; a tool's input starts as `{}` and arrives as JSON text; usage in `message_start` and, cumulative, in
`message_delta`. Cached tokens are told beside `input_tokens`, not inside.
"""

from collections.abc import Iterator

from execution_platform import _json
from execution_platform.testing.frames import (
    Answer,
    Count,
    Frame,
    Told,
    WireRequest,
    arguments_object,
    arguments_text,
    count_usage,
    part_tokens,
    scale,
    sse,
    weighted,
)
from execution_platform.testing.script import Call, Citation, Native, Part, Refusal, Script, Text, Thinking

_FINISH = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "context_window": "model_context_window_exceeded",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
}


def answer_chat(request: WireRequest, script: Script) -> Answer:
    """Write a script as a message, streamed or not as the request asks."""
    parts = [p for p in script.parts() if not isinstance(p, Native) or p.dialect == "anthropic"]
    usage = count_usage(script, parts, request.body)
    headers = response_headers(request)
    if request.stream:
        frames = scale(list(_events(request, script, parts, usage)), usage.output)
        return Answer(200, "text/event-stream; charset=utf-8", frames, chunked=True, headers=headers)
    body = _message(request, script, [_block(request, p, i) for i, p in enumerate(_shown(parts))])
    body |= {"stop_reason": _finish(script), "stop_sequence": script.stop_sequence or None}
    body["stop_details"] = _stop_details(script, parts)
    if usage.is_told:
        body["usage"] = _opening_usage(usage, usage.input, usage.output) | _thinking_usage(usage)
    return Answer(200, "application/json", [Frame(_json.dumps(body), usage.output, usage.told())], headers=headers)


def response_headers(request: WireRequest) -> dict[str, str]:
    """The headers every answer of the vendor carries."""
    return {
        "request-id": f"req_fake{request.index:06d}",
        "anthropic-organization-id": "00000000-0000-4000-8000-000000000000",
        "anthropic-ratelimit-requests-limit": "4000",
        "anthropic-ratelimit-requests-remaining": "3999",
        "anthropic-ratelimit-requests-reset": "2026-12-01T00:00:00Z",
        "anthropic-ratelimit-tokens-limit": "400000",
        "anthropic-ratelimit-tokens-remaining": "399000",
        "anthropic-ratelimit-tokens-reset": "2026-12-01T00:00:00Z",
    }


def _finish(script: Script) -> str:
    reason = script.finish_reason()
    return _FINISH[reason] if script.is_canonical_finish() else reason


def _stop_details(script: Script, parts: list[Part]) -> dict[str, object] | None:
    if _finish(script) != "refusal":
        return None
    text = "".join(part.text for part in parts if isinstance(part, Refusal))
    return {"type": "refusal", "category": "general_harms" if text else None, "explanation": text or None}


def _shown(parts: list[Part]) -> list[Part]:
    return [part for part in parts if not isinstance(part, Refusal)]


def _message(request: WireRequest, script: Script, content: list[dict[str, object]]) -> dict[str, object]:
    return {
        "id": script.id or f"msg_fake{request.index:06d}",
        "type": "message",
        "role": "assistant",
        "model": script.model or request.model,
        "content": content,
        "stop_reason": None,
        "stop_sequence": None,
    }


def _opening_usage(usage: Count, total_input: int, output: int) -> dict[str, object]:
    return {
        "input_tokens": max(0, total_input - usage.cached - usage.cache_write),
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": usage.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    }


def _thinking_usage(usage: Count) -> dict[str, object]:
    return {"output_tokens_details": {"thinking_tokens": usage.reasoning}} if usage.reasoning else {}


def _closing_usage(usage: Count) -> dict[str, object]:
    return {
        "input_tokens": max(0, usage.input - usage.cached - usage.cache_write),
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
    } | _thinking_usage(usage)


def _citation(citation: Citation) -> dict[str, object]:
    if citation.url:
        return {
            "type": "web_search_result_location",
            "cited_text": citation.cited_text,
            "url": citation.url,
            "title": citation.title or None,
            "encrypted_index": "ZmFrZQ==",
        }
    return {
        "type": "char_location",
        "cited_text": citation.cited_text,
        "document_index": citation.document_index,
        "document_title": citation.title or None,
        "start_char_index": citation.start,
        "end_char_index": citation.end,
        "file_id": None,
    }


def _tool_use(request: WireRequest, call: Call, index: int, arguments: dict[str, object]) -> dict[str, object]:
    return {
        "type": "tool_use",
        "id": call.id or f"toolu_fake{request.index:06d}x{index}",
        "name": call.name,
        "input": arguments,
        "caller": {"type": "direct"},
    }


def _block(request: WireRequest, part: Part, index: int) -> dict[str, object]:
    """A complete content block."""
    match part:
        case Text():
            cited = [_citation(citation) for citation in part.citations]
            return {"type": "text", "text": part.text, "citations": cited or None}
        case Thinking() if part.redacted:
            return {"type": "redacted_thinking", "data": part.signature}
        case Thinking():
            return {"type": "thinking", "thinking": part.text, "signature": part.signature}
        case Call():
            return _tool_use(request, part, index, arguments_object(part))
        case Native():
            return dict(part.payload)
        case Refusal():
            return {"type": "text", "text": part.text, "citations": None}


def _opened(request: WireRequest, part: Part, index: int) -> dict[str, object]:
    """A content block as it is opened in a stream."""
    match part:
        case Text() if part.citations:
            return {"type": "text", "text": "", "citations": []}
        case Text():
            return {"type": "text", "text": ""}
        case Thinking() if not part.redacted:
            return {"type": "thinking", "thinking": "", "signature": ""}
        case Call():
            return _tool_use(request, part, index, {})
        case _:
            return _block(request, part, index)


def _deltas(part: Part) -> Iterator[tuple[dict[str, object], int]]:
    match part:
        case Text():
            for piece, tokens in weighted(part.text, part.chunks):
                yield {"type": "text_delta", "text": piece}, tokens
            for citation in part.citations:
                yield {"type": "citations_delta", "citation": _citation(citation)}, 0
        case Thinking() if not part.redacted:
            for piece, tokens in weighted(part.text, part.chunks):
                yield {"type": "thinking_delta", "thinking": piece}, tokens
            yield {"type": "signature_delta", "signature": part.signature}, 0
        case Call():
            yield {"type": "input_json_delta", "partial_json": ""}, 0
            for piece, tokens in weighted(arguments_text(part), part.chunks):
                yield {"type": "input_json_delta", "partial_json": piece}, tokens
        case _:
            return


def _event(name: str, **members: object) -> bytes:
    return sse({"type": name, **members}, name)


def _opening(request: WireRequest, script: Script, usage: Count) -> Frame:
    given = script.usage
    start = usage.input if given.opening_input is None else given.opening_input
    output = min(1, usage.output) if given.opening_output is None else given.opening_output
    message = _message(request, script, [])
    message["stop_details"] = None
    if not usage.is_told:
        return Frame(_event("message_start", message=message))
    message["usage"] = _opening_usage(usage, start, output)
    told = Told(input=start, output=output, cached=usage.cached, cache_write=usage.cache_write)
    return Frame(_event("message_start", message=message), told=told)


def _events(request: WireRequest, script: Script, parts: list[Part], usage: Count) -> Iterator[Frame]:
    yield _opening(request, script, usage)
    for index, part in enumerate(_shown(parts)):
        at_start = 0 if isinstance(part, Text | Thinking) and not _is_redacted(part) else 1
        cost = part_tokens(part) if _is_redacted(part) else at_start
        yield Frame(_event("content_block_start", index=index, content_block=_opened(request, part, index)), cost)
        if index == 0:
            yield Frame(_event("ping"))
        for delta, tokens in _deltas(part):
            yield Frame(_event("content_block_delta", index=index, delta=delta), tokens)
        yield Frame(_event("content_block_stop", index=index))
    details = _stop_details(script, parts)
    delta = {"stop_reason": _finish(script), "stop_sequence": script.stop_sequence or None, "stop_details": details}
    refused = sum(part_tokens(part) for part in parts if isinstance(part, Refusal))
    members: dict[str, object] = {"delta": delta}
    if usage.is_told:
        members["usage"] = _closing_usage(usage)
    yield Frame(_event("message_delta", **members), refused, usage.told())
    yield Frame(_event("message_stop"), terminator=True)


def _is_redacted(part: Part) -> bool:
    return isinstance(part, Thinking) and part.redacted
