"""Kept responses in the database: one row a turn, each with the turn before it.

A response is its tenant's (K4); within the tenant it is who made it that sees it, unless somebody runs the tenant. How long rows are
kept is decided when they are read and when they are deleted, so that a shorter time holds at once.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, cast

from execution_platform import _json
from execution_platform.dialects.openai_responses.kept import Turn
from execution_platform.dialects.take import Object
from execution_platform.exceptions import RouterError
from execution_platform.storage import migrations
from execution_platform.storage.engine import Storage

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from execution_platform.storage.local import Session

MOST_TURNS = 1000
"""Turns of one conversation."""
_LONGEST_ID = 64
_FORGOTTEN = 500
"""Rows deleted by one statement, so that no lock is held for long."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Who asks, and for how long what it asks for is kept."""

    tenant: str | None
    """None sees every tenant's."""
    owner: str | None
    """None sees everybody's within the tenant."""
    keep: timedelta


class Kept(NamedTuple):
    """A response as it is kept."""

    id: str
    tenant: str
    owner: str
    previous_id: str | None
    turn: Turn


def not_kept(response_id: str, param: str) -> RouterError:
    """The answer for a response that is not there for this caller, whatever the reason."""
    return RouterError(
        f"there is no response {response_id!r}: it was never kept, is deleted, or is older than responses are kept",
        code="previous_response_not_found" if param == "previous_response_id" else "response_not_found",
        param=param,
    )


class ResponseStore:
    """The rows of all tenants. Every method raises `DatabaseUnavailable`."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._is_ready = False

    async def _ready(self) -> None:
        if not self._is_ready:
            await migrations.prepare(self._storage)
            self._is_ready = True

    async def put(self, kept: Kept) -> None:
        """Keep a response."""
        from sqlalchemy import insert

        from execution_platform.storage.schema import responses

        await self._ready()
        values = {
            "id": kept.id,
            "tenant": kept.tenant,
            "owner": kept.owner,
            "previous_id": kept.previous_id,
            "input": _json.dumps(kept.turn.input),
            "response": _json.dumps(kept.turn.response),
            "created_at": _now(),
        }
        async with self._storage.write(kept.tenant) as connection:
            await connection.execute(insert(responses).values(**values))

    async def find(self, response_id: str, reader: Reader) -> Kept | None:
        """One response; None when it is not there for this reader."""
        from sqlalchemy import select

        from execution_platform.storage.schema import responses

        if not _is_id(response_id):
            return None
        await self._ready()
        asked = select(responses).where(*_seen(response_id, reader))
        async with self._storage.read(reader.tenant) as connection:
            row = (await connection.execute(asked)).first()
        if row is None:
            return None
        return Kept(row.id, row.tenant, row.owner, row.previous_id, _turn(row.input, row.response))

    async def chain(self, response_id: str, reader: Reader, param: str) -> list[Turn]:
        """A response and all before it, the first turn first. Raises `RouterError` when one of them is not there."""
        from sqlalchemy import literal, select

        from execution_platform.storage.schema import responses

        if not _is_id(response_id):
            raise not_kept(response_id, param)
        await self._ready()
        columns = (responses.c.tenant, responses.c.previous_id, responses.c.input, responses.c.response)
        last = select(*columns, literal(1).label("place")).where(*_seen(response_id, reader))
        turns = last.cte("turns", recursive=True)
        # An earlier turn is the same tenant's: nobody could have named another's.
        before = select(*columns, turns.c.place + 1).where(
            responses.c.tenant == turns.c.tenant,
            responses.c.id == turns.c.previous_id,
            responses.c.created_at > _now() - reader.keep,
            turns.c.place < MOST_TURNS,
        )
        turns = turns.union_all(before)
        asked = select(turns.c.previous_id, turns.c.input, turns.c.response).order_by(turns.c.place.desc())
        async with self._storage.read(reader.tenant) as connection:
            rows = (await connection.execute(asked)).all()
        if not rows or rows[0].previous_id is not None:
            raise not_kept(response_id, param)
        return [_turn(row.input, row.response) for row in rows]

    async def delete(self, response_id: str, reader: Reader) -> bool:
        """Forget one response; False when it is not there for this reader. Turns after it cannot be continued any more."""
        from sqlalchemy import delete

        from execution_platform.storage.schema import responses

        if not _is_id(response_id):
            return False
        await self._ready()
        async with self._storage.write(reader.tenant) as connection:
            done = await connection.execute(delete(responses).where(*_seen(response_id, reader)))
        return done.rowcount > 0

    async def forget(self, keep: timedelta, *, of: str | None = None, but: Collection[str] = ()) -> int:
        """Delete what is older, of one tenant or of all but some; how many responses."""
        await self._ready()
        if not self._storage.is_postgresql and not await self._storage.local(_any_kept):
            return 0  # asked again and again, so without what the other statements need in memory
        from sqlalchemy import and_, delete, select

        from execution_platform.storage.schema import responses

        columns, gone = responses.c, 0
        old = [columns.created_at <= _now() - keep, columns.tenant.not_in(but)]
        if of is not None:
            old.append(columns.tenant == of)
        some = select(columns.id).where(and_(*old)).limit(_FORGOTTEN).scalar_subquery()
        while True:
            async with self._storage.write() as connection:
                done = await connection.execute(delete(responses).where(columns.id.in_(some), and_(*old)))
            gone += done.rowcount
            if done.rowcount < _FORGOTTEN:
                return gone


def _is_id(name: str) -> bool:
    """Whether a caller's word could be an id: a database is not asked for anything else."""
    return len(name) <= _LONGEST_ID and name.isascii() and name.isprintable()


def _seen(response_id: str, reader: Reader) -> "Sequence[ColumnElement[bool]]":
    """What makes a row the one that this reader may see."""
    from execution_platform.storage.schema import responses

    columns = responses.c
    only = [columns.id == response_id, columns.created_at > _now() - reader.keep]
    if reader.tenant is not None:
        only.append(columns.tenant == reader.tenant)
    if reader.owner is not None:
        only.append(columns.owner == reader.owner)
    return only


def _turn(items: bytes, response: bytes) -> Turn:
    return Turn(cast("list[Object]", _json.loads(items)), cast("Object", _json.loads(response)))


def _now() -> datetime:
    return datetime.now(UTC)


def _any_kept(session: "Session") -> bool:
    return bool(session.connection.execute("SELECT EXISTS (SELECT 1 FROM responses)").fetchone()[0])
