from collections import Counter
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform.router.selection import order
from execution_platform.router.target import Target

A, B, C = Target("p", "a"), Target("p", "b"), Target("q", "c")
TARGETS = st.lists(
    st.builds(Target, st.sampled_from("pqr"), st.sampled_from("abcdef"), st.integers(0, 5), st.integers(0, 3)),
    min_size=1,
    max_size=8,
    unique=True,
)
STRATEGIES = ["priority", "weighted", "least_latency", "lowest_cost"]


def test_a_target_is_its_provider_and_model():
    assert str(A) == "p/a"
    assert Target("p", "a", 3, 4) == A
    assert len({Target("p", "a", 3), A}) == 1
    assert A != B


@given(TARGETS, st.sampled_from(STRATEGIES), st.integers())
def test_every_strategy_keeps_every_target(targets, strategy, seed):
    assert Counter(order(targets, strategy, rng=Random(seed))) == Counter(targets)


@given(TARGETS, st.sampled_from(STRATEGIES), st.integers())
def test_the_same_seed_gives_the_same_order(targets, strategy, seed):
    assert order(targets, strategy, rng=Random(seed)) == order(targets, strategy, rng=Random(seed))


@given(TARGETS)
def test_priority_sorts_by_priority_and_keeps_the_listed_order(targets):
    expected = [target for level in range(4) for target in targets if target.priority == level]
    assert list(order(targets, "priority", rng=Random(0))) == expected


@pytest.mark.parametrize("weights", [(3, 1), (1, 1, 1), (5, 3, 2), (10, 1)])
@pytest.mark.parametrize("seed", [1, 2])
def test_weights_are_respected_over_many_draws(weights, seed):
    targets = [Target("p", str(number), weight) for number, weight in enumerate(weights)]
    rng = Random(seed)
    first = Counter(order(targets, "weighted", rng=rng)[0] for _ in range(10_000))
    for target in targets:
        assert abs(first[target] / 10_000 - target.weight / sum(weights)) < 0.02


def test_the_second_choice_follows_the_weights_too():
    targets = [Target("p", "a", 8), Target("p", "b", 1), Target("p", "c", 1)]
    rng = Random(3)
    drawn = [order(targets, "weighted", rng=rng) for _ in range(10_000)]
    seconds = Counter(each[1].model for each in drawn if each[0].model == "a")
    assert abs(seconds["b"] / sum(seconds.values()) - 0.5) < 0.03


def test_weight_zero_is_a_fallback_only():
    targets = [Target("p", "a", 0), Target("p", "b", 1)]
    rng = Random(0)
    assert all(order(targets, "weighted", rng=rng)[0].model == "b" for _ in range(200))


def test_least_latency_tries_the_fastest_first_and_the_unseen_before():
    seen = {A: 0.9, B: 0.2}
    assert order([A, B, C], "least_latency", rng=Random(0), latency=seen.get) == (C, B, A)


def test_lowest_cost_tries_the_cheapest_first_and_the_unpriced_last():
    prices = {A: Decimal("0.2"), C: Decimal("0.1")}
    assert order([A, B, C], "lowest_cost", rng=Random(0), price=prices.get) == (C, A, B)


def test_equal_targets_keep_the_listed_order():
    assert order([B, A, C], "lowest_cost", rng=Random(0)) == (B, A, C)
    assert order([B, A, C], "least_latency", rng=Random(0)) == (B, A, C)
