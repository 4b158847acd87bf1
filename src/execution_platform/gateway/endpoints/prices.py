"""Prices: what models cost at a moment and by whose authority, and setting prices at run time."""

from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from execution_platform.catalog import showing
from execution_platform.catalog.prices import ANY, Source
from execution_platform.config.pricing import told
from execution_platform.config.problems import suggest
from execution_platform.config.written.pricing import RawPrice, price_override
from execution_platform.exceptions import RouterError, UnprocessableRequest
from execution_platform.gateway.policy import Caller, GatewayState, RequestId
from execution_platform.gateway.state import State
from execution_platform.ledger.price_table import StoredPrice

router = APIRouter(prefix="/v1/prices", tags=["prices"])

_KIND = "price"
MOST = 100
"""Rows of a page at most."""
Name = Annotated[str, Query(max_length=200)]


class PriceToSet(RawPrice):
    """A price in US dollars per million tokens, in the form of the configuration file, from a day on."""

    effective_date: date | None = Field(
        default=None, strict=False, description="First day it holds, UTC; today unless given."
    )


@router.get("")
async def list_prices(
    state: GatewayState,
    provider: Name | None = None,
    model: Annotated[str | None, Query(max_length=200, description="A model, or a pattern such as gpt-*.")] = None,
    source: Source | Literal["none"] | None = None,
    at: Annotated[datetime | None, Query(description="The moment asked about; now unless given.")] = None,
    after: Annotated[
        str | None, Query(max_length=500, description="The last provider/model of the page before.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = MOST,
) -> dict[str, Any]:
    """What each configured model costs, and by whose authority; `source=none` shows those whose price nobody knows.

    One provider and model that are named in full are shown whether or not they are configured.
    """
    book = state.snapshot.prices
    moment = datetime.now(UTC) if at is None else at.replace(tzinfo=at.tzinfo or UTC)
    names = [name for name in book.known() if name[1] != ANY and _wanted(name, provider, model)]
    if not names and provider is not None and model is not None and not _is_pattern(model):
        names = [(provider, model)]
    if after is not None:
        names = [name for name in names if "/".join(name) > after]
    rows: list[dict[str, Any]] = []
    for one in sorted(names, key="/".join):
        row = showing.shown(one, book.quote_at(*one, moment))
        if source is None or row["source"] == source:
            rows.append(row)
        if len(rows) > limit:
            break
    page = rows[:limit]
    last = f"{page[-1]['provider']}/{page[-1]['model']}" if len(rows) > limit else None
    return {"at": moment.astimezone(UTC).isoformat().replace("+00:00", "Z"), "prices": page, "next": last}


@router.get("/set")
async def list_set_prices(
    state: GatewayState,
    provider: Name | None = None,
    model: Name | None = None,
    after: Annotated[str | None, Query(max_length=500, description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = MOST,
) -> dict[str, Any]:
    """The prices that were set at run time, past and future ones too: who set them, and when. 503 without the database."""
    rows = [row for row in await state.pricing.table.all() if _wanted((row.provider, row.model), provider, model)]
    rows.sort(key=_place)
    rows = [row for row in rows if after is None or _place(row) > after]
    page = rows[:limit]
    return {"prices": [_stored(row) for row in page], "next": _place(page[-1]) if len(rows) > limit else None}


@router.put("/{provider}/{model:path}")
async def put_price(
    provider: str, model: str, state: GatewayState, principal: Caller, request_id: RequestId, body: PriceToSet
) -> dict[str, Any]:
    """Set the price of a model from a day on; `*` stands for every model of the provider. Past requests keep their cost."""
    _check(state, provider, model)
    start = body.effective_date or datetime.now(UTC).date()
    row = await state.pricing.put(provider, model, start, price_override(body), principal.subject)
    shown = _stored(row)
    await state.access.note(principal, "price.set", _KIND, _place(row), shown, request_id)
    return shown


@router.delete("/{provider}/{model:path}", status_code=204)
async def delete_price(
    provider: str,
    model: str,
    state: GatewayState,
    principal: Caller,
    request_id: RequestId,
    effective_date: date | None = None,
) -> None:
    """Take the prices of a model away that were set at run time: all of them, or the one of a day. 404 when there is none."""
    rows = await state.pricing.remove(provider, model, effective_date, principal.subject)
    if not rows:
        raise RouterError(
            f"no price of {provider}/{model} was set at run time; GET /v1/prices/set lists them", code="not_found"
        )
    for row in rows:
        await state.access.note(principal, "price.remove", _KIND, _place(row), _stored(row), request_id)


def _check(state: State, provider: str, model: str) -> None:
    """Raises `UnprocessableRequest` for a provider nobody configured, and for a name no column holds."""
    providers = state.snapshot.config.providers
    if provider not in providers:
        raise UnprocessableRequest(
            f"{provider!r} is no provider here. {suggest(provider, providers)}", param="provider"
        )
    if not model or len(model) > 200 or any(character.isspace() or not character.isprintable() for character in model):
        raise UnprocessableRequest("model must be a name of at most 200 characters without blanks", param="model")


def _wanted(name: tuple[str, str], provider: str | None, model: str | None) -> bool:
    if provider is not None and name[0] != provider:
        return False
    return model is None or name[1] == model or (_is_pattern(model) and fnmatchcase(name[1], model))


def _is_pattern(model: str) -> bool:
    return any(character in model for character in "*?[")


def _place(row: StoredPrice) -> str:
    return f"{row.provider}/{row.model}@{row.start.isoformat()}"


def _stored(row: StoredPrice) -> dict[str, Any]:
    return {
        "provider": row.provider,
        "model": row.model,
        "effective_date": row.start.isoformat(),
        "price": told(row.price),
        "price_version": row.version,
        "set_by": row.set_by,
        "updated_at": row.updated_at.isoformat().replace("+00:00", "Z"),
    }
