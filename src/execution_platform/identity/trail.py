"""Writing and reading the audit trail."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from execution_platform.identity.audit import GENESIS, Entry, entry_hash, first_broken
from execution_platform.identity.principal import Principal
from execution_platform.storage.engine import Storage

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_LOCK = 0x65702D6175646974
"""Of the chain: `ep-audit` in ASCII. Entries are written one after the other."""
_BATCH = 1000


class Change:
    """A unit of work on access: what is changed and its entry in the trail commit together, or not at all."""

    def __init__(self, connection: "AsyncConnection", actor: Principal, request_id: str) -> None:
        self.connection = connection
        self._actor = actor
        self._request_id = request_id

    async def note(
        self, action: str, kind: str, identity: str, tenant: str, details: Mapping[str, object] | None = None
    ) -> None:
        """Append an entry; the caller holds the chain's lock since `begin`."""
        from sqlalchemy import insert, select

        from execution_platform.storage.schema import audit_log

        last = (
            await self.connection.execute(
                select(audit_log.c.position, audit_log.c.hash).order_by(audit_log.c.position.desc()).limit(1)
            )
        ).first()
        entry = Entry(
            position=1 if last is None else last.position + 1,
            timestamp=datetime.now(UTC),
            actor=self._actor.key_id or self._actor.name,
            tenant=tenant,
            action=action,
            object_kind=kind,
            object_id=identity,
            details=dict(details or {}),
            request_id=self._request_id,
            previous_hash=GENESIS if last is None else last.hash,
        )
        await self.connection.execute(
            insert(audit_log).values(
                id=str(uuid.uuid4()),
                timestamp=entry.timestamp,
                tenant=entry.tenant,
                actor=entry.actor,
                action=entry.action,
                object_kind=entry.object_kind,
                object_id=entry.object_id,
                details=dict(entry.details),
                request_id=entry.request_id,
                position=entry.position,
                previous_hash=entry.previous_hash,
                hash=entry_hash(entry),
            )
        )


async def begin(connection: "AsyncConnection", actor: Principal, request_id: str, *, postgresql: bool) -> Change:
    """Take the chain's lock for the rest of the transaction. SQLite has one writer at a time anyway."""
    if postgresql:
        from sqlalchemy import text

        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    return Change(connection, actor, request_id)


def _entry(row: Any) -> Entry:
    return Entry(
        position=row.position,
        timestamp=row.timestamp,
        actor=row.actor,
        tenant=row.tenant,
        action=row.action,
        object_kind=row.object_kind,
        object_id=row.object_id,
        details=row.details or {},
        request_id=row.request_id or "",
        previous_hash=row.previous_hash,
        hash=row.hash,
    )


async def read_entries(storage: Storage, *, tenant: str | None, after: int, limit: int) -> list[Entry]:
    """Entries from the newest to older ones, below position `after` (0: the newest); all tenants if `tenant` is None."""
    from sqlalchemy import select

    from execution_platform.storage.schema import audit_log

    wanted = select(audit_log).order_by(audit_log.c.position.desc()).limit(limit)
    if tenant is not None:
        wanted = wanted.where(audit_log.c.tenant == tenant)
    if after:
        wanted = wanted.where(audit_log.c.position < after)
    async with storage.read() as connection:
        return [_entry(row) for row in await connection.execute(wanted)]


async def verify(storage: Storage) -> int | None:
    """The position of the first entry that does not fit; None when the whole trail holds."""
    from sqlalchemy import select

    from execution_platform.storage.schema import audit_log

    last: Entry | None = None
    while True:
        wanted = select(audit_log).order_by(audit_log.c.position).limit(_BATCH)
        if last is not None:
            wanted = wanted.where(audit_log.c.position > last.position)
        async with storage.read() as connection:
            batch = [_entry(row) for row in await connection.execute(wanted)]
        if not batch:
            return None
        broken = first_broken(batch if last is None else [last, *batch])
        if broken is not None:
            return broken
        last = batch[-1]
