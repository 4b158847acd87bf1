"""From the file as written to frozen run-time values: everything looked up, inherited and checked."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass, replace
from decimal import Decimal
from typing import cast

from execution_platform.config.known import canonical_provider, choose_default
from execution_platform.config.limits import resolve_rate_limits
from execution_platform.config.oidc import RawOidc
from execution_platform.config.personas import resolve_persona_aliases, resolve_personas
from execution_platform.config.problems import ConfigProblems, Problem, suggest
from execution_platform.config.providers import KindTable, resolve_providers
from execution_platform.config.schema import RawConfig
from execution_platform.config.secret import SecretRef, has_secret
from execution_platform.config.settings import Settings
from execution_platform.config.spending_limits import resolve_spending
from execution_platform.config.values import (
    Budget,
    CircuitBreaker,
    DrainLimits,
    GatewayKeyConfig,
    IdempotencyConfig,
    LedgerConfig,
    Limits,
    LogicalModel,
    LogicalTarget,
    OidcConfig,
    PersonaConfig,
    ProviderConfig,
    Resolved,
    Retry,
    ShadowConfig,
    Timeouts,
)
from execution_platform.config.written.mcp import resolve_mcp
from execution_platform.config.written.responses import resolve_responses
from execution_platform.config.written.runs import resolve_runs
from execution_platform.config.written.tools import resolve_tools

__all__ = [
    "Budget",
    "CircuitBreaker",
    "DrainLimits",
    "GatewayKeyConfig",
    "Limits",
    "LogicalModel",
    "LogicalTarget",
    "PersonaConfig",
    "ProviderConfig",
    "Resolved",
    "Retry",
    "Timeouts",
    "choose_default",
    "is_live",
    "live_providers",
    "resolve",
    "version_id",
]

AUTO = "auto"
_DRAWN = frozenset({"weighted", "sticky"})
"""Strategies that give each target its share."""


def resolve(raw: RawConfig, settings: Settings, known_kinds: KindTable | Collection[str] | None = None) -> Resolved:
    """The run-time values of `raw` in the environment of `settings`.

    `known_kinds` are the rows of the provider registry by kind, or only their names. Raises
    `ConfigProblems` with every finding.
    """
    problems: list[Problem] = []
    providers = resolve_providers(raw, settings, known_kinds, problems)
    personas = resolve_personas(raw, problems)
    persona_aliases = resolve_persona_aliases(raw, personas, problems)
    models = _models(raw)
    keys = _keys(raw)
    resolved = Resolved(
        providers=providers,
        personas=personas,
        persona_aliases=persona_aliases,
        models=models,
        aliases=dict(raw.aliases),
        keys=keys,
        limits=Limits(**raw.limits.model_dump()),
        rate_limits=resolve_rate_limits(raw, settings, personas=personas, providers=providers, problems=problems),
        drain=DrainLimits(**raw.drain.model_dump()),
        oidc=None if raw.oidc is None else _oidc(raw.oidc),
        tools=resolve_tools(raw.tools),
        mcp=resolve_mcp(raw.mcp, settings.host, problems),
        responses=resolve_responses(raw.responses),
        runs=resolve_runs(raw.runs),
        trusted_proxies=tuple(raw.trusted_proxies),
        idempotency=IdempotencyConfig(**raw.idempotency.model_dump()),
        ledger=LedgerConfig(**raw.ledger.model_dump(exclude={"content_of"}), content_of=tuple(raw.ledger.content_of)),
        spending=resolve_spending(raw.budgets, personas, keys, settings),
        loss_policy=raw.loss_policy,
        continue_on_cut=raw.continue_on_cut,
        default_provider=_default(raw, settings, providers, problems),
        development=settings.development,
    )
    _check_names(resolved, problems)
    if problems:
        raise ConfigProblems(problems)
    return _with_version(resolved)


def is_live(provider: ProviderConfig, environ: Mapping[str, str]) -> bool:
    """Whether the provider has what it needs to be called, as far as can be told without calling it."""
    return not provider.needs_key or has_secret(provider.credential, environ)


def live_providers(resolved: Resolved, settings: Settings, *, local: Collection[str] = ()) -> dict[str, str]:
    """Names and kinds of the providers `auto` may choose: those with a key, the file's own, and those in `local` that answer."""
    found: dict[str, str] = {}
    for name, provider in resolved.providers.items():
        chosen = provider.origin != "builtin" or provider.needs_key or name in local
        if chosen and is_live(provider, settings.environ):
            found[name] = provider.kind
    return found


def _models(raw: RawConfig) -> dict[str, LogicalModel]:
    return {
        name: LogicalModel(
            name,
            tuple(LogicalTarget(target.model, target.weight, target.priority, target.arm) for target in model.targets),
            model.strategy,
            hedge=model.hedge or False,
            continue_on_cut=model.continue_on_cut,
            shadow=None if model.shadow is None else ShadowConfig(model.shadow.model, model.shadow.percent),
        )
        for name, model in raw.models.items()
    }


def _keys(raw: RawConfig) -> tuple[GatewayKeyConfig, ...]:
    return tuple(
        GatewayKeyConfig(
            name=key.name,
            key=key.key,
            sha256=key.sha256,
            tenant=key.tenant or "default",
            team=key.team or "",
            budget=None if key.budget is None else Budget(**key.budget.model_dump(exclude_none=True)),
            personas=None if key.personas is None else frozenset(key.personas),
            models=None if key.models is None else frozenset(key.models),
            loss_policy=key.loss_policy,
            admin=key.admin,
        )
        for key in raw.keys
    )


def _oidc(raw: RawOidc) -> OidcConfig:
    fields = raw.model_dump(exclude={"client_secret", "algorithms", "scopes"})
    return OidcConfig(
        **fields, client_secret=raw.client_secret, algorithms=tuple(raw.algorithms), scopes=tuple(raw.scopes)
    )


def _default(
    raw: RawConfig, settings: Settings, providers: Mapping[str, ProviderConfig], problems: list[Problem]
) -> str | None:
    """The environment's choice, else the file's; None for `auto`."""
    name = settings.provider
    path = "EP_DEFAULT_PROVIDER"
    if name == AUTO and raw.default_provider is not None:
        name = canonical_provider(raw.default_provider)
        path = "default_provider"
    if name == AUTO:
        return None
    if name not in providers:
        problems.append(
            Problem(path, f"names the provider {name}, which does not exist.", suggest(name, [*providers, AUTO]))
        )
    return name


def _check_names(resolved: Resolved, problems: list[Problem]) -> None:
    for section, names in (("models", resolved.models), ("aliases", resolved.aliases)):
        taken = {
            name for name in names if name in resolved.providers or (section == "aliases" and name in resolved.models)
        }
        problems.extend(
            Problem(f"{section}.{name}", "is the name of a provider or a logical model too.", "Choose another name.")
            for name in sorted(taken)
        )
    for name, persona in resolved.personas.items():
        for place, target in enumerate(persona.chain):
            _check_target(resolved, f"personas.{name}.prefer.{place}", target, problems)
    for model in resolved.models.values():
        _check_model(resolved, model, problems)
    for alias, name in resolved.aliases.items():
        _check_target(resolved, f"aliases.{alias}", name, problems)
    _check_keys(resolved, problems)
    _check_limits(resolved, problems)


def _check_limits(resolved: Resolved, problems: list[Problem]) -> None:
    given = [limit for limit in resolved.spending.limits if limit.origin == "file"]
    for place, limit in enumerate(given):
        path = f"budgets.limits.{place}"
        if limit.downgrade_to is not None:
            _check_target(resolved, f"{path}.downgrade_to", limit.downgrade_to, problems)
        if limit.scope == "persona" and limit.subject not in {*resolved.personas, "*"}:
            problems.append(
                Problem(
                    f"{path}.persona", f"unknown persona {limit.subject}.", suggest(limit.subject, resolved.personas)
                )
            )


def _check_model(resolved: Resolved, model: LogicalModel, problems: list[Problem]) -> None:
    for place, member in enumerate(model.targets):
        path = f"models.{model.name}.targets.{place}.model"
        if member.name in resolved.models:
            problems.append(Problem(path, f"is the logical model {member.name}.", "List its targets here instead."))
        else:
            _check_target(resolved, path, member.name, problems)
    if model.shadow is not None:
        _check_target(resolved, f"models.{model.name}.shadow.model", model.shadow.name, problems)
    arms = [member.arm for member in model.targets if member.arm is not None]
    if arms and (len(arms) < len(model.targets) or model.strategy not in _DRAWN):
        said = "some targets have an arm and others have none" if model.strategy in _DRAWN else "arms need a draw"
        remedy = "Give each target its arm, and the strategy weighted or sticky."
        problems.append(Problem(f"models.{model.name}.targets", f"{said}.", remedy))
    if model.strategy in _DRAWN and not any(member.weight for member in model.targets):
        problems.append(
            Problem(f"models.{model.name}.targets", "has no target with a weight above 0.", "Give one a weight.")
        )


def _check_keys(resolved: Resolved, problems: list[Problem]) -> None:
    personas = {*resolved.personas, *resolved.persona_aliases}
    seen: set[str] = set()
    for place, key in enumerate(resolved.keys):
        if key.name in seen:
            problems.append(Problem(f"keys.{place}.name", f"{key.name} is used twice.", "Give each key its own name."))
        seen.add(key.name)
        problems.extend(
            Problem(f"keys.{place}.personas", f"unknown persona {persona}.", suggest(persona, personas))
            for persona in sorted((key.personas or frozenset()) - personas)
        )


def _check_target(resolved: Resolved, path: str, name: str, problems: list[Problem]) -> None:
    """A target's name leads to a provider, a logical model, an alias, or a model some provider lists."""
    head, separator = name, ""
    for position, character in enumerate(name):
        if character in "/:":
            head, separator = name[:position], character
            break
    if head in resolved.providers or name in resolved.models or name in resolved.aliases:
        return
    if head == "persona" and path.startswith("aliases."):
        return
    if any(name in provider.models for provider in resolved.providers.values()):
        return
    if separator:
        problems.append(
            Problem(path, f"names the provider {head}, which does not exist.", suggest(head, resolved.providers))
        )
    else:
        valid = [*resolved.providers, *resolved.models, *resolved.aliases]
        problems.append(
            Problem(path, f"{name} is no provider, no provider/model and no logical model.", suggest(name, valid))
        )


def _with_version(resolved: Resolved) -> Resolved:
    return replace(resolved, version_id=version_id(resolved))


def version_id(resolved: Resolved) -> str:
    """A short name for the content, the same on every machine; what a secret is does not enter it, where it is does."""
    return hashlib.sha256(_canonical(resolved).encode()).hexdigest()[:12]


def _canonical(value: object) -> str:
    if isinstance(value, SecretRef):
        return f"secret({value.source})"
    if is_dataclass(value) and not isinstance(value, type):
        inside = ",".join(
            f"{item.name}={_canonical(_nameable(item.name, getattr(value, item.name)))}" for item in fields(value)
        )
        return f"{type(value).__name__}({inside})"
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        return "{" + ",".join(sorted(f"{key!r}:{_canonical(item)}" for key, item in pairs)) + "}"
    if isinstance(value, frozenset):
        return "{" + ",".join(sorted(_canonical(item) for item in cast("frozenset[object]", value))) + "}"
    if isinstance(value, tuple | list):
        return "[" + ",".join(_canonical(item) for item in cast("tuple[object, ...]", value)) + "]"
    return str(value.normalize()) if isinstance(value, Decimal) else repr(value)


def _nameable(name: str, value: object) -> object:
    """A header's value may be a secret, so only its name counts; the id does not count itself."""
    if name == "version_id":
        return ""
    return tuple(sorted(cast("Mapping[str, str]", value))) if name == "headers" else value
