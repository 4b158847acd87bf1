"""Personas that were switched at run time, in the database: what all replicas serve, and what a new one begins with."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from execution_platform import _json
from execution_platform.gateway.snapshots import Overlays
from execution_platform.storage.engine import Storage

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from execution_platform.storage.local import Session

_LOCK = 0x65705F737769
"""PostgreSQL advisory lock that whoever changes a switch holds, so that revisions come into sight in their order."""
_ALL = "SELECT name, body FROM persona_switches WHERE body IS NOT NULL ORDER BY name"
_NEWEST = "SELECT coalesce(max(revision), 0) FROM persona_switches"


class SwitchTable:
    """The switches of one database. `ready` prepares it; every method raises `DatabaseUnavailable`."""

    def __init__(self, storage: Storage, ready: Callable[[], Awaitable[object]]) -> None:
        self._storage = storage
        self._ready = ready

    async def revision(self) -> int:
        """The number of the newest change; 0 when nothing was ever switched."""
        await self._ready()
        if not self._storage.is_postgresql:
            return await self._storage.local(_revision)
        async with self._storage.read() as connection:
            return await _newest(connection)

    async def all(self) -> Overlays:
        """Every persona that is switched, by name."""
        await self._ready()
        if not self._storage.is_postgresql:
            return _read(await self._storage.local(_rows))
        from sqlalchemy import text

        async with self._storage.read() as connection:
            return _read([(row.name, row.body) for row in await connection.execute(text(_ALL))])

    async def put(self, switches: Mapping[str, Mapping[str, object] | None], by: str) -> None:
        """Switch personas; None takes a switch back."""
        await self._ready()
        from sqlalchemy import func, select
        from sqlalchemy.dialects import postgresql, sqlite

        from execution_platform.storage.schema import persona_switches

        insert = postgresql.insert if self._storage.is_postgresql else sqlite.insert
        async with self._storage.write() as connection:
            if self._storage.is_postgresql:
                await connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
            revision = await _newest(connection)
            for name, body in switches.items():
                revision += 1
                values = {
                    "body": None if body is None else _json.dumps(body).decode(),
                    "revision": revision,
                    "changed_by": by,
                    "changed_at": datetime.now(UTC),
                }
                new = insert(persona_switches).values(name=name, **values)
                await connection.execute(new.on_conflict_do_update(index_elements=["name"], set_=values))


async def _newest(connection: "AsyncConnection") -> int:
    from sqlalchemy import text

    return int((await connection.execute(text(_NEWEST))).scalar_one())


def _revision(session: "Session") -> int:
    return int(session.connection.execute(_NEWEST).fetchone()[0])


def _rows(session: "Session") -> list[tuple[str, str]]:
    return [(str(row[0]), str(row[1])) for row in session.connection.execute(_ALL).fetchall()]


def _read(rows: list[tuple[str, str]]) -> Overlays:
    return {name: cast("Mapping[str, object]", _json.loads(body)) for name, body in rows}
