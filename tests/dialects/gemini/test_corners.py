"""Corners of the wire that no corpus case reaches."""

import json
from dataclasses import replace

import pytest

from dialects.gemini.telling import UPSTREAM, decode_stream, encode_stream
from execution_platform.dialects.base import Downstream, Peek
from execution_platform.dialects.gemini import DIALECT
from execution_platform.dialects.gemini.frames import ArraySplitter, Payloads
from execution_platform.exceptions import ErrorKind, InvalidRequest, ProtocolError
from execution_platform.spi import (
    ChatRequest,
    Message,
    ModelProfile,
    OutputFormat,
    Reasoning,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    accumulate,
)
from execution_platform.spi.events import (
    Failed,
    Finished,
    PartDelta,
    PartFinished,
    PartStarted,
    SignatureDelta,
    Started,
    TextDelta,
    ThinkingDelta,
)
from execution_platform.spi.response import Finish, FinishReason


def frame(*parts, **candidate):
    body = {"candidates": [{"content": {"parts": list(parts)}, **candidate}]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


END = frame(finishReason="STOP")


def parts_of(*frames):
    return accumulate(decode_stream(b"".join(frames))).message.parts


def decode(body):
    return DIALECT.decode_request(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "contents"),
        ({"contents": None}, "contents"),
        ({"contents": "x"}, "contents"),
        ({"contents": [{"role": "assistant"}]}, "contents[0].role"),
        ({"contents": [{"parts": "x"}]}, "contents[0].parts"),
        ({"contents": [{"parts": [{"text": 1}]}]}, "contents[0].parts[0].text"),
        ({"contents": [{"parts": [{"inlineData": {"mimeType": "x"}}]}]}, "contents[0].parts[0].inlineData.data"),
        (
            {"contents": [{"parts": [{"functionCall": {"name": "f", "args": []}}]}]},
            "contents[0].parts[0].functionCall.args",
        ),
        ({"contents": [], "tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
        ({"contents": [], "generationConfig": {"stopSequences": [1]}}, "generationConfig.stopSequences[0]"),
        (
            {"contents": [], "toolConfig": {"functionCallingConfig": {"allowedFunctionNames": [1]}}},
            "toolConfig.functionCallingConfig.allowedFunctionNames[0]",
        ),
        (
            {"contents": [], "generationConfig": {"thinkingConfig": {"thinkingBudget": "x"}}},
            "generationConfig.thinkingConfig.thinkingBudget",
        ),
    ],
)
def test_errors_name_the_place(body, param):
    with pytest.raises(InvalidRequest) as caught:
        decode(body)
    assert caught.value.param == param


def test_what_is_not_json_is_the_callers_error():
    with pytest.raises(InvalidRequest, match="not JSON"):
        DIALECT.decode_request(b"{")


def test_single_objects_and_plain_text_stand_for_lists_as_in_the_vendors_examples():
    request = decode(
        {
            "systemInstruction": "s",
            "contents": {"parts": {"text": "a"}},
            "tools": {"functionDeclarations": [{"name": "f"}]},
        }
    )
    assert [message.text for message in request.messages] == ["s", "a"]
    assert request.tools[0].name == "f"


def test_the_path_names_model_and_stream():
    request = DIALECT.decode_request(b'{"model":"models/in-body","contents":[]}', model="models/in-path", stream=True)
    assert (request.model, request.stream) == ("in-path", True)
    assert DIALECT.decode_request(b'{"model":"models/in-body","contents":[]}').model == "in-body"


def test_a_broken_envelope_is_a_native_token():
    for token in ("ZXAxL" + "A", "ZXAxLg==", "ZXAxL!!!", "ep1.%%%", "ep1.W10"):
        part = decode({"contents": [{"parts": [{"text": "x", "thoughtSignature": token}]}]}).messages[0].parts[0]
        assert (part.signature.value, part.signature.origin.dialect) == (token, "gemini")


def test_output_formats_that_say_no_schema_leave_the_form_open():
    for given in ([{"audio": {}}], [], {"text": {"mimeType": "x"}}, 5):
        output = decode({"contents": [], "generationConfig": {"responseFormat": given}}).output
        assert (output.kind, output.schema) == ("text", None)


def test_an_output_that_was_changed_is_written_anew():
    request = decode(
        {
            "contents": [],
            "generationConfig": {
                "responseMimeType": "application/json",
                "responseSchema": {"type": "STRING"},
                "imageConfig": {"x": 1},
            },
        }
    )
    changed = replace(request, output=replace(request.output, schema={"type": "number"}))
    wire = json.loads(DIALECT.encode_request(changed, ModelProfile(schema_flavor="openapi")).body)
    assert wire["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseSchema": {"type": "number"},
        "imageConfig": {"x": 1},
    }


def test_system_turns_of_the_same_dialect_stay_turns():
    body = {"contents": [{"role": "system", "parts": [{"text": "s"}]}, {"role": "user", "parts": [{"text": "a"}]}]}
    assert json.loads(DIALECT.encode_request(decode(body), ModelProfile()).body) == body


def test_a_reminder_keeps_what_is_no_text():
    image = {"inlineData": {"mimeType": "image/png", "data": "QUJD"}}
    body = {"contents": [{"role": "user", "parts": [{"text": "a"}]}]}
    request = decode(body)
    system = Message("system", [*decode({"contents": [{"parts": [image]}]}).messages[0].parts])
    foreign = replace(request, dialect="openai_chat", messages=(*request.messages, system, Message("system", "")))
    assert json.loads(DIALECT.encode_request(foreign, ModelProfile()).body)["contents"][0]["parts"] == [
        {"text": "a"},
        image,
    ]


def test_settings_that_are_not_there_are_not_sent():
    request = ChatRequest(
        [Message("user", "x")],
        reasoning=Reasoning(),
        output=OutputFormat(audio={"format": "wav"}),
        metadata={},
        dialect="openai_chat",
    )
    assert json.loads(DIALECT.encode_request(request, ModelProfile()).body) == {
        "contents": [{"role": "user", "parts": [{"text": "x"}]}]
    }


def test_levels_outside_the_known_scale_take_the_middle():
    profile = ModelProfile(adaptive_thinking=True, effort_levels=("turbo",))
    request = ChatRequest([], reasoning=Reasoning(effort="odd"), dialect="openai_chat")
    assert json.loads(DIALECT.encode_request(request, profile).body)["generationConfig"]["thinkingConfig"] == {
        "thinkingLevel": "TURBO"
    }


# Streams


def test_a_chunk_may_be_a_list_of_one():
    body = END.removeprefix(b"data: ").strip()
    assert accumulate(decode_stream(b"data: [" + body + b"]\n\n")).finish.reason is FinishReason.STOP


@pytest.mark.parametrize(
    "data",
    [
        b"data: 5\n\n",
        b'data: {"x":1}\n\n',
        b"data: [1,2]\n\n",
        b'[{"candidates":[]},5]',
        b'["x"]',
        b'{"x":1}',
        b"data: {\n\n",
    ],
)
def test_other_streams_are_refused(data):
    with pytest.raises(ProtocolError):
        decode_stream(data)


def test_nothing_follows_an_error():
    error = b'data: {"error":{"code":500,"message":"x"}}\n\n'
    events = decode_stream(frame({"text": "a"}) + error + END)
    assert len(events) == len(decode_stream(frame({"text": "a"}) + error))


def test_plain_text_that_says_it_is_no_thought_is_text():
    assert parts_of(frame({"text": "a", "thought": False}), END) == (TextPart("a"),)


def test_native_signed_thoughts_are_parts_of_their_own():
    signature = Signature("QQ==", UPSTREAM.origin, "thought")
    assert parts_of(
        frame({"text": "a", "thought": True}), frame({"text": "b", "thought": True, "thoughtSignature": "QQ=="}), END
    ) == (
        ThinkingPart("a"),
        ThinkingPart("b", signature=signature),
    )
    assert parts_of(
        frame({"text": "a", "thought": True}), frame({"text": "", "thought": True, "thoughtSignature": "QQ=="}), END
    ) == (ThinkingPart("a", signature=signature),)
    assert parts_of(frame({"text": "", "thought": True, "thoughtSignature": "QQ=="}), END) == (
        ThinkingPart("", signature=signature),
    )


def test_an_empty_signed_text_alone_is_a_part():
    signature = Signature("QQ==", UPSTREAM.origin, "thought")
    assert parts_of(frame({"text": "", "thoughtSignature": "QQ=="}), frame({"text": "a"}), END) == (
        TextPart("", signature=signature),
        TextPart("a"),
    )


def test_a_call_in_pieces_ends_where_the_next_begins_or_the_stream_does():
    def piece(**call):
        return {"functionCall": call}

    calls = parts_of(
        frame(piece(name="f", partialArgs=[{"jsonPath": "$.a", "numberValue": 1}], willContinue=True)),
        frame(
            piece(name="g", partialArgs=[{"jsonPath": "$.b[1]", "boolValue": True}], willContinue=True), {"text": ""}
        ),
        END,
    )
    assert [(call.name, call.arguments) for call in calls] == [("f", '{"a":1}'), ("g", '{"b":[null,true]}')]
    assert all(isinstance(call, ToolCallPart) for call in calls)


def test_a_malformed_part_breaks_the_answer_not_the_decoder():
    for part in ({"functionCall": {"args": {}}}, {"functionCall": 5}, {"text": 5}, {"inlineData": {"data": 1}}):
        with pytest.raises(ProtocolError):
            decode_stream(frame(part) + END)
        with pytest.raises(ProtocolError):
            DIALECT.decode_response(frame(part, finishReason="STOP")[6:], UPSTREAM)


def test_log_probabilities_of_a_sum_are_kept():
    result = {"chosenCandidates": [{"token": "a", "logProbability": -1}], "logProbabilitySum": -1}
    response = accumulate(decode_stream(frame({"text": "a"}, finishReason="STOP", logprobsResult=result)))
    assert response.outputs[0].extra["logprobsResult"] == result


def test_a_choice_may_be_numbered_as_text():
    response = accumulate(
        decode_stream(frame({"text": "a"}, index="1") + frame({"text": "b"}, index="1", finishReason="STOP"))
    )
    assert response.outputs[0].message.text == "ab"


def test_members_of_the_first_chunk_come_with_the_first_chunk_again():
    body = b'data: {"createTime":"not a time","candidates":[{"content":{"parts":[%s]},"finishReason":"STOP","index":0}]}\n\n'
    for part in (b'{"text":"a"}', b'{"text":"a","thought":true}'):
        events = decode_stream(body % part)
        assert accumulate(decode_stream(encode_stream(events))) == accumulate(events)


def test_a_signature_that_comes_late_signs_a_held_part():
    signature = Signature("S", UPSTREAM.origin, "thought")
    events = [
        Started(origin=UPSTREAM.origin),
        PartStarted(0, TextPart("", signature=Signature("old", UPSTREAM.origin, "thought"))),
        PartDelta(0, TextDelta("a")),
        PartDelta(0, SignatureDelta(signature)),
        PartFinished(0),
        PartStarted(1, ThinkingPart("", signature=signature)),
        PartDelta(1, ThinkingDelta("t")),
        PartFinished(1),
        Finished(Finish(FinishReason.STOP, "STOP")),
    ]
    assert accumulate(decode_stream(encode_stream(events))).message.parts == (
        TextPart("a", signature=signature),
        ThinkingPart("t", signature=signature),
    )


def test_a_byte_order_mark_may_come_in_pieces():
    payloads = Payloads()
    data = b"\xef\xbb\xbf\r\n" + END
    assert [text for at in range(len(data)) for text in payloads.feed(data[at : at + 1])] == [END[6:-2]]


def test_an_array_is_split_at_its_objects_wherever_the_bytes_are():
    data = b' [ {"a":"}\\"\\\\"} , \n {"b":{"c":[1,{}]}}]\n'
    for size in range(1, len(data)):
        splitter = ArraySplitter()
        pieces = [piece for at in range(0, len(data), size) for piece in splitter.feed(data[at : at + size])]
        assert b"".join(pieces) == data
        assert [piece for piece in pieces if piece.startswith(b"{")] == [b'{"a":"}\\"\\\\"}', b'{"b":{"c":[1,{}]}}']


def test_an_object_without_end_is_refused():
    splitter = ArraySplitter()
    splitter.feed(b'[{"a":"')
    with pytest.raises(ProtocolError, match="does not end"):
        for _ in range(17):
            splitter.feed(b"x" * 1024 * 1024)


def test_a_bare_error_is_told_although_the_connection_stays_open():
    error = b'{\r\n  "error": {\r\n    "code": 503, "status": "UNAVAILABLE", "message": "busy"\r\n  }\r\n}\r\n'
    for before in (b"", frame({"text": "a"})):
        data = before + error
        for size in (1, 9, len(data)):
            decoder, relay = DIALECT.stream_decoder(UPSTREAM), DIALECT.relay(Peek(None))
            pieces = [data[at : at + size] for at in range(0, len(data), size)]
            events = [event for piece in pieces for event in decoder.feed(piece)]
            out = b"".join(relay.feed(piece) for piece in pieces)
            assert isinstance(events[-1], Failed)
            assert relay.metered.error.kind is ErrorKind.OVERLOADED
            assert out == before


def test_a_byte_order_mark_right_before_the_data_is_no_part_of_it():
    assert Payloads().feed(b"\xef\xbb\xbf" + END) == [END[6:-2]]
    assert accumulate(decode_stream(b"\xef\xbb\xbf" + frame({"text": "a"}) + END)).message.text == "a"


def test_an_array_is_closed_once():
    encoder = DIALECT.stream_encoder(Downstream("m", "r", sse=False))
    assert (encoder.close(), encoder.close()) == (b"[]\n", b"")


def test_what_comes_after_the_reason_does_not_take_it_back():
    relay = DIALECT.relay(Peek(None))
    relay.feed(frame({"text": "a"}, finishReason="STOP") + frame({"functionCall": {"name": "f"}}))
    assert relay.metered.finished
    assert relay.metered.finish.reason is FinishReason.TOOL_CALLS


def test_where_both_spellings_are_given_the_vendors_own_wins():
    for names in (("systemInstruction", "system_instruction"), ("system_instruction", "systemInstruction")):
        body = {name: {"parts": [{"text": name}]} for name in names}
        assert decode({**body, "contents": []}).messages[0].text == "systemInstruction"
