"""The audit trail: who changed what, and whether the trail itself is whole."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from execution_platform.gateway.policy import Caller, GatewayState
from execution_platform.identity.audit import Entry

router = APIRouter(prefix="/v1/audit", tags=["audit"])
_PAGE = 100


@router.get("")
async def list_entries(
    state: GatewayState,
    principal: Caller,
    before: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    limit: Annotated[int, Query(ge=1, le=_PAGE)] = _PAGE,
) -> dict[str, Any]:
    """Entries from the newest on, in pages; `next` is the `before` of the following one. Others than admins see their tenant's."""
    found = await state.access.trail.entries(tenant=principal.only, before=before, limit=limit + 1)
    page = found[:limit]
    return {"entries": [_shown(entry) for entry in page], "next": page[-1].position if len(found) > limit else None}


@router.get("/verify")
async def verify(state: GatewayState, _: Caller) -> dict[str, Any]:
    """Compute the whole chain again: how many entries hold, and `broken`, the position of the first that does not."""
    seen, broken = await state.access.trail.verify()
    return {"ok": broken is None, "entries": seen, "broken": broken}


def _shown(entry: Entry) -> dict[str, Any]:
    return {
        "position": entry.position,
        "at": entry.timestamp.isoformat().replace("+00:00", "Z"),
        "actor": entry.actor,
        "tenant": entry.tenant,
        "action": entry.action,
        "object": entry.object_kind,
        "id": entry.object_id,
        "details": dict(entry.details),
        "request_id": entry.request_id,
        "hash": entry.hash.hex(),
    }
