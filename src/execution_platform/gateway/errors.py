"""Errors on the wire: status, headers and body in the caller's dialect, without a secret in them."""

from execution_platform import _json
from execution_platform.dialects.base import Dialect
from execution_platform.exceptions import (
    ERROR_TABLE,
    BudgetExceeded,
    ErrorKind,
    ExecutionPlatformError,
    ProviderError,
)
from execution_platform.gateway.headers import header_value
from execution_platform.gateway.http import HeaderList
from execution_platform.observability.redaction import Redactor

_NATIVE_BUDGET = 429
"""Clients of the native path know only 429 for an exhausted budget."""


class InternalError(ExecutionPlatformError):
    """Our own failure. The cause is in the log under the request id."""

    kind = ErrorKind.SERVER
    code = "internal_error"

    @property
    def status(self) -> int:
        """Ours, so 500 and not a bad gateway."""
        return 500


def status_of(error: ExecutionPlatformError, dialect: Dialect) -> int:
    """The downstream status."""
    if isinstance(error, BudgetExceeded) and dialect.name == "native":
        return _NATIVE_BUDGET
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
        headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after))))
    headers.append((b"x-ep-error", header_value(error.code)))
    return headers
