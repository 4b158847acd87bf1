"""Errors on the native wire.

A body is OpenAI's shape with our additions: `{"error": {"message", "type", "param", "code", "raised_by", "retryable",
"request_id", "retry_after"?}}`. Inside a stream it is the event `error` with `{"error", "code", "retryable"}`. The `code` is the stable
machine word; `exception_for` turns it, or else the status, back into the exception it stood for.
"""

import contextlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple, cast

from execution_platform import _json
from execution_platform.dialects.sse import event_frame
from execution_platform.dialects.take import Object, put
from execution_platform.exceptions import (
    ERROR_TABLE,
    AuthenticationError,
    BudgetExceeded,
    CircuitBreakerOpenError,
    ConfigError,
    ErrorKind,
    ExecutionPlatformError,
    InvalidRequest,
    NotConfigured,
    PermissionDenied,
    ProtocolError,
    ProviderError,
    RateLimited,
    RateLimitError,
    RequestTooLarge,
    RequirementError,
    RouterError,
    TimeoutError,  # noqa: A004 - the published name
    ToolError,
    UnprocessableRequest,
    UnsupportedEncoding,
    UnsupportedFeature,
)

MAX_RAW = 64 * 1024
_GENERAL = "The request could not be completed."

_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def public_message(error: ExecutionPlatformError) -> str:
    """The message as a caller may read it: a provider's private failures become a general sentence."""
    rule = ERROR_TABLE[error.kind]
    if rule.public or (error.raised_by == "gateway" and error.kind is not ErrorKind.UNKNOWN):
        return error.message
    return "The provider refused the request." if error.raised_by == "provider" else _GENERAL


def status_of(error: ExecutionPlatformError) -> int:
    """The HTTP status on native paths, whose clients know 429 but not 402 for a used-up budget."""
    return 429 if error.status == 402 else error.status


def encode_error(error: ExecutionPlatformError, request_id: str) -> bytes:
    """An error body."""
    status = status_of(error)
    inner: Object = {
        "message": public_message(error),
        "type": _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error"),
        "param": error.param,
        "code": error.code,
        "raised_by": error.raised_by,
        "retryable": error.retryable,
        "request_id": request_id,
    }
    put(inner, retry_after=error.retry_after)
    return _json.dumps({"error": inner})


def error_frame(error: ExecutionPlatformError, request_id: str, *, array: bytes | None = None) -> bytes:
    """The `error` event; the request id is in the header."""
    del request_id, array
    body = {"error": public_message(error), "code": error.code, "retryable": error.retryable}
    return event_frame("error", _json.dumps(body))


class Told(NamedTuple):
    """What an error answer says about itself."""

    message: str
    code: str | None = None
    param: str | None = None
    raised_by: str | None = None


class Circumstances(NamedTuple):
    """What surrounds an error answer."""

    status: int | None = None
    retry_after: float | None = None
    request_id: str | None = None
    raw: bytes | None = None


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def read_body(status: int, body: bytes) -> Told:
    """An error body as its parts; any other body (HTML of a proxy, nothing) as a general sentence."""
    general = Told(f"the gateway answered with status {status}")
    try:
        value = _json.loads(body)
    except _json.JsonError:
        return general
    error = cast("Object", value).get("error") if isinstance(value, dict) else None
    if isinstance(error, str):
        return Told(error, _word(cast("Object", value).get("code")))
    if not isinstance(error, dict):
        return general
    inner = cast("Object", error)
    message = _word(inner.get("message")) or general.message
    return Told(message, _word(inner.get("code")), _word(inner.get("param")), _word(inner.get("raised_by")))


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `retry-after` (seconds or an HTTP date)."""
    with contextlib.suppress(ValueError):
        return max(0.0, float(headers["retry-after-ms"]) / 1000) if "retry-after-ms" in headers else _seconds(headers)
    return _seconds(headers)


def _seconds(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


_OURS: tuple[type[ExecutionPlatformError], ...] = (
    RouterError,
    ConfigError,
    InvalidRequest,
    RequestTooLarge,
    UnsupportedEncoding,
    AuthenticationError,
    PermissionDenied,
    RequirementError,
    NotConfigured,
    BudgetExceeded,
    RateLimited,
    ToolError,
)
_BY_CODE: Mapping[str, type[ExecutionPlatformError]] = {
    **{each.code: each for each in _OURS},
    "persona_not_found": RouterError,
    "token_budget_exceeded": BudgetExceeded,
}
_BY_STATUS: Mapping[int, type[ExecutionPlatformError]] = {
    400: InvalidRequest,
    401: AuthenticationError,
    402: BudgetExceeded,
    403: PermissionDenied,
    404: RouterError,
    412: RequirementError,
    413: RequestTooLarge,
    415: UnsupportedEncoding,
    422: UnprocessableRequest,
    429: RateLimited,
    503: NotConfigured,
}
_KIND_BY_STATUS: Mapping[int, ErrorKind] = {
    400: ErrorKind.BAD_REQUEST,
    401: ErrorKind.AUTH,
    402: ErrorKind.BUDGET,
    403: ErrorKind.PERMISSION,
    404: ErrorKind.NOT_FOUND,
    412: ErrorKind.REQUIREMENT,
    413: ErrorKind.TOO_LARGE,
    415: ErrorKind.UNSUPPORTED_MEDIA,
    422: ErrorKind.UNPROCESSABLE,
    429: ErrorKind.RATE_LIMIT,
    503: ErrorKind.UNAVAILABLE,
    504: ErrorKind.TIMEOUT,
}
_CLASS_BY_KIND: Mapping[ErrorKind, type[ProviderError]] = {
    ErrorKind.RATE_LIMIT: RateLimitError,
    ErrorKind.TIMEOUT: TimeoutError,
    ErrorKind.PROTOCOL: ProtocolError,
}
_KINDS: Mapping[str, ErrorKind] = {kind.value: kind for kind in ErrorKind}
_BREAKER = frozenset({"circuit_open", "breaker_open", "circuit_breaker_open"})


def _unsupported(told: Told, around: Circumstances) -> ExecutionPlatformError:
    error = UnsupportedFeature((), target="the target")
    error.message, error.param, error.args = told.message, told.param, (told.message,)
    error.retry_after = around.retry_after
    return error


def exception_for(told: Told, around: Circumstances) -> ExecutionPlatformError:
    """The exception that `told` stands for: by its code, else by who raised it, else by the status."""
    code = told.code or ""
    if code == UnsupportedFeature.code:
        return _unsupported(told, around)
    if code == InvalidRequest.code and around.status == 422:
        return _ours(UnprocessableRequest, told, around)
    if code in _BY_CODE:
        return _ours(_BY_CODE[code], told, around)
    is_provider = told.raised_by == "provider" or code.startswith("provider_") or code in _BREAKER
    if not is_provider and around.status is not None and around.status in _BY_STATUS:
        return _ours(_BY_STATUS[around.status], told, around)
    if not is_provider and told.raised_by == "gateway" and around.status != 504:
        return _ours(ExecutionPlatformError, told, around)
    return provider_error(told, around)


def _ours(made: Callable[..., ExecutionPlatformError], told: Told, around: Circumstances) -> ExecutionPlatformError:
    return made(told.message, code=told.code, param=told.param, retry_after=around.retry_after)


def provider_error(told: Told, around: Circumstances) -> ProviderError:
    """`told` as the failure of an upstream."""
    code = told.code or ""
    kind = _kind(code, around.status)
    made: type[ProviderError] = CircuitBreakerOpenError if code in _BREAKER else _CLASS_BY_KIND.get(kind, ProviderError)
    return made(
        told.message,
        kind=kind,
        status=around.status,
        code=told.code,
        param=told.param,
        retry_after=around.retry_after,
        request_id=around.request_id,
        raw=around.raw,
    )


def _kind(code: str, status: int | None) -> ErrorKind:
    word = code.removeprefix("provider_")
    if word != code and word in _KINDS:
        return _KINDS[word]
    if code in _BREAKER:
        return ErrorKind.UNAVAILABLE
    if code in _BY_CODE:
        return _BY_CODE[code].kind
    if status is None:
        return ErrorKind.UNKNOWN
    return _KIND_BY_STATUS.get(status, ErrorKind.SERVER if status >= 500 else ErrorKind.BAD_REQUEST)


def _around(status: int, headers: Mapping[str, str], body: bytes) -> Circumstances:
    return Circumstances(status, read_retry_after(headers), headers.get("x-request-id"), body[:MAX_RAW])


def decode_exception(status: int, headers: Mapping[str, str], body: bytes) -> ExecutionPlatformError:
    """An HTTP answer of status >= 400 as the exception the gateway meant; header names are lower case."""
    return exception_for(read_body(status, body), _around(status, headers, body))


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """The same as the failure of an upstream, for callers that stand before another gateway."""
    return provider_error(read_body(status, body), _around(status, headers, body))


def decode_event(data: Mapping[str, object]) -> ExecutionPlatformError:
    """The data of an `error` event as the exception it stands for."""
    told = Told(_word(data.get("error")) or "the stream failed without saying why", _word(data.get("code")))
    return exception_for(told, Circumstances())
