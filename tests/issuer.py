"""An authorization server for tests: OAuth 2.1 with PKCE, resource indicators, rotation of refresh tokens and client credentials.

It keeps what it was asked. `browse` plays the person who opens the address of a login and agrees. The server that takes its
tokens is the SDK's own, with the SDK's own check of them.
"""

import asyncio
import base64
import hashlib
import secrets
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import httpx2
import uvicorn
from aiohttp import web
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from pydantic import AnyHttpUrl

MACHINE = ("machine", "the-secret-of-the-machine")


@dataclass
class Grant:
    """What a code, or a refresh token, stands for."""

    client: str
    resource: str
    scope: str
    challenge: str = ""
    redirect: str = ""


@dataclass
class Issuer:
    """One on loopback."""

    url: str = ""
    changes: dict[str, object] = field(default_factory=dict[str, object])
    """What its metadata says otherwise."""
    seconds: int = 3600
    """How long an access token lives."""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list[tuple[str, dict[str, str]]])
    """Path and form of every request, in order."""
    tokens: dict[str, AccessToken] = field(default_factory=dict[str, AccessToken])
    clients: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    codes: dict[str, Grant] = field(default_factory=dict[str, Grant])
    refresh: dict[str, Grant] = field(default_factory=dict[str, Grant])

    @property
    def paths(self) -> list[str]:
        """What was asked."""
        return [path for path, _ in self.asked]

    def revoke(self) -> None:
        """No access token is worth anything any more."""
        self.tokens.clear()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        given = {**request.query, **{name: str(value) for name, value in (await request.post()).items()}}
        if request.headers.get("authorization", "").startswith("Basic "):
            user, _, password = base64.b64decode(request.headers["authorization"][6:]).decode().partition(":")
            given |= {"client_id": unquote(user), "client_secret": unquote(password)}
        self.asked.append((request.path, given))
        match request.path:
            case "/.well-known/oauth-authorization-server":
                return web.json_response(self.metadata())
            case "/register":
                wanted = await request.json()
                name = f"client-{len(self.clients)}"
                self.clients[name] = wanted
                return web.json_response({**wanted, "client_id": name}, status=201)
            case "/authorize":
                return self.authorize(given)
            case "/token":
                return self.token(given)
            case _:
                return web.Response(status=404)

    def metadata(self) -> dict[str, object]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "registration_endpoint": f"{self.url}/register",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            **self.changes,
        }

    def authorize(self, given: dict[str, str]) -> web.Response:
        known = self.clients.get(given["client_id"])
        if known is None or given["redirect_uri"] not in known["redirect_uris"]:
            return web.Response(status=400, text="unknown client or redirect")
        if given.get("code_challenge_method") != "S256" or not given.get("resource"):
            return web.Response(status=400, text="PKCE and resource are needed")
        code = secrets.token_urlsafe(16)
        self.codes[code] = Grant(
            given["client_id"],
            given["resource"],
            given.get("scope", ""),
            given["code_challenge"],
            given["redirect_uri"],
        )
        answer = urlencode({"code": code, "state": given["state"], "iss": self.url})
        raise web.HTTPFound(f"{given['redirect_uri']}?{answer}")

    def token(self, given: dict[str, str]) -> web.Response:
        grant: Grant | None = None
        kind = given.get("grant_type")
        if kind == "client_credentials" and (given.get("client_id"), given.get("client_secret")) == MACHINE:
            return self.give(Grant(MACHINE[0], given.get("resource", ""), given.get("scope", "")), again=False)
        if kind == "authorization_code":
            grant = self.codes.pop(given.get("code", ""), None)
            digest = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            shown = (challenge, given.get("redirect_uri"), given.get("resource"))
            if grant is not None and shown != (grant.challenge, grant.redirect, grant.resource):
                grant = None
        if kind == "refresh_token":
            grant = self.refresh.pop(given.get("refresh_token", ""), None)
            if grant is not None and (given.get("client_id"), given.get("resource")) != (grant.client, grant.resource):
                grant = None
        if grant is None:
            return web.json_response({"error": "invalid_grant"}, status=400)
        return self.give(grant, again=True)

    def give(self, grant: Grant, *, again: bool) -> web.Response:
        access = f"access-{secrets.token_urlsafe(16)}"
        self.tokens[access] = AccessToken(
            token=access,
            client_id=grant.client,
            scopes=grant.scope.split(),
            expires_at=int(time.time()) + 3600,
            resource=grant.resource,
        )
        told: dict[str, object] = {"access_token": access, "token_type": "Bearer", "expires_in": self.seconds}
        if again:
            told["refresh_token"] = f"refresh-{secrets.token_urlsafe(16)}"
            self.refresh[str(told["refresh_token"])] = grant
        return web.json_response(told)

    async def verify_token(self, token: str) -> AccessToken | None:
        """What the SDK's server asks of a token."""
        return self.tokens.get(token)


@asynccontextmanager
async def issuing() -> AsyncGenerator[Issuer]:
    """One at work."""
    made = Issuer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()


@dataclass
class Guarded:
    """A server of the SDK that wants tokens of an issuer, for itself."""

    url: str
    seen: list[str | None] = field(default_factory=list[str | None])
    """The authorization of every request."""
    paths: list[str] = field(default_factory=list[str])


@asynccontextmanager
async def guarded(issuer: Issuer, *, names: str | None = None) -> AsyncGenerator[Guarded]:
    """One at work, with the tool `whoami`; `names` is the issuer it tells of, when that is another one."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    made = Guarded(f"http://127.0.0.1:{port}/mcp")
    settings = AuthSettings(
        issuer_url=AnyHttpUrl(names or issuer.url),
        resource_server_url=AnyHttpUrl(made.url),
        required_scopes=["use"],
        validate_token_resource=True,
    )
    server = MCPServer("guarded", token_verifier=issuer, auth=settings)

    def whoami() -> str:
        """Say who asks."""
        return "somebody who is logged in"

    server.tool()(whoami)
    inner = server.streamable_http_app()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            made.seen.append(headers.get("authorization"))
            made.paths.append(scope["path"])
        await inner(scope, receive, send)

    running = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
    task = asyncio.create_task(running.serve([listening]))
    try:
        yield made
    finally:
        running.should_exit = True
        await task
        listening.close()


async def browse(address: str) -> httpx2.Response:
    """Open an address as a browser does that has agreed to everything, and follow it to the end."""
    async with httpx2.AsyncClient(follow_redirects=True, trust_env=False) as client:
        return await client.get(address)


def query(address: str) -> dict[str, str]:
    """The query of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
