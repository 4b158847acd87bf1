"""Errors, both ways.

Source: ai.google.dev "Troubleshooting", google.rpc.Status and google.rpc.error_details (cloud.google.com/apis/design/errors),
google-genai 3.4 `errors.py`; read 2026-11. Wire: `{"error": {"code", "message", "status", "details": [...]}}`; inside a
stream the object comes as a data frame, or bare. Our stable code and who raised the error stand in an `ErrorInfo`.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from execution_platform import _json
from execution_platform.dialects.gemini.wire import items_of, mapping, member, objects, whole
from execution_platform.dialects.sse import data_frame
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

MAX_RAW: Final = 64 * 1024
DOMAIN: Final = "execution-platform"
_PLAIN: Final = "The provider answered with an error that is not in its documented form."
_HIDDEN: Final = "The request could not be completed by the provider."

_BY_WORD: Final[Mapping[str, ErrorKind]] = {
    "INVALID_ARGUMENT": ErrorKind.BAD_REQUEST,
    "FAILED_PRECONDITION": ErrorKind.BAD_REQUEST,
    "OUT_OF_RANGE": ErrorKind.BAD_REQUEST,
    "ALREADY_EXISTS": ErrorKind.BAD_REQUEST,
    "UNIMPLEMENTED": ErrorKind.BAD_REQUEST,
    "UNAUTHENTICATED": ErrorKind.AUTH,
    "PERMISSION_DENIED": ErrorKind.PERMISSION,
    "NOT_FOUND": ErrorKind.NOT_FOUND,
    "RESOURCE_EXHAUSTED": ErrorKind.RATE_LIMIT,
    "ABORTED": ErrorKind.SERVER,
    "CANCELLED": ErrorKind.CANCELLED,
    "INTERNAL": ErrorKind.SERVER,
    "UNKNOWN": ErrorKind.SERVER,
    "DATA_LOSS": ErrorKind.SERVER,
    "UNAVAILABLE": ErrorKind.OVERLOADED,
    "DEADLINE_EXCEEDED": ErrorKind.TIMEOUT,
}
_BY_STATUS: Final[Mapping[int, ErrorKind]] = {
    400: ErrorKind.BAD_REQUEST,
    401: ErrorKind.AUTH,
    402: ErrorKind.QUOTA,
    403: ErrorKind.PERMISSION,
    404: ErrorKind.NOT_FOUND,
    405: ErrorKind.NOT_FOUND,
    408: ErrorKind.TIMEOUT,
    409: ErrorKind.SERVER,
    413: ErrorKind.TOO_LARGE,
    415: ErrorKind.UNSUPPORTED_MEDIA,
    422: ErrorKind.UNPROCESSABLE,
    429: ErrorKind.RATE_LIMIT,
    499: ErrorKind.CANCELLED,
    501: ErrorKind.BAD_REQUEST,
    503: ErrorKind.OVERLOADED,
    504: ErrorKind.TIMEOUT,
    529: ErrorKind.OVERLOADED,
}
_EXACT: Final = frozenset({402, 408, 413, 415, 422, 429, 503, 504, 529})
"""Statuses that say more than the word beside them."""
_CONTEXT: Final = re.compile(
    r"input token count.*exceeds|exceeds the maximum number of tokens|too many (input )?tokens|context (window|length)",
    re.IGNORECASE | re.DOTALL,
)
_KEY: Final = re.compile(r"api[ _]key (not valid|not found|expired|invalid)|invalid api key", re.IGNORECASE)
_MONEY: Final = re.compile(r"billing|prepa(id|yment)|credits? (are|is) depleted|current quota", re.IGNORECASE)
_PLACE: Final = re.compile(r"location is not supported", re.IGNORECASE)
_FILTER: Final = re.compile(r"content filter|safety (filter|polic)|prohibited content", re.IGNORECASE)
_BAD_KEY: Final = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED", "ACCESS_TOKEN_EXPIRED"})

_WORDS: Final[Mapping[int, str]] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    412: "FAILED_PRECONDITION",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class _Told(NamedTuple):
    """What an error object says."""

    status: int
    word: str
    message: str
    details: list[Object]


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """An answer of status >= 400 as an error. Never raises, whatever the body is."""
    try:
        wire = _json.loads(body)
    except _json.JsonError:
        wire = None
    told = _told(status, wire)
    return _error(told, status, body[:MAX_RAW], headers)


def error_in_answer(wire: Mapping[str, object]) -> ProviderError:
    """An error object where an answer or a chunk of one was due; its own code stands for the status."""
    told = _told(None, wire)
    return _error(told, told.status, _json.dumps(wire)[:MAX_RAW], {})


def _told(status: int | None, wire: object) -> _Told:
    found = items_of(wire)
    body = mapping(found[0] if found else wire) or {}
    inner = member(body, "error") or body
    code = whole(inner.get("code"))
    word, message = inner.get("status"), inner.get("message")
    if isinstance(body.get("error"), str):
        message = body["error"]
    return _Told(
        status if status is not None else code if code is not None and 400 <= code < 600 else 500,
        word if isinstance(word, str) else "",
        message if isinstance(message, str) else "",
        objects(inner.get("details")),
    )


def _error(told: _Told, status: int, raw: bytes, headers: Mapping[str, str]) -> ProviderError:
    kind = _kind(told)
    error_class = {ErrorKind.RATE_LIMIT: RateLimitError, ErrorKind.TIMEOUT: TimeoutError}.get(kind, ProviderError)
    wait = retry_after(headers)
    return error_class(
        told.message or f"{_PLAIN} (status {status})",
        kind=kind,
        status=status,
        request_id=headers.get("x-request-id") or headers.get("x-goog-request-id"),
        retry_after=wait if wait is not None else _retry_info(told.details),
        raw=raw,
    )


def _kind(told: _Told) -> ErrorKind:
    kind = _BY_STATUS.get(told.status) if told.status in _EXACT else _BY_WORD.get(told.word)
    if kind is None:
        kind = _BY_STATUS.get(told.status) or (ErrorKind.SERVER if told.status >= 500 else ErrorKind.UNKNOWN)
    reasons = {detail.get("reason") for detail in told.details if isinstance(detail.get("reason"), str)}
    if reasons & _BAD_KEY or (kind is ErrorKind.BAD_REQUEST and _KEY.search(told.message)):
        return ErrorKind.AUTH
    if kind is ErrorKind.RATE_LIMIT:
        return ErrorKind.QUOTA if _is_quota(told) else kind
    if kind is ErrorKind.BAD_REQUEST:
        return _refined(told)
    return kind


def _refined(told: _Told) -> ErrorKind:
    """What INVALID_ARGUMENT and FAILED_PRECONDITION mean beyond a malformed request."""
    for pattern, kind in (
        (_CONTEXT, ErrorKind.CONTEXT_LENGTH),
        (_PLACE, ErrorKind.PERMISSION),
        (_FILTER, ErrorKind.CONTENT_FILTER),
    ):
        if pattern.search(told.message):
            return kind
    if told.word == "FAILED_PRECONDITION" and _MONEY.search(told.message):
        return ErrorKind.QUOTA
    return ErrorKind.BAD_REQUEST


def _is_quota(told: _Told) -> bool:
    """Whether a 429 will still be one in a minute: a daily quota, or money.

    The message of a plain rate limit speaks of quota and billing, too, so the violated quotas decide where they are told.
    """
    quotas = [
        f"{violation.get('quotaId')} {violation.get('quotaMetric')}".lower()
        for detail in told.details
        for violation in objects(detail.get("violations"))
    ]
    if quotas:
        return any("perday" in quota or "per_day" in quota or "permonth" in quota for quota in quotas)
    return _retry_info(told.details) is None and bool(_MONEY.search(told.message))


def _retry_info(details: list[Object]) -> float | None:
    """`retryDelay`, a duration such as `34.07s`."""
    for detail in details:
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and delay.endswith("s"):
            return seconds(delay[:-1])
    return None


def encode_error(error: ExecutionPlatformError, request_id: str) -> bytes:
    """An error body."""
    status = error.status
    # A credential of ours that a provider refuses is told in general; the gateway's own refusals are the caller's.
    shown = ERROR_TABLE[error.kind].public or error.raised_by == "gateway"
    info: Object = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": error.code,
        "domain": DOMAIN,
        "metadata": {"raised_by": error.raised_by, "request_id": request_id},
    }
    details = [info]
    if error.param is not None:
        violation = {"field": error.param, "description": error.message if shown else _HIDDEN}
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]})
    if error.retry_after is not None:
        delay = f"{error.retry_after:.3f}".rstrip("0").rstrip(".")
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{delay}s"})
    return _json.dumps(
        {
            "error": {
                "code": status,
                "message": error.message if shown else _HIDDEN,
                "status": _WORDS.get(status, "INTERNAL" if status >= 500 else "UNKNOWN"),
                "details": details,
            }
        }
    )


def error_frame(error: ExecutionPlatformError, request_id: str, *, array: bytes | None = None) -> bytes:
    """An error inside a stream: an event, or the last element of a JSON array behind what was written of it last."""
    if array is None:
        return data_frame(encode_error(error, request_id))
    before = array.rstrip()
    if before.endswith(b"]"):
        return b""
    lead = b"[" if not before else b"" if before.endswith((b",", b"[")) else b",\r\n"
    return lead + encode_error(error, request_id) + b"\r\n]\n"
