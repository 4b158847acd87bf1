"""The retry budget: a fifth of the requests, or three a second (R4)."""

from hypothesis import given
from hypothesis import strategies as st

from execution_platform.resilience.budget import RetryBudget


class Clock:
    now = 500.0

    def __call__(self) -> float:
        return self.now


def spent(budget: RetryBudget, wanted: int, tenant: str = "t", upstream: str = "u") -> int:
    return sum(budget.spend(tenant, upstream) for _ in range(wanted))


def test_a_burst_of_requests_may_repeat_a_fifth_of_them() -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    for _ in range(100):
        budget.offered("t", "u", clock.now)
    assert spent(budget, 300) == 20


def test_a_quiet_tenant_may_retry_three_times_a_second() -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    for _ in range(10):
        budget.offered("t", "u", clock.now)
        assert spent(budget, 10) == 3
        clock.now += 1.0


def test_tenants_and_upstreams_do_not_spend_each_others_retries() -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    budget.offered("t", "u", clock.now)
    assert spent(budget, 9) == 3
    assert spent(budget, 9, tenant="other") == 3
    assert spent(budget, 9, upstream="other") == 3


def test_the_number_of_accounts_is_bounded() -> None:
    budget = RetryBudget(Clock(), most=10)
    for number in range(50):
        budget.offered("t", f"u{number}", 500.0)
    assert len(budget._accounts) == 10


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(0, 40), st.integers(0, 40)), max_size=60))
def test_whatever_is_asked_the_last_ten_seconds_hold_at_most_the_larger_of_both(
    turns: list[tuple[float, int, int]],
) -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    offered: list[float] = []
    repeated: list[float] = []
    for pause, requests, wanted in turns:
        clock.now += pause
        for _ in range(requests):
            budget.offered("t", "u", clock.now)
            offered.append(clock.now)
        repeated += [clock.now] * spent(budget, wanted)
        recent = sum(at > clock.now - 10 for at in offered)
        # The window forgets by whole seconds, and what it forgets was allowed when it was taken.
        assert sum(at > clock.now - 9 for at in repeated) <= max(0.2 * sum(at > clock.now - 19 for at in offered), 30)
        assert recent >= 0
