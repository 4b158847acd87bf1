"""What becomes of requests of other dialects, and of canonical requests, on the way to this API."""

import base64
import json
from dataclasses import replace

import pytest

from dialects.anthropic.asking import ASK, AWAY, HOME, PROFILE, encode, openai
from execution_platform.dialects import envelope
from execution_platform.dialects.anthropic import DIALECT
from execution_platform.spi import (
    CacheMark,
    ChatRequest,
    CompactionPart,
    FileRef,
    Inline,
    MediaPart,
    Message,
    OpaquePart,
    Origin,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolChoice,
    ToolDefinition,
    ToolResultPart,
    Url,
)


def test_a_plain_request_gets_the_limit_the_api_requires() -> None:
    body, losses, _ = encode(openai(ASK))
    assert body == {"model": "claude-x", "max_tokens": 4096, "messages": [{"role": "user", "content": "?"}]}
    assert losses == {}


def test_leading_system_text_goes_to_the_top_and_the_rest_stays_where_it_was() -> None:
    body, _, _ = encode(
        openai(
            Message("system", "one"),
            Message("developer", "two"),
            ASK,
            Message("system", "now"),
            Message("assistant", "ok"),
            Message("system", "late"),
            Message("user", "go"),
        )
    )
    assert body["system"] == [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert [(turn["role"], turn["content"]) for turn in body["messages"]] == [
        ("user", "?"),
        ("system", "now"),
        ("assistant", "ok"),
        ("user", "<system-reminder>\nlate\n</system-reminder>"),
        ("user", "go"),
    ]


def test_system_turns_in_a_row_become_one() -> None:
    body, _, _ = encode(openai(ASK, Message("system", "a"), Message("system", "b")))
    assert body["messages"][1:] == [
        {"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    ]


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic"])
def test_a_model_without_system_turns_gets_a_marked_reminder(dialect: str) -> None:
    request = ChatRequest([ASK, Message("system", "now")], "m", dialect=dialect)
    body, losses, _ = encode(request, replace(PROFILE, mid_system="inline"))
    assert body["messages"][1] == {"role": "user", "content": "<system-reminder>\nnow\n</system-reminder>"}
    assert losses == {}


def test_a_single_system_text_stays_a_string() -> None:
    assert encode(ChatRequest([ASK], "m", system="be brief"))[0]["system"] == "be brief"


def test_a_conversation_of_system_text_alone_gets_a_user_turn() -> None:
    body, losses, _ = encode(openai(Message("system", "a"), Message("system", "b")))
    assert body["system"] == [{"type": "text", "text": "a"}]
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "b"}]}]
    assert losses == {"messages": "knob"}


def test_tool_results_stand_in_the_next_user_turn_and_first() -> None:
    body, losses, _ = encode(
        openai(
            ASK,
            Message("assistant", [TextPart("hm"), ToolCallPart("a", "f", '{"x":1}'), ToolCallPart("b", "g", "")]),
            Message("tool", "rb", tool_call_id="b"),
            Message("user", "meanwhile"),
            Message("tool", "ra", tool_call_id="a"),
            Message("assistant", "done"),
        )
    )
    turns = body["messages"]
    assert [block["type"] for block in turns[1]["content"]] == ["text", "tool_use", "tool_use"]
    assert turns[1]["content"][2]["input"] == {}
    assert turns[2] == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "b", "content": "rb"},
            {"type": "tool_result", "tool_use_id": "a", "content": "ra"},
        ],
    }
    assert turns[3] == {"role": "user", "content": "meanwhile"}
    assert losses == {}


def test_results_and_text_of_one_turn_stay_together() -> None:
    turn = Message("user", [TextPart("and?"), ToolResultPart("a", (TextPart("r"),))])
    body, _, _ = encode(ChatRequest([ASK, Message("assistant", [ToolCallPart("a", "f")]), turn], "m"))
    assert [block["type"] for block in body["messages"][2]["content"]] == ["tool_result", "text"]
    assert len(body["messages"]) == 3


def test_a_call_without_result_gets_one_that_says_so() -> None:
    body, losses, _ = encode(openai(ASK, Message("assistant", [ToolCallPart("a", "f")]), Message("user", "next")))
    result = body["messages"][2]["content"][0]
    assert (result["tool_use_id"], result["is_error"]) == ("a", True)
    assert losses == {"messages[1]": "knob"}


def test_a_result_without_call_becomes_text() -> None:
    body, losses, _ = encode(openai(ASK, Message("tool", "42", tool_call_id="gone", name="f")))
    assert [block["text"] for block in body["messages"][1]["content"]] == ["Result of f (call gone):", "42"]
    assert losses == {"messages[1].content[0]": "knob"}


def test_call_ids_that_repeat_in_later_turns_are_told_apart() -> None:
    turn = [Message("assistant", [ToolCallPart("call_0", "f")]), Message("tool", "r", tool_call_id="call_0")]
    body, _, _ = encode(openai(ASK, *turn, *turn))
    ids = [block.get("id") or block["tool_use_id"] for message in body["messages"][1:] for block in message["content"]]
    assert ids == ["call_0", "call_0", "call_0_2", "call_0_2"]


def test_illegal_call_ids_and_tool_names_are_renamed_reversibly() -> None:
    body, _, encoded = encode(
        openai(
            ASK,
            Message("assistant", [ToolCallPart("a/b:1", "fs.read")]),
            Message("tool", "r", tool_call_id="a/b:1"),
            tools=[ToolDefinition("fs.read"), ToolDefinition("fs/read"), ToolDefinition("x" * 200)],
            tool_choice=ToolChoice("named", ("fs.read",)),
        )
    )
    sent = [tool["name"] for tool in body["tools"]]
    assert len(set(sent)) == 3
    assert all(len(name) <= 128 and name.replace("_", "").replace("-", "").isalnum() for name in sent)
    assert [encoded.tool_names[name] for name in sent] == ["fs.read", "fs/read", "x" * 200]
    call = body["messages"][1]["content"][0]
    assert call["name"] == body["tool_choice"]["name"] == sent[0]
    assert call["id"] == body["messages"][2]["content"][0]["tool_use_id"] != "a/b:1"


def test_a_provider_run_tool_keeps_its_name_against_a_function() -> None:
    search = {"type": "web_search_20260318", "name": "web_search"}
    tools = [
        ToolDefinition("web.search"),
        ToolDefinition("web_search", kind="server", dialect="anthropic", raw=search),
    ]
    body, losses, encoded = encode(ChatRequest([ASK], "m", tools=tools))
    assert body["tools"][1] == search
    assert body["tools"][0]["name"] != "web_search"
    assert list(encoded.tool_names.values()) == ["web.search"]
    assert losses == {}


@pytest.mark.parametrize(("kind", "severity"), [("code_interpreter", "content"), ("web_search", "knob")])
def test_tools_another_provider_runs_are_content_but_for_a_search(kind: str, severity: str) -> None:
    tools = [ToolDefinition(kind, kind="server", dialect="openai_responses", raw={"type": kind})]
    body, losses, _ = encode(openai(ASK, tools=tools))
    assert "tools" not in body
    assert losses == {"tools[0]": severity}


def test_a_tool_injected_into_a_native_request_is_made_legal() -> None:
    native = DIALECT.decode_request(
        b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}],"tools":[{"name":"a.b","input_schema":{}}]}'
    )
    body, _, encoded = encode(replace(native, tools=(*(native.tools or ()), ToolDefinition("srv.tool"))))
    assert body["tools"][0] == {"name": "a.b", "input_schema": {}}
    assert body["tools"][1]["input_schema"] == {"type": "object", "properties": {}}
    assert encoded.tool_names == {body["tools"][1]["name"]: "srv.tool"}


def test_turns_added_to_a_native_request_are_grouped() -> None:
    native = DIALECT.decode_request(b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}]}')
    added = [
        Message("assistant", [ThinkingPart("hm"), ToolCallPart("a", "f"), ToolCallPart("b", "f")]),
        Message("tool", "1", tool_call_id="a"),
        Message("tool", "2", tool_call_id="b"),
    ]
    body, losses, _ = encode(replace(native, messages=(*native.messages, *added)))
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use", "tool_use"]
    assert [block["tool_use_id"] for block in body["messages"][2]["content"]] == ["a", "b"]
    assert losses == {"messages[1].content[0]": "opaque"}


def test_thinking_goes_home_byte_for_byte_and_nowhere_else() -> None:
    parts = [
        ThinkingPart("mine", signature=Signature("s1", HOME)),
        ThinkingPart(redacted=True, signature=Signature("r1", HOME, "redacted")),
        ThinkingPart("theirs", signature=Signature("s2", AWAY, "thought")),
        ThinkingPart("other route", signature=Signature("s3", Origin(dialect="anthropic", provider="vertex"))),
        ThinkingPart("unsigned"),
        TextPart("x", signature=Signature("s4", AWAY, "thought")),
    ]
    body, losses, _ = encode(openai(ASK, Message("assistant", parts), ASK))
    assert body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "mine", "signature": "s1"},
        {"type": "redacted_thinking", "data": "r1"},
        {"type": "text", "text": "x"},
    ]
    assert losses == {f"messages[1].content[{number}]": "opaque" for number in (2, 3, 4, 5)}


def test_thinking_of_others_is_replayed_as_the_profile_says() -> None:
    request = openai(ASK, Message("assistant", [ThinkingPart(summary=("a", "b")), TextPart("x")]), ASK)
    body, _, _ = encode(request, replace(PROFILE, thinking_replay="tags"))
    assert body["messages"][1]["content"][0]["text"] == "<thinking>\na\n\nb\n</thinking>"


def test_a_sealed_token_of_another_provider_comes_out_of_the_history_and_stays_behind() -> None:
    signature = Signature("GEM", AWAY, "thought")
    sealed = envelope.seal(signature)
    history = {
        "model": "m",
        "max_tokens": 5,
        "messages": [{"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": sealed}]}],
    }
    request = DIALECT.decode_request(json.dumps(history).encode())
    assert request.messages[0].parts[0].signature == signature
    body, losses, _ = encode(replace(request, messages=(*request.messages, ASK)))
    assert sealed not in json.dumps(body)
    assert losses == {"messages[0].content[0]": "opaque"}


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            MediaPart("image", Inline("image/jpg", "data:image/png;base64,AAAA")),
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        ),
        (
            MediaPart("image", Url("data:image/gif;base64,BBBB")),
            {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "BBBB"}},
        ),
        (
            MediaPart("image", Url("https://x.test/a")),
            {"type": "image", "source": {"type": "url", "url": "https://x.test/a"}},
        ),
        (
            MediaPart("document", Inline("application/pdf", "JVBE"), title="t"),
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
                "title": "t",
            },
        ),
        (
            MediaPart("document", Inline("text/csv", base64.b64encode("a,é".encode()).decode())),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a,é"}},
        ),
        (
            MediaPart("image", FileRef("file_1", HOME)),
            {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        ),
    ],
)
def test_media_is_carried(part: MediaPart, block: dict[str, object]) -> None:
    body, losses, _ = encode(openai(Message("user", [part])))
    assert body["messages"][0]["content"] == [block]
    assert losses == {}


@pytest.mark.parametrize(
    "part",
    [
        MediaPart("audio", Inline("audio/wav", "AAAA")),
        MediaPart("video", Url("https://x.test/v")),
        MediaPart("image", Inline("image/bmp", "AAAA")),
        MediaPart("document", Inline("text/plain", "/////w==")),
        MediaPart("document", Inline("application/zip", "AAAA")),
        MediaPart("image", FileRef("file-1", Origin(dialect="openai_chat"))),
        OpaquePart("openai_chat", {"type": "hologram"}),
        ToolCallPart("ws_1", "web_search", "{}", kind="server"),
        ToolResultPart("ws_1", kind="server", raw={}),
    ],
)
def test_parts_without_a_form_here_are_content(part: MediaPart) -> None:
    body, losses, _ = encode(openai(Message("user", [TextPart("x"), part])))
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "x"}]}]
    assert losses == {"messages[0].content[1]": "content"}


def test_a_url_the_target_does_not_fetch_is_content() -> None:
    request = openai(Message("user", [MediaPart("document", Url("https://x.test/a.pdf")), TextPart("?")]))
    assert encode(request, replace(PROFILE, url_media=frozenset()))[1] == {"messages[0].content[0]": "content"}


def test_media_of_a_result_moves_where_the_target_takes_it_only_outside() -> None:
    image = MediaPart("image", Inline("image/png", "AAAA"))
    messages = [
        ASK,
        Message("assistant", [ToolCallPart("a", "f")]),
        Message("user", [ToolResultPart("a", (TextPart("see"), image))]),
    ]
    inside, losses, _ = encode(openai(*messages))
    assert [block["type"] for block in inside["messages"][2]["content"][0]["content"]] == ["text", "image"]
    assert losses == {}
    outside, losses, _ = encode(openai(*messages), replace(PROFILE, tool_result_media=False))
    assert [block["type"] for block in outside["messages"][2]["content"]] == ["tool_result", "image"]
    assert losses == {"messages[2].content[0]": "knob"}


def test_a_start_of_an_answer_needs_a_model_that_continues_it() -> None:
    request = openai(ASK, Message("assistant", "The answer is \n"))
    assert encode(request)[0]["messages"][1]["content"] == "The answer is"
    body, losses, _ = encode(request, replace(PROFILE, prefill=False))
    assert len(body["messages"]) == 1
    assert losses == {"messages[1]": "content"}


def test_empty_texts_and_turns_are_left_out() -> None:
    body, losses, _ = encode(
        openai(
            Message("user", ""), Message("assistant", [TextPart("")]), Message("user", [TextPart(""), TextPart("x")])
        )
    )
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "x"}]}]
    assert losses == {}


def test_author_names_and_leftovers_of_messages_and_parts_are_recorded() -> None:
    request = openai(Message("user", [TextPart("x", extra={"a": 1})], name="bob", extra={"b": 2}))
    assert encode(request)[1] == {
        "messages[0].name": "knob",
        "messages[0].b": "knob",
        "messages[0].content[0].a": "knob",
    }


def test_cache_marks_stay_on_their_part_and_no_more_than_four_are_sent() -> None:
    marked = [Message("user", [TextPart(str(number), cache=CacheMark(ttl="30m"))]) for number in range(5)]
    body, losses, _ = encode(openai(*marked))
    assert [("cache_control" in message["content"][0]) for message in body["messages"]] == [
        False,
        True,
        True,
        True,
        True,
    ]
    assert body["messages"][1]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert losses["cache"] == "knob"


def test_a_summary_by_another_provider_is_text_if_it_can_be_read() -> None:
    parts = [CompactionPart("so far"), CompactionPart(signature=Signature("x", AWAY, "encrypted"))]
    body, losses, _ = encode(openai(Message("user", parts)))
    assert body["messages"][0]["content"] == [{"type": "text", "text": "so far"}]
    assert losses == {"messages[0].content[0]": "opaque", "messages[0].content[1]": "opaque"}


def test_paths_count_the_caller_s_messages() -> None:
    request = ChatRequest(
        [Message("user", [MediaPart("audio", Inline("audio/wav", "A")), TextPart("x")])], "m", system="s"
    )
    assert list(encode(request)[1]) == ["messages[0].content[0]"]
