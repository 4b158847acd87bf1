"""Requests of other dialects, fitted to a Gemini target."""

import json

import pytest

from execution_platform.dialects import envelope
from execution_platform.dialects.gemini import DIALECT
from execution_platform.spi import (
    CacheMark,
    CachePolicy,
    ChatRequest,
    Citation,
    CompactionPart,
    Continuation,
    FileRef,
    Inline,
    MediaPart,
    Message,
    ModelProfile,
    OpaquePart,
    Origin,
    OutputFormat,
    PartsSource,
    Reasoning,
    Safety,
    Signature,
    TextPart,
    TextSource,
    ThinkingPart,
    ToolCallPart,
    ToolChoice,
    ToolDefinition,
    ToolResultPart,
    Url,
)

AWAY = Origin(dialect="anthropic", provider="anthropic")
HOME = Origin(dialect="gemini", provider="gemini")
PROFILE = ModelProfile(
    schema_flavor="openapi", url_media=frozenset(), thinking_replay="native", mid_system="inline", max_stop_sequences=5, logprobs=True, extra={"provider": "gemini"}
)


def encode(request, profile=PROFILE):
    encoded = DIALECT.encode_request(request, profile)
    return json.loads(encoded.body), [f"{loss.severity} {loss.path}" for loss in encoded.losses], encoded


def ask(*messages, **settings):
    return ChatRequest(messages or [Message("user", "hi")], "gemini-2.5-flash", dialect=settings.pop("dialect", "openai_chat"), **settings)


def contents(*messages, profile=PROFILE):
    wire, losses, _ = encode(ask(*messages), profile)
    return wire["contents"], losses


def from_part(part, role="user", profile=PROFILE):
    found, losses = contents(Message(role, [part]), profile=profile)
    return (found[0]["parts"] if found else []), losses


def turn(role, *parts):
    return {"role": role, "parts": list(parts)}


def test_leading_system_text_gets_the_slot_of_its_own():
    wire, losses, _ = encode(ask(Message("system", "a"), Message("developer", "b"), Message("user", "hi")))
    assert wire == {"systemInstruction": {"parts": [{"text": "a"}, {"text": "b"}]}, "contents": [turn("user", {"text": "hi"})]}
    assert losses == []


def test_system_text_in_mid_conversation_stays_where_it_was_as_a_reminder():
    found, losses = contents(Message("user", "a"), Message("system", "s"), Message("assistant", "b"), Message("system", "t"), Message("user", "c"))
    assert found == [
        turn("user", {"text": "a"}, {"text": "<system-reminder>\ns\n</system-reminder>"}),
        turn("model", {"text": "b"}),
        turn("user", {"text": "<system-reminder>\nt\n</system-reminder>"}, {"text": "c"}),
    ]
    assert losses == []


def test_a_model_without_system_prompts_gets_a_reminder():
    found, _ = contents(Message("system", "s"), Message("user", "a"), profile=ModelProfile(system_prompts=False))
    assert found == [turn("user", {"text": "<system-reminder>\ns\n</system-reminder>"}, {"text": "a"})]


def test_system_text_alone_becomes_the_turn_that_the_target_demands():
    wire, losses, _ = encode(ask(Message("system", "s")))
    assert wire == {"contents": [turn("user", {"text": "s"})]}
    assert losses == ["knob messages"]


def test_turns_of_one_speaker_become_one_and_empty_ones_none():
    found, losses = contents(Message("user", "a"), Message("user", ""), Message("user", [TextPart("b"), TextPart("")]), Message("assistant", "c", name="bot"))
    assert found == [turn("user", {"text": "a"}, {"text": "b"}), turn("model", {"text": "c"})]
    assert losses == ["knob messages[3].name"]


def test_an_answer_to_be_continued_needs_a_model_that_does():
    messages = [Message("user", "a"), Message("assistant", "b")]
    assert contents(*messages)[1] == []
    assert contents(*messages, profile=ModelProfile(prefill=False))[1] == ["content messages[1]"]


def test_results_follow_their_calls_in_their_order_under_their_names():
    calls = [ToolCallPart("c1", "f", '{"a": 1}'), ToolCallPart("c2", "g", ""), ToolCallPart("epc_3", "f", "{}", synthetic_id=True)]
    found, losses = contents(
        Message("user", "q"),
        Message("assistant", [TextPart("ok"), *calls]),
        Message("tool", "third", tool_call_id="epc_3"),
        Message("tool", [ToolResultPart("c2", (TextPart("boom"),), is_error=True)]),
        Message("user", [TextPart("and"), ToolResultPart("c1", (TextPart("x"), TextPart("y")))]),
    )
    assert found[1] == turn(
        "model",
        {"text": "ok"},
        {"functionCall": {"name": "f", "args": {"a": 1}, "id": "c1"}},
        {"functionCall": {"name": "g", "args": {}, "id": "c2"}},
        {"functionCall": {"name": "f", "args": {}}},
    )
    assert found[2] == turn(
        "user",
        {"functionResponse": {"name": "f", "response": {"output": ["x", "y"]}, "id": "c1"}},
        {"functionResponse": {"name": "g", "response": {"error": "boom"}, "id": "c2"}},
        {"functionResponse": {"name": "f", "response": {"output": "third"}}},
        {"text": "and"},
    )
    assert losses == []


def test_a_result_without_its_call_or_text_is_sent_all_the_same():
    found, losses = contents(Message("user", [ToolResultPart("c9"), ToolResultPart("c8", name="h")]))
    assert found == [
        turn("user", {"functionResponse": {"name": "c9", "response": {"output": ""}, "id": "c9"}}, {"functionResponse": {"name": "h", "response": {"output": ""}, "id": "c8"}})
    ]
    assert losses == ["knob messages[0].content[0].name"]


@pytest.mark.parametrize("inside", [True, False])
def test_media_of_a_result_stays_inside_or_follows_it(inside):
    image = MediaPart("image", Inline("image/png", "QUJD"))
    result = ToolResultPart("c1", (TextPart("see"), image), name="f")
    found, losses = contents(Message("user", [result, TextPart("?")]), profile=ModelProfile(tool_result_media=inside))
    response = {"name": "f", "response": {"output": "see"}, "id": "c1"}
    media = {"inlineData": {"mimeType": "image/png", "data": "QUJD"}}
    if inside:
        assert found[0]["parts"] == [{"functionResponse": {**response, "parts": [media]}}, {"text": "?"}]
    else:
        assert found[0]["parts"] == [{"functionResponse": response}, media, {"text": "?"}]
    assert losses == []


@pytest.mark.parametrize(
    ("arguments", "args", "is_lost"),
    [('{"z": 1, "a": 2}', {"z": 1, "a": 2}, False), ("", {}, False), ("  ", {}, False), ("[1]", {"_unparsed_arguments": "[1]"}, True), ('{"a"', {"_unparsed_arguments": '{"a"'}, True)],
)
def test_arguments_become_an_object(arguments, args, is_lost):
    found, losses = from_part(ToolCallPart("c", "f", arguments), "assistant")
    assert found[0]["functionCall"]["args"] == args
    assert list(found[0]["functionCall"]["args"]) == list(args)
    assert losses == (["knob messages[0].content[0].arguments"] if is_lost else [])


def test_wrapped_arguments_are_taken_out_again():
    body = {"contents": [turn("model", {"functionCall": {"name": "f", "args": {"_unparsed_arguments": "[1"}}})]}
    assert DIALECT.decode_request(json.dumps(body).encode()).messages[0].tool_calls[0].arguments == "[1"


def test_a_free_text_tool_is_a_function_of_one_text():
    tool = ToolDefinition("patch", "p", kind="custom")
    wire, losses, _ = encode(ask(Message("user", "a"), Message("assistant", [ToolCallPart("c", "patch", "*** Begin", kind="custom")]), tools=[tool]))
    assert wire["tools"] == [{"functionDeclarations": [{"name": "patch", "description": "p", "parameters": {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}}]}]
    assert wire["contents"][1]["parts"] == [{"functionCall": {"name": "patch", "args": {"input": "*** Begin"}, "id": "c"}}]
    assert losses == []


@pytest.mark.parametrize(
    "part",
    [
        ToolCallPart("c", "web_search", "{}", kind="server"),
        ToolCallPart("c", "t", "{}", kind="mcp"),
        ToolResultPart("c", kind="server"),
        OpaquePart("anthropic", {"type": "x"}),
        MediaPart("image", FileRef("file_1", AWAY)),
        MediaPart("video", Url("https://x.test/a.mp4")),
    ],
)
def test_what_the_target_cannot_have_is_a_loss_of_content(part):
    found, losses = from_part(part)
    assert found == [{"text": "hi"}] or found == []
    assert losses == ["content messages[0].content[0]"]


@pytest.mark.parametrize(
    ("part", "wire"),
    [
        (MediaPart("image", Inline("image/png", "QUJD"), detail="auto"), {"inlineData": {"mimeType": "image/png", "data": "QUJD"}}),
        (MediaPart("image", Inline("", "data:image/gif;base64,QUJD")), {"inlineData": {"mimeType": "image/gif", "data": "QUJD"}}),
        (MediaPart("image", Url("data:image/gif;base64,QUJD")), {"inlineData": {"mimeType": "image/gif", "data": "QUJD"}}),
        (MediaPart("video", Url("https://youtu.be/x")), {"fileData": {"fileUri": "https://youtu.be/x"}}),
        (MediaPart("document", Url("gs://b/o.pdf")), {"fileData": {"fileUri": "gs://b/o.pdf", "mimeType": "application/pdf"}}),
        (MediaPart("image", FileRef("files/a", HOME, "image/png")), {"fileData": {"fileUri": "files/a", "mimeType": "image/png"}}),
        (MediaPart("document", TextSource("words")), {"text": "words"}),
        (MediaPart("document", PartsSource((TextPart("inner"),))), {"text": "inner"}),
        (CompactionPart("summary"), {"text": "summary"}),
        (TextPart("no", refusal=True), {"text": "no"}),
        (OpaquePart("gemini", {"futurePart": 1}), {"futurePart": 1}),
    ],
)
def test_media_and_other_parts_take_the_wires_form(part, wire):
    assert from_part(part) == ([wire], [])


def test_a_url_goes_to_a_model_that_fetches_it():
    profile = ModelProfile(url_media=frozenset({"image", "document"}))
    assert from_part(MediaPart("image", Url("https://x.test/a.png?x=1")), profile=profile)[0] == [{"fileData": {"fileUri": "https://x.test/a.png?x=1", "mimeType": "image/png"}}]
    assert from_part(MediaPart("image", Url("https://x.test/a")), profile=profile)[0][0]["fileData"]["mimeType"] == "image/jpeg"


def test_small_print_of_parts_is_lost_with_a_note():
    part = MediaPart("document", Inline("application/pdf", "QUJD"), title="t", context="c", detail="high", citations_enabled=True, cache=CacheMark(ttl="5m"), extra={"x": 1})
    found, losses = from_part(part)
    assert found == [{"inlineData": {"mimeType": "application/pdf", "data": "QUJD"}}]
    assert sorted(losses) == sorted(f"knob messages[0].content[0].{name}" for name in ("title", "context", "detail", "citations_enabled", "cache", "x"))
    cited = TextPart("x", citations=(Citation(kind="url", url="https://x.test"),))
    assert from_part(cited) == ([{"text": "x"}], ["opaque messages[0].content[0].citations"])
    sealed = CompactionPart("", signature=Signature("s", AWAY))
    assert from_part(sealed)[1] == ["opaque messages[0].content[0]"]


# Thoughts and signatures


def test_signatures_go_home_on_exactly_their_part():
    parts = [
        ThinkingPart("hm", signature=Signature("A", HOME, "thought")),
        TextPart("x", signature=Signature("B", HOME, "thought")),
        ToolCallPart("c1", "f", "{}", signature=Signature("C", Origin(dialect="gemini"), "thought")),
        ToolCallPart("c2", "g", "{}"),
        TextPart("", signature=Signature("D", HOME, "thought")),
    ]
    found, losses = contents(Message("user", "q"), Message("assistant", parts))
    assert found[1]["parts"] == [
        {"text": "hm", "thought": True, "thoughtSignature": "A"},
        {"text": "x", "thoughtSignature": "B"},
        {"functionCall": {"name": "f", "args": {}, "id": "c1"}, "thoughtSignature": "C"},
        {"functionCall": {"name": "g", "args": {}, "id": "c2"}},
        {"text": "", "thoughtSignature": "D"},
    ]
    assert losses == []


@pytest.mark.parametrize("origin", [AWAY, Origin(dialect="gemini", provider="vertex")])
def test_signatures_of_others_stay_away(origin):
    found, losses = contents(Message("assistant", [TextPart("x", signature=Signature("S", origin)), ToolCallPart("c", "f", "{}", signature=Signature("S", origin))]))
    assert "S" not in json.dumps(found)
    assert losses == ["opaque messages[0].content[0].signature", "opaque messages[0].content[1].signature"]


@pytest.mark.parametrize(
    ("replay", "wire", "is_lost"),
    [("native", [{"text": "hm", "thought": True}], False), ("tags", [{"text": "<thinking>\nhm\n</thinking>"}], False), ("drop", [], True), ("field", [], True)],
)
def test_thoughts_of_others_are_told_as_the_profile_says(replay, wire, is_lost):
    profile = ModelProfile(thinking_replay=replay)
    found, losses = contents(Message("assistant", [ThinkingPart("hm"), TextPart("x")]), profile=profile)
    assert found[0]["parts"] == [*wire, {"text": "x"}]
    assert losses == (["opaque messages[0].content[0]"] if is_lost else [])
    signed = contents(Message("assistant", [ThinkingPart("hm", signature=Signature("S", AWAY))]), profile=profile)[1]
    assert signed[0] == "opaque messages[0].content[0].signature"


def test_redacted_thoughts_go_home_or_nowhere():
    home = ThinkingPart(redacted=True, signature=Signature("A", HOME, "thought"))
    away = ThinkingPart(redacted=True, signature=Signature("B", AWAY, "redacted"))
    found, losses = contents(Message("assistant", [home, away, TextPart("x")]))
    assert found[0]["parts"] == [{"text": "", "thought": True, "thoughtSignature": "A"}, {"text": "x"}]
    assert losses == ["opaque messages[0].content[1].signature"]


# Tools


def test_schemas_take_the_form_of_the_target():
    schema = {"type": "object", "properties": {"b": {"type": ["string", "null"]}, "a": {"const": "k"}}, "additionalProperties": False}
    tools = [ToolDefinition("f", "does f", json_schema=schema, strict=True), ToolDefinition("g"), ToolDefinition("h", "", {"type": "object", "properties": {}})]
    wire, losses, _ = encode(ask(tools=tools))
    parameters = {"type": "object", "properties": {"b": {"type": "string", "nullable": True}, "a": {"type": "string", "enum": ["k"]}}}
    assert wire["tools"] == [{"functionDeclarations": [{"name": "f", "description": "does f", "parameters": parameters}, {"name": "g"}, {"name": "h", "description": ""}]}]
    assert list(wire["tools"][0]["functionDeclarations"][0]["parameters"]["properties"]) == ["b", "a"]
    assert losses == ["knob tools[0].parameters.additionalProperties", "knob tools[0].strict"]
    as_is = encode(ask(tools=tools), ModelProfile())[0]["tools"][0]["functionDeclarations"][0]
    assert as_is["parametersJsonSchema"] == schema


def test_names_the_target_refuses_are_changed_and_told():
    names = ["mcp/server.tool", "1st", "x" * 70, "dots.are-fine:here"]
    tools = [ToolDefinition(name) for name in names]
    history = [Message("user", "q"), Message("assistant", [ToolCallPart("c", "mcp/server.tool", "{}"), ToolCallPart("d", "old/one", "{}")]), Message("tool", "r", tool_call_id="c")]
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


def test_tools_that_others_run_are_a_loss_of_content():
    wire, losses, _ = encode(ask(tools=[ToolDefinition("web_search", kind="server", dialect="anthropic", raw={"type": "web_search_20250305"}), ToolDefinition("f", extra={"x": 1}, dialect="anthropic", cache=CacheMark())]))
    assert wire["tools"] == [{"functionDeclarations": [{"name": "f"}]}]
    assert losses == ["content tools[0]", "knob tools[1].cache", "knob tools[1].x"]


def test_a_tool_added_to_a_gemini_request_joins_its_functions():
    body = {"contents": [turn("user", {"text": "x"})], "tools": [{"functionDeclarations": [{"name": "a"}]}, {"googleSearch": {}}]}
    request = DIALECT.decode_request(json.dumps(body).encode())
    from dataclasses import replace

    wire = encode(replace(request, tools=(*request.tools, ToolDefinition("b", json_schema={"type": "object", "properties": {"x": {"type": "string"}}}))))[0]
    assert wire["tools"][0]["functionDeclarations"] == [{"name": "a"}, {"name": "b", "parameters": {"type": "object", "properties": {"x": {"type": "string"}}}}]
    changed = encode(replace(request, tools=(replace(request.tools[0], description="new"),)))[0]
    assert changed["tools"] == [{"functionDeclarations": [{"name": "a", "description": "new"}]}]


# Settings


def config(profile=PROFILE, **settings):
    wire, losses, _ = encode(ask(**settings), profile)
    return wire.get("generationConfig", {}), losses


def test_plain_settings_have_their_names():
    given = dict(temperature=0.5, top_p=0.9, top_k=3, max_tokens=9, stop=["a"], seed=1, n=2, presence_penalty=0.1, frequency_penalty=0.2, logprobs=True, top_logprobs=4)
    assert config(**given) == (
        {"temperature": 0.5, "topP": 0.9, "topK": 3, "candidateCount": 2, "maxOutputTokens": 9, "stopSequences": ["a"], "seed": 1, "presencePenalty": 0.1, "frequencyPenalty": 0.2, "responseLogprobs": True, "logprobs": 4},
        [],
    )


def test_what_the_model_refuses_is_left_out_with_a_note():
    profile = ModelProfile(sampling=False, seed=False, penalties=False, multiple_outputs=False, max_output_tokens=5, max_stop_sequences=1)
    wire, losses = config(profile, temperature=0.5, top_p=1, top_k=1, seed=1, presence_penalty=1, frequency_penalty=1, logprobs=True, n=2, max_tokens=9, stop=["", "a", "b"])
    assert wire == {"maxOutputTokens": 5, "stopSequences": ["a"]}
    assert losses == ["knob max_tokens", "knob stop", "knob temperature", "knob top_p", "knob top_k", "knob seed", "knob presence_penalty", "knob frequency_penalty", "knob logprobs", "content n"]
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
    wire, losses, _ = encode(ask(service_tier="priority", metadata={"team": "a-1"}, continuation=Continuation(store=False)))
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
            {"responseMimeType": "application/json", "responseSchema": {"type": "object", "properties": {"a": {"type": "string", "nullable": True}}, "description": "d"}},
            [],
        ),
        (ModelProfile(), OutputFormat(kind="json_schema", schema=SCHEMA), {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}, []),
        (ModelProfile(json_schema=False), OutputFormat(kind="json_schema", schema=SCHEMA), {"responseMimeType": "application/json"}, ["knob output.schema"]),
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
    by_provider = encode(ask(provider_options={"vertex": {"labels": {"a": "b"}}}), ModelProfile(extra={"provider": "vertex"}))[0]
    assert by_provider["labels"] == {"a": "b"}


def test_the_model_in_a_body_is_the_targets():
    body = {"model": "models/asked", "contents": [turn("user", {"text": "x"})]}
    from dataclasses import replace

    request = replace(DIALECT.decode_request(json.dumps(body).encode()), model="gemini-2.5-pro")
    assert encode(request)[0]["model"] == "models/gemini-2.5-pro"


def test_persona_text_added_to_a_gemini_request_joins_its_system_text():
    body = {"systemInstruction": {"role": "user", "parts": [{"text": "mine"}]}, "contents": [turn("user", {"text": "x"})]}
    from dataclasses import replace

    request = DIALECT.decode_request(json.dumps(body).encode())
    request = replace(request, messages=(Message("system", "persona", placement="top"), *request.messages))
    assert encode(request)[0]["systemInstruction"]["parts"] == [{"text": "persona"}, {"text": "mine"}]


def test_results_of_a_tool_run_join_in_a_gemini_request():
    body = {"contents": [turn("user", {"text": "x"}), turn("model", {"functionCall": {"name": "f", "args": {}}}, {"functionCall": {"name": "g", "args": {}}})]}
    from dataclasses import replace

    request = DIALECT.decode_request(json.dumps(body).encode())
    calls = request.messages[1].tool_calls
    results = [Message("tool", [ToolResultPart(call.call_id, (TextPart(call.name),))]) for call in calls]
    request = replace(request, messages=(*request.messages, *results))
    wire = encode(request)[0]
    assert wire["contents"][2:] == [turn("user", {"functionResponse": {"name": "f", "response": {"output": "f"}}}, {"functionResponse": {"name": "g", "response": {"output": "g"}}})]


def test_an_envelope_in_plain_form_is_opened_too():
    sealed = envelope.seal(Signature("S", AWAY))
    body = {"contents": [turn("model", {"text": "hm", "thought": True, "thoughtSignature": sealed})]}
    part = DIALECT.decode_request(json.dumps(body).encode()).messages[0].parts[0]
    assert part == ThinkingPart("hm", signature=Signature("S", AWAY))


def test_an_unsigned_call_gets_a_placeholder_where_the_model_demands_a_signature():
    profile = ModelProfile(extra={"signature_placeholder": "skip_thought_signature_validator"})
    calls = [ToolCallPart("c1", "f", "{}"), ToolCallPart("c2", "g", "{}")]
    found, _ = contents(Message("user", "q"), Message("assistant", [TextPart("x"), *calls]), profile=profile)
    assert [part.get("thoughtSignature") for part in found[1]["parts"]] == [None, "skip_thought_signature_validator", None]
    signed = ToolCallPart("c1", "f", "{}", signature=Signature("A", HOME, "thought"))
    found, _ = contents(Message("assistant", [signed, calls[1]]), profile=profile)
    assert [part.get("thoughtSignature") for part in found[0]["parts"]] == ["A", None]
