"""The budgets of one process: who must obey which, and what is held for them.

`take` answers from memory and never waits. `hold` asks the database where memory does not suffice, and tells who refuses. A
background task renews leases, gives back what lies idle, and closes the leases of windows that are over.
"""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress

from execution_platform.ledger.accounts import Account, Clocks, Refused, unavailable
from execution_platform.ledger.budgets import NO_RULES, NOTHING, Amount, Bound, Rules
from execution_platform.ledger.interfaces import Dispatch, Settlement, StorageUnavailable
from execution_platform.ledger.leases import BudgetStore, Charge, Hold, Slice, Standing, cost_of
from execution_platform.ledger.periods import FOREVER, Window

_TICK_SECONDS = 0.5
_SKEW_SECONDS = 1.0
_CHARGES = 600_000
"""More settled tries than the journal holds while the database is away."""

OnStanding = Callable[[Bound, Window, Standing], None]


class Keeper:
    """Holds and settles. One per process; `rules` may be replaced at any time."""

    def __init__(
        self,
        store: BudgetStore,
        *,
        worker: str | None = None,
        clocks: Clocks | None = None,
        on_standing: OnStanding | None = None,
    ) -> None:
        self.rules: Rules = NO_RULES
        self.worker = worker or str(uuid.uuid4())
        self._store = store
        self._clocks = clocks or Clocks()
        self._on_standing = on_standing
        self.closed = False
        """Whether not even what is leased may be used: the outage table's word."""
        self._offset = 0.0
        self._accounts: dict[tuple[str, str], Account] = {}
        self._holds: dict[str, Hold] = {}
        self._charged: dict[str, Sequence[Charge]] = {}
        self._ending = asyncio.Event()
        self._upkeep: asyncio.Task[None] | None = None

    def now(self) -> float:
        """Seconds since the epoch by the clock all replicas share: the database's, where ours differs from it."""
        return self._clocks.wall() + self._offset

    def seconds_left(self, window: Window) -> float | None:
        """Until `window` ends; None when it never does."""
        return None if window.end == FOREVER else max(0.0, window.end - self.now())

    def take(self, bounds: Sequence[Bound], amount: Amount) -> Hold | None:
        """Hold `amount` in every account out of memory; None when one of them must ask first."""
        if self.closed and bounds:
            return None
        now, at = self.now(), self._clocks.monotonic()
        slices: list[Slice] = []
        for bound in bounds:
            account = self._account(bound)
            one = account.at(bound, now)
            if not one.take(amount, at):
                for taken in slices:
                    taken.settle(amount, NOTHING)
                return None
            slices.append(one)
            if one.is_low:
                account.ask_ahead()
        return Hold(slices, amount)

    async def hold(self, bounds: Sequence[Bound], amount: Amount) -> Hold | Refused:
        """Hold `amount` in every account, or the first account that refuses. Raises `StorageUnavailable`."""
        found = self.take(bounds, amount)
        if found is not None:
            return found
        if self.closed:
            raise unavailable()
        slices: list[Slice] = []
        hold = Hold(slices, amount)
        try:
            # In one order everywhere, and nobody waits for another request's end: there is no deadlock.
            for bound in bounds:
                one = await self._account(bound).obtain(bound, amount)
                if isinstance(one, Refused):
                    hold.release()
                    return one
                slices.append(one)
        except BaseException:
            hold.release()
            raise
        return hold

    async def extend(self, hold: Hold, more: Amount) -> Refused | None:
        """Add to a hold that proves too small; the account that refuses, or None. Raises `StorageUnavailable`."""
        extra = await self.hold([one.bound for one in hold.slices], more)
        if isinstance(extra, Refused):
            return extra
        hold.add(extra)
        return None

    # The books

    def attach(self, dispatch_id: str, hold: Hold) -> None:
        """Name the dispatch that `hold` is for: its settlement ends the hold."""
        self._holds[dispatch_id] = hold

    def settled(self, dispatch: Dispatch, settlement: Settlement) -> None:
        """`Settled`: end the hold of a dispatch. What it cost stays reserved until it is in the books."""
        hold = self._holds.pop(dispatch.id, None)
        if hold is None:
            return
        hold.settle(cost_of(settlement))
        for one in hold.slices:
            if one.is_low:
                # Also when a provider charged more than was held: the database must know soon.
                self._account(one.bound).ask_ahead()
        if len(self._charged) < _CHARGES:
            self._charged[dispatch.id] = [one.charge for one in hold.slices]

    def leases_of(self, dispatch_id: str) -> Sequence[str]:
        """The leases under which a try is held that has not ended."""
        hold = self._holds.get(dispatch_id)
        return () if hold is None else [one.lease for one in hold.slices]

    @property
    def charges(self) -> bool:
        """`Charges`: whether any settled dispatch is not stored yet."""
        return bool(self._charged)

    def charged(self, dispatch: Dispatch) -> Sequence[Charge] | None:
        """`Charges`: where the cost of a dispatch of this process goes, until it is stored. May be called in a thread."""
        return self._charged.get(dispatch.id)

    def forget(self, dispatch: Dispatch) -> None:
        """`Charges`: the cost of this dispatch has arrived in the books."""
        self._charged.pop(dispatch.id, None)

    def account(self, scope: str, period: str) -> Account | None:
        """The account of that name, if it was used lately."""
        return self._accounts.get((scope, period))

    def _account(self, bound: Bound) -> Account:
        account = self._accounts.get(bound.key)
        if account is None:
            account = Account(bound, self._store, self.worker, clocks=self._clocks, now=self.now, heard=self._heard)
            self._accounts[bound.key] = account
        return account

    def set_clock(self, now: float) -> None:
        """Take over the time of the clock all replicas share."""
        offset = now - self._clocks.wall()
        self._offset = offset if abs(offset) > _SKEW_SECONDS else 0.0

    def _heard(self, bound: Bound, window: Window, standing: Standing) -> None:
        if standing.now is not None:
            self.set_clock(standing.now)
        if self._on_standing is not None:
            self._on_standing(bound, window, standing)

    # The life of the process

    def start(self) -> None:
        """Begin the upkeep."""
        if self._upkeep is None:
            self._upkeep = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while not self._ending.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._ending.wait()
            await self.tend()

    async def tend(self) -> None:
        """One round of upkeep. A database that does not answer is asked again in the next round."""
        for key, account in tuple(self._accounts.items()):
            with suppress(StorageUnavailable):
                if not await account.tend():
                    self._accounts.pop(key, None)

    async def stop(self) -> None:
        """Give back what is free. What cannot be given back stays reserved until this process's journal is read."""
        self._ending.set()
        if self._upkeep is not None:
            # Asked to end, not cancelled: every talk with the database has an end of its own.
            await asyncio.gather(self._upkeep, return_exceptions=True)
            self._upkeep = None
        for account in tuple(self._accounts.values()):
            with suppress(StorageUnavailable):
                await account.close()
