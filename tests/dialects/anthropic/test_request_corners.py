"""Rare shapes of requests on the way to this API, and wrong ones of its own."""

import json
from dataclasses import replace
from typing import Any

import pytest

from execution_platform.dialects.anthropic import DIALECT
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi import (
    CacheMark,
    ChatRequest,
    Citation,
    CompactionPart,
    FileRef,
    Inline,
    MediaPart,
    Message,
    ModelProfile,
    Origin,
    OutputFormat,
    PartsSource,
    Reasoning,
    Signature,
    TextPart,
    TextSource,
    ThinkingPart,
    ToolCallPart,
    ToolChoice,
    ToolDefinition,
    ToolResultPart,
)

PROFILE = ModelProfile(extra={"provider": "anthropic"}, thinking_replay="native")
ASK = Message("user", "?")
AWAY = Origin(dialect="gemini", provider="gemini")


def encode(
    *messages: Message, profile: ModelProfile = PROFILE, **settings: Any
) -> tuple[dict[str, Any], dict[str, str]]:
    encoded = DIALECT.encode_request(ChatRequest(list(messages), "m", dialect="gemini", **settings), profile)
    return json.loads(encoded.body), {loss.path: loss.severity for loss in encoded.losses}


def decode(**members: object) -> ChatRequest:
    return DIALECT.decode_request(json.dumps({"model": "m", "max_tokens": 5, "messages": [], **members}).encode())


def decode_block(block: object) -> None:
    decode(messages=[{"role": "user", "content": [block]}])


@pytest.mark.parametrize(
    ("block", "param"),
    [
        ("text", ""),
        ({}, ".type"),
        ({"type": 5}, ".type"),
        ({"type": "text"}, ".text"),
        ({"type": "text", "text": 5}, ".text"),
        ({"type": "text", "text": "x", "citations": {}}, ".citations"),
        (
            {"type": "text", "text": "x", "citations": [{"type": "char_location", "document_index": "0"}]},
            ".citations[0].document_index",
        ),
        ({"type": "text", "text": "x", "cache_control": "yes"}, ".cache_control"),
        ({"type": "text", "text": "x", "cache_control": {}}, ".cache_control.type"),
        ({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": 5}}, ".cache_control.ttl"),
        ({"type": "tool_use", "name": "f", "input": {}}, ".id"),
        ({"type": "tool_use", "id": "a", "name": "f"}, ".input"),
        ({"type": "tool_use", "id": "a", "name": "f", "input": "{}"}, ".input"),
        ({"type": "mcp_tool_use", "id": "a", "name": "f", "input": {}}, ".server_name"),
        ({"type": "tool_result"}, ".tool_use_id"),
        ({"type": "tool_result", "tool_use_id": "a", "content": 5}, ".content"),
        ({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "image"}]}, ".content[0].source"),
        ({"type": "tool_result", "tool_use_id": "a", "is_error": "no"}, ".is_error"),
        ({"type": "web_search_tool_result", "tool_use_id": "a", "content": 5}, ".content"),
        ({"type": "image", "source": {"type": "base64", "data": "x"}}, ".source.media_type"),
        ({"type": "image", "source": {"type": "url"}}, ".source.url"),
        ({"type": "document", "source": {"type": "content", "content": 5}}, ".source.content"),
        ({"type": "document", "source": "x"}, ".source"),
        ({"type": "document", "source": {"type": "url", "url": "x"}, "title": 5}, ".title"),
        ({"type": "search_result", "source": "s", "title": "t"}, ".content"),
        ({"type": "thinking", "thinking": "x", "signature": 5}, ".signature"),
        ({"type": "redacted_thinking"}, ".data"),
        ({"type": "compaction", "content": 5}, ".content"),
    ],
)
def test_a_wrong_block_names_its_path(block: object, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_block(block)
    assert caught.value.param == f"messages[0].content[0]{param}"


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": 5}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": [5]}, "messages[0]"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"system": [5]}, "system[0]"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_k": 1.5}, "top_k"),
        ({"stop_sequences": [5]}, "stop_sequences[0]"),
        ({"stream": 1}, "stream"),
        ({"tools": [5]}, "tools[0]"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tools": [{"name": "f", "input_schema": []}]}, "tools[0].input_schema"),
        ({"tools": [{"name": "f", "strict": "yes"}]}, "tools[0].strict"),
        ({"mcp_servers": [{}]}, "mcp_servers[0].name"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "any", "disable_parallel_tool_use": 1}}, "tool_choice.disable_parallel_tool_use"),
        ({"thinking": {}}, "thinking.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": "many"}}, "thinking.budget_tokens"),
        ({"output_config": {"effort": 5}}, "output_config.effort"),
        ({"output_config": {"format": 5}}, "output_config.format"),
        ({"output_config": {"format": {"type": "json_schema", "schema": 5}}}, "output_config.format.schema"),
        ({"metadata": {"user_id": 5}}, "metadata.user_id"),
        ({"container": 5}, "container"),
        ({"context_management": []}, "context_management"),
        ({"service_tier": 5}, "service_tier"),
        ({"cache_control": 5}, "cache_control"),
    ],
)
def test_a_wrong_member_names_its_path(members: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(**members)
    assert caught.value.param == param
    assert caught.value.message.startswith(param)


@pytest.mark.parametrize(
    "members",
    [
        {"mcp_servers": []},
        {"output_config": {"format": {"type": "json_schema"}}},
        {"output_config": {"effort": "low", "format": {}}},
    ],
)
def test_half_empty_members_are_kept(members: dict[str, object]) -> None:
    body = {"model": "m", "max_tokens": 5, "messages": [], **members}
    encoded = DIALECT.encode_request(DIALECT.decode_request(json.dumps(body).encode()), ModelProfile())
    assert json.loads(encoded.body) == body


def test_empty_tokens_of_a_summary_are_kept() -> None:
    blocks = [{"type": "compaction", "encrypted_content": "", "signature": ""}]
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "assistant", "content": blocks}]}
    encoded = DIALECT.encode_request(DIALECT.decode_request(json.dumps(body).encode()), ModelProfile())
    assert json.loads(encoded.body) == body


def test_a_path_and_a_stream_from_outside_the_body_win() -> None:
    request = DIALECT.decode_request(b'{"model":"a","messages":[],"stream":false}', model="b", stream=True)
    assert (request.model, request.stream) == ("b", True)
    assert json.loads(DIALECT.encode_request(request, PROFILE).body)["stream"] is True


def test_a_search_shown_as_this_api_s_own_is_not_sent_back() -> None:
    cited = {"type": "web_search_result_location", "url": "u", "title": None, "cited_text": "", "encrypted_index": ""}
    request = decode(messages=[{"role": "assistant", "content": [{"type": "text", "text": "x", "citations": [cited]}]}])
    encoded = DIALECT.encode_request(request, PROFILE)
    assert b"citations" not in encoded.body
    assert [(loss.path, loss.severity) for loss in encoded.losses] == [("messages[0].content[0].citations", "opaque")]


def test_citations_of_others_stay_behind() -> None:
    part = TextPart("x", citations=(Citation(kind="url", url="u", raw={"type": "url_citation"}),))
    _, losses = encode(ASK, Message("assistant", [part]), ASK)
    assert losses == {"messages[1].content[0].citations": "opaque"}


def test_a_signature_on_a_call_stays_behind_and_the_call_goes() -> None:
    call = ToolCallPart("a", "f", '{"x":1}', signature=Signature("G", AWAY, "thought"))
    body, losses = encode(ASK, Message("assistant", [call]), Message("tool", "r", tool_call_id="a"))
    assert body["messages"][1]["content"][0]["input"] == {"x": 1}
    assert losses == {"messages[1].content[0]": "opaque"}


def test_results_that_are_objects_go_as_json() -> None:
    calls = [ToolCallPart("a", "f"), ToolCallPart("b", "f")]
    results = [ToolResultPart("a", raw={"n": 1}), ToolResultPart("b", raw="plain")]
    body, _ = encode(ASK, Message("assistant", calls), Message("user", results))
    assert [block["content"] for block in body["messages"][2]["content"]] == ['{"n":1}', "plain"]


def test_media_alone_in_a_result_leaves_a_note_behind() -> None:
    result = ToolResultPart("a", (MediaPart("image", Inline("image/png", "AAAA")),))
    body, _ = encode(ASK, Message("assistant", [ToolCallPart("a", "f")]), Message("user", [result]))
    assert [block.get("content") for block in body["messages"][2]["content"]] == ["See the media below.", None]


def test_an_id_used_anew_before_its_result_gets_a_stand_in() -> None:
    call = Message("assistant", [ToolCallPart("a", "f")])
    body, losses = encode(ASK, call, ASK, call, Message("tool", "late", tool_call_id="a"))
    results = [
        block
        for turn in body["messages"]
        for block in turn["content"]
        if isinstance(block, dict) and "tool_use_id" in block
    ]
    assert [(block["tool_use_id"], block.get("is_error", False)) for block in results] == [("a", True), ("a_2", False)]
    assert results[1]["content"] == "late"
    assert losses == {"messages[1]": "knob"}


def test_documents_of_parts_and_of_text_are_carried() -> None:
    parts = [
        MediaPart("document", PartsSource((TextPart("a"), TextPart("b"))), title="T"),
        MediaPart("document", TextSource("t", "text/markdown"), context="C", citations_enabled=True),
        MediaPart(
            "document",
            PartsSource((TextPart("hit"),)),
            title="S",
            options={"search_result": "https://x.test"},
            citations_enabled=True,
        ),
    ]
    body, losses = encode(Message("user", parts))
    assert body["messages"][0]["content"] == [
        {
            "type": "document",
            "source": {"type": "content", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            "title": "T",
        },
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "t"},
            "context": "C",
            "citations": {"enabled": True},
        },
        {
            "type": "search_result",
            "source": "https://x.test",
            "title": "S",
            "content": [{"type": "text", "text": "hit"}],
            "citations": {"enabled": True},
        },
    ]
    assert losses == {}


def test_the_detail_of_an_image_is_recorded() -> None:
    _, losses = encode(Message("user", [MediaPart("image", Inline("image/png", "A"), detail="low")]))
    assert losses == {"messages[0].content[0].detail": "knob"}


def test_media_in_an_assistant_turn_and_in_system_text_is_content() -> None:
    image = MediaPart("image", Inline("image/png", "A"))
    _, losses = encode(
        Message("system", [TextPart("s"), image]), ASK, Message("assistant", [TextPart("x"), image]), ASK
    )
    assert losses == {"messages[0].content[1]": "content", "messages[2].content[1]": "content"}


def test_system_parts_keep_their_marks_as_reminders() -> None:
    late = Message("system", [TextPart("now", cache=CacheMark())])
    body, _ = encode(ASK, Message("assistant", "a"), late, ASK)
    assert body["messages"][2]["content"] == [
        {"type": "text", "text": "<system-reminder>\nnow\n</system-reminder>", "cache_control": {"type": "ephemeral"}}
    ]
    native = DIALECT.encode_request(
        ChatRequest([ASK, late], "m", dialect="anthropic"), replace(PROFILE, mid_system="inline")
    )
    assert b"<system-reminder>" in native.body


def test_empty_system_text_is_left_out() -> None:
    assert "system" not in encode(Message("system", ""), Message("system", [TextPart("")]), ASK)[0]
    assert "system" not in encode(Message("system", ""), ASK)[0]


def test_system_text_placed_at_the_top_goes_there_from_anywhere() -> None:
    body, losses = encode(ASK, Message("system", "s", placement="top"))
    assert body["system"] == "s"
    assert len(body["messages"]) == 1
    assert losses == {}


def test_a_single_system_text_alone_becomes_the_user_turn() -> None:
    body, losses = encode(Message("system", "s"))
    assert "system" not in body
    assert body["messages"] == [{"role": "user", "content": "s"}]
    assert losses == {"messages": "knob"}


def test_white_space_at_the_end_of_a_start_is_cut() -> None:
    assert (
        encode(ASK, Message("assistant", [TextPart("a "), TextPart("b \n")]))[0]["messages"][1]["content"][1]["text"]
        == "b"
    )
    assert len(encode(ASK, Message("assistant", [TextPart("a"), TextPart(" ")]))[0]["messages"][1]["content"]) == 1
    assert len(encode(ASK, Message("assistant", " "))[0]["messages"]) == 1


def test_a_start_of_an_answer_does_not_go_with_a_thinking_budget() -> None:
    body, losses = encode(ASK, Message("assistant", "It is"), reasoning=Reasoning(effort="low"))
    assert "thinking" not in body
    assert losses == {"reasoning": "knob"}


def test_only_as_many_stop_sequences_as_the_model_takes() -> None:
    body, losses = encode(ASK, stop=["a", "b", "c"], profile=replace(PROFILE, max_stop_sequences=2))
    assert body["stop_sequences"] == ["a", "b"]
    assert losses == {"stop": "knob"}


def test_what_a_schema_says_beside_itself_is_recorded() -> None:
    output = OutputFormat(kind="json_schema", schema={"type": "object"}, description="d", verbosity="low")
    assert encode(ASK, output=output)[1] == {"output.description": "knob", "output.verbosity": "knob"}


def test_an_instruction_joins_system_blocks() -> None:
    body, _ = encode(Message("system", "a"), Message("system", "b"), ASK, output=OutputFormat(kind="json"))
    assert len(body["system"]) == 3


def test_rules_a_grammar_cannot_hold_are_described() -> None:
    schema = {
        "type": "object",
        "description": "d",
        "properties": {
            "a": {"type": "array", "minItems": 2, "items": {"type": "string", "format": "hostname"}},
            "b": {"type": "string", "format": "phone"},
            "c": {"type": "array", "minItems": 1, "items": True},
        },
        "additionalProperties": True,
        "minProperties": 1,
    }
    body, losses = encode(ASK, output=OutputFormat(kind="json_schema", schema=schema))
    sent = body["output_config"]["format"]["schema"]
    assert sent["description"] == "d\n\n{minProperties: 1}"
    assert sent["additionalProperties"] is False
    assert sent["properties"] == {
        "a": {"type": "array", "items": {"type": "string", "format": "hostname"}, "description": "{minItems: 2}"},
        "b": {"type": "string", "description": "{format: phone}"},
        "c": {"type": "array", "minItems": 1, "items": True},
    }
    assert set(losses) == {
        "output.schema.minProperties",
        "output.schema.additionalProperties",
        "output.schema.properties.a.minItems",
        "output.schema.properties.b.format",
    }


def test_tools_keep_marks_and_descriptions_and_one_type() -> None:
    tool = ToolDefinition(
        "f",
        "d",
        json_schema={"type": ["object", "null"], "allOf": [{"properties": {"a": {}}, "required": ["a"]}], "title": "T"},
        cache=CacheMark(),
    )
    body, losses = encode(ASK, tools=[tool, ToolDefinition("g", json_schema={"type": "string"})])
    assert body["tools"] == [
        {
            "name": "f",
            "description": "d",
            "input_schema": {"type": "object", "properties": {"a": {}}, "title": "T", "required": ["a"]},
            "cache_control": {"type": "ephemeral"},
        },
        {"name": "g", "input_schema": {"type": "object"}},
    ]
    assert losses == {"tools[0].parameters": "knob"}


def test_a_choice_on_a_native_request_may_be_canonical() -> None:
    native = decode(messages=[{"role": "user", "content": "x"}], tools=[{"name": "f", "input_schema": {}}])
    for choice, sent in [
        (ToolChoice("allowed", ("f",), forced=True), {"type": "any"}),
        (ToolChoice("allowed", ("f",)), {"type": "auto"}),
        (ToolChoice(parallel=False), {"type": "auto", "disable_parallel_tool_use": True}),
    ]:
        body = json.loads(DIALECT.encode_request(replace(native, tool_choice=choice), PROFILE).body)
        assert body["tool_choice"] == sent


def test_a_native_request_obeys_what_the_model_cannot_do() -> None:
    native = decode(
        messages=[{"role": "user", "content": "x"}],
        temperature=0.5,
        top_p=0.97,
        thinking={"type": "enabled", "budget_tokens": 1024},
    )
    encoded = DIALECT.encode_request(native, replace(PROFILE, sampling_with_reasoning=False))
    body = json.loads(encoded.body)
    assert "temperature" not in body
    assert body["top_p"] == 0.97
    assert [loss.path for loss in encoded.losses] == ["temperature"]


def test_summaries_go_home() -> None:
    home = Origin(dialect="anthropic", provider="anthropic")
    parts = [
        CompactionPart("so far", signature=Signature("E", home, "encrypted")),
        CompactionPart(signature=Signature("S", home)),
    ]
    body, losses = encode(Message("assistant", parts), ASK)
    assert body["messages"][0]["content"] == [
        {"type": "compaction", "content": "so far", "encrypted_content": "E"},
        {"type": "compaction", "signature": "S"},
    ]
    assert losses == {}
    away = replace(parts[0], signature=Signature("E", AWAY, "encrypted"))
    encoded = DIALECT.encode_request(
        ChatRequest([Message("assistant", [away]), ASK], "m", dialect="anthropic"), PROFILE
    )
    assert [loss.severity for loss in encoded.losses] == ["opaque"]


def test_thinking_in_a_turn_of_its_own_leaves_no_empty_turn() -> None:
    body, losses = encode(ASK, Message("assistant", [ThinkingPart("x")]), ASK)
    assert len(body["messages"]) == 2
    assert losses == {"messages[1].content[0]": "opaque"}


def test_an_empty_readable_summary_is_not_the_same_as_none() -> None:
    blocks = [{"type": "compaction", "content": ""}, {"type": "compaction"}]
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "assistant", "content": blocks}]}
    encoded = DIALECT.encode_request(DIALECT.decode_request(json.dumps(body).encode()), ModelProfile())
    assert json.loads(encoded.body) == body


def test_a_profile_may_keep_earlier_thinking_out() -> None:
    signed = ThinkingPart("t", signature=Signature("s", Origin(dialect="anthropic", provider="anthropic")))
    turn = Message("assistant", [signed, TextPart("x")])
    kept, _ = encode(ASK, turn, ASK)
    assert kept["messages"][1]["content"][0]["type"] == "thinking"
    body, losses = encode(ASK, turn, ASK, profile=replace(PROFILE, thinking_replay="drop"))
    assert [block["type"] for block in body["messages"][1]["content"]] == ["text"]
    assert losses == {"messages[1].content[0]": "opaque"}


def test_a_file_of_another_route_of_this_api_is_content() -> None:
    file = MediaPart("document", FileRef("file_1", Origin(dialect="anthropic", provider="vertex")))
    assert encode(Message("user", [file, TextPart("x")]))[1] == {"messages[0].content[0]": "content"}


def test_a_lifetime_nobody_knows_becomes_the_shorter_one() -> None:
    marked = Message("user", [TextPart("x", cache=CacheMark(ttl="soon"))])
    body, losses = encode(marked)
    assert body["messages"][0]["content"][0]["cache_control"]["ttl"] == "5m"
    assert losses == {"messages[0].content[0].cache.ttl": "knob"}
