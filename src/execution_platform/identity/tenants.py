"""Tenants: who shares an installation and sees nothing of the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from execution_platform.exceptions import RouterError
from execution_platform.identity.principal import Principal
from execution_platform.identity.store import Conflict, KeyStore
from execution_platform.identity.trail import Change, Trail
from execution_platform.storage.engine import Storage

if TYPE_CHECKING:
    from sqlalchemy import Select

    from execution_platform.storage.local import Session

_KIND = "tenant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One tenant."""

    id: str
    display_name: str = ""
    store_content: bool = False
    """Whether its prompts and answers are kept in the request log, redacted."""
    retention_days: int | None = None
    """Of the request log; None is the configuration's own."""
    created_at: datetime
    disabled_at: datetime | None = None


def _tenant(row: Any) -> Tenant:
    return Tenant(
        id=row.id,
        display_name=row.display_name,
        store_content=row.store_content,
        retention_days=row.retention_days,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
    )


class Wishes(NamedTuple):
    """What tenants have asked for in the request log."""

    content: frozenset[str]
    """Whose prompts and answers are kept."""
    days: Mapping[str, int]
    """How long, where a tenant has a time of its own."""


async def wishes(storage: Storage) -> Wishes:
    """Those of all tenants that have any. Raises `DatabaseUnavailable`."""
    if not storage.is_postgresql:
        return _told(await storage.local(_wishes))
    from sqlalchemy import select

    from execution_platform.storage.schema import tenants

    columns = tenants.c
    asked = select(columns.id, columns.store_content, columns.retention_days).where(
        columns.store_content | columns.retention_days.is_not(None)
    )
    async with storage.read() as connection:
        rows = (await connection.execute(asked)).all()
    return _told([(row.id, row.store_content, row.retention_days) for row in rows])


def _wishes(session: "Session") -> list[Any]:
    asked = "SELECT id, store_content, retention_days FROM tenants WHERE store_content OR retention_days IS NOT NULL"
    return session.connection.execute(asked).fetchall()


def _told(rows: Sequence[tuple[str, bool, int | None]]) -> Wishes:
    return Wishes(
        frozenset(tenant for tenant, content, _ in rows if content),
        {tenant: days for tenant, _, days in rows if days is not None},
    )


class TenantStore:
    """Finds, lists and changes tenants. Every method raises `DatabaseUnavailable`."""

    def __init__(self, storage: Storage, trail: Trail, keys: KeyStore) -> None:
        self._storage = storage
        self._trail = trail
        self._keys = keys

    async def find(self, identity: str, *, tenant: str | None = None) -> Tenant:
        """A tenant by its id, if `tenant` (None for all) may see it. Raises `RouterError`."""
        from sqlalchemy import select

        from execution_platform.storage.schema import tenants

        found = await self._read(select(tenants).where(tenants.c.id == identity), tenant)
        if not found or (tenant is not None and tenant != identity):
            raise unknown_tenant()
        return found[0]

    async def page(self, tenant: str | None, after: str, limit: int) -> list[Tenant]:
        """Tenants in order of their ids, from the one after `after`; only `tenant` itself if it is given."""
        from sqlalchemy import select

        from execution_platform.storage.schema import tenants

        wanted = select(tenants).where(tenants.c.id > after).order_by(tenants.c.id).limit(limit)
        if tenant is not None:
            wanted = wanted.where(tenants.c.id == tenant)
        return await self._read(wanted, tenant)

    async def create(self, actor: Principal, tenant: Tenant, request_id: str = "") -> None:
        """Enter a tenant. Raises `Conflict` when there is one of this id."""
        from sqlalchemy import insert

        from execution_platform.storage.schema import tenants

        async with self._trail.change(actor, request_id) as change:
            if await self._one(change, tenant.id) is not None:
                raise Conflict(f"there is a tenant {tenant.id} already", param="id")
            values = {
                "id": tenant.id,
                "display_name": tenant.display_name,
                "store_content": tenant.store_content,
                "retention_days": tenant.retention_days,
                "created_at": tenant.created_at,
            }
            await change.connection.execute(insert(tenants).values(**values))
            await change.note("tenant.create", _KIND, tenant.id, tenant.id, {"display_name": tenant.display_name})

    async def amend(
        self, actor: Principal, identity: str, values: Mapping[str, object], request_id: str = ""
    ) -> Tenant:
        """Change what a tenant is called and what is kept of it. Raises `RouterError`."""
        from sqlalchemy import update

        from execution_platform.storage.schema import tenants

        async with self._trail.change(actor, request_id) as change:
            if not actor.sees(identity) or await self._one(change, identity) is None:
                raise unknown_tenant()
            if values:
                await change.connection.execute(update(tenants).where(tenants.c.id == identity).values(**values))
                await change.note("tenant.change", _KIND, identity, identity, dict(values))
            found = await self._one(change, identity)
        if found is None:
            raise unknown_tenant()
        return found

    async def disable(self, actor: Principal, identity: str, request_id: str = "") -> None:
        """Revoke every key of a tenant; its books stay. Raises `RouterError`."""
        from sqlalchemy import update

        from execution_platform.storage.schema import tenants

        async with self._trail.change(actor, request_id) as change:
            found = await self._one(change, identity)
            if found is None:
                raise unknown_tenant()
            if found.disabled_at is None:
                gone = {"disabled_at": datetime.now(UTC)}
                await change.connection.execute(update(tenants).where(tenants.c.id == identity).values(**gone))
                await change.note("tenant.disable", _KIND, identity, identity)
            await self._keys.revoke_all(change, identity)

    async def _one(self, change: Change, identity: str) -> Tenant | None:
        from sqlalchemy import select

        from execution_platform.storage.schema import tenants

        row = (await change.connection.execute(select(tenants).where(tenants.c.id == identity))).first()
        return None if row is None else _tenant(row)

    async def _read(self, wanted: "Select[Any]", tenant: str | None) -> list[Tenant]:
        await self._trail.ready()
        async with self._storage.read(tenant) as connection:
            return [_tenant(row) for row in await connection.execute(wanted)]


def unknown_tenant() -> RouterError:
    """The answer for a tenant that does not exist for this caller; it repeats nothing, so that all are alike."""
    return RouterError("there is no tenant of this id; GET /v1/tenants lists them", code="tenant_not_found", param="id")
