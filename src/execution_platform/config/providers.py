"""Providers: those of the file, those the environment has keys for, and those every installation knows."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from execution_platform.config.facts import RawProfile
from execution_platform.config.known import EnvironmentNames, KindFacts, canonical_provider, known
from execution_platform.config.problems import Problem, suggest
from execution_platform.config.schema import RawBreaker, RawConfig, RawProvider, RawRetry, RawTimeouts
from execution_platform.config.secret import SecretRef, environment_secret
from execution_platform.config.settings import Settings
from execution_platform.config.values import (
    CONCURRENCY,
    CircuitBreaker,
    Origin,
    Probe,
    ProviderConfig,
    Retry,
    Timeouts,
)
from execution_platform.config.written.pricing import price_override

KindTable = Mapping[str, KindFacts]


class _Unsaid:
    """What is assumed of a kind of which only the name is known."""

    key_env: tuple[str, ...] = ()
    base_url_env: tuple[str, ...] = ()
    default_model: str | None = None
    models: tuple[str, ...] = ()

    def __init__(self, kind: str) -> None:
        local = {row["kind"] for row in known().local}
        self.local = kind in local or kind in known().always_available
        self.needs_key = not self.local and kind not in known().addressless


def resolve_providers(
    raw: RawConfig, settings: Settings, kinds: KindTable | Collection[str] | None, problems: list[Problem]
) -> dict[str, ProviderConfig]:
    """Every provider by name, the file's first. Findings are appended to `problems`."""
    table = _table(kinds)
    found: dict[str, ProviderConfig] = {}
    for written, provider in raw.providers.items():
        name = canonical_provider(written)
        kind = canonical_provider(provider.kind or name)
        _check_provider(name, kind, provider, table, problems)
        if kind in table:
            found[name] = _from_file(name, kind, provider, table[kind], raw, settings)
    for kind, facts in table.items():
        if kind not in found and kind not in known().addressless:
            found[kind] = _from_environment(kind, facts, raw, settings)
    return found


def _table(kinds: KindTable | Collection[str] | None) -> KindTable:
    if isinstance(kinds, Mapping):
        return cast("KindTable", kinds)
    return {kind: _Unsaid(kind) for kind in (known().usual_kinds if kinds is None else kinds)}


def _check_provider(name: str, kind: str, provider: RawProvider, table: KindTable, problems: list[Problem]) -> None:
    path = f"providers.{name}"
    if not name or any(character in "/:" or character.isspace() for character in name) or name == "persona":
        problems.append(
            Problem(path, "is no name for a provider: it is persona, or has a blank, / or : in it.", "Rename it.")
        )
    if kind not in table:
        said = (
            f"is {kind}, which is no kind of provider."
            if provider.kind
            else "is missing, and the name is no kind of provider."
        )
        problems.append(Problem(f"{path}.kind", said, suggest(kind, table)))
    elif kind in known().addressless and provider.base_url is None:
        problems.append(Problem(f"{path}.base_url", f"is missing; the kind {kind} has no usual address.", "Add it."))


def _from_file(
    name: str, kind: str, provider: RawProvider, facts: KindFacts, raw: RawConfig, settings: Settings
) -> ProviderConfig:
    names = _names(kind, facts)
    plain = {key: ref.literal.reveal() for key, ref in provider.headers.items() if ref.literal is not None}
    model = provider.default_model or _read(settings, names.model) or next(iter(provider.models or ()), None)
    return ProviderConfig(
        name=name,
        kind=kind,
        base_url=provider.base_url or _read(settings, names.base_url),
        credential=provider.api_key or _credential(settings, names.api_key),
        models=facts.models if provider.models is None else tuple(provider.models),
        default_model=model or facts.default_model,
        timeouts=_timeouts(raw.timeouts, provider.timeouts),
        retry=_retry(raw.retry, provider.retry),
        circuit_breaker=_breaker(raw.circuit_breaker, provider.circuit_breaker),
        concurrency=provider.concurrency or CONCURRENCY,
        probe=None if provider.probe is None else Probe(**provider.probe.model_dump()),
        headers=plain,
        secret_headers={key: ref for key, ref in provider.headers.items() if ref.literal is None},
        api_version=provider.api_version or _read(settings, names.api_version),
        deployments=dict(provider.deployments),
        region=provider.region,
        profiles={pattern: profile_facts(profile) for pattern, profile in provider.profiles.items()},
        prices={model: price_override(price) for model, price in provider.prices.items()},
        free=provider.free or facts.local,
        needs_key=facts.needs_key,
        options=dict(provider.options),
        origin="file",
    )


def _from_environment(kind: str, facts: KindFacts, raw: RawConfig, settings: Settings) -> ProviderConfig:
    names = _names(kind, facts)
    credential = _credential(settings, names.api_key)
    base_url = _read(settings, names.base_url)
    configured = credential is not None or (base_url is not None and not facts.needs_key)
    always = kind in known().always_available
    origin: Origin = "environment" if configured or always else "builtin"
    return ProviderConfig(
        name=kind,
        kind=kind,
        base_url=base_url,
        credential=credential,
        models=facts.models,
        default_model=_read(settings, names.model) or facts.default_model,
        timeouts=_timeouts(raw.timeouts),
        retry=_retry(raw.retry),
        circuit_breaker=_breaker(raw.circuit_breaker),
        api_version=_read(settings, names.api_version),
        free=facts.local,
        needs_key=facts.needs_key,
        origin=origin,
    )


def _names(kind: str, facts: KindFacts) -> EnvironmentNames:
    """The kind's own row in the data first, then what the registry knows."""
    row = known().environment.get(kind, EnvironmentNames())
    return EnvironmentNames(
        api_key=tuple(dict.fromkeys((*row.api_key, *facts.key_env))),
        base_url=tuple(dict.fromkeys((*row.base_url, *facts.base_url_env))),
        model=row.model,
        api_version=row.api_version,
    )


def _credential(settings: Settings, names: tuple[str, ...]) -> SecretRef | None:
    name = settings.first(names)
    return None if name is None else environment_secret(name)


def _read(settings: Settings, names: tuple[str, ...]) -> str | None:
    name = settings.first(names)
    return None if name is None else settings.environ[name]


def _merged(layers: Sequence[RawTimeouts | RawRetry | RawBreaker]) -> dict[str, Any]:
    """The settings of all layers, already checked by the schema; later layers win."""
    merged: dict[str, Any] = {}
    for layer in layers:
        merged.update(layer.model_dump(exclude_none=True))
    return merged


def _timeouts(*layers: RawTimeouts) -> Timeouts:
    return Timeouts(**{key: float(value) for key, value in _merged(layers).items()})


def _retry(*layers: RawRetry) -> Retry:
    return Retry(**_merged(layers))


def _breaker(*layers: RawBreaker) -> CircuitBreaker:
    return CircuitBreaker(**_merged(layers))


def profile_facts(profile: RawProfile) -> dict[str, object]:
    """The facts that were written, in the types of `ModelProfile`."""
    facts: dict[str, object] = profile.model_dump(exclude_none=True)
    if profile.url_media is not None:
        facts["url_media"] = frozenset(profile.url_media)
    if profile.effort_levels is not None:
        facts["effort_levels"] = tuple(profile.effort_levels)
    return facts
