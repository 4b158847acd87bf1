"""Rate limits of the file and the environment, by whom they hold for."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from execution_platform.config.problems import Problem, suggest
from execution_platform.config.schema import RawConfig, RawRateLimit
from execution_platform.config.settings import Settings
from execution_platform.config.values import PersonaConfig, RateLimit, RateLimits

EVERY = "*"


def resolve_rate_limits(
    raw: RawConfig,
    settings: Settings,
    *,
    personas: Mapping[str, PersonaConfig],
    providers: Collection[str],
    problems: list[Problem],
) -> RateLimits:
    """Every rate limit by scope and name. Findings are appended to `problems`."""
    given = raw.rate_limits
    for scope, names, valid in (
        ("personas", given.personas, personas),
        ("providers", given.providers, providers),
        ("models", {name.partition("/")[0] for name in given.models}, providers),
    ):
        problems.extend(_unknown(f"rate_limits.{scope}", names, valid))
    keys = {name: _limit(limit) for name, limit in given.keys.items()}
    _join("keys", keys, {key.name: _limit(key.rate_limit) for key in raw.keys if key.rate_limit is not None}, problems)
    by_persona = {name: _limit(limit) for name, limit in given.personas.items()}
    written = {name for name, persona in raw.personas.items() if persona.rate_limit is not None}
    own = {name: persona.rate_limit for name, persona in personas.items() if persona.rate_limit is not None}
    _join("personas", by_persona, {name: own[name] for name in own.keys() & written}, problems)
    by_persona = {**own, **by_persona}
    if settings.rate_limit_per_persona is not None:
        every = by_persona.get(EVERY, RateLimit())
        by_persona[EVERY] = replace(every, requests=settings.rate_limit_per_persona)
    return RateLimits(
        replicas=given.replicas,
        keys=keys,
        tenants={name: _limit(limit) for name, limit in given.tenants.items()},
        personas=by_persona,
        providers={name: _limit(limit) for name, limit in given.providers.items()},
        models={name: _limit(limit) for name, limit in given.models.items()},
    )


def _unknown(path: str, names: Iterable[str], valid: Collection[str]) -> Iterable[Problem]:
    for name in names:
        if name != EVERY and name not in valid:
            yield Problem(f"{path}.{name}", f"{name} does not exist.", suggest(name, valid))


def _join(scope: str, section: dict[str, RateLimit], own: Mapping[str, RateLimit], problems: list[Problem]) -> None:
    """Add what stands with the names themselves; the same name in both places is a finding."""
    problems.extend(
        Problem(f"rate_limits.{scope}.{name}", f"{name} has a rate_limit of its own.", "Keep one of the two.")
        for name in sorted(section.keys() & own.keys())
    )
    section.update(own)


def _limit(raw: RawRateLimit) -> RateLimit:
    return RateLimit(requests=raw.requests, tokens=raw.tokens, burst=raw.burst, token_burst=raw.token_burst)
