"""How commands end: the exit codes, and errors as one line for people.

| code | meaning |
|---|---|
| 0 | done |
| 1 | failed: a provider, the gateway or the platform itself broke |
| 2 | usage or configuration: an option, a name or the file is wrong |
| 3 | unreachable or not configured: no provider, no gateway, no key for it |
| 4 | refused: key, permission, budget, limit or a capability that is missing |
| 130 | interrupted |
"""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from enum import IntEnum

import typer

from execution_platform.exceptions import (
    AuthenticationError,
    BudgetExceeded,
    ConfigError,
    ErrorKind,
    ExecutionPlatformError,
    InvalidRequest,
    NotConfigured,
    PermissionDenied,
    RateLimited,
    RequirementError,
    RouterError,
    UnsupportedFeature,
)


class Exit(IntEnum):
    """The exit codes."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    INTERRUPTED = 130


_REFUSED = (
    AuthenticationError,
    BudgetExceeded,
    PermissionDenied,
    RateLimited,
    RequirementError,
    UnsupportedFeature,
)
_USAGE = (ConfigError, InvalidRequest, RouterError)
_UNREACHABLE_KINDS = frozenset({ErrorKind.CONNECTION, ErrorKind.TIMEOUT, ErrorKind.UNAVAILABLE})
_REFUSED_KINDS = frozenset(
    {ErrorKind.AUTH, ErrorKind.PERMISSION, ErrorKind.RATE_LIMIT, ErrorKind.QUOTA, ErrorKind.CONTENT_FILTER}
)


def exit_code(error: ExecutionPlatformError) -> Exit:
    """The exit code that tells `error`."""
    if isinstance(error, _REFUSED):
        return Exit.REFUSED
    if isinstance(error, _USAGE):
        return Exit.USAGE
    if isinstance(error, NotConfigured) or error.kind in _UNREACHABLE_KINDS:
        return Exit.UNREACHABLE
    return Exit.REFUSED if error.kind in _REFUSED_KINDS else Exit.FAILED


@contextmanager
def told() -> Generator[None]:
    """Tell an error of ours on standard error and end with its code; other errors are bugs and show their stack."""
    try:
        yield
    except ExecutionPlatformError as error:
        sys.stderr.write(f"ep: {error.message}\n")
        raise typer.Exit(exit_code(error)) from error
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None
