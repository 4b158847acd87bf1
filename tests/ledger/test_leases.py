"""Slices of budgets as a state machine: two processes over one database never spend more than there is."""

import asyncio
import itertools
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from execution_platform.ledger.budgets import NOTHING, Amount, Bound
from execution_platform.ledger.leases import SyncRequest, grant
from execution_platform.ledger.periods import Window, window
from execution_platform.storage.engine import Storage
from ledger.budget_setting import ACME, Clock, Process, Try, monthly, opened, process, sqlite

CAP = Amount(1000, 500)
AMOUNTS = st.builds(Amount, st.integers(0, 120), st.integers(0, 60))


class Budgets(RuleBasedStateMachine):
    """Reserve, settle below or above the reservation, deliver, tend, crash, turn the month, approve."""

    tries = Bundle("tries")

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.opening = opened(sqlite(Path(self.folder.name)))
        self.storage: Storage = self.loop.run_until_complete(self.opening.__aenter__())
        self.clock = Clock()
        self.processes = [self.new(), self.new()]
        self.crashed: list[Process] = []
        self.open: list[Try] = []
        self.overrun = NOTHING
        self.month_start = self.clock.wall
        self.windows: dict[int, Amount] = {}
        self.refusals = itertools.count()

    def new(self) -> Process:
        return process(self.storage, [monthly(CAP.nanos, CAP.tokens)], self.clock.clocks())

    def end(self, one: Try, cost: Amount) -> None:
        async def on_the_loop() -> None:
            one.end(cost)

        self.loop.run_until_complete(on_the_loop())

    def window(self) -> Window:
        bound = self.bound()
        return window(bound.period, self.clock.wall, bound.zone)

    def bound(self) -> Bound:
        return self.processes[0].keeper.rules.binding(ACME)[0]

    def teardown(self) -> None:
        for one in self.processes:
            self.loop.run_until_complete(one.keeper.stop())
        self.loop.run_until_complete(self.opening.__aexit__(None, None, None))
        self.loop.close()
        self.folder.cleanup()

    @rule(target=tries, number=st.integers(0, 1), amount=AMOUNTS)
    def reserve(self, number: int, amount: Amount) -> object:
        found = self.loop.run_until_complete(self.processes[number].begin(ACME, amount))
        if found is None:
            return multiple()
        self.open.append(found)
        return found

    @rule(number=st.integers(0, 1), amounts=st.lists(AMOUNTS, min_size=2, max_size=6), target=tries)
    def reserve_together(self, number: int, amounts: list[Amount]) -> object:
        async def all_at_once() -> list[Try | None]:
            return await asyncio.gather(*(self.processes[number].begin(ACME, amount) for amount in amounts))

        found = [one for one in self.loop.run_until_complete(all_at_once()) if one is not None]
        self.open += found
        return multiple(*found)

    @rule(one=consumes(tries), share=st.floats(0, 1))
    def settle(self, one: Try, share: float) -> None:
        if one in self.open:
            self.open.remove(one)
            held = one.hold.amount
            self.end(one, Amount(int(held.nanos * share), int(held.tokens * share)))

    @rule(one=consumes(tries), more=st.integers(1, 50))
    def overrun_a_reservation(self, one: Try, more: int) -> None:
        """A provider charges more than the worst case that was held: the only way above a cap."""
        if one in self.open:
            self.open.remove(one)
            self.end(one, one.hold.amount.plus(Amount(more, more)))
            self.overrun = self.overrun.plus(Amount(more, more))

    @rule(number=st.integers(0, 1))
    def deliver(self, number: int) -> None:
        self.loop.run_until_complete(self.processes[number].deliver())

    @rule(number=st.integers(0, 1), seconds=st.sampled_from([0.5, 3.0, 6.0]))
    def tend(self, number: int, seconds: float) -> None:
        self.clock.advance(seconds)
        self.loop.run_until_complete(self.processes[number].keeper.tend())

    @rule(number=st.integers(0, 1))
    def crash(self, number: int) -> None:
        """The process is gone, its tries were sent all the same; another one takes its place."""
        gone = self.processes[number]
        for one in [one for one in self.open if one.process is gone]:
            self.open.remove(one)
            self.end(one, one.hold.amount)
        self.crashed.append(gone)
        self.processes[number] = self.new()

    @precondition(lambda self: bool(self.crashed))
    @rule()
    def read_the_journal_of_a_crashed_process(self) -> None:
        gone = self.crashed.pop()
        self.loop.run_until_complete(gone.deliver())
        self.loop.run_until_complete(self.processes[0].store.close_worker(gone.keeper.worker))

    def everyone(self) -> list[Process]:
        return [*self.processes, *self.crashed]

    @invariant()
    def never_more_than_there_is(self) -> None:
        """R21: what was spent and what is held stay within the cap, but for what providers charged beyond a reservation."""
        if not hasattr(self, "storage"):
            return
        events = [event for one in self.everyone() for event in one.events]
        state = self.loop.run_until_complete(
            self.processes[0].store.windows([("tenant:acme", "monthly", self.window().start)])
        )
        spent = state[0].spent if state else NOTHING
        for event in events:
            counts = event.settlement.counts
            spent = spent.plus(Amount(event.settlement.cost_nanos, counts.input_tokens + counts.output_tokens))
        held = NOTHING
        for one in self.open:
            held = held.plus(one.hold.amount)
        assert CAP.plus(self.overrun).covers(spent.plus(held))
        if state:
            assert state[0].reserved.plus(self.overrun).covers(held)


Budgets.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestBudgets = Budgets.TestCase


def asked(needs: Amount, cushion: Amount, keep: Amount = NOTHING) -> SyncRequest:
    budget = monthly(1000, None)
    from execution_platform.ledger.budgets import Rules

    (bound,) = Rules([budget]).binding(ACME)
    return SyncRequest("l", "w", bound, Window(0, 1), NOTHING, NOTHING, keep, needs, cushion)


def test_a_slice_has_a_cushion_where_there_is_plenty() -> None:
    give, limited = grant(asked(Amount(10, 5), Amount(20, 0)), Amount(1000, 0))
    assert give == Amount(25, 0)  # tokens are not limited, so none are given
    assert not limited


def test_near_the_cap_a_slice_is_one_request() -> None:
    assert grant(asked(Amount(10, 0), Amount(400, 0)), Amount(20, 0)) == (Amount(10, 0), True)
    assert grant(asked(Amount(10, 0), Amount(400, 0)), Amount(7, 0)) == (Amount(7, 0), True)
    assert grant(asked(Amount(10, 0), Amount(400, 0)), Amount(-5, 0)) == (Amount(0, 0), True)


def test_what_is_free_already_is_never_taken_back() -> None:
    assert grant(asked(Amount(10, 0), Amount(0, 0), keep=Amount(50, 0)), Amount(3, 0)) == (Amount(50, 0), True)
