"""Messages that were stored for receivers: what became of each, and sending one again that was given up."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from execution_platform.storage.engine import Storage

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

Fate = Literal["waiting", "delivered", "dead"]
FATES: tuple[Fate, ...] = get_args(Fate)
_SHOWN = (
    "id",
    "endpoint",
    "shape",
    "attempts",
    "created_at",
    "next_attempt_at",
    "delivered_at",
    "dead_at",
    "last_error",
)


async def page(storage: Storage, fate: Fate | None, *, before: int, limit: int) -> list[dict[str, Any]]:
    """Messages from the newest on, below the sequence number `before` (0: the newest). Raises `DatabaseUnavailable`."""
    from sqlalchemy import select

    from execution_platform.storage.schema import webhook_outbox

    columns = webhook_outbox.c
    asked = select(columns.seq, *(columns[name] for name in _SHOWN)).order_by(columns.seq.desc()).limit(limit)
    if fate is not None:
        asked = asked.where(*_of(fate))
    if before:
        asked = asked.where(columns.seq < before)
    async with storage.read() as connection:
        return [{**row, "fate": _fate(row)} for row in (await connection.execute(asked)).mappings()]


async def send_again(storage: Storage, identity: str) -> bool:
    """Give a dead message its tries back; False when there is no dead one of that id. Raises `DatabaseUnavailable`."""
    from sqlalchemy import update

    from execution_platform.storage.schema import webhook_outbox

    columns = webhook_outbox.c
    fresh = {"dead_at": None, "attempts": 0, "leased_until": None, "next_attempt_at": datetime.now(UTC)}
    async with storage.write() as connection:
        done = await connection.execute(
            update(webhook_outbox).where(columns.id == identity, columns.dead_at.is_not(None)).values(**fresh)
        )
        return done.rowcount > 0


def _fate(row: Any) -> Fate:
    if row["delivered_at"] is not None:
        return "delivered"
    return "waiting" if row["dead_at"] is None else "dead"


def _of(fate: Fate) -> "tuple[ColumnElement[bool], ...]":
    from execution_platform.storage.schema import webhook_outbox

    columns = webhook_outbox.c
    if fate == "waiting":
        return columns.delivered_at.is_(None), columns.dead_at.is_(None)
    return (columns.dead_at if fate == "dead" else columns.delivered_at).is_not(None), columns.seq > 0
