"""Which budgets bind a request, and what several of them come to."""

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from execution_platform.ledger.budgets import EACH, NO_LIMIT, Amount, Budget, Rules, Subjects, describe
from execution_platform.ledger.budgets import Scope as BudgetScope

WHO = Subjects("acme", "ci", "web", "architect", "run-7")


def names(rules: Rules, who: Subjects = WHO) -> list[str]:
    return [f"{bound.scope}/{bound.period}" for bound in rules.binding(who)]


def test_every_scope_a_request_is_in_binds_it() -> None:
    rules = Rules(
        [
            Budget(scope="gateway", subject="", period="daily", nanos=1),
            Budget(scope="tenant", subject="acme", period="monthly", nanos=1),
            Budget(scope="team", subject="web", period="monthly", nanos=1),
            Budget(scope="key", subject="ci", period="minute", tokens=1),
            Budget(scope="persona", subject="architect", period="daily", nanos=1),
            Budget(scope="run", period="total", tokens=1),
            Budget(scope="tenant", subject="other", period="monthly", nanos=1),
        ]
    )
    assert names(rules) == [
        "gateway/daily",
        "key:ci/minute",
        "persona:architect/daily",
        "run:run-7/total",
        "team:web/monthly",
        "tenant:acme/monthly",
    ]
    assert names(rules, Subjects("nobody", "k")) == ["gateway/daily"]


def test_a_budget_for_each_gives_every_subject_its_own_account() -> None:
    rules = Rules([Budget(scope="persona", period="minute", tokens=5)])
    assert names(rules, Subjects("t", "k", persona="a")) == ["persona:a/minute"]
    assert names(rules, Subjects("t", "k", persona="b")) == ["persona:b/minute"]
    assert names(rules, Subjects("t", "k")) == []


def test_budgets_of_one_account_come_to_the_least_of_each_limit() -> None:
    rules = Rules(
        [
            Budget(
                scope="tenant", subject="acme", period="daily", nanos=10, on_breach="downgrade", downgrade_to="cheap"
            ),
            Budget(scope="tenant", period="daily", nanos=20, tokens=7, alert_threshold=0.5),
        ]
    )
    (bound,) = rules.binding(Subjects("acme", "k"))
    assert bound.cap == Amount(10, 7)
    assert bound.alert_threshold == 0.5
    assert bound.on_breach == "stop"
    (other,) = rules.binding(Subjects("b", "k"))
    assert other.cap == Amount(20, 7)


def test_a_limit_of_runs_may_be_one_personas_own() -> None:
    rules = Rules([Budget(scope="run", persona="architect", period="total", tokens=5)])
    assert names(rules) == ["run:run-7/total"]
    assert names(rules, WHO._replace(persona="reviewer")) == []


def test_models_are_bound_by_full_name_bare_name_and_provider() -> None:
    rules = Rules(
        [
            Budget(scope="model", subject="p/m", period="daily", nanos=1),
            Budget(scope="model", subject="m", period="daily", nanos=2),
            Budget(scope="model", subject="p", period="daily", nanos=3),
            Budget(scope="model", period="monthly", tokens=4),
        ]
    )
    assert [bound.scope for bound in rules.binding_model("p", "m")] == ["model:m", "model:p", "model:p/m", "model:p/m"]
    assert [bound.scope for bound in rules.binding_model("q", "x")] == ["model:q/x"]
    assert Rules().binding_model("p", "m") == ()


def test_what_is_not_limited_has_no_limit() -> None:
    (bound,) = Rules([Budget(scope="gateway", subject="", period="total", tokens=5)]).binding(WHO)
    assert bound.cap == Amount(NO_LIMIT, 5)
    assert describe(bound.scope, bound.period) == "the total budget of the gateway"
    assert describe("tenant:acme", "monthly") == "the monthly budget of tenant acme"


_NAME = st.sampled_from(["", "a", "b"])
_BUDGET = st.builds(
    Budget,
    scope=st.sampled_from(get_args(BudgetScope)),
    subject=st.sampled_from([EACH, "", "a", "b"]),
    persona=st.sampled_from([None, "a", "b"]),
    period=st.just("daily"),
    nanos=st.just(1),
)


@given(st.lists(_BUDGET, max_size=4), st.builds(Subjects, _NAME, _NAME, _NAME, _NAME, _NAME))
def test_whom_nothing_can_bind_by_persona_is_bound_by_nothing(budgets: list[Budget], who: Subjects) -> None:
    rules = Rules(budgets)
    if rules.binding(who) or rules.binding_model("a", "b"):
        assert rules.may_bind(who.persona)


def test_budgets_of_personas_alone_leave_other_requests_unbound() -> None:
    own = Budget(scope="persona", subject="a", period="daily", nanos=1)
    run = Budget(scope="run", persona="b", period="total", tokens=1)
    rules = Rules([own, run])
    assert [rules.may_bind(persona) for persona in ("a", "b", "c", "")] == [True, True, False, False]
    assert Rules([Budget(scope="persona", period="daily", nanos=1)]).may_bind("c")
    assert Rules([own, Budget(scope="key", subject="ci", period="daily", nanos=1)]).may_bind("c")
