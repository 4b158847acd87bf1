"""Issued keys in the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from execution_platform.config.secret import Secret
from execution_platform.exceptions import PermissionDenied, RouterError
from execution_platform.identity.keys import Issued, digest, new_key
from execution_platform.identity.principal import EVERYTHING, Principal, Role
from execution_platform.identity.records import KeyRecord, document_of, scope_of
from execution_platform.identity.scope import Scope, wider
from execution_platform.identity.trail import begin
from execution_platform.spi.loss import LossPolicy
from execution_platform.storage.engine import Storage

_KIND = "gateway_key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A key to be made."""

    name: str
    tenant: str
    team: str = ""
    role: Role = "member"
    scope: Scope = EVERYTHING
    loss_policy: LossPolicy | None = None


def _record(row: Any) -> KeyRecord:
    return KeyRecord(
        id=row.id,
        name=row.name,
        tenant=row.tenant,
        team=row.team,
        role=row.role,
        scope=scope_of(row.scopes, row.expires_at),
        parent_id=row.parent_id,
        digest=row.digest,
        previous_digest=row.previous_digest,
        previous_until=row.previous_until,
        loss_policy=row.loss_policy,
        revision=row.revision,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )


def check_within(actor: Principal, given: KeyRecord) -> None:
    """Refuse a key that would be more than its maker (K3). Raises `PermissionDenied` that names the dimensions."""
    beyond = wider(actor.scope, given.scope)
    if not actor.outranks(given.role):
        beyond.append("role")
    if not actor.sees(given.tenant):
        beyond.append("tenant")
    if beyond:
        raise PermissionDenied(
            f"a key cannot be wider than the one that makes it: {', '.join(beyond)}", code="scope_exceeded"
        )


class KeyStore:
    """Finds, lists and changes keys. Every change is an entry in the audit trail, in the same transaction."""

    def __init__(self, storage: Storage, pepper: Secret) -> None:
        self._storage = storage
        self._pepper = pepper

    async def find(self, identity: str) -> KeyRecord | None:
        """A key by its public id, revoked ones too. Raises `DatabaseUnavailable`."""
        from sqlalchemy import select

        from execution_platform.storage.schema import gateway_keys

        async with self._storage.read() as connection:
            row = (await connection.execute(select(gateway_keys).where(gateway_keys.c.id == identity))).first()
        return None if row is None else _record(row)

    async def changed_since(self, revision: int) -> list[KeyRecord]:
        """Keys that were made, changed or revoked after `revision`, in that order. Raises `DatabaseUnavailable`."""
        from sqlalchemy import select

        from execution_platform.storage.schema import gateway_keys

        wanted = (
            select(gateway_keys).where(gateway_keys.c.revision > revision).order_by(gateway_keys.c.revision).limit(1000)
        )
        async with self._storage.read() as connection:
            return [_record(row) for row in await connection.execute(wanted)]

    async def revision(self) -> int:
        """The number of the newest change of any key."""
        from sqlalchemy import func, select

        from execution_platform.storage.schema import gateway_keys

        async with self._storage.read() as connection:
            return (await connection.execute(select(func.max(gateway_keys.c.revision)))).scalar() or 0

    async def page(self, tenant: str | None, after: str, limit: int) -> list[KeyRecord]:
        """Keys in order of their ids, from the one after `after`; of all tenants if `tenant` is None."""
        from sqlalchemy import select

        from execution_platform.storage.schema import gateway_keys

        wanted = select(gateway_keys).where(gateway_keys.c.id > after).order_by(gateway_keys.c.id).limit(limit)
        if tenant is not None:
            wanted = wanted.where(gateway_keys.c.tenant == tenant)
        async with self._storage.read() as connection:
            return [_record(row) for row in await connection.execute(wanted)]

    async def create(self, actor: Principal, draft: Draft, request_id: str = "") -> tuple[KeyRecord, Issued]:
        """Issue a key. Raises `PermissionDenied` when it would be wider than the actor's own."""
        issued = new_key()
        now = datetime.now(UTC)
        record = KeyRecord(
            id=issued.id,
            name=draft.name,
            tenant=draft.tenant,
            team=draft.team,
            role=draft.role,
            scope=draft.scope,
            parent_id=actor.key_id or None,
            digest=digest(issued.text.reveal().encode(), self._pepper),
            previous_digest=None,
            previous_until=None,
            loss_policy=draft.loss_policy,
            revision=0,
            created_at=now,
            revoked_at=None,
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
            "loss_policy": record.loss_policy,
            "created_at": now,
            "expires_at": record.scope.expires,
        }
        await self._write(actor, "key.create", record, values, request_id, new=True)
        return record, issued

    async def narrow(self, actor: Principal, identity: str, scope: Scope, request_id: str = "") -> KeyRecord:
        """Give a key another scope, within the actor's own. Raises `RouterError`, `PermissionDenied`."""
        record = await self._own(actor, identity)
        changed = replace(record, scope=scope)
        check_within(actor, changed)
        if record.parent_id is not None:
            parent = await self.find(record.parent_id)
            if parent is not None:
                check_within(parent.principal(), changed)
        values = {"scopes": document_of(scope), "expires_at": scope.expires}
        await self._write(actor, "key.change", changed, values, request_id)
        return changed

    async def rotate(
        self, actor: Principal, identity: str, overlap: timedelta, request_id: str = ""
    ) -> tuple[KeyRecord, Issued]:
        """A new secret for a key; the old one is taken until `overlap` has passed. Raises `RouterError`."""
        record = await self._own(actor, identity)
        fresh = new_key()
        text = Secret(fresh.text.reveal().replace(fresh.id, record.id, 1))
        values = {
            "digest": digest(text.reveal().encode(), self._pepper),
            "previous_digest": record.digest,
            "previous_until": datetime.now(UTC) + overlap,
        }
        await self._write(actor, "key.rotate", record, values, request_id)
        return record, Issued(record.id, text)

    async def revoke(self, actor: Principal, identity: str, request_id: str = "") -> None:
        """Refuse a key, and every key made with it, from now on. Raises `RouterError`."""
        record = await self._own(actor, identity)
        pending: list[KeyRecord] = [record]
        while pending:
            current = pending.pop()
            if current.revoked_at is None:
                await self._write(actor, "key.revoke", current, {"revoked_at": datetime.now(UTC)}, request_id)
            pending.extend(await self._children(current.id))

    async def _children(self, identity: str) -> Sequence[KeyRecord]:
        from sqlalchemy import select

        from execution_platform.storage.schema import gateway_keys

        async with self._storage.read() as connection:
            found = await connection.execute(select(gateway_keys).where(gateway_keys.c.parent_id == identity))
            return [_record(row) for row in found]

    async def _own(self, actor: Principal, identity: str) -> KeyRecord:
        """A key the actor sees. One of another tenant is answered exactly like one that does not exist (K4)."""
        record = await self.find(identity)
        if record is None or not actor.sees(record.tenant):
            raise RouterError(f"there is no key {identity!r}", code="key_not_found", param="id")
        if not actor.outranks(record.role):
            raise PermissionDenied("only a key of the same role or a higher one may change it", code="scope_exceeded")
        return record

    async def _write(
        self,
        actor: Principal,
        action: str,
        record: KeyRecord,
        values: Mapping[str, Any],
        request_id: str,
        *,
        new: bool = False,
    ) -> None:
        from sqlalchemy import func, insert, select, update

        from execution_platform.storage.schema import gateway_keys

        async with self._storage.write() as connection:
            change = await begin(connection, actor, request_id, postgresql=self._storage.is_postgresql)
            newest = (await connection.execute(select(func.max(gateway_keys.c.revision)))).scalar() or 0
            numbered = {**values, "revision": newest + 1}
            if new:
                await connection.execute(insert(gateway_keys).values(**numbered))
            else:
                await connection.execute(update(gateway_keys).where(gateway_keys.c.id == record.id).values(**numbered))
            details = {"name": record.name, "role": record.role, "changed": sorted(values)}
            await change.note(action, _KIND, record.id, record.tenant, details)
