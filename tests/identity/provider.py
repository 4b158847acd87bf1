"""A small OpenID provider for tests: discovery, keys, and a token endpoint that checks PKCE. Whoever comes is logged in."""

import asyncio
import base64
import hashlib
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT = "gateway"
SECRET = "secret-of-the-client"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KID = "k1"


def public_jwk() -> dict[str, Any]:
    found = jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
    return {**found, "kid": KID, "use": "sig", "alg": "RS256"}


@dataclass
class TestProvider:
    """What it says of the next who comes."""

    __test__ = False
    url: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    issuer: str | None = None
    """What it calls itself, if not its address."""
    begun: dict[str, Mapping[str, str]] = field(default_factory=dict)
    exchanged: int = 0

    def config(self, redirect: str, **more: Any) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "client_id": CLIENT,
            "client_secret": SECRET,
            "redirect_url": redirect,
            "role_claim": "groups",
            "roles": {"ops": "admin", "leads": "owner", "staff": "viewer"},
            "tenant": "default",
            **more,
        }

    def token(self, nonce: str, **changed: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT,
            "sub": "u1",
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            "email": "ada@example.com",
            "email_verified": True,
            "groups": ["ops"],
            **self.claims,
            **changed,
        }
        return jwt.encode(claims, KEY, algorithm="RS256", headers={"kid": KID})

    def visit(self, address: str) -> dict[str, str]:
        """A browser goes to the provider and logs in; what it brings back."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        code = f"code-{len(self.begun)}"
        self.begun[code] = asked
        return {"code": code, "state": asked["state"]}

    async def _discovery(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.issuer or self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks",
            }
        )

    async def _jwks(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": [public_jwk()]})

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        asked = self.begun.pop(str(form["code"]), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(str(form["code_verifier"]).encode()).digest()).rstrip(b"=")
        right = (
            asked is not None
            and asked["code_challenge"] == challenge.decode()
            and asked["code_challenge_method"] == "S256"
            and form["redirect_uri"] == asked["redirect_uri"]
            and form["client_secret"] == SECRET
        )
        if asked is None or not right:
            return web.json_response({"error": "invalid_grant"}, status=400)
        self.exchanged += 1
        return web.json_response({"id_token": self.token(asked["nonce"]), "access_token": "x", "token_type": "Bearer"})


@asynccontextmanager
async def provider() -> AsyncIterator[TestProvider]:
    """A provider on a loopback port."""
    made = TestProvider()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", made._discovery)
    app.router.add_get("/jwks", made._jwks)
    app.router.add_post("/token", made._token)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await asyncio.wait_for(runner.cleanup(), 10)
