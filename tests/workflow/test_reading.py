"""Workflow files: what they may say, and what they are told when they say it wrong."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform.config.problems import ConfigProblems
from execution_platform.exceptions import ConfigError
from execution_platform.workflow.reading import given_inputs, read_workflow
from execution_platform.workflow.schema import workflow_schema
from execution_platform.workflow.template import filled, names_in
from working import phase, workflow

EXAMPLES = Path(__file__).parents[2] / "examples" / "workflows"
SIX = ["requirements", "architecture", "implementation", "code_generation", "testing", "review"]


def problems(phases: dict[str, Any], **more: Any) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        workflow(phases, **more)
    assert caught.value.message.startswith("the workflow has ")
    return [str(problem) for problem in caught.value.problems]


def test_a_phase_needs_the_one_before_it_unless_it_says_what_it_needs() -> None:
    flow = workflow({"a": phase(), "b": phase(), "c": phase(needs=["a"]), "d": phase(needs=[])})
    assert {each.name: each.needs for each in flow.phases} == {"a": (), "b": ("a",), "c": ("a",), "d": ()}


def test_an_unknown_key_is_refused_with_its_path_and_the_nearest_key() -> None:
    assert problems({"a": phase(modell="x")}) == ["configuration: phases.a.modell: unknown key. Did you mean model?"]
    assert "Did you mean contains?" in problems({"a": phase(checks=[{"contain": "x"}])})[0]


def test_a_finding_names_the_line_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "flow.yaml"
    file.write_text("name: x\nphases:\n  a:\n    persona: dev\n    prompt: go {{task}}\n    checks: [{contains: ok}]\n")
    with pytest.raises(ConfigProblems, match=r"flow.yaml:5: phases.a.prompt: asks for \{\{task\}\}"):
        read_workflow(file)


@pytest.mark.parametrize(
    ("checks", "told"),
    [
        ([], "at least 1 item"),
        ([{}], "exactly one of contains, json, file and command"),
        ([{"contains": "a", "file": "b"}], "exactly one of"),
        ([{"contains": "a", "seconds": 3}], "belong to a command"),
        ([{"json": {"type": "nothing"}}], "cannot be used"),
        ([{"json": {"$ref": "http://127.0.0.1:9/schema"}}], "references are resolved within it only"),
        ([{"file": "../x"}], "no plain path below the workspace"),
        ([{"file": "/etc/passwd"}], "no plain path below the workspace"),
    ],
)
def test_a_phase_says_how_it_is_checked(checks: list[Any], told: str) -> None:
    assert told in problems({"a": phase(checks=checks)})[0]


def test_phases_ask_only_for_what_is_there_when_they_begin() -> None:
    parallel = {"a": phase(), "b": phase("use {{a}}", needs=[])}
    assert "Add a to its needs." in problems(parallel)[0]
    assert "Did you mean task?" in problems({"a": phase("do {{tasc}}")}, inputs={"task": {}})[0]
    workflow({"a": phase(), "b": phase(), "c": phase("use {{a}}")})


def test_circles_and_names_of_nobody_are_found() -> None:
    assert "goes in a circle" in problems({"a": phase(needs=["b"]), "b": phase(needs=["a"])})[0]
    assert "Did you mean first?" in problems({"first": phase(), "b": phase(needs=["frist"])})[0]
    assert "there is no such phase" in problems({"a": phase()}, configurations={"x": {"phases": {"q": {}}}})[0]
    assert "the name of an input" in problems({"a": phase()}, inputs={"a": {}})[0]
    assert "stands for the phases" in problems({"a": phase()}, configurations={"default": {}})[0]


def test_a_configuration_changes_models_and_personas() -> None:
    flow = workflow(
        {"a": phase(model="own"), "b": phase()},
        configurations={"x": {"model": "all", "phases": {"b": {"model": "one", "persona": "other"}}}},
    )
    staffed = [flow.configuration("x").staffed(each) for each in flow.phases]
    assert [(each.model, each.persona) for each in staffed] == [("all", "dev"), ("one", "other")]
    assert [flow.configuration("default").staffed(each).model for each in flow.phases] == ["own", None]


def test_inputs_have_a_value_each() -> None:
    flow = workflow({"a": phase("{{task}} {{style}}")}, inputs={"task": {}, "style": {"default": "plain"}})
    assert given_inputs(flow, {"task": "x"}) == {"task": "x", "style": "plain"}
    with pytest.raises(ConfigError, match="--input task="):
        given_inputs(flow, {})
    with pytest.raises(ConfigError, match="Did you mean task"):
        given_inputs(flow, {"tusk": "x"})


@given(st.text(), st.text(), st.text())
def test_what_is_put_in_is_put_in_as_it_is_and_once(before: str, value: str, other: str) -> None:
    template = before.replace("{", "") + "{{ one }}{{two}}"
    assert filled(template, {"one": value, "two": other}) == before.replace("{", "") + value + other
    assert names_in(template) == ["one", "two"]


def test_an_answer_cannot_reach_for_another_value() -> None:
    assert filled("{{a}}", {"a": "{{b}}", "b": "secret"}) == "{{b}}"


def test_the_examples_are_workflows() -> None:
    software = read_workflow(EXAMPLES / "software.yaml")
    assert [each.name for each in software.phases] == SIX
    assert [each.needs for each in software.phases] == [(), *((name,) for name in SIX[:-1])]
    assert len(software.configurations) == 5
    vendors = {
        name: [str(each.staffed(one).model).split("/")[0] for one in software.phases]
        for name, each in software.configurations.items()
    }
    assert vendors["all-anthropic"] == ["anthropic"] * 6
    assert vendors["all-openai"] == ["openai"] * 6
    assert vendors["all-gemini"] == ["gemini"] * 6
    assert vendors["claude-designs-openai-implements"] == ["anthropic"] * 2 + ["openai"] * 3 + ["anthropic"]
    assert set(vendors["mixed-by-strength"]) == {"anthropic", "openai", "gemini"}
    read_workflow(EXAMPLES / "second-opinion.yaml")


def test_the_form_is_published_as_a_schema() -> None:
    schema: Any = workflow_schema()
    assert {"version", "name", "inputs", "phases", "configurations"} <= schema["properties"].keys()
    assert "json" in schema["$defs"]["RawCheck"]["properties"]
