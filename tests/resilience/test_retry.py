"""The planner: facts in, one decision out."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform.exceptions import ERROR_TABLE, ErrorKind, ExecutionPlatformError, InvalidRequest, ProviderError
from execution_platform.resilience.backoff import pause
from execution_platform.resilience.board import Board, UpstreamPolicy
from execution_platform.resilience.retry import Bounds, Option, Step, last_resort, next_step

PLENTY = Bounds(3, 300.0)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def board(*, attempts: int = 3, most: float = 16.0) -> Board:
    policy = UpstreamPolicy(attempts=attempts, max_seconds=most)
    return Board({"a": policy, "b": policy, "c": policy}, clock=Clock(), rng=Random(1))


def chain(known: Board, *names: str) -> list[Option]:
    return [Option(known.deployment(name, "m")) for name in names]


def failed(option: Option, kind: ErrorKind = ErrorKind.SERVER, *, tries: int = 1) -> Option:
    option.tries, option.error = tries, ProviderError("no", kind=kind)
    return option


def plan(options: list[Option], bounds: Bounds = PLENTY, *, affordable: bool = True) -> Step | None:
    return next_step(options, bounds, now=100.0, affords=lambda _: affordable, rng=Random(1))


def test_the_first_target_comes_first_and_an_untried_one_before_a_repetition() -> None:
    a, b = chain(board(), "a", "b")
    assert plan([a, b]) == Step(a, 0.0, "first")
    failed(a)
    assert plan([a, b]) == Step(b, 0.0, "failover")


def test_where_all_were_tried_the_one_that_is_free_soonest_is_asked_again() -> None:
    known = board()
    a, b = chain(known, "a", "b")
    failed(a, ErrorKind.RATE_LIMIT)
    failed(b)
    known.cool(a.deployment, 7.0)
    step = plan([a, b])
    assert step is not None
    assert (step.option, step.why) == (b, "retry")
    assert 0 <= step.after <= 1.0


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_only_what_the_error_table_allows_is_asked_again(kind: ErrorKind) -> None:
    (a,) = chain(board(), "a")
    assert (plan([failed(a, kind)]) is not None) == ERROR_TABLE[kind].retry


def test_a_quota_is_no_rate_limit() -> None:
    (a,) = chain(board(), "a")
    assert plan([failed(a, ErrorKind.RATE_LIMIT)]) is not None
    assert plan([failed(a, ErrorKind.QUOTA)]) is None


@pytest.mark.parametrize(
    ("bounds", "affordable", "tries"),
    [
        (Bounds(0, 300.0), True, 1),
        (Bounds(2, 0.0), True, 1),
        (Bounds(2, 300.0, repeats=False), True, 1),
        (PLENTY, False, 1),
        (PLENTY, True, 3),
    ],
    ids=["no tries left", "deadline over", "the client repeats by itself", "no budget", "tried often enough"],
)
def test_nothing_is_asked_again_beyond_an_allowance(bounds: Bounds, affordable: bool, tries: int) -> None:
    (a,) = chain(board(), "a")
    assert plan([failed(a, tries=tries)], bounds, affordable=affordable) is None


@pytest.mark.parametrize(
    ("wait", "left", "asked"), [(7.0, 300.0, True), (7.0, 5.0, False), (17.0, 300.0, False), (1e9, 1e12, False)]
)
def test_a_wait_the_provider_asked_for_is_kept_or_rules_the_target_out(wait: float, left: float, asked: bool) -> None:
    """R5."""
    known = board()
    (a,) = chain(known, "a")
    failed(a, ErrorKind.RATE_LIMIT)
    known.cool(a.deployment, wait)
    step = plan([a], Bounds(2, left))
    assert (step is not None) == asked
    if step is not None:
        assert wait <= step.after <= wait * 1.1 + 0.01


def test_our_own_refusals_are_not_repeated() -> None:
    (a,) = chain(board(), "a")
    a.tries, a.error = 1, InvalidRequest("no")
    assert plan([a]) is None
    assert isinstance(a.error, ExecutionPlatformError)


def test_a_target_behind_an_open_breaker_is_passed_over_and_is_the_last_resort() -> None:
    a, b = chain(board(), "a", "b")
    for _ in range(5):
        a.deployment.breaker.fail(a.deployment.breaker.allow(100.0), 100.0)
    assert plan([a, b]) == Step(b, 0.0, "failover")
    assert last_resort([a, b], PLENTY, now=100.0) is a
    assert last_resort([a, b], Bounds(0, 300.0), now=100.0) is None


def test_the_last_resort_is_rationed_and_never_breaks_a_wait() -> None:
    known = board()
    a, b = chain(known, "a", "b")
    for option in (a, b):
        for _ in range(5):
            option.deployment.breaker.fail(option.deployment.breaker.allow(100.0), 100.0)
    known.cool(a.deployment, 3.0)
    assert last_resort([a, b], PLENTY, now=100.0) is b
    assert b.deployment.ration(100.0)
    assert not b.deployment.ration(100.9)
    assert b.deployment.ration(101.0)
    assert not a.deployment.ration(100.0)


@given(st.integers(1, 40), st.floats(0.01, 5), st.floats(0.01, 60), st.randoms(use_true_random=False))
def test_pauses_are_below_their_doubling_bound(retry: int, base: float, most: float, rng: Random) -> None:
    assert 0 <= pause(retry, base, most, rng) <= min(most, base * 2 ** (retry - 1))


def test_the_usual_bounds_are_1_2_4_8_16() -> None:
    class Highest(Random):
        def random(self) -> float:
            return 1.0

    assert [pause(retry, 1.0, 16.0, Highest()) for retry in range(1, 7)] == [1, 2, 4, 8, 16, 16]
