"""Budgets as a sum of cost events, kept in the transaction that stores the events.

What an event costs goes into `spent` of every window that binds its account, and out of what the lease under which it was
dispatched reserves. Since an event is stored once, both happen once, whatever is delivered twice and whoever dies in between.
The alert of a window that reaches its threshold is written in the same transaction: it is told once, or not at all together
with the spending that caused it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

from execution_platform.ledger.budget_store import insert_quietly, moment
from execution_platform.ledger.budgets import NO_LIMIT, NOTHING, Amount, Bound, Rules, Subjects
from execution_platform.ledger.interfaces import CostEvent, Dispatch
from execution_platform.ledger.leases import Charge, cost_of
from execution_platform.ledger.periods import window

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

_NANOSECONDS = 1_000_000_000


class Charges(Protocol):
    """Who knows under which leases a dispatch of this process was made."""

    @property
    def charges(self) -> bool:
        """Whether there is any."""
        ...

    def charged(self, dispatch: Dispatch) -> Sequence[Charge] | None:
        """The charges of a settled dispatch; None when it is not one of this process. The same until it is forgotten."""
        ...

    def forget(self, dispatch: Dispatch) -> None:
        """The dispatch is stored."""
        ...


@dataclass(slots=True)
class _Sum:
    bound: Bound
    leases: dict[str, Amount] = field(default_factory=dict[str, Amount])
    cost: Amount = NOTHING
    requests: int = 0


class Reached(NamedTuple):
    """A window whose spending has reached the alert threshold of its budget."""

    bound: Bound
    start: int
    spent: Amount
    cap: Amount


class Announcer(Protocol):
    """Who turns a reached threshold into messages, in the transaction at hand."""

    def announce(self, connection: "Connection", reached: Sequence[Reached]) -> None:
        """Store the alerts and what must be sent because of them."""
        ...


def charges_by_rules(rules: Rules, dispatch: Dispatch) -> list[Charge]:
    """The windows a dispatch is charged to by the rules in force, for one whose process is gone."""
    account = dispatch.account
    who = Subjects(account.tenant, account.key_id, account.team, account.persona, account.run_id)
    bounds = (*rules.binding(who), *rules.binding_model(dispatch.provider, dispatch.model))
    at = dispatch.at / _NANOSECONDS
    return [Charge(bound, window(bound.period, at, bound.zone).start, None) for bound in bounds]


def _likeness(dispatch: Dispatch) -> tuple[str, ...]:
    """What decides which budgets bind a dispatch."""
    account = dispatch.account
    who = (account.tenant, account.key_id, account.team, account.persona, account.run_id)
    return (*who, dispatch.provider, dispatch.model)


class BudgetProjection:
    """`Projection` of cost events onto budget windows."""

    def __init__(self, rules: Callable[[], Rules], charges: Charges, announcer: Announcer | None = None) -> None:
        self._rules = rules
        self._charges = charges
        self._announcer = announcer

    def concerns(self, events: Sequence[CostEvent]) -> bool:
        """Whether any of `events` is charged to anything."""
        if self._charges.charges:
            return True
        rules = self._rules()
        if not any(map(rules.may_bind, {event.dispatch.account.persona for event in events})):
            return False
        alike = {_likeness(event.dispatch): event.dispatch for event in events}
        return any(charges_by_rules(rules, dispatch) for dispatch in alike.values())

    def project(self, connection: "Connection", events: Sequence[CostEvent]) -> None:
        """Add the costs of `events`, none of which was stored before."""
        sums = self._sums(events)
        reached: list[Reached] = []
        # In one order everywhere, so that two processes never wait for each other.
        for key in sorted(sums):
            reached += _add(connection, key, sums[key])
        if reached and self._announcer is not None:
            self._announcer.announce(connection, reached)

    def stored(self, events: Sequence[CostEvent]) -> None:
        """Their charges are not needed any more."""
        if self._charges.charges:
            for event in events:
                self._charges.forget(event.dispatch)

    def _sums(self, events: Sequence[CostEvent]) -> "dict[_Key, _Sum]":
        rules = self._rules()
        sums: dict[_Key, _Sum] = {}
        for event in events:
            charges = self._charges.charged(event.dispatch)
            if charges is None:
                charges = charges_by_rules(rules, event.dispatch) if rules.any else ()
            if not charges:
                continue
            cost = cost_of(event.settlement)
            for charge in charges:
                key = _Key(charge.bound.scope, charge.bound.period, charge.start)
                total = sums.setdefault(key, _Sum(charge.bound))
                total.cost = total.cost.plus(cost)
                total.requests += event.settlement.final
                if charge.lease is not None:
                    total.leases[charge.lease] = total.leases.get(charge.lease, NOTHING).plus(cost)
        return sums


class _Key(NamedTuple):
    scope: str
    period: str
    start: int


def _add(connection: "Connection", key: _Key, total: _Sum) -> list[Reached]:
    """Add to one window; the window, if that made it reach its threshold."""
    from sqlalchemy import update

    from execution_platform.storage.schema import budget_windows

    columns = budget_windows.c
    start = moment(key.start)
    here = (columns.scope == key.scope) & (columns.period == key.period) & (columns.period_start == start)
    statement = (
        update(budget_windows)
        .where(here)
        .values(
            spent_nanos=columns.spent_nanos + total.cost.nanos,
            spent_tokens=columns.spent_tokens + total.cost.tokens,
            requests=columns.requests + total.requests,
        )
        .returning(
            columns.spent_nanos,
            columns.spent_tokens,
            columns.extra_nanos,
            columns.extra_tokens,
            columns.alerted_at,
        )
    )
    row = connection.execute(statement).mappings().first()
    if row is None:
        insert_quietly(connection, budget_windows, [{"scope": key.scope, "period": key.period, "period_start": start}])
        row = connection.execute(statement).mappings().one()
    released = NOTHING
    for lease in sorted(total.leases):
        released = released.plus(_arrive(connection, lease, total.leases[lease]))
    if released != NOTHING:
        connection.execute(
            update(budget_windows)
            .where(here)
            .values(
                reserved_nanos=columns.reserved_nanos - released.nanos,
                reserved_tokens=columns.reserved_tokens - released.tokens,
            )
        )
    return _reached(key, total.bound, row)


def _reached(key: _Key, bound: Bound, row: "RowMapping") -> list[Reached]:
    alerted: datetime | None = row["alerted_at"]
    if alerted is not None:
        return []
    spent = Amount(row["spent_nanos"], row["spent_tokens"])
    cap = bound.cap.plus(Amount(row["extra_nanos"], row["extra_tokens"]))
    return [Reached(bound, key.start, spent, cap)] if is_reached(bound, spent, cap) else []


def is_reached(bound: Bound, spent: Amount, cap: Amount) -> bool:
    """Whether a limited part has reached the alert threshold."""
    return any(
        limit < NO_LIMIT and part >= limit * bound.alert_threshold for part, limit in zip(spent, cap, strict=True)
    )


def _arrive(connection: "Connection", lease: str, cost: Amount) -> Amount:
    """Note that costs under a lease are in the books; how much less it reserves now."""
    from sqlalchemy import update

    from execution_platform.storage.schema import budget_leases

    columns = budget_leases.c
    done = connection.execute(
        update(budget_leases)
        .where(columns.id == lease)
        .values(spent_nanos=columns.spent_nanos + cost.nanos, spent_tokens=columns.spent_tokens + cost.tokens)
        .returning(columns.amount_nanos, columns.amount_tokens, columns.spent_nanos, columns.spent_tokens)
    )
    row = done.mappings().first()
    if row is None:
        return NOTHING
    left = Amount(row["amount_nanos"] - row["spent_nanos"], row["amount_tokens"] - row["spent_tokens"])
    return left.plus(cost).positive.minus(left.positive)
