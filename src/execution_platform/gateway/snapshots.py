"""From settings and files to a snapshot that can serve: the providers built, the personas checked, the keys read."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from execution_platform.catalog.prices import PriceBook, StoredPrices
from execution_platform.config.files import Sources, check_sources, read_sources
from execution_platform.config.known import known, local_candidates
from execution_platform.config.problems import ConfigProblems, Problem
from execution_platform.config.resolve import ProviderConfig, Resolved, live_providers, resolve, version_id
from execution_platform.config.secret import Secret
from execution_platform.config.settings import Settings
from execution_platform.gateway.auth import Authenticator
from execution_platform.gateway.discovery import find_local
from execution_platform.identity.principal import Principal
from execution_platform.identity.scope import Scope
from execution_platform.ledger.estimate import RateCards
from execution_platform.limits.limiter import Limiter
from execution_platform.limits.table import LimitTable
from execution_platform.observability.redaction import Redactor
from execution_platform.providers.fleet import Fleet
from execution_platform.providers.registry import specs
from execution_platform.resilience.board import Board
from execution_platform.router.table import RoutingTable
from execution_platform.router.target import Target
from execution_platform.runtime.latency import Latencies
from execution_platform.runtime.snapshot import Snapshot
from execution_platform.runtime.stash import Stash

Overlays = Mapping[str, Mapping[str, object]]
"""Personas that were switched at run time, in the form of the file, by name."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration that has passed every check and is not in service yet."""

    snapshot: Snapshot
    authenticator: Authenticator


class SnapshotBuilder:
    """Builds snapshots for one process. Holds what outlives a snapshot: providers, stash, found servers."""

    def __init__(self, settings: Settings, limiter: Limiter | None = None) -> None:
        self.settings = settings
        self._limiter = limiter or Limiter()
        self.fleet = Fleet(settings.environ)
        self._stash = Stash()
        self._latencies = Latencies()
        self.board = Board()
        self.stored_prices = StoredPrices()
        """The prices that were set at run time."""
        self._configured: frozenset[str] = frozenset()
        self._found: dict[str, ProviderConfig] = {}

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
                free=True,
                origin="environment",
            )
        return bool(self._found)

    def build(self) -> Snapshot:
        """The snapshot of the files as they are now, in service at once. Raises `ConfigError`."""
        prepared = self.prepare(read_sources(self.settings))
        self.adopt(prepared)
        return prepared.snapshot

    def adopt(self, prepared: Prepared) -> None:
        """Put `prepared` into service: its providers stay, those nobody uses any more go."""
        config = prepared.snapshot.config
        self._configured = frozenset(name for name, given in config.providers.items() if given.origin == "file")
        self.fleet.adopt(prepared.snapshot.generation)

    def prepare(self, sources: Sources, personas: Overlays | None = None, *, fresh: bool = False) -> Prepared:
        """A snapshot of `sources` with `personas` on top, checked to the last name, the gateway keys read.

        Nothing in service changes, and it may run in a thread of its own. With `fresh` secrets are read anew. Raises
        `ConfigError`.
        """
        overlays = [{"personas": dict(personas)}] if personas else []
        config = self._with_found(resolve(check_sources(sources, overlays), self.settings, specs()))
        snapshot = self._snapshot(config, fresh=fresh)
        return Prepared(snapshot, authenticator_for(self, config, fresh=fresh))

    def _with_found(self, config: Resolved) -> Resolved:
        """`config` with the local servers that answered, where the file does not say otherwise."""
        found = {
            name: given
            for name, given in self._found.items()
            if name not in config.providers or config.providers[name].origin != "file"
        }
        if not found:
            return config
        config = replace(config, providers={**config.providers, **found})
        return replace(config, version_id=version_id(config))

    def _snapshot(self, config: Resolved, *, fresh: bool) -> Snapshot:
        generation = self.fleet.build(config)
        providers = generation.providers
        usable = live_providers(config, self.settings, local=tuple(self._found))
        live = {name: kind for name, kind in usable.items() if name in providers}
        secrets = self.fleet.secrets_of(config, fresh=fresh)
        if self.settings.master_key is not None:
            secrets.append(self.settings.master_key.reveal())
        prices = PriceBook(config, self.stored_prices)

        def price(target: Target) -> int | None:
            known = prices.quote(target.provider, target.model)
            return None if known is None else known.price.rates.input + known.price.rates.output

        routing = RoutingTable(config, live, latency=self._latencies, price=price)
        redactor = Redactor(secrets)
        errors = [problem for problem in routing.problems if problem.gravity == "error"]
        errors += told_secrets(config, redactor)
        if errors:
            raise ConfigProblems(errors)
        return Snapshot(
            version=config.version_id,
            config=config,
            generation=generation,
            routing=routing,
            prices=prices,
            cards=RateCards(prices),
            redactor=redactor,
            problems=tuple(routing.problems),
            max_attempts=config.limits.attempts,
            default_provider=routing.default_provider,
            live=frozenset(live) | frozenset(known().always_available) & providers.keys(),
            stash=self._stash,
            latencies=self._latencies,
            board=self.board,
            limits=LimitTable(self._limiter, config.rate_limits),
        )


def told_secrets(config: Resolved, redactor: Redactor) -> list[Problem]:
    """The texts of personas that hold a secret: a model says what it was told to whoever asks well enough."""
    told = [
        (f"personas.{name}.{member}", text)
        for name, persona in config.personas.items()
        for member, text in (("system", persona.system), ("description", persona.description))
    ]
    return [
        Problem(
            path,
            "holds a secret of this gateway or a key.",
            "What a model is told is no secret: take it out and give the persona a tool that has it.",
        )
        for path, text in told
        if text is not None and redactor.content(text) != text
    ]


def authenticator_for(builder: SnapshotBuilder, config: Resolved, *, fresh: bool = False) -> Authenticator:
    """Who may call under `config`: the master key, and the keys of the file."""
    keys: dict[bytes, Principal] = {}
    for key in config.keys:
        principal = Principal(
            key.name,
            tenant=key.tenant,
            team=key.team,
            role="admin" if key.admin else "member",
            scope=Scope(models=key.models, personas=key.personas),
            loss_policy=key.loss_policy,
        )
        if key.sha256 is not None:
            keys[bytes.fromhex(key.sha256)] = principal
        elif key.key is not None:
            keys[_digest(builder.fleet.secret(key.key, fresh=fresh))] = principal
    if builder.settings.master_key is not None:
        keys[_digest(builder.settings.master_key)] = Principal("master", role="admin")
    return Authenticator(keys, origins=builder.settings.cors_origins)


def _digest(secret: Secret) -> bytes:
    return hashlib.sha256(secret.reveal().encode()).digest()
