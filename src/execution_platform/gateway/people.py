"""People in one gateway process: the configured provider, and who a browser's cookie is."""

from collections.abc import Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

from execution_platform.config.secret import Secret, SecretRef
from execution_platform.config.values import OidcConfig
from execution_platform.exceptions import PermissionDenied, RouterError
from execution_platform.gateway.http import Scope
from execution_platform.identity.oidc import OidcProvider
from execution_platform.identity.people import People
from execution_platform.identity.principal import Principal

COOKIE = "__Host-ep-session"
BEGUN = "__Host-ep-login"
"""Ties a login to the browser that began it, so that nobody can be logged in as somebody else by a link."""
_LONGEST = 4096
_READING = frozenset({"GET", "HEAD"})


class PeopleAtTheDoor:
    """Knows the people of a process. Making one opens nothing."""

    def __init__(
        self, people: People, config: Callable[[], OidcConfig | None], secret: Callable[[SecretRef], Secret]
    ) -> None:
        self.people = people
        self._config = config
        self._secret = secret
        self._provider: OidcProvider | None = None

    def provider(self) -> OidcProvider:
        """The provider of the configuration in force. Raises `RouterError` without one."""
        config = self._config()
        if config is None:
            raise RouterError("login is not configured: set oidc in the configuration", code="not_found")
        if self._provider is None or self._provider.config != config:
            reference = config.client_secret
            self._provider = OidcProvider(config, lambda: None if reference is None else self._secret(reference))
        return self._provider

    async def of(self, scope: Scope) -> Principal | None:
        """Who the cookie of a request is. Raises `PermissionDenied` for a write from another page (E8)."""
        cookie, config = cookie_of(scope), self._config()
        if cookie is None or config is None:
            return None
        if scope["method"] not in _READING:
            origin = dict(scope["headers"]).get(b"origin", b"").decode("latin-1")
            if origin != config.origin:
                raise PermissionDenied("this page may not change anything here", code="origin_not_allowed")
        return await self.people.of_session(cookie)

    async def stop(self) -> None:
        """Close the connections to the provider."""
        if self._provider is not None:
            await self._provider.aclose()


def cookie_of(scope: MutableMapping[str, Any], name: str = COOKIE) -> str | None:
    """A cookie of a request, by default that of its session."""
    given = dict(scope["headers"]).get(b"cookie", b"")
    if name.encode() not in given or len(given) > _LONGEST:
        return None
    try:
        found = SimpleCookie(given.decode("latin-1")).get(name)
    except CookieError:
        return None
    return None if found is None else found.value
