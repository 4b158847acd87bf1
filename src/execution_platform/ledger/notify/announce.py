"""From a budget that reached its threshold to stored messages, in the transaction that made it reach it."""

import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from execution_platform.config.values import AlertChannel
from execution_platform.ledger.budget_projection import Reached
from execution_platform.ledger.budget_store import insert_quietly, moment
from execution_platform.ledger.notify.shapes import Alert, payload

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Announcements:
    """`Announcer`: one alert a period, whoever notices, and one message of it for each channel."""

    def __init__(self, channels: Callable[[], Sequence[AlertChannel]], told: Callable[[Alert], None]) -> None:
        """`told` hears of each alert that is new, before its transaction has committed, in whatever thread that runs."""
        self._channels = channels
        self._told = told

    def announce(self, connection: "Connection", reached: Sequence[Reached]) -> None:
        """Store an alert of each window that has none yet."""
        from sqlalchemy import update

        from execution_platform.storage.schema import budget_windows

        for one in reached:
            columns = budget_windows.c
            connection.execute(
                update(budget_windows)
                .where(
                    columns.scope == one.bound.scope,
                    columns.period == one.bound.period,
                    columns.period_start == moment(one.start),
                )
                .values(alerted_at=datetime.now(UTC))
            )
            self.tell(connection, "budget_threshold", one)

    def tell(self, connection: "Connection", kind: str, about: Reached) -> bool:
        """Store one alert and its messages; False when there is one of that kind for this window already."""
        from execution_platform.storage.schema import alerts, webhook_outbox

        now = time.time()
        bound = about.bound
        alert = Alert(
            str(uuid.uuid4()),
            kind,
            bound.scope,
            bound.period,
            about.start,
            about.spent,
            about.cap,
            bound.alert_threshold,
            now,
        )
        row = {
            "id": alert.id,
            "kind": kind,
            "scope": bound.scope,
            "period": bound.period,
            "period_start": moment(about.start),
            "message": alert.summary,
            "timestamp": moment(now),
        }
        if not insert_quietly(connection, alerts, [row]):
            return False
        messages = [
            {
                "id": str(uuid.uuid5(uuid.UUID(alert.id), channel.name)),
                "endpoint": channel.name,
                "shape": channel.kind,
                "payload": payload(alert, channel.kind),
                "next_attempt_at": moment(now),
                "created_at": moment(now),
            }
            for channel in self._channels()
        ]
        if messages:
            insert_quietly(connection, webhook_outbox, messages)
        self._told(alert)
        return True
