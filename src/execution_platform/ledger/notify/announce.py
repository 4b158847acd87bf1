"""From a budget that reached its threshold to stored messages, in the transaction that made it reach it."""

import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from execution_platform.config.values import AlertChannel
from execution_platform.ledger.budget_projection import Reached
from execution_platform.ledger.budget_store import insert_quietly, moment
from execution_platform.ledger.notify.shapes import Alert, payload, resolution

if TYPE_CHECKING:
    from sqlalchemy import Connection


_MOST_RESOLVED = 1000


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

    def resolve(self, connection: "Connection", is_over: Callable[[str, str, int], bool]) -> int:
        """End the alerts of windows that `is_over` says are over, and tell whoever keeps them open; how many that were."""
        from sqlalchemy import select, update

        from execution_platform.storage.schema import alerts, webhook_outbox

        columns, now = alerts.c, moment(time.time())
        found = connection.execute(
            select(columns.seq, columns.id, columns.kind, columns.scope, columns.period, columns.period_start)
            .where(columns.resolved_at.is_(None), columns.period != "")
            .order_by(columns.seq)
            .limit(_MOST_RESOLVED)
        )
        over = [row for row in found if is_over(row.scope, row.period, int(row.period_start.timestamp()))]
        ended = 0
        for row in over:
            done = connection.execute(
                update(alerts).where(columns.seq == row.seq, columns.resolved_at.is_(None)).values(resolved_at=now)
            )
            if not done.rowcount:
                continue  # another replica was quicker
            ended += 1
            messages = [
                {
                    "id": str(uuid.uuid5(uuid.UUID(row.id), f"{channel.name} resolved")),
                    "endpoint": channel.name,
                    "shape": channel.kind,
                    "payload": resolution(row.kind, row.scope, row.period, int(row.period_start.timestamp())),
                    "next_attempt_at": now,
                    "created_at": now,
                }
                for channel in self._channels()
                if channel.kind == "pagerduty"
            ]
            if messages:
                insert_quietly(connection, webhook_outbox, messages)
        return ended
