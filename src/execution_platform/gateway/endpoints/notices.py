"""Messages of alerts to their receivers: what became of them, and sending one again that was given up."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from execution_platform.exceptions import RouterError
from execution_platform.gateway.endpoints.keys import told
from execution_platform.gateway.policy import Caller, GatewayState, RequestId
from execution_platform.ledger.notify.kept import Fate, page, send_again

router = APIRouter(prefix="/v1/notices", tags=["budgets"])
_PAGE = 100


@router.get("")
async def list_notices(
    state: GatewayState,
    _: Caller,
    fate: Fate | None = None,
    before: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    limit: Annotated[int, Query(ge=1, le=_PAGE)] = _PAGE,
) -> dict[str, Any]:
    """Messages from the newest on, in pages; `next` is the `before` of the following one. `fate=dead`: what was given up."""
    await state.bookkeeping.store()
    found = await page(state.bookkeeping.storage, fate, before=before, limit=limit + 1)
    shown = found[:limit]
    return {
        "notices": [{name: _plain(value) for name, value in row.items() if name != "seq"} for row in shown],
        "next": shown[-1]["seq"] if len(found) > limit else None,
    }


@router.post("/{notice_id}/redeliver", status_code=202)
async def redeliver(notice_id: UUID, state: GatewayState, principal: Caller, request_id: RequestId) -> dict[str, Any]:
    """Send a message again that was given up, with the id it always had. 404 when none of that id was given up."""
    await state.bookkeeping.store()
    if not await send_again(state.bookkeeping.storage, str(notice_id)):
        raise RouterError(
            f"no message {notice_id} was given up; GET /v1/notices?fate=dead lists them", code="not_found"
        )
    await state.access.note(principal, "notice.redeliver", "notice", str(notice_id), {}, request_id)
    return {"id": str(notice_id), "fate": "waiting"}


def _plain(value: object) -> object:
    return told(value) if isinstance(value, datetime) else value
