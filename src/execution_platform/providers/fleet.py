"""The running providers of a configuration, and the secrets they use at the moment of use."""

import time
from collections.abc import Mapping

from execution_platform.config.resolve import ProviderConfig, Resolved, is_live
from execution_platform.config.secret import Secret, SecretRef, has_secret, resolve_secret
from execution_platform.exceptions import ConfigError
from execution_platform.providers.base import Provider
from execution_platform.providers.mock import MockProvider
from execution_platform.providers.wiring import Wiring, build_provider
from execution_platform.transport.http import HttpTransport

_SECRET_SECONDS = 300.0
"""How long a resolved secret is used before its source is read again."""


class Fleet:
    """Builds providers and keeps those whose configuration did not change. One per process."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.transport = HttpTransport()
        self._environ = environ
        self._wiring = Wiring(self.transport, self.secret)
        self._secrets: dict[SecretRef, tuple[Secret, float]] = {}
        self._running: dict[str, tuple[ProviderConfig, Provider]] = {}

    def secret(self, reference: SecretRef) -> Secret:
        """The secret behind `reference`, read again every five minutes."""
        now = time.monotonic()
        kept = self._secrets.get(reference)
        if kept is None or kept[1] < now:
            kept = self._secrets[reference] = (resolve_secret(reference, self._environ), now + _SECRET_SECONDS)
        return kept[0]

    def build(self, config: Resolved) -> dict[str, Provider]:
        """The providers of `config`. Raises `ConfigError` when one of the file's own cannot be built."""
        providers: dict[str, Provider] = {}
        for name, given in config.providers.items():
            kept = self._running.get(name)
            if kept is not None and kept[0] == given:
                providers[name] = kept[1]
                continue
            provider = self._one(given, simulate=config.development)
            if provider is not None:
                providers[name] = provider
                self._running[name] = (given, provider)
        return providers

    def _one(self, given: ProviderConfig, *, simulate: bool) -> Provider | None:
        """One provider; simulated in development when it has no key; None when one that nobody asked for cannot be built."""
        if simulate and given.needs_key and not is_live(given, self._environ):
            return MockProvider(given.name, given.kind)
        try:
            return build_provider(given, self._wiring)
        except ConfigError:
            if given.origin == "file":
                raise
            return None

    def secrets_of(self, config: Resolved) -> list[str]:
        """Live values that must never leave the house: credentials and configured gateway keys."""
        references = [p.credential for p in config.providers.values() if p.credential is not None]
        references += [ref for p in config.providers.values() for ref in p.secret_headers.values()]
        references += [key.key for key in config.keys if key.key is not None]
        return [self.secret(ref).reveal() for ref in references if has_secret(ref, self._environ)]

    async def aclose(self) -> None:
        """Stop every provider and close every connection."""
        for _, provider in self._running.values():
            await provider.aclose()
        self._running.clear()
        await self.transport.aclose()
