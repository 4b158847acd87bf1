"""The attempt loop with scripted targets: what is tried, how often, and that nothing is left behind."""

import asyncio
import itertools
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution_platform.exceptions import (
    ERROR_TABLE,
    CircuitBreakerOpenError,
    ErrorKind,
    ExecutionPlatformError,
    InvalidRequest,
    NotConfigured,
    ProviderError,
    RateLimited,
    RateLimitError,
)
from execution_platform.resilience.board import Board, UpstreamPolicy
from execution_platform.router.attempt import Attempt
from execution_platform.router.chain import Run, first_to_commit
from execution_platform.router.target import Target

QUICK = UpstreamPolicy(base_seconds=1e-6, max_seconds=1e-5)
NAMES = "abcde"
OUTCOMES = st.sampled_from(["ok", *ErrorKind])


def board(*names: str, policy: UpstreamPolicy = QUICK) -> Board:
    return Board(dict.fromkeys(names or NAMES, policy), rng=Random(1))


def targets(names: str) -> list[Target]:
    return [Target(name, "m") for name in names]


class Upstreams:
    """What each target answers, in turn; the last one stays."""

    def __init__(self, **answers: list[str]) -> None:
        self.answers = {name: itertools.chain(given, itertools.repeat(given[-1])) for name, given in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, attempt: Attempt) -> str:
        name = attempt.target.provider
        self.asked.append(name)
        answer = next(self.answers[name])
        await asyncio.sleep(0)
        if answer == "ok":
            return name
        raise ProviderError("no", kind=ErrorKind(answer), status=500)


def inside(known: Board) -> int:
    return sum(known.upstream(name).bulkhead.inside for name in NAMES)


@settings(max_examples=150)
@given(
    names=st.integers(1, 5).map(lambda count: NAMES[:count]),
    answers=st.lists(st.lists(OUTCOMES, min_size=1, max_size=4), min_size=5, max_size=5),
    most=st.integers(1, 5),
    repeats=st.booleans(),
)
def test_whatever_fails_the_allowances_are_kept_and_every_try_is_in_the_record(
    names: str, answers: list[list[str]], most: int, repeats: bool
) -> None:
    """R4: never more tries than allowed, at one target no more than its own, and a repetition only where the table allows."""

    async def run() -> None:
        known = board()
        upstreams = Upstreams(**dict(zip(NAMES, answers, strict=True)))
        record = Run(known, most=most, repeats=repeats)
        try:
            winner = await first_to_commit(targets(names), upstreams, record)
        except ExecutionPlatformError as error:
            assert record.winner is None
            assert error is record.tried[-1].error
            last = record.tried[-1]
            assert [one.status for one in record.tried] == ["failed"] * len(record.tried)
            if error.failover and len(record.tried) < most:
                assert set(upstreams.asked) == set(names), "nobody was left out"
                assert last.error is not None
        else:
            assert winner == record.tried[-1].target.provider
            assert record.winner is record.tried[-1]
        assert [str(one.target.provider) for one in record.tried] == upstreams.asked
        assert len(record.tried) <= most
        counts = Counter(upstreams.asked)
        assert max(counts.values()) <= (QUICK.attempts if repeats else 1)
        assert upstreams.asked[: len(names)] == list(names)[: len(upstreams.asked)], (
            "untried targets come first, in order"
        )
        for earlier, later in itertools.pairwise(record.tried):
            assert earlier.error is not None
            assert ERROR_TABLE[earlier.error.kind].failover
            if later.why == "retry":
                before = next(
                    one for one in reversed(record.tried[: record.tried.index(later)]) if one.target == later.target
                )
                assert before.error is not None
                assert ERROR_TABLE[before.error.kind].retry
        assert inside(known) == 0

    asyncio.run(run())


def test_targets_that_our_own_limits_refuse_use_up_no_try() -> None:
    async def run() -> None:
        asked: list[str] = []

        async def attempt(one: Attempt) -> str:
            if one.target.provider in "abc":
                raise RateLimited("no")
            asked.append(one.target.provider)
            if one.target.provider == "d":
                raise ProviderError("no", kind=ErrorKind.UNAVAILABLE, status=503)
            return one.target.provider

        record = Run(board(), most=2)
        assert await first_to_commit(targets("abcde"), attempt, record) == "e"
        assert asked == ["d", "e"]
        assert (record.used, len(record.tried)) == (2, 5)
        assert [detour.reason for detour in record.detours] == ["rate_limit"] * 3 + ["unavailable"]

    asyncio.run(run())


def test_targets_that_cool_down_or_are_full_use_up_no_try() -> None:
    async def run() -> None:
        known = board(policy=UpstreamPolicy(concurrency=1))
        known.cool(known.deployment("a", "m"), 60)
        known.deployment("b", "m")
        assert known.upstream("b").bulkhead.try_enter()

        async def attempt(one: Attempt) -> str:
            if one.target.provider == "c":
                raise ProviderError("no", kind=ErrorKind.UNAVAILABLE, status=503)
            return one.target.provider

        record = Run(known, most=2)
        assert await first_to_commit(targets("abcd"), attempt, record) == "d"
        assert [detour.reason for detour in record.detours] == ["cooling_down", "saturated", "unavailable"]

    asyncio.run(run())


def test_an_error_of_the_request_itself_ends_the_search() -> None:
    async def run() -> None:
        async def attempt(_: Attempt) -> str:
            raise InvalidRequest("no")

        record = Run(board())
        with pytest.raises(InvalidRequest):
            await first_to_commit(targets("ab"), attempt, record)
        assert [(one.status, one.sent) for one in record.tried] == [("failed", False)]

    asyncio.run(run())


def test_without_a_target_nothing_is_tried() -> None:
    with pytest.raises(NotConfigured):
        asyncio.run(first_to_commit([], Upstreams(), Run(board())))


def test_the_first_of_a_chain_is_not_the_last_and_the_only_one_is() -> None:
    async def run() -> None:
        seen: list[bool] = []

        async def attempt(tried: Attempt) -> str:
            seen.append(tried.last)
            raise ProviderError("no", kind=ErrorKind.PROTOCOL)

        for names, most in (("ab", 3), ("a", 3), ("abc", 2)):
            with pytest.raises(ProviderError):
                await first_to_commit(targets(names), attempt, Run(board(), most=most))
        assert seen == [False, True, True, False, True]

    asyncio.run(run())


def test_when_all_cool_down_the_refusal_names_the_soonest() -> None:
    async def run() -> None:
        known = board()
        known.cool(known.deployment("a", "m"), 30.0)
        known.cool(known.deployment("b", "m"), 12.0)
        with pytest.raises(RateLimitError) as caught:
            await first_to_commit(targets("ab"), Upstreams(a=["ok"], b=["ok"]), Run(known))
        assert 11 < (caught.value.retry_after or 0) <= 12
        assert "a/m (cooling down), b/m (cooling down)" in caught.value.message
        assert caught.value.status == 429

    asyncio.run(run())


def test_when_all_are_open_one_try_a_second_passes_and_the_others_hear_when_to_come_back() -> None:
    async def run() -> None:
        known = board()
        for name in "ab":
            breaker = known.deployment(name, "m").breaker
            for _ in range(5):
                breaker.fail(breaker.allow(known.clock()), known.clock())
        upstreams = Upstreams(a=["server"], b=["server"])
        results = await asyncio.gather(
            *(first_to_commit(targets("ab"), upstreams, Run(known)) for _ in range(10)), return_exceptions=True
        )
        assert sorted(upstreams.asked) == ["a", "b"]
        refused = [error for error in results if isinstance(error, CircuitBreakerOpenError)]
        assert len(refused) == 8, "one request at each"
        assert all(error.status == 503 and 1 <= (error.retry_after or 0) <= 5 for error in refused)

    asyncio.run(run())


@pytest.mark.parametrize("moment", range(12))
def test_a_race_that_is_cancelled_at_any_moment_leaves_nothing_behind(moment: int) -> None:
    """R16."""

    async def run() -> None:
        known = board()
        closed: list[str] = []
        opened: list[str] = []

        async def attempt(tried: Attempt) -> str:
            for _ in range(2 if tried.why == "hedge" else 4):
                await asyncio.sleep(0)
            opened.append(tried.target.provider)
            tried.keeps = True
            tried.discard = lambda: closed.append(tried.target.provider)
            return tried.target.provider

        record = Run(known, hedge=lambda _: 0.0)
        racing = asyncio.create_task(first_to_commit(targets("ab"), attempt, record))
        for _ in range(moment):
            await asyncio.sleep(0)
        racing.cancel()
        await asyncio.gather(racing, return_exceptions=True)
        if racing.cancelled():
            assert sorted(closed) == sorted(opened)
            assert inside(known) == 0
            assert all(one.status in {"hedge_loser", "cancelled"} for one in record.tried)
        else:
            winner = record.winner
            assert winner is not None
            assert winner.target.provider not in closed
            winner.leave()
            assert inside(known) == 0

    asyncio.run(run())


def test_both_racers_that_commit_at_once_leave_one() -> None:
    async def run() -> None:
        known = board()
        closed: list[str] = []
        both = asyncio.Event()

        async def attempt(tried: Attempt) -> str:
            if tried.why == "hedge":
                both.set()
            await both.wait()
            tried.keeps = True

            async def close() -> None:
                closed.append(tried.target.provider)

            tried.discard = close
            return tried.target.provider

        record = Run(known, hedge=lambda _: 0.0)
        winner = await first_to_commit(targets("ab"), attempt, record)
        assert record.winner is not None
        assert {winner, *closed} == {"a", "b"}
        assert inside(known) == 1
        assert sorted(one.status for one in record.tried) == ["hedge_loser", "ok"]

    asyncio.run(run())


def test_a_wait_that_grows_while_somebody_waits_is_kept_too() -> None:
    """R5."""

    async def run() -> None:
        known = board(policy=UpstreamPolicy(base_seconds=1e-6, max_seconds=5.0))
        deployment = known.deployment("a", "m")
        asked: list[float] = []

        async def attempt(_: Attempt) -> str:
            asked.append(known.clock())
            if len(asked) == 1:
                asyncio.get_running_loop().call_later(0.01, known.cool, deployment, 0.06)
                raise ProviderError("no", kind=ErrorKind.RATE_LIMIT, status=429, retry_after=0.03)
            return "ok"

        assert await first_to_commit(targets("a"), attempt, Run(known)) == "ok"
        assert len(asked) == 2
        assert asked[1] >= deployment.cooldown.until

    asyncio.run(run())
