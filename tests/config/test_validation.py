import pytest

from execution_platform.config.files import parse_config
from execution_platform.config.problems import ConfigProblems, Problem, nearest, suggest

CANARY = "sk-canary0123456789abcdef"


def problems(text: str) -> dict[str, Problem]:
    with pytest.raises(ConfigProblems) as caught:
        parse_config(text)
    return {problem.path: problem for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        ("provdiers: {}", "provdiers", "unknown key. Did you mean providers?"),
        ("providers: {a: {base_ulr: x}}", "providers.a.base_ulr", "Did you mean base_url?"),
        ("providers: {a: {timeouts: {conect: 3}}}", "providers.a.timeouts.conect", "Did you mean connect?"),
        ("providers: {a: {profiles: {'*': {vison: true}}}}", "providers.a.profiles.*.vison", "Did you mean vision?"),
        ("models: {m: {targets: [{modle: a/b}]}}", "models.m.targets.0.modle", "Did you mean model?"),
        ("models: {m: {targets: [{weight: 1}]}}", "models.m.targets.0.model", "is missing"),
        ("models: {m: {targets: []}}", "models.m.targets", "at least 1 item"),
        ("models: {m: {targets: [{model: a}], strategy: wieghted}}", "models.m.strategy", "Did you mean weighted?"),
        ("models: {m: {targets: [{model: a, arm: 'a b'}]}}", "models.m.targets.0.arm", "pattern"),
        ("models: {m: {targets: [{model: a}], shadow: {model: b, percent: 0}}}", "models.m.shadow.percent", "greater"),
        ("models: {m: {targets: [{model: a}], shadow: {model: b, percent: 101}}}", "models.m.shadow.percent", "less"),
        ("providers: {a: {probe: {interval_seconds: 0.5}}}", "providers.a.probe.interval_seconds", "greater"),
        ("providers: {a: {probe: {interval_seconds: 5, path: health}}}", "providers.a.probe.path", "pattern"),
        (
            "personas: {p: {requires: {tool_callin: native}}}",
            "personas.p.requires.tool_callin",
            "Did you mean tool_calling?",
        ),
        ("personas: {p: {requires: [visin]}}", "personas.p.requires.visin", "Did you mean vision?"),
        (
            "personas: {p: {requires: {tool_calling: nativ}}}",
            "personas.p.requires.tool_calling",
            "Did you mean native?",
        ),
        (
            "personas: {p: {requires: {vision: 'yes'}}}",
            "personas.p.requires.vision",
            "is text (yes), not true or false",
        ),
        (
            "personas: {p: {requires: {context_window: big}}}",
            "personas.p.requires.context_window",
            "not a whole number",
        ),
        ("personas: {p: {prefer: [a], provider: b}}", "personas.p", "both prefer and provider/fallback"),
        (
            "personas: {p: {permissions: {exec_cmd: readonly}}}",
            "personas.p.permissions.exec_cmd",
            "Did you mean read_only?",
        ),
        ("personas: {p: {budget: {daily_usd: -1}}}", "personas.p.budget.daily_usd", "greater than or equal to 0"),
        ("personas: {p: {budget: {daily_usd: lots}}}", "personas.p.budget.daily_usd", "an amount of money"),
        ("personas: {p: {tools: fs_read}}", "personas.p.tools", "Write it as [item]"),
        ("personas: {p: {temperature: 3}}", "personas.p.temperature", "less than or equal to 2"),
        ("personas: {p: 5}", "personas.p", "not a map of keys and values"),
        ("providers: {a: {models: [1]}}", "providers.a.models.0", "Put it in quotes"),
        ("providers: {a: {base_url: foo}}", "providers.a.base_url", "should match pattern"),
        ("providers: {a: {retry: {max_attempts: 6}}}", "providers.a.retry.max_attempts", "less than or equal to 5"),
        ("providers: {a: {timeouts: {idle: 0}}}", "providers.a.timeouts.idle", "greater than 0"),
        ("limits: {body: 20 furlongs}", "limits.body", "a size such as 20 MiB"),
        ("limits: {depth: true}", "limits.depth", "not a whole number"),
        ("version: 2", "version", "not one of 1"),
        ("version: '1'", "version", "not one of 1"),
        ("keys: [{name: a}]", "keys.0", "exactly one of key and sha256"),
        ("keys: [{name: a, sha256: abc}]", "keys.0.sha256", "should match pattern"),
        ("keys: [{name: a, key: '${'}]", "keys.0.key", "not a complete reference"),
        ("loss_policy: strickt", "loss_policy", "Did you mean strict?"),
        ("personas: []", "personas", "is a list, not a map"),
    ],
)
def test_each_mistake_is_told_with_path_problem_and_remedy(text, path, said):
    found = problems(text)
    assert path in found, found
    assert said in str(found[path])


def test_every_mistake_is_reported_at_once_with_its_line():
    found = problems("version: 1\nfoo: 1\nproviders:\n  a:\n    bar: 2\n")
    assert found["foo"].line == 2
    assert found["providers.a.bar"].line == 5
    assert str(found["foo"]).startswith("platform.yaml:2: foo: unknown key.")


@pytest.mark.parametrize("text", ["- a", "just words", "5"])
def test_a_file_that_is_no_map_is_refused(text):
    with pytest.raises(ConfigProblems, match="not a map of sections"):
        parse_config(text)


@pytest.mark.parametrize(
    "text",
    [
        f"providers: {{a: {{api_kye: {CANARY}}}}}",
        f"providers: {{a: {{api_key: [{CANARY}]}}}}",
        f"providers: {{a: {{headers: [{CANARY}]}}}}",
        f"providers: {{a: {{headers: {{x: [{CANARY}]}}}}}}",
        f"providers: {{a: {{base_url: {CANARY}}}}}",
        f"providers: {{a: {{timeouts: {CANARY}}}}}",
        f"keys: [{CANARY}]",
        f"keys: [{{name: a, sha256: {CANARY}}}]",
        f"keys: {CANARY}",
        f"default_provider: [{CANARY}]",
        f"loss_policy: {CANARY}",
        f"personas: {{a: {{system: [{CANARY}]}}}}",
        f"limits: {{depth: {CANARY}}}",
        f"{CANARY}",
        f"a: b: {CANARY}",
        "keys: [{name: a, key: ['" + "${" + CANARY + "']}]",
    ],
)
def test_no_error_and_no_cause_of_it_shows_a_secret(text):
    with pytest.raises(ConfigProblems) as caught:
        parse_config(text)
    error: BaseException | None = caught.value
    while error is not None:
        assert CANARY not in str(error)
        assert CANARY not in repr(error)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    "text",
    [
        "keys: [{name: a, sha256: hunter2}]",
        "keys: [{name: a, key: x, admin: hunter2}]",
        "providers: {a: {headers: hunter2}}",
        "providers: {a: {options: hunter2}}",
        "personas: {a: {budget: {tokens_per_run: hunter2}}}",
    ],
)
def test_not_even_a_short_value_is_shown_where_secrets_stand(text):
    with pytest.raises(ConfigProblems) as caught:
        parse_config(text)
    assert "hunter2" not in str(caught.value)


def test_no_view_of_a_valid_configuration_shows_a_secret():
    raw = parse_config(
        f"keys: [{{name: a, key: {CANARY}}}]\nproviders: {{openai: {{api_key: {CANARY}, headers: {{x-a: {CANARY}}}}}}}"
    )
    assert CANARY not in repr(raw)
    assert CANARY not in str(raw.model_dump())
    assert CANARY not in raw.model_dump_json()


def test_a_list_of_requirements_means_true_for_each_and_may_hold_maps():
    raw = parse_config("personas: {p: {requires: [vision, tool_calling, {context_window: 9000}]}}")
    requires = raw.personas["p"].requires
    assert requires is not None
    assert (requires.vision, requires.tool_calling, requires.context_window) == (True, "prompted", 9000)


@pytest.mark.parametrize(("written", "size"), [("20 MiB", 20 * 1024**2), ("5 kb", 5000), ("77", None), ("1024", None)])
def test_sizes_have_units(written, size):
    if size is None:
        assert parse_config(f"limits: {{body: {written}}}").limits.body == int(written)
    else:
        assert parse_config(f"limits: {{body: {written}}}").limits.body == size


def test_the_nearest_names_ignore_case_and_dashes():
    assert nearest("Tool-Callin", ["tool_calling", "vision"]) == ["tool_calling"]
    assert suggest("qqq", ["a", "b"]) == "Valid: a, b."
    assert suggest("qqq", []) == ""
    assert suggest("zzz", [f"n{i}" for i in range(20)], listed=2).endswith("and 18 more.")


def test_a_problem_says_where_it_is():
    assert str(Problem("a.b", "is wrong.", "Fix it.")) == "a.b: is wrong. Fix it."
    assert str(Problem("a", "x.", line=3)) == "a (line 3): x."
    assert str(Problem("", "x.", file="f.yaml")) == "f.yaml: (top level): x."
