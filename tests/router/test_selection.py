import hashlib
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
STRATEGIES = ["priority", "weighted", "sticky", "least_latency", "lowest_cost"]


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
    assert order([A, B, C], "least_latency", rng=Random(0), latency=lambda target, _: seen.get(target)) == (C, B, A)


def test_least_latency_keeps_streams_and_whole_answers_apart():
    seen = {(A, True): 0.1, (B, True): 0.2, (A, False): 9.0, (B, False): 3.0}

    def latency(target, stream):
        return seen.get((target, stream))

    assert order([A, B], "least_latency", rng=Random(0), latency=latency, stream=True) == (A, B)
    assert order([A, B], "least_latency", rng=Random(0), latency=latency, stream=False) == (B, A)


def test_lowest_cost_tries_the_cheapest_first_and_the_unpriced_last():
    prices = {A: Decimal("0.2"), C: Decimal("0.1")}
    assert order([A, B, C], "lowest_cost", rng=Random(0), price=prices.get) == (C, A, B)


def test_equal_targets_keep_the_listed_order():
    assert order([B, A, C], "lowest_cost", rng=Random(0)) == (B, A, C)
    assert order([B, A, C], "least_latency", rng=Random(0)) == (B, A, C)


def keyed(key: str | None, *, given: bool = True):
    """A conversation whose key the caller gave, or that is only known by its words."""
    return lambda derived: None if key is None or not (given or derived) else hashlib.sha256(key.encode()).digest()[:16]


def test_sticky_gives_a_conversation_the_same_order_everywhere():
    targets = [Target("p", str(number), 1 + number % 3) for number in range(6)]
    for key in map(str, range(50)):
        orders = {
            order(shuffled(targets, seed), "sticky", rng=Random(seed), conversation=keyed(key, given=seed % 2 == 0))
            for seed in range(4)
        }
        assert len(orders) == 1


def shuffled(targets: list[Target], seed: int) -> list[Target]:
    return Random(seed).sample(targets, len(targets))


@pytest.mark.parametrize("weights", [(3, 1), (1, 1, 1), (99, 1)])
def test_sticky_respects_weights_over_many_conversations(weights):
    targets = [Target("p", str(number), weight) for number, weight in enumerate(weights)]
    rng = Random(0)
    first = Counter(order(targets, "sticky", rng=rng, conversation=keyed(str(n)))[0] for n in range(10_000))
    for target in targets:
        assert abs(first[target] / 10_000 - target.weight / sum(weights)) < 0.02


@given(st.text(min_size=1), st.integers(0, 4))
def test_without_a_target_only_its_own_conversations_move(key, gone):
    targets = [Target("p", str(number), 1 + number) for number in range(5)]
    whole = order(targets, "sticky", rng=Random(0), conversation=keyed(key))
    left = order([each for each in targets if each != targets[gone]], "sticky", rng=Random(0), conversation=keyed(key))
    assert left == tuple(each for each in whole if each != targets[gone])


def test_a_heavier_target_only_gains_conversations():
    light = [Target("p", "a", 5), Target("p", "b", 5)]
    heavy = [Target("p", "a", 5), Target("p", "b", 8)]
    for key in map(str, range(500)):
        before = order(light, "sticky", rng=Random(0), conversation=keyed(key))[0]
        after = order(heavy, "sticky", rng=Random(0), conversation=keyed(key))[0]
        assert before == after or after.model == "b"


def test_sticky_without_a_key_gives_shares_by_chance():
    targets = [Target("p", "a", 3), Target("p", "b", 1)]
    rng = Random(5)
    first = Counter(order(targets, "sticky", rng=rng)[0].model for _ in range(4000))
    assert abs(first["a"] / 4000 - 0.75) < 0.03


ARMS = [
    Target("p", "old", 60, arm="control", via="fast"),
    Target("q", "old", 35, arm="control", via="fast"),
    Target("p", "new", 5, arm="canary", via="fast"),
]


@pytest.mark.parametrize("strategy", ["weighted", "sticky"])
@pytest.mark.parametrize("known", [True, False])
def test_an_arm_gets_the_share_of_its_members(strategy, known):
    rng = Random(1)
    drawn = [order(ARMS, strategy, rng=rng, conversation=keyed(str(n) if known else None))[0] for n in range(10_000)]
    assert abs(sum(each.arm == "canary" for each in drawn) / 10_000 - 0.05) < 0.01
    assert abs(sum(each.provider == "q" for each in drawn) / 10_000 - 0.35) < 0.02


def test_a_conversation_stays_on_its_arm_and_falls_back_to_the_other():
    rng = Random(2)
    for key in map(str, range(200)):
        drawn = [order(ARMS, "weighted", rng=rng, conversation=keyed(key)) for _ in range(5)]
        assert len({each[0].arm for each in drawn}) == 1
        assert all(Counter(each) == Counter(ARMS) for each in drawn)
        if drawn[0][0].arm == "control":
            assert [target.arm for target in drawn[0]] == ["control", "control", "canary"]


def test_an_arm_is_held_by_a_given_key_only():
    rng = Random(3)
    words = keyed("the same first words", given=False)
    arms = Counter(order(ARMS, "sticky", rng=rng, conversation=words)[0].arm for _ in range(4000))
    assert abs(arms["canary"] / 4000 - 0.05) < 0.02


def test_experiments_do_not_share_their_sides():
    def on_canary(name: str, key: str) -> bool:
        targets = [Target("p", "old", 50, arm="control", via=name), Target("p", "new", 50, arm="canary", via=name)]
        return order(targets, "weighted", rng=Random(0), conversation=keyed(key))[0].arm == "canary"

    both = sum(on_canary("one", str(n)) and on_canary("two", str(n)) for n in range(2000))
    assert abs(both / 2000 - 0.25) < 0.04
