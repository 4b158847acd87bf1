"""What a budget is, and which budgets a request must obey.

A budget limits money, tokens or both over one period, for one subject: the whole gateway, a tenant, a team, a key, a persona, a
run, a model; or, with the subject `*`, for every subject of the kind on its own. Several budgets may bind one request, and all
must agree. Where several speak of the same subject and period, the least of each limit counts and they share one account.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from execution_platform.ledger.periods import Period

Scope = Literal["gateway", "tenant", "team", "key", "persona", "run", "model"]
SCOPES: tuple[Scope, ...] = ("gateway", "tenant", "team", "key", "persona", "run", "model")
Breach = Literal["stop", "downgrade", "pause"]
Source = Literal["file", "environment", "builtin", "api"]

EACH = "*"
"""The subject of a budget that every subject of its scope has for itself."""
NO_LIMIT = 1 << 61
"""More than anybody can spend, and still a 64-bit integer with room to add."""
UTC = ZoneInfo("UTC")


class Amount(NamedTuple):
    """Nano-dollars and tokens, as they are held, spent and limited together."""

    nanos: int = 0
    tokens: int = 0

    def plus(self, other: "Amount") -> "Amount":
        """The sum, part by part."""
        return Amount(self.nanos + other.nanos, self.tokens + other.tokens)

    def minus(self, other: "Amount") -> "Amount":
        """The difference, part by part."""
        return Amount(self.nanos - other.nanos, self.tokens - other.tokens)

    def at_least(self, other: "Amount") -> "Amount":
        """The greater of the two, part by part."""
        return Amount(max(self.nanos, other.nanos), max(self.tokens, other.tokens))

    def at_most(self, other: "Amount") -> "Amount":
        """The lesser of the two, part by part."""
        return Amount(min(self.nanos, other.nanos), min(self.tokens, other.tokens))

    @property
    def positive(self) -> "Amount":
        """Its parts where they are above zero."""
        return Amount(max(0, self.nanos), max(0, self.tokens))

    def covers(self, other: "Amount") -> bool:
        """Whether `other` fits into this amount."""
        return self.nanos >= other.nanos and self.tokens >= other.tokens


NOTHING = Amount()
UNLIMITED = Amount(NO_LIMIT, NO_LIMIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One limit as it is configured or stored."""

    scope: Scope
    subject: str = EACH
    """Name within the scope, `*` for each; empty for the gateway."""
    persona: str | None = None
    """Binds the budget to requests on this persona, for limits of a persona's single runs."""
    period: Period
    zone: ZoneInfo = UTC
    nanos: int | None = None
    tokens: int | None = None
    alert_threshold: float = 0.8
    on_breach: Breach = "stop"
    downgrade_to: str | None = None
    """Model or logical model that takes over when the worst case of the usual chain no longer fits."""
    source: Source = "file"
    id: str | None = None
    """Of a stored budget."""

    @property
    def name(self) -> str:
        """`tenant:acme`, as tables and reports show it."""
        return scope_name(self.scope, self.subject)


def scope_name(scope: Scope, subject: str) -> str:
    """The one spelling of a scope and its subject."""
    return f"{scope}:{subject}" if subject else scope


class Subjects(NamedTuple):
    """Who and what a request is charged to. Empty where it has no such thing."""

    tenant: str
    key: str = ""
    team: str = ""
    persona: str = ""
    run: str = ""


@dataclass(frozen=True, slots=True)
class Bound:
    """What one subject may spend in one period: the least of all budgets that speak of it."""

    scope: str
    """`tenant:acme`; with `period` the identity of the account."""
    period: Period
    zone: ZoneInfo
    cap: Amount
    """A part without a limit is `NO_LIMIT`."""
    alert_threshold: float
    on_breach: Breach
    downgrade_to: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """The identity of the account."""
        return self.scope, self.period


_ADJECTIVES: Mapping[Period, str] = {
    "minute": "per-minute",
    "hourly": "hourly",
    "daily": "daily",
    "monthly": "monthly",
    "total": "total",
}


def describe(scope: str, period: Period) -> str:
    """An account in an error's words: "the monthly budget of tenant acme"."""
    return f"the {_ADJECTIVES[period]} budget of {'the gateway' if scope == 'gateway' else scope.replace(':', ' ', 1)}"


@dataclass(slots=True)
class _Cache:
    bound: dict[Subjects, tuple[Bound, ...]] = field(default_factory=dict[Subjects, tuple[Bound, ...]])
    models: dict[tuple[str, str], tuple[Bound, ...]] = field(default_factory=dict[tuple[str, str], tuple[Bound, ...]])


_KEPT = 4096


class Rules:
    """Every budget in force, found by whom it binds. Never changes; a new one replaces it."""

    def __init__(self, budgets: Iterable[Budget] = ()) -> None:
        self.budgets = tuple(budgets)
        self._by: dict[tuple[Scope, str], list[Budget]] = {}
        for budget in self.budgets:
            self._by.setdefault((budget.scope, budget.subject), []).append(budget)
        self.any = bool(self.budgets)
        """Whether there is anything to obey at all."""
        self._personas = {name for name in map(_persona_of, self.budgets) if name is not None}
        self._anybody = any(_persona_of(budget) is None for budget in self.budgets)
        self._by_model = any(budget.scope == "model" for budget in self.budgets)
        self._by_run = any(budget.scope == "run" for budget in self.budgets)
        self._cache = _Cache()

    def may_bind(self, persona: str) -> bool:
        """Whether anything can bind a request on `persona`; False for most requests of a gateway with few budgets."""
        return self._anybody or persona in self._personas

    def binding(self, who: Subjects) -> tuple[Bound, ...]:
        """What binds `who`, whatever model answers; in one order everywhere."""
        key = who if self._by_run or not who.run else who._replace(run="")
        found = self._cache.bound.get(key)
        if found is None:
            found = _merged(self._people(key))
            if len(self._cache.bound) >= _KEPT:
                self._cache.bound.clear()
            self._cache.bound[key] = found
        return found

    def binding_model(self, provider: str, model: str) -> tuple[Bound, ...]:
        """What binds a model: budgets of its full name, its bare name, its provider."""
        if not self._by_model:
            return ()
        key = (provider, model)
        found = self._cache.models.get(key)
        if found is None:
            full = f"{provider}/{model}"
            named = [(name, budget) for name in (full, model, provider) for budget in self._by.get(("model", name), ())]
            named += [(full, budget) for budget in self._by.get(("model", EACH), ())]
            found = _merged(named)
            if len(self._cache.models) >= _KEPT:
                self._cache.models.clear()
            self._cache.models[key] = found
        return found

    def bound(self, scope: str, period: Period) -> Bound | None:
        """What binds one account by its name; None when no budget speaks of it any more."""
        kind, _, subject = scope.partition(":")
        named = [
            (subject, budget)
            for budget in self.budgets
            if budget.scope == kind and budget.subject in {subject, EACH} and budget.period == period
        ]
        return next(iter(_merged(named)), None)

    def _people(self, who: Subjects) -> list[tuple[str, Budget]]:
        names: tuple[tuple[Scope, str], ...] = (
            ("tenant", who.tenant),
            ("team", who.team),
            ("key", who.key),
            ("persona", who.persona),
            ("run", who.run),
        )
        found = [("", budget) for budget in self._by.get(("gateway", ""), ())]
        for scope, subject in names:
            if subject:
                for each in (subject, EACH):
                    found += [
                        (subject, budget)
                        for budget in self._by.get((scope, each), ())
                        if budget.persona is None or budget.persona == who.persona
                    ]
        return found


def _persona_of(budget: Budget) -> str | None:
    """The one persona whose requests a budget binds; None where it binds others too."""
    if budget.scope == "persona" and budget.subject != EACH:
        return budget.subject
    return None if budget.scope in {"gateway", "model"} else budget.persona


def _merged(named: Iterable[tuple[str, Budget]]) -> tuple[Bound, ...]:
    groups: dict[tuple[str, Period], list[Budget]] = {}
    for subject, budget in named:
        groups.setdefault((scope_name(budget.scope, subject), budget.period), []).append(budget)
    return tuple(_bound(scope, period, groups[scope, period]) for scope, period in sorted(groups))


def _bound(scope: str, period: Period, budgets: list[Budget]) -> Bound:
    # What stops goes before what asks, and what asks before what yields: the strictest answer to a breach counts.
    strictest = min(budgets, key=lambda budget: ("stop", "pause", "downgrade").index(budget.on_breach))
    return Bound(
        scope,
        period,
        budgets[0].zone,
        Amount(
            min((budget.nanos for budget in budgets if budget.nanos is not None), default=NO_LIMIT),
            min((budget.tokens for budget in budgets if budget.tokens is not None), default=NO_LIMIT),
        ),
        min(budget.alert_threshold for budget in budgets),
        strictest.on_breach,
        strictest.downgrade_to,
    )


NO_RULES = Rules()
