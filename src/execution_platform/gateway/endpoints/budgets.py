"""Budgets: what stands in them, setting one at run time, approving more for the current period."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Body
from pydantic import Field, ValidationError, model_validator

from execution_platform.config.facts import Raw
from execution_platform.config.spending import BudgetPeriod, RawLimit
from execution_platform.config.spending_limits import limit_of
from execution_platform.config.units import Money
from execution_platform.exceptions import RouterError, UnprocessableRequest
from execution_platform.gateway.policy import Admin, Caller, GatewayState
from execution_platform.gateway.state import State
from execution_platform.ledger.budgets import Amount, Budget, Subjects
from execution_platform.ledger.configured import budget_of
from execution_platform.ledger.money import to_nanos
from execution_platform.ledger.periods import window
from execution_platform.ledger.statement import Row, of_bounds, statement

Form = TypeVar("Form", bound=Raw)
JsonBody = Annotated[dict[str, Any], Body()]
router = APIRouter(prefix="/v1/budgets", tags=["budgets"])


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
        who = Subjects(principal.tenant, principal.name, principal.team)
        mine = tuple(bound for bound in rules.binding(who) if bound.scope != "gateway")
        rows = await of_bounds(budgeting.store, mine, at)
    waiting = list(budgeting.reserver.waiting.values())
    shown = [_shown(row, sum(one.bound.key == (row.scope, row.period) for one in waiting)) for row in rows]
    found: dict[str, Any] = {"budgets": shown}
    if principal.admin:
        found["rules"] = [_rule(budget) for budget in rules.budgets]
    return found


@router.post("", status_code=201)
async def post_budget(state: GatewayState, _: Admin, body: JsonBody) -> dict[str, Any]:
    """Set the budget of a subject and period, in the form of the configuration file. One that was set before is replaced."""
    return await _put(state, body)


@router.put("/{budget_id}")
async def put_budget(budget_id: str, state: GatewayState, _: Admin, body: JsonBody) -> dict[str, Any]:
    """Change a budget that was set before. 404 when there is none of that id."""
    budgeting = state.budgeting
    stored = next((budget for budget in await budgeting.table.all() if budget.id == budget_id), None)
    if stored is None:
        raise _unknown(budget_id)
    changed = _budget(state, body)
    if (changed.name, changed.period) != (stored.name, stored.period):
        await budgeting.table.remove(budget_id)
    return await _put(state, body)


@router.delete("/{budget_id}", status_code=204)
async def delete_budget(budget_id: str, state: GatewayState, _: Admin) -> None:
    """Take a budget out of force. 404 when none of that id was set at run time; those of the file are changed there."""
    if not await state.budgeting.table.remove(budget_id):
        raise _unknown(budget_id)
    await state.budgeting.read()


@router.post("/approve")
async def approve(state: GatewayState, principal: Admin, body: JsonBody) -> dict[str, Any]:
    """Raise the limits of an account until its current period ends; requests that wait for it go on. 404 for an unknown account."""
    budgeting = state.budgeting
    asked = _read(Approval, body)
    bound = budgeting.keeper.rules.bound(asked.scope, asked.period)
    if bound is None:
        raise RouterError(
            f"no budget speaks of {asked.scope} {asked.period}; GET /v1/budgets lists them",
            code="not_found",
            param="scope",
        )
    at = budgeting.keeper.now()
    extra = Amount(0 if asked.usd is None else to_nanos(asked.usd), asked.tokens or 0)
    await budgeting.store.approve(bound.scope, bound.period, window(bound.period, at, bound.zone), extra)
    state.log.event(
        "budget_approved", scope=bound.scope, period=bound.period, by=principal.name, usd=str(asked.usd or 0)
    )
    (row,) = await of_bounds(budgeting.store, (bound,), at)
    return _shown(row, 0)


async def _put(state: State, body: Mapping[str, object]) -> dict[str, Any]:
    budget = await state.budgeting.table.put(_budget(state, body))
    await state.budgeting.read()
    return _rule(budget)


def _budget(state: State, body: Mapping[str, object]) -> Budget:
    return budget_of(limit_of(_read(RawLimit, body), state.snapshot.config.spending.time_zone))


def _read(form: type[Form], body: Mapping[str, object]) -> Form:
    """The body in the form it must have. Raises `UnprocessableRequest` that names the member at fault."""
    try:
        return form.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise UnprocessableRequest(f"{place or 'body'}: {message}", param=place or None) from None


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
