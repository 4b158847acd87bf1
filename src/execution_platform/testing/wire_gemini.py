"""Gemini `generateContent`, as the vendor writes it: one JSON object, server-sent chunks, or one JSON array.

Source: ai.google.dev API reference "GenerateContentResponse" and the types of python-genai 3.4 (November 2026). What a
stream keeps to: every chunk is a whole response object; lines end with CR LF; usage is in every chunk, cumulative; the
finish reason is in the last; a call comes in one piece and the reason still says STOP; without `alt=sse` the chunks are
the members of one JSON array.
"""

from collections.abc import Iterator
from typing import cast

from execution_platform import _json
from execution_platform.testing.frames import (
    Answer,
    Count,
    Frame,
    Told,
    WireRequest,
    arguments_object,
    count_usage,
    part_tokens,
    pieces,
    scale,
    sse,
    weighted,
)
from execution_platform.testing.script import Call, Native, Part, Refusal, Script, Text, Thinking

JSON_TYPE = "application/json; charset=UTF-8"
_FINISH = {
    "stop": "STOP",
    "stop_sequence": "STOP",
    "length": "MAX_TOKENS",
    "context_window": "MAX_TOKENS",
    "tool_calls": "STOP",
    "content_filter": "SAFETY",
    "refusal": "SAFETY",
    "pause": "OTHER",
}
_Object = dict[str, object]
_Unit = tuple[_Object, int, _Object]
"""A content part, its tokens, and the candidate's members that come with it."""


def answer_chat(request: WireRequest, script: Script) -> Answer:
    """Write a script as a response or, for `streamGenerateContent`, as chunks."""
    parts = [p for p in script.parts() if not isinstance(p, Native) or p.dialect == "gemini"]
    usage = count_usage(script, parts, request.body)
    headers = {"server": "scaffolding on HTTPServer2", "x-content-type-options": "nosniff", "vary": "Origin"}
    if request.stream:
        frames = _stream(request, script, parts, usage)
        kind = "text/event-stream" if request.variant == "sse" else JSON_TYPE
        return Answer(200, kind, frames, chunked=True, headers=headers)
    whole = _whole(request, script, parts, usage)
    return Answer(200, JSON_TYPE, [Frame(_json.dumps(whole), usage.output, usage.told())], headers=headers)


def _finish(script: Script) -> str:
    reason = script.finish_reason()
    return _FINISH[reason] if script.is_canonical_finish() else reason


def _usage(usage: Count, output: int, reasoning: int) -> _Object:
    told: _Object = {
        "promptTokenCount": usage.input,
        "totalTokenCount": usage.input + output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage.input}],
    }
    if output > reasoning:
        told["candidatesTokenCount"] = output - reasoning
    if reasoning:
        told["thoughtsTokenCount"] = reasoning
    if usage.cached:
        told["cachedContentTokenCount"] = usage.cached
        told["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": usage.cached}]
    return told


def _envelope(request: WireRequest, script: Script) -> _Object:
    return {
        "modelVersion": script.model or request.model,
        "responseId": script.id or f"fake{request.index:06d}",
    }


def _sources(part: Text) -> _Object:
    """The candidate's members for a text's citations."""
    pages = [citation for citation in part.citations if citation.url]
    places = [citation for citation in part.citations if not citation.url]
    members: _Object = {}
    if pages:
        supports = [
            {
                "segment": {"startIndex": page.start, "endIndex": page.end, "text": page.cited_text},
                "groundingChunkIndices": [position],
            }
            for position, page in enumerate(pages)
        ]
        chunks = [{"web": {"uri": page.url, "title": page.title}} for page in pages]
        members["groundingMetadata"] = {"groundingChunks": chunks, "groundingSupports": supports}
    if places:
        sources = [{"startIndex": place.start, "endIndex": place.end, "title": place.title} for place in places]
        members["citationMetadata"] = {"citationSources": sources}
    return members


def _logprobs(texts: list[str]) -> _Object:
    chosen = [{"token": text, "tokenId": position, "logProbability": -0.25} for position, text in enumerate(texts)]
    top = [{"candidates": [token]} for token in chosen]
    return {"avgLogprobs": -0.25, "logprobsResult": {"chosenCandidates": chosen, "topCandidates": top}}


def _call(call: Call) -> _Object:
    function: _Object = {"name": call.name, "args": arguments_object(call)}
    if call.id:
        function["id"] = call.id
    return {"functionCall": function}


def _units(parts: list[Part], *, whole: bool) -> Iterator[_Unit]:
    """The content parts, texts cut into pieces unless `whole`."""
    for part in parts:
        match part:
            case Text():
                yield from _text_units(part, whole=whole)
            case Thinking():
                for text, tokens in weighted(part.text, 1 if whole else part.chunks):
                    yield {"text": text, "thought": True}, tokens, {}
            case Call():
                signature = {"thoughtSignature": part.signature} if part.signature else {}
                yield _call(part) | signature, part_tokens(part), {}
            case Native():
                yield dict(part.payload), part_tokens(part), {}
            case Refusal():
                continue


def _text_units(part: Text, *, whole: bool) -> Iterator[_Unit]:
    texts = weighted(part.text, 1 if whole else part.chunks)
    for position, (text, tokens) in enumerate(texts):
        is_last = position == len(texts) - 1
        members = _sources(part) if is_last else {}
        if part.logprobs:
            members |= _logprobs(pieces(text, part.chunks) if whole else [text])
        unit: _Object = {"text": text}
        if part.signature and is_last:
            unit["thoughtSignature"] = part.signature
        yield unit, tokens, members


def _signed(parts: list[Part], *, whole: bool) -> list[_Unit]:
    """Move each thought's signature to the first part behind it, where the vendor puts it."""
    units: list[_Unit] = []
    waiting = ""
    for part in parts:
        own = list(_units([part], whole=whole))
        if isinstance(part, Thinking):
            waiting = part.signature or waiting
        elif waiting and own:
            first, tokens, members = own[0]
            own[0] = ({"thoughtSignature": waiting} | first, tokens, members)
            waiting = ""
        units += own
    if waiting:
        units.append(({"text": "", "thoughtSignature": waiting}, 0, {}))
    return units


def _whole(request: WireRequest, script: Script, parts: list[Part], usage: Count) -> _Object:
    told = {"usageMetadata": _usage(usage, usage.output, usage.reasoning)} if usage.is_told else {}
    if _is_blocked(parts):
        return _blocked(usage) | _envelope(request, script)
    units = _signed(parts, whole=True)
    content = {"parts": [unit[0] for unit in units], "role": "model"}
    members: _Object = {}
    for unit in units:
        members |= unit[2]
    candidates = [
        {"content": content, "finishReason": _finish(script), "index": index} | members
        for index in range(_candidate_count(request))
    ]
    return {"candidates": candidates} | told | _envelope(request, script)


def _candidate_count(request: WireRequest) -> int:
    config = request.body.get("generationConfig")
    count = cast("_Object", config).get("candidateCount") if isinstance(config, dict) else None
    return count if isinstance(count, int) and count > 1 else 1


def _is_blocked(parts: list[Part]) -> bool:
    return bool(parts) and all(isinstance(part, Refusal) for part in parts)


def _blocked(usage: Count) -> _Object:
    """A prompt that was blocked: feedback in place of candidates, and only the prompt is charged."""
    usage.output = usage.reasoning = 0
    body: _Object = {"promptFeedback": {"blockReason": "SAFETY"}}
    if usage.is_told:
        body["usageMetadata"] = _usage(usage, 0, 0)
    return body


def _stream(request: WireRequest, script: Script, parts: list[Part], usage: Count) -> list[Frame]:
    if _is_blocked(parts):
        only = _blocked(usage) | _envelope(request, script)
        return _framed(request, [(only, 0, usage.told())])
    units = _signed(parts, whole=False) or [({"text": ""}, 0, {})]
    spread = scale([Frame(b"", tokens) for _, tokens, _ in units], usage.output)
    chunks: list[tuple[_Object, int, Told | None]] = []
    output = reasoning = 0
    for position, ((part, _, members), share) in enumerate(zip(units, spread, strict=True)):
        is_last = position == len(units) - 1
        output = usage.output if is_last else output + share.tokens
        reasoning = usage.reasoning if is_last else min(output, reasoning + (share.tokens if "thought" in part else 0))
        candidate: _Object = {"content": {"parts": [part], "role": "model"}, "index": 0} | members
        if is_last:
            candidate["finishReason"] = _finish(script)
        chunk: _Object = {"candidates": [candidate]}
        told = None
        if usage.is_told:
            chunk["usageMetadata"] = _usage(usage, output, reasoning)
            told = Told(usage.input, output, usage.cached, None, reasoning)
        chunks.append((chunk | _envelope(request, script), share.tokens, told))
    return _framed(request, chunks)


def _framed(request: WireRequest, chunks: list[tuple[_Object, int, Told | None]]) -> list[Frame]:
    frames: list[Frame] = []
    for position, (chunk, tokens, told) in enumerate(chunks):
        is_last = position == len(chunks) - 1
        if request.variant == "sse":
            data = sse(chunk, newline=b"\r\n")
        else:
            data = (b",\r\n" if position else b"[") + _json.dumps(chunk) + (b"\n]\n" if is_last else b"\n")
        frames.append(Frame(data, tokens, told, terminator=is_last))
    return frames
