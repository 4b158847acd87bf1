"""Errors of OpenAI's APIs, both ways: chat completions and responses answer alike.

Source: platform.openai.com/docs/guides/error-codes, openai SDK 3.52 `_exceptions.py`; compatible servers (vLLM, llama.cpp, Ollama,
Azure, OpenRouter, Gemini's compatible endpoint) answer in the variants read here (2026-11). Wire: `{"error": {"message", "type",
"param", "code"}}`; our stable code stands in `code`, and `raised_by` and `request_id` beside it.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple, cast

from execution_platform import _json
from execution_platform.dialects.take import Object
from execution_platform.dialects.waiting import retry_after, seconds
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
    501: ErrorKind.BAD_REQUEST,
    503: ErrorKind.OVERLOADED,
    504: ErrorKind.TIMEOUT,
    529: ErrorKind.OVERLOADED,
}
_BY_WORD: Mapping[str, ErrorKind] = {
    "context_length_exceeded": ErrorKind.CONTEXT_LENGTH,
    "exceed_context_size_error": ErrorKind.CONTEXT_LENGTH,
    "string_above_max_length": ErrorKind.CONTEXT_LENGTH,
    "content_filter": ErrorKind.CONTENT_FILTER,
    "content_policy_violation": ErrorKind.CONTENT_FILTER,
    "insufficient_quota": ErrorKind.QUOTA,
    "billing_hard_limit_reached": ErrorKind.QUOTA,
    "billing_not_active": ErrorKind.QUOTA,
    "insufficient_balance": ErrorKind.QUOTA,
    "rate_limit_exceeded": ErrorKind.RATE_LIMIT,
    "rate_limit_error": ErrorKind.RATE_LIMIT,
    "tokens": ErrorKind.RATE_LIMIT,
    "requests": ErrorKind.RATE_LIMIT,
    "invalid_api_key": ErrorKind.AUTH,
    "authentication_error": ErrorKind.AUTH,
    "permission_error": ErrorKind.PERMISSION,
    "model_not_found": ErrorKind.NOT_FOUND,
    "deploymentnotfound": ErrorKind.NOT_FOUND,
    "not_found_error": ErrorKind.NOT_FOUND,
    "overloaded_error": ErrorKind.OVERLOADED,
    "engine_overloaded": ErrorKind.OVERLOADED,
    "slow_down": ErrorKind.OVERLOADED,
    "timeout": ErrorKind.TIMEOUT,
    "server_error": ErrorKind.SERVER,
    "internal_error": ErrorKind.SERVER,
    "internal_server_error": ErrorKind.SERVER,
    "invalid_request_error": ErrorKind.BAD_REQUEST,
}
_GENERIC = frozenset({ErrorKind.BAD_REQUEST, ErrorKind.SERVER})
"""Kinds a type word says so loosely that the status knows better."""
_CONTEXT = re.compile(
    r"maximum context length|context (window|length|size)|exceeds? the (available )?context|too many (input )?tokens|"
    r"input is too long|prompt is too long",
    re.IGNORECASE,
)
_FILTER = re.compile(r"content (management )?policy|content filter|safety system", re.IGNORECASE)
_MONEY = re.compile(
    r"exceeded your current quota|insufficient (credit|balance|quota|funds)|credit balance|billing|out of credits|"
    r"spend(ing)? limit|payment required",
    re.IGNORECASE,
)
_CLASSES: Mapping[ErrorKind, type[ProviderError]] = {
    ErrorKind.RATE_LIMIT: RateLimitError,
    ErrorKind.TIMEOUT: TimeoutError,
}
_TYPES: Mapping[ErrorKind, str] = {
    ErrorKind.BUDGET: "insufficient_quota",
    ErrorKind.RATE_LIMIT: "rate_limit_error",
    ErrorKind.QUOTA: "rate_limit_error",
    ErrorKind.NOT_FOUND: "not_found_error",
    ErrorKind.TIMEOUT: "timeout_error",
}


class _Told(NamedTuple):
    """What an error body says."""

    message: str
    words: tuple[str, ...] = ()
    param: str | None = None
    code: int | None = None
    """A status inside the body (OpenRouter, Gemini's compatible endpoint)."""
    retry_after: float | None = None


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """An answer of status >= 400 as an error. Never raises, whatever the body is."""
    told = _read(_parsed(body))
    exact = retry_after(headers)
    return _build(told, status, headers.get("x-request-id"), told.retry_after if exact is None else exact, body)


def stream_error(payload: object) -> ProviderError:
    """The error in a 200 answer: a chunk or a body with an `error` member, or the data of an `error` event."""
    told = _read(payload)
    return _build(told, told.code or 200, None, told.retry_after, _json.dumps(payload))


def _build(told: _Told, status: int, request_id: str | None, wait: float | None, body: bytes) -> ProviderError:
    kind = _kind(status, told)
    return _CLASSES.get(kind, ProviderError)(
        told.message or f"{_PLAIN} (status {status})",
        kind=kind,
        status=status,
        request_id=request_id,
        retry_after=wait,
        param=told.param,
        raw=body[:MAX_RAW],
    )


def _parsed(body: bytes) -> object:
    try:
        return _json.loads(body)
    except _json.JsonError:
        return None


def _read(wire: object) -> _Told:
    """The error in a body: OpenAI's object, a plain string, FastAPI's `detail`, or a list around it (Gemini)."""
    if isinstance(wire, list):
        items = cast("list[object]", wire)
        return _read(items[0]) if items else _Told("")
    if not isinstance(wire, dict):
        return _Told("")
    outer = cast("Object", wire)
    inner = outer.get("error", outer)
    if isinstance(inner, str):
        return _Told(inner, _words(outer))
    if not isinstance(inner, dict):
        inner = outer
    error = cast("Object", inner)
    message, param, code = error.get("message"), error.get("param"), error.get("code")
    if not isinstance(message, str) or not message:
        detail = outer.get("detail")
        message = detail if isinstance(detail, str) else ""
    return _Told(
        message,
        _words(error),
        param if isinstance(param, str) else None,
        code if isinstance(code, int) and 400 <= code <= 599 else None,
        _retry_info(error.get("details")),
    )


def _words(error: Mapping[str, object]) -> tuple[str, ...]:
    inner = error.get("innererror")
    found = [error.get("code"), error.get("type"), error.get("status")]
    if isinstance(inner, dict):
        found.insert(0, cast("Object", inner).get("code"))
    return tuple(word for word in found if isinstance(word, str))


def _kind(status: int, told: _Told) -> ErrorKind:
    kind = next((_BY_WORD[word.lower()] for word in told.words if word.lower() in _BY_WORD), None)
    if kind is None or (kind in _GENERIC and (status if status >= 400 else 0) in _BY_STATUS):
        kind = _BY_STATUS.get(status, kind)
    if kind is None:
        kind = ErrorKind.SERVER if status >= 500 else ErrorKind.BAD_REQUEST if status >= 400 else ErrorKind.SERVER
    return _refined(kind, told.message)


def _refined(kind: ErrorKind, message: str) -> ErrorKind:
    """What neither status nor word tell: compatible servers say it only in the message."""
    if kind in (ErrorKind.RATE_LIMIT, ErrorKind.BAD_REQUEST, ErrorKind.PERMISSION) and _MONEY.search(message):
        return ErrorKind.QUOTA
    if kind in (ErrorKind.BAD_REQUEST, ErrorKind.UNPROCESSABLE, ErrorKind.TOO_LARGE):
        if _CONTEXT.search(message):
            return ErrorKind.CONTEXT_LENGTH
        if _FILTER.search(message):
            return ErrorKind.CONTENT_FILTER
    return kind


def _retry_info(details: object) -> float | None:
    """Google's RetryInfo: `{"retryDelay": "17s"}`."""
    for detail in cast("list[object]", details) if isinstance(details, list) else []:
        delay = cast("Object", detail).get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str):
            return seconds(delay.removesuffix("s"))
    return None


def _type_word(error: ExecutionPlatformError) -> str:
    # A credential or permission of ours that the provider refuses is not the caller's.
    if error.kind is ErrorKind.AUTH:
        return "authentication_error" if error.raised_by == "gateway" else "server_error"
    if error.kind is ErrorKind.PERMISSION:
        return "permission_error" if error.raised_by == "gateway" else "server_error"
    return _TYPES.get(error.kind, "invalid_request_error" if error.status < 500 else "server_error")


def _shown(error: ExecutionPlatformError) -> str:
    rule = ERROR_TABLE[error.kind]
    if rule.public or (error.raised_by == "gateway" and error.kind is not ErrorKind.UNKNOWN):
        return error.message
    return _HIDDEN


def encode_error(error: ExecutionPlatformError, request_id: str) -> bytes:
    """An error body."""
    wire: Object = {
        "message": _shown(error),
        "type": _type_word(error),
        "param": error.param,
        "code": error.code,
        "raised_by": error.raised_by,
    }
    if request_id:
        wire["request_id"] = request_id
    return _json.dumps({"error": wire})
