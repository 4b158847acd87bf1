"""From settings and files to a snapshot that can serve: the providers built, the personas checked."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from execution_platform.catalog.prices import PriceBook
from execution_platform.config.files import load_config
from execution_platform.config.known import known, local_candidates
from execution_platform.config.problems import ConfigProblems
from execution_platform.config.resolve import ProviderConfig, Resolved, live_providers, resolve
from execution_platform.config.secret import Secret
from execution_platform.config.settings import Settings
from execution_platform.exceptions import ConfigError
from execution_platform.gateway.auth import Authenticator
from execution_platform.gateway.discovery import find_local
from execution_platform.limits.limiter import Limiter
from execution_platform.limits.table import LimitTable
from execution_platform.observability.redaction import Redactor
from execution_platform.providers.fleet import Fleet
from execution_platform.providers.registry import specs
from execution_platform.resilience.board import Board
from execution_platform.router.table import RoutingTable
from execution_platform.router.target import Target
from execution_platform.runtime.call import Principal
from execution_platform.runtime.latency import Latencies
from execution_platform.runtime.snapshot import Snapshot
from execution_platform.runtime.stash import Stash


class SnapshotBuilder:
    """Builds snapshots for one process. Holds what outlives a snapshot: providers, stash, found servers."""

    def __init__(self, settings: Settings, limiter: Limiter | None = None) -> None:
        self.settings = settings
        self._limiter = limiter or Limiter()
        self.fleet = Fleet(settings.environ)
        self._stash = Stash()
        self._latencies = Latencies()
        self.board = Board()
        self._configured: frozenset[str] = frozenset()
        self._found: dict[str, ProviderConfig] = {}
        self._overlays: dict[str, Mapping[str, object]] = {}

    async def discover(self) -> bool:
        """Look for local servers on their usual ports; whether any was found that is not configured already."""
        own = f":{self.settings.port}/"
        candidates = tuple(
            candidate
            for candidate in local_candidates(self.settings.environ)
            if candidate.name not in self._configured and own not in candidate.base_url
        )
        for candidate, models in await find_local(self.fleet.transport, candidates):
            self._found[candidate.name] = ProviderConfig(
                name=candidate.name,
                kind=candidate.kind,
                base_url=candidate.base_url,
                models=models,
                default_model=models[0],
                needs_key=False,
                origin="environment",
            )
        return bool(self._found)

    def with_persona(self, name: str, persona: Mapping[str, object]) -> Snapshot:
        """A snapshot with a persona changed, which stays changed. Raises `ConfigError`; then all stays as it was."""
        before = self._overlays
        self._overlays = {**before, name: persona}
        try:
            return self.build()
        except ConfigError:
            self._overlays = before
            raise

    def build(self) -> Snapshot:
        """A snapshot of the configuration as it is now. Raises `ConfigError`; nothing in service changes."""
        overlays = [{"personas": dict(self._overlays)}] if self._overlays else []
        raw = load_config(self.settings, overlays=overlays)
        config = resolve(raw, self.settings, specs())
        if self._found:
            config = replace(config, providers={**config.providers, **self._found})
        self._configured = frozenset(name for name, given in config.providers.items() if given.origin == "file")
        providers = self.fleet.build(config)
        usable = live_providers(config, self.settings, local=tuple(self._found))
        live = {name: kind for name, kind in usable.items() if name in providers}
        secrets = self.fleet.secrets_of(config)
        if self.settings.master_key is not None:
            secrets.append(self.settings.master_key.reveal())
        prices = PriceBook(config)

        def price(target: Target) -> Decimal | None:
            known = prices.price(target.provider, target.model)
            return None if known is None else known.rates.input + known.rates.output

        routing = RoutingTable(config, live, latency=self._latencies, price=price)
        errors = [problem for problem in routing.problems if problem.gravity == "error"]
        if errors:
            raise ConfigProblems(errors)
        return Snapshot(
            version=config.version_id,
            config=config,
            providers=providers,
            routing=routing,
            prices=prices,
            redactor=Redactor(secrets),
            problems=tuple(routing.problems),
            max_attempts=config.limits.attempts,
            default_provider=routing.default_provider,
            live=frozenset(live) | frozenset(known().always_available) & providers.keys(),
            stash=self._stash,
            latencies=self._latencies,
            board=self.board,
            limits=LimitTable(self._limiter, config.rate_limits),
        )


def authenticator_for(builder: SnapshotBuilder, config: Resolved) -> Authenticator:
    """Who may call under `config`: the master key, and the keys of the file."""
    keys: dict[bytes, Principal] = {}
    for key in config.keys:
        principal = Principal(
            key.name,
            tenant=key.tenant,
            admin=key.admin,
            personas=key.personas or frozenset(),
            models=key.models or frozenset(),
            loss_policy=key.loss_policy,
        )
        if key.sha256 is not None:
            keys[bytes.fromhex(key.sha256)] = principal
        elif key.key is not None:
            keys[_digest(builder.fleet.secret(key.key))] = principal
    if builder.settings.master_key is not None:
        keys[_digest(builder.settings.master_key)] = Principal("master", admin=True)
    return Authenticator(keys, origins=builder.settings.cors_origins)


def _digest(secret: Secret) -> bytes:
    return hashlib.sha256(secret.reveal().encode()).digest()
