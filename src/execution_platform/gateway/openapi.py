"""The OpenAPI page: the management routes as FastAPI knows them, and the LLM paths by hand.

The vendors' own references describe their bodies in full; here stands what every request needs, so that a reader can try a
path and a tool can make requests for it. Members that are not named are welcome.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from fastapi import FastAPI

from execution_platform.gateway.routes import GEMINI_ROOTS, EndpointSpec, Routes

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 1}
_FLAG: Schema = {"type": "boolean"}
_SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_THINGS: Schema = {"type": "array", "items": {"type": "object"}}
_TEXT_OR_PARTS: Schema = {"oneOf": [_TEXT, _THINGS]}
_STOP: Schema = {"oneOf": [_TEXT, {"type": "array", "items": _TEXT}]}


def _object(members: Mapping[str, Schema], *required: str) -> Schema:
    return {"type": "object", "required": list(required), "properties": dict(members)}


def _turns(*roles: str) -> Schema:
    message = _object({"role": {"enum": list(roles)}, "content": _TEXT_OR_PARTS}, "role", "content")
    return {"type": "array", "minItems": 1, "items": message}


_SAMPLING: Schema = {"temperature": {"type": "number", "minimum": 0, "maximum": 2}, "top_p": _SHARE}
_CONTENT = _object({"role": {"enum": ["user", "model"]}, "parts": _THINGS}, "parts")
_CONTENTS: Schema = {"type": "array", "minItems": 1, "items": _CONTENT}
_ERROR = _object({"error": _object({"message": _TEXT}, "message")}, "error")
_BODIES: Mapping[str, Schema] = {
    "openai_chat chat": _object(
        {
            "model": _TEXT,
            "messages": _turns("system", "developer", "user", "assistant"),
            "stream": _FLAG,
            "max_completion_tokens": _COUNT,
            "tools": _THINGS,
            "stop": _STOP,
            **_SAMPLING,
        },
        "model",
        "messages",
    ),
    "anthropic chat": _object(
        {
            "model": _TEXT,
            "max_tokens": _COUNT,
            "messages": _turns("user", "assistant"),
            "system": _TEXT_OR_PARTS,
            "stream": _FLAG,
            "tools": _THINGS,
            "stop_sequences": {"type": "array", "items": _TEXT},
            **_SAMPLING,
        },
        "model",
        "max_tokens",
        "messages",
    ),
    "openai_responses chat": _object(
        {
            "model": _TEXT,
            "input": {"oneOf": [_TEXT, _THINGS]},
            "instructions": _TEXT,
            "previous_response_id": _TEXT,
            "store": _FLAG,
            "stream": _FLAG,
            "max_output_tokens": _COUNT,
            "tools": _THINGS,
            **_SAMPLING,
        },
        "model",
        "input",
    ),
    "openai_responses count": _object({"model": _TEXT, "input": {"oneOf": [_TEXT, _THINGS]}}, "model", "input"),
    "gemini chat": _object(
        {
            "contents": _CONTENTS,
            "systemInstruction": _CONTENT,
            "tools": _THINGS,
            "generationConfig": _object({"maxOutputTokens": _COUNT, "temperature": _SAMPLING["temperature"]}),
        },
        "contents",
    ),
    "native chat": _object(
        {
            "messages": _turns("system", "user", "assistant"),
            "model": _TEXT,
            "provider": _TEXT,
            "personaId": _TEXT,
            "system": _TEXT,
            "stream": _FLAG,
            "max_tokens": _COUNT,
            "tools": {"type": "array", "items": _object({"name": _TEXT, "json_schema": {"type": "object"}}, "name")},
            "requires": {"oneOf": [{"type": "array", "items": _TEXT}, {"type": "object"}]},
            "stop": _STOP,
            **_SAMPLING,
        },
        "messages",
    ),
    "openai_chat embeddings": _object(
        {
            "model": _TEXT,
            "input": {"oneOf": [_TEXT, {"type": "array", "minItems": 1, "items": _TEXT}]},
            "dimensions": _COUNT,
            "encoding_format": {"enum": ["float", "base64"]},
        },
        "model",
        "input",
    ),
    "anthropic count": _object({"model": _TEXT, "messages": _turns("user", "assistant")}, "model", "messages"),
    "gemini count": _object({"contents": _CONTENTS}, "contents"),
    "embedContent": _object({"content": _CONTENT, "outputDimensionality": _COUNT}, "content"),
    "batchEmbedContents": _object(
        {"requests": {"type": "array", "minItems": 1, "items": {"type": "object"}}}, "requests"
    ),
}
_ERRORS = {
    "400": "The request is malformed, or a translation would lose content",
    "401": "No gateway key, or an unknown one",
    "403": "The key may not use this persona or model",
    "404": "Unknown model or persona; the message lists the nearest names",
    "412": "The chosen provider lacks a required capability",
    "413": "The body is too large",
    "415": "The body is compressed",
    "422": "The native body is not a request",
    "429": "A rate limit",
    "502": "The provider failed",
    "503": "Not configured, or nobody is left who could serve",
    "504": "The provider did not answer in time",
}


def with_llm_paths(api: FastAPI, routes: Routes) -> Callable[[], dict[str, Any]]:
    """FastAPI's `openapi` with the LLM paths added, and with the errors the way they really look."""
    made = api.openapi

    @cache
    def openapi() -> dict[str, Any]:
        page = made()
        for item in page["paths"].values():
            for operation in item.values():
                operation["responses"].pop("422", None)
                operation["responses"]["default"] = _answer("An error", _ERROR)
        schemas = page.get("components", {}).get("schemas", {})
        for framework in ("HTTPValidationError", "ValidationError"):
            schemas.pop(framework, None)
        for path, spec in _llm_paths(routes):
            page["paths"].setdefault(path, {})["post"] = _operation(path, spec)
        return page

    return openapi


def _llm_paths(routes: Routes) -> Iterator[tuple[str, EndpointSpec]]:
    yield from routes.exact.items()
    for method, spec in routes.gemini.items():
        for root in GEMINI_ROOTS:
            yield f"{root}{{model}}:{method}", spec


def _answer(text: str, schema: Schema) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _operation(path: str, spec: EndpointSpec) -> dict[str, Any]:
    answers = {"200": _answer("The answer, whole or streamed", {"type": "object"})}
    if spec.operation == "chat":
        answers["200"]["content"][spec.dialect.stream_type] = {"schema": _TEXT}
    if spec.streams:
        answers["200"]["content"]["application/json"] = {"schema": _THINGS}
    answers.update({status: _answer(text, _ERROR) for status, text in _ERRORS.items()})
    method = path.rpartition(":")[2]
    body = _BODIES.get(method) or _BODIES[f"{spec.dialect.name} {spec.operation}"]
    return {
        "summary": spec.summary,
        "operationId": path.strip("/").replace("/", "_").replace("{model}:", ""),
        "tags": [f"LLM: {spec.dialect.name}"],
        "parameters": list(_parameters(path, spec)),
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": answers,
    }


def _parameters(path: str, spec: EndpointSpec) -> Iterator[dict[str, Any]]:
    if "{model}" in path:
        yield {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    if spec.streams:
        yield {"name": "alt", "in": "query", "schema": {"enum": ["sse", "json"]}}
    if spec.dialect.name == "native":
        yield from ({"name": name, "in": "query", "schema": _TEXT} for name in ("provider", "personaId"))
    yield {"name": "x-ep-persona", "in": "header", "schema": _TEXT, "description": "Persona of the request"}
