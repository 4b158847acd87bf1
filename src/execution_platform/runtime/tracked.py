"""Spending that did not pass the gateway, told by the one who spent."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from execution_platform.catalog.prices import PriceBook, remedy
from execution_platform.exceptions import PriceUnknown, UnprocessableRequest
from execution_platform.identity.principal import Principal
from execution_platform.ledger.interfaces import Account, CostEvent, Counts, Dispatch, Settlement
from execution_platform.ledger.money import NANOS, to_nanos
from execution_platform.spi.usage import Confidence, Usage

_NAMESPACE = uuid.UUID("6f1d3c0e-6c1b-4f0e-8a53-5b1b0d1f7c11")
_MOST_USD = Decimal(1_000_000)
Tokens = Annotated[int, Field(ge=0, le=10**12)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class TrackedSpending(BaseModel):
    """One call as its caller tells it. `cost_usd` is used where given; else the price of provider and model."""

    model_config = ConfigDict(extra="forbid")

    request_id: Annotated[str, Field(min_length=1, max_length=128)]
    provider: Name
    model: Name
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    cache_read_tokens: Tokens = 0
    cache_write_tokens: Tokens = 0
    reasoning_tokens: Tokens = 0
    cost_usd: Annotated[Decimal, Field(ge=0, le=_MOST_USD, allow_inf_nan=False)] | None = None
    persona: Name | None = None
    run_id: Name | None = None
    tenant: Name | None = None
    timestamp: datetime | None = None


def tracked_event(prices: PriceBook, told: TrackedSpending, principal: Principal) -> CostEvent:
    """The event of `told`: the same tenant and request always have the same one.

    Raises `PriceUnknown` when it names no cost and no price is known, `UnprocessableRequest` for a time
    that is not over yet.
    """
    tenant = told.tenant or principal.tenant
    at = _moment(told.timestamp)
    usage = Usage(
        told.input_tokens,
        told.output_tokens,
        cache_read_tokens=told.cache_read_tokens,
        cache_write_tokens=told.cache_write_tokens,
        reasoning_tokens=told.reasoning_tokens,
    )
    nanos, confidence, version = _cost(prices, told, usage, at)
    account = Account(told.request_id, tenant, principal.subject, told.persona or "", told.run_id or "", "tracked")
    name = str(uuid.uuid5(_NAMESPACE, f"{tenant}\n{told.request_id}"))
    when = int(at.timestamp()) * NANOS + at.microsecond * 1000
    counts = Counts(
        told.input_tokens,
        told.output_tokens,
        told.cache_read_tokens,
        told.cache_write_tokens,
        reasoning_tokens=told.reasoning_tokens,
    )
    return CostEvent(
        Dispatch(name, account, told.provider, told.model, price_version=version, at=when),
        Settlement(name, "tracked", nanos, confidence, final=True, counts=counts, at=when),
    )


def _moment(given: datetime | None) -> datetime:
    now = datetime.now(UTC)
    if given is None:
        return now
    at = given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
    if at > now or at.year < 2020:
        raise UnprocessableRequest("timestamp must be in the past, and not before 2020", param="timestamp")
    return at


def _cost(prices: PriceBook, told: TrackedSpending, usage: Usage, at: datetime) -> tuple[int, Confidence, str]:
    if told.cost_usd is not None:
        return to_nanos(told.cost_usd), "provider_reported", ""
    quote = prices.quote_at(told.provider, told.model, at)
    if quote is None:
        raise PriceUnknown(
            f"no price is known for {told.provider}/{told.model}; send cost_usd, or {remedy(told.provider, told.model)}"
        )
    cost = quote.cost(usage)
    return cost.nanos, cost.confidence, quote.version
