"""What can go wrong on the way to an upstream and back, as errors of the house.

The texts name the upstream's host and nothing else of the URL, and never a header.
"""

import builtins
import ssl

from execution_platform.exceptions import ErrorKind, ProtocolError, ProviderError, TimeoutError  # noqa: A004
from execution_platform.transport.pool import NameUnknown
from execution_platform.transport.wire import Hangup, NotHttp


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
    match error:
        case ssl.SSLCertVerificationError():
            text = f"the TLS certificate is not accepted ({error.verify_message})"
        case ssl.SSLError():
            text = "TLS could not be agreed on"
        case NameUnknown():
            text = "the host name is not known"
        case OSError():
            text = f"no connection: {error.strerror or type(error).__name__}"
        case _:
            text = "no connection"
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
