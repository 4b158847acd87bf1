"""The circuit breaker, step by step and as a state machine against a plain model of its rules."""

from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from execution_platform.resilience.breaker import Breaker

ALWAYS_LONGEST = type("Longest", (Random,), {"uniform": lambda self, low, high: high})()


def breaker(**limits: float) -> Breaker:
    return Breaker(rng=ALWAYS_LONGEST, **limits)


def fails(subject: Breaker, count: int, now: float) -> None:
    for _ in range(count):
        subject.fail(subject.allow(now), now)


def succeeds(subject: Breaker, count: int, now: float) -> None:
    for _ in range(count):
        subject.succeed(subject.allow(now), now)


def test_it_opens_at_the_fifth_failure_and_lets_nothing_pass_for_five_seconds() -> None:
    subject = breaker()
    fails(subject, 4, 100.0)
    assert subject.state(100.0) == "closed"
    fails(subject, 1, 100.0)
    assert subject.state(100.0) == "open"
    assert subject.wait(100.0) == 5.0
    assert not subject.allow(104.9)
    assert subject.allow(105.0)


def test_failures_that_are_less_than_half_of_the_samples_do_not_open_it() -> None:
    subject = breaker()
    for _ in range(20):
        succeeds(subject, 3, 100.0)
        fails(subject, 2, 100.0)
    assert subject.state(100.0) == "closed"
    succeeds(subject, 1, 100.0)


def test_a_busy_deployment_that_dies_opens_it_by_the_streak_and_not_only_by_the_share() -> None:
    subject = breaker()
    succeeds(subject, 3000, 100.0)
    fails(subject, 9, 101.0)
    assert subject.state(101.0) == "closed"
    fails(subject, 1, 101.0)
    assert subject.state(101.0) == "open"


def test_old_failures_leave_the_window() -> None:
    subject = breaker()
    fails(subject, 4, 100.0)
    fails(subject, 1, 131.0)
    assert subject.state(131.0) == "closed"


def test_traffic_comes_back_by_one_probe_then_a_tenth_then_all_of_it() -> None:
    subject = breaker()
    fails(subject, 5, 100.0)
    probe = subject.allow(105.0)
    assert probe
    assert not subject.allow(105.0), "one probe at a time"
    subject.succeed(probe, 105.1)
    share: list[int] = []
    for _ in range(40):
        permit = subject.allow(105.2)
        if permit:
            share.append(permit)
        else:
            subject.turned_away()
    assert len(share) == 4
    assert subject.state(105.2) == "half_open"
    for permit in [*share, subject.allow(105.2) or share[0]]:
        subject.succeed(permit, 105.3)
    assert subject.state(105.3) == "closed"


def test_a_tenth_of_little_traffic_is_enough_after_two_seconds_without_a_failure() -> None:
    subject = breaker()
    fails(subject, 5, 100.0)
    subject.succeed(subject.allow(105.0), 105.0)
    assert subject.allow(107.0)
    assert subject.state(107.0) == "closed"


def test_a_probe_that_fails_opens_it_again_and_one_without_a_verdict_makes_room_for_the_next() -> None:
    subject = breaker()
    fails(subject, 5, 100.0)
    subject.void(subject.allow(105.0))
    probe = subject.allow(105.0)
    assert probe
    subject.fail(probe, 105.0)
    assert subject.state(105.0) == "open"


def test_after_an_outage_of_a_minute_the_next_probe_is_never_more_than_eight_seconds_away() -> None:
    """R3: traffic is back within ten seconds, with two of them for the tenth."""
    subject = breaker()
    now = 1000.0
    fails(subject, 5, now)
    while now < 1060.0:
        assert subject.wait(now) <= 8.0
        now += subject.wait(now)
        subject.fail(subject.allow(now), now)
    assert subject.wait(now) <= 8.5


def test_a_long_outage_is_probed_no_more_often_than_the_configured_time() -> None:
    subject = breaker(open_seconds=60.0)
    now = 0.0
    fails(subject, 5, now)
    while now < 3600.0:
        now += subject.wait(now)
        subject.fail(subject.allow(now), now)
    assert subject.wait(now) == 60.0


def test_results_of_calls_that_began_before_the_outage_neither_end_nor_prolong_it() -> None:
    subject = breaker()
    early = [subject.allow(100.0) for _ in range(3)]
    fails(subject, 5, 100.0)
    subject.succeed(early[0], 100.5)
    assert subject.state(100.5) == "open"
    probe = subject.allow(105.0)
    subject.fail(early[1], 105.0)
    assert subject.state(105.0) == "half_open"
    subject.succeed(probe, 105.0)
    subject.fail(early[2], 105.0)
    assert subject.state(105.0) == "half_open"


def test_an_answer_of_last_resort_ends_the_outage() -> None:
    subject = breaker()
    fails(subject, 5, 100.0)
    subject.succeed(subject.force(), 101.0)
    assert subject.state(101.0) == "half_open"


@pytest.mark.parametrize("state", ["closed", "open"])
def test_what_another_replica_says_is_taken_over_and_not_told_again(state: str) -> None:
    told: list[object] = []
    subject = Breaker(changed=lambda *change: told.append(change))
    subject.hold(130.0, 100.0)
    assert (subject.state(100.0), subject.wait(100.0)) == ("open", 30.0)
    if state == "closed":
        subject.release()
        assert subject.allow(100.0)
    assert told == []


class BreakerRules(RuleBasedStateMachine):
    """Any order of tries, results and pauses keeps the promises of the three states."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.subject = Breaker(rng=Random(1))
        self.pending: list[int] = []
        self.opened_at = 0.0

    @rule(seconds=st.floats(0.0, 40.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def ask(self) -> None:
        before, wait = self.subject.state(self.now), self.subject.wait(self.now)
        permit = self.subject.allow(self.now)
        if before == "closed":
            assert permit
        if wait:
            assert not permit
        else:
            assert permit, "who says that a try may pass lets it pass"
        if permit:
            self.pending.append(permit)
        else:
            self.subject.turned_away()

    @precondition(lambda self: self.pending)
    @rule(place=st.integers(0, 5), end=st.sampled_from(["succeed", "fail", "void", "answered"]))
    def end(self, place: int, end: str) -> None:
        permit = self.pending.pop(place % len(self.pending))
        before = self.subject.state(self.now)
        if end == "void":
            self.subject.void(permit)
        else:
            getattr(self.subject, end)(permit, self.now)
        if end != "fail" and before == "closed":
            assert self.subject.state(self.now) == "closed", "only failures open"
        if before == "open":
            assert self.subject.state(self.now) in {"open", "half_open"}

    @invariant()
    def is_never_shut_for_long(self) -> None:
        assert self.subject.wait(self.now) <= 60.0

    @invariant()
    def a_probe_without_news_is_the_only_one(self) -> None:
        if self.subject.state(self.now) == "half_open" and not self.subject._passed:
            assert sum(permit == self.subject._permit for permit in self.pending) <= 1


TestBreakerRules = BreakerRules.TestCase
