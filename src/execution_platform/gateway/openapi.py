"""The OpenAPI page: the management routes as FastAPI knows them, and the LLM paths by hand."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from execution_platform.gateway.routes import EndpointSpec, Routes

_ANY_OBJECT = {"application/json": {"schema": {"type": "object"}}}
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
    """FastAPI's `openapi` with the LLM paths added."""
    made = api.openapi

    def openapi() -> dict[str, Any]:
        page = made()
        for path, spec in (*routes.exact.items(), *((spec.path, spec) for spec in routes.gemini.values())):
            page["paths"].setdefault(path, {"post": _operation(path, spec)})
        return page

    return openapi


def _operation(path: str, spec: EndpointSpec) -> dict[str, Any]:
    answers: dict[str, Any] = {"200": {"description": "The answer, whole or streamed", "content": dict(_ANY_OBJECT)}}
    if spec.operation == "chat":
        answers["200"]["content"][spec.dialect.stream_type] = {"schema": {"type": "string"}}
    for status, text in _ERRORS.items():
        answers[status] = {"description": text, "content": _ANY_OBJECT}
    operation: dict[str, Any] = {
        "summary": spec.summary,
        "operationId": path.strip("/").replace("/", "_").replace("{model}:", ""),
        "tags": [f"LLM: {spec.dialect.name}"],
        "requestBody": {"required": True, "content": _ANY_OBJECT},
        "responses": answers,
    }
    if "{model}" in path:
        operation["parameters"] = [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]
    return operation
