"""OpenAI Responses, as the vendor writes it: one response object, or numbered events of which the last repeats the whole.

Source: platform.openai.com API reference "Responses" and the types of openai-python 3.52 (November 2026). Thoughts are a reasoning
item whose text stays hidden: its summary, and its token where the request includes `reasoning.encrypted_content`.
"""

from collections.abc import Iterator
from typing import cast

from execution_platform import _json
from execution_platform.testing.frames import (
    Answer,
    Count,
    Frame,
    WireRequest,
    arguments_text,
    count_usage,
    scale,
    weighted,
    words,
)
from execution_platform.testing.script import Call, Part, Refusal, Script, Text, Thinking

_CREATED = 1_764_547_200
_INCOMPLETE = {"length": "max_output_tokens", "context_window": "max_output_tokens", "content_filter": "content_filter"}
_Item = dict[str, object]


def answer_response(request: WireRequest, script: Script) -> Answer:
    """Write a script as a response, streamed or not as the request asks."""
    parts: list[Part] = [part for part in script.parts() if isinstance(part, Text | Refusal | Thinking | Call)]
    usage = count_usage(script, parts, request.body)
    headers = {"x-request-id": f"req_fake{request.index:06d}", "openai-version": "2020-10-01"}
    whole = _whole(request, script, parts, usage)
    if not request.stream:
        frame = Frame(_json.dumps(whole), usage.output, usage.told())
        return Answer(200, "application/json", [frame], headers=headers)
    frames = scale(list(_events(request, parts, whole, usage)), usage.output)
    return Answer(200, "text/event-stream; charset=utf-8", frames, chunked=True, headers=headers)


def _item(request: WireRequest, part: Part, number: int) -> _Item:
    tail = f"fake{request.index:06d}x{number}"
    match part:
        case Thinking():
            item: _Item = {"id": f"rs_{tail}", "type": "reasoning", "summary": [_summary(part.text)]}
            includes = request.body.get("include")
            if isinstance(includes, list) and "reasoning.encrypted_content" in cast("list[object]", includes):
                item["encrypted_content"] = part.signature
            return item
        case Call():
            return {
                "id": f"fc_{tail}",
                "type": "function_call",
                "status": "completed",
                "call_id": part.id or f"call_{tail}",
                "name": part.name,
                "arguments": arguments_text(part),
            }
        case _:
            return {
                "id": f"msg_{tail}",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [_content(part)],
            }


def _summary(text: str) -> _Item:
    return {"type": "summary_text", "text": text}


def _content(part: Part) -> _Item:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    text = part.text if isinstance(part, Text) else ""
    return {"type": "output_text", "annotations": list[object](), "logprobs": list[object](), "text": text}


def _whole(request: WireRequest, script: Script, parts: list[Part], usage: Count) -> _Item:
    reason = _INCOMPLETE.get(script.finish_reason())
    body: _Item = {
        "id": script.id or f"resp_fake{request.index:06d}",
        "object": "response",
        "created_at": _CREATED,
        "status": "incomplete" if reason else "completed",
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": request.body.get("instructions"),
        "metadata": {},
        "model": script.model or request.model,
        "output": [_item(request, part, number) for number, part in enumerate(parts)],
        "parallel_tool_calls": True,
        "service_tier": "default",
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": request.body.get("tools") or [],
        "top_p": 1.0,
        "previous_response_id": request.body.get("previous_response_id"),
        "store": request.body.get("store") is not False,
    }
    if usage.is_told:
        body["usage"] = {
            "input_tokens": usage.input,
            "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
            "output_tokens": usage.output,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": usage.input + usage.output,
        }
    return body


def _events(request: WireRequest, parts: list[Part], whole: _Item, usage: Count) -> Iterator[Frame]:
    """The events, numbered as they leave."""
    bare = {**whole, "status": "in_progress", "output": list[object](), "usage": None, "incomplete_details": None}
    found: list[tuple[str, _Item, int]] = [
        ("response.created", {"response": bare}, 0),
        ("response.in_progress", {"response": bare}, 0),
    ]
    for number, part in enumerate(parts):
        found += _item_events(part, _item(request, part, number), number)
    for sequence, (kind, members, tokens) in enumerate(found):
        yield Frame(_frame(kind, sequence, members), tokens)
    last = "response.incomplete" if whole["status"] == "incomplete" else "response.completed"
    yield Frame(_frame(last, len(found), {"response": whole}), told=usage.told(), terminator=True)


def _frame(kind: str, sequence: int, members: _Item) -> bytes:
    data = _json.dumps({"type": kind, "sequence_number": sequence, **members})
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"


def _item_events(part: Part, item: _Item, number: int) -> Iterator[tuple[str, _Item, int]]:
    where: _Item = {"item_id": item["id"], "output_index": number}
    empty = (
        {"content": list[object]()}
        if item["type"] == "message"
        else {"arguments": ""}
        if isinstance(part, Call)
        else {"summary": list[object]()}
    )
    yield "response.output_item.added", {"output_index": number, "item": {**item, **empty}}, 0
    match part:
        case Thinking():
            place = {**where, "summary_index": 0}
            yield "response.reasoning_summary_part.added", {**place, "part": _summary("")}, 0
            for piece, tokens in weighted(part.text, part.chunks):
                yield "response.reasoning_summary_text.delta", {**place, "delta": piece}, tokens
            yield "response.reasoning_summary_text.done", {**place, "text": part.text}, 0
            yield "response.reasoning_summary_part.done", {**place, "part": _summary(part.text)}, 0
        case Call():
            for piece, tokens in weighted(arguments_text(part), part.chunks):
                yield "response.function_call_arguments.delta", {**where, "delta": piece}, tokens
            done = {**where, "name": part.name, "arguments": item["arguments"]}
            yield "response.function_call_arguments.done", done, words(part.name)
        case _:
            yield from _text_events(part, {**where, "content_index": 0})
    yield "response.output_item.done", {"output_index": number, "item": item}, 0


def _text_events(part: Part, where: _Item) -> Iterator[tuple[str, _Item, int]]:
    refusal, said = isinstance(part, Refusal), _content(part)
    kind, member = ("refusal", "refusal") if refusal else ("output_text", "text")
    logprobs: _Item = {} if refusal else {"logprobs": list[object]()}
    yield "response.content_part.added", {**where, "part": {**said, member: ""}}, 0
    for piece, tokens in weighted(str(said[member]), part.chunks if isinstance(part, Text) else 0):
        yield f"response.{kind}.delta", {**where, "delta": piece, **logprobs}, tokens
    yield f"response.{kind}.done", {**where, member: said[member], **logprobs}, 0
    yield "response.content_part.done", {**where, "part": said}, 0
