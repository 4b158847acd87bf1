"""Tools and settings of other dialects, fitted to a Gemini target."""

import json

import pytest

from dialects.gemini.asking import AWAY, HOME, PROFILE, ask, contents, encode, turn
from execution_platform.dialects import envelope
from execution_platform.dialects.gemini import DIALECT
from execution_platform.spi import (
    CacheMark,
    CachePolicy,
    Continuation,
    Message,
    ModelProfile,
    OutputFormat,
    Reasoning,
    Safety,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolChoice,
    ToolDefinition,
    ToolResultPart,
)

# Tools


def test_schemas_take_the_form_of_the_target():
    schema = {
        "type": "object",
        "properties": {"b": {"type": ["string", "null"]}, "a": {"const": "k"}},
        "additionalProperties": False,
    }
    tools = [
        ToolDefinition("f", "does f", json_schema=schema, strict=True),
        ToolDefinition("g"),
        ToolDefinition("h", "", {"type": "object", "properties": {}}),
    ]
    wire, losses, _ = encode(ask(tools=tools))
    parameters = {
        "type": "object",
        "properties": {"b": {"type": "string", "nullable": True}, "a": {"type": "string", "enum": ["k"]}},
    }
    assert wire["tools"] == [
        {
            "functionDeclarations": [
                {"name": "f", "description": "does f", "parameters": parameters},
                {"name": "g"},
                {"name": "h", "description": ""},
            ]
        }
    ]
    assert list(wire["tools"][0]["functionDeclarations"][0]["parameters"]["properties"]) == ["b", "a"]
    assert losses == ["knob tools[0].parameters.additionalProperties", "knob tools[0].strict"]
    as_is = encode(ask(tools=tools), ModelProfile())[0]["tools"][0]["functionDeclarations"][0]
    assert as_is["parametersJsonSchema"] == schema


def test_names_the_target_refuses_are_changed_and_told():
    names = ["mcp/server.tool", "1st", "x" * 70, "dots.are-fine:here"]
    tools = [ToolDefinition(name) for name in names]
    history = [
        Message("user", "q"),
        Message("assistant", [ToolCallPart("c", "mcp/server.tool", "{}"), ToolCallPart("d", "old/one", "{}")]),
        Message("tool", "r", tool_call_id="c"),
    ]
    wire, _, encoded = encode(ask(*history, tools=tools, tool_choice=ToolChoice("named", ("1st",))))
    sent = [tool["name"] for tool in wire["tools"][0]["functionDeclarations"]]
    assert len(set(sent)) == 4
    assert sent[3] == "dots.are-fine:here"
    assert all(len(name) <= 64 for name in sent)
    assert encoded.tool_names == dict(zip(sent[:3], names[:3], strict=True))
    assert wire["contents"][1]["parts"][0]["functionCall"]["name"] == sent[0]
    assert wire["contents"][1]["parts"][1]["functionCall"]["name"].startswith("old_one_")
    assert wire["contents"][2]["parts"][0]["functionResponse"]["name"] == sent[0]
    assert wire["toolConfig"]["functionCallingConfig"] == {"mode": "ANY", "allowedFunctionNames": [sent[1]]}


@pytest.mark.parametrize(
    ("choice", "wire", "losses"),
    [
        (ToolChoice("auto"), {"mode": "AUTO"}, []),
        (ToolChoice("none", parallel=True), {"mode": "NONE"}, []),
        (ToolChoice("required", parallel=False), {"mode": "ANY"}, ["knob tool_choice.parallel"]),
        (ToolChoice("named", ("f",)), {"mode": "ANY", "allowedFunctionNames": ["f"]}, []),
        (ToolChoice("allowed", ("f", "g"), forced=True), {"mode": "ANY", "allowedFunctionNames": ["f", "g"]}, []),
        (ToolChoice("allowed", ("f",)), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}, []),
        (ToolChoice("auto", extra={"x": 1, "y": None}), {"mode": "AUTO"}, ["knob tool_choice.x"]),
    ],
)
def test_choices_among_tools(choice, wire, losses):
    body, told, _ = encode(ask(tools=[ToolDefinition("f"), ToolDefinition("g")], tool_choice=choice))
    assert body["toolConfig"] == {"functionCallingConfig": wire}
    assert told == losses


def test_without_tools_there_is_nothing_to_choose():
    wire, losses, _ = encode(ask(tools=[], tool_choice=ToolChoice("auto")))
    assert wire.keys() == {"contents"}
    assert losses == []


def test_tools_that_others_run_are_a_loss_of_content_but_for_a_search():
    wire, losses, _ = encode(
        ask(
            tools=[
                ToolDefinition("web_search", kind="server", dialect="anthropic", raw={"type": "web_search_20250305"}),
                ToolDefinition("bash", kind="server", dialect="anthropic", raw={"type": "bash_20250124"}),
                ToolDefinition("f", extra={"x": 1}, dialect="anthropic", cache=CacheMark()),
            ]
        )
    )
    assert wire["tools"] == [{"functionDeclarations": [{"name": "f"}]}]
    assert losses == ["knob tools[0]", "content tools[1]", "knob tools[2].cache", "knob tools[2].x"]


def test_a_tool_added_to_a_gemini_request_joins_its_functions():
    body = {
        "contents": [turn("user", {"text": "x"})],
        "tools": [{"functionDeclarations": [{"name": "a"}]}, {"googleSearch": {}}],
    }
    request = DIALECT.decode_request(json.dumps(body).encode())
    from dataclasses import replace

    wire = encode(
        replace(
            request,
            tools=(
                *request.tools,
                ToolDefinition("b", json_schema={"type": "object", "properties": {"x": {"type": "string"}}}),
            ),
        )
    )[0]
    assert wire["tools"][0]["functionDeclarations"] == [
        {"name": "a"},
        {"name": "b", "parameters": {"type": "object", "properties": {"x": {"type": "string"}}}},
    ]
    changed = encode(replace(request, tools=(replace(request.tools[0], description="new"),)))[0]
    assert changed["tools"] == [{"functionDeclarations": [{"name": "a", "description": "new"}]}]


# Settings


def config(profile=PROFILE, **settings):
    wire, losses, _ = encode(ask(**settings), profile)
    return wire.get("generationConfig", {}), losses


def test_plain_settings_have_their_names():
    given = dict(
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        max_tokens=9,
        stop=["a"],
        seed=1,
        n=2,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logprobs=True,
        top_logprobs=4,
    )
    assert config(**given) == (
        {
            "temperature": 0.5,
            "topP": 0.9,
            "topK": 3,
            "candidateCount": 2,
            "maxOutputTokens": 9,
            "stopSequences": ["a"],
            "seed": 1,
            "presencePenalty": 0.1,
            "frequencyPenalty": 0.2,
            "responseLogprobs": True,
            "logprobs": 4,
        },
        [],
    )


def test_what_the_model_refuses_is_left_out_with_a_note():
    profile = ModelProfile(
        sampling=False, seed=False, penalties=False, multiple_outputs=False, max_output_tokens=5, max_stop_sequences=1
    )
    wire, losses = config(
        profile,
        temperature=0.5,
        top_p=1,
        top_k=1,
        seed=1,
        presence_penalty=1,
        frequency_penalty=1,
        logprobs=True,
        n=2,
        max_tokens=9,
        stop=["", "a", "b"],
    )
    assert wire == {"maxOutputTokens": 5, "stopSequences": ["a"]}
    assert losses == [
        "knob max_tokens",
        "knob stop",
        "knob temperature",
        "knob top_p",
        "knob top_k",
        "knob seed",
        "knob presence_penalty",
        "knob frequency_penalty",
        "knob logprobs",
        "content n",
    ]
    assert config(ModelProfile(stop_sequences=False), stop=["a"]) == ({}, ["knob stop"])


def test_settings_without_a_place_are_told():
    request = ask(
        logit_bias={"1": 2},
        speed="fast",
        region="eu",
        cache=CachePolicy(key="k", cached_content="cachedContents/x"),
        safety=Safety(user="u", identifier="i", settings=[1]),
        metadata={"Team": "A"},
        service_tier="scale",
        continuation=Continuation(previous_id="r", background=True, store=True, truncation="auto"),
        extra={"x": 1, "y": None},
    )
    wire, losses, _ = encode(request)
    assert wire == {"contents": [turn("user", {"text": "hi"})]}
    content = ["content continuation.previous_id", "content continuation.background"]
    knobs = "logit_bias speed region service_tier metadata cache.key cache.cached_content safety.settings safety.identifier safety.user continuation.truncation continuation.store x"
    assert sorted(losses) == sorted([*content, *(f"knob {name}" for name in knobs.split())])


def test_tiers_and_labels_that_have_a_place_take_it():
    assert encode(ask(service_tier="default"))[0].keys() == {"contents"}
    wire, losses, _ = encode(
        ask(service_tier="priority", metadata={"team": "a-1"}, continuation=Continuation(store=False))
    )
    assert (wire["serviceTier"], wire["labels"], losses) == ("priority", {"team": "a-1"}, [])


BUDGET = ModelProfile(thinking_budget_min=512, effort_levels=("low", "medium", "high"))
LEVEL = ModelProfile(adaptive_thinking=True, effort_levels=("low", "high"))


@pytest.mark.parametrize(
    ("profile", "reasoning", "wire", "losses"),
    [
        (BUDGET, Reasoning(effort="medium"), {"thinkingBudget": 8192}, []),
        (BUDGET, Reasoning(effort="none"), {"thinkingBudget": 512}, ["knob reasoning"]),
        (ModelProfile(thinking_budget_min=0), Reasoning(effort="none"), {"thinkingBudget": 0}, []),
        (ModelProfile(thinking_budget_min=0), Reasoning(mode="disabled"), {"thinkingBudget": 0}, []),
        (BUDGET, Reasoning(effort="huge"), {}, ["knob reasoning.effort"]),
        (BUDGET, Reasoning(effort="low", budget_tokens=600), {"thinkingBudget": 600}, ["knob reasoning.effort"]),
        (BUDGET, Reasoning(mode="adaptive"), {"thinkingBudget": -1}, []),
        (BUDGET, Reasoning(summary="detailed"), {"includeThoughts": True}, ["knob reasoning.summary"]),
        (BUDGET, Reasoning(summary="auto"), {"includeThoughts": True}, []),
        (BUDGET, Reasoning(include=False), {"includeThoughts": False}, []),
        (BUDGET, Reasoning(extra={"x": 1}), {}, ["knob reasoning.x"]),
        (LEVEL, Reasoning(effort="high"), {"thinkingLevel": "HIGH"}, []),
        (LEVEL, Reasoning(effort="minimal"), {"thinkingLevel": "LOW"}, ["knob reasoning.effort"]),
        (LEVEL, Reasoning(effort="xhigh"), {"thinkingLevel": "HIGH"}, ["knob reasoning.effort"]),
        (LEVEL, Reasoning(mode="disabled"), {"thinkingLevel": "LOW"}, ["knob reasoning.effort"]),
        (LEVEL, Reasoning(budget_tokens=20000), {"thinkingLevel": "HIGH"}, ["knob reasoning.budget_tokens"]),
        (LEVEL, Reasoning(effort="low", budget_tokens=1), {"thinkingLevel": "LOW"}, ["knob reasoning.budget_tokens"]),
        (LEVEL, Reasoning(mode="adaptive"), {}, []),
    ],
)
def test_reasoning_speaks_the_models_way(profile, reasoning, wire, losses):
    found, told = config(profile, reasoning=reasoning)
    assert found.get("thinkingConfig", {}) == wire
    assert told == losses


SCHEMA = {"type": "object", "properties": {"a": {"type": ["string", "null"]}}}


@pytest.mark.parametrize(
    ("profile", "output", "wire", "losses"),
    [
        (PROFILE, OutputFormat(), {}, []),
        (PROFILE, OutputFormat(kind="json"), {"responseMimeType": "application/json"}, []),
        (
            PROFILE,
            OutputFormat(kind="json_schema", schema=SCHEMA, name="n", strict=True, description="d"),
            {
                "responseMimeType": "application/json",
                "responseSchema": {
                    "type": "object",
                    "properties": {"a": {"type": "string", "nullable": True}},
                    "description": "d",
                },
            },
            [],
        ),
        (
            ModelProfile(),
            OutputFormat(kind="json_schema", schema=SCHEMA),
            {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
            [],
        ),
        (
            ModelProfile(json_schema=False),
            OutputFormat(kind="json_schema", schema=SCHEMA),
            {"responseMimeType": "application/json"},
            ["knob output.schema"],
        ),
        (ModelProfile(json_mode=False), OutputFormat(kind="json"), {}, ["knob output"]),
        (PROFILE, OutputFormat(modalities=("text", "image")), {"responseModalities": ["TEXT", "IMAGE"]}, []),
        (
            PROFILE,
            OutputFormat(audio={"voice": "Kore", "format": "wav"}, image={"x": 1}, verbosity="low", extra={"z": 1}),
            {"speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}}},
            ["knob output.audio.format", "knob output.image", "knob output.verbosity", "knob output.z"],
        ),
    ],
)
def test_the_form_of_the_answer(profile, output, wire, losses):
    assert config(profile, output=output) == (wire, losses)


def test_json_beside_tools_waits_for_a_model_that_can_do_both():
    request = ask(output=OutputFormat(kind="json"), tools=[ToolDefinition("f")])
    assert "generationConfig" in encode(request)[0]
    wire, losses, _ = encode(request, ModelProfile(extra={"json_with_tools": False}))
    assert "generationConfig" not in wire
    assert losses == ["knob output"]


def test_the_callers_own_words_for_this_target_win():
    options = {"gemini": {"generationConfig": {"topK": 7}, "x": 1}, "openai": {"y": 1}, "anthropic": {"z": 1}}
    wire, losses, _ = encode(ask(temperature=1, top_k=2, provider_options=options))
    assert wire["generationConfig"] == {"temperature": 1, "topK": 7}
    assert wire["x"] == 1
    assert "y" not in wire
    assert "z" not in wire
    assert losses == []
    by_provider = encode(
        ask(provider_options={"vertex": {"labels": {"a": "b"}}}), ModelProfile(extra={"provider": "vertex"})
    )[0]
    assert by_provider["labels"] == {"a": "b"}


def test_the_model_in_a_body_is_the_targets():
    body = {"model": "models/asked", "contents": [turn("user", {"text": "x"})]}
    from dataclasses import replace

    request = replace(DIALECT.decode_request(json.dumps(body).encode()), model="gemini-2.5-pro")
    assert encode(request)[0]["model"] == "models/gemini-2.5-pro"


def test_persona_text_added_to_a_gemini_request_joins_its_system_text():
    body = {
        "systemInstruction": {"role": "user", "parts": [{"text": "mine"}]},
        "contents": [turn("user", {"text": "x"})],
    }
    from dataclasses import replace

    request = DIALECT.decode_request(json.dumps(body).encode())
    request = replace(request, messages=(Message("system", "persona", placement="top"), *request.messages))
    assert encode(request)[0]["systemInstruction"]["parts"] == [{"text": "persona"}, {"text": "mine"}]


def test_results_of_a_tool_run_join_in_a_gemini_request():
    body = {
        "contents": [
            turn("user", {"text": "x"}),
            turn("model", {"functionCall": {"name": "f", "args": {}}}, {"functionCall": {"name": "g", "args": {}}}),
        ]
    }
    from dataclasses import replace

    request = DIALECT.decode_request(json.dumps(body).encode())
    calls = request.messages[1].tool_calls
    results = [Message("tool", [ToolResultPart(call.call_id, (TextPart(call.name),))]) for call in calls]
    request = replace(request, messages=(*request.messages, *results))
    wire = encode(request)[0]
    assert wire["contents"][2:] == [
        turn(
            "user",
            {"functionResponse": {"name": "f", "response": {"output": "f"}}},
            {"functionResponse": {"name": "g", "response": {"output": "g"}}},
        )
    ]


def test_an_envelope_in_plain_form_is_opened_too():
    sealed = envelope.seal(Signature("S", AWAY))
    body = {"contents": [turn("model", {"text": "hm", "thought": True, "thoughtSignature": sealed})]}
    part = DIALECT.decode_request(json.dumps(body).encode()).messages[0].parts[0]
    assert part == ThinkingPart("hm", signature=Signature("S", AWAY))


def test_an_unsigned_call_gets_a_placeholder_where_the_model_demands_a_signature():
    profile = ModelProfile(extra={"signature_placeholder": "skip_thought_signature_validator"})
    calls = [ToolCallPart("c1", "f", "{}"), ToolCallPart("c2", "g", "{}")]
    found, _ = contents(Message("user", "q"), Message("assistant", [TextPart("x"), *calls]), profile=profile)
    assert [part.get("thoughtSignature") for part in found[1]["parts"]] == [
        None,
        "skip_thought_signature_validator",
        None,
    ]
    signed = ToolCallPart("c1", "f", "{}", signature=Signature("A", HOME, "thought"))
    found, _ = contents(Message("assistant", [signed, calls[1]]), profile=profile)
    assert [part.get("thoughtSignature") for part in found[0]["parts"]] == ["A", None]
