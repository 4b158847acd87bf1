"""The running providers of a configuration, and the secrets they use at the moment of use.

`build` gives the providers of a configuration as a `Generation` and changes nothing; `adopt` puts one into service. A
provider whose configuration did not change is the same object in both generations, with its connections and its child
processes. One that the newer generation does not have is closed when the last call of the older ones has ended.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

from execution_platform.config.resolve import ProviderConfig, Resolved, is_live
from execution_platform.config.secret import Secret, SecretRef, has_secret, resolve_secret
from execution_platform.exceptions import ConfigError
from execution_platform.providers.base import Provider
from execution_platform.providers.mock import MockProvider
from execution_platform.providers.wiring import Wiring, build_provider
from execution_platform.transport.http import HttpTransport

_SECRET_SECONDS = 300.0
"""How long a resolved secret is used before its source is read again."""


class Generation:
    """The providers of one snapshot, and how many calls use them."""

    __slots__ = ("_ended", "calls", "configs", "current", "providers")

    def __init__(
        self,
        providers: Mapping[str, Provider],
        configs: Mapping[str, ProviderConfig],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self.providers = providers
        self.configs = configs
        self.calls = 0
        self.current = False
        """New calls use it."""
        self._ended = ended

    def enter(self) -> None:
        """A call begins that may use any of the providers."""
        self.calls += 1

    def leave(self) -> None:
        """It has ended."""
        self.calls -= 1
        if not self.calls and not self.current:
            self._ended()


class Fleet:
    """Builds providers and keeps those whose configuration did not change. One per process."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.transport = HttpTransport()
        self._environ = environ
        self._wiring = Wiring(self.transport, self.secret)
        self._secrets: dict[SecretRef, tuple[Secret, float]] = {}
        self._generations: list[Generation] = []
        """Those in use, the current one last."""
        self._unused: dict[int, Provider] = {}
        """Providers without a call that are not closed yet, by identity."""
        self._closing: set[asyncio.Task[None]] = set()

    def secret(self, reference: SecretRef, *, fresh: bool = False) -> Secret:
        """The secret behind `reference`, read again every five minutes; just now, and not kept, if `fresh`."""
        if fresh:
            return resolve_secret(reference, self._environ)
        now = time.monotonic()
        kept = self._secrets.get(reference)
        if kept is None or kept[1] < now:
            kept = self._secrets[reference] = (resolve_secret(reference, self._environ), now + _SECRET_SECONDS)
        return kept[0]

    def forget_secrets(self) -> None:
        """Read every secret again at its next use."""
        self._secrets.clear()

    def build(self, config: Resolved) -> Generation:
        """The providers of `config`, none of them in service yet. Raises `ConfigError` when one of the file's own cannot be built."""
        providers: dict[str, Provider] = {}
        configs: dict[str, ProviderConfig] = {}
        for name, given in config.providers.items():
            provider = self._running(given) or self._one(given, simulate=config.development)
            if provider is not None:
                providers[name], configs[name] = provider, given
        return Generation(providers, configs, self._sweep)

    def adopt(self, generation: Generation) -> None:
        """New calls use `generation` from now on; what only older ones had is closed when their last call has ended."""
        for older in self._generations:
            older.current = False
        generation.current = True
        self._generations.append(generation)
        self._sweep()

    def _running(self, given: ProviderConfig) -> Provider | None:
        """The provider in service with exactly this configuration; one that is only waiting for its last call is not taken."""
        current = self._generations[-1] if self._generations else None
        return (
            current.providers[given.name] if current is not None and current.configs.get(given.name) == given else None
        )

    def _sweep(self) -> None:
        """Let go of generations nobody uses, and close the providers no other one has."""
        ended = [each for each in self._generations if not each.current and not each.calls]
        if not ended:
            return
        self._generations = [each for each in self._generations if each.current or each.calls]
        used = {id(provider) for each in self._generations for provider in each.providers.values()}
        for generation in ended:
            self._unused.update((id(each), each) for each in generation.providers.values() if id(each) not in used)
        self._close_unused()

    def _close_unused(self) -> None:
        if not self._unused:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # Nothing runs yet; `aclose` finds them.
        for provider in self._unused.values():
            task = loop.create_task(_close(provider))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        self._unused.clear()

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

    def secrets_of(self, config: Resolved, *, fresh: bool = False) -> list[str]:
        """Live values that must never leave the house: credentials and configured gateway keys."""
        references = [p.credential for p in config.providers.values() if p.credential is not None]
        references += [ref for p in config.providers.values() for ref in p.secret_headers.values()]
        references += [key.key for key in config.keys if key.key is not None]
        if config.oidc is not None and config.oidc.client_secret is not None:
            references.append(config.oidc.client_secret)
        references += [ref for server in config.mcp.servers.values() for ref in server.secrets]
        for channel in config.spending.alerts:
            references += [each for each in (channel.url, channel.secret) if each is not None]
        return [self.secret(ref, fresh=fresh).reveal() for ref in references if has_secret(ref, self._environ)]

    async def aclose(self) -> None:
        """Stop every provider and close every connection."""
        await asyncio.gather(*self._closing, return_exceptions=True)
        left = {id(each): each for generation in self._generations for each in generation.providers.values()}
        for provider in (*self._unused.values(), *left.values()):
            await provider.aclose()
        self._unused.clear()
        self._generations.clear()
        await self.transport.aclose()


async def _close(provider: Provider) -> None:
    await provider.aclose()
