"""The little of HTTP that the plain ASGI paths need: headers in, body in, answers out."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from execution_platform.exceptions import InvalidRequest, RequestTooLarge, UnsupportedEncoding

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
HeaderList = list[tuple[bytes, bytes]]

LATE = "ep.late"
"""Set in the scope of a request whose body has missed its deadline, by the connection it comes on."""

_SINGLE = frozenset(
    {b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key", b"host", b"content-length", b"idempotency-key"}
)


class SlowRequest(InvalidRequest):
    """The body did not arrive in time."""

    code = "request_timeout"

    @property
    def status(self) -> int:
        """The caller's own delay, so 408 and no gateway time-out."""
        return 408


class ClientGone(Exception):
    """The client closed the connection before the answer was complete."""


def read_headers(scope: Scope) -> dict[bytes, bytes]:
    """The request headers by lower-case name. Raises `InvalidRequest` when one that decides is given twice."""
    headers = dict(scope["headers"])
    check_headers(scope, headers)
    return headers


def check_headers(scope: Scope, headers: Mapping[bytes, bytes]) -> None:
    """Whether `headers` has all of the request's. Raises `InvalidRequest` when one that decides is given twice."""
    pairs: HeaderList = scope["headers"]
    if len(headers) != len(pairs):
        seen: set[bytes] = set()
        for name, _ in pairs:
            if name in seen and name in _SINGLE:
                raise InvalidRequest(
                    f"header {name.decode('latin-1')} is given more than once", code="duplicate_header"
                )
            seen.add(name)


async def read_body(scope: Scope, receive: Receive, headers: dict[bytes, bytes], limit: int) -> bytes:
    """The whole body. Raises `RequestTooLarge`, `UnsupportedEncoding`, `SlowRequest`, `ClientGone`."""
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding != b"identity":
        raise UnsupportedEncoding(
            "compressed request bodies are not read: send the JSON as it is, without content-encoding"
        )
    length = headers.get(b"content-length")
    if length is not None and length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    message = await _next(receive)
    body: bytes = message.get("body", b"")
    size = len(body)
    parts: list[bytes] = []
    while message.get("more_body", False) and size <= limit:
        if LATE in scope:
            raise SlowRequest("the request body did not arrive in time (limits.body_seconds)")
        parts.append(body)
        message = await _next(receive)
        body = message.get("body", b"")
        size += len(body)
    if size > limit:
        raise _too_large(limit)
    return b"".join([*parts, body]) if parts else body


async def _next(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"the request body is over the limit of {limit} bytes (limits.body)")


async def send_body(send: Send, status: int, headers: HeaderList, body: bytes) -> None:
    """A whole answer."""
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
