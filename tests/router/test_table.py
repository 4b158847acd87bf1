import sys
from dataclasses import dataclass
from decimal import Decimal
from random import Random

import pytest

from execution_platform.config.files import parse_config
from execution_platform.config.resolve import Resolved, resolve
from execution_platform.config.settings import Settings
from execution_platform.exceptions import NotConfigured, RequirementError, RouterError
from execution_platform.router.names import Names, split
from execution_platform.router.policy import check_personas
from execution_platform.router.table import Route, RoutingTable
from execution_platform.router.target import Target


@dataclass(frozen=True)
class Row:
    default_model: str | None = None
    models: tuple[str, ...] = ()
    needs_key: bool = True
    local: bool = False
    key_env: tuple[str, ...] = ()
    base_url_env: tuple[str, ...] = ()


KINDS = {
    "openai": Row("gpt-4o", ("gpt-4o", "gpt-4o-mini", "o1-mini")),
    "anthropic": Row("claude-sonnet-4-5", ("claude-sonnet-4-5", "claude-haiku-4-5")),
    "gemini": Row("gemini-2.5-flash", ("gemini-2.5-flash",)),
    "azure_openai": Row(None, ()),
    "ollama": Row(needs_key=False, local=True),
    "groq": Row("llama-3.3-70b", ("llama-3.3-70b",)),
    "embedded": Row("smollm2", ("smollm2",), needs_key=False, local=True),
    "mock": Row("mock-1", ("mock-1",), needs_key=False, local=True),
}
TEXT = """
providers:
  local: {kind: ollama, models: [llama3.2:3b, org/model]}
models:
  fast: {targets: [{model: openai/gpt-4o-mini, weight: 3}, {model: anthropic/claude-haiku-4-5}], strategy: weighted}
  ranked: {targets: [{model: openai/gpt-4o, priority: 2}, {model: gemini, priority: 1}]}
aliases: {smart: anthropic/claude-sonnet-4-5, quick: fast, boss: persona/architect, short: smart, claude-3-5-sonnet: anthropic}
personas:
  poet: {prefer: [gemini, openai/gpt-4o]}
  mixed: {prefer: [anthropic, fast]}
  seer: {prefer: [openai/o1-mini, openai/gpt-4o, gemini], requires: [vision]}
  anyone: {requires: [streaming]}
  huge: {prefer: [openai, anthropic], requires: {context_window: 150000}}
"""


def config(text: str = TEXT, environ: dict[str, str] | None = None) -> Resolved:
    return resolve(parse_config(text), Settings(environ=environ or {}), KINDS)


def table(text: str = TEXT, live=None, **kwargs) -> RoutingTable:
    return RoutingTable(config(text), live, **kwargs)


TABLE = table()


def targets(route: Route) -> list[str]:
    return [str(target) for target in route.targets]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a/b", ("a", "/", "b")),
        ("a:b", ("a", ":", "b")),
        ("a/b:c", ("a", "/", "b:c")),
        ("a:b/c", ("a", ":", "b/c")),
        ("a", ("a", "", "")),
        ("/b", ("", "/", "b")),
    ],
)
def test_names_are_split_on_the_first_separator(name, parts):
    assert split(name) == parts


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("openai/gpt-4o", ["openai/gpt-4o"]),
        ("openai:gpt-4o", ["openai/gpt-4o"]),
        ("openai/not-listed-yet", ["openai/not-listed-yet"]),
        ("groq/meta/llama:8b", ["groq/meta/llama:8b"]),
        ("claude/claude-opus-4-5", ["anthropic/claude-opus-4-5"]),
        ("anthropic", ["anthropic/claude-sonnet-4-5"]),
        ("gpt-4o", ["openai/gpt-4o"]),
        ("llama3.2:3b", ["local/llama3.2:3b"]),
        ("org/model", ["local/org/model"]),
        ("smart", ["anthropic/claude-sonnet-4-5"]),
        ("short", ["anthropic/claude-sonnet-4-5"]),
        ("claude-3-5-sonnet", ["anthropic/claude-sonnet-4-5"]),
        ("ranked", ["gemini/gemini-2.5-flash", "openai/gpt-4o"]),
        ("persona/poet", ["gemini/gemini-2.5-flash", "openai/gpt-4o"]),
        ("boss", ["anthropic/claude-sonnet-4-5", "openai/gpt-4o", "gemini/gemini-2.5-flash"]),
        ("auto", ["openai/gpt-4o"]),
        (None, ["openai/gpt-4o"]),
        ("", ["openai/gpt-4o"]),
    ],
)
def test_each_kind_of_name_leads_to_its_targets(name, expected):
    assert targets(TABLE.route(name)) == expected


@pytest.mark.parametrize(
    ("name", "persona", "expected", "chosen", "explicit"),
    [
        ("openai/gpt-4o-mini", "poet", ["openai/gpt-4o-mini"], "poet", True),
        ("openai", "poet", ["openai/gpt-4o"], "poet", True),
        ("fast", "poet", ["gemini/gemini-2.5-flash", "openai/gpt-4o"], "poet", False),
        ("gpt-4o-mini", "poet", ["gemini/gemini-2.5-flash", "openai/gpt-4o"], "poet", False),
        ("claude-sonnet-4-20250514", "poet", ["gemini/gemini-2.5-flash", "openai/gpt-4o"], "poet", False),
        (None, "poet", ["gemini/gemini-2.5-flash", "openai/gpt-4o"], "poet", False),
        ("persona/poet", "architect", ["gemini/gemini-2.5-flash", "openai/gpt-4o"], "poet", False),
        (
            None,
            "backend_dev",
            ["anthropic/claude-sonnet-4-5", "openai/gpt-4o", "gemini/gemini-2.5-flash"],
            "backend_developer",
            False,
        ),
        (None, "anyone", ["openai/gpt-4o"], "anyone", False),
        ("openai/gpt-4o", None, ["openai/gpt-4o"], None, True),
        (None, None, ["openai/gpt-4o"], None, False),
    ],
)
def test_the_explicit_model_goes_before_the_persona_and_that_before_the_rest(name, persona, expected, chosen, explicit):
    route = TABLE.route(name, persona)
    assert targets(route) == expected
    assert (route.persona.name if route.persona else None) == chosen
    assert route.explicit == explicit


@pytest.mark.parametrize(
    ("name", "persona", "said"),
    [
        ("gpt-4p", None, "unknown model 'gpt-4p'; the nearest names are gpt-4o"),
        ("opnai/gpt-4o", None, "openai/gpt-4o"),
        ("poett", None, "persona/poet"),
        ("persona/poett", None, "unknown persona 'poett'; the nearest names are poet"),
        (None, "poett", "unknown persona 'poett'; the nearest names are poet"),
        ("zzzzzz", None, "GET /v1/models lists every name"),
        ("nowhere/x", "poet", "unknown model 'nowhere/x'"),
        ("azure_openai", None, "has no default model; name one as azure_openai/<model>"),
        ("base", None, "unknown model"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name, persona, said):
    with pytest.raises(RouterError) as caught:
        TABLE.route(name, persona)
    assert said in caught.value.message
    assert caught.value.status == 404
    assert isinstance(caught.value, ValueError)


def test_a_bare_name_that_two_providers_list_is_refused_with_both():
    found = table("providers: {one: {kind: ollama, models: [m]}, two: {kind: ollama, models: [m]}}")
    with pytest.raises(RouterError, match="listed by more than one provider: say one/m and two/m"):
        found.route("m")


def test_a_bare_name_belongs_to_the_provider_that_can_be_called():
    text = "providers: {one: {kind: ollama, models: [gpt-4o]}}"
    assert targets(table(text, live={"one": "ollama"}).route("gpt-4o")) == ["one/gpt-4o"]
    assert targets(table("", live={"mock": "mock"}).route("gpt-4o")) == ["openai/gpt-4o"]


def test_an_explicit_target_that_lacks_a_requirement_is_412_and_never_falls_back():
    with pytest.raises(RequirementError, match=r"openai/o1-mini: needs vision") as caught:
        TABLE.route("openai/o1-mini", None, {"vision": True})
    assert caught.value.status == 412
    with pytest.raises(RequirementError, match=r"needs vision"):
        TABLE.route("openai/o1-mini", "seer")


def test_an_explicit_target_without_a_key_is_left_to_say_so_itself():
    assert targets(table(live={"mock": "mock"}).route("openai/gpt-4o", None, {"vision": True})) == ["openai/gpt-4o"]


def test_a_chain_keeps_only_members_that_meet_persona_and_request():
    assert targets(TABLE.route(None, "seer")) == ["openai/gpt-4o", "gemini/gemini-2.5-flash"]
    assert targets(TABLE.route(None, "seer", {"context_window": 500_000})) == ["gemini/gemini-2.5-flash"]
    assert targets(TABLE.route(None, "seer", {"audio": True})) == ["gemini/gemini-2.5-flash"]


def test_members_whose_provider_cannot_be_called_are_skipped():
    found = table(live={"openai": "openai"})
    assert targets(found.route(None, "poet")) == ["openai/gpt-4o"]
    assert targets(found.route("ranked")) == ["openai/gpt-4o"]


def test_a_chain_of_which_nothing_is_left_is_503_with_every_reason():
    with pytest.raises(NotConfigured) as caught:
        TABLE.route(None, "poet", {"region": "mars"})
    assert caught.value.status == 503
    assert caught.value.code == "no_candidate"
    assert "gemini/gemini-2.5-flash: needs region mars" in caught.value.message
    with pytest.raises(NotConfigured, match=r"has no key or does not answer.*Set a provider's key"):
        table(live={"mock": "mock"}).route(None, "poet")


def test_in_development_every_provider_can_be_called():
    found = RoutingTable(config(TEXT, {"EP_PROVIDER": "mock"}), {"mock": "mock"})
    assert targets(found.route(None, "poet")) == ["gemini/gemini-2.5-flash", "openai/gpt-4o"]
    assert found.default_provider == "mock"


def test_the_default_is_the_first_that_can_be_called():
    assert targets(table(live={"gemini": "gemini", "mock": "mock"}).route(None)) == ["gemini/gemini-2.5-flash"]
    assert targets(table("default_provider: groq").route(None)) == ["groq/llama-3.3-70b"]
    with pytest.raises(RouterError, match="default provider 'azure_openai' has no default model"):
        table("default_provider: azure_openai").route(None)


def test_a_logical_model_inside_a_chain_stands_at_its_place():
    route = table(rng=Random(0)).route(None, "mixed")
    assert str(route.targets[0]) == "anthropic/claude-sonnet-4-5"
    assert set(targets(route)[1:]) == {"openai/gpt-4o-mini", "anthropic/claude-haiku-4-5"}


def test_weights_decide_the_first_choice_of_a_logical_model():
    found = table(rng=Random(7))
    first = [str(found.route("quick").targets[0]) for _ in range(2000)]
    assert abs(first.count("openai/gpt-4o-mini") / 2000 - 0.75) < 0.04


@pytest.mark.parametrize(
    ("strategy", "views", "first"),
    [
        ("least_latency", {"latency": {"openai": 2.0, "anthropic": 0.5}}, "anthropic"),
        ("lowest_cost", {"price": {"openai": Decimal(1), "anthropic": Decimal(3)}}, "openai"),
    ],
)
def test_latency_and_price_decide_where_the_strategy_says_so(strategy, views, first):
    text = f"models: {{m: {{targets: [{{model: anthropic}}, {{model: openai}}], strategy: {strategy}}}}}"
    given = {name: (lambda target, _=None, view=view: view[target.provider]) for name, view in views.items()}
    assert table(text, **given).route("m").targets[0].provider == first


def test_an_explanation_shows_every_candidate_with_its_reason():
    decision = table(live={"openai": "openai"}).explain(None, "seer")
    shown = [(str(each.target), each.kept, each.capable) for each in decision.candidates]
    assert shown == [
        ("openai/o1-mini", False, False),
        ("openai/gpt-4o", True, True),
        ("gemini/gemini-2.5-flash", False, True),
    ]
    assert decision.persona is not None
    assert (decision.persona.name, decision.strategy, decision.explicit) == ("seer", "priority", False)
    assert TABLE.explain("fast").strategy == "weighted"
    assert TABLE.explain("openai/gpt-4o").explicit
    assert [each.kept for each in TABLE.candidates("openai/o1-mini", None, {"vision": True})] == [False]


def test_a_route_remembers_what_was_asked_for():
    assert TABLE.route("short").requested == "short"
    assert TABLE.route(None, "poet").requested == "persona/poet"
    assert TABLE.route(None).requested == "openai"


def test_usable_models_are_listed_once():
    listed = [str(target) for target in table(live={"openai": "openai", "local": "ollama"}).listed]
    assert listed == ["local/llama3.2:3b", "local/org/model", "openai/gpt-4o", "openai/gpt-4o-mini", "openai/o1-mini"]
    assert Target("openai", "gpt-4o") in TABLE.listed


def test_profiles_follow_the_configuration():
    found = table("providers: {openai: {profiles: {gpt-4o: {vision: false}}}}")
    assert found.profile(Target("openai", "gpt-4o")).vision is False
    assert found.profile(Target("openai", "gpt-4o")) is found.profile(Target("openai", "gpt-4o"))
    assert found.default_model("openai") == "gpt-4o"


def check(text: str):
    found = config(text)
    return check_personas(found, RoutingTable(found).profile)


def test_a_member_that_cannot_meet_the_requirements_is_reported_and_skipped():
    problems = [str(problem) for problem in check(TEXT) if problem.path.startswith("personas.seer")]
    assert problems == ["personas.seer: openai/o1-mini is skipped: needs vision."]


def test_a_persona_that_no_model_can_serve_is_an_error_that_names_what_is_missing():
    found = check("personas: {p: {prefer: [openai, groq], requires: {region: mars, audio: true}}}")
    errors = [problem for problem in found if problem.gravity == "error"]
    assert [problem.path for problem in errors] == ["personas.p"]
    assert "no model of the chain meets its requirements: openai/gpt-4o needs audio; needs region mars" in str(
        errors[0]
    )


def test_a_provider_without_a_key_counts_as_known():
    assert not [
        problem
        for problem in check("personas: {p: {prefer: [gemini], requires: [audio]}}")
        if problem.gravity == "error"
    ]


def test_a_persona_in_a_chain_is_an_error_and_a_provider_without_a_model_is_skipped():
    found = {
        problem.path: problem
        for problem in check("aliases: {x: persona/architect}\npersonas: {p: {prefer: [x, azure_openai, openai]}}")
    }
    assert found["personas.p.prefer.0"].gravity == "error"
    assert found["personas.p.prefer.1"].gravity == "warning"
    assert "no default model" in found["personas.p.prefer.1"].message


def test_a_member_of_a_logical_model_that_is_no_single_model_is_reported_and_skipped():
    text = "models: {m: {targets: [{model: q}, {model: azure_openai}, {model: openai}]}, n: {targets: [{model: azure_openai}]}}"
    found = table(f"{text}\naliases: {{q: m}}")
    assert targets(found.route("m")) == ["openai/gpt-4o"]
    assert [problem.path for problem in found.problems] == [
        "models.m.targets.0.model",
        "models.m.targets.1.model",
        "models.n.targets.0.model",
    ]
    assert "q is not one model at one provider" in str(found.problems[0])
    with pytest.raises(NotConfigured, match="model n has no target"):
        found.route("n")


def test_the_built_in_personas_pass_their_check_without_any_file():
    assert [str(problem) for problem in check("") if problem.gravity == "error"] == []
    assert table("").problems == ()


def test_a_built_in_persona_that_the_configuration_makes_impossible_is_a_warning():
    facts = "{profiles: {'*': {system_prompts: false}}}"
    text = f"providers: {{openai: {facts}, anthropic: {facts}, gemini: {facts}}}"
    found = check(text)
    assert found
    assert {problem.gravity for problem in found} == {"warning"}


def test_the_cost_of_routing_does_not_grow_with_the_configuration():
    many = "personas:\n" + "".join(f"  p{n}: {{prefer: [openai, gemini]}}\n" for n in range(300))
    many += "models:\n" + "".join(f"  m{n}: {{targets: [{{model: openai}}]}}\n" for n in range(300))
    many += "providers:\n" + "".join(f"  q{n}: {{kind: ollama, models: [x{n}]}}\n" for n in range(300))
    small, large = table(TEXT), table(many)

    def looked_at(found: RoutingTable, *args: str | None) -> int:
        steps = 0

        def count(frame, event, arg):
            nonlocal steps
            steps += 1
            return count

        found.route(*args)
        before = sys.gettrace()
        sys.settrace(count)
        try:
            found.route(*args)
        finally:
            sys.settrace(before)
        return steps

    assert looked_at(large, None, "p299") == looked_at(small, None, "poet")
    assert looked_at(large, "x299") == looked_at(small, "gpt-4o-mini")
    assert looked_at(large, "q299/x299") == looked_at(small, "local/org/model")
    assert looked_at(large, "q299/other") == looked_at(small, "local/other")


def test_a_broken_alias_circle_ends():
    names = Names(config("aliases: {a: b, b: a}"))
    assert names.look_up("a") is None
