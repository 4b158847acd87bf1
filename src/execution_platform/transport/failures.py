"""What can go wrong on the way to an upstream and back, as errors of the house.

The texts name the upstream's host and nothing else of the URL, and never a header.
"""

import builtins
import ssl

import aiohttp

from execution_platform.exceptions import ErrorKind, ProtocolError, ProviderError, TimeoutError  # noqa: A004
from execution_platform.transport.wire import Hangup, NotHttp

WIRE_ERRORS = (aiohttp.ClientError, OSError, builtins.TimeoutError)
"""Everything the pool raises."""


class Silence(Exception):
    """The upstream was silent for too long, or the call took too long in all."""


FAILURES = (Hangup, NotHttp, Silence)
"""Everything that befalls an answer."""


def is_disconnect(error: BaseException) -> bool:
    """Whether the other end closed or reset the connection."""
    return isinstance(error, Hangup)


def not_connected(error: BaseException, host: str) -> ProviderError:
    """No connection came about, so nothing was sent."""
    if isinstance(error, builtins.TimeoutError):
        return TimeoutError(f"{host}: no connection in time", kind=ErrorKind.TIMEOUT, never_sent=True)
    text = "no connection"
    match error:
        case aiohttp.ClientConnectorCertificateError():
            text = f"the TLS certificate is not accepted ({_certificate_reason(error.certificate_error)})"
        case aiohttp.ClientConnectorDNSError():
            text = "the host name is not known"
        case aiohttp.ClientConnectorError():
            text = f"no connection: {error.os_error.strerror or type(error.os_error).__name__}"
        case aiohttp.ClientSSLError():
            text = "TLS could not be agreed on"
        case _:
            pass
    return ProviderError(f"{host}: {text}", kind=ErrorKind.CONNECTION, never_sent=True)


def not_answered(error: BaseException, host: str) -> ProviderError:
    """The request went out and no head of an answer came back."""
    match error:
        case Silence():
            return TimeoutError(f"{host}: {error or 'no answer in time'}", kind=ErrorKind.TIMEOUT)
        case NotHttp():
            return ProtocolError(f"{host}: the answer is not HTTP/1.1 within its bounds", kind=ErrorKind.PROTOCOL)
        case _:
            return ProviderError(f"{host}: the connection was closed before an answer", kind=ErrorKind.CONNECTION)


def cut_short(error: BaseException, host: str) -> ProviderError:
    """The head came and the body did not come to its end."""
    match error:
        case Silence():
            return TimeoutError(f"{host}: {error or 'the answer stopped'}", kind=ErrorKind.TIMEOUT)
        case NotHttp():
            return ProtocolError(f"{host}: the body of the answer breaks its own framing", kind=ErrorKind.PROTOCOL)
        case _:
            return ProviderError(f"{host}: the connection was closed within the answer", kind=ErrorKind.CONNECTION)


def _certificate_reason(error: Exception) -> str:
    return error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else type(error).__name__
