"""One scope and period in this process: its slices, who waits for room, and its talk with the database.

There is at most one `sync` of an account under way. It speaks for everybody who waited when it began; who comes later is
served by the next one. A slice of a window that is over drains: it takes nothing new, and its lease is closed once every cost
of it has arrived in the books.
"""

import asyncio
import builtins
import math
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from execution_platform.config.outages import Concern, Lost, when
from execution_platform.exceptions import ErrorKind, ExecutionPlatformError
from execution_platform.ledger.budgets import NOTHING, Amount, Bound
from execution_platform.ledger.interfaces import StorageUnavailable
from execution_platform.ledger.leases import BudgetStore, Slice, Standing
from execution_platform.ledger.periods import Window, window

_AWAY = when(Lost.DATABASE, Concern.BUDGET)
_SYNC_SECONDS = 5.0
_REFUSAL_SECONDS = 0.2
"""How long a refusal is believed, so that an exhausted budget costs the database next to nothing."""
_IDLE_SECONDS = 2.0
"""An unused slice goes back after this long; with a tick and a round trip that is well within five seconds."""
_RENEW_SECONDS = 5.0
_FORGET_SECONDS = 600.0
_RETRY_SECONDS = 1.0
"""Pause after a failed attempt to ask ahead, so that a database that is away is not asked by every request."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """Where an account gets the time: of the wall (to choose windows) and of the process (to measure)."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


class Refused(NamedTuple):
    """An account that has no room for a request."""

    bound: Bound
    window: Window
    need: Amount
    standing: Standing | None

    @property
    def lacks_money(self) -> bool:
        """Whether money does not suffice; otherwise it is tokens."""
        standing = self.standing
        if standing is None:
            return self.need.nanos > 0
        return standing.spent.nanos + standing.reserved.nanos + self.need.nanos > standing.cap.nanos


@dataclass(slots=True, eq=False)
class _Waiter:
    need: Amount
    answer: asyncio.Future[Slice | None]


Heard = Callable[[Bound, Window, Standing], None]


class Account:
    """The slices of one scope and period. Not safe to share between event loops."""

    def __init__(
        self, bound: Bound, store: BudgetStore, worker: str, *, clocks: Clocks, now: Callable[[], float], heard: Heard
    ) -> None:
        self.bound = bound
        self.current: Slice | None = None
        self.past: list[Slice] = []
        self.standing: Standing | None = None
        """Of the current window, when the database was last heard."""
        self._store = store
        self._worker = worker
        self._clocks = clocks
        self._now = now
        self._heard = heard
        self._lock = asyncio.Lock()
        self._waiting: deque[_Waiter] = deque()
        self._task: asyncio.Task[None] | None = None
        self._ask_again_at = -math.inf
        self._used_at = clocks.monotonic()

    def at(self, bound: Bound, now: float) -> Slice:
        """The slice for the moment `now`, under the limits of `bound`."""
        current = self.current
        if current is None or not current.window.holds(now):
            current = self._turn(bound, now)
        if self.bound is not bound:
            self.bound = current.bound = bound
            current.limited = False
            current.refused = None
            current.recount()
        return current

    def _turn(self, bound: Bound, now: float) -> Slice:
        """Move to the window of `now`. One that was open before is opened again when the clock went back."""
        wanted = window(bound.period, now, bound.zone)
        if self.current is not None:
            self.past.append(self.current)
        known = next((one for one in self.past if one.window == wanted and not one.closing), None)
        if known is not None:
            self.past.remove(known)
        self.standing = None
        self.current = known or Slice(str(uuid.uuid4()), bound, wanted, self._clocks.monotonic())
        return self.current

    async def obtain(self, bound: Bound, need: Amount) -> Slice | Refused:
        """A slice in which `need` is held from now on. Raises `StorageUnavailable` when the database does not answer."""
        one = self.at(bound, self._now())
        at = self._used_at = self._clocks.monotonic()
        if one.take(need, at):
            return one
        if one.remembers_refusal(need, at):
            return Refused(bound, one.window, need, self.standing)
        waiter = _Waiter(need, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self.ask()
        try:
            found = await waiter.answer
        except asyncio.CancelledError:
            self._withdraw(waiter)
            raise
        return found if found is not None else Refused(bound, one.window, need, self.standing)

    def _withdraw(self, waiter: _Waiter) -> None:
        """Take back the question of a request that is cancelled, or what it was just given."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)
        elif waiter.answer.done() and not waiter.answer.cancelled() and waiter.answer.exception() is None:
            given = waiter.answer.result()
            if given is not None:
                given.settle(waiter.need, NOTHING)

    # The talk with the database

    def ask(self) -> None:
        """Have a sync begin, unless one is under way that will be followed by another anyway."""
        if self._task is None:
            self._task = asyncio.create_task(self._serve())
            self._task.add_done_callback(self._served)

    def ask_ahead(self) -> None:
        """Ask for more before anybody has to wait."""
        if self._task is None and self._clocks.monotonic() >= self._ask_again_at:
            self.ask()

    def _served(self, task: asyncio.Task[None]) -> None:
        self._task = None
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:
            self._fail(tuple(self._waiting), error or StorageUnavailable("the gateway is stopping"))
        elif self._waiting:
            self.ask()

    async def _serve(self) -> None:
        waiting = list(self._waiting)
        one = self.at(self.bound, self._now())
        need = NOTHING
        for waiter in waiting:
            need = need.plus(waiter.need)
        largest = NOTHING
        for waiter in waiting:
            largest = largest.at_least(waiter.need)
        cushion = one.cushion(largest, self._clocks.monotonic())
        try:
            await self._sync(one, need, cushion)
        except ExecutionPlatformError as error:
            self._ask_again_at = self._clocks.monotonic() + _RETRY_SECONDS
            self._fail(waiting, error)
            return
        self._hand_out(one, waiting)

    async def _sync(self, one: Slice, needs: Amount, cushion: Amount, *, give_back: bool = False) -> None:
        # One at a time: what is told is absolute, so an older report must never arrive after a newer one.
        async with self._lock:
            if give_back:
                one.set_aside()  # what goes back must not be taken while the database is being told
            try:
                async with asyncio.timeout(_SYNC_SECONDS):
                    standing = await self._store.sync(one.request(self._worker, needs, cushion))
            except (ExecutionPlatformError, builtins.TimeoutError) as error:
                raise unavailable() from error
            one.synced(standing, cushion, self._clocks.monotonic())
            if one is self.current:
                self.standing = standing
        self._heard(one.bound, one.window, standing)

    def _fail(self, waiting: Sequence[_Waiter], error: BaseException) -> None:
        for waiter in waiting:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            if not waiter.answer.done():
                waiter.answer.set_exception(error)

    def _hand_out(self, one: Slice, waiting: list[_Waiter]) -> None:
        """First come, first served; a smaller request may still fit where a larger did not."""
        at = self._clocks.monotonic()
        for waiter in waiting:
            if waiter not in self._waiting:
                continue
            if one is not self.current:
                return  # the window has turned meanwhile: they are asked again for the new one
            self._waiting.remove(waiter)
            if waiter.answer.done():
                continue
            if one.take(waiter.need, at):
                waiter.answer.set_result(one)
            elif one.limited:
                one.refuse(waiter.need, at + _REFUSAL_SECONDS)
                waiter.answer.set_result(None)
            else:
                self._waiting.append(waiter)  # others were quicker while the database answered; there is more

    # Upkeep

    async def tend(self) -> bool:
        """Renew, give back and close what is due; False when the account can leave memory. Raises `StorageUnavailable`."""
        at = self._clocks.monotonic()
        if self.current is not None and not self.current.window.holds(self._now()):
            self.past.append(self.current)
            self.current = self.standing = None
        if self._task is None:
            for one in tuple(self.past):
                await self._drain(one)
            one = self.current
            if one is not None and self._task is None:
                await self._tend(one, at)
        if self.current is not None and self.current.is_empty and at - self._used_at > _FORGET_SECONDS:
            self.past.append(self.current)
            self.current = None
        return self.current is not None or bool(self.past) or bool(self._waiting)

    async def _tend(self, one: Slice, at: float) -> None:
        idle = at - one.touched_at >= _IDLE_SECONDS or one.limited
        if idle and one.surplus != NOTHING:
            await self._give_back(one)
        elif not one.is_empty and at - one.synced_at >= _RENEW_SECONDS:
            await self._sync(one, NOTHING, NOTHING)

    async def _give_back(self, one: Slice) -> None:
        await self._sync(one, NOTHING, NOTHING, give_back=True)

    async def _drain(self, one: Slice) -> None:
        """Give back what a past window's slice has left; forget it when all its costs are in the books."""
        if one.held != NOTHING:
            return
        if not one.closing:
            one.closing = True
            await self._give_back(one)
        if await self._store.close(one.lease):
            self.past.remove(one)

    async def close(self) -> None:
        """Give everything back, at the end of the process. Raises `StorageUnavailable`."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        for one in self.slices():
            if not one.is_empty:
                await self._give_back(one)

    def slices(self) -> Iterator[Slice]:
        """All leases of the account."""
        if self.current is not None:
            yield self.current
        yield from tuple(self.past)


def unavailable() -> StorageUnavailable:
    """What is told to a request whose budget nobody can check."""
    error = StorageUnavailable(
        "the budget of this request cannot be checked: the database does not answer; try again later",
        code=_AWAY.code,
        retry_after=1.0,
    )
    error.kind = ErrorKind.UNAVAILABLE
    return error
