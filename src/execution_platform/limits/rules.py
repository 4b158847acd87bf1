"""Which limits hold for a call: by key, tenant, persona, provider and model, from the configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from execution_platform.config.values import RateLimit, RateLimits
from execution_platform.limits.window import Ceiling

Scope = Literal["key", "tenant", "persona", "provider", "model"]
Unit = Literal["requests", "tokens"]
EVERY = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit on one name."""

    scope: Scope
    name: str
    unit: Unit
    ceiling: Ceiling

    def __str__(self) -> str:
        what = f"{self.scope} {self.name}"
        return f"{self.ceiling.limit} {self.unit} per minute of {what}"


class Rules:
    """The limits of one configuration, by scope and name. A name without limits of its own has those of `*`."""

    def __init__(self, config: RateLimits) -> None:
        self._by_scope: dict[Scope, Mapping[str, RateLimit]] = {
            "key": config.keys,
            "tenant": config.tenants,
            "persona": config.personas,
            "provider": config.providers,
            "model": config.models,
        }
        self.for_callers = bool(config.keys or config.tenants or config.personas)
        """Whether any limit depends on who calls."""
        self.for_targets = bool(config.providers or config.models)
        """Whether any limit depends on who answers."""

    def of(self, scope: Scope, name: str) -> tuple[Rule, ...]:
        """The limits of `name`, requests before tokens."""
        given = self._by_scope[scope]
        limit = given.get(name) or given.get(EVERY)
        if limit is None:
            return ()
        found: list[Rule] = []
        if limit.requests is not None:
            found.append(Rule(scope, name, "requests", Ceiling(limit.requests, limit.burst or limit.requests)))
        if limit.tokens is not None:
            found.append(Rule(scope, name, "tokens", Ceiling(limit.tokens, limit.token_burst or limit.tokens)))
        return tuple(found)
