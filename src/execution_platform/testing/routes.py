"""Which dialect and operation a path means, and what each vendor demands before it answers.

Three vendors share `GET /v1/models`; as in a client's own set-up the headers tell them apart: `anthropic-version` is
Anthropic, `x-goog-api-key` or `?key=` is Gemini, anything else OpenAI.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from execution_platform.testing.frames import Dialect, Operation, Variant, WireRequest
from execution_platform.testing.script import Status

ANTHROPIC_VERSIONS = ("2023-06-01", "2026-10-21")

_OPENAI = re.compile(r"^(?:/openai)?/v1/(chat/completions|embeddings)$")
_AZURE = re.compile(r"^/openai/deployments/([^/]+)/(chat/completions|embeddings)$")
_GEMINI = re.compile(
    r"^/(?:v1|v1beta|v1alpha)/(?:models|tunedModels)/([^/:]+):"
    r"(generateContent|streamGenerateContent|countTokens|embedContent|batchEmbedContents)$"
)
_MODELS = re.compile(r"^(/openai)?/(v1|v1beta|v1alpha)/models(?:/([^/:]+))?$")
_GEMINI_OPERATIONS: dict[str, tuple[Operation, Variant]] = {
    "generateContent": ("chat", ""),
    "streamGenerateContent": ("chat", "json_array"),
    "countTokens": ("count_tokens", ""),
    "embedContent": ("embeddings", ""),
    "batchEmbedContents": ("embeddings", "batch"),
}
_OPENAI_OPERATIONS: dict[str, Operation] = {"chat/completions": "chat", "embeddings": "embeddings"}


@dataclass(frozen=True, slots=True)
class Route:
    """Where a path leads. `model` is empty where the body names it."""

    dialect: Dialect
    operation: Operation
    method: Literal["GET", "POST"] = "POST"
    model: str = ""
    variant: Variant = ""
    stream: bool = False


def find_route(path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Route | None:
    """The route of a path, or None when no vendor has it."""
    if path == "/v1/messages":
        return Route("anthropic", "chat")
    if path == "/v1/messages/count_tokens":
        return Route("anthropic", "count_tokens")
    if path == "/v1/responses":
        return Route("openai_chat", "chat", variant="responses")
    if found := _OPENAI.match(path):
        variant: Variant = "azure" if path.startswith("/openai/") else ""
        return Route("openai_chat", _OPENAI_OPERATIONS[found[1]], variant=variant)
    if found := _AZURE.match(path):
        return Route("openai_chat", _OPENAI_OPERATIONS[found[2]], model=found[1], variant="azure")
    if found := _GEMINI.match(path):
        operation, variant = _GEMINI_OPERATIONS[found[2]]
        if found[2] == "streamGenerateContent":
            variant = "sse" if query.get("alt") == "sse" else "json_array"
        return Route("gemini", operation, model=found[1], variant=variant, stream="stream" in found[2])
    if found := _MODELS.match(path):
        dialect = _list_dialect(found[2], query, headers)
        return Route(dialect, "model" if found[3] else "models", "GET", found[3] or "")
    return None


def _list_dialect(version: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Dialect:
    if "anthropic-version" in headers:
        return "anthropic"
    return "gemini" if version != "v1" or "x-goog-api-key" in headers or "key" in query else "openai_chat"


def presented_key(request: WireRequest) -> str:
    """The credential of a request, from the places its vendor reads."""
    bearer = request.headers.get("authorization", "")
    token = bearer[7:] if bearer[:7].lower() == "bearer " else ""
    if request.dialect == "gemini":
        return request.headers.get("x-goog-api-key") or request.query.get("key", "") or token
    name = "x-api-key" if request.dialect == "anthropic" else "api-key"
    own = request.headers.get(name, "") if request.dialect == "anthropic" or request.variant == "azure" else ""
    return own or token


def refuse_key(request: WireRequest, expected: str) -> Status | None:
    """The vendor's answer to a missing or wrong key."""
    key = presented_key(request)
    if key == expected:
        return None
    if request.dialect == "gemini":
        if not key:
            return Status(
                403, message="Method doesn't allow unregistered callers (callers without established identity)."
            )
        return Status(400, "auth", "API key not valid. Please pass a valid API key.")
    if request.dialect == "anthropic":
        return Status(401, message="invalid x-api-key" if key else "x-api-key header is required")
    return Status(401, message="Incorrect API key provided." if key else "You didn't provide an API key.")


def refuse_request(request: WireRequest) -> Status | None:
    """The vendor's answer to a request without what it demands; None when it may pass."""
    if request.dialect == "anthropic" and (refused := _refuse_version(request)):
        return refused
    if request.operation in {"models", "model"}:
        return None
    if request.variant == "azure" and not request.path.startswith("/openai/v1/") and "api-version" not in request.query:
        return Status(404, message="Resource not found")
    checks = {"openai_chat": _refuse_openai, "anthropic": _refuse_anthropic, "gemini": _refuse_gemini}
    problem = checks[request.dialect](request)
    return Status(400, message=problem) if problem else None


def _refuse_version(request: WireRequest) -> Status | None:
    version = request.headers.get("anthropic-version")
    if version is None:
        return Status(400, message="anthropic-version: header is required")
    if version not in ANTHROPIC_VERSIONS:
        return Status(400, message=f'anthropic-version: "{version}" is not a valid version')
    return None


def _is_filled_list(value: object) -> bool:
    return isinstance(value, list) and bool(cast("list[object]", value))


def _refuse_openai(request: WireRequest) -> str:
    if not request.model:
        return "you must provide a model parameter"
    if request.operation == "embeddings":
        return "" if request.body.get("input") else "'$.input' is invalid. Please check the API reference."
    if request.variant == "responses":
        return "" if request.body.get("input") else "Missing required parameter: 'input'."
    if not _is_filled_list(request.body.get("messages")):
        return "Missing required parameter: 'messages'."
    if "stream_options" in request.body and not request.stream and request.body["stream_options"] is not None:
        return "The 'stream_options' parameter is only allowed when 'stream' is enabled."
    return ""


def _refuse_anthropic(request: WireRequest) -> str:
    if not request.model:
        return "model: Field required"
    if not _is_filled_list(request.body.get("messages")):
        return "messages: at least one message is required"
    limit = request.body.get("max_tokens")
    if request.operation == "chat" and (not isinstance(limit, int) or isinstance(limit, bool)):
        return "max_tokens: Field required"
    if request.operation == "chat" and isinstance(limit, int) and limit < 0:
        return "max_tokens: Input should be greater than or equal to 0"
    return ""


def _refuse_gemini(request: WireRequest) -> str:
    body = request.body
    if request.operation == "embeddings":
        name = "requests" if request.variant == "batch" else "content"
        return "" if body.get(name) else f"* EmbedContentRequest.{name}: {name} is not specified\n"
    if request.operation == "count_tokens" and "generateContentRequest" in body:
        return ""
    if not _is_filled_list(body.get("contents")):
        return "* GenerateContentRequest.contents: contents is not specified\n"
    return ""
