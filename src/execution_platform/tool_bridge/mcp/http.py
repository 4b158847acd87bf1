"""A server that is an address, by the one guarded way out (M4).

The SDK brings HTTP of its own; it gets a transport that is `Egress`, so that what it asks for, redirects included, passes the
same checks at the socket as every other call. Answers are bounded, messages of a stream by the SDK. Where the operator configured no
login, a server that answers 401 is told of as that, and nothing it names is fetched (M2). The caller's own credential never comes
here: headers are those the operator wrote, and tokens those of the operator's login (M10).
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx2

from execution_platform.exceptions import ToolError
from execution_platform.transport.egress import Egress, EgressPolicy

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

    from execution_platform.transport.http import Reply

_DROPPED: Final = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "user-agent"}
)
_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}
_LISTENING: Final = 405


def place_of(url: str) -> str:
    """Host and port of an address. Raises `ValueError` for a port that is none."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or _PORTS.get(parts.scheme, 0)}"


def policy_of(url: str, *, internal: bool, seconds: float, most: int) -> EgressPolicy:
    """What may be reached for a server at `url`: public addresses over https; with `internal` this place, wherever it is."""
    places = (place_of(url),) if internal else ()
    return EgressPolicy("MCP server", internal=places, plain=internal, seconds=seconds, most=most)


class EgressTransport(httpx2.AsyncBaseTransport):
    """`Egress` as the SDK's HTTP client wants it. `gets` is whether anything is fetched by GET."""

    def __init__(self, egress: Egress, *, gets: bool = False) -> None:
        self._egress = egress
        self._gets = gets

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request. Raises `EgressBlocked`, `ProviderError`.

        A stream for messages that answer nothing is not opened: nothing is wanted of them.
        """
        if request.method == "GET" and not self._gets:
            return httpx2.Response(_LISTENING, request=request)
        headers = {name: value for name, value in request.headers.items() if name not in _DROPPED}
        reply = await self._egress.open(request.method, str(request.url), headers, await request.aread())
        return httpx2.Response(
            reply.status,
            headers=list(reply.headers.items()),
            stream=_Body(reply, self._egress.policy.most),
            request=request,
        )


class _Body(httpx2.AsyncByteStream):
    def __init__(self, reply: "Reply", most: int) -> None:
        self._reply = reply
        self._left = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._reply.chunks():
            self._left -= len(data)
            if self._left < 0:
                raise ToolError("the answer of this MCP server is larger than it may be", code="result_too_large")
            yield data

    async def aclose(self) -> None:
        self._reply.close()


class LoginNeeded(ToolError):
    """The server wants a login that is not there."""

    code = "mcp_login_needed"


class NoLogin(httpx2.Auth):
    """For a server without a configured login: that it wants one is told, and nothing else done."""

    def __init__(self, server: str) -> None:
        self._server = server

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Send the request as it is. Raises `LoginNeeded`."""
        response = yield request
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            raise LoginNeeded(
                f"the MCP server {self._server} wants a login (401): its operator gives it a token in `headers`, or says in "
                "`oauth` who issues its tokens"
            )


@asynccontextmanager
async def address_transport(
    url: str, headers: Mapping[str, str], egress: Egress, most: int, auth: httpx2.Auth
) -> "AsyncGenerator[TransportStreams]":
    """The streams of a server at `url`; `auth` is what it gets of a login."""
    from mcp.client.streamable_http import streamable_http_client

    async with (
        httpx2.AsyncClient(
            transport=EgressTransport(egress), headers=dict(headers), auth=auth, trust_env=False
        ) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=most) as streams,
    ):
        yield streams
