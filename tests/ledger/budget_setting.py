"""Budgets over a real database, for tests: a store, keepers, and books that project when they are told to."""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from execution_platform.ledger.accounts import Clocks, Refused
from execution_platform.ledger.budget_projection import BudgetProjection
from execution_platform.ledger.budget_store import SqlBudgetStore
from execution_platform.ledger.budgets import NOTHING, Amount, Budget, Rules, Subjects
from execution_platform.ledger.interfaces import Account, CostEvent, Counts, Dispatch, Settlement
from execution_platform.ledger.keeper import Keeper
from execution_platform.ledger.leases import Hold
from execution_platform.storage.address import Address
from execution_platform.storage.engine import Storage

CENT = 10_000_000
DOLLAR = 1_000_000_000
ACME = Subjects("acme", "key-1")


@dataclass
class Clock:
    """A clock that goes when it is told to."""

    wall: float = 1_760_000_000.0
    monotonic: float = 1000.0

    def clocks(self, skew: float = 0.0) -> Clocks:
        return Clocks(lambda: self.wall + skew, lambda: self.monotonic)

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


@dataclass
class Process:
    """A keeper with its part of the books."""

    storage: Storage
    keeper: Keeper
    projection: BudgetProjection
    store: SqlBudgetStore
    events: list[CostEvent] = field(default_factory=list)
    spent: Amount = NOTHING

    async def begin(self, who: Subjects, amount: Amount, provider: str = "p", model: str = "m") -> "Try | None":
        """Reserve and dispatch; None when a budget refuses."""
        rules = self.keeper.rules
        bounds = (*rules.binding(who), *rules.binding_model(provider, model))
        hold = await self.keeper.hold(bounds, amount)
        if isinstance(hold, Refused):
            return None
        account = Account("r", who.tenant, who.key, who.persona, who.run, team=who.team)
        dispatch = Dispatch(str(uuid.uuid4()), account, provider, model, at=int(self.keeper.now() * 1e9))
        self.keeper.attach(dispatch.id, hold)
        return Try(self, dispatch, hold)

    async def deliver(self) -> None:
        """The outbox: what was settled goes to the database."""
        events, self.events = self.events, []
        if events:
            async with self.storage.write() as connection:
                await connection.run_sync(self.projection.project, events)
            self.projection.stored(events)


@dataclass
class Try:
    """One dispatched try."""

    process: Process
    dispatch: Dispatch
    hold: Hold

    def end(self, cost: Amount) -> None:
        settlement = Settlement(
            self.dispatch.id, "ok", cost.nanos, "metered", final=True, counts=Counts(output_tokens=cost.tokens)
        )
        self.process.spent = self.process.spent.plus(cost)
        self.process.keeper.settled(self.dispatch, settlement)
        self.process.events.append(CostEvent(self.dispatch, settlement))


def process(storage: Storage, budgets: Sequence[Budget], clocks: Clocks | None = None) -> Process:
    """A process that obeys `budgets`."""
    store = SqlBudgetStore(storage, storage.engine)
    keeper = Keeper(store, clocks=clocks)
    keeper.rules = Rules(budgets)
    return Process(storage, keeper, BudgetProjection(lambda: keeper.rules, keeper), store)


@asynccontextmanager
async def opened(address: Address) -> AsyncIterator[Storage]:
    """A database with all tables."""
    from execution_platform.storage.schema import metadata

    storage = Storage(address)
    try:
        engine = await storage.engine()
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        yield storage
    finally:
        await storage.close()


def sqlite(folder: Path) -> Address:
    """A database file."""
    return Address("sqlite", path=folder / "ep.db")


def monthly(nanos: int | None = DOLLAR, tokens: int | None = None, **changes: object) -> Budget:
    """A monthly budget of the tenant acme."""
    given: dict[str, object] = {"scope": "tenant", "subject": "acme", "period": "monthly", **changes}
    return Budget(nanos=nanos, tokens=tokens, **given)  # type: ignore[arg-type]
