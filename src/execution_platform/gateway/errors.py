"""Errors on the wire: status, headers and body in the caller's dialect, without a secret in them."""

import math

from execution_platform import _json
from execution_platform.dialects.base import Dialect
from execution_platform.exceptions import (
    ERROR_TABLE,
    BudgetExceeded,
    ErrorKind,
    ExecutionPlatformError,
    ProviderError,
    RateLimited,
)
from execution_platform.gateway.headers import header_value
from execution_platform.gateway.http import HeaderList
from execution_platform.idempotency.errors import KeySpent
from execution_platform.observability.redaction import Redactor

_NATIVE_BUDGET = 429
"""Clients of the native path know only 429 for an exhausted budget."""

_ANTHROPIC_OVERLOADED = 529
"""`overloaded_error` (https://docs.claude.com/en/api/errors, 2026-11)."""


class InternalError(ExecutionPlatformError):
    """Our own failure. The cause is in the log under the request id."""

    kind = ErrorKind.SERVER
    code = "internal_error"

    @property
    def status(self) -> int:
        """Ours, so 500 and not a bad gateway."""
        return 500


class Overloaded(ExecutionPlatformError):
    """The process is full, or ends: nothing of the request was done. `retry_after` says when to come back."""

    kind = ErrorKind.OVERLOADED
    code = "overloaded"


def ending() -> Overloaded:
    """What is told to whom the process cannot serve to the end any more."""
    return Overloaded("the gateway is being stopped: try again", code="shutting_down", retry_after=1)


def status_of(error: ExecutionPlatformError, dialect: Dialect) -> int:
    """The downstream status."""
    if isinstance(error, BudgetExceeded) and dialect.name == "native":
        return _NATIVE_BUDGET
    if isinstance(error, Overloaded) and dialect.name == "anthropic":
        return _ANTHROPIC_OVERLOADED
    return error.status


def error_body(error: ExecutionPlatformError, dialect: Dialect, request_id: str, redactor: Redactor) -> bytes:
    """The body: the provider's own when it already is in the caller's dialect and may be shown, else ours."""
    if (
        isinstance(error, ProviderError)
        and error.raw
        and error.provider_dialect == dialect.name
        and ERROR_TABLE[error.kind].public
        and _is_object(error.raw)
    ):
        return redactor.body(error.raw)
    return redactor.body(dialect.encode_error(redactor.error(error), request_id))


def _is_object(raw: bytes) -> bool:
    try:
        return isinstance(_json.loads(raw), dict)
    except ValueError:
        return False


def error_headers(error: ExecutionPlatformError) -> HeaderList:
    """Headers that belong to the error itself."""
    headers: HeaderList = [(b"content-type", b"application/json")]
    if error.retry_after is not None:
        # Rounded up: who comes back at the second that is told finds room.
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
        if isinstance(error, RateLimited):
            headers.append((b"retry-after-ms", b"%d" % max(1, math.ceil(error.retry_after * 1000))))
    if isinstance(error, BudgetExceeded | KeySpent):
        # The vendors' clients repeat a 429 and a 409 by themselves unless they are told not to.
        headers.append((b"x-should-retry", b"false"))
    headers.append((b"x-ep-error", header_value(error.code)))
    return headers
