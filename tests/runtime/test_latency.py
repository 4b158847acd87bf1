"""The moving average that `least_latency` goes by."""

from execution_platform.router.target import Target
from execution_platform.runtime import latency
from execution_platform.runtime.latency import Latencies

FAST, SLOW = Target("a", "fast"), Target("b", "slow")


def test_unseen_targets_are_unknown_and_one_slow_answer_does_not_decide() -> None:
    known = Latencies()
    assert known(FAST) is None
    known.note(FAST, 0.1)
    known.note(SLOW, 1.0)
    known.note(FAST, 2.0)
    assert 0.1 < (known(FAST) or 0) < (known(SLOW) or 0)
    for _ in range(30):
        known.note(FAST, 2.0)
    assert (known(FAST) or 0) > (known(SLOW) or 0)


def test_made_up_targets_do_not_fill_the_memory() -> None:
    known = Latencies()
    for number in range(latency._MOST + 10):
        known.note(Target("a", str(number)), 1.0)
    assert len(known._seconds) == latency._MOST
    known.note(Target("a", "0"), 0.5)
    assert (known(Target("a", "0")) or 1) < 1
