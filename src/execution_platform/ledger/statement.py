"""What stands in an account: limits, what was spent and is held, what is left, and where it is heading."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from execution_platform.ledger.budget_store import SqlBudgetStore, WindowState
from execution_platform.ledger.budgets import EACH, NO_LIMIT, NOTHING, Bound, Budget, Rules
from execution_platform.ledger.money import to_usd
from execution_platform.ledger.periods import FOREVER, Period, Window, forecast, window

_MOST = 50
"""Accounts shown of a budget that everybody has for himself."""


@dataclass(frozen=True, slots=True)
class Row:
    """One account in its current window. Dollars are exact; None is no limit, or no forecast yet."""

    scope: str
    period: Period
    period_start: datetime
    period_end: datetime | None
    limit_usd: Decimal | None
    limit_tokens: int | None
    spent_usd: Decimal
    spent_tokens: int
    reserved_usd: Decimal
    reserved_tokens: int
    remaining_usd: Decimal | None
    remaining_tokens: int | None
    forecast_usd: Decimal | None
    forecast_tokens: int | None
    alert_threshold: float
    on_breach: str
    requests: int


async def statement(store: SqlBudgetStore, rules: Rules, at: float) -> list[Row]:
    """Every account that has a name, and of those everybody has for himself the ones that spent most. Raises `DatabaseUnavailable`."""
    bounds: dict[tuple[str, str], Bound] = {}
    states: dict[tuple[str, str], WindowState] = {}
    for budget in rules.budgets:
        if budget.subject == EACH:
            for state in await _of_each(store, budget, at):
                states[state.scope, state.period] = state
                _add(bounds, rules, state.scope, state.period)
        else:
            _add(bounds, rules, budget.name, budget.period)
    windows = {key: window(bound.period, at, bound.zone) for key, bound in bounds.items()}
    missing: list[tuple[str, Period, int]] = [
        (scope, bounds[scope, period].period, windows[scope, period].start) for scope, period in bounds
    ]
    for state in await store.windows(missing):
        states[state.scope, state.period] = state
    return [row(bounds[key], windows[key], states.get(key), at) for key in sorted(bounds)]


async def of_bounds(store: SqlBudgetStore, bounds: tuple[Bound, ...], at: float) -> list[Row]:
    """The accounts that bind somebody. Raises `DatabaseUnavailable`."""
    windows = [window(bound.period, at, bound.zone) for bound in bounds]
    wanted: list[tuple[str, Period, int]] = [
        (bound.scope, bound.period, span.start) for bound, span in zip(bounds, windows, strict=True)
    ]
    states = {(state.scope, state.period): state for state in await store.windows(wanted)}
    return [row(bound, span, states.get(bound.key), at) for bound, span in zip(bounds, windows, strict=True)]


def _add(bounds: dict[tuple[str, str], Bound], rules: Rules, scope: str, period: Period) -> None:
    bound = rules.bound(scope, period)
    if bound is not None:
        bounds[bound.key] = bound


async def _of_each(store: SqlBudgetStore, budget: Budget, at: float) -> list[WindowState]:
    start = window(budget.period, at, budget.zone).start
    return await store.latest(budget.period, start, prefix=f"{budget.scope}:", most=_MOST)


def row(bound: Bound, span: Window, state: WindowState | None, at: float) -> Row:
    """An account as it is shown."""
    spent, reserved, extra = (state.spent, state.reserved, state.extra) if state is not None else (NOTHING,) * 3
    limit_nanos = None if bound.cap.nanos >= NO_LIMIT else bound.cap.nanos + extra.nanos
    limit_tokens = None if bound.cap.tokens >= NO_LIMIT else bound.cap.tokens + extra.tokens
    heading = forecast(spent.nanos, span, at)
    return Row(
        scope=bound.scope,
        period=bound.period,
        period_start=datetime.fromtimestamp(span.start, UTC),
        period_end=None if span.end == FOREVER else datetime.fromtimestamp(span.end, UTC),
        limit_usd=None if limit_nanos is None else to_usd(limit_nanos),
        limit_tokens=limit_tokens,
        spent_usd=to_usd(spent.nanos),
        spent_tokens=spent.tokens,
        reserved_usd=to_usd(reserved.nanos),
        reserved_tokens=reserved.tokens,
        remaining_usd=None if limit_nanos is None else to_usd(max(0, limit_nanos - spent.nanos - reserved.nanos)),
        remaining_tokens=None if limit_tokens is None else max(0, limit_tokens - spent.tokens - reserved.tokens),
        forecast_usd=None if heading is None else to_usd(heading),
        forecast_tokens=forecast(spent.tokens, span, at),
        alert_threshold=bound.alert_threshold,
        on_breach=bound.on_breach,
        requests=0 if state is None else state.requests,
    )
