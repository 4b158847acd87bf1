"""The request log: what was asked and how it went, the newest first. Content only where the tenant has asked to keep it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query

from execution_platform.exceptions import PermissionDenied, RouterError
from execution_platform.gateway.policy import Caller, GatewayState
from execution_platform.gateway.state import State
from execution_platform.ledger.money import NANOS

router = APIRouter(prefix="/v1/requests", tags=["requests"])
_PAGE = 100
_HIDDEN = frozenset({"cost_nanos", "request_body", "response_body"})


@router.get("")
async def list_requests(  # noqa: PLR0913 - each is a query parameter
    state: GatewayState,
    principal: Caller,
    *,
    tenant: str | None = None,
    key: str | None = None,
    persona: str | None = None,
    provider: str | None = None,
    model: str | None = None,
    status: Annotated[int | None, Query(ge=100, le=599)] = None,
    error: str | None = None,
    run: str | None = None,
    start: Annotated[datetime | None, Query(alias="from")] = None,
    end: Annotated[datetime | None, Query(alias="to")] = None,
    before: Annotated[int | None, Query(ge=1, le=2**62)] = None,
    limit: Annotated[int, Query(ge=1, le=_PAGE)] = _PAGE,
) -> dict[str, Any]:
    """Requests of the caller's tenant (of all, for an admin). `next` is the value of `before` for the next page."""
    if not principal.admin:
        if tenant not in {None, principal.tenant}:
            raise PermissionDenied("this key sees the requests of its own tenant only")
        tenant = principal.tenant
    given = {
        "tenant": tenant,
        "key_id": key,
        "persona": persona,
        "provider": provider,
        "model": model,
        "status": status,
        "error": error,
        "run_id": run,
    }
    only = {name: value for name, value in given.items() if value is not None}
    await _ready(state)
    from execution_platform.ledger.requests import page

    rows = await page(state.bookkeeping.storage, only, start=_utc(start), end=_utc(end), before=before, limit=limit + 1)
    shown = rows[:limit]
    return {"requests": [_view(row) for row in shown], "next": shown[-1]["seq"] if len(rows) > limit else None}


@router.get("/{request_id}")
async def get_request(request_id: str, state: GatewayState, principal: Caller) -> dict[str, Any]:
    """One request, with its content where that is kept. Another tenant's is not found."""
    await _ready(state)
    from execution_platform.ledger.requests import find

    row = await find(state.bookkeeping.storage, request_id, None if principal.admin else principal.tenant)
    if row is None:
        raise RouterError(f"there is no request {request_id}", code="not_found")
    return {**_view(row), "request": _content(row["request_body"]), "response": _content(row["response_body"])}


async def _ready(state: State) -> None:
    """The database, with what this process has served in it."""
    await state.bookkeeping.store()
    await state.bookkeeping.requests.flush()


def _view(row: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in row.items() if name not in _HIDDEN}
    return {**shown, "cost_usd": row["cost_nanos"] / NANOS}


def _content(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "replace")


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
