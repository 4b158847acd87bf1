import json
from pathlib import Path

import pytest

from execution_platform.config import legacy
from execution_platform.config.files import config_path, load_config, merge, parse_config, problems_of
from execution_platform.config.problems import ConfigProblems
from execution_platform.config.resolve import resolve
from execution_platform.config.settings import Settings
from execution_platform.exceptions import ConfigError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def resolved(environ: dict[str, str] | None = None, **kwargs: object):
    settings = Settings(environ=environ or {})
    return resolve(load_config(settings, **kwargs), settings)


def test_without_any_file_the_configuration_is_the_default():
    raw = load_config(Settings(environ={}))
    assert raw.version == 1
    assert raw.providers == {}
    assert config_path(Settings(environ={})) is None


def test_the_usual_file_is_found_and_ep_config_goes_before_it(folder: Path):
    (folder / "platform.yaml").write_text("default_provider: openai")
    (folder / "other.yaml").write_text("default_provider: gemini")
    assert load_config(Settings(environ={})).default_provider == "openai"
    assert load_config(Settings(environ={"EP_CONFIG": "other.yaml"})).default_provider == "gemini"
    assert load_config(Settings(environ={"EP_CONFIG": "other.yaml"}), "platform.yaml").default_provider == "openai"


def test_a_named_file_that_is_missing_is_an_error_that_says_where_the_name_comes_from():
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such file; correct the path \(--config or EP_CONFIG\)"):
        load_config(Settings(environ={"EP_CONFIG": "nowhere.yaml"}))
    with pytest.raises(ConfigError, match=r"^nowhere\.yaml: no such file"):
        load_config(Settings(environ={}), "nowhere.yaml")


def test_a_file_that_is_not_text_is_refused(folder: Path):
    (folder / "platform.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(Settings(environ={}))


def test_an_error_names_the_file_it_is_in(folder: Path):
    (folder / "capabilities.yaml").write_text("providers: {openai: {capabilities: [visoin]}}")
    with pytest.raises(ConfigProblems, match=r"capabilities\.yaml: providers\.openai\.capabilities\.visoin.*vision"):
        load_config(Settings(environ={}))


def test_persona_policy_is_merged_in(folder: Path):
    (folder / "persona_policy.yaml").write_text(
        "personas:\n  poet: {requires: [streaming, tools], provider_preferences: [claude_agent_sdk, openai]}\n"
    )
    poet = resolved().personas["poet"]
    assert poet.chain == ("claude_agent", "openai")
    assert poet.requires == {"streaming": True, "tool_calling": "prompted"}


def test_an_older_file_is_found_in_the_folder_config_too(folder: Path):
    (folder / "config").mkdir()
    (folder / "config" / "persona_policy.yaml").write_text("personas: {poet: {provider_preferences: [openai]}}")
    assert resolved().personas["poet"].chain == ("openai",)


def test_capabilities_become_profiles_in_which_what_is_not_listed_is_not_offered(folder: Path):
    (folder / "capabilities.yaml").write_text(
        "providers: {claude: {capabilities: [system_prompts, streaming, tool_calling]}}"
    )
    assert resolved().providers["anthropic"].profiles == {
        "*": {"system_prompts": True, "streaming": True, "tool_calling": "native", "json_mode": False, "vision": False}
    }


@pytest.mark.parametrize("entry", ["openai", {"provider": "openai"}])
def test_the_persona_map_puts_its_provider_first(folder: Path, entry):
    (folder / "map.json").write_text(json.dumps({"architect": entry}))
    chain = resolved({"EP_PERSONA_PROVIDER_MAP_PATH": "map.json"}).personas["architect"].chain
    assert chain[0] == "openai"
    assert "gemini" in chain


def test_the_persona_map_may_name_a_model_and_goes_before_the_file(folder: Path):
    (folder / "platform.yaml").write_text("personas: {architect: {prefer: [gemini, anthropic]}}")
    (folder / "map.json").write_text(json.dumps({"architect": {"provider": "openai", "model": "gpt-4o"}}))
    chain = resolved({"EP_PERSONA_PROVIDER_MAP_PATH": "map.json"}).personas["architect"].chain
    assert chain == ("openai/gpt-4o", "anthropic")


def test_persona_config_json_is_merged_in_with_its_default(folder: Path):
    (folder / "persona_config.json").write_text(
        json.dumps(
            {
                "default": {"provider": "claude_agent_sdk", "fallback": ["openai"], "tools": []},
                "backend_developer": {
                    "provider": "anthropic",
                    "tools": ["fs_read", {"name": "fs_write", "json_schema": {}}],
                    "requires": {"tool_calling": "native", "json_mode": True},
                },
                "qa_engineer": {"providers": ["openai", "mock"], "tools": "Read, Write Bash"},
            }
        )
    )
    config = resolved()
    assert config.personas["default"].chain == ("claude_agent", "openai")
    assert config.personas["default"].tools == ()
    backend = config.personas["backend_developer"]
    assert backend.tools == ("fs_read", "fs_write")
    assert backend.requires["tool_calling"] == "native"
    assert backend.system is not None
    assert config.personas["qa_engineer"].chain == ("openai", "mock")
    assert config.personas["qa_engineer"].tools == ("Read", "Write", "Bash")


def test_persona_config_entries_may_stand_under_personas():
    fragment = legacy.persona_config({"default": {"model": "m"}, "personas": {"a": {"system_prompt": "s"}}})
    assert fragment == {"personas": {"default": {"model": "m"}, "a": {"system": "s"}}}


def test_the_file_goes_before_the_older_files_and_a_chain_replaces_a_chain(folder: Path):
    (folder / "persona_policy.yaml").write_text(
        "personas: {poet: {requires: [vision], provider_preferences: [openai, gemini]}}"
    )
    (folder / "platform.yaml").write_text("personas: {poet: {provider: anthropic}}")
    poet = resolved().personas["poet"]
    assert poet.chain == ("anthropic", "gemini")
    assert poet.requires == {"vision": True}


def test_overlays_go_before_everything_and_may_have_an_older_form(folder: Path):
    (folder / "platform.yaml").write_text("personas: {poet: {prefer: [openai]}}")
    config = resolved(
        overlays=[
            {"personas": {"poet": {"provider_preferences": ["gemini"]}}},
            {"mock": {"capabilities": ["vision"]}},
            {"providers": {"openai": {"capabilities": ["vision"]}}},
            {"default_provider": "mock"},
        ]
    )
    assert config.personas["poet"].chain == ("gemini",)
    assert config.providers["mock"].profiles["*"]["vision"] is True
    assert config.providers["openai"].profiles["*"]["json_mode"] is False
    assert config.default_provider == "mock"


@pytest.mark.parametrize(
    ("read", "data", "said"),
    [
        (legacy.persona_policy, {"personas": {"a": {"require": []}}}, "Did you mean requires"),
        (legacy.persona_policy, {"personas": {"a": 5}}, "is not a map"),
        (legacy.persona_policy, {"personas": {"a": {"provider_preferences": [5]}}}, "is not text"),
        (legacy.persona_policy, [], "is not a map"),
        (legacy.capabilities, {"providers": {"a": {"capabilities": 5}}}, "is not a list"),
        (legacy.persona_map, {"a": {"porvider": "x"}}, "Did you mean provider"),
        (legacy.persona_map, {"a": {"provider": 5}}, "is not text"),
        (legacy.persona_config, {"a": {"tool": []}}, "Did you mean tools"),
        (legacy.persona_config, {"a": {"tools": [{}]}}, "is not text"),
    ],
)
def test_a_mistake_in_an_older_file_is_told(read, data, said):
    with pytest.raises(ConfigProblems, match=said):
        read(data)


def test_older_capability_words_are_understood_and_a_bare_long_context_asks_for_nothing():
    fragment = legacy.persona_policy({"personas": {"a": {"requires": ["function_calling", "json", "long_context"]}}})
    assert fragment == {"personas": {"a": {"requires": {"tool_calling": True, "json_mode": True}}}}


@pytest.mark.parametrize(
    ("name", "current"),
    [
        ("claude", "anthropic"),
        ("claude/claude-opus-4-5", "anthropic/claude-opus-4-5"),
        ("claude_agent_sdk:x", "claude_agent:x"),
        ("openai/a:b", "openai/a:b"),
        ("x:openai/y", "x:openai/y"),
    ],
)
def test_older_provider_names_are_replaced(name, current):
    assert legacy.target_name(name) == current


def test_merging_joins_maps_and_replaces_the_rest():
    assert merge({"a": {"x": 1, "y": 1}, "b": [1]}, {"a": {"y": 2}, "b": [2]}) == {"a": {"x": 1, "y": 2}, "b": [2]}
    one = {"personas": {"p": {"prefer": ["a", "b"], "system": "s"}}}
    assert merge(one, {"personas": {"p": {"fallback": ["c"]}}}) == {
        "personas": {"p": {"provider": "a", "fallback": ["c"], "system": "s"}}
    }
    other = {"personas": {"p": {"provider": "a", "fallback": ["b"], "model": "m", "system": "s"}}}
    assert merge(other, {"personas": {"p": {"prefer": ["c"]}}}) == {"personas": {"p": {"prefer": ["c"], "system": "s"}}}


def test_the_findings_behind_any_error_can_be_listed():
    with pytest.raises(ConfigProblems) as caught:
        parse_config("foo: 1\nbar: 2\n")
    assert [problem.path for problem in problems_of(caught.value)] == ["foo", "bar"]
    assert problems_of(ConfigError("x"))[0].message == "x"
