"""Every budget of the configuration in one form: the file's section, personas' and keys' own, and the environment's."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal

from execution_platform.config.settings import Settings
from execution_platform.config.spending import SUBJECTS, RawAlert, RawLimit, RawSpending
from execution_platform.config.values import (
    AlertChannel,
    Budget,
    BudgetScope,
    GatewayKeyConfig,
    PersonaConfig,
    Spending,
    SpendingLimit,
)


def resolve_spending(
    raw: RawSpending, personas: Mapping[str, PersonaConfig], keys: Iterable[GatewayKeyConfig], settings: Settings
) -> Spending:
    """The budgets of one configuration. Those of the section come first, in its order."""
    limits = [limit_of(limit, raw.time_zone) for limit in raw.limits]
    for persona in personas.values():
        if persona.budget is not None:
            base = SpendingLimit(scope="persona", subject=persona.name, period="minute", origin=persona.origin)
            limits += _of_budget(replace(base, time_zone=raw.time_zone), persona.budget)
    for key in keys:
        if key.budget is not None:
            base = SpendingLimit(scope="key", subject=key.name, period="minute", time_zone=raw.time_zone)
            limits += _of_budget(base, key.budget)
    limits += _of_environment(settings)
    return Spending(
        time_zone=raw.time_zone,
        assume_output_tokens=raw.assume_output_tokens,
        pause_seconds=raw.pause_seconds,
        limits=tuple(limits),
        alerts=tuple(_alerts(raw.alerts)),
    )


def limit_of(raw: RawLimit, zone: str) -> SpendingLimit:
    """One budget as it is written; `zone` where it names none."""
    scope: BudgetScope = "gateway"
    subject = ""
    for name in SUBJECTS:
        given: str | None = getattr(raw, name)
        if given is not None:
            scope, subject = name, given
    return SpendingLimit(
        scope=scope,
        subject=subject,
        period=raw.period,
        usd=raw.usd,
        tokens=raw.tokens,
        alert_threshold=raw.alert_threshold,
        on_breach=raw.on_breach,
        downgrade_to=raw.downgrade_to,
        time_zone=raw.time_zone or zone,
    )


def _of_budget(base: SpendingLimit, budget: Budget) -> Iterator[SpendingLimit]:
    base = replace(base, alert_threshold=budget.alert_threshold)
    if budget.tokens_per_min is not None or budget.cost_per_min is not None:
        yield replace(base, usd=budget.cost_per_min, tokens=budget.tokens_per_min)
    if budget.hourly_usd is not None:
        yield replace(base, period="hourly", usd=budget.hourly_usd)
    if budget.daily_usd is not None:
        yield replace(base, period="daily", usd=budget.daily_usd)
    if budget.monthly_usd is not None:
        yield replace(base, period="monthly", usd=budget.monthly_usd)
    if budget.tokens_per_run is not None:
        bound = base.subject if base.scope == "persona" else None
        yield replace(base, scope="run", subject="*", persona=bound, period="total", tokens=budget.tokens_per_run)


def _of_environment(settings: Settings) -> Iterator[SpendingLimit]:
    usd = settings.budget_per_minute_usd
    if usd is not None or settings.tokens_budget_per_minute is not None:
        yield SpendingLimit(
            scope="persona",
            subject="*",
            period="minute",
            usd=None if usd is None else Decimal(str(usd)),
            tokens=settings.tokens_budget_per_minute,
            origin="environment",
        )


def _alerts(alerts: Iterable[RawAlert]) -> Iterator[AlertChannel]:
    seen: dict[str, int] = {}
    for alert in alerts:
        name = alert.name or alert.kind
        seen[name] = seen.get(name, 0) + 1
        yield AlertChannel(
            name=name if seen[name] == 1 else f"{name}-{seen[name]}",
            kind=alert.kind,
            url=alert.url,
            secret=alert.secret,
            sender=alert.sender,
            to=tuple(alert.to),
        )
