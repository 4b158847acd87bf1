"""The HTTP library and what its failures mean. The only place of the SDK that knows it."""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, cast

from execution_platform.exceptions import ErrorKind, ProviderError, TimeoutError  # noqa: A004 - the published name

if TYPE_CHECKING:
    import httpx2

CONNECT = 10.0
TIMEOUT = (CONNECT, None, None, None)
"""Connect, read, write, pool. An agent may think for an hour, so nothing but the connection has a limit."""
CONNECTIONS = 10_000
"""As many streams at once as anybody asks for; the gateway limits, not the client."""


def library() -> "ModuleType":
    """`execution_platform.client.httpx`, so that replacing that attribute replaces the library."""
    return cast("ModuleType", sys.modules[__package__ or "execution_platform.client"].httpx)


def client() -> "httpx2.Client":
    """A blocking connection pool."""
    httpx = library()
    return httpx.Client(timeout=TIMEOUT, limits=httpx.Limits(max_connections=CONNECTIONS))


def async_client() -> "httpx2.AsyncClient":
    """A connection pool for asyncio."""
    httpx = library()
    return httpx.AsyncClient(timeout=TIMEOUT, limits=httpx.Limits(max_connections=CONNECTIONS))


def failures() -> type[Exception]:
    """What the library raises when the network fails."""
    return library().HTTPError


def failure(error: Exception, url: str, *, begun: bool) -> ProviderError:
    """The network's failure as ours; `begun` tells that the answer had started."""
    what = str(error) or type(error).__name__
    if begun:
        sentence = f"the connection to {url} broke before the answer was complete: {what}"
        return ProviderError(sentence, kind=ErrorKind.CONNECTION)
    if isinstance(error, library().TimeoutException):
        sentence = f"no connection to {url} within {CONNECT:.0f} s; check the address and that the gateway runs"
        return TimeoutError(sentence, kind=ErrorKind.TIMEOUT, never_sent=True)
    sentence = f"cannot reach {url}: {what}; check the address and that the gateway runs (`ep serve`)"
    return ProviderError(sentence, kind=ErrorKind.CONNECTION)
