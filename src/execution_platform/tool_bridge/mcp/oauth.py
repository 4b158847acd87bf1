"""Tokens for a server that wants a login (M13): OAuth 2.1, as version 2026-07-28 of the protocol asks for it.

Theory of operation
-------------------
The operator names the issuer, and what a server says of issuers can only agree with that. Either the gateway logs in by itself
with the credentials of a client, or a person does once by `ep mcp login`; then the login is kept sealed (`Logins`) and renewed
with its refresh token. Every token is asked for this one server (`resource`, RFC 8707) and sent to its address alone.

The SDK's login classes do the protocol: discovery, registration, PKCE, `state`, `iss`, the exchange. As they are they would sit in
the HTTP client of a conversation, hold a lock through each of its requests, and after a restart send a refresh token to a place
they guess. So they are driven by hand where a token is needed (`Issuer.drive`), once for all conversations with a server, and
`Bearing` puts the token on requests.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Protocol, cast
from urllib.parse import parse_qs, urlsplit

import httpx2

from execution_platform.config.mcp import McpAddress, McpLogin
from execution_platform.config.secret import Secret, SecretRef
from execution_platform.tool_bridge.mcp.http import LoginNeeded
from execution_platform.tool_bridge.mcp.issuer import Issuer, LoginFailed
from execution_platform.tool_bridge.mcp.logins import Logins, Saved, binding_of

if TYPE_CHECKING:
    from mcp.client.auth import OAuthClientProvider
    from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthToken

_VERSION: Final = "2026-07-28"
_EARLY_SECONDS: Final = 10.0
"""A token that is nearly over is renewed before it is sent."""
_OUR_NAME: Final = "Execution Platform"

Reveal = Callable[[SecretRef], Secret]
Json = dict[str, object]


class Login(Protocol):
    """How the tokens for one server are had."""

    async def token(self) -> str | None:
        """One that can be used, as far as is known; None where the server has to refuse first. Raises `LoginNeeded`."""
        ...

    async def renewed(self, stale: str | None, refusal: httpx2.Response) -> str:
        """Another one than `stale`, with which the server gave `refusal`. Raises `LoginNeeded`, `LoginFailed`."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


class Bearing(httpx2.Auth):
    """Puts the token of a login on requests, and asks for another one when the server refuses it."""

    def __init__(self, server: str, login: Login) -> None:
        self._server = server
        self._login = login

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """The request with the token; once more with another one after 401. Raises `LoginFailed`, `LoginNeeded`."""
        token = await self._login.token()
        if token is not None:
            request.headers["authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code != HTTPStatus.UNAUTHORIZED:
            return
        token = await self._login.renewed(token, response)
        request.headers["authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            raise LoginFailed(f"the MCP server {self._server} refuses the token that its issuer has just given")


def login_of(
    server: str, place: McpAddress, login: McpLogin, reveal: Reveal, logins: Logins, *, seconds: float
) -> Login:
    """The login of a configured server. `seconds` is how long one request to its issuer may take."""
    issuer = Issuer(server, place, login, seconds)
    return MachineLogin(issuer, reveal) if login.grant == "client_credentials" else PersonLogin(issuer, reveal, logins)


class MachineLogin:
    """The gateway logs in by itself (client credentials). Its tokens are in memory alone."""

    def __init__(self, issuer: Issuer, reveal: Reveal) -> None:
        self._issuer = issuer
        self._reveal = reveal
        self._token: str | None = None
        self._until: float | None = None
        self._lock = asyncio.Lock()

    async def token(self) -> str | None:
        """The one there is."""
        return None if self._until is not None and time.time() >= self._until else self._token

    async def renewed(self, stale: str | None, refusal: httpx2.Response) -> str:
        """Ask the issuer, unless somebody else just did. Raises `LoginFailed`."""
        from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider

        issuer, login = self._issuer, self._issuer.login

        class Credentials(ClientCredentialsOAuthProvider):
            def _select_authorization_server(self, advertised: list[str]) -> str:
                return issuer.allowed(advertised)

            async def _perform_authorization(self) -> Any:
                self.context.client_metadata.scope = login.scope or self.context.client_metadata.scope
                return await super()._perform_authorization()

        async with self._lock:
            known = await self.token()
            if known is not None and known != stale:
                return known
            kept = _Kept()
            provider = Credentials(
                issuer.place.url,
                kept,
                client_id=login.client_id or "",
                client_secret=_secret(self._reveal, login) or "",
                token_endpoint_auth_method=login.token_auth,
                scope=login.scope,
                issuer=login.issuer,
            )
            provider.context.auth_server_url = login.issuer
            await issuer.drive(provider, _request(issuer.place.url), refusal)
            if kept.token is None:
                raise LoginFailed(f"the login at the MCP server {issuer.server} gave no token")
            self._until = _until(kept.token)
            self._token = kept.token.access_token
            return self._token

    async def aclose(self) -> None:
        """Close every connection."""
        await self._issuer.aclose()


class PersonLogin:
    """A person has logged in (authorization code); the gateway keeps the login fresh."""

    def __init__(self, issuer: Issuer, reveal: Reveal, logins: Logins) -> None:
        self._issuer = issuer
        self._reveal = reveal
        self._logins = logins
        self._lock = asyncio.Lock()

    async def token(self) -> str | None:
        """That of the login, renewed where it is over. Raises `LoginNeeded`, `LoginFailed`."""
        saved = self._saved()
        return saved.access_token if saved.is_fresh() else await self._refreshed(saved.access_token)

    async def renewed(self, stale: str | None, refusal: httpx2.Response) -> str:
        """Renew the login: what the server names in its refusal is not looked at. Raises `LoginNeeded`, `LoginFailed`."""
        del refusal
        return await self._refreshed(stale)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._issuer.aclose()

    async def _refreshed(self, stale: str | None) -> str:
        issuer = self._issuer
        async with self._lock, self._logins.held(issuer.server):
            saved = self._saved()
            if saved.access_token != stale and saved.is_fresh():
                return saved.access_token
            if not saved.token.get("refresh_token"):
                raise self._needed("is over")
            provider, kept = self._provider(saved)
            request = _request(issuer.place.url)
            await issuer.drive(provider, request, httpx2.Response(HTTPStatus.OK, request=request))
            if kept.token is None or kept.token.access_token == saved.access_token:
                raise self._needed("was not renewed by its issuer")
            fresh = _replaced(saved, kept.token)
            self._logins.keep(issuer.server, fresh)
            return fresh.access_token

    def _provider(self, saved: Saved) -> "tuple[OAuthClientProvider, _Kept]":
        """The SDK's class as it was at the login, with a token that is over."""
        from mcp.client.auth import OAuthClientProvider
        from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthMetadata, OAuthToken

        issuer, login = self._issuer, self._issuer.login
        kept = _Kept(_client_of(login, self._reveal))
        if kept.client is None:
            kept.client = OAuthClientInformationFull.model_validate(saved.client)
        kept.token = OAuthToken.model_validate(saved.token)
        provider = OAuthClientProvider(issuer.place.url, OAuthClientMetadata(redirect_uris=None), kept)
        provider.context.auth_server_url = login.issuer
        provider.context.oauth_metadata = OAuthMetadata.model_validate(saved.metadata)
        issuer.believe(provider.context.oauth_metadata.model_dump_json(exclude_none=True).encode())
        provider.context.token_expiry_time = 1.0
        return provider, kept

    def _saved(self) -> Saved:
        saved = self._logins.of(self._issuer.server)
        if saved is None:
            raise self._needed("is missing")
        if saved.binding != binding_of(self._issuer.place, self._issuer.login):
            raise self._needed("is for another address, issuer or client than the configuration names now")
        return saved

    def _needed(self, why: str) -> LoginNeeded:
        server = self._issuer.server
        return LoginNeeded(
            f"the login at the MCP server {server} {why}; its operator logs in by `ep mcp login {server}`"
        )


class Redirect(Protocol):
    """Where the browser of the person comes back to."""

    uri: str

    def expect(self, state: str) -> None:
        """Take the answer to this request, once."""
        ...

    async def answer(self) -> "AuthorizationCodeResult":
        """What the issuer sends by the browser."""
        ...


async def log_in(
    issuer: Issuer,
    reveal: Reveal,
    logins: Logins,
    redirect: Callable[[int], "AbstractAsyncContextManager[Redirect]"],
    show: Callable[[str], Awaitable[None]],
) -> Saved:
    """Let a person log in: `show` gets the address to open in a browser. Raises `LoginFailed`, `BadEndpoint`, `EgressBlocked`."""
    place, login = issuer.place, issuer.login
    headers = {name: reveal(value).reveal() for name, value in place.headers.items()}
    request = _request(place.url, headers)
    refusal = await issuer.probe(request)
    if refusal.status_code not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise LoginFailed(
            f"the MCP server {issuer.server} answers {refusal.status_code} without a login; it needs none"
        )
    refusal.status_code = HTTPStatus.UNAUTHORIZED
    async with redirect(login.redirect_port) as back:
        provider, kept = _browser(issuer, back, show, _client_of(login, reveal, back.uri))
        await issuer.drive(provider, request, refusal)
    metadata = provider.context.oauth_metadata
    if kept.token is None or metadata is None:
        raise LoginFailed(f"the login at the MCP server {issuer.server} gave no token")
    registered = None if login.client_id is not None or kept.client is None else kept.client
    saved = Saved(
        binding=binding_of(place, login),
        token=_plain(kept.token),
        metadata=_plain(metadata),
        client=None if registered is None else _plain(registered),
        until=_until(kept.token),
    )
    async with logins.held(issuer.server):
        logins.keep(issuer.server, saved)
    return saved


def _browser(
    issuer: Issuer,
    back: Redirect,
    show: Callable[[str], Awaitable[None]],
    client: "OAuthClientInformationFull | None",
) -> "tuple[OAuthClientProvider, _Kept]":
    """The SDK's class for the authorization code, held to the issuer, to PKCE and to the scope of the configuration."""
    from mcp.client.auth import OAuthClientProvider
    from mcp.shared.auth import OAuthClientMetadata
    from pydantic import AnyUrl

    login = issuer.login

    class Code(OAuthClientProvider):
        def _select_authorization_server(self, advertised: list[str]) -> str:
            return issuer.allowed(advertised)

        async def _perform_authorization(self) -> Any:
            metadata = self.context.oauth_metadata
            if metadata is None:
                raise LoginFailed(f"the issuer {login.issuer} does not say how to log in: it has no metadata")
            if "S256" not in (metadata.code_challenge_methods_supported or ()):
                raise LoginFailed(
                    f"the issuer {login.issuer} does not offer PKCE with S256, without which nobody logs in"
                )
            self.context.client_metadata.scope = login.scope or self.context.client_metadata.scope
            return await super()._perform_authorization()

    async def redirected(url: str) -> None:
        back.expect(parse_qs(urlsplit(url).query)["state"][0])
        await show(url)

    kept = _Kept(client)
    uris: list[AnyUrl] = [AnyUrl(back.uri)]
    about = OAuthClientMetadata(
        redirect_uris=uris,
        client_name=_OUR_NAME,
        token_endpoint_auth_method="none",  # noqa: S106 - a program on somebody's machine keeps no secret
        scope=login.scope,
    )
    provider = Code(issuer.place.url, about, kept, redirected, back.answer)
    provider.context.auth_server_url = login.issuer
    return provider, kept


class _Kept:
    """What the SDK's classes want to keep, for as long as one of them works."""

    def __init__(self, client: "OAuthClientInformationFull | None" = None) -> None:
        self.client = client
        self.token: OAuthToken | None = None

    async def get_tokens(self) -> "OAuthToken | None":
        return self.token

    async def set_tokens(self, tokens: "OAuthToken") -> None:
        self.token = tokens

    async def get_client_info(self) -> "OAuthClientInformationFull | None":
        return self.client

    async def set_client_info(self, client_info: "OAuthClientInformationFull") -> None:
        self.client = client_info


def _client_of(login: McpLogin, reveal: Reveal, uri: str | None = None) -> "OAuthClientInformationFull | None":
    """The configured client; None where one has to be registered."""
    from mcp.shared.auth import OAuthClientInformationFull
    from pydantic import AnyUrl

    if login.client_id is None:
        return None
    secret = _secret(reveal, login)
    return OAuthClientInformationFull(
        client_id=login.client_id,
        client_secret=secret,
        redirect_uris=None if uri is None else [AnyUrl(uri)],
        token_endpoint_auth_method="none" if secret is None else login.token_auth,
        issuer=login.issuer,
    )


def _secret(reveal: Reveal, login: McpLogin) -> str | None:
    return None if login.client_secret is None else reveal(login.client_secret).reveal()


def _request(url: str, headers: dict[str, str] | None = None) -> httpx2.Request:
    """A request to the server that a token is for; its version is what makes the SDK name the resource."""
    told: dict[str, str] = {
        **(headers or {}),
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": _VERSION,
        "mcp-method": "server/discover",
    }
    body: Json = {"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {}}
    return httpx2.Request("POST", url, headers=told, json=body)


def _until(token: "OAuthToken") -> float | None:
    return None if token.expires_in is None else time.time() + max(token.expires_in - _EARLY_SECONDS, 0)


def _replaced(saved: Saved, token: "OAuthToken") -> Saved:
    return Saved(
        binding=saved.binding, token=_plain(token), metadata=saved.metadata, client=saved.client, until=_until(token)
    )


def _plain(model: Any) -> Json:
    return cast("Json", model.model_dump(mode="json", exclude_none=True))
