"""The board: what outlives snapshots, what replicas tell each other, and the bulkhead."""

import asyncio
from random import Random

from execution_platform.resilience.board import Board, Key, UpstreamPolicy
from execution_platform.resilience.bulkhead import Bulkhead
from execution_platform.resilience.quantile import Quantile


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def boards() -> tuple[Board, Clock, Clock]:
    clock, wall = Clock(100.0), Clock(1_700_000_000.0)
    return Board({"a": UpstreamPolicy()}, clock=clock, wall=wall, rng=Random(1)), clock, wall


def opened(board: Board, model: str = "m") -> None:
    breaker = board.deployment("a", model).breaker
    for _ in range(5):
        breaker.fail(breaker.allow(board.clock()), board.clock())


def test_a_change_is_told_in_seconds_since_the_epoch_and_another_board_takes_it_over() -> None:
    here, _, _ = boards()
    there, clock, wall = boards()
    wall.now += 1.0
    here.on_change.append(there.apply)
    told: list[object] = []
    there.on_change.append(lambda *change: told.append(change))
    opened(here)
    here.cool(here.deployment("a", "n"), 7.0)
    assert there.deployment("a", "m").refusal(clock.now) == "breaker_open"
    assert 2.0 < there.deployment("a", "m").wait(clock.now) <= 4.0
    assert there.deployment("a", "n").wait(clock.now) == 6.0
    assert there.deployment("a", "o").refusal(clock.now) is None
    there.apply(Key("a", "m"), "closed", 0.0)
    assert told == [], "what was applied is not told again"
    assert there.deployment("a", "m").refusal(clock.now) is None


def test_a_wait_of_a_thousand_million_seconds_ends_after_an_hour() -> None:
    board, clock, _ = boards()
    board.cool(board.deployment("a", "m"), 1e9)
    assert board.deployment("a", "m").wait(clock.now) == 3600.0


def test_a_shorter_wait_does_not_end_a_longer_one() -> None:
    board, clock, _ = boards()
    board.cool(board.deployment("a", "m"), 9.0)
    board.cool(board.deployment("a", "m"), 1.0)
    assert board.deployment("a", "m").wait(clock.now) == 9.0


def test_what_was_learned_outlives_a_configuration_that_keeps_the_upstream() -> None:
    board, clock, _ = boards()
    opened(board)
    board.configure({"a": UpstreamPolicy(concurrency=2, failure_threshold=1)})
    assert board.deployment("a", "m").refusal(clock.now) == "breaker_open"
    assert board.upstream("a").bulkhead.limit == 2
    other = board.deployment("a", "n").breaker
    other.fail(other.allow(clock.now), clock.now)
    assert other.state(clock.now) == "open"
    board.configure({"a": UpstreamPolicy(identity="another address")})
    assert board.deployment("a", "m").refusal(clock.now) is None


def test_the_number_of_deployments_is_bounded_and_those_with_a_state_stay() -> None:
    board = Board(clock=Clock(100.0), most=10)
    opened(board, "important")
    for number in range(1000):
        board.deployment("a", f"made-up-{number}")
    assert len(board.views()) == 10
    assert [view.key.model for view in board.views() if view.breaker == "open"] == ["important"]


def test_the_95th_percentile_is_unknown_at_first_and_follows_the_newest() -> None:
    subject = Quantile()
    for _ in range(19):
        subject.note(1.0)
    assert subject.p95() is None
    subject.note(9.0)
    assert subject.p95() == 9.0
    for _ in range(64):
        subject.note(2.0)
    assert subject.p95() == 2.0


def test_those_who_wait_at_a_bulkhead_are_served_in_order() -> None:
    async def run() -> None:
        subject = Bulkhead(1)
        assert await subject.enter(0)
        order: list[int] = []

        async def wait(number: int) -> None:
            assert await subject.enter(5)
            order.append(number)
            subject.leave()

        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(wait(number))
            await asyncio.sleep(0)
            subject.leave()
        assert order == [0, 1, 2, 3, 4]
        assert (subject.inside, subject.waiting) == (0, 0)

    asyncio.run(run())


def test_who_waits_too_long_or_is_cancelled_leaves_nothing_behind() -> None:
    async def run() -> None:
        subject = Bulkhead(1)
        assert subject.try_enter()
        assert not await subject.enter(0.001)
        waiting = asyncio.create_task(subject.enter(5))
        await asyncio.sleep(0)
        subject.leave()  # the place is given in the moment in which its taker is cancelled
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert (subject.inside, subject.waiting) == (0, 0)
        assert subject.try_enter()

    asyncio.run(run())


def test_a_larger_limit_lets_waiters_in() -> None:
    async def run() -> None:
        subject = Bulkhead(1)
        assert subject.try_enter()
        waiting = asyncio.create_task(subject.enter(5))
        await asyncio.sleep(0)
        subject.resize(2)
        assert await waiting

    asyncio.run(run())
