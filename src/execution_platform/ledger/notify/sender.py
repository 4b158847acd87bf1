"""Stored messages on their way out: claimed by one replica at a time, tried again with growing pauses, given up in the open.

A message is delivered at least once, always with the same id. After eight failures over about seven hours it is dead: it stays in
the table with its last error, and is sent again when somebody sets it back. A receiver that has just failed is left alone for
the rest of the round, so that it delays nobody else's messages.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from execution_platform import _json
from execution_platform.config.secret import Secret, SecretRef
from execution_platform.config.values import AlertChannel
from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.ledger.notify.shapes import PAGERDUTY, signed, with_routing_key
from execution_platform.storage.engine import Storage
from execution_platform.transport.egress import WEBHOOKS, Egress
from execution_platform.transport.mail import letter, post_letter

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

ATTEMPTS = 8
_FIRST_PAUSE = 5.0
_GROWTH = 4.0
_LONGEST_PAUSE = 6 * 3600.0
_LEASE = timedelta(seconds=60)
_BATCH = 20
_LONGEST_ERROR = 500


def pause_after(failures: int, rng: random.Random) -> float:
    """Seconds until the next try after so many failures: 5, 20, 80 … up to six hours, each between half and all of it."""
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * _GROWTH ** (failures - 1)) * (0.5 + rng.random() / 2)


class Sender:
    """Delivers what `webhook_outbox` holds."""

    def __init__(
        self,
        storage: Storage,
        *,
        ready: Callable[[], Awaitable[object]],
        channels: Callable[[], Mapping[str, AlertChannel]],
        secret: Callable[[SecretRef], Secret],
        done: Callable[[str, str], None],
        rng: random.Random | None = None,
    ) -> None:
        """`done` is told the endpoint and `delivered`, `failed` or `dead` of every try."""
        self._storage = storage
        self._ready = ready
        self._channels = channels
        self._secret = secret
        self._done = done
        self._rng = rng or random.Random()  # noqa: S311 - pauses need no secrecy
        self._egress = Egress(WEBHOOKS)

    async def aclose(self) -> None:
        """Close connections."""
        await self._egress.aclose()

    async def deliver(self) -> int:
        """One round: what is due is tried once; how many were. Raises `DatabaseUnavailable`."""
        await self._ready()
        failing: set[str] = set()
        tried = 0
        for message in await self._due():
            endpoint = str(message["endpoint"])
            if endpoint in failing or not await self._claim(message):
                continue
            tried += 1
            error = await self._send(message)
            if error is not None:
                failing.add(endpoint)
            await self._note(message, error)
        return tried

    async def _due(self) -> list["RowMapping"]:
        from sqlalchemy import select

        from execution_platform.storage.schema import webhook_outbox

        columns, now = webhook_outbox.c, datetime.now(UTC)
        async with self._storage.read() as connection:
            found = await connection.execute(
                select(webhook_outbox)
                .where(
                    columns.delivered_at.is_(None),
                    columns.dead_at.is_(None),
                    columns.next_attempt_at <= now,
                    columns.leased_until.is_(None) | (columns.leased_until < now),
                )
                .order_by(columns.next_attempt_at)
                .limit(_BATCH)
            )
            return list(found.mappings())

    async def _claim(self, message: "RowMapping") -> bool:
        from sqlalchemy import update

        from execution_platform.storage.schema import webhook_outbox

        columns, now = webhook_outbox.c, datetime.now(UTC)
        async with self._storage.write() as connection:
            done = await connection.execute(
                update(webhook_outbox)
                .where(
                    columns.seq == message["seq"],
                    columns.attempts == message["attempts"],
                    columns.leased_until.is_(None) | (columns.leased_until < now),
                )
                .values(leased_until=now + _LEASE)
            )
            return done.rowcount == 1

    async def _send(self, message: "RowMapping") -> str | None:
        """Try once; why it failed, or None."""
        channel = self._channels().get(str(message["endpoint"]))
        if channel is None:
            return "the channel is no longer configured"
        try:
            async with asyncio.timeout(WEBHOOKS.seconds + 5):
                if channel.kind == "email":
                    await self._mail(channel, message)
                    return None
                status = await self._post(channel, message)
        except (ExecutionPlatformError, TimeoutError) as error:
            return getattr(error, "message", None) or "no answer in time"
        return None if 200 <= status < 300 else f"answered with status {status}"

    async def _post(self, channel: AlertChannel, message: "RowMapping") -> int:
        text = str(message["payload"])
        body = text.encode()
        headers = {"content-type": "application/json", "user-agent": "execution-platform"}
        url = PAGERDUTY if channel.url is None else self._secret(channel.url).reveal()
        if channel.secret is not None and channel.kind == "webhook":
            secret = self._secret(channel.secret)
            headers |= signed(body, identity=f"msg_{message['id']}", at=int(time.time()), secret=secret)
        elif channel.secret is not None and channel.kind == "pagerduty":
            body = with_routing_key(text, self._secret(channel.secret))
        return (await self._egress.send("POST", url, headers, body)).status

    async def _mail(self, channel: AlertChannel, message: "RowMapping") -> None:
        content = cast("Mapping[str, Any]", _json.loads(str(message["payload"]).encode()))
        if channel.url is None:
            return
        written = letter(
            sender=channel.sender or "",
            to=channel.to,
            subject=str(content["subject"]),
            text=str(content["text"]),
            identity=str(message["id"]),
        )
        await post_letter(self._secret(channel.url), written)

    async def _note(self, message: "RowMapping", error: str | None) -> None:
        from sqlalchemy import update

        from execution_platform.storage.schema import webhook_outbox

        now = datetime.now(UTC)
        failures = int(message["attempts"]) + 1
        values: dict[str, Any] = {"attempts": failures, "leased_until": None}
        if error is None:
            values |= {"delivered_at": now, "last_error": None}
            outcome = "delivered"
        elif failures >= ATTEMPTS:
            values |= {"dead_at": now, "last_error": error[:_LONGEST_ERROR]}
            outcome = "dead"
        else:
            pause = timedelta(seconds=pause_after(failures, self._rng))
            values |= {"next_attempt_at": now + pause, "last_error": error[:_LONGEST_ERROR]}
            outcome = "failed"
        async with self._storage.write() as connection:
            await connection.execute(
                update(webhook_outbox).where(webhook_outbox.c.seq == message["seq"]).values(**values)
            )
        self._done(str(message["endpoint"]), outcome)
