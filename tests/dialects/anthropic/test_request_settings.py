"""Settings, tools and output forms of other dialects on the way to this API."""

import json
from dataclasses import replace
from typing import Any

import pytest

from dialects.anthropic.asking import ASK, HOME, PROFILE, encode, openai
from execution_platform.dialects.anthropic import DIALECT
from execution_platform.spi import (
    CacheMark,
    CachePolicy,
    ChatRequest,
    Continuation,
    Message,
    OutputFormat,
    Reasoning,
    Safety,
    Signature,
    ThinkingPart,
    ToolCallPart,
    ToolChoice,
    ToolDefinition,
)


@pytest.mark.parametrize(
    ("schema", "sent"),
    [
        (None, {"type": "object", "properties": {}}),
        ({"properties": {"z": {}, "a": {}}}, {"type": "object", "properties": {"z": {}, "a": {}}}),
        (
            {
                "anyOf": [
                    {"properties": {"b": {"type": "string"}}, "required": ["b"]},
                    {"properties": {"a": {}}, "required": ["b", "a"]},
                ]
            },
            {"type": "object", "properties": {"b": {"type": "string"}, "a": {}}, "required": ["b"]},
        ),
    ],
)
def test_an_input_schema_is_an_object(schema: dict[str, object] | None, sent: dict[str, object]) -> None:
    body, _, _ = encode(openai(ASK, tools=[ToolDefinition("f", json_schema=schema)]))
    assert json.dumps(body["tools"][0]["input_schema"]) == json.dumps(sent)


def test_a_free_text_tool_takes_one_string() -> None:
    call = ToolCallPart("a", "patch", "*** Begin", kind="custom")
    body, losses, _ = encode(
        openai(
            ASK,
            Message("assistant", [call]),
            Message("tool", "ok", tool_call_id="a"),
            tools=[ToolDefinition("patch", kind="custom", raw={"format": {"type": "grammar"}})],
        )
    )
    assert body["tools"][0]["input_schema"]["required"] == ["input"]
    assert body["messages"][1]["content"][0]["input"] == {"input": "*** Begin"}
    assert losses == {"tools[0].format": "knob"}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (ToolChoice("auto"), {"type": "auto"}),
        (ToolChoice("required"), {"type": "any"}),
        (ToolChoice("named", ("g",)), {"type": "tool", "name": "g"}),
        (ToolChoice("none", parallel=False), {"type": "none"}),
        (ToolChoice(parallel=False), {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice("required", parallel=False), {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice(parallel=True), None),
        (ToolChoice("allowed", ("g",), forced=True), {"type": "any"}),
    ],
)
def test_tool_choice_maps(choice: ToolChoice, sent: dict[str, object] | None) -> None:
    body, losses, _ = encode(openai(ASK, tools=[ToolDefinition("f"), ToolDefinition("g")], tool_choice=choice))
    assert body.get("tool_choice") == sent
    assert [tool["name"] for tool in body["tools"]] == (["g"] if choice.mode == "allowed" else ["f", "g"])
    assert losses == {}


def test_tool_choice_needs_tools() -> None:
    assert encode(openai(ASK, tool_choice=ToolChoice("none")))[:2] == (encode(openai(ASK))[0], {})
    assert encode(openai(ASK, tools=[], tool_choice=ToolChoice("required")))[1] == {"tool_choice": "knob"}


@pytest.mark.parametrize(
    ("settings", "sent", "lost"),
    [
        ({"temperature": 1.7}, {"temperature": 1}, {"temperature"}),
        ({"temperature": 0.2, "top_p": 0.5}, {"temperature": 0.2}, {"top_p"}),
        ({"temperature": 0.2, "top_p": 1}, {"temperature": 0.2}, set()),
        ({"top_p": 0.5, "top_k": 3}, {"top_p": 0.5, "top_k": 3}, set()),
        ({"seed": 1, "logit_bias": {"1": 2.0}}, {}, {"seed", "logit_bias"}),
        ({"presence_penalty": 0.0, "logprobs": False}, {}, set()),
        (
            {"frequency_penalty": 0.1, "logprobs": True, "top_logprobs": 2},
            {},
            {"frequency_penalty", "logprobs", "top_logprobs"},
        ),
        ({"stop": ["", "\n", "END"]}, {"stop_sequences": ["END"]}, {"stop"}),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}, set()),
        ({"service_tier": "flex"}, {}, {"service_tier"}),
        ({"metadata": {"user_id": "u", "team": "x"}}, {"metadata": {"user_id": "u"}}, {"metadata.team"}),
        ({"safety": Safety(user="u", identifier="i")}, {"metadata": {"user_id": "i"}}, set()),
        ({"safety": Safety(settings=[1], moderation=1)}, {}, {"safety.settings", "safety.moderation"}),
        ({"cache": CachePolicy(key="k", retention="24h")}, {}, {"cache.key", "cache.retention"}),
        (
            {"cache": CachePolicy(mark=CacheMark(ttl="24h"))},
            {"cache_control": {"type": "ephemeral", "ttl": "1h"}},
            {"cache.mark.cache.ttl"},
        ),
        ({"stream": True}, {"stream": True}, set()),
        ({"continuation": Continuation(store=False, truncation="disabled")}, {}, set()),
        ({"continuation": Continuation(truncation="auto")}, {}, {"continuation.truncation"}),
        ({"extra": {"logit_wish": 1, "nothing": None}}, {}, {"logit_wish"}),
    ],
)
def test_settings_map_or_are_recorded(settings: dict[str, Any], sent: dict[str, object], lost: set[str]) -> None:
    plain, _, _ = encode(openai(ASK))
    body, losses, _ = encode(openai(ASK, **settings))
    assert body == {**plain, **sent}
    assert set(losses) == lost
    assert set(losses.values()) <= {"knob"}


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"n": 2}, "n"),
        ({"output": OutputFormat(modalities=("text", "audio"))}, "output.modalities"),
        ({"output": OutputFormat(audio={"voice": "x"})}, "output.audio"),
        ({"continuation": Continuation(previous_id="r")}, "continuation.previous_id"),
        ({"continuation": Continuation(conversation="c")}, "continuation.conversation"),
        ({"continuation": Continuation(background=True)}, "continuation.background"),
        ({"continuation": Continuation(context_management=[1])}, "continuation.context_management"),
        ({"cache": CachePolicy(cached_content="c")}, "cache.cached_content"),
    ],
)
def test_what_the_caller_would_miss_is_content(settings: dict[str, Any], path: str) -> None:
    assert encode(openai(ASK, **settings))[1] == {path: "content"}


def test_a_limit_over_the_model_s_is_lowered() -> None:
    body, losses, _ = encode(openai(ASK, max_tokens=9000), replace(PROFILE, max_output_tokens=8000))
    assert body["max_tokens"] == 8000
    assert losses == {"max_tokens": "knob"}


@pytest.mark.parametrize(
    ("reasoning", "limit", "thinking", "max_tokens", "lost"),
    [
        (Reasoning(effort="high"), None, {"type": "enabled", "budget_tokens": 16384}, 16384 + 4096, set()),
        (Reasoning(effort="high"), 8000, {"type": "enabled", "budget_tokens": 6000}, 8000, {"reasoning"}),
        (Reasoning(effort="low"), 500, None, 500, {"reasoning"}),
        (Reasoning(effort="none"), None, {"type": "disabled"}, 4096, set()),
        (Reasoning(budget_tokens=0), None, {"type": "disabled"}, 4096, set()),
        (Reasoning(budget_tokens=100), None, {"type": "enabled", "budget_tokens": 1024}, 4196, {"reasoning"}),
        (
            Reasoning(budget_tokens=-1, include=True),
            None,
            {"type": "enabled", "budget_tokens": 8192, "display": "summarized"},
            12288,
            set(),
        ),
        (Reasoning(effort="wild"), None, {"type": "enabled", "budget_tokens": 8192}, 12288, {"reasoning.effort"}),
        (
            Reasoning(summary="none", effort="minimal"),
            None,
            {"type": "enabled", "budget_tokens": 1024, "display": "omitted"},
            5120,
            set(),
        ),
        (Reasoning(summary="auto"), None, None, 4096, set()),
    ],
)
def test_effort_becomes_a_budget_below_the_limit(
    reasoning: Reasoning, limit: int | None, thinking: object, max_tokens: int, lost: set[str]
) -> None:
    body, losses, _ = encode(openai(ASK, reasoning=reasoning, max_tokens=limit))
    assert body.get("thinking") == thinking
    assert body["max_tokens"] == max_tokens
    assert set(losses) == lost


def test_the_limit_of_the_model_bounds_the_budget() -> None:
    body, _, _ = encode(openai(ASK, reasoning=Reasoning(effort="max")), replace(PROFILE, max_output_tokens=8192))
    assert body["max_tokens"] == 8192
    assert body["thinking"]["budget_tokens"] == 6144


@pytest.mark.parametrize(
    ("reasoning", "thinking", "effort", "lost"),
    [
        (Reasoning(effort="high"), {"type": "adaptive"}, "high", set()),
        (Reasoning(effort="minimal"), {"type": "adaptive"}, "low", {"reasoning.effort"}),
        (Reasoning(effort="xhigh"), {"type": "adaptive"}, "high", {"reasoning.effort"}),
        (Reasoning(budget_tokens=5000), {"type": "adaptive"}, "medium", {"reasoning.budget_tokens"}),
        (Reasoning(effort="none"), {"type": "disabled"}, None, set()),
        (Reasoning(mode="adaptive", include=False), {"type": "adaptive", "display": "omitted"}, None, set()),
    ],
)
def test_an_adaptive_model_gets_the_effort(
    reasoning: Reasoning, thinking: object, effort: str | None, lost: set[str]
) -> None:
    body, losses, _ = encode(openai(ASK, reasoning=reasoning), replace(PROFILE, adaptive_thinking=True))
    assert body["thinking"] == thinking
    assert body.get("output_config", {}).get("effort") == effort
    assert set(losses) == lost


def test_thinking_and_sampling_do_not_go_together() -> None:
    settings: dict[str, Any] = {"temperature": 0.3, "top_k": 2, "reasoning": Reasoning(effort="low")}
    body, losses, _ = encode(openai(ASK, **settings))
    assert not {"temperature", "top_k"} & set(body)
    assert losses == {"temperature": "knob", "top_k": "knob"}
    body, losses, _ = encode(openai(ASK, temperature=1, reasoning=Reasoning(effort="low")))
    assert body["temperature"] == 1
    assert losses == {}


def test_a_model_whose_sampling_is_fixed_gets_none() -> None:
    body, losses, _ = encode(openai(ASK, temperature=1, top_p=1), replace(PROFILE, sampling=False))
    assert not {"temperature", "top_p"} & set(body)
    assert set(losses) == {"temperature", "top_p"}


def test_a_forced_tool_does_not_go_with_thinking() -> None:
    request = openai(
        ASK, tools=[ToolDefinition("f")], tool_choice=ToolChoice("required"), reasoning=Reasoning(effort="low")
    )
    body, losses, _ = encode(request)
    assert "thinking" not in body
    assert losses == {"reasoning": "knob"}


def test_a_tool_loop_begun_without_thinking_goes_on_without() -> None:
    turn = [Message("assistant", [ToolCallPart("a", "f")]), Message("tool", "r", tool_call_id="a")]
    request = openai(ASK, *turn, reasoning=Reasoning(effort="low"))
    assert "thinking" not in encode(request)[0]
    assert "thinking" in encode(request, replace(PROFILE, adaptive_thinking=True))[0]
    signed = [
        Message("assistant", [ThinkingPart("t", signature=Signature("s", HOME)), ToolCallPart("a", "f")]),
        turn[1],
    ]
    assert "thinking" in encode(openai(ASK, *signed, reasoning=Reasoning(effort="low")))[0]
    assert (
        "thinking" in encode(openai(ASK, *turn, Message("assistant", "x"), ASK, reasoning=Reasoning(effort="low")))[0]
    )


def test_a_schema_for_the_answer_is_closed_and_keeps_its_order() -> None:
    schema = {
        "type": "object",
        "properties": {
            "z": {"type": "integer", "minimum": 1},
            "a": {"oneOf": [{"type": "null"}, {"type": "object", "properties": {}}]},
        },
        "required": ["z"],
    }
    body, losses, _ = encode(openai(ASK, output=OutputFormat(kind="json_schema", schema=schema, name="n", strict=True)))
    sent = body["output_config"]["format"]
    assert json.dumps(sent) == json.dumps(
        {
            "type": "json_schema",
            "schema": {
                "type": "object",
                "properties": {
                    "z": {"type": "integer", "description": "{minimum: 1}"},
                    "a": {
                        "anyOf": [{"type": "null"}, {"type": "object", "properties": {}, "additionalProperties": False}]
                    },
                },
                "required": ["z"],
                "additionalProperties": False,
            },
        }
    )
    assert losses == {"output.schema.properties.z.minimum": "knob"}


@pytest.mark.parametrize("system", [None, "be kind"])
def test_json_without_a_schema_is_asked_for(system: str | None) -> None:
    body, losses, _ = encode(ChatRequest([ASK], "m", system=system, output=OutputFormat(kind="json")))
    assert "JSON object" in body["system"]
    assert body["system"].startswith(system or "Answer")
    assert losses == {"output": "knob"}


def test_a_model_without_structured_output_is_asked_with_the_schema() -> None:
    request = openai(ASK, output=OutputFormat(kind="json_schema", schema={"type": "object", "title": "T"}))
    body, losses, _ = encode(request, replace(PROFILE, json_schema=False))
    assert '"title":"T"' in body["system"]
    assert "output_config" not in body
    assert losses == {"output": "knob"}


def test_effort_and_schema_share_their_object() -> None:
    request = openai(
        ASK, reasoning=Reasoning(effort="low"), output=OutputFormat(kind="json_schema", schema={"type": "object"})
    )
    body, _, _ = encode(request, replace(PROFILE, adaptive_thinking=True))
    assert set(body["output_config"]) == {"effort", "format"}


def test_strict_tools_go_to_models_that_enforce_schemas() -> None:
    request = openai(ASK, tools=[ToolDefinition("f", json_schema={"type": "object", "properties": {}}, strict=True)])
    assert encode(request)[0]["tools"][0]["strict"] is True
    body, losses, _ = encode(request, replace(PROFILE, json_schema=False))
    assert "strict" not in body["tools"][0]
    assert losses == {"tools[0].strict": "knob"}


def test_options_for_this_dialect_and_provider_win_and_others_stay_away() -> None:
    options = {
        "anthropic": {"top_k": 7, "output_config": {"task_budget": 1}, "model": "other"},
        "gemini": {"secret": 1},
    }
    body, losses, _ = encode(
        openai(ASK, reasoning=Reasoning(effort="low"), provider_options=options),
        replace(PROFILE, adaptive_thinking=True),
    )
    assert body["top_k"] == 7
    assert body["output_config"] == {"effort": "low", "task_budget": 1}
    assert body["model"] == "claude-x"
    assert "secret" not in body
    assert losses == {"provider_options.anthropic.model": "knob"}


def test_fast_mode_tells_the_header_it_needs() -> None:
    assert encode(openai(ASK, speed="fast"))[2].headers == {"anthropic-beta": "fast-mode-2026-02-01"}


def test_counting_sends_the_prompt_and_nothing_about_the_answer() -> None:
    assert DIALECT.count is not None
    request = openai(
        Message("system", "s"), ASK, tools=[ToolDefinition("f.g")], temperature=0.1, stream=True, max_tokens=4
    )
    encoded = DIALECT.count.encode_request(request, PROFILE)
    body = json.loads(encoded.body)
    assert set(body) == {"model", "system", "messages", "tools"}
    assert list(encoded.tool_names.values()) == ["f.g"]


def test_a_native_count_goes_back_unchanged() -> None:
    assert DIALECT.count is not None
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "compaction": {},
    }
    request = DIALECT.count.decode_request(json.dumps(body).encode())
    assert json.loads(DIALECT.count.encode_request(request, PROFILE).body) == body
    assert DIALECT.count.path("m") == "/v1/messages/count_tokens"
    assert DIALECT.count.decode_response(DIALECT.count.encode_response(7)) == 7
