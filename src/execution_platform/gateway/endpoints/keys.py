"""Issued gateway keys: made, looked at, narrowed, rotated, revoked. A key's text is shown once, when it is made."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from execution_platform.config.units import Money
from execution_platform.exceptions import UnprocessableRequest
from execution_platform.gateway.policy import Caller, GatewayState, RequestId
from execution_platform.identity.keys import fingerprint
from execution_platform.identity.principal import Role
from execution_platform.identity.records import KeyRecord, document_of
from execution_platform.identity.scope import RouteClass, Scope
from execution_platform.identity.store import Amendment, Conflict, Draft, unknown_key
from execution_platform.spi.loss import LossPolicy

router = APIRouter(prefix="/v1/keys", tags=["keys"])

MICRO = 1_000_000
_PAGE = 100
_OVERLAP_SECONDS = 24 * 3600
_LONGEST_OVERLAP = 90 * 24 * 3600
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@/+-]*$")]
TenantName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Listed = Annotated[list[Annotated[str, StringConstraints(min_length=1, max_length=400)]], Field(max_length=1000)]


class Limits(BaseModel):
    """What a key may do. What is not given is as the key that asks has it, null is no limit."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    models: Listed | None = Field(default=None, description="Models, as provider/model, provider or a name without it.")
    personas: Listed | None = Field(default=None, description="Personas.")
    tools: Listed | None = Field(default=None, description="Tools.")
    routes: list[RouteClass] | None = Field(default=None, description="Kinds of paths.")
    budgets: dict[Literal["minute", "hourly", "daily", "monthly"], Money] | None = Field(
        default=None, description="US dollars the key may spend, by period."
    )
    expires_at: AwareDatetime | None = Field(default=None, description="When the key ends, with its time zone.")

    def scope(self, beneath: Scope) -> Scope:
        """The scope, with what is not given as in `beneath`."""
        given = self.model_fields_set
        sets = {
            name: (None if value is None else frozenset(value)) if name in given else getattr(beneath, name)
            for name, value in (
                ("models", self.models),
                ("personas", self.personas),
                ("tools", self.tools),
                ("routes", self.routes),
            )
        }
        budgets = self.budgets
        micro = None if budgets is None else {period: int(most * MICRO) for period, most in budgets.items()}
        return Scope(
            **sets,
            budgets=micro if "budgets" in given else beneath.budgets,
            expires=self.expires_at if "expires_at" in given else beneath.expires,
        )


class NewKey(Limits):
    """A key to be made."""

    name: Name = Field(description="What the key is called in lists.")
    tenant: TenantName | None = Field(default=None, description="Tenant it belongs to; that of the key that asks.")
    team: Name | None = Field(default=None, description="Team within the tenant, for budgets and reports.")
    role: Role = Field(default="member", description="admin, owner, member or viewer.")
    loss_policy: LossPolicy | None = Field(default=None, description="What a translation may lose for this key.")


class ChangedKey(Limits):
    """What is to be changed in a key; what is not given stays."""

    name: Name | None = Field(default=None, description="What the key is called in lists.")
    team: Name | None = Field(default=None, description="Team within the tenant.")


class Rotation(BaseModel):
    """How a key gets a new secret."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    overlap_seconds: int = Field(
        default=_OVERLAP_SECONDS, ge=0, le=_LONGEST_OVERLAP, description="How long the old secret is still taken."
    )


@router.post("", status_code=201)
async def create_key(state: GatewayState, principal: Caller, request_id: RequestId, body: NewKey) -> dict[str, Any]:
    """Issue a key: its text is in `key`, this once. 403 when it would be wider than the key that asks."""
    scope = body.scope(principal.scope)
    _check_ahead(scope)
    if state.is_open and (body.role != "admin" or scope.routes is not None):
        raise Conflict(
            "from the first key on every request needs one, so the first must be an admin's without limits of routes; "
            "or set EP_MASTER_KEY",
            param="role",
        )
    draft = Draft(
        name=body.name,
        tenant=body.tenant or principal.tenant,
        team=principal.team if body.team is None else body.team,
        role=body.role,
        scope=scope,
        loss_policy=body.loss_policy,
    )
    record, issued = await state.access.keys.create(principal, draft, request_id)
    await state.access.changed()
    return {**shown(record), "key": issued.text.reveal()}


@router.get("")
async def list_keys(
    state: GatewayState,
    principal: Caller,
    after: Annotated[str, Query(max_length=64)] = "",
    limit: Annotated[int, Query(ge=1, le=_PAGE)] = _PAGE,
) -> dict[str, Any]:
    """Keys in pages; `next` is the `after` of the following one. Those of the caller's tenant, an admin sees all."""
    found = await state.access.keys.page(principal.only, after, limit + 1)
    page = found[:limit]
    return {"keys": [shown(record) for record in page], "next": page[-1].id if len(found) > limit else None}


@router.get("/{key_id}")
async def get_key(key_id: str, state: GatewayState, principal: Caller) -> dict[str, Any]:
    """One key. 404 when there is none of that id, or none that the caller may see."""
    record = await state.access.keys.find(key_id, tenant=principal.only)
    if record is None:
        raise unknown_key()
    return shown(record)


@router.patch("/{key_id}")
async def change_key(
    key_id: str, state: GatewayState, principal: Caller, request_id: RequestId, body: ChangedKey
) -> dict[str, Any]:
    """Change a key's name, team or limits. 403 when it would be wider than the caller or the key that made it."""
    record = await state.access.keys.find(key_id, tenant=principal.only)
    if record is None:
        raise unknown_key()
    scope = body.scope(record.scope)
    if scope.expires != record.scope.expires:
        _check_ahead(scope)
    amendment = Amendment(name=body.name, team=body.team, scope=scope)
    changed = await state.access.keys.amend(principal, key_id, amendment, request_id)
    await state.access.changed()
    return shown(changed)


@router.post("/{key_id}/rotate")
async def rotate_key(
    key_id: str, state: GatewayState, principal: Caller, request_id: RequestId, body: Rotation | None = None
) -> dict[str, Any]:
    """Give a key a new secret: its text is in `key`, this once. The old one is taken until `previous_until`."""
    overlap = timedelta(seconds=(body or Rotation()).overlap_seconds)
    record, issued = await state.access.keys.rotate(principal, key_id, overlap, request_id)
    await state.access.changed()
    return {**shown(record), "key": issued.text.reveal()}


@router.delete("/{key_id}", status_code=204)
async def revoke_key(key_id: str, state: GatewayState, principal: Caller, request_id: RequestId) -> None:
    """Refuse a key, and every key that was made with it, on every replica within two seconds."""
    await state.access.keys.revoke(principal, key_id, request_id)
    await state.access.changed()


def shown(record: KeyRecord) -> dict[str, Any]:
    """A key for people: everything but its text and its digest."""
    scope = document_of(record.scope)
    if record.scope.budgets is not None:
        scope["budgets"] = {period: most / MICRO for period, most in record.scope.budgets.items()}
    return {
        "id": record.id,
        "name": record.name,
        "tenant": record.tenant,
        "team": record.team,
        "role": record.role,
        **{name: scope.get(name) for name in ("models", "personas", "tools", "routes", "budgets")},
        "loss_policy": record.loss_policy,
        "parent_id": record.parent_id,
        "fingerprint": fingerprint(record.digest),
        "state": _state(record),
        "created_at": told(record.created_at),
        "expires_at": told(record.scope.expires),
        "revoked_at": told(record.revoked_at),
        "last_used_at": told(record.last_used_at),
        "previous_until": told(record.previous_until),
    }


def told(moment: datetime | None) -> str | None:
    """A time for people and machines."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _state(record: KeyRecord) -> str:
    if record.revoked_at is not None:
        return "revoked"
    return "expired" if record.scope.is_over(datetime.now(UTC)) else "active"


def _check_ahead(scope: Scope) -> None:
    if scope.is_over(datetime.now(UTC)):
        raise UnprocessableRequest("expires_at: lies in the past", param="expires_at")
