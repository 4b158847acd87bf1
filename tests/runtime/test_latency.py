"""The moving average that `least_latency` goes by."""

from execution_platform.router.target import Target
from execution_platform.runtime import latency
from execution_platform.runtime.latency import Latencies

FAST, SLOW = Target("a", "fast"), Target("b", "slow")


def test_unseen_targets_are_unknown_and_one_slow_answer_does_not_decide() -> None:
    known = Latencies()
    assert known(FAST, True) is None
    known.note(FAST, 0.1, stream=True)
    known.note(SLOW, 1.0, stream=True)
    known.note(FAST, 2.0, stream=True)
    assert 0.1 < (known(FAST, True) or 0) < (known(SLOW, True) or 0)
    for _ in range(30):
        known.note(FAST, 2.0, stream=True)
    assert (known(FAST, True) or 0) > (known(SLOW, True) or 0)


def test_made_up_targets_do_not_fill_the_memory() -> None:
    known = Latencies()
    for number in range(latency._MOST + 10):
        known.note(Target("a", str(number)), 1.0, stream=True)
    assert len(known._seconds) == latency._MOST
    known.note(Target("a", "0"), 0.5, stream=True)
    assert (known(Target("a", "0"), True) or 1) < 1


def test_a_slow_whole_answer_says_nothing_about_streams() -> None:
    known = Latencies()
    known.note(FAST, 0.1, stream=True)
    known.note(FAST, 9.0, stream=False)
    assert known(FAST, True) == 0.1
    assert known(FAST, False) == 9.0
