"""Writing and reading the audit trail."""

import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
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
Details = Mapping[str, object]
Witness = Callable[[Entry], None]


class Change:
    """A unit of work on access: what is changed and its entry in the trail commit together, or not at all."""

    def __init__(self, connection: "AsyncConnection", actor: Principal, request_id: str) -> None:
        self.connection = connection
        self.entries: list[Entry] = []
        self._actor = actor
        self._request_id = request_id

    async def note(self, action: str, kind: str, identity: str, tenant: str, details: Details | None = None) -> None:
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
            actor=self._actor.subject,
            tenant=tenant,
            action=action,
            object_kind=kind,
            object_id=identity,
            details=dict(details or {}),
            request_id=self._request_id,
            previous_hash=GENESIS if last is None else last.hash,
        )
        sealed = entry_hash(entry)
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
                hash=sealed,
            )
        )
        self.entries.append(replace(entry, hash=sealed))


class Trail:
    """The audit trail of one installation. Every method raises `DatabaseUnavailable`."""

    def __init__(
        self, storage: Storage, ready: Callable[[], Awaitable[object]], witness: Witness | None = None
    ) -> None:
        self._storage = storage
        self.ready = ready
        """Makes the database usable, once."""
        self._witness = witness
        """Told of every entry that is committed, so that the log holds hashes that nobody can take out of the database."""

    @asynccontextmanager
    async def change(self, actor: Principal, request_id: str = "") -> AsyncGenerator[Change]:
        """A transaction that holds the chain's lock. SQLite has one writer at a time anyway."""
        await self.ready()
        async with self._storage.write() as connection:
            if self._storage.is_postgresql:
                from sqlalchemy import text

                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            made = Change(connection, actor, request_id)
            yield made
        if self._witness is not None:
            for entry in made.entries:
                self._witness(entry)

    async def note(
        self,
        actor: Principal,
        action: str,
        kind: str,
        identity: str,
        *,
        tenant: str = "",
        details: Details | None = None,
        request_id: str = "",
    ) -> None:
        """Enter a change that is not part of a transaction on access."""
        async with self.change(actor, request_id) as change:
            await change.note(action, kind, identity, tenant, details)

    async def entries(self, *, tenant: str | None, before: int, limit: int) -> list[Entry]:
        """Entries from the newest to older ones, below position `before` (0: the newest); all tenants if `tenant` is None."""
        from sqlalchemy import select

        from execution_platform.storage.schema import audit_log

        await self.ready()
        wanted = select(audit_log).order_by(audit_log.c.position.desc()).limit(limit)
        if tenant is not None:
            wanted = wanted.where(audit_log.c.tenant == tenant)
        if before:
            wanted = wanted.where(audit_log.c.position < before)
        async with self._storage.read(tenant) as connection:
            return [_entry(row) for row in await connection.execute(wanted)]

    async def verify(self) -> tuple[int, int | None]:
        """How many entries were looked at, and the position of the first that does not fit; None when the trail holds."""
        from sqlalchemy import select

        from execution_platform.storage.schema import audit_log

        await self.ready()
        last: Entry | None = None
        seen = 0
        while True:
            wanted = select(audit_log).order_by(audit_log.c.position).limit(_BATCH)
            if last is not None:
                wanted = wanted.where(audit_log.c.position > last.position)
            async with self._storage.read() as connection:
                batch = [_entry(row) for row in await connection.execute(wanted)]
            if not batch:
                return seen, None
            broken = first_broken(batch if last is None else [last, *batch])
            if broken is not None:
                return seen, broken
            seen += len(batch)
            last = batch[-1]


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
