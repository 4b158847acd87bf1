"""The window: never more than the limit in any minute, and the same answers in Lua."""

import math
from importlib.resources import files

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from execution_platform.limits.window import MINUTE, SHARED_SPAN, SLOT, Ceiling, Window

START = 1_700_000_000 * 1_000_000


def admitted(ceiling: Ceiling, times: list[int]) -> list[int]:
    window = Window()
    return [at for at in times if window.take(at, ceiling, 1, 1).granted]


def most_in_a_minute(times: list[int]) -> int:
    """The most grants in any 60 seconds, by every offset that can matter."""
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - MINUTE:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.parametrize("limit", [1, 7, 60, 100, 600, 5000])
def test_a_burst_of_the_whole_limit_passes_and_not_one_more(limit: int) -> None:
    """B9: nothing is won at the edge of a window."""
    ceiling = Ceiling(limit, limit)
    window = Window()
    assert sum(window.take(START, ceiling, 1, 1).granted for _ in range(limit + 5)) == limit
    assert not window.take(START + MINUTE - 1, ceiling, 1, 1).granted
    assert window.take(START + MINUTE + SLOT, ceiling, limit, limit).granted == limit


@pytest.mark.parametrize(("limit", "burst"), [(600, 600), (600, 60), (600, 6), (100, 10), (6000, 600)])
def test_under_three_times_the_limit_any_minute_is_within_it_and_99_percent_is_usable(limit: int, burst: int) -> None:
    """R22 for one process."""
    step = MINUTE // (3 * limit)
    times = admitted(Ceiling(limit, burst), list(range(START, START + 5 * MINUTE, step)))
    assert most_in_a_minute(times) <= limit
    assert len(times) >= 5 * limit * 0.99


@given(st.lists(st.integers(0, 3_000_000), min_size=1, max_size=400), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_no_history_lets_more_than_the_limit_through_in_a_minute(gaps: list[int], limit: int, burst: int) -> None:
    at, times = START, []
    for gap in gaps:
        at += gap
        times.append(at)
    assert most_in_a_minute(admitted(Ceiling(limit, min(limit, burst)), times)) <= limit


@given(st.integers(1, 500), st.integers(1, 500), st.lists(st.integers(0, 500_000), min_size=1, max_size=200))
@settings(max_examples=60, deadline=None)
def test_who_waits_as_long_as_told_is_let_through(limit: int, least: int, gaps: list[int]) -> None:
    window, ceiling, at = Window(), Ceiling(limit, max(1, limit // 3)), START
    for gap in gaps:
        at += gap
        verdict = window.take(at, ceiling, least, least)
        if not verdict.granted:
            assert verdict.wait > 0
            assert window.take(at + verdict.wait, ceiling, least, least).granted == least
            return


def test_more_than_the_limit_ever_holds_is_late_and_not_impossible() -> None:
    window, ceiling = Window(), Ceiling(1000, 1000)
    assert window.take(START, ceiling, 1, 1).granted
    assert not window.take(START, ceiling, 3000, 3000).granted
    rested = START + MINUTE + SLOT
    assert window.take(rested, ceiling, 3000, 3000).granted == 3000
    assert not window.take(rested + MINUTE + SLOT, ceiling, 1, 1).granted  # its debt is three minutes
    assert window.take(rested + 3 * MINUTE, ceiling, 1, 1).granted


def test_what_is_given_back_can_be_taken_again_and_what_is_owed_cannot() -> None:
    window, ceiling = Window(), Ceiling(100, 100)
    taken = window.take(START, ceiling, 100, 100)
    window.give_back(taken.slot, 40)
    assert window.take(START, ceiling, 40, 40).granted == 40
    window.give_back(taken.slot, 1000)
    assert window.used == 0
    window.owe(START, 10, 70, ceiling)
    assert window.take(START, ceiling, 100, 1).granted == 30


def test_a_clock_set_back_does_not_close_the_limit() -> None:
    """R13: an hour back is forgotten, a moment back is no time at all."""
    window, ceiling = Window(), Ceiling(10, 10)
    assert window.take(START, ceiling, 10, 10).granted == 10
    assert not window.take(START - SLOT, ceiling, 1, 1).granted
    assert window.take(START - 3600 * 1_000_000, ceiling, 1, 1).granted == 1


def test_a_share_is_never_nothing() -> None:
    assert Ceiling(10, 4).share(3) == Ceiling(3, 1)
    assert Ceiling(2, 2).share(5) == Ceiling(1, 1)


# The same in Lua

OPERATIONS = st.lists(
    st.tuples(
        st.one_of(
            st.integers(0, 300_000),
            st.integers(0, 90_000_000),
            st.integers(-400_000, 0),
            st.just(-70_000_000),
            st.sampled_from([SLOT * slots for slots in (1, 2, 256, 257, 258, 259)]),
        ),
        st.sampled_from(["take", "take", "take", "back", "owe"]),
        st.integers(0, 60),
        st.integers(0, 60),
    ),
    min_size=1,
    max_size=40,
)


@given(OPERATIONS, st.integers(1, 50), st.integers(1, 50))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_script_answers_as_the_twin_does(redis_client, operations, limit: int, burst: int) -> None:
    """Differential: random histories in a real Redis and in Python, every answer the same."""
    text = files("execution_platform.limits").joinpath("window.lua").read_text()
    redis_client.flushall()
    window, ceiling, now, slots = Window(SHARED_SPAN), Ceiling(limit, burst), START, [START // SLOT]
    birth = 0
    for gap, what, first, second in operations:
        now = max(1, now + gap)
        want = least = 0
        back: list[int] = []
        owed: list[int] = []
        if what == "take":
            want, least = max(first, second), min(first, second)
        elif what == "back":
            back = [slots[first % len(slots)], second]
            window.give_back(back[0], back[1])
        else:
            owed = [first, second]
            window.owe(now, first, second, ceiling)
        verdict = window.take(now, ceiling, want, least)
        words = [now, limit, burst, want, least, birth, len(back) // 2, *back, len(owed) // 2, *owed]
        [answer] = redis_client.eval(text, 1, "k", *words)
        assert answer[:4] == [verdict.granted, verdict.slot, verdict.used, verdict.wait]
        slots.append(verdict.slot)
        birth = answer[4]
    assert math.isfinite(window.debt)


def test_what_remains_is_what_would_be_granted_at_once() -> None:
    """A pace of one at a time leaves none right after one, whatever the minute still holds."""
    window, ceiling = Window(), Ceiling(60, 1)
    assert window.room(0, ceiling) == 1
    assert window.take(0, ceiling, 1, 1).granted == 1
    assert window.room(0, ceiling) == 0
    assert window.room(MINUTE // 60, ceiling) == 1
    assert Window().room(0, Ceiling(60, 60)) == 60
