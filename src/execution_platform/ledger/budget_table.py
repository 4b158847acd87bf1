"""Budgets that were set at run time: stored, numbered by revision, found by every replica."""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

from execution_platform.ledger.budgets import Breach, Budget, Scope
from execution_platform.ledger.money import to_nanos, to_usd
from execution_platform.ledger.periods import Period
from execution_platform.storage.engine import Storage

if TYPE_CHECKING:
    from sqlalchemy import RowMapping
    from sqlalchemy.ext.asyncio import AsyncConnection

    from execution_platform.storage.local import Session


class BudgetTable:
    """Reads and writes the table `budgets`. Every method raises `DatabaseUnavailable`."""

    def __init__(self, storage: Storage, ready: Callable[[], Awaitable[object]]) -> None:
        self._storage = storage
        self._ready = ready

    async def revision(self) -> int:
        """Rises with every change of any budget; 0 when there never was one."""
        await self._ready()
        if not self._storage.is_postgresql:
            return await self._storage.local(_revision)
        from sqlalchemy import func, select

        from execution_platform.storage.schema import budgets

        async with self._storage.read() as connection:
            found = await connection.execute(select(func.coalesce(func.max(budgets.c.revision), 0)))
            return int(found.scalar_one())

    async def all(self) -> list[Budget]:
        """Every budget in force."""
        from sqlalchemy import select

        from execution_platform.storage.schema import budgets

        await self._ready()
        async with self._storage.read() as connection:
            found = await connection.execute(select(budgets).where(budgets.c.enabled).order_by(budgets.c.revision))
            return [_budget(row) for row in found.mappings()]

    async def put(self, budget: Budget, *, tenant: str = "default") -> Budget:
        """Set the budget of a scope and period; the one there was before is replaced. The budget with its id."""
        await self._ready()
        async with self._storage.write() as connection:
            return await self.put_in(connection, budget, tenant=tenant)

    async def put_in(self, connection: "AsyncConnection", budget: Budget, *, tenant: str) -> Budget:
        """`put` as part of a transaction."""
        from sqlalchemy import func, select, update

        from execution_platform.storage.schema import budgets

        now = datetime.now(UTC)
        values: dict[str, Any] = {
            "budget_usd": None if budget.nanos is None else to_usd(budget.nanos),
            "budget_tokens": budget.tokens,
            "alert_threshold": budget.alert_threshold,
            "time_zone": budget.zone.key,
            "on_breach": budget.on_breach,
            "downgrade_to": budget.downgrade_to or "",
            "enabled": True,
            "updated_at": now,
        }
        same = (budgets.c.scope == budget.name) & (budgets.c.period == budget.period)
        following = select(func.coalesce(func.max(budgets.c.revision), 0) + 1).scalar_subquery()
        done = await connection.execute(
            update(budgets).where(same).values(**values, revision=following).returning(budgets.c.id)
        )
        known: str | None = done.scalar_one_or_none()
        if known is None:
            known = str(uuid.uuid4())
            key = {"id": known, "scope": budget.name, "tenant": tenant, "period": budget.period}
            await connection.execute(budgets.insert().values(**key, **values, created_at=now, revision=following))
        return replace(budget, id=known, source="api")

    async def remove_in(self, connection: "AsyncConnection", scope: str, period: Period) -> None:
        """Take the budget of a scope and period out of force, if there is one, as part of a transaction."""
        from sqlalchemy import func, select, update

        from execution_platform.storage.schema import budgets

        following = select(func.coalesce(func.max(budgets.c.revision), 0) + 1).scalar_subquery()
        same = (budgets.c.scope == scope) & (budgets.c.period == period) & budgets.c.enabled
        gone = {"enabled": False, "updated_at": datetime.now(UTC)}
        await connection.execute(update(budgets).where(same).values(**gone, revision=following))

    async def remove(self, budget_id: str) -> bool:
        """Take a budget out of force; False when there is none of that id. What was spent stays with its account."""
        from sqlalchemy import func, select, update

        from execution_platform.storage.schema import budgets

        await self._ready()
        following = select(func.coalesce(func.max(budgets.c.revision), 0) + 1).scalar_subquery()
        async with self._storage.write() as connection:
            done = await connection.execute(
                update(budgets)
                .where(budgets.c.id == budget_id, budgets.c.enabled)
                .values(enabled=False, revision=following, updated_at=datetime.now(UTC))
            )
            return done.rowcount > 0


def _revision(session: "Session") -> int:
    return int(session.connection.execute("SELECT coalesce(max(revision), 0) FROM budgets").fetchone()[0])


def _budget(row: "RowMapping") -> Budget:
    fields = cast("Mapping[str, Any]", row)
    scope, _, subject = str(fields["scope"]).partition(":")
    usd: Decimal | None = fields["budget_usd"]
    return Budget(
        id=fields["id"],
        scope=cast("Scope", scope),
        subject=subject,
        period=cast("Period", fields["period"]),
        zone=ZoneInfo(fields["time_zone"]),
        nanos=None if usd is None else to_nanos(usd),
        tokens=fields["budget_tokens"],
        alert_threshold=fields["alert_threshold"],
        on_breach=cast("Breach", fields["on_breach"]),
        downgrade_to=fields["downgrade_to"] or None,
        source="api",
    )
