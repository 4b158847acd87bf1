"""Every error of the house, and the one table that decides what follows from each.

The tree::

    ExecutionPlatformError
    ├── RouterError (also a ValueError)         a persona, model or provider name leads nowhere
    ├── ConfigError (also a ValueError)         the configuration cannot be used
    ├── InvalidRequest                          the caller's request is malformed
    │   └── RequestTooLarge
    ├── AuthenticationError                     no gateway key, or a wrong one
    ├── PermissionDenied                        the gateway key may not do this
    ├── RequirementError                        the chosen provider lacks a required capability
    ├── UnsupportedFeature                      a translation would lose something that matters
    ├── BudgetExceeded                          money or tokens are used up
    ├── PriceUnknown                            nobody knows what the model costs
    ├── RateLimited                             our own limit, not a provider's
    ├── ToolError                               told to the model as a tool result
    │   ├── ToolNotFound
    │   ├── InvalidToolArguments
    │   ├── ToolTimeout
    │   ├── SandboxUnavailable                  commands of models cannot run on this machine
    │   ├── ToolDenied                          the tool may not do this, here or at this level
    │   └── TargetNotFound                      what the tool was to work on is not there
    └── ProviderError                           a provider failed
        ├── RateLimitError
        ├── CircuitBreakerOpenError
        ├── TimeoutError (also the builtin one)
        └── ProtocolError                       the bytes do not speak the dialect

Status, retry, failover, breaker, log level and visibility of a failure are read from
`ERROR_TABLE` and from nowhere else.
"""

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol


class ErrorKind(StrEnum):
    """What went wrong, as a closed set."""

    AUTH = "auth"
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    BAD_REQUEST = "bad_request"
    UNPROCESSABLE = "unprocessable"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA = "unsupported_media"
    REQUIREMENT = "requirement"
    CONTEXT_LENGTH = "context_length"
    CONTENT_FILTER = "content_filter"
    BUDGET = "budget"
    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    QUOTA = "quota"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    SERVER = "server"
    PROTOCOL = "protocol"
    UNAVAILABLE = "unavailable"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


LogLevel = Literal["debug", "info", "warning", "error"]
ErrorClass = Literal["transient", "rate_limit", "auth", "invalid_request", "provider_error"]


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """What follows from an `ErrorKind` when a provider raised it."""

    status: int
    """Status sent downstream."""
    retry: bool
    """The same target may be tried again."""
    failover: bool
    """The next target of the chain may be tried."""
    breaker: bool
    """Counts against the deployment's circuit breaker."""
    level: LogLevel
    public: bool
    """The message may be shown downstream (after redaction); otherwise a general sentence is."""
    published: ErrorClass
    """The class of the published taxonomy."""


ERROR_TABLE: Mapping[ErrorKind, ErrorRule] = {
    # A credential of ours that the provider refuses is not the caller's fault: 502, and the next target may work.
    ErrorKind.AUTH: ErrorRule(502, False, True, True, "error", False, "auth"),
    ErrorKind.PERMISSION: ErrorRule(502, False, True, False, "error", False, "auth"),
    ErrorKind.NOT_FOUND: ErrorRule(404, False, True, False, "warning", True, "invalid_request"),
    ErrorKind.BAD_REQUEST: ErrorRule(400, False, False, False, "info", True, "invalid_request"),
    ErrorKind.UNPROCESSABLE: ErrorRule(422, False, False, False, "info", True, "invalid_request"),
    ErrorKind.TOO_LARGE: ErrorRule(413, False, True, False, "info", True, "invalid_request"),
    ErrorKind.UNSUPPORTED_MEDIA: ErrorRule(415, False, False, False, "info", True, "invalid_request"),
    ErrorKind.REQUIREMENT: ErrorRule(412, False, True, False, "info", True, "invalid_request"),
    ErrorKind.CONTEXT_LENGTH: ErrorRule(400, False, True, False, "info", True, "invalid_request"),
    ErrorKind.CONTENT_FILTER: ErrorRule(400, False, False, False, "info", True, "invalid_request"),
    ErrorKind.BUDGET: ErrorRule(402, False, False, False, "warning", True, "rate_limit"),
    ErrorKind.RATE_LIMIT: ErrorRule(429, True, True, False, "warning", True, "rate_limit"),
    ErrorKind.OVERLOADED: ErrorRule(503, True, True, True, "warning", True, "transient"),
    ErrorKind.QUOTA: ErrorRule(429, False, True, False, "error", False, "rate_limit"),
    ErrorKind.TIMEOUT: ErrorRule(504, True, True, True, "warning", True, "transient"),
    ErrorKind.CONNECTION: ErrorRule(502, True, True, True, "warning", True, "transient"),
    ErrorKind.SERVER: ErrorRule(502, True, True, True, "warning", True, "provider_error"),
    ErrorKind.PROTOCOL: ErrorRule(502, False, True, True, "error", True, "provider_error"),
    ErrorKind.UNAVAILABLE: ErrorRule(503, False, True, False, "warning", True, "transient"),
    ErrorKind.CANCELLED: ErrorRule(499, False, False, False, "info", True, "transient"),
    ErrorKind.UNKNOWN: ErrorRule(502, False, True, True, "error", False, "provider_error"),
}


class ExecutionPlatformError(Exception):
    """The root: carries everything a dialect needs to render it.

    `code` is the stable machine word; `param` the path inside the request that is at fault;
    `raised_by` tells whether the gateway or a provider refused.
    """

    kind: ErrorKind = ErrorKind.UNKNOWN
    code: str = "internal_error"
    raised_by: Literal["gateway", "provider"] = "gateway"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        if code is not None:
            self.code = code

    @property
    def status(self) -> int:
        """HTTP status sent downstream."""
        return ERROR_TABLE[self.kind].status

    @property
    def failover(self) -> bool:
        """Whether the next target of the chain may do better."""
        return ERROR_TABLE[self.kind].failover

    @property
    def retryable(self) -> bool:
        """Whether the caller may expect the same request to succeed later."""
        return ERROR_TABLE[self.kind].retry


class RouterError(ExecutionPlatformError, ValueError):
    """A persona, model or provider name leads nowhere; the message lists the nearest names."""

    kind = ErrorKind.NOT_FOUND
    code = "model_not_found"


class ConfigError(ExecutionPlatformError, ValueError):
    """The configuration cannot be used; the message names path, problem and remedy."""

    kind = ErrorKind.UNAVAILABLE
    code = "invalid_configuration"


class InvalidRequest(ExecutionPlatformError):
    """The request is malformed: wrong type, missing member, not JSON."""

    kind = ErrorKind.BAD_REQUEST
    code = "invalid_request"


class UnprocessableRequest(InvalidRequest):
    """The native body is JSON but not a request (missing `messages`, wrong types)."""

    kind = ErrorKind.UNPROCESSABLE


class RequestTooLarge(InvalidRequest):
    """The body is over the limit."""

    kind = ErrorKind.TOO_LARGE
    code = "request_too_large"


class UnsupportedEncoding(InvalidRequest):
    """The body is compressed, or is not JSON by its content type."""

    kind = ErrorKind.UNSUPPORTED_MEDIA
    code = "unsupported_encoding"


class AuthenticationError(ExecutionPlatformError):
    """No gateway key, or one that is not known. The text is the same for every cause."""

    kind = ErrorKind.AUTH
    code = "invalid_api_key"

    @property
    def status(self) -> int:
        """The caller's own failure, so 401, unlike a credential of ours that a provider refuses."""
        return 401


class PermissionDenied(ExecutionPlatformError):
    """The gateway key is known and may not do this."""

    kind = ErrorKind.PERMISSION
    code = "permission_denied"

    @property
    def status(self) -> int:
        """The caller's own failure, so 403."""
        return 403


class RequirementError(ExecutionPlatformError):
    """The explicitly chosen provider lacks a capability that the request or persona requires."""

    kind = ErrorKind.REQUIREMENT
    code = "requirement_not_met"


class NotConfigured(ExecutionPlatformError):
    """A provider is named but has no credential, or no candidate of the chain is usable."""

    kind = ErrorKind.UNAVAILABLE
    code = "provider_not_configured"


class Lost(Protocol):
    """What a translation could not carry: `spi.Loss`."""

    @property
    def path(self) -> str:
        """Where it stood in the request."""
        ...

    @property
    def what(self) -> str:
        """What it was."""
        ...


class UnsupportedFeature(ExecutionPlatformError):
    """Translating the request would lose something the loss policy does not allow to lose."""

    kind = ErrorKind.BAD_REQUEST
    code = "unsupported_feature"

    def __init__(self, losses: Sequence[Lost], *, target: str) -> None:
        listed = "; ".join(f"{loss.path}: {loss.what}" for loss in losses)
        super().__init__(
            f"{target} cannot carry this request without losing: {listed}. Remove it, choose another model, "
            f"or set the loss policy to lenient.",
            param=losses[0].path if losses else None,
        )
        self.losses = tuple(losses)
        self.target = target

    @property
    def failover(self) -> bool:
        """Another target may be able to carry what this one would lose."""
        return True


class BudgetExceeded(ExecutionPlatformError):
    """Money or tokens of a budget are used up. Where tokens are, the kind is `rate_limit`, as for every token limit."""

    kind = ErrorKind.BUDGET
    code = "cost_budget_exceeded"

    @property
    def failover(self) -> bool:
        """The caller's budget binds every target."""
        return False

    @property
    def retryable(self) -> bool:
        """Asking again changes nothing before the period ends."""
        return False


class PriceUnknown(ExecutionPlatformError):
    """Nobody knows what the model costs, so its use cannot be accounted for: it is refused, never free by accident."""

    kind = ErrorKind.BUDGET
    code = "price_unknown"

    @property
    def failover(self) -> bool:
        """The next target of the chain may have a price."""
        return True


class RateLimited(ExecutionPlatformError):
    """A limit of ours is reached; `retry_after` says when to come back."""

    kind = ErrorKind.RATE_LIMIT
    code = "rate_limit_exceeded"


class ToolError(ExecutionPlatformError):
    """A tool failed; the message is given to the model as a tool result."""

    kind = ErrorKind.SERVER
    code = "tool_error"


class ToolNotFound(ToolError):
    """No tool has that name; the message lists the nearest."""

    kind = ErrorKind.NOT_FOUND
    code = "not_found"


class InvalidToolArguments(ToolError):
    """The arguments do not fit the tool's schema; the message names field, problem and schema."""

    kind = ErrorKind.BAD_REQUEST
    code = "invalid_args"


class ToolTimeout(ToolError):
    """A tool was stopped at its time limit."""

    kind = ErrorKind.TIMEOUT
    code = "timeout"


class SandboxUnavailable(ToolError):
    """No command can run on this machine; the message says why and what helps."""

    code = "sandbox_unavailable"


class ToolDenied(ToolError):
    """The call is well formed and not allowed; the message says by what, and what is."""

    kind = ErrorKind.PERMISSION
    code = "permission_denied"

    @property
    def status(self) -> int:
        """The caller's own call, so 403."""
        return 403


class TargetNotFound(ToolError):
    """The file, page or table a tool was to work on does not exist."""

    kind = ErrorKind.NOT_FOUND
    code = "not_found"


class ProviderError(ExecutionPlatformError):
    """A provider failed. `kind` decides what happens next, `raw` is its body as received.

    `never_sent` is true when no byte of the request can have reached the provider's handler,
    so that trying again cannot repeat anything.
    """

    code = "provider_error"
    raised_by = "provider"

    def __init__(  # noqa: PLR0913 - every fact is optional and keyword-only
        self,
        message: str,
        *,
        kind: ErrorKind = ErrorKind.UNKNOWN,
        status: int | None = None,
        provider: str | None = None,
        model: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        raw: bytes | None = None,
        code: str | None = None,
        param: str | None = None,
        never_sent: bool = False,
    ) -> None:
        super().__init__(message, code=code or f"provider_{kind.value}", param=param, retry_after=retry_after)
        self.kind = kind
        self.upstream_status = status
        self.provider = provider
        self.model = model
        self.request_id = request_id
        self.raw = raw
        self.never_sent = never_sent
        self.provider_dialect: str | None = None
        """The dialect `raw` is written in, when a dialect decoded it."""


class RateLimitError(ProviderError):
    """A provider's rate limit."""


class CircuitBreakerOpenError(ProviderError):
    """The deployment's breaker is open: nothing was sent."""


class TimeoutError(ProviderError, builtins.TimeoutError):  # noqa: A001 - the published name
    """A provider did not answer in time."""


class ProtocolError(ProviderError):
    """The provider's bytes do not speak its dialect, or stop before the end."""
