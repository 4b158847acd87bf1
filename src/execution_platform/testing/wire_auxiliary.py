"""Embeddings, token counts and model lists in the three dialects.

Source: the same vendor pages and SDK types as the chat modules (November 2026). Vectors are unit length and follow from
a hash of the input, so that equal inputs are equal and others are not.
"""

import base64
import hashlib
import math
import struct
from collections.abc import Sequence
from typing import cast

from execution_platform import _json
from execution_platform.testing.frames import Answer, Count, Frame, Told, WireRequest, prompt_tokens, strings, words
from execution_platform.testing.script import Script, Vectors
from execution_platform.testing.wire_gemini import JSON_TYPE
from execution_platform.testing.wire_openai import CREATED

_Object = dict[str, object]


def answer_embeddings(request: WireRequest, script: Script) -> Answer:
    """Vectors for every input of the request."""
    if request.dialect == "gemini":
        return _gemini_embeddings(request, script)
    given = request.body.get("input")
    items = cast("list[object]", given) if isinstance(given, list) else [given]
    if items and isinstance(items[0], int):
        items = [items]
    size = request.body.get("dimensions")
    vectors = _vectors(script, items, size if isinstance(size, int) else None)
    encoded = request.body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if encoded else vector}
        for index, vector in enumerate(vectors)
    ]
    total = sum(_input_tokens(item) for item in items) if script.usage.input is None else script.usage.input
    body: _Object = {"object": "list", "data": data, "model": script.model or request.model}
    if script.usage.told:
        body["usage"] = {"prompt_tokens": total, "total_tokens": total}
    told = Told(input=total) if script.usage.told else None
    return _json_answer(request, body, told)


def answer_count(request: WireRequest, script: Script) -> Answer:
    """How many tokens the request's prompt has."""
    body = request.body
    inner = body.get("generateContentRequest")
    counted = cast("_Object", inner) if isinstance(inner, dict) else body
    total = prompt_tokens(counted) if script.usage.input is None else script.usage.input
    if request.dialect == "gemini":
        details = [{"modality": "TEXT", "tokenCount": total}]
        return _json_answer(request, {"totalTokens": total, "promptTokensDetails": details}, None)
    return _json_answer(request, {"input_tokens": total}, None)


def answer_models(request: WireRequest, models: Sequence[str]) -> Answer:
    """The model list, or one model of it."""
    entries = [_model(request, name) for name in models if request.operation == "models" or name == request.model]
    if request.operation == "model":
        return _json_answer(request, entries[0], None)
    if request.dialect == "openai_chat":
        return _json_answer(request, {"object": "list", "data": entries}, None)
    if request.dialect == "gemini":
        return _json_answer(request, {"models": entries}, None)
    page = {"first_id": models[0] if models else None, "last_id": models[-1] if models else None}
    return _json_answer(request, {"data": entries, "has_more": False, **page}, None)


def _json_answer(request: WireRequest, body: object, told: Told | None) -> Answer:
    content_type = JSON_TYPE if request.dialect == "gemini" else "application/json"
    name = "request-id" if request.dialect == "anthropic" else "x-request-id"
    headers = {name: f"req_fake{request.index:06d}"}
    return Answer(200, content_type, [Frame(_json.dumps(body), told=told)], headers=headers)


def _model(request: WireRequest, name: str) -> _Object:
    if request.dialect == "openai_chat":
        return {"id": name, "object": "model", "created": CREATED, "owned_by": "fake"}
    if request.dialect == "gemini":
        return {
            "name": f"models/{name}",
            "version": "001",
            "displayName": name,
            "description": name,
            "inputTokenLimit": 1_048_576,
            "outputTokenLimit": 65_536,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
            "temperature": 1,
            "topP": 0.95,
            "topK": 64,
            "maxTemperature": 2,
            "thinking": True,
        }
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": "2025-12-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
    }


def _input_tokens(item: object) -> int:
    return words(item) if isinstance(item, str) else len(cast("list[object]", item)) if isinstance(item, list) else 0


def _gemini_embeddings(request: WireRequest, script: Script) -> Answer:
    batch = request.body.get("requests")
    items = cast("list[_Object]", batch) if request.variant == "batch" and isinstance(batch, list) else [request.body]
    texts: list[object] = [" ".join(strings(item.get("content"))) for item in items]
    size = items[0].get("outputDimensionality") if items else None
    vectors = _vectors(script, texts, size if isinstance(size, int) else None)
    values = [{"values": vector} for vector in vectors]
    total = sum(_input_tokens(text) for text in texts) if script.usage.input is None else script.usage.input
    body: _Object = {"embeddings": values} if request.variant == "batch" else {"embedding": values[0]}
    if script.usage.told:
        body["usageMetadata"] = {"promptTokenCount": total}
    told = Count(total, 0, 0, 0, 0, is_told=script.usage.told).told()
    return _json_answer(request, body, told)


def _vectors(script: Script, items: Sequence[object], size: int | None) -> list[list[float]]:
    reply = script.reply if isinstance(script.reply, Vectors) else Vectors()
    if reply.values:
        if len(reply.values) != len(items):
            raise ValueError(f"Vectors has {len(reply.values)} values but the request has {len(items)} inputs")
        return [list(vector) for vector in reply.values]
    return [_vector(item, size or reply.dimensions) for item in items]


def _vector(item: object, size: int) -> list[float]:
    seed = hashlib.shake_128(_json.dumps(item)).digest(2 * size)
    # Single precision from the start: base64 carries floats of four bytes, and both forms are to be equal.
    raw = [value - 32_767.5 for value in struct.unpack(f"<{size}H", seed)]
    length = math.sqrt(sum(value * value for value in raw))
    return list(struct.unpack(f"<{size}f", struct.pack(f"<{size}f", *(value / length for value in raw))))


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
