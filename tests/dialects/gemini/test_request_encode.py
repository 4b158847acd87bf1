"""Turns and parts of other dialects, fitted to a Gemini target."""

import json

import pytest

from dialects.gemini.asking import AWAY, HOME, ask, contents, encode, from_part, turn
from execution_platform.dialects.gemini import DIALECT
from execution_platform.spi import (
    CacheMark,
    Citation,
    CompactionPart,
    FileRef,
    Inline,
    MediaPart,
    Message,
    ModelProfile,
    OpaquePart,
    Origin,
    PartsSource,
    Signature,
    TextPart,
    TextSource,
    ThinkingPart,
    ToolCallPart,
    ToolDefinition,
    ToolResultPart,
    Url,
)


def test_leading_system_text_gets_the_slot_of_its_own():
    wire, losses, _ = encode(ask(Message("system", "a"), Message("developer", "b"), Message("user", "hi")))
    assert wire == {
        "systemInstruction": {"parts": [{"text": "a"}, {"text": "b"}]},
        "contents": [turn("user", {"text": "hi"})],
    }
    assert losses == []


def test_system_text_in_mid_conversation_stays_where_it_was_as_a_reminder():
    found, losses = contents(
        Message("user", "a"),
        Message("system", "s"),
        Message("assistant", "b"),
        Message("system", "t"),
        Message("user", "c"),
    )
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
    found, losses = contents(
        Message("user", "a"),
        Message("user", ""),
        Message("user", [TextPart("b"), TextPart("")]),
        Message("assistant", "c", name="bot"),
    )
    assert found == [turn("user", {"text": "a"}, {"text": "b"}), turn("model", {"text": "c"})]
    assert losses == ["knob messages[3].name"]


def test_an_answer_to_be_continued_needs_a_model_that_does():
    messages = [Message("user", "a"), Message("assistant", "b")]
    assert contents(*messages)[1] == []
    assert contents(*messages, profile=ModelProfile(prefill=False))[1] == ["content messages[1]"]


def test_results_follow_their_calls_in_their_order_under_their_names():
    calls = [
        ToolCallPart("c1", "f", '{"a": 1}'),
        ToolCallPart("c2", "g", ""),
        ToolCallPart("epc_3", "f", "{}", synthetic_id=True),
    ]
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
        turn(
            "user",
            {"functionResponse": {"name": "c9", "response": {"output": ""}, "id": "c9"}},
            {"functionResponse": {"name": "h", "response": {"output": ""}, "id": "c8"}},
        )
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
    [
        ('{"z": 1, "a": 2}', {"z": 1, "a": 2}, False),
        ("", {}, False),
        ("  ", {}, False),
        ("[1]", {"_unparsed_arguments": "[1]"}, True),
        ('{"a"', {"_unparsed_arguments": '{"a"'}, True),
    ],
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
    wire, losses, _ = encode(
        ask(
            Message("user", "a"),
            Message("assistant", [ToolCallPart("c", "patch", "*** Begin", kind="custom")]),
            tools=[tool],
        )
    )
    assert wire["tools"] == [
        {
            "functionDeclarations": [
                {
                    "name": "patch",
                    "description": "p",
                    "parameters": {
                        "type": "object",
                        "properties": {"input": {"type": "string"}},
                        "required": ["input"],
                    },
                }
            ]
        }
    ]
    assert wire["contents"][1]["parts"] == [
        {"functionCall": {"name": "patch", "args": {"input": "*** Begin"}, "id": "c"}}
    ]
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
        (
            MediaPart("image", Inline("image/png", "QUJD"), detail="auto"),
            {"inlineData": {"mimeType": "image/png", "data": "QUJD"}},
        ),
        (
            MediaPart("image", Inline("", "data:image/gif;base64,QUJD")),
            {"inlineData": {"mimeType": "image/gif", "data": "QUJD"}},
        ),
        (
            MediaPart("image", Url("data:image/gif;base64,QUJD")),
            {"inlineData": {"mimeType": "image/gif", "data": "QUJD"}},
        ),
        (MediaPart("video", Url("https://youtu.be/x")), {"fileData": {"fileUri": "https://youtu.be/x"}}),
        (
            MediaPart("document", Url("gs://b/o.pdf")),
            {"fileData": {"fileUri": "gs://b/o.pdf", "mimeType": "application/pdf"}},
        ),
        (
            MediaPart("image", FileRef("files/a", HOME, "image/png")),
            {"fileData": {"fileUri": "files/a", "mimeType": "image/png"}},
        ),
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
    assert from_part(MediaPart("image", Url("https://x.test/a.png?x=1")), profile=profile)[0] == [
        {"fileData": {"fileUri": "https://x.test/a.png?x=1", "mimeType": "image/png"}}
    ]
    assert (
        from_part(MediaPart("image", Url("https://x.test/a")), profile=profile)[0][0]["fileData"]["mimeType"]
        == "image/jpeg"
    )


def test_small_print_of_parts_is_lost_with_a_note():
    part = MediaPart(
        "document",
        Inline("application/pdf", "QUJD"),
        title="t",
        context="c",
        detail="high",
        citations_enabled=True,
        cache=CacheMark(ttl="5m"),
        extra={"x": 1},
    )
    found, losses = from_part(part)
    assert found == [{"inlineData": {"mimeType": "application/pdf", "data": "QUJD"}}]
    assert sorted(losses) == sorted(
        f"knob messages[0].content[0].{name}"
        for name in ("title", "context", "detail", "citations_enabled", "cache", "x")
    )
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
    found, losses = contents(
        Message(
            "assistant",
            [
                TextPart("x", signature=Signature("S", origin)),
                ToolCallPart("c", "f", "{}", signature=Signature("S", origin)),
            ],
        )
    )
    assert "S" not in json.dumps(found)
    assert losses == ["opaque messages[0].content[0].signature", "opaque messages[0].content[1].signature"]


@pytest.mark.parametrize(
    ("replay", "wire", "is_lost"),
    [
        ("native", [{"text": "hm", "thought": True}], False),
        ("tags", [{"text": "<thinking>\nhm\n</thinking>"}], False),
        ("drop", [], True),
        ("field", [], True),
    ],
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
