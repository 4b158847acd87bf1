"""Tenants: who shares the installation."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from execution_platform.gateway.endpoints.keys import TenantName, told
from execution_platform.gateway.policy import Caller, GatewayState, RequestId
from execution_platform.identity.tenants import Tenant

router = APIRouter(prefix="/v1/tenants", tags=["tenants"])
_PAGE = 100
_LONGEST_RETENTION = 3650


class Traits(BaseModel):
    """What can be said of a tenant; what is not given stays."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    display_name: str = Field(default="", max_length=200, description="Name for people.")
    store_content: bool = Field(default=False, description="Keep its prompts and answers in the request log, redacted.")
    retention_days: int | None = Field(
        default=None,
        ge=1,
        le=_LONGEST_RETENTION,
        description="Days its request log is kept; the configuration's unless set.",
    )


class NewTenant(Traits):
    """A tenant to be entered."""

    id: TenantName = Field(description="Name in keys, budgets and reports; it never changes.")


@router.post("", status_code=201)
async def create_tenant(
    state: GatewayState, principal: Caller, request_id: RequestId, body: NewTenant
) -> dict[str, Any]:
    """Enter a tenant. 409 when there is one of that id."""
    tenant = Tenant(**body.model_dump(), created_at=datetime.now(UTC))
    await state.access.tenants.create(principal, tenant, request_id)
    await state.bookkeeping.requests.learn()
    return _shown(tenant)


@router.get("")
async def list_tenants(
    state: GatewayState,
    principal: Caller,
    after: Annotated[str, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=1, le=_PAGE)] = _PAGE,
) -> dict[str, Any]:
    """Tenants in pages; `next` is the `after` of the following one. An admin sees all, others their own."""
    found = await state.access.tenants.page(principal.only, after, limit + 1)
    page = found[:limit]
    return {"tenants": [_shown(tenant) for tenant in page], "next": page[-1].id if len(found) > limit else None}


@router.get("/{tenant_id}")
async def get_tenant(tenant_id: str, state: GatewayState, principal: Caller) -> dict[str, Any]:
    """One tenant. 404 when there is none of that id, or none that the caller may see."""
    return _shown(await state.access.tenants.find(tenant_id, tenant=principal.only))


@router.patch("/{tenant_id}")
async def change_tenant(
    tenant_id: str, state: GatewayState, principal: Caller, request_id: RequestId, body: Traits
) -> dict[str, Any]:
    """Change what a tenant is called and what is kept of it."""
    values = body.model_dump(exclude_unset=True)
    changed = await state.access.tenants.amend(principal, tenant_id, values, request_id)
    await state.bookkeeping.requests.learn()
    return _shown(changed)


@router.delete("/{tenant_id}", status_code=204)
async def disable_tenant(tenant_id: str, state: GatewayState, principal: Caller, request_id: RequestId) -> None:
    """End a tenant: every key issued for it is revoked, its books stay. Keys of the configuration are ended there."""
    await state.access.tenants.disable(principal, tenant_id, request_id)
    await state.access.changed()


def _shown(tenant: Tenant) -> dict[str, Any]:
    return {
        "id": tenant.id,
        "display_name": tenant.display_name,
        "store_content": tenant.store_content,
        "retention_days": tenant.retention_days,
        "created_at": told(tenant.created_at),
        "disabled_at": told(tenant.disabled_at),
    }
