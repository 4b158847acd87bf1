"""How a configured provider becomes a running one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from execution_platform.config.resolve import ProviderConfig
from execution_platform.config.secret import Secret, SecretRef
from execution_platform.dialects import dialect
from execution_platform.exceptions import ConfigError, NotConfigured
from execution_platform.providers.base import Endpoint, Located, Provider, WireProvider
from execution_platform.providers.registry import AuthStyle, ProviderSpec, load_build, specs
from execution_platform.transport.auth import Auth, Bearer, Credential, HeaderKey, NoAuth, Origin
from execution_platform.transport.timeouts import Timeouts

if TYPE_CHECKING:
    from execution_platform.transport.http import HttpTransport

__all__ = ["ProviderConfig", "StaticEndpoint", "Wiring", "auth_of", "build_provider", "wire"]


_URLS_KEPT = 1024
"""A path may hold a model's name, which callers choose."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """What providers share: the pool of connections and the way to secrets."""

    transport: "HttpTransport"
    resolve_secret: Callable[[SecretRef], Secret]


def auth_of(style: AuthStyle) -> Auth:
    """How a row's credential is put into a request."""
    if style == "bearer":
        return Bearer()
    return NoAuth() if style == "none" else HeaderKey(style)


class StaticEndpoint:
    """A base URL from configuration. The credential is resolved when a call is made, and only sent there."""

    def __init__(self, config: ProviderConfig, spec: ProviderSpec, wiring: Wiring) -> None:
        base_url = config.base_url or spec.base_url
        if base_url is None:
            raise ConfigError(f"providers.{config.name}.base_url: kind {spec.kind} has no usual address; set base_url")
        self._base_url = base_url.rstrip("/")
        self._tied = Credential(auth_of(spec.auth), Origin.of(self._base_url))
        self._name = config.name
        self._credential = config.credential
        self._spec = spec
        self._secret_headers = config.secret_headers
        self._wiring = wiring
        self._urls: dict[str, str] = {}
        self._sent: tuple[Secret, Mapping[str, str]] | None = None
        """The credential as it was last used, and its header."""

    async def locate(self, path: str, model: str) -> Located:
        """The place for `path`. Raises `NotConfigured` when a needed credential is missing."""
        url = self._urls.get(path)
        if url is None:
            url = self._base_url + path
            self._tied.check(url)
            if len(self._urls) >= _URLS_KEPT:
                self._urls.clear()
            self._urls[path] = url
        return Located(url, self.credential_headers())

    def credential_headers(self) -> Mapping[str, str]:
        """The authenticating header, from the credential as it is now."""
        headers = {name: self._wiring.resolve_secret(ref).reveal() for name, ref in self._secret_headers.items()}
        if self._credential is None:
            if self._spec.needs_key:
                names = " or ".join(self._spec.key_env) or "api_key"
                raise NotConfigured(f"provider {self._name} has no key: set {names}, or providers.{self._name}.api_key")
            return headers
        own = self._own_headers(self._wiring.resolve_secret(self._credential))
        return {**headers, **own} if headers else own

    def _own_headers(self, secret: Secret) -> Mapping[str, str]:
        """The header of a credential; the very same mapping while the credential is the same."""
        sent = self._sent
        if sent is None or sent[0] is not secret:
            sent = self._sent = (secret, self._tied.auth.headers(secret))
        return sent[1]

    async def aclose(self) -> None:
        """Holds nothing."""


def wire(config: ProviderConfig, spec: ProviderSpec, endpoint: Endpoint, wiring: Wiring) -> WireProvider:
    """A provider on a known dialect behind `endpoint`."""
    given = config.timeouts
    return WireProvider(
        config.name,
        spec,
        dialect(spec.dialect),
        endpoint,
        transport=wiring.transport,
        timeouts=Timeouts(given.connect, given.first_token, given.idle, given.total),
        headers=config.headers,
    )


def build_provider(config: ProviderConfig, wiring: Wiring) -> Provider:
    """The provider that `config` describes. Raises `ConfigError` when it cannot be built."""
    spec = specs()[config.kind]
    if spec.build is None:
        return wire(config, spec, StaticEndpoint(config, spec, wiring), wiring)
    build = cast("Callable[[ProviderConfig, Wiring], Provider]", load_build(spec.build))
    return build(config, wiring)
