"""Idempotency keys in the database: who carries a request out, and what came of it.

A row is made before anything leaves for a provider (`running`). Who made it holds it by a lease, which it renews while it lives;
a row whose lease has run out is nobody's any more, and nobody can say how its request ended (`unknown`). Time is the database's,
so that replicas with different clocks agree.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

import msgspec

from execution_platform.storage.engine import Storage

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection

    from execution_platform.storage.local import Session

LEASE_SECONDS = 15.0
_FORGOTTEN = 1000
"""Rows deleted by one statement, so that no lock is held for long."""
State = Literal["running", "done", "unknown"]


class Recording(msgspec.Struct, frozen=True, array_like=True):
    """An answer as it was sent: a stream in its own pieces."""

    request_id: str
    status: int
    headers: list[tuple[bytes, bytes]]
    pieces: list[bytes]


@dataclass(frozen=True, slots=True)
class Claim:
    """A request under a key. The key is its caller's own: nobody else's answers are found by guessing it."""

    tenant: str
    subject: str
    key: bytes
    """SHA-256 of what the caller sent."""
    fingerprint: bytes
    """SHA-256 of the request."""

    @property
    def name(self) -> tuple[str, str, bytes]:
        """What tells it from the others."""
        return self.tenant, self.subject, self.key


@dataclass(frozen=True, slots=True)
class Standing:
    """How things are under a key."""

    state: State
    is_mine: bool
    fingerprint: bytes
    request_id: str
    answer: bytes | None


class ClaimStore:
    """The rows of all callers. Every method raises `DatabaseUnavailable`."""

    def __init__(self, storage: Storage, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self._storage = storage
        self._lease = timedelta(seconds=lease_seconds)

    async def claim(self, claim: Claim, owner: str, request_id: str, keep: timedelta) -> Standing:
        """Take the key, unless it is taken; how it stands now."""
        from sqlalchemy import delete, select, update
        from sqlalchemy.dialects import postgresql, sqlite

        from execution_platform.storage.schema import idempotency_keys

        put = postgresql.insert if self._storage.is_postgresql else sqlite.insert
        columns = idempotency_keys.c
        async with self._storage.write(claim.tenant) as connection:
            now = await self._now(connection)
            await connection.execute(delete(idempotency_keys).where(_is(claim), columns.expires_at < now))
            row = {
                "tenant": claim.tenant,
                "subject": claim.subject,
                "key": claim.key,
                "fingerprint": claim.fingerprint,
                "owner": owner,
                "request_id": request_id,
                "state": "running",
                "created_at": now,
                "lease_until": now + self._lease,
                "expires_at": now + keep,
            }
            await connection.execute(put(idempotency_keys).values(row).on_conflict_do_nothing())
            await connection.execute(
                update(idempotency_keys)
                .where(_is(claim), columns.state == "running", columns.lease_until < now)
                .values(state="unknown")
            )
            found = (await connection.execute(select(idempotency_keys).where(_is(claim)))).mappings().one()
        return Standing(
            found["state"], found["owner"] == owner, found["fingerprint"], found["request_id"], found["answer"]
        )

    async def finish(self, claim: Claim, owner: str, recording: Recording | None) -> None:
        """Keep the answer, or only that there was one. Also where others have given the owner up: now it is known."""
        answer = None if recording is None else msgspec.msgpack.encode(recording)
        await self._set(claim, owner, "done", answer)

    async def give_up(self, claim: Claim, owner: str) -> None:
        """Something has left for a provider, and nobody knows what came of it."""
        await self._set(claim, owner, "unknown", None)

    async def _set(self, claim: Claim, owner: str, state: State, answer: bytes | None) -> None:
        from sqlalchemy import update

        from execution_platform.storage.schema import idempotency_keys

        columns = idempotency_keys.c
        async with self._storage.write(claim.tenant) as connection:
            await connection.execute(
                update(idempotency_keys).where(_is(claim), columns.owner == owner).values(state=state, answer=answer)
            )

    async def release(self, claim: Claim, owner: str) -> None:
        """Nothing was carried out: the key is as if it had not come."""
        from sqlalchemy import delete

        from execution_platform.storage.schema import idempotency_keys

        columns = idempotency_keys.c
        async with self._storage.write(claim.tenant) as connection:
            await connection.execute(delete(idempotency_keys).where(_is(claim), columns.owner == owner))

    async def renew(self, owners: Collection[str]) -> None:
        """Those who own these rows are alive."""
        from sqlalchemy import update

        from execution_platform.storage.schema import idempotency_keys

        columns = idempotency_keys.c
        async with self._storage.write() as connection:
            now = await self._now(connection)
            await connection.execute(
                update(idempotency_keys)
                .where(columns.owner.in_(owners), columns.state == "running")
                .values(lease_until=now + self._lease)
            )

    async def forget(self) -> int:
        """Delete what has expired; how many rows."""
        if not self._storage.is_postgresql and not await self._storage.local(_any_kept):
            return 0  # asked again and again, so without what the other statements need in memory
        from sqlalchemy import and_, delete, select

        from execution_platform.storage.schema import idempotency_keys

        columns, gone = idempotency_keys.c, 0
        while True:
            async with self._storage.write() as connection:
                now = await self._now(connection)
                some = select(columns.owner).where(columns.expires_at < now).limit(_FORGOTTEN).scalar_subquery()
                old = and_(columns.owner.in_(some), columns.expires_at < now)
                deleted = (await connection.execute(delete(idempotency_keys).where(old))).rowcount
            gone += deleted
            if deleted < _FORGOTTEN:
                return gone

    async def _now(self, connection: "AsyncConnection") -> datetime:
        from sqlalchemy import DateTime, func, select

        if not self._storage.is_postgresql:
            return datetime.now(UTC)  # SQLite is on this machine: its clock is ours
        clock = func.clock_timestamp(type_=DateTime(timezone=True))
        return (await connection.execute(select(clock))).scalar_one()


def _any_kept(session: "Session") -> bool:
    return bool(session.connection.execute("SELECT EXISTS (SELECT 1 FROM idempotency_keys)").fetchone()[0])


def _is(claim: Claim) -> "ColumnElement[bool]":
    from sqlalchemy import and_

    from execution_platform.storage.schema import idempotency_keys

    columns = idempotency_keys.c
    return and_(columns.tenant == claim.tenant, columns.subject == claim.subject, columns.key == claim.key)
