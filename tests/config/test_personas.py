import pytest

from execution_platform.config.files import parse_config
from execution_platform.config.personas import builtin_personas
from execution_platform.config.problems import ConfigProblems
from execution_platform.config.resolve import PersonaConfig, Resolved, resolve
from execution_platform.config.settings import Settings


def config(text: str = "") -> Resolved:
    return resolve(parse_config(text), Settings(environ={}))


def persona(text: str, name: str = "p") -> PersonaConfig:
    return config(text).personas[name]


def refused(text: str) -> str:
    with pytest.raises(ConfigProblems) as caught:
        config(text)
    return str(caught.value)


def test_provider_and_fallback_are_the_same_as_prefer():
    older = persona("personas: {p: {provider: anthropic, fallback: [openai, gemini]}}")
    newer = persona("personas: {p: {prefer: [anthropic, openai, gemini]}}")
    assert older == newer
    assert newer.chain == ("anthropic", "openai", "gemini")


@pytest.mark.parametrize(
    ("fields", "chain"),
    [
        ("{prefer: openai}", ("openai",)),
        ("{provider: openai, model: gpt-4o}", ("openai/gpt-4o",)),
        ("{model: openai/gpt-4o, fallback: [gemini]}", ("openai/gpt-4o", "gemini")),
        ("{provider: openai, model: openai/gpt-4o}", ("openai/gpt-4o",)),
        ("{provider: openai/gpt-4o, model: gpt-4.1}", ("openai/gpt-4.1",)),
        ("{provider: anthropic, fallback: [anthropic, openai, openai]}", ("anthropic", "openai")),
        ("{provider: claude_agent_sdk, fallback: [claude]}", ("claude_agent", "anthropic")),
        ("{fallback: [openai]}", ("openai",)),
        ("{}", ()),
    ],
)
def test_the_chain_follows_from_what_is_written(fields, chain):
    assert persona(f"personas: {{p: {fields}}}").chain == chain


def test_a_persona_inherits_through_a_chain_and_joins_requirements_permissions_and_budget():
    found = persona(
        """
personas:
  a: {abstract: true, requires: [streaming, vision], permissions: {x: full}, budget: {daily_usd: 5}, system: S, tools: [t], temperature: 0.5}
  b: {abstract: true, extends: a, requires: {vision: false, tool_calling: native}, prefer: [openai], max_tokens: 9}
  p: {extends: b, permissions: {y: none}, budget: {tokens_per_min: 7}, tools: []}
"""
    )
    assert found.requires == {"streaming": True, "tool_calling": "native"}
    assert found.permissions == {"x": "full", "y": "none"}
    assert found.budget is not None
    assert (found.budget.daily_usd, found.budget.tokens_per_min) == (5, 7)
    assert (found.system, found.tools, found.temperature, found.max_tokens) == ("S", (), 0.5, 9)
    assert found.chain == ("openai",)


def test_an_inherited_model_does_not_stay_with_another_provider():
    text = "personas: {a: {provider: openai, model: gpt-4o, fallback: [gemini]}, p: {extends: a, provider: anthropic}}"
    assert persona(text).chain == ("anthropic", "gemini")


def test_a_child_may_set_only_the_model():
    text = "personas: {a: {prefer: [openai/gpt-4o, gemini]}, p: {extends: a, model: gpt-4.1}}"
    assert persona(text).chain == ("openai/gpt-4.1", "gemini")


def test_abstract_personas_cannot_be_called_and_do_not_make_their_heirs_abstract():
    found = config("personas: {a: {abstract: true}, p: {extends: a}}").personas
    assert "a" not in found
    assert "p" in found


def test_aliases_are_not_inherited():
    found = config("personas: {a: {aliases: [x]}, p: {extends: a}}")
    assert found.persona_aliases["x"] == "a"
    assert found.personas["p"].aliases == ()


def test_a_circle_is_refused_with_its_members():
    assert "extends itself: a -> b -> a" in refused("personas: {a: {extends: b}, b: {extends: a}}")
    assert "extends itself: p -> p" in refused("personas: {p: {extends: p}}")


def test_an_unknown_ancestor_is_refused_with_the_nearest_name():
    message = refused("personas: {p: {extends: archtect}}")
    assert "personas.p.extends: extends archtect, which does not exist. Did you mean architect?" in message


def test_a_persona_named_like_a_built_in_one_adds_to_it():
    found = persona("personas: {architect: {prefer: [openai/gpt-4o]}}", "architect")
    builtin = config().personas["architect"]
    assert found.chain == ("openai/gpt-4o",)
    assert (found.system, found.requires) == (builtin.system, builtin.requires)
    assert (found.origin, builtin.origin) == ("file", "builtin")


def test_with_extends_it_replaces_the_built_in_one():
    found = persona("personas: {base: {abstract: true}, architect: {extends: base, prefer: [openai]}}", "architect")
    assert found.system is None
    assert found.requires == {}


def test_it_may_extend_the_built_in_one_by_its_own_name():
    found = persona("personas: {architect: {extends: architect, system: Mine}}", "architect")
    assert found.system == "Mine"
    assert found.chain == config().personas["architect"].chain


def test_heirs_of_a_built_in_persona_follow_its_change():
    assert config("personas: {architect: {system: Mine}}").personas["architect_openai"].system == "Mine"


def test_a_persona_wins_over_a_built_in_alias():
    found = config("personas: {backend_dev: {prefer: [openai]}}")
    assert "backend_dev" in found.personas
    assert "backend_dev" not in found.persona_aliases
    assert config().persona_aliases["backend_dev"] == "backend_developer"


def test_aliases_that_lead_nowhere_or_take_a_name_are_refused():
    message = refused("personas: {a: {aliases: [architect]}}\npersona_aliases: {x: nobdy, y: a}")
    assert "architect is the name of another persona" in message
    assert "persona_aliases.x: stands for the persona nobdy, which does not exist" in message


@pytest.mark.parametrize("name", ["a/b", "a b", "a:b", "''"])
def test_names_that_requests_could_not_spell_are_refused(name):
    assert "in its name" in refused(f"personas: {{{name}: {{}}}}")


ALL = [
    *(
        "architect",
        "code_writer",
        "reviewer",
        "qa_engineer",
        "architect_openai",
        "code_writer_openai",
        "reviewer_openai",
    ),
    *("requirement_analyst", "solution_architect", "frontend_developer", "backend_developer", "devops_engineer"),
    *("security_specialist", "ui_ux_designer", "technical_writer", "deployment_specialist", "database_specialist"),
    *("test_engineer", "phase_reviewer", "project_reviewer", "deliverable_validator"),
]


def test_the_built_in_personas_are_the_published_ones():
    assert sorted(config().personas) == sorted(ALL)


@pytest.mark.parametrize("name", ALL)
def test_each_built_in_persona_is_complete(name):
    found = config().personas[name]
    assert found.system is not None
    assert 200 < len(found.system) < 1500
    assert found.description
    assert found.chain
    assert found.requires["system_prompts"] is True
    assert found.budget is not None
    assert (found.budget.tokens_per_run, found.budget.daily_usd) == (100_000, 50)


def test_first_choices_are_the_published_ones():
    found = config().personas
    assert all(found[name].chain[0] == "anthropic" for name in ("architect", "code_writer", "reviewer"))
    assert all(found[name].chain[0] == "openai" for name in ALL if name.endswith("_openai") or name == "qa_engineer")


@pytest.mark.parametrize(
    ("name", "bash", "task", "native"),
    [
        ("requirement_analyst", "read_only", True, False),
        ("solution_architect", "read_only", True, False),
        ("ui_ux_designer", None, False, False),
        ("technical_writer", "read_only", False, False),
        ("security_specialist", "full", True, True),
        ("backend_developer", "full", True, True),
        ("frontend_developer", "full", True, True),
        ("devops_engineer", "full", True, True),
        ("qa_engineer", "full", True, True),
        ("deployment_specialist", "full", True, True),
    ],
)
def test_the_teams_tools_are_those_of_its_first_consumer(name, bash, task, native):
    found = config().personas[name]
    assert found.tools is not None
    assert {
        "fs_read",
        "dir_glob",
        "code_search",
        "fs_write",
        "fs_edit",
        "web_search",
        "http_fetch",
        "todo_write",
    } <= set(found.tools)
    assert found.permissions.get("exec_cmd") == bash
    assert ("exec_cmd" in found.tools) == (bash is not None)
    assert ("agent_task" in found.tools) == task
    assert (found.requires["tool_calling"] == "native") == native


def test_other_spellings_lead_to_built_in_personas():
    aliases = config().persona_aliases
    assert aliases["database_administrator"] == "database_specialist"
    assert aliases["deployment_integration_tester"] == "deployment_specialist"
    assert aliases["developer"] == "code_writer"
    assert set(aliases.values()) <= set(ALL)
    assert not set(aliases) & set(builtin_personas().personas)


def test_whether_a_persona_changes_requests_is_known():
    assert not PersonaConfig(name="p", tools=("a",)).changes_request
    assert PersonaConfig(name="p", system="s").changes_request
    assert PersonaConfig(name="p", temperature=0.0).changes_request
    assert PersonaConfig(name="p", max_tokens=1).changes_request
