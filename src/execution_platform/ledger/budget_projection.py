"""Budgets as a sum of cost events, kept in the transaction that stores the events.

What an event costs goes into `spent` of every window that binds its account, and out of what the lease under which it was
dispatched reserves. Since an event is stored once, both happen once, whatever is delivered twice and whoever dies in between.
The alert of a window that reaches its threshold is written in the same transaction: it is told once, or not at all together
with the spending that caused it.

A try whose process died is billed by what was seen of it, and may have cost more. What it held beyond its bill stays reserved
until the window ends, by a lease of nobody: up to 2 % of the limit, so that crashes leave at least 97 % of a budget to be used.
"""

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

from execution_platform.ledger.budget_store import insert_quietly, moment
from execution_platform.ledger.budgets import NO_LIMIT, NOTHING, Amount, Bound, Rules, Subjects
from execution_platform.ledger.interfaces import CostEvent, Dispatch
from execution_platform.ledger.leases import Charge, cost_of
from execution_platform.ledger.periods import window

if TYPE_CHECKING:
    from sqlalchemy import Connection, Executable, RowMapping

_NANOSECONDS = 1_000_000_000
_DOUBTED = 50
"""No more than this part of a limit stays reserved for what dead processes may have spent unseen."""
_NOBODY = str(uuid.UUID(int=0))
"""The worker of such a lease: it is never renewed, and no process that starts finds it is its own."""


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
class _Total:
    """What the events of one charge come to."""

    charge: Charge
    nanos: int = 0
    tokens: int = 0
    requests: int = 0
    doubt: Amount = NOTHING


@dataclass(slots=True)
class _Sum:
    """What is added to one window."""

    bound: Bound
    leases: dict[str, Amount] = field(default_factory=dict[str, Amount])
    cost: Amount = NOTHING
    requests: int = 0
    doubt: Amount = NOTHING
    """What may have been spent besides."""


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
        sums: dict[_Key, _Sum] = {}
        for total in self._totals(events):
            charge, cost = total.charge, Amount(total.nanos, total.tokens)
            found = sums.setdefault(_Key(charge.bound.scope, charge.bound.period, charge.start), _Sum(charge.bound))
            found.cost = found.cost.plus(cost)
            found.requests += total.requests
            found.doubt = found.doubt.plus(total.doubt)
            if charge.lease is not None:
                found.leases[charge.lease] = found.leases.get(charge.lease, NOTHING).plus(cost)
        return sums

    def _totals(self, events: Sequence[CostEvent]) -> "Iterable[_Total]":
        """Added up by charge: all tries under one lease have the same one."""
        rules = self._rules()
        totals: dict[int, _Total] = {}
        for event in events:
            charges = self._charges.charged(event.dispatch)
            if charges is None:
                charges = charges_by_rules(rules, event.dispatch) if rules.any else ()
            if not charges:
                continue
            nanos, tokens = cost_of(event.settlement)
            for charge in charges:
                # By identity, which a total keeps alive: comparing bounds would take longer than adding.
                total = totals.get(id(charge))
                if total is None:
                    total = totals[id(charge)] = _Total(charge)
                total.nanos += nanos
                total.tokens += tokens
                total.requests += event.settlement.final
                if event.settlement.status == "lost":
                    total.doubt = total.doubt.plus(_doubt(event))
        return totals.values()


def _doubt(event: CostEvent) -> Amount:
    """What a try may have cost beyond its bill: the rest of its worst case."""
    hold = Amount(event.dispatch.hold_nanos, event.dispatch.hold_tokens)
    return hold.minus(cost_of(event.settlement)).positive


class _Key(NamedTuple):
    scope: str
    period: str
    start: int


class _Statements(NamedTuple):
    """Made once: for every batch they would take longer than to carry out."""

    spend: "Executable"
    release: "Executable"
    arrive: "Executable"


@cache
def _statements() -> _Statements:
    from sqlalchemy import BigInteger, bindparam, update

    from execution_platform.storage.schema import budget_leases, budget_windows

    windows, leases = budget_windows.c, budget_leases.c
    nanos, tokens = bindparam("nanos", type_=BigInteger()), bindparam("tokens", type_=BigInteger())
    here = update(budget_windows).where(
        windows.scope == bindparam("at_scope"),
        windows.period == bindparam("at_period"),
        windows.period_start == bindparam("at_start"),
    )
    spend = here.values(
        spent_nanos=windows.spent_nanos + nanos,
        spent_tokens=windows.spent_tokens + tokens,
        requests=windows.requests + bindparam("more"),
    )
    release = here.values(
        reserved_nanos=windows.reserved_nanos - nanos, reserved_tokens=windows.reserved_tokens - tokens
    )
    arrive = (
        update(budget_leases)
        .where(leases.id == bindparam("lease"))
        .values(spent_nanos=leases.spent_nanos + nanos, spent_tokens=leases.spent_tokens + tokens)
    )
    standing = (windows.spent_nanos, windows.spent_tokens, windows.extra_nanos, windows.extra_tokens)
    return _Statements(
        spend.returning(*standing, windows.alerted_at),
        release,
        arrive.returning(leases.amount_nanos, leases.amount_tokens, leases.spent_nanos, leases.spent_tokens),
    )


def _add(connection: "Connection", key: _Key, total: _Sum) -> list[Reached]:
    """Add to one window; the window, if that made it reach its threshold."""
    statements, start = _statements(), moment(key.start)
    here = {"at_scope": key.scope, "at_period": key.period, "at_start": start}
    spent = {**here, **total.cost._asdict(), "more": total.requests}
    row = connection.execute(statements.spend, spent).mappings().first()
    if row is None:
        from execution_platform.storage.schema import budget_windows

        insert_quietly(connection, budget_windows, [{"scope": key.scope, "period": key.period, "period_start": start}])
        row = connection.execute(statements.spend, spent).mappings().one()
    released = NOTHING
    for lease in sorted(total.leases):
        released = released.plus(_arrive(connection, lease, total.leases[lease]))
    if released != NOTHING:
        connection.execute(statements.release, {**here, **released._asdict()})
    if total.doubt != NOTHING:
        _keep_in_doubt(connection, key, total, row)
    return _reached(key, total.bound, row)


def _keep_in_doubt(connection: "Connection", key: _Key, total: _Sum, row: "RowMapping") -> None:
    """Reserve what is in doubt for the rest of the window, within the part of the limit that may be."""
    from sqlalchemy import select, update

    from execution_platform.storage.schema import budget_leases

    columns, start = budget_leases.c, moment(key.start)
    most = Amount(*(0 if part >= NO_LIMIT else part // _DOUBTED for part in _cap(total.bound, row)))
    lease = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{key.scope} {key.period} {key.start}"))
    asked = select(columns.amount_nanos, columns.amount_tokens).where(columns.id == lease)
    kept = Amount(*(connection.execute(asked).first() or NOTHING))
    more = total.doubt.at_most(most.minus(kept)).positive
    if more == NOTHING:
        return
    here = {"scope": key.scope, "period": key.period, "period_start": start}
    insert_quietly(connection, budget_leases, [{"id": lease, "worker": _NOBODY, "expires_at": start, **here}])
    after = kept.plus(more)
    connection.execute(
        update(budget_leases).where(columns.id == lease).values(amount_nanos=after.nanos, amount_tokens=after.tokens)
    )
    window = {"at_scope": key.scope, "at_period": key.period, "at_start": start}
    connection.execute(_statements().release, {**window, **NOTHING.minus(more)._asdict()})


def _cap(bound: Bound, row: "RowMapping") -> Amount:
    """The limits of a window, with what was approved on top."""
    return bound.cap.plus(Amount(row["extra_nanos"], row["extra_tokens"]))


def _reached(key: _Key, bound: Bound, row: "RowMapping") -> list[Reached]:
    alerted: datetime | None = row["alerted_at"]
    if alerted is not None:
        return []
    spent = Amount(row["spent_nanos"], row["spent_tokens"])
    cap = _cap(bound, row)
    return [Reached(bound, key.start, spent, cap)] if is_reached(bound, spent, cap) else []


def is_reached(bound: Bound, spent: Amount, cap: Amount) -> bool:
    """Whether a limited part has reached the alert threshold."""
    return any(
        limit < NO_LIMIT and part >= limit * bound.alert_threshold for part, limit in zip(spent, cap, strict=True)
    )


def _arrive(connection: "Connection", lease: str, cost: Amount) -> Amount:
    """Note that costs under a lease are in the books; how much less it reserves now."""
    row = connection.execute(_statements().arrive, {"lease": lease, **cost._asdict()}).mappings().first()
    if row is None:
        return NOTHING
    left = Amount(row["amount_nanos"] - row["spent_nanos"], row["amount_tokens"] - row["spent_tokens"])
    return left.plus(cost).positive.minus(left.positive)
