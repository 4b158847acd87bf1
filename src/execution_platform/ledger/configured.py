"""The budgets of the configuration as the ledger knows them."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from execution_platform.config.values import Spending, SpendingLimit
from execution_platform.ledger.budgets import Budget
from execution_platform.ledger.money import to_nanos


def configured_budgets(spending: Spending) -> Iterator[Budget]:
    """Every budget of one configuration."""
    return (budget_of(limit) for limit in spending.limits)


def budget_of(limit: SpendingLimit) -> Budget:
    """One budget of the configuration."""
    return Budget(
        scope=limit.scope,
        subject=limit.subject,
        persona=limit.persona,
        period=limit.period,
        zone=ZoneInfo(limit.time_zone),
        nanos=None if limit.usd is None else to_nanos(limit.usd),
        tokens=limit.tokens,
        alert_threshold=limit.alert_threshold,
        on_breach=limit.on_breach,
        downgrade_to=limit.downgrade_to,
        source=limit.origin,
    )
