"""The provider people log in at: where its doors are, its keys, and what it says of somebody (K11).

Authorization code flow with PKCE, state and nonce. The issuer is pinned: the discovery document and the token must both name the one of
the configuration, letter by letter. Only a verified email makes somebody.
"""

import base64
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlencode

from execution_platform import _json
from execution_platform.config.secret import Secret
from execution_platform.config.values import OidcConfig
from execution_platform.exceptions import ErrorKind, ExecutionPlatformError, PermissionDenied
from execution_platform.identity.people import Login, Person, new_person
from execution_platform.identity.principal import Role
from execution_platform.identity.tokens import verified_claims
from execution_platform.transport.egress import Egress, EgressPolicy

POLICY = EgressPolicy("oidc", loopback=True, most=512 * 1024)
"""The provider's address comes from the operator's configuration."""
_KEPT_SECONDS = 300.0


class LoginFailed(ExecutionPlatformError):
    """A login that does not fit the one that was begun."""

    kind = ErrorKind.BAD_REQUEST
    code = "login_failed"


class LoginUnavailable(ExecutionPlatformError):
    """The provider does not answer as one."""

    kind = ErrorKind.UNAVAILABLE
    code = "login_unavailable"


class OidcProvider:
    """One configured provider. Opens nothing before the first login."""

    def __init__(
        self,
        config: OidcConfig,
        secret: Callable[[], Secret | None],
        *,
        egress: Egress | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self._secret = secret
        self._egress = egress or Egress(POLICY)
        self._clock = clock
        self._found: tuple[float, Mapping[str, Any], Sequence[Mapping[str, Any]]] | None = None

    async def address(self, login: Login) -> str:
        """Where a browser goes to log in. Raises `LoginUnavailable`."""
        doors, _ = await self._doors()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(login.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self.config.client_id,
            "redirect_uri": self.config.redirect_url,
            "scope": " ".join(self.config.scopes),
            "state": login.state,
            "nonce": login.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        place = str(doors["authorization_endpoint"])
        return f"{place}{'&' if '?' in place else '?'}{urlencode(asked)}"

    async def person(self, login: Login, code: str) -> Person:
        """Who the provider says has logged in.

        Raises `LoginFailed`, `AuthenticationError` for a token that is not the provider's, `PermissionDenied` for somebody without a role
        or tenant here, and `LoginUnavailable`.
        """
        doors, keys = await self._doors()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.config.redirect_url,
            "client_id": self.config.client_id,
            "code_verifier": login.verifier,
        }
        secret = self._secret()
        if secret is not None:
            form["client_secret"] = secret.reveal()
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        reply = await self._egress.send("POST", str(doors["token_endpoint"]), headers, urlencode(form).encode())
        if reply.status >= 500:
            raise LoginUnavailable("the login provider does not answer; try again shortly", retry_after=5)
        token = _object(reply.body).get("id_token") if reply.status == 200 else None
        if not isinstance(token, str):
            raise LoginFailed("the login provider does not accept this login; begin again at /login")
        config = self.config
        claims = verified_claims(
            token, keys, issuer=config.issuer, audience=config.client_id, algorithms=config.algorithms
        )
        if claims["nonce"] != login.nonce:
            raise LoginFailed("this login is not the one that was begun; begin again at /login")
        email = claims.get("email")
        if claims.get("email_verified") is not True or not isinstance(email, str):
            raise LoginFailed("the login provider has not verified this person's email")
        return new_person(
            tenant=self._tenant(claims),
            issuer=config.issuer,
            subject=str(claims["sub"]),
            email=email,
            role=self._role(claims),
        )

    def _role(self, claims: Mapping[str, Any]) -> Role:
        found = [
            self.config.roles[value] for value in _values(claims, self.config.role_claim) if value in self.config.roles
        ]
        order = ("admin", "owner", "member", "viewer")
        role = min(found, key=order.index) if found else self.config.default_role
        if role is None:
            raise PermissionDenied("this login has no role here", code="login_refused")
        return cast("Role", role)

    def _tenant(self, claims: Mapping[str, Any]) -> str:
        names = _values(claims, self.config.tenant_claim)
        found = [self.config.tenants[value] for value in names if value in self.config.tenants]
        tenant = found[0] if found else self.config.tenant
        if tenant is None:
            raise PermissionDenied("this login belongs to no tenant here", code="login_refused")
        return tenant

    async def _doors(self) -> tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]:
        """The provider's addresses and keys, asked again every five minutes."""
        if self._found is not None and self._found[0] > self._clock():
            return self._found[1], self._found[2]
        doors = await self._read(f"{self.config.issuer.rstrip('/')}/.well-known/openid-configuration")
        if doors.get("issuer") != self.config.issuer:
            raise LoginFailed("the login provider names itself otherwise than oidc.issuer")
        keys = (await self._read(str(doors.get("jwks_uri")))).get("keys")
        listed = cast("list[object]", keys) if isinstance(keys, list) else []
        usable = [cast("Mapping[str, Any]", key) for key in listed if isinstance(key, dict)]
        self._found = (self._clock() + _KEPT_SECONDS, doors, usable)
        return doors, usable

    async def _read(self, url: str) -> Mapping[str, Any]:
        try:
            reply = await self._egress.send("GET", url, {"accept": "application/json"})
        except ExecutionPlatformError as error:
            raise LoginUnavailable("the login provider does not answer; try again shortly", retry_after=5) from error
        if reply.status != 200:
            raise LoginUnavailable("the login provider does not answer; try again shortly", retry_after=5)
        return _object(reply.body)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._egress.aclose()


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found: object = _json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise LoginUnavailable("the login provider's answer is no JSON object")
    return cast("Mapping[str, Any]", found)


def _values(claims: Mapping[str, Any], name: str | None) -> list[str]:
    """The values of a claim, one or many, in the order they come."""
    found = None if name is None else claims.get(name)
    listed = cast("list[object]", found) if isinstance(found, list) else [found]
    return [value for value in listed if isinstance(value, str)]
