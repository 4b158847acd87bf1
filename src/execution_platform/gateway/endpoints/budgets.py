"""Budgets: what stands in them, setting one at run time, approving more for the current period."""

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from fastapi import APIRouter
from pydantic import Field, model_validator

from execution_platform.config.facts import Raw
from execution_platform.config.spending import BudgetPeriod, RawLimit
from execution_platform.config.spending_limits import limit_of
from execution_platform.config.units import Money
from execution_platform.exceptions import RouterError
from execution_platform.gateway.policy import Caller, GatewayState, RequestId
from execution_platform.gateway.state import State
from execution_platform.ledger.budgets import Amount, Budget, Subjects
from execution_platform.ledger.configured import budget_of
from execution_platform.ledger.money import to_nanos
from execution_platform.ledger.periods import window
from execution_platform.ledger.statement import Row, of_bounds, statement

router = APIRouter(prefix="/v1/budgets", tags=["budgets"])
_KIND = "budget"


class Approval(Raw):
    """More for the current period of one account."""

    scope: str = Field(description="Account as the list names it, such as tenant:acme or gateway.", max_length=200)
    period: BudgetPeriod = Field(description="Period of the budget.")
    usd: Money | None = Field(default=None, description="US dollars on top.")
    tokens: int | None = Field(default=None, ge=1, description="Tokens on top.")

    @model_validator(mode="after")
    def _something(self) -> "Approval":
        if self.usd is None and self.tokens is None:
            raise ValueError("needs usd, tokens or both")
        return self


@router.get("")
async def list_budgets(state: GatewayState, principal: Caller) -> dict[str, Any]:
    """Every account in its current period; for a key that is no admin's, those that bind it. 503 without the database."""
    budgeting = state.budgeting
    at = budgeting.keeper.now()
    await state.bookkeeping.fresh()
    rules = budgeting.keeper.rules
    if principal.admin:
        rows = await statement(budgeting.store, rules, at)
    else:
        who = Subjects(principal.tenant, principal.subject, principal.team)
        mine = tuple(bound for bound in rules.binding(who) if bound.scope != "gateway")
        rows = await of_bounds(budgeting.store, mine, at)
    waiting = list(budgeting.reserver.waiting.values())
    shown = [_shown(row, sum(one.bound.key == (row.scope, row.period) for one in waiting)) for row in rows]
    found: dict[str, Any] = {"budgets": shown}
    if principal.admin:
        found["rules"] = [_rule(budget) for budget in rules.budgets]
    return found


@router.post("", status_code=201)
async def post_budget(state: GatewayState, principal: Caller, request_id: RequestId, body: RawLimit) -> dict[str, Any]:
    """Set the budget of a subject and period, in the form of the configuration file. One that was set before is replaced."""
    rule = await _put(state, body)
    await state.access.note(principal, "budget.set", _KIND, rule["id"], rule, request_id)
    return rule


@router.put("/{budget_id}")
async def put_budget(
    budget_id: str, state: GatewayState, principal: Caller, request_id: RequestId, body: RawLimit
) -> dict[str, Any]:
    """Change a budget that was set before. 404 when there is none of that id."""
    budgeting = state.budgeting
    stored = next((budget for budget in await budgeting.table.all() if budget.id == budget_id), None)
    if stored is None:
        raise _unknown(budget_id)
    changed = _budget(state, body)
    if (changed.name, changed.period) != (stored.name, stored.period):
        await budgeting.table.remove(budget_id)
    rule = await _put(state, body)
    await state.access.note(principal, "budget.change", _KIND, budget_id, rule, request_id)
    return rule


@router.delete("/{budget_id}", status_code=204)
async def delete_budget(budget_id: str, state: GatewayState, principal: Caller, request_id: RequestId) -> None:
    """Take a budget out of force. 404 when none of that id was set at run time; those of the file are changed there."""
    if not await state.budgeting.table.remove(budget_id):
        raise _unknown(budget_id)
    await state.budgeting.read()
    await state.access.note(principal, "budget.remove", _KIND, budget_id, {}, request_id)


@router.post("/approve")
async def approve(state: GatewayState, principal: Caller, request_id: RequestId, body: Approval) -> dict[str, Any]:
    """Raise the limits of an account until its current period ends; requests that wait for it go on. 404 for an unknown account."""
    budgeting = state.budgeting
    bound = budgeting.keeper.rules.bound(body.scope, body.period)
    if bound is None:
        raise RouterError(
            f"no budget speaks of {body.scope} {body.period}; GET /v1/budgets lists them",
            code="not_found",
            param="scope",
        )
    at = budgeting.keeper.now()
    extra = Amount(0 if body.usd is None else to_nanos(body.usd), body.tokens or 0)
    await budgeting.store.approve(bound.scope, bound.period, window(bound.period, at, bound.zone), extra)
    state.log.event(
        "budget_approved", scope=bound.scope, period=bound.period, by=principal.subject, usd=str(body.usd or 0)
    )
    more = {"period": bound.period, "usd": str(body.usd or 0), "tokens": body.tokens or 0}
    await state.access.note(principal, "budget.approve", _KIND, bound.scope, more, request_id)
    (row,) = await of_bounds(budgeting.store, (bound,), at)
    return _shown(row, 0)


async def _put(state: State, body: RawLimit) -> dict[str, Any]:
    budget = await state.budgeting.table.put(_budget(state, body))
    await state.budgeting.read()
    return _rule(budget)


def _budget(state: State, body: RawLimit) -> Budget:
    return budget_of(limit_of(body, state.snapshot.config.spending.time_zone))


def _unknown(budget_id: str) -> RouterError:
    return RouterError(f"no budget {budget_id!r} was set at run time; GET /v1/budgets lists them", code="not_found")


def _rule(budget: Budget) -> dict[str, Any]:
    """A budget as it was set."""
    return {
        "id": budget.id,
        "scope": budget.name,
        "period": budget.period,
        "usd": None if budget.nanos is None else budget.nanos / 1e9,
        "tokens": budget.tokens,
        "alert_threshold": budget.alert_threshold,
        "on_breach": budget.on_breach,
        "downgrade_to": budget.downgrade_to,
        "time_zone": budget.zone.key,
        "persona": budget.persona,
        "source": budget.source,
    }


def _shown(row: Row, waiting: int) -> dict[str, Any]:
    fields = {name: _plain(value) for name, value in asdict(row).items()}
    return {**fields, "waiting": waiting}


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value
