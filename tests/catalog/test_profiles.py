from dataclasses import fields
from datetime import UTC, datetime

import pytest
from genai_prices.data_snapshot import find_provider_by_id, get_snapshot

from execution_platform.catalog.listed import list_price
from execution_platform.catalog.profiles import (
    Catalogue,
    Family,
    ProfileTable,
    catalogue,
    load_catalogue,
    resolve_profile,
    spellings,
)
from execution_platform.exceptions import ConfigError
from execution_platform.providers.registry import specs
from execution_platform.spi.profile import EFFORT_TOKENS, ModelProfile


def profile(kind: str, model: str, **overrides) -> ModelProfile:
    return resolve_profile(kind, kind, model, overrides or None)


LAYERS = load_catalogue(
    """
[kinds.a]
vision = true
context_window = 1
max_output_tokens = 1
[kinds.b]
like = "a"
pdf = true
[[family]]
match = ["m*"]
context_window = 2
max_output_tokens = 2
seed = false
[family.home]
kinds = ["a"]
sampling = false
[[family]]
match = ["m-big*"]
context_window = 3
[models."m-big-2"]
context_window = 4
"""
)


@pytest.mark.parametrize(
    ("model", "window", "output"), [("x", 1, 1), ("m", 2, 2), ("m-big", 3, 2), ("m-big-2", 4, 2), ("M-BIG-2", 4, 2)]
)
def test_later_layers_win(model, window, output):
    found = resolve_profile("a", "p", model, data=LAYERS)
    assert (found.context_window, found.max_output_tokens, found.vision) == (window, output, True)


def test_the_configuration_wins_over_all_data_in_its_own_order():
    overrides = {"*": {"context_window": 10, "vision": False}, "m-*": {"context_window": 11}}
    found = resolve_profile("a", "p", "m-big-2", overrides, data=LAYERS)
    assert (found.context_window, found.vision) == (11, False)
    assert resolve_profile("a", "p", "x", overrides, data=LAYERS).context_window == 10


def test_facts_of_the_wire_hold_only_at_the_makers_own_kinds():
    assert resolve_profile("a", "p", "m", data=LAYERS).sampling is False
    assert resolve_profile("b", "p", "m", data=LAYERS).sampling is True
    assert resolve_profile("b", "p", "m", data=LAYERS).seed is False


def test_a_kind_may_be_like_another():
    found = resolve_profile("b", "p", "x", data=LAYERS)
    assert (found.vision, found.pdf) == (True, True)


def test_a_kind_the_data_does_not_know_has_the_defaults_and_may_bring_its_own():
    found = resolve_profile("new", "p", "x", data=LAYERS, base={"vision": True})
    assert found.vision is True
    assert found.tool_calling == "native"


def test_the_profile_names_its_provider_for_encoders():
    found = resolve_profile("anthropic", "mine", "claude-opus-4-5")
    assert found.extra == {"provider": "mine", "kind": "anthropic"}


@pytest.mark.parametrize(
    "text", ["[kinds.a]\nvison = true", '[[family]]\nmatch = ["a"]\nfoo = 1', "[models.a]\nbar = 1"]
)
def test_a_fact_that_no_profile_has_is_refused(text):
    with pytest.raises(ConfigError, match="no profile has this fact"):
        load_catalogue(text)


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("gpt-4o", ("gpt-4o",)),
        ("openai/GPT-4o", ("openai/gpt-4o", "gpt-4o")),
        ("accounts/fireworks/models/llama-v3p3", ("accounts/fireworks/models/llama-v3p3", "llama-v3p3")),
        ("us.anthropic.claude-opus-4-5-v1:0", ("us.anthropic.claude-opus-4-5-v1:0", "claude-opus-4-5-v1:0")),
    ],
)
def test_models_are_looked_up_without_what_hosts_put_around_their_names(model, names):
    assert spellings(model) == names


def test_the_same_model_has_its_abilities_wherever_it_is_served():
    for kind, model in [
        ("openrouter", "anthropic/claude-sonnet-4-5"),
        ("bedrock", "us.anthropic.claude-sonnet-4-5-v1:0"),
    ]:
        found = profile(kind, model)
        assert (found.vision, found.reasoning, found.context_window) == (True, True, 200_000)
    assert profile("openrouter", "openai/gpt-5.1").max_tokens_field == "max_tokens"
    assert profile("openai", "gpt-5.1").max_tokens_field == "max_completion_tokens"


@pytest.mark.parametrize(
    ("kind", "model", "facts"),
    [
        ("openai", "gpt-4o", {"vision": True, "reasoning": False, "sampling": True, "schema_flavor": "openai_strict"}),
        ("openai", "gpt-4o-audio-preview", {"audio": True, "vision": False}),
        ("openai", "gpt-3.5-turbo", {"vision": False, "json_schema": False, "json_mode": True}),
        ("openai", "gpt-4", {"vision": False, "context_window": 8192}),
        ("openai", "gpt-4.1-mini", {"context_window": 1_000_000}),
        ("openai", "o3", {"reasoning": True, "sampling": False, "stop_sequences": False, "parallel_tool_calls": False}),
        ("openai", "o1-mini", {"tool_calling": "none", "system_prompts": False}),
        (
            "openai",
            "gpt-5-mini",
            {"reasoning": True, "sampling": False, "effort_levels": ("minimal", "low", "medium", "high")},
        ),
        (
            "openai",
            "gpt-5.1",
            {"sampling": True, "sampling_with_reasoning": False, "effort_levels": ("none", "low", "medium", "high")},
        ),
        ("openai", "gpt-5.2-chat-latest", {"reasoning": False, "sampling": True}),
        ("openai", "gpt-6.1-sol", {"reasoning": True, "context_window": 1_050_000}),
        ("azure_openai", "gpt-5", {"sampling": False, "developer_role": True}),
        (
            "anthropic",
            "claude-3-5-sonnet-20241022",
            {"reasoning": False, "json_schema": False, "max_output_tokens": 8192, "prefill": True},
        ),
        ("anthropic", "claude-3-7-sonnet-latest", {"reasoning": True, "adaptive_thinking": False}),
        ("anthropic", "claude-opus-4-1", {"max_output_tokens": 32_000, "sampling": True}),
        (
            "anthropic",
            "claude-sonnet-4-5",
            {"context_window": 200_000, "max_output_tokens": 64_000, "prefill": True, "adaptive_thinking": False},
        ),
        ("anthropic", "claude-opus-4-6", {"adaptive_thinking": True, "prefill": False, "sampling": True}),
        ("anthropic", "claude-opus-4-8", {"adaptive_thinking": True, "sampling": False, "mid_system": "native"}),
        (
            "anthropic",
            "claude-opus-5-5",
            {
                "context_window": 1_000_000,
                "mid_system": "native",
                "effort_levels": ("low", "medium", "high", "xhigh", "max"),
            },
        ),
        ("anthropic", "claude-haiku-4-5", {"reasoning": True, "mid_system": "inline", "thinking_replay": "native"}),
        ("gemini", "gemini-1.5-flash", {"reasoning": False, "audio": True, "schema_flavor": "openapi"}),
        ("gemini", "gemini-2.5-pro", {"reasoning": True, "thinking_budget_min": 128}),
        ("gemini", "gemini-2.5-flash-lite", {"thinking_budget_min": 512}),
        ("gemini", "gemini-3.8-flash", {"reasoning": True, "tool_result_media": True}),
        ("deepseek", "deepseek-reasoner", {"reasoning": True, "sampling": False, "thinking_replay": "field"}),
        ("deepseek", "deepseek-chat", {"reasoning": False, "json_schema": False}),
        ("mistral", "mistral-large-2512", {"vision": True, "include_usage": False, "context_window": 262_144}),
        ("xai", "grok-4-fast-non-reasoning", {"reasoning": False, "context_window": 2_000_000}),
        ("ollama", "llama3.2:3b", {"url_media": frozenset(), "vision": False}),
        ("ollama", "llama3.2-vision:11b", {"vision": True}),
        ("ollama", "qwen3:8b", {"reasoning": True}),
        ("vllm", "deepseek-ai/DeepSeek-R1", {"reasoning": True}),
        ("llama_cpp", "whatever.gguf", {"logprobs": True, "multiple_outputs": False}),
        ("embedded", "smollm2-135m-instruct", {"tool_calling": "prompted", "json_schema": True}),
        ("embedded", "multilingual-e5-small", {"embeddings": True, "tool_calling": "none", "context_window": 512}),
        ("openai", "text-embedding-3-small", {"embeddings": True, "streaming": False}),
        ("gemini", "gemini-embedding-001", {"embeddings": True, "vision": False}),
        ("mock", "mock-1", {"tool_calling": "simulated", "json_mode": True}),
    ],
)
def test_known_models_have_their_facts(kind, model, facts):
    found = profile(kind, model)
    assert {name: getattr(found, name) for name in facts} == facts


def every(data: Catalogue):
    yield from data.kinds.values()
    yield from data.models.values()
    for family in data.families:
        yield family.facts
        yield family.home_facts or {}


def test_every_fact_of_the_data_has_the_type_of_its_field():
    defaults = ModelProfile()
    known = {item.name for item in fields(ModelProfile)}
    for facts in every(catalogue()):
        for name, value in facts.items():
            assert name in known
            default = getattr(defaults, name)
            assert default is None or isinstance(value, type(default)), name
            if name == "effort_levels":
                assert set(value) <= set(EFFORT_TOKENS)
            if isinstance(value, int) and not isinstance(value, bool):
                assert value >= 0


def test_every_family_and_home_is_reachable():
    kinds = set(catalogue().kinds)
    for family in catalogue().families:
        assert isinstance(family, Family)
        assert family.patterns
        assert bool(family.home_kinds) == bool(family.home_facts)
        assert family.home_kinds <= kinds


MAKERS = {"openai": "openai", "anthropic": "anthropic", "google": "gemini", "x-ai": "xai"}
OWN_LINES = ("gpt-4o", "gpt-4.1", "gpt-5", "gpt-6", "o1", "o3", "o4", "claude-", "gemini-2.5-", "gemini-3", "grok-")
SPECIAL = (
    "tts",
    "image",
    "audio",
    "realtime",
    "live",
    "search",
    "transcribe",
    "embedding",
    "omni",
    "robotics",
    "translate",
    "deep-research",
)


@pytest.mark.parametrize("provider", MAKERS)
def test_context_windows_agree_with_the_price_data(provider):
    table = next(row for row in get_snapshot().providers if row.id == provider)
    checked = 0
    for model in table.models:
        if not model.context_window or not model.id.startswith(OWN_LINES) or any(word in model.id for word in SPECIAL):
            continue
        found = profile(MAKERS[provider], model.id).context_window
        assert found is not None, model.id
        assert 0.9 <= found / model.context_window <= 1.1, (model.id, found, model.context_window)
        checked += 1
    assert checked > 8


def test_a_table_merges_each_profile_once_and_has_an_end():
    table = ProfileTable({"p": "anthropic"}, {"p": {"claude-*": {"region": "eu"}}})
    assert table("p", "claude-opus-4-5") is table("p", "claude-opus-4-5")
    assert table("p", "claude-opus-4-5").region == "eu"
    assert table("unknown", "x").vision is False
    for number in range(ProfileTable.LIMIT + 10):
        table("p", f"m{number}")
    assert len(table._kept) <= ProfileTable.LIMIT


LISTED = [(kind, model) for kind in ("openai", "anthropic", "gemini") for model in specs()[kind].models]


@pytest.mark.parametrize(("kind", "model"), LISTED)
def test_every_listed_model_is_known_to_the_price_table(kind: str, model: str) -> None:
    assert list_price(kind, model, datetime.now(UTC)) is not None
    assert resolve_profile(kind, kind, model).context_window is not None


PRICED = [
    (kind, model.id, model.context_window)
    for kind, table, family in (("anthropic", "anthropic", "claude"), ("gemini", "google", "gemini"))
    for provider in [find_provider_by_id(get_snapshot().providers, table)]
    for model in (provider.models if provider else ())
    if model.context_window is not None and model.id.startswith(family)
]
SAME_THING = {1_000_000: 1_048_576}
"""Pages that round say a million."""


@pytest.mark.parametrize(("kind", "model", "window"), PRICED)
def test_context_windows_are_those_of_the_price_table(kind: str, model: str, window: int) -> None:
    known = resolve_profile(kind, kind, model).context_window
    assert known in (window, SAME_THING.get(window))
