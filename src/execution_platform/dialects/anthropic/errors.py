"""Errors of the Messages API, both ways.

Source: platform.claude.com/docs/en/api/errors, anthropic SDK 2.11 `types/shared/error_type.py` (read 2026-11).
Wire: `{"type": "error", "error": {"type", "message", "details": {"error_code"}}, "request_id"}`; our stable code and
who raised the error stand in `details`, where the SDK looks for a code.
"""

import re
from collections.abc import Mapping
from typing import cast

from execution_platform import _json
from execution_platform.dialects.sse import event_frame
from execution_platform.dialects.take import Object
from execution_platform.dialects.waiting import retry_after
from execution_platform.exceptions import (
    ERROR_TABLE,
    ErrorKind,
    ExecutionPlatformError,
    ProviderError,
    RateLimitError,
    TimeoutError,  # noqa: A004 - the published name
)

MAX_RAW = 64 * 1024
_PLAIN = "The provider answered with an error that is not in its documented form."
_HIDDEN = "The request could not be completed by the provider."

_BY_TYPE: Mapping[str, ErrorKind] = {
    "invalid_request_error": ErrorKind.BAD_REQUEST,
    "authentication_error": ErrorKind.AUTH,
    "billing_error": ErrorKind.QUOTA,
    "permission_error": ErrorKind.PERMISSION,
    "not_found_error": ErrorKind.NOT_FOUND,
    "request_too_large": ErrorKind.TOO_LARGE,
    "rate_limit_error": ErrorKind.RATE_LIMIT,
    "timeout_error": ErrorKind.TIMEOUT,
    "api_error": ErrorKind.SERVER,
    "overloaded_error": ErrorKind.OVERLOADED,
    "conflict_error": ErrorKind.BAD_REQUEST,
}
_BY_STATUS: Mapping[int, ErrorKind] = {
    400: ErrorKind.BAD_REQUEST,
    401: ErrorKind.AUTH,
    402: ErrorKind.QUOTA,
    403: ErrorKind.PERMISSION,
    404: ErrorKind.NOT_FOUND,
    405: ErrorKind.NOT_FOUND,
    408: ErrorKind.TIMEOUT,
    409: ErrorKind.BAD_REQUEST,
    413: ErrorKind.TOO_LARGE,
    415: ErrorKind.UNSUPPORTED_MEDIA,
    422: ErrorKind.UNPROCESSABLE,
    429: ErrorKind.RATE_LIMIT,
    503: ErrorKind.OVERLOADED,
    504: ErrorKind.TIMEOUT,
    529: ErrorKind.OVERLOADED,
}
_CONTEXT = re.compile(
    r"prompt is too long|context (window|length|limit)|maximum context|exceeds? the context", re.IGNORECASE
)
_FILTER = re.compile(r"content filter", re.IGNORECASE)
_MONEY = re.compile(r"credit balance|usage limits?|spend(ing)? limit|billing|quota", re.IGNORECASE)

_TYPES: Mapping[ErrorKind, str] = {
    ErrorKind.NOT_FOUND: "not_found_error",
    ErrorKind.BAD_REQUEST: "invalid_request_error",
    ErrorKind.UNPROCESSABLE: "invalid_request_error",
    ErrorKind.TOO_LARGE: "request_too_large",
    ErrorKind.UNSUPPORTED_MEDIA: "invalid_request_error",
    ErrorKind.REQUIREMENT: "invalid_request_error",
    ErrorKind.CONTEXT_LENGTH: "invalid_request_error",
    ErrorKind.CONTENT_FILTER: "invalid_request_error",
    ErrorKind.BUDGET: "billing_error",
    ErrorKind.RATE_LIMIT: "rate_limit_error",
    ErrorKind.QUOTA: "rate_limit_error",
    ErrorKind.OVERLOADED: "overloaded_error",
    ErrorKind.TIMEOUT: "timeout_error",
}


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """An answer of status >= 400 as an error. Never raises, whatever the body is."""
    wire = _parsed(body)
    detail = _inner(wire, "error")
    word, message = detail.get("type"), detail.get("message")
    text = message if isinstance(message, str) and message else ""
    code = _inner(detail, "details").get("error_code")
    kind = _kind(status, word if isinstance(word, str) else "", text, code if isinstance(code, str) else "")
    request_id = wire.get("request_id")
    if not isinstance(request_id, str):
        request_id = headers.get("request-id") or headers.get("x-request-id")
    error_class = {ErrorKind.RATE_LIMIT: RateLimitError, ErrorKind.TIMEOUT: TimeoutError}.get(kind, ProviderError)
    return error_class(
        text or f"{_PLAIN} (status {status})",
        kind=kind,
        status=status,
        request_id=request_id,
        retry_after=retry_after(headers),
        raw=body[:MAX_RAW],
    )


def stream_error(payload: Mapping[str, object]) -> ProviderError:
    """An `error` event, or an error object where an answer was due."""
    return decode_error(200, {}, _json.dumps(payload))


def _parsed(body: bytes) -> Object:
    try:
        value = _json.loads(body)
    except _json.JsonError:
        return {}
    return cast("Object", value) if isinstance(value, dict) else {}


def _inner(wire: Mapping[str, object], name: str) -> Object:
    value = wire.get(name)
    return cast("Object", value) if isinstance(value, dict) else {}


def _kind(status: int, word: str, message: str, code: str) -> ErrorKind:
    kind = _BY_TYPE.get(word)
    if kind is None or (kind is ErrorKind.BAD_REQUEST and status in (413, 415, 422, 429)):
        kind = _BY_STATUS.get(status, kind)
    if kind is None:
        kind = ErrorKind.SERVER if status >= 500 else ErrorKind.UNKNOWN
    if kind is ErrorKind.SERVER and status in (503, 504, 529):
        kind = _BY_STATUS[status]
    if kind in (ErrorKind.BAD_REQUEST, ErrorKind.RATE_LIMIT, ErrorKind.TOO_LARGE, ErrorKind.UNPROCESSABLE):
        return _refined(kind, message, code)
    return kind


def _refined(kind: ErrorKind, message: str, code: str) -> ErrorKind:
    """What the type alone does not tell: the API uses `invalid_request_error` and 429 for several things."""
    if "spend_limit" in code or _MONEY.search(message):
        return ErrorKind.QUOTA
    if kind is ErrorKind.RATE_LIMIT:
        return kind
    if _CONTEXT.search(message):
        return ErrorKind.CONTEXT_LENGTH
    if _FILTER.search(message):
        return ErrorKind.CONTENT_FILTER
    return kind


def _type_word(error: ExecutionPlatformError) -> str:
    # A credential or permission of ours that the provider refuses is not the caller's.
    if error.kind is ErrorKind.AUTH:
        return "authentication_error" if error.raised_by == "gateway" else "api_error"
    if error.kind is ErrorKind.PERMISSION:
        return "permission_error" if error.raised_by == "gateway" else "api_error"
    return _TYPES.get(error.kind, "api_error")


def error_object(error: ExecutionPlatformError, request_id: str) -> Object:
    """The error as a wire object."""
    shown = error.raised_by == "gateway" if error.kind in (ErrorKind.AUTH, ErrorKind.PERMISSION) else False
    message = error.message if shown or ERROR_TABLE[error.kind].public else _HIDDEN
    details: Object = {"error_code": error.code, "raised_by": error.raised_by}
    if error.param is not None:
        details["param"] = error.param
    detail = {"type": _type_word(error), "message": message, "details": details}
    return {"type": "error", "error": detail, "request_id": request_id or None}


def encode_error(error: ExecutionPlatformError, request_id: str) -> bytes:
    """An error body."""
    return _json.dumps(error_object(error, request_id))


def error_frame(error: ExecutionPlatformError, request_id: str, *, array: bytes | None = None) -> bytes:
    """An error inside a stream."""
    del array
    return event_frame("error", encode_error(error, request_id))
