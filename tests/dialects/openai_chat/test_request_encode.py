"""Requests of other dialects, and of the SDK, on this wire: what is carried, how, and what is said to be lost."""

import json

import pytest

from execution_platform.dialects import envelope
from execution_platform.dialects.openai_chat import DIALECT
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi import (
    CacheMark,
    CachePolicy,
    ChatRequest,
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

HOME = Origin(dialect="openai_chat", provider="groq")
AWAY = Origin(dialect="anthropic", provider="anthropic")
USER = Message("user", "x")
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def encode(*messages: Message, profile: ModelProfile | None = None, **fields):
    request = ChatRequest(messages or (USER,), "m", **fields)
    encoded = DIALECT.encode_request(request, profile or ModelProfile())
    return json.loads(encoded.body), [(loss.path, loss.severity) for loss in encoded.losses]


def wire_messages(*messages: Message, profile: ModelProfile | None = None, **fields):
    body, losses = encode(*messages, profile=profile, **fields)
    return body["messages"], losses


def test_a_plain_request_says_only_what_it_sets():
    assert encode(Message("system", "s"), USER) == (
        {"model": "m", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "x"}]},
        [],
    )


def test_a_stream_always_asks_for_usage_where_the_target_understands_that():
    body, _ = encode(stream=True)
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})
    body, _ = encode(stream=True, profile=ModelProfile(include_usage=False))
    assert "stream_options" not in body


def test_the_limit_stands_where_the_profile_says():
    assert encode(max_tokens=5)[0]["max_tokens"] == 5
    assert (
        encode(max_tokens=5, profile=ModelProfile(max_tokens_field="max_completion_tokens"))[0]["max_completion_tokens"]
        == 5
    )
    body, losses = encode(max_tokens=50, profile=ModelProfile(max_output_tokens=9))
    assert (body["max_tokens"], losses) == (9, [("max_tokens", "knob")])


def test_a_caller_of_this_dialect_gets_the_limit_the_model_takes():
    request = DIALECT.decode_request(b'{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":5}')
    encoded = DIALECT.encode_request(request, ModelProfile(max_tokens_field="max_completion_tokens"))
    assert json.loads(encoded.body)["max_completion_tokens"] == 5
    assert "max_tokens" not in json.loads(encoded.body)


def test_the_developer_role_is_a_fact_of_the_model():
    message = Message("developer", "d")
    assert wire_messages(message, USER)[0][0]["role"] == "system"
    assert wire_messages(message, USER, profile=ModelProfile(developer_role=True))[0][0]["role"] == "developer"


def test_system_text_in_mid_conversation_becomes_a_reminder_where_the_target_has_no_such_role():
    messages = (Message("system", "a"), Message("system", "b"), USER, Message("system", "c"))
    assert [each["role"] for each in wire_messages(*messages)[0]] == ["system", "system", "user", "system"]
    told, losses = wire_messages(*messages, profile=ModelProfile(mid_system="inline"))
    assert told == [
        {"role": "system", "content": "a\n\nb"},
        {"role": "user", "content": "x"},
        {"role": "user", "content": "<system-reminder>\nc\n</system-reminder>"},
    ]
    assert losses == []


def test_system_parts_of_other_dialects_become_one_string():
    system = Message("system", [TextPart("a"), TextPart("b")], placement="top")
    assert wire_messages(system, USER)[0][0] == {"role": "system", "content": "a\n\nb"}


def test_a_model_without_system_prompts_reads_them_as_a_reminder():
    told, _ = wire_messages(Message("system", "s"), USER, profile=ModelProfile(system_prompts=False))
    assert told[0] == {"role": "user", "content": "<system-reminder>\ns\n</system-reminder>"}


def test_results_come_first_and_each_alone():
    messages = (
        USER,
        Message("assistant", [TextPart("t"), ToolCallPart("c1", "f", ""), ToolCallPart("c 2", "g", '{"a":1}')]),
        Message(
            "user", [TextPart("and"), ToolResultPart("c1", (TextPart("1"),)), ToolResultPart("c 2", raw={"ok": 2})]
        ),
    )
    told, losses = wire_messages(*messages)
    call, one, two, rest = told[1:]
    assert call["content"] == "t"
    assert [each["function"]["arguments"] for each in call["tool_calls"]] == ["{}", '{"a":1}']
    assert one == {"role": "tool", "tool_call_id": "c1", "content": "1"}
    assert two["content"] == '{"ok":2}'
    assert two["tool_call_id"] == call["tool_calls"][1]["id"]
    assert two["tool_call_id"].isascii()
    assert " " not in two["tool_call_id"]
    assert rest == {"role": "user", "content": "and"}
    assert losses == []


def test_media_of_a_result_follow_in_a_user_message_after_all_results():
    image = MediaPart("image", Inline("image/png", "AAAA"))
    messages = (
        Message("assistant", [ToolCallPart("c1", "f"), ToolCallPart("c2", "g")]),
        Message("tool", [ToolResultPart("c1", (image,))]),
        Message("tool", "2", tool_call_id="c2"),
        Message("assistant", "done"),
    )
    told, losses = wire_messages(*messages)
    assert [each["role"] for each in told] == ["assistant", "tool", "tool", "user", "assistant"]
    assert told[1]["content"] == "See the next user message."
    assert told[3]["content"][1] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert losses == []
    told, _ = wire_messages(*messages, profile=ModelProfile(tool_result_media=True))
    assert told[1]["content"] == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]


def test_an_error_result_loses_its_mark():
    message = Message("tool", [ToolResultPart("c1", (TextPart("boom"),), is_error=True)])
    assert wire_messages(message)[1] == [("messages[0].content[0].is_error", "knob")]


@pytest.mark.parametrize(
    ("part", "wire"),
    [
        (
            MediaPart("image", Url("https://x.test/a.png"), detail="low"),
            {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}},
        ),
        (
            MediaPart("audio", Inline("audio/mpeg", "AA")),
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "mp3"}},
        ),
        (
            MediaPart("document", Inline("application/pdf", "AA")),
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA", "filename": "document.pdf"}},
        ),
        (
            MediaPart("document", Inline("application/pdf", "AA"), title="t.pdf"),
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA", "filename": "t.pdf"}},
        ),
        (MediaPart("document", FileRef("file-1", HOME)), {"type": "file", "file": {"file_id": "file-1"}}),
        (MediaPart("document", TextSource("body"), title="T"), {"type": "text", "text": "T\n\nbody"}),
        (MediaPart("document", PartsSource((TextPart("body"),))), {"type": "text", "text": "body"}),
    ],
)
def test_media_that_has_a_form(part, wire):
    told, losses = wire_messages(Message("user", [TextPart("x"), part]))
    assert told[0]["content"] == [{"type": "text", "text": "x"}, wire]
    assert losses == []


@pytest.mark.parametrize(
    "part",
    [
        MediaPart("video", Inline("video/mp4", "AA")),
        MediaPart("audio", Url("https://x.test/a.mp3")),
        MediaPart("document", Url("https://x.test/a.pdf")),
        MediaPart("document", FileRef("file_9", AWAY)),
        MediaPart("image", FileRef("file-9", HOME)),
        OpaquePart("anthropic", {"type": "future"}),
        ToolCallPart("c", "f"),
    ],
)
def test_media_and_parts_without_a_form_are_content_lost(part):
    told, losses = wire_messages(Message("user", [TextPart("x"), part]))
    assert told[0]["content"] == [{"type": "text", "text": "x"}]
    assert losses == [("messages[0].content[1]", "content")]


def test_thinking_is_replayed_as_the_profile_says_and_its_token_stays_home():
    away = ThinkingPart("hm", signature=Signature("SIG", AWAY))
    for how, expected in {
        "drop": {"content": "y"},
        "field": {"reasoning_content": "hm", "content": "y"},
        "native": {"reasoning_content": "hm", "content": "y"},
        "tags": {"content": "<think>\nhm\n</think>\n\ny"},
    }.items():
        told, losses = wire_messages(
            USER, Message("assistant", [away, TextPart("y")]), profile=ModelProfile(thinking_replay=how)
        )
        assert told[1] == {"role": "assistant", **expected}
        assert ("messages[1].content[0].signature", "opaque") in losses
        assert (("messages[1].content[0]", "opaque") in losses) == (how == "drop")


def test_the_thinking_field_has_the_name_the_target_reads():
    profile = ModelProfile(thinking_replay="field", extra={"reasoning_field": "reasoning"})
    told, losses = wire_messages(Message("assistant", [ThinkingPart("hm"), TextPart("y")]), profile=profile)
    assert told[0]["reasoning"] == "hm"
    assert losses == []


def sealed_history():
    token = envelope.seal(Signature("SIG", HOME, "thought"))
    away = envelope.seal(Signature("SIG", AWAY, "thought"))
    calls = [
        {
            "id": f"c{n}",
            "type": "function",
            "function": {"name": "f", "arguments": "{}"},
            "extra_content": {"google": {"thought_signature": each}},
        }
        for n, each in enumerate((token, away))
    ]
    return DIALECT.decode_request(
        json.dumps({"model": "m", "messages": [{"role": "assistant", "tool_calls": calls}]}).encode()
    )


def test_a_signature_goes_home_or_nowhere():
    for provider, expected in {"groq": ["SIG", None], "other": [None, None]}.items():
        encoded = DIALECT.encode_request(sealed_history(), ModelProfile(extra={"provider": provider}))
        calls = json.loads(encoded.body)["messages"][0]["tool_calls"]
        assert [each.get("extra_content", {}).get("google", {}).get("thought_signature") for each in calls] == expected
        assert len([loss for loss in encoded.losses if loss.severity == "opaque"]) == expected.count(None)
        assert b"ep1." not in encoded.body


def test_what_another_provider_ran_is_content_lost():
    message = Message(
        "assistant",
        [TextPart("y"), ToolCallPart("s1", "web_search", kind="server"), ToolResultPart("s1", kind="server")],
    )
    told, losses = wire_messages(message)
    assert told == [{"role": "assistant", "content": "y"}]
    assert losses == [("messages[0].content[1]", "content"), ("messages[0].content[2]", "content")]


def test_a_summary_of_earlier_turns_goes_as_text():
    told, losses = wire_messages(
        Message("user", [CompactionPart("so far", signature=Signature("E", AWAY)), TextPart("x")])
    )
    assert told[0]["content"][0] == {"type": "text", "text": "so far"}
    assert losses == [("messages[0].content[0]", "opaque")]


def test_assistant_audio_goes_by_id_or_transcript():
    home = Message("assistant", [MediaPart("audio", FileRef("audio_1", HOME))])
    assert wire_messages(home) == ([{"role": "assistant", "content": None, "audio": {"id": "audio_1"}}], [])
    said = Message("assistant", [MediaPart("audio", Inline("audio/wav", "AA"), transcript="hi")])
    assert wire_messages(said) == ([{"role": "assistant", "content": "hi"}], [("messages[0].content[0]", "knob")])
    mute = Message("assistant", [MediaPart("audio", Inline("audio/wav", "AA"))])
    assert wire_messages(mute)[1] == [("messages[0].content[0]", "content")]


def test_a_prefill_the_target_does_not_continue_is_content_lost():
    assert encode(USER, Message("assistant", "Once"), profile=ModelProfile(prefill=False))[1] == [
        ("messages[1]", "content")
    ]
    assert encode(USER, Message("assistant", "Once"))[1] == []


def test_names_and_leftovers_of_other_dialects():
    told, losses = wire_messages(
        Message("user", [TextPart("x", extra={"p": 1})], name="ann", extra={"q": 2, "nothing": None}),
        dialect="anthropic",
        extra={"r": 3},
    )
    assert told == [{"role": "user", "name": "ann", "content": "x"}]
    assert {path for path, _ in losses} == {"r", "messages[0].q", "messages[0].content[0].p"}


def test_odd_tool_names_are_renamed_reversibly_everywhere():
    tools = [ToolDefinition("a.b", json_schema=SCHEMA), ToolDefinition("a/b"), ToolDefinition("n" * 70)]
    request = ChatRequest(
        [USER, Message("assistant", [ToolCallPart("c1", "a.b")])],
        "m",
        tools=tools,
        tool_choice=ToolChoice("named", ("a.b",)),
    )
    encoded = DIALECT.encode_request(request, ModelProfile())
    body = json.loads(encoded.body)
    names = [tool["function"]["name"] for tool in body["tools"]]
    assert [encoded.tool_names[name] for name in names] == ["a.b", "a/b", "n" * 70]
    assert len(set(names)) == 3
    assert all(len(name) <= 64 for name in names)
    assert body["tool_choice"]["function"]["name"] == names[0]
    assert body["messages"][1]["tool_calls"][0]["function"]["name"] == names[0]


def test_tools_without_parameters_get_an_empty_schema_and_server_tools_are_lost():
    body, losses = encode(
        tools=[ToolDefinition("f"), ToolDefinition("web_search", kind="server", dialect="anthropic", raw={"type": "x"})]
    )
    assert body["tools"] == [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    ]
    assert losses == [("tools[1]", "content")]


def test_free_text_tools_are_kept_or_become_a_function_with_one_string():
    tool = ToolDefinition("sh", "shell", kind="custom")
    body, losses = encode(tools=[tool], tool_choice=ToolChoice("named", ("sh",)))
    assert body["tools"] == [{"type": "custom", "custom": {"name": "sh", "description": "shell"}}]
    assert body["tool_choice"] == {"type": "custom", "custom": {"name": "sh"}}
    assert losses == []
    body, losses = encode(
        tools=[tool], tool_choice=ToolChoice("named", ("sh",)), profile=ModelProfile(extra={"custom_tools": False})
    )
    assert body["tools"][0]["function"]["parameters"]["required"] == ["input"]
    assert body["tool_choice"]["type"] == "function"
    assert losses == [("tools[0]", "knob")]


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (ToolChoice("auto"), "auto"),
        (ToolChoice("none"), "none"),
        (ToolChoice("required"), "required"),
        (ToolChoice("named", ("f",)), {"type": "function", "function": {"name": "f"}}),
        (
            ToolChoice("allowed", ("f",), forced=True),
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
        ),
    ],
)
def test_every_tool_choice_has_its_form(choice, wire):
    assert encode(tools=[ToolDefinition("f")], tool_choice=choice)[0]["tool_choice"] == wire


def test_the_choice_needs_tools_to_choose_from():
    body, _ = encode(tool_choice=ToolChoice("auto", parallel=False))
    assert "tool_choice" not in body
    assert "parallel_tool_calls" not in body
    assert (
        encode(tools=[ToolDefinition("f")], tool_choice=ToolChoice(parallel=False))[0]["parallel_tool_calls"] is False
    )


REASONS = ModelProfile(reasoning=True, effort_levels=("low", "medium", "high"))


@pytest.mark.parametrize(
    ("reasoning", "profile", "effort", "losses"),
    [
        (Reasoning(effort="high"), REASONS, "high", []),
        (Reasoning(effort="xhigh"), REASONS, "high", [("reasoning.effort", "knob")]),
        (Reasoning(effort="minimal"), REASONS, "low", [("reasoning.effort", "knob")]),
        (Reasoning(budget_tokens=9000), REASONS, "medium", []),
        (Reasoning(effort="low", budget_tokens=9), REASONS, "low", [("reasoning.budget_tokens", "knob")]),
        (Reasoning(mode="disabled"), ModelProfile(reasoning=True, effort_levels=("none", "low")), "none", []),
        (Reasoning(effort="high"), ModelProfile(), None, [("reasoning.effort", "knob")]),
        (Reasoning(mode="disabled"), ModelProfile(), None, []),
        (Reasoning(effort="odd"), REASONS, None, [("reasoning.effort", "knob")]),
        (Reasoning(summary="auto"), REASONS, None, [("reasoning.summary", "knob")]),
    ],
)
def test_effort_and_budget_become_the_nearest_level(reasoning, profile, effort, losses):
    body, told = encode(reasoning=reasoning, profile=profile)
    assert (body.get("reasoning_effort"), told) == (effort, losses)


def test_sampling_is_left_out_where_the_model_refuses_it():
    fields = {
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 1,
        "presence_penalty": 1,
        "logit_bias": {"1": 2},
        "top_k": 4,
        "logprobs": True,
    }
    assert encode(**fields)[1] == [("top_k", "knob"), ("logprobs", "knob")]
    profile = ModelProfile(
        sampling=False, seed=False, penalties=False, logit_bias=False, logprobs=True, extra={"top_k": True}
    )
    body, losses = encode(**fields, profile=profile)
    assert {"top_k", "logprobs"} <= set(body)
    assert {path for path, _ in losses} == {"temperature", "top_p", "seed", "presence_penalty", "logit_bias"}
    thinks = ModelProfile(reasoning=True, sampling_with_reasoning=False)
    assert encode(temperature=0, reasoning=Reasoning(effort="low"), profile=thinks)[1] == [("temperature", "knob")]
    assert encode(temperature=0, profile=thinks)[1] == []


def test_stop_sequences_are_counted_and_empty_ones_left_out():
    assert encode(stop=["a", ""])[0]["stop"] == ["a"]
    body, losses = encode(stop=["a", "b", "c"], profile=ModelProfile(max_stop_sequences=2))
    assert (body["stop"], losses) == (["a", "b"], [("stop[2]", "knob")])
    assert encode(stop=["a"], profile=ModelProfile(stop_sequences=False))[1] == [("stop", "knob")]


def test_several_answers_from_a_model_that_gives_one_are_content_lost():
    assert encode(n=2)[0]["n"] == 2
    assert encode(n=2, profile=ModelProfile(multiple_outputs=False))[1] == [("n", "content")]


def test_the_form_of_the_answer():
    form = OutputFormat(kind="json_schema", schema=SCHEMA, strict=True)
    body, losses = encode(output=form)
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
    }
    assert losses == []
    body, losses = encode(Message("system", "s"), USER, output=form, profile=ModelProfile(json_schema=False))
    assert body["response_format"] == {"type": "json_object"}
    assert body["messages"][0]["content"].startswith("s\n\nAnswer with one JSON object")
    assert json.dumps(SCHEMA, separators=(",", ":")) in body["messages"][0]["content"]
    assert losses == [("output", "knob")]
    body, _ = encode(output=OutputFormat(kind="json"), profile=ModelProfile(json_mode=False))
    assert "response_format" not in body
    assert body["messages"][0]["role"] == "system"
    assert "response_format" not in encode(output=OutputFormat(verbosity="low"))[0]


def test_caching_maps_where_the_target_says_so():
    message = Message("user", [TextPart("x", cache=CacheMark(ttl="1h")), TextPart("y")])
    assert encode(message)[1] == [("messages[0].content[0].cache", "knob")]
    body, losses = encode(message, profile=ModelProfile(extra={"cache_marks": "openai"}))
    assert body["messages"][0]["content"][0]["prompt_cache_breakpoint"] == {"mode": "explicit", "ttl": "30m"}
    assert losses == []
    body, _ = encode(message, profile=ModelProfile(extra={"cache_marks": "anthropic"}))
    assert body["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    policy = CachePolicy(key="k", mark=CacheMark(ttl="12h"))
    assert encode(cache=policy)[1] == [("cache.key", "knob"), ("cache.mark", "knob")]
    body, losses = encode(cache=policy, profile=ModelProfile(prompt_caching=True, extra={"cache_marks": "openai"}))
    assert (body["prompt_cache_key"], body["prompt_cache_options"], losses) == ("k", {"ttl": "12h"}, [])
    assert encode(cache=CachePolicy(cached_content="c/1"))[1] == [("cache.cached_content", "content")]


def test_state_kept_elsewhere_is_content_lost():
    state = Continuation(
        previous_id="r1", conversation="c", container="k", background=True, truncation="auto", store=False
    )
    body, losses = encode(continuation=state)
    assert "store" not in body
    assert losses == [
        ("continuation.previous_id", "content"),
        ("continuation.conversation", "content"),
        ("continuation.background", "content"),
        ("continuation.container", "content"),
        ("continuation.truncation", "knob"),
    ]


def test_identifiers_tiers_and_metadata():
    assert encode(safety=Safety(identifier="s"))[0]["user"] == "s"
    assert (
        encode(safety=Safety(identifier="s"), profile=ModelProfile(extra={"safety_identifier": True}))[0][
            "safety_identifier"
        ]
        == "s"
    )
    assert encode(safety=Safety(settings=[1], moderation={}))[1] == [
        ("safety.moderation", "knob"),
        ("safety.settings", "knob"),
    ]
    assert encode(service_tier="standard_only")[0]["service_tier"] == "default"
    assert encode(service_tier="weird")[1] == [("service_tier", "knob")]
    assert encode(metadata={"k": "v"})[1] == [("metadata", "knob")]
    assert encode(metadata={"k": "v"}, continuation=Continuation(store=True))[0]["metadata"] == {"k": "v"}
    assert encode(speed="fast", region="eu")[1] == [("speed", "knob"), ("region", "knob")]


def test_options_go_to_the_dialect_and_the_provider_they_name_and_nowhere_else():
    options = {"openai_chat": {"min_p": 0.1}, "vllm": {"guided": True, "model": "kept"}, "anthropic": {"x": 1}}
    body, losses = encode(provider_options=options, profile=ModelProfile(extra={"provider": "vllm"}))
    assert (body["min_p"], body["guided"], body["model"]) == (0.1, True, "kept")
    assert "x" not in body
    assert losses == []


def test_members_the_target_refuses_are_left_out():
    body, losses = encode(safety=Safety(user="u"), profile=ModelProfile(extra={"refused": ["user", "absent"]}))
    assert "user" not in body
    assert losses == [("user", "knob")]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"[]", "body"),
        (b"{}", "messages"),
        (b'{"messages":[]}', "messages"),
        (b'{"messages":[{"content":"x"}]}', "messages[0].role"),
        (b'{"messages":[{"role":"robot","content":"x"}]}', "messages[0].role"),
        (b'{"messages":[{"role":"user"}]}', "messages[0].content"),
        (b'{"messages":[{"role":"user","content":5}]}', "messages[0].content"),
        (b'{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}', "messages[0].content[0].image_url"),
        (b'{"messages":[{"role":"user","content":[{"text":"x"}]}]}', "messages[0].content[0].type"),
        (b'{"messages":[{"role":"user","content":[{"type":"file","file":{}}]}]}', "messages[0].content[0].file"),
        (b'{"messages":[{"role":"tool","content":"x"}]}', "messages[0].tool_call_id"),
        (
            b'{"messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function"}]}]}',
            "messages[0].tool_calls[0].function",
        ),
        (
            b'{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":5}}]}]}',
            "messages[0].tool_calls[0].function.arguments",
        ),
        (b'{"messages":[{"role":"user","content":"x"}],"temperature":"hot"}', "temperature"),
        (b'{"messages":[{"role":"user","content":"x"}],"stop":[1]}', "stop[0]"),
        (b'{"messages":[{"role":"user","content":"x"}],"logit_bias":{"1":"a"}}', "logit_bias.1"),
        (b'{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function"}]}', "tools[0].function"),
        (b'{"messages":[{"role":"user","content":"x"}],"tool_choice":"maybe"}', "tool_choice"),
        (
            b'{"messages":[{"role":"user","content":"x"}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"x","tools":[]}}}',
            "tool_choice.allowed_tools.mode",
        ),
        (b'{"messages":[{"role":"user","content":"x"}],"response_format":{}}', "response_format.type"),
        (
            b'{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema"}}',
            "response_format.json_schema",
        ),
    ],
)
def test_errors_name_the_member(body, param):
    with pytest.raises(InvalidRequest) as raised:
        DIALECT.decode_request(body)
    assert (raised.value.param or "body") == param
    assert param in raised.value.message


def test_model_and_stream_may_come_from_the_path():
    request = DIALECT.decode_request(
        b'{"messages":[{"role":"user","content":"x"}],"stream":true}', model="p/m", stream=False
    )
    assert (request.model, request.stream) == ("p/m", False)


def test_a_seed_goes_under_the_targets_own_name():
    wire, losses = encode(USER, profile=ModelProfile(seed_field="random_seed"), seed=7)
    assert (wire["random_seed"], "seed" in wire, losses) == (7, False, [])


def test_the_start_of_an_answer_is_marked_where_the_target_wants_that():
    profile = ModelProfile(prefill_flag=True)
    wire, _ = encode(USER, Message("assistant", "The capital is"), profile=profile)
    assert wire["messages"][-1] == {"role": "assistant", "content": "The capital is", "prefix": True}
    wire, _ = encode(Message("assistant", "a"), USER, profile=profile)
    assert all("prefix" not in message for message in wire["messages"])
