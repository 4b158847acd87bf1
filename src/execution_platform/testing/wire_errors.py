"""Errors in each vendor's own JSON, as whole answers and inside running streams.

Source: the error pages of platform.openai.com, platform.claude.com, ai.google.dev (google.rpc.Status) and
learn.microsoft.com (Azure OpenAI), and the error types of the three Python SDKs (November 2026).
"""

from typing import NamedTuple

from execution_platform import _json
from execution_platform.testing.frames import Answer, Dialect, Frame, Variant, WireRequest, sse
from execution_platform.testing.script import Status

_Object = dict[str, object]


class _Kind(NamedTuple):
    """One kind of failure in the words of the three vendors."""

    message: str
    openai_type: str
    openai_code: str | None
    anthropic_type: str
    gemini_status: str


_KINDS = {
    "bad_request": _Kind(
        "Invalid request.", "invalid_request_error", None, "invalid_request_error", "INVALID_ARGUMENT"
    ),
    "context_length": _Kind(
        "The input is longer than the model's context window.",
        "invalid_request_error",
        "context_length_exceeded",
        "invalid_request_error",
        "INVALID_ARGUMENT",
    ),
    "content_filter": _Kind(
        "The request was blocked by a content filter.",
        "invalid_request_error",
        "content_filter",
        "invalid_request_error",
        "INVALID_ARGUMENT",
    ),
    "auth": _Kind(
        "Incorrect API key provided.",
        "invalid_request_error",
        "invalid_api_key",
        "authentication_error",
        "UNAUTHENTICATED",
    ),
    "billing": _Kind(
        "There is a problem with billing or payment information.",
        "insufficient_quota",
        "billing_not_active",
        "billing_error",
        "FAILED_PRECONDITION",
    ),
    "permission": _Kind(
        "The key has no permission to use this resource.",
        "invalid_request_error",
        "insufficient_permissions",
        "permission_error",
        "PERMISSION_DENIED",
    ),
    "not_found": _Kind(
        "The model does not exist or you do not have access to it.",
        "invalid_request_error",
        "model_not_found",
        "not_found_error",
        "NOT_FOUND",
    ),
    "timeout": _Kind("The request timed out.", "server_error", "timeout", "timeout_error", "DEADLINE_EXCEEDED"),
    "too_large": _Kind(
        "The request is larger than the maximum allowed size.",
        "invalid_request_error",
        "request_too_large",
        "invalid_request_error",
        "INVALID_ARGUMENT",
    ),
    "rate_limit": _Kind(
        "Rate limit reached. Please try again later.",
        "requests",
        "rate_limit_exceeded",
        "rate_limit_error",
        "RESOURCE_EXHAUSTED",
    ),
    "quota": _Kind(
        "You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota",
        "insufficient_quota",
        "rate_limit_error",
        "RESOURCE_EXHAUSTED",
    ),
    "server": _Kind("Internal server error.", "server_error", None, "api_error", "INTERNAL"),
    "unavailable": _Kind(
        "The service is temporarily unavailable.",
        "server_error",
        "service_unavailable",
        "overloaded_error",
        "UNAVAILABLE",
    ),
    "overloaded": _Kind("Overloaded", "server_error", "overloaded", "overloaded_error", "UNAVAILABLE"),
}
_BY_STATUS = {
    400: "bad_request",
    401: "auth",
    402: "billing",
    403: "permission",
    404: "not_found",
    408: "timeout",
    413: "too_large",
    422: "bad_request",
    429: "rate_limit",
    503: "unavailable",
    504: "timeout",
    529: "overloaded",
}


def kind_of(status: Status) -> str:
    """The kind a status stands for when the script does not name one.

    Raises:
        ValueError: the script names a kind that is not known.
    """
    kind = status.kind or _BY_STATUS.get(status.status, "server" if status.status >= 500 else "bad_request")
    if kind not in _KINDS:
        raise ValueError(f"Status kind {kind!r} is unknown; known are {', '.join(sorted(_KINDS))}")
    return kind


def error_body(dialect: Dialect, variant: Variant, status: Status, request_id: str) -> _Object:
    """The error object of a dialect."""
    kind = _KINDS[kind_of(status)]
    message = status.message or kind.message
    if dialect == "anthropic":
        error: _Object = {"type": kind.anthropic_type, "message": message}
        if kind_of(status) == "quota":
            error["details"] = {"error_code": "enforced_spend_limit_reached"}
        return {"type": "error", "error": error, "request_id": request_id}
    if dialect == "gemini":
        return {"error": _gemini_error(status, kind, message)}
    if variant == "azure" and kind_of(status) != "content_filter":
        code = "DeploymentNotFound" if status.status == 404 else kind.openai_code or str(status.status)
        return {"error": {"code": code if status.status in {404, 400} else str(status.status), "message": message}}
    param = "messages" if kind_of(status) == "context_length" else None
    found: _Object = {"message": message, "type": kind.openai_type, "param": param, "code": kind.openai_code}
    if variant == "azure":
        found |= {
            "type": None,
            "param": "prompt",
            "status": 400,
            "innererror": {"code": "ResponsibleAIPolicyViolation"},
        }
    return {"error": found}


def _gemini_error(status: Status, kind: _Kind, message: str) -> _Object:
    error: _Object = {"code": status.status, "message": message, "status": kind.gemini_status}
    details: list[_Object] = []
    if kind_of(status) == "quota":
        violation = {
            "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
            "quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
        }
        details.append({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]})
    if isinstance(status.retry_after, int | float):
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{status.retry_after:g}s"})
    if status.kind == "auth" and status.status == 400:
        reason = {"reason": "API_KEY_INVALID", "domain": "googleapis.com"}
        details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", **reason})
    if details:
        error["details"] = details
    return error


def answer_error(request: WireRequest, status: Status) -> Answer:
    """An error as a whole answer, with the headers that come with it."""
    request_id = f"req_fake{request.index:06d}"
    body: object = _versioned(request, status, error_body(request.dialect, request.variant, status, request_id))
    if request.variant == "json_array":
        body = [body]
    headers = {"request-id" if request.dialect == "anthropic" else "x-request-id": request_id}
    if status.retry_after is not None:
        after = status.retry_after
        headers["retry-after"] = after if isinstance(after, str) else f"{after:g}"
    if status.retry_after_ms is not None:
        headers["retry-after-ms"] = str(status.retry_after_ms)
    if request.dialect != "gemini":
        headers["x-should-retry"] = "true" if status.status >= 500 or kind_of(status) == "rate_limit" else "false"
    content_type = "application/json; charset=UTF-8" if request.dialect == "gemini" else "application/json"
    return Answer(status.sent_as or status.status, content_type, [Frame(_json.dumps(body))], headers=headers)


def _versioned(request: WireRequest, status: Status, body: _Object) -> _Object:
    """Under the older API version a body that is too large has a type of its own."""
    if status.status == 413 and request.headers.get("anthropic-version") == "2023-06-01":
        error = {"type": "request_too_large", "message": status.message or _KINDS["too_large"].message}
        return body | {"error": error}
    return body


def stream_error(request: WireRequest, status: Status, position: int) -> Frame:
    """An error as an event of a running stream.

    Gemini's comes without `data:`, as bare JSON over several lines; python-genai 3.4 reads it line by line.
    """
    body = error_body(request.dialect, request.variant, status, f"req_fake{request.index:06d}")
    if request.dialect == "anthropic":
        return Frame(sse(body, "error"))
    if request.dialect == "openai_chat":
        return Frame(sse(body))
    if request.variant == "json_array":
        return Frame((b",\r\n" if position else b"[") + _json.dumps(body) + b"]\n")
    bare = _json.dumps(body).replace(b'{"error":{', b'{\r\n  "error": {\r\n    ', 1)
    return Frame(bare + b"\r\n")
