"""OpenAI Chat Completions, as the vendor writes it: one JSON object, or server-sent chunks and `[DONE]`.

Source: platform.openai.com API reference "Chat completions" and the types of openai-python 3.52 (November 2026); Azure:
learn.microsoft.com "Azure OpenAI REST API reference", data plane, same date. What a stream keeps to: the role comes in
the first delta, the finish reason in an empty delta, usage in one more chunk with no choices and only if asked for
(all other chunks then carry `"usage": null`).
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
    part_tokens,
    pieces,
    scale,
    sse,
    weighted,
    words,
)
from execution_platform.testing.script import Call, Citation, Native, Part, Refusal, Script, Text, Thinking

CREATED = 1_764_547_200
_FINISH = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "context_window": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "stop",
    "pause": "stop",
}
_AZURE_FILTERS = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}


def answer_chat(request: WireRequest, script: Script) -> Answer:
    """Write a script as a chat completion, streamed or not as the request asks."""
    parts = _own_parts(script)
    usage = count_usage(script, parts, request.body)
    choices = request.body.get("n")
    count = choices if isinstance(choices, int) and choices > 1 else 1
    if count > 1 and script.usage.output is None:
        usage.output *= count
    if request.stream:
        frames = scale(list(_chunks(request, script, parts, usage, count)), usage.output)
        return Answer(200, "text/event-stream; charset=utf-8", frames, chunked=True, headers=_headers(request))
    body = _completion(request, script, parts, usage, count)
    frame = Frame(_json.dumps(body), usage.output, usage.told())
    return Answer(200, "application/json", [frame], headers=_headers(request))


def _headers(request: WireRequest) -> dict[str, str]:
    headers = {"x-request-id": f"req_fake{request.index:06d}"}
    if request.variant == "azure":
        return headers | {"x-ms-region": "Fake Region", "apim-request-id": f"apim-fake{request.index:06d}"}
    return headers | {
        "openai-version": "2020-10-01",
        "openai-processing-ms": "1",
        "openai-organization": "org-fake",
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-reset-requests": "6ms",
        "x-ratelimit-limit-tokens": "2000000",
        "x-ratelimit-remaining-tokens": "1999000",
        "x-ratelimit-reset-tokens": "30ms",
    }


def _own_parts(script: Script) -> list[Part]:
    return [part for part in script.parts() if not isinstance(part, Native) or part.dialect == "openai_chat"]


def _finish(script: Script) -> str:
    reason = script.finish_reason()
    return _FINISH[reason] if script.is_canonical_finish() else reason


def _usage(usage: Count) -> dict[str, object]:
    prompt: dict[str, object] = {"cached_tokens": usage.cached, "audio_tokens": 0}
    if usage.cache_write:
        prompt["cache_write_tokens"] = usage.cache_write
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _envelope(request: WireRequest, script: Script, kind: str) -> dict[str, object]:
    return {
        "id": script.id or f"chatcmpl-fake{request.index:06d}",
        "object": kind,
        "created": CREATED,
        "model": script.model or request.model,
        "service_tier": "default",
        "system_fingerprint": "fp_fake000001",
    }


def call_id(request: WireRequest, call: Call, position: int) -> str:
    """The id of a call: as scripted, else in the vendor's form."""
    return call.id or f"call_fake{request.index:06d}x{position}"


def _annotation(citation: Citation) -> dict[str, object]:
    where = {
        "url": citation.url,
        "title": citation.title,
        "start_index": citation.start,
        "end_index": citation.end,
    }
    return {"type": "url_citation", "url_citation": where}


def _logprob(piece: str) -> dict[str, object]:
    token: dict[str, object] = {"token": piece, "logprob": -0.25, "bytes": list(piece.encode())}
    return token | {"top_logprobs": [token]}


def _text_of(part: Part) -> str:
    if isinstance(part, Text):
        return part.text
    if isinstance(part, Thinking) and part.openai_field == "tags":
        return f"<think>{part.text}</think>"
    return ""


def _message(request: WireRequest, parts: list[Part]) -> dict[str, object]:
    content = "".join(_text_of(part) for part in parts)
    calls = [part for part in parts if isinstance(part, Call)]
    refusal = "".join(part.text for part in parts if isinstance(part, Refusal))
    empty = None if calls or refusal else ""
    message: dict[str, object] = {"role": "assistant", "content": content or empty, "refusal": refusal or None}
    message["annotations"] = [_annotation(c) for p in parts if isinstance(p, Text) for c in p.citations if c.url]
    for part in parts:
        if isinstance(part, Thinking) and part.openai_field not in {"", "tags"}:
            message[part.openai_field] = str(message.get(part.openai_field) or "") + part.text
        elif isinstance(part, Native):
            message.update(part.payload)
    if calls:
        message["tool_calls"] = [
            {
                "id": call_id(request, call, position),
                "type": "function",
                "function": {"name": call.name, "arguments": arguments_text(call)},
            }
            for position, call in enumerate(calls)
        ]
    return message


def _completion(request: WireRequest, script: Script, parts: list[Part], usage: Count, count: int) -> dict[str, object]:
    logged = [piece for p in parts if isinstance(p, Text) and p.logprobs for piece in pieces(p.text, p.chunks)]
    logprobs = {"content": [_logprob(piece) for piece in logged], "refusal": None} if logged else None
    message = _message(request, parts)
    choices: list[dict[str, object]] = [
        {"index": index, "message": message, "logprobs": logprobs, "finish_reason": _finish(script)}
        for index in range(count)
    ]
    body = _envelope(request, script, "chat.completion") | {"choices": choices}
    if request.variant == "azure":
        body["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": _AZURE_FILTERS}]
        for choice in choices:
            choice["content_filter_results"] = _AZURE_FILTERS
    if usage.is_told:
        body["usage"] = _usage(usage)
    return body


def _stream_options(request: WireRequest) -> dict[str, object]:
    options = request.body.get("stream_options")
    return cast("dict[str, object]", options) if isinstance(options, dict) else {}


def _chunks(request: WireRequest, script: Script, parts: list[Part], usage: Count, count: int) -> Iterator[Frame]:
    options = _stream_options(request)
    wants_usage = options.get("include_usage") is True
    base = _envelope(request, script, "chat.completion.chunk")
    extra: dict[str, object] = {"usage": None} if wants_usage else {}
    if options.get("include_obfuscation") is True:
        extra["obfuscation"] = "aZ09"
    if request.variant == "azure":
        first = [{"prompt_index": 0, "content_filter_results": _AZURE_FILTERS}]
        blank: dict[str, object] = {"id": "", "object": "", "created": 0, "model": "", "choices": list[object]()}
        yield Frame(sse(blank | {"prompt_filter_results": first}))

    def chunk(index: int, delta: dict[str, object], finish: str | None = None, logprobs: object = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return sse(base | {"choices": [choice]} | extra)

    hidden = sum(words(p.text) for p in parts if isinstance(p, Thinking) and not p.openai_field)
    opens_with_text = any(_text_of(part) for part in parts) or not parts
    for index in range(count):
        first_delta: dict[str, object] = {
            "role": "assistant",
            "content": "" if opens_with_text else None,
            "refusal": None,
        }
        yield Frame(chunk(index, first_delta), hidden)
        for delta, logprobs, tokens in _deltas(request, script, parts):
            yield Frame(chunk(index, delta, logprobs=logprobs), tokens)
        yield Frame(chunk(index, {}, _finish(script)))
    if wants_usage and usage.is_told:
        yield Frame(sse(base | {"choices": list[object]()} | extra | {"usage": _usage(usage)}), told=usage.told())
    yield Frame(b"data: [DONE]\n\n", terminator=True)


_Delta = tuple[dict[str, object], object, int]


def _deltas(request: WireRequest, script: Script, parts: list[Part]) -> Iterator[_Delta]:
    calls: list[list[_Delta]] = []
    for part in parts:
        if isinstance(part, Call):
            calls.append(list(_call_deltas(request, part, len(calls))))
            if not script.interleave_calls:
                yield from calls[-1]
        else:
            yield from _part_deltas(part)
    if script.interleave_calls:
        for turn in range(max(map(len, calls), default=0)):
            yield from (deltas[turn] for deltas in calls if turn < len(deltas))


def _part_deltas(part: Part) -> Iterator[_Delta]:
    if isinstance(part, Refusal):
        for piece, tokens in weighted(part.text, 0):
            yield {"refusal": piece}, None, tokens
    elif isinstance(part, Text):
        for piece, tokens in weighted(part.text, part.chunks):
            logprobs = {"content": [_logprob(piece)], "refusal": None} if part.logprobs else None
            yield {"content": piece}, logprobs, tokens
        if links := [_annotation(citation) for citation in part.citations if citation.url]:
            yield {"annotations": links}, None, 0
    elif isinstance(part, Thinking) and part.openai_field:
        member = "content" if part.openai_field == "tags" else part.openai_field
        text = _text_of(part) if part.openai_field == "tags" else part.text
        for piece, tokens in weighted(text, part.chunks):
            yield {member: piece}, None, tokens
    elif isinstance(part, Native):
        yield dict(part.payload), None, part_tokens(part)


def _call_deltas(request: WireRequest, call: Call, position: int) -> Iterator[_Delta]:
    opening = {
        "index": position,
        "id": call_id(request, call, position),
        "type": "function",
        "function": {"name": call.name, "arguments": ""},
    }
    yield {"tool_calls": [opening]}, None, 1
    for piece, tokens in weighted(arguments_text(call), call.chunks):
        yield {"tool_calls": [{"index": position, "function": {"arguments": piece}}]}, None, tokens
