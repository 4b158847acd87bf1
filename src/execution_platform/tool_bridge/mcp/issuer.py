"""The way to the issuer of a server's tokens: what may be asked there, and where secrets may go (M2, M4, M13).

Everything the SDK's login classes want to send passes here, and leaves by the guarded way out. What the issuer says of itself is
held to rules before anything is done with it: its endpoints are addresses, https ones unless the operator's own issuer is inside
and speaks http, and none of them is ever handed to a shell, an opener or a file.
"""

import logging
from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

import httpx2

from execution_platform import _json
from execution_platform.config.mcp import McpAddress, McpLogin
from execution_platform.exceptions import ToolError
from execution_platform.tool_bridge.mcp.http import EgressTransport, place_of
from execution_platform.transport.egress import Egress, EgressPolicy

if TYPE_CHECKING:
    from mcp.client.auth import OAuthClientProvider

_MOST: Final = 256 * 1024
"""Bytes of an answer."""
_WELL_KNOWN: Final = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")
_FETCHED: Final = ("token_endpoint", "registration_endpoint")
_ODD: Final = " \\\"'<>`$|;"
_SAID: Final = 300
# Its messages hold what issuers answer, tokens included, and would go to standard error.
_LOG: Final = logging.getLogger("mcp.client.auth")
_LOG.addHandler(logging.NullHandler())
_LOG.propagate = False


class BadEndpoint(ToolError):
    """An issuer names a place that is no address to log in at. Nothing was sent there."""

    code = "invalid_authorization_endpoint"


class LoginFailed(ToolError):
    """The server or its issuer did not let the login come to its end."""

    code = "mcp_login_failed"


class Issuer:
    """The issuer of one server's tokens. Opens nothing before the first request."""

    def __init__(self, server: str, place: McpAddress, login: McpLogin, seconds: float) -> None:
        self.server = server
        self.place = place
        self.login = login
        inside = (place_of(login.issuer),) if login.internal else ()
        inside += (place_of(place.url),) if place.internal else ()
        policy = EgressPolicy("MCP login", internal=inside, plain=bool(inside), seconds=seconds, most=_MOST)
        self._egress = Egress(policy)
        self._client = httpx2.AsyncClient(transport=EgressTransport(self._egress, gets=True), trust_env=False)
        self._known: set[str] = set()
        """Where the issuer says that secrets are taken."""

    async def probe(self, request: httpx2.Request) -> httpx2.Response:
        """What the server itself says to a request without a token. Raises `EgressBlocked`, `ProviderError`."""
        return await self._client.send(request)

    async def send(self, request: httpx2.Request) -> httpx2.Response:
        """One request and its whole answer; redirects are not followed.

        Raises `BadEndpoint`, `EgressBlocked`, `ProviderError`; `LoginFailed` for what would be sent to a place that the issuer
        does not name: without its word the SDK would guess one, at the server.
        """
        if request.method != "GET" and str(request.url) not in self._known:
            raise LoginFailed(
                f"the issuer {self.login.issuer} names no place for {request.url.path}, or there is nothing at it; where it "
                "registers no clients, register one by hand and configure its client_id"
            )
        response = await self._client.send(request)
        if response.status_code == HTTPStatus.OK and any(each in request.url.path for each in _WELL_KNOWN):
            self.believe(response.content)
        return response

    async def drive(self, provider: "OAuthClientProvider", request: httpx2.Request, answer: httpx2.Response) -> None:
        """Let a login class of the SDK do what it does around `request`, whose answer is already there.

        Raises `LoginFailed`, and what `send` raises.
        """
        from mcp.client.auth import OAuthFlowError

        flow = provider.async_auth_flow(request)
        try:
            await self._steps(flow, request, answer)
        except OAuthFlowError as error:
            said = "its answer is no token" if isinstance(error.__cause__, ValueError) else _plain(str(error))
            raise LoginFailed(f"the login at the MCP server {self.server} failed: {said}") from error
        finally:
            await flow.aclose()

    async def _steps(
        self, flow: AsyncGenerator[httpx2.Request, httpx2.Response], request: httpx2.Request, answer: httpx2.Response
    ) -> None:
        wanted = await anext(flow)
        answered = False
        while not (wanted is request and answered):
            if wanted is request:
                answered = True
                response = answer
            else:
                response = await self.send(wanted)
            try:
                wanted = await flow.asend(response)
            except StopAsyncIteration:
                return

    def allowed(self, advertised: list[str]) -> str:
        """The configured issuer, if it is among those a server names. Raises `LoginFailed`: nothing else is asked."""
        from mcp.client.auth.utils import issuers_match

        if any(issuers_match(named, self.login.issuer) for named in advertised):
            return self.login.issuer
        raise LoginFailed(
            f"the MCP server {self.server} takes tokens of {_plain(', '.join(advertised))}, and its configuration names the "
            f"issuer {self.login.issuer}"
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()
        await self._egress.aclose()

    def believe(self, metadata: bytes) -> None:
        """Take over what the issuer says of itself. Raises `BadEndpoint`, and `LoginFailed` for another issuer's words."""
        from mcp.client.auth.utils import issuers_match

        try:
            told = _json.loads(metadata)
        except _json.JsonError:
            return
        if not isinstance(told, dict):
            return
        named = cast("dict[str, object]", told)
        if not issuers_match(str(named.get("issuer")), self.login.issuer):
            raise LoginFailed(f"the metadata at the issuer {self.login.issuer} is that of another one")
        for name, value in named.items():
            if name.endswith("_endpoint") and not (isinstance(value, str) and self._is_address(value)):
                raise BadEndpoint(f"the issuer {self.login.issuer} names as {_plain(name)} what is no https address")
        self._known |= {str(httpx2.URL(str(named[name]))) for name in _FETCHED if name in named}

    def _is_address(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
            place = place_of(url)
        except ValueError:
            return False
        if not url.isascii() or not url.isprintable() or any(each in url for each in _ODD) or "@" in parts.netloc:
            return False
        if parts.scheme == "http":
            return self.login.internal and place == place_of(self.login.issuer)
        return parts.scheme == "https" and bool(parts.hostname)


def _plain(text: str) -> str:
    """What a stranger said, as one short line."""
    return "".join(each if each.isprintable() else " " for each in text)[:_SAID]
