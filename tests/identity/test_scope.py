"""K3: a key is never wider than the one that made it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform.identity.scope import Scope, covers, holds, narrowed, wider

NOW = datetime(2026, 11, 21, tzinfo=UTC)
MODELS = ["openai/gpt-4o", "openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-pro"]
PATTERNS = [*MODELS, "openai", "openai/*", "anthropic", "gpt-4o", "fast"]

names = st.none() | st.frozensets(st.sampled_from(PATTERNS), max_size=4)
periods = st.none() | st.dictionaries(st.sampled_from(["daily", "monthly"]), st.integers(0, 5), max_size=2)
times = st.none() | st.integers(0, 3).map(lambda days: NOW + timedelta(days=days))
scopes = st.builds(Scope, models=names, personas=names, tools=names, routes=names, budgets=periods, expires=times)


def allowed_models(scope: Scope) -> set[str]:
    return {model for model in MODELS if covers(scope.models, model)}


@given(scopes, scopes)
def test_a_scope_within_another_allows_nothing_the_other_refuses(parent: Scope, child: Scope):
    if wider(parent, child):
        return
    assert allowed_models(child) <= allowed_models(parent)
    for period, most in (parent.budgets or {}).items():
        assert child.budgets is not None
        assert child.budgets[period] <= most
    for days in range(5):
        moment = NOW + timedelta(days=days)
        if parent.is_over(moment):
            assert child.is_over(moment)


@given(scopes)
def test_a_scope_lies_within_itself(scope: Scope):
    assert wider(scope, scope) == []


@given(scopes, scopes, scopes)
def test_depth_does_not_widen(first: Scope, second: Scope, third: Scope):
    if not wider(first, second) and not wider(second, third):
        assert allowed_models(third) <= allowed_models(first)


@pytest.mark.parametrize(
    ("parent", "child", "dimension"),
    [
        (Scope(models=frozenset({"openai"})), Scope(), "models"),
        (Scope(models=frozenset({"openai"})), Scope(models=frozenset({"gpt-4o"})), "models"),
        (Scope(models=frozenset({"openai/gpt-4o"})), Scope(models=frozenset({"openai/*"})), "models"),
        (Scope(personas=frozenset({"reviewer"})), Scope(personas=frozenset({"architect"})), "personas"),
        (Scope(tools=frozenset()), Scope(tools=frozenset({"exec_cmd"})), "tools"),
        (Scope(routes=frozenset({"chat"})), Scope(routes=frozenset({"manage"})), "routes"),
        (Scope(budgets={"daily": 1}), Scope(budgets={"daily": 2}), "budgets"),
        (Scope(budgets={"daily": 1}), Scope(budgets={"monthly": 1}), "budgets"),
        (Scope(expires=NOW), Scope(), "expires"),
    ],
)
def test_a_wider_scope_is_told_by_its_dimension(parent: Scope, child: Scope, dimension: str):
    assert wider(parent, child) == [dimension]


def test_a_key_may_be_narrowed_in_every_dimension():
    child = Scope(
        models=frozenset({"openai/gpt-4o"}),
        personas=frozenset(),
        tools=frozenset(),
        routes=frozenset({"chat"}),
        budgets={"daily": 0},
        expires=NOW,
    )
    assert wider(Scope(), child) == []


@given(scopes, scopes)
def test_what_both_of_two_scopes_allow_is_wider_than_neither(now: Scope, then: Scope):
    both = narrowed(now, then)
    assert allowed_models(both) <= allowed_models(now) & allowed_models(then)
    for kind in ("personas", "tools", "routes"):
        for name in PATTERNS:
            one, other = (holds(getattr(scope, kind), name) for scope in (now, then))
            assert holds(getattr(both, kind), name) == (one and other)
    ends = [end for end in (now.expires, then.expires) if end is not None]
    assert both.expires == (min(ends) if ends else None)
    assert both.budgets == now.budgets
    assert narrowed(now, now) == now


def test_a_model_stays_allowed_where_one_scope_names_it_and_the_other_its_provider():
    one, other = Scope(models=frozenset({"openai"})), Scope(models=frozenset({"openai/gpt-4o", "anthropic"}))
    assert narrowed(one, other).models == narrowed(other, one).models == frozenset({"openai/gpt-4o"})
