"""The limits of one configuration, bound to the meters of the process; looked up by who calls and who answers."""

from execution_platform.config.values import RateLimits
from execution_platform.limits.limiter import Limit, Limiter
from execution_platform.limits.rules import Rules

_MOST = 10_000
_NONE: tuple[Limit, ...] = ()


class LimitTable:
    """What holds for a caller and for a target. A look-up is one access to a dictionary in the steady state."""

    __slots__ = ("_callers", "_targets", "for_callers", "for_targets", "limiter", "replicas", "rules")

    def __init__(self, limiter: Limiter, config: RateLimits) -> None:
        self.limiter = limiter
        self.rules = Rules(config)
        self.replicas = config.replicas
        self.for_callers = self.rules.for_callers
        """Whether any limit depends on who calls."""
        self.for_targets = self.rules.for_targets
        """Whether any limit depends on who answers."""
        self._callers: dict[tuple[str, str, str | None], tuple[Limit, ...]] = {}
        self._targets: dict[tuple[str, str], tuple[Limit, ...]] = {}

    def caller(self, key: str, tenant: str, persona: str | None) -> tuple[Limit, ...]:
        """The limits of a gateway key, its tenant and the persona that is called."""
        name = (key, tenant, persona)
        found = self._callers.get(name)
        if found is None:
            rules = [*self.rules.of("key", key), *self.rules.of("tenant", tenant)]
            if persona is not None:
                rules += self.rules.of("persona", persona)
            if len(self._callers) >= _MOST:
                self._callers.clear()
            found = self._callers[name] = tuple(map(self.limiter.bind, rules))
        return found

    def target(self, provider: str, model: str) -> tuple[Limit, ...]:
        """The limits of a provider and of its model."""
        name = (provider, model)
        found = self._targets.get(name)
        if found is None:
            rules = (*self.rules.of("provider", provider), *self.rules.of("model", f"{provider}/{model}"))
            if len(self._targets) >= _MOST:
                self._targets.clear()
            found = self._targets[name] = tuple(map(self.limiter.bind, rules))
        return found
