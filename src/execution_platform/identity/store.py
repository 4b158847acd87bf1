"""Issued keys in the database.

Every change happens in one transaction with its entry in the audit trail and with a revision that is higher than any before; the
trail's lock puts changes one behind the other, so revisions become visible in their order.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from execution_platform.exceptions import ErrorKind, ExecutionPlatformError, PermissionDenied, RouterError
from execution_platform.identity.keys import Issued, digest, key_for, new_key
from execution_platform.identity.pepper import Pepper, name_of
from execution_platform.identity.principal import EVERYTHING, Principal, Role
from execution_platform.identity.records import KeyRecord, document_of, record_of
from execution_platform.identity.scope import Scope, wider
from execution_platform.identity.trail import Change, Trail
from execution_platform.spi.loss import LossPolicy
from execution_platform.storage.engine import Storage

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncConnection

    from execution_platform.storage.local import Session

_KIND = "gateway_key"
_BATCH = 1000
Budgeted = Callable[["AsyncConnection", KeyRecord], Awaitable[None]]
"""Puts the budgets of a key's scope into force, in the transaction that changes the key."""


class Conflict(ExecutionPlatformError):
    """The thing is in a state in which this cannot be done to it; the message says what to do first."""

    kind = ErrorKind.BAD_REQUEST
    code = "conflict"

    @property
    def status(self) -> int:
        """The request is right and comes at the wrong time, so 409."""
        return 409


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A key to be made."""

    name: str
    tenant: str
    team: str = ""
    role: Role = "member"
    scope: Scope = EVERYTHING
    loss_policy: LossPolicy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """What is to be changed in a key; None leaves a member as it is. Role and tenant never change."""

    name: str | None = None
    team: str | None = None
    scope: Scope | None = None


def check_within(actor: Principal, given: KeyRecord) -> None:
    """Refuse a key that would be more than its maker (K3). Raises `PermissionDenied` that names the dimensions."""
    beyond = wider(actor.scope, given.scope)
    if not actor.outranks(given.role):
        beyond.append("role")
    if not actor.sees(given.tenant):
        beyond.append("tenant")
    if beyond:
        raise PermissionDenied(
            f"a key cannot be wider than the one that makes it: {', '.join(beyond)}",
            code="scope_exceeded",
            param=beyond[0],
        )


class KeyStore:
    """Finds, lists and changes keys. Every method raises `DatabaseUnavailable`."""

    def __init__(
        self,
        storage: Storage,
        trail: Trail,
        pepper: Pepper,
        *,
        budgeted: Budgeted | None = None,
        tenants: Callable[[], Collection[str]] = lambda: ("default",),
    ) -> None:
        self._storage = storage
        self._trail = trail
        self._pepper = pepper
        self._budgeted = budgeted
        self._tenants = tenants
        """Tenants that need no row, because the configuration knows them."""

    # --- reading ---

    async def find(self, identity: str, *, tenant: str | None = None) -> KeyRecord | None:
        """A key by its public id, revoked ones too; of `tenant` alone if it is given."""
        from sqlalchemy import select

        from execution_platform.storage.schema import gateway_keys

        wanted = select(gateway_keys).where(gateway_keys.c.id == identity)
        if tenant is not None:
            wanted = wanted.where(gateway_keys.c.tenant == tenant)
        found = await self._read(wanted, tenant)
        return found[0] if found else None

    async def page(self, tenant: str | None, after: str, limit: int) -> list[KeyRecord]:
        """Keys in order of their ids, from the one after `after`; of all tenants if `tenant` is None."""
        from sqlalchemy import select

        from execution_platform.storage.schema import gateway_keys

        wanted = select(gateway_keys).where(gateway_keys.c.id > after).order_by(gateway_keys.c.id).limit(limit)
        if tenant is not None:
            wanted = wanted.where(gateway_keys.c.tenant == tenant)
        return await self._read(wanted, tenant)

    async def changed_since(self, revision: int) -> list[KeyRecord]:
        """Keys that were made, changed or revoked after `revision`, in that order."""
        from sqlalchemy import select, tuple_

        from execution_platform.storage.schema import gateway_keys

        order = (gateway_keys.c.revision, gateway_keys.c.id)
        found: list[KeyRecord] = []
        place: tuple[int, str] = (revision, "\U0010ffff")
        while True:
            wanted = select(gateway_keys).where(tuple_(*order) > place).order_by(*order).limit(_BATCH)
            batch = await self._read(wanted)
            found += batch
            if len(batch) < _BATCH:
                return found
            place = (batch[-1].revision, batch[-1].id)

    async def revision(self) -> int:
        """The number of the newest change of any key; 0 when none was ever issued."""
        await self._trail.ready()
        if not self._storage.is_postgresql:
            return await self._storage.local(_revision)
        from sqlalchemy import func, select

        from execution_platform.storage.schema import gateway_keys

        async with self._storage.read() as connection:
            return (await connection.execute(select(func.max(gateway_keys.c.revision)))).scalar() or 0

    async def now(self) -> datetime | None:
        """The time by the database's clock; None where that is this machine's."""
        if not self._storage.is_postgresql:
            return None
        from sqlalchemy import DateTime, func, select

        async with self._storage.read() as connection:
            return (await connection.execute(select(func.clock_timestamp(type_=DateTime(timezone=True))))).scalar_one()

    async def used(self, identities: Collection[str], at: datetime) -> None:
        """Note when these keys were last used. It is no change of a key: nobody has to read it again."""
        from sqlalchemy import update

        from execution_platform.storage.schema import gateway_keys

        columns = gateway_keys.c
        async with self._storage.write() as connection:
            await connection.execute(
                update(gateway_keys)
                .where(columns.id.in_(identities), columns.last_used_at.is_(None) | (columns.last_used_at < at))
                .values(last_used_at=at)
            )

    # --- changing ---

    async def create(self, actor: Principal, draft: Draft, request_id: str = "") -> tuple[KeyRecord, Issued]:
        """Issue a key. Raises `PermissionDenied` when it would be wider than the actor's own, `RouterError` without its tenant."""
        pepper = self._pepper.make()
        issued = new_key(pepper)
        now = datetime.now(UTC)
        record = KeyRecord(
            id=issued.id,
            name=draft.name,
            tenant=draft.tenant,
            team=draft.team,
            role=draft.role,
            scope=draft.scope,
            parent_id=actor.key_id or None,
            digest=digest(issued.text.reveal().encode(), pepper),
            pepper=name_of(pepper),
            loss_policy=draft.loss_policy or actor.loss_policy,
            created_at=now,
        )
        check_within(actor, record)
        values = {
            "id": record.id,
            "name": record.name,
            "tenant": record.tenant,
            "team": record.team,
            "role": record.role,
            "scopes": document_of(record.scope),
            "parent_id": record.parent_id,
            "digest": record.digest,
            "pepper": record.pepper,
            "loss_policy": record.loss_policy,
            "created_at": now,
            "expires_at": record.scope.expires,
        }
        async with self._trail.change(actor, request_id) as change:
            await self._check_tenant(change, record.tenant)
            await self._check_parent(change, record)
            await self._write(change, "key.create", record, values, new=True)
            if self._budgeted is not None and record.scope.budgets:
                await self._budgeted(change.connection, record)
        return record, issued

    async def amend(self, actor: Principal, identity: str, amendment: Amendment, request_id: str = "") -> KeyRecord:
        """Change a key within the actor's own limits and those of the key that made it.

        Raises `RouterError`, `PermissionDenied`, and `Conflict` when a key that was made with it would be left wider.
        """
        async with self._trail.change(actor, request_id) as change:
            record = await self._own(change, actor, identity)
            if record.revoked_at is not None:
                raise Conflict(f"key {identity} is revoked; issue another one")
            changed = replace(
                record,
                name=record.name if amendment.name is None else amendment.name,
                team=record.team if amendment.team is None else amendment.team,
                scope=record.scope if amendment.scope is None else amendment.scope,
            )
            check_within(actor, changed)
            await self._check_parent(change, changed)
            for child in await self._children(change, identity):
                beyond = wider(changed.scope, child.scope) if child.revoked_at is None else []
                if beyond:
                    raise Conflict(
                        f"key {child.id} was made with this one and would be wider than it ({', '.join(beyond)}); "
                        "change or revoke it first"
                    )
            values = {
                "name": changed.name,
                "team": changed.team,
                "scopes": document_of(changed.scope),
                "expires_at": changed.scope.expires,
            }
            await self._write(change, "key.change", changed, values)
            if self._budgeted is not None and changed.scope.budgets != record.scope.budgets:
                await self._budgeted(change.connection, changed)
        return changed

    async def rotate(
        self, actor: Principal, identity: str, overlap: timedelta, request_id: str = ""
    ) -> tuple[KeyRecord, Issued]:
        """A new secret for a key; the old one is taken until `overlap` has passed. Raises `RouterError`, `Conflict`."""
        pepper = self._pepper.make()
        issued = key_for(identity)
        async with self._trail.change(actor, request_id) as change:
            record = await self._own(change, actor, identity)
            if record.revoked_at is not None or record.scope.is_over(datetime.now(UTC)):
                raise Conflict(f"key {identity} is revoked or expired; issue another one")
            if record.pepper != name_of(pepper):
                raise Conflict(f"key {identity} was issued under another pepper; issue another one")
            check_within(actor, record)
            changed = replace(
                record,
                digest=digest(issued.text.reveal().encode(), pepper),
                previous_digest=record.digest,
                previous_until=datetime.now(UTC) + overlap,
            )
            values = {
                "digest": changed.digest,
                "previous_digest": changed.previous_digest,
                "previous_until": changed.previous_until,
            }
            await self._write(change, "key.rotate", changed, values)
        return changed, issued

    async def revoke(self, actor: Principal, identity: str, request_id: str = "") -> None:
        """Refuse a key, and every key made with it, from now on. Raises `RouterError`."""
        async with self._trail.change(actor, request_id) as change:
            pending = [await self._own(change, actor, identity)]
            while pending:
                current = pending.pop()
                if current.revoked_at is None:
                    await self._write(change, "key.revoke", current, {"revoked_at": datetime.now(UTC)})
                pending.extend(await self._children(change, current.id))

    async def revoke_all(self, change: Change, tenant: str) -> None:
        """Refuse every key of a tenant, as part of `change`."""
        from sqlalchemy import select

        from execution_platform.storage.schema import gateway_keys

        alive = (gateway_keys.c.tenant == tenant) & gateway_keys.c.revoked_at.is_(None)
        found = (await change.connection.execute(select(gateway_keys).where(alive))).all()
        for row in found:
            await self._write(change, "key.revoke", record_of(row), {"revoked_at": datetime.now(UTC)})

    # --- within a change ---

    async def _check_tenant(self, change: Change, tenant: str) -> None:
        from sqlalchemy import select

        from execution_platform.storage.schema import tenants

        row = (await change.connection.execute(select(tenants.c.disabled_at).where(tenants.c.id == tenant))).first()
        if row is None and tenant not in self._tenants():
            raise RouterError(
                "there is no tenant of this id; POST /v1/tenants enters one", code="tenant_not_found", param="tenant"
            )
        if row is not None and row.disabled_at is not None:
            raise Conflict(f"tenant {tenant} is disabled", param="tenant")

    async def _check_parent(self, change: Change, record: KeyRecord) -> None:
        """A key stays within the key that made it, whoever changes it later."""
        if record.parent_id is None:
            return
        parent = await self._one(change, record.parent_id)
        if parent is None or parent.revoked_at is not None:
            raise Conflict("the key that made this one is revoked")
        check_within(parent.principal(), record)

    async def _children(self, change: Change, identity: str) -> Sequence[KeyRecord]:
        from sqlalchemy import select

        from execution_platform.storage.schema import gateway_keys

        found = await change.connection.execute(select(gateway_keys).where(gateway_keys.c.parent_id == identity))
        return [record_of(row) for row in found]

    async def _one(self, change: Change, identity: str) -> KeyRecord | None:
        from sqlalchemy import select

        from execution_platform.storage.schema import gateway_keys

        row = (await change.connection.execute(select(gateway_keys).where(gateway_keys.c.id == identity))).first()
        return None if row is None else record_of(row)

    async def _own(self, change: Change, actor: Principal, identity: str) -> KeyRecord:
        """A key the actor sees. One of another tenant is answered exactly like one that does not exist (K4)."""
        record = await self._one(change, identity)
        if record is None or not actor.sees(record.tenant):
            raise unknown_key()
        if not actor.outranks(record.role):
            raise PermissionDenied("only a key of the same role or a higher one may change it", code="scope_exceeded")
        return record

    async def _write(
        self, change: Change, action: str, record: KeyRecord, values: Mapping[str, Any], *, new: bool = False
    ) -> None:
        from sqlalchemy import func, insert, select, update

        from execution_platform.storage.schema import gateway_keys

        newest = (await change.connection.execute(select(func.max(gateway_keys.c.revision)))).scalar() or 0
        numbered = {**values, "revision": newest + 1}
        if new:
            await change.connection.execute(insert(gateway_keys).values(**numbered))
        else:
            await change.connection.execute(
                update(gateway_keys).where(gateway_keys.c.id == record.id).values(**numbered)
            )
        details: dict[str, object] = {"name": record.name, "role": record.role, "changed": sorted(values)}
        if "scopes" in values:
            details["scopes"] = document_of(record.scope)
        await change.note(action, _KIND, record.id, record.tenant, details)

    async def _read(self, wanted: "Select[Any]", tenant: str | None = None) -> list[KeyRecord]:
        await self._trail.ready()
        async with self._storage.read(tenant) as connection:
            return [record_of(row) for row in await connection.execute(wanted)]


def unknown_key() -> RouterError:
    """The answer for a key that does not exist for this caller; it repeats nothing, so that all are alike."""
    return RouterError("there is no key of this id; GET /v1/keys lists them", code="key_not_found", param="id")


def _revision(session: "Session") -> int:
    return int(session.connection.execute("SELECT coalesce(max(revision), 0) FROM gateway_keys").fetchone()[0])
