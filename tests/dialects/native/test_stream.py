"""The native stream, both ways."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.native.strategies import HARD, answers, text
from execution_platform import _json
from execution_platform.dialects.base import Downstream, Peek, Upstream
from execution_platform.dialects.native import DIALECT
from execution_platform.dialects.sse import SseDecoder
from execution_platform.exceptions import (
    BudgetExceeded,
    ErrorKind,
    ExecutionPlatformError,
    ProtocolError,
    ProviderError,
)
from execution_platform.spi import (
    Accumulator,
    Citation,
    Finish,
    FinishReason,
    Inline,
    MediaPart,
    Message,
    Origin,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
    accumulate,
    explode,
)
from execution_platform.spi.events import (
    ArgumentsDelta,
    CitationDelta,
    Failed,
    Finished,
    LogprobsDelta,
    PartDelta,
    PartFinished,
    PartStarted,
    Raw,
    Started,
    SummaryDelta,
    TextDelta,
    UsageReported,
)

UPSTREAM = Upstream(Origin(dialect="native", provider="gateway"))
DOWN = Downstream(model="asked", id="fallback-id", extra={"provider": "p1", "simulated": True})


def encode(events, downstream=DOWN):
    encoder = DIALECT.stream_encoder(downstream)
    return encoder.send(events) + encoder.close(), encoder


def frames(data):
    """What a reader written from the specification sees, not our own decoder."""
    found = []
    for block in data.decode().split("\n\n"):
        lines = block.split("\n")
        if any(line.startswith("event: ") for line in lines):
            assert len(lines) == 2, lines
            assert lines[1].startswith("data: ")
            found.append((lines[0].removeprefix("event: "), _json.loads(lines[1].removeprefix("data: "))))
    return found


def decode(data):
    decoder = DIALECT.stream_decoder(UPSTREAM)
    return decoder.feed(data) + decoder.close()


def answer(*parts, usage=None):
    events = [Started(id="r1", model="m1")]
    for index, part in enumerate(parts):
        events += [PartStarted(index, part), PartFinished(index)]
    if usage:
        events.append(UsageReported(usage))
    return [*events, Finished(Finish(FinishReason.STOP))]


def normal(parts):
    """Neighbouring text and thinking joined, empty parts left out: what the stream can tell."""
    out = []
    for part in parts:
        if isinstance(part, TextPart | ThinkingPart):
            said = part.text + "".join(getattr(part, "summary", ()))
            if not said and part.signature is None:
                continue
            kind = (type(part), getattr(part, "refusal", False))
            if out and out[-1][0] == kind and out[-1][2] is None and not getattr(part, "redacted", False):
                out[-1] = (kind, out[-1][1] + said, part.signature)
            else:
                out.append((kind, said, part.signature))
        elif isinstance(part, ToolCallPart):
            out.append(("call", (part.call_id, part.name, spelled(part.arguments)), part.signature))
        else:
            out.append(("result", (part.call_id, part.name, "".join(inner.text for inner in part.parts)), None))
    return out


def spelled(arguments):
    try:
        value = _json.loads(arguments) if arguments.strip() else {}
    except ValueError:
        return arguments
    return (
        arguments.strip().replace("\n", " ").replace("\r", " ")
        if arguments.strip() and isinstance(value, dict)
        else ("{}" if not arguments.strip() else arguments)
    )


def test_a_whole_stream_reads_exactly_as_the_contract_says():
    events = [
        Started(id="r1", model="m1", origin=Origin(dialect="x", provider="other")),
        PartStarted(0, ThinkingPart("")),
        PartDelta(0, SummaryDelta("hm")),
        PartFinished(0),
        PartStarted(1, TextPart("")),
        PartDelta(1, TextDelta("Hel")),
        PartDelta(1, TextDelta("lo")),
        PartFinished(1),
        PartStarted(2, ToolCallPart("c1", "f", "")),
        PartDelta(2, ArgumentsDelta('{"a":')),
        PartDelta(2, ArgumentsDelta("1}")),
        PartFinished(2),
        PartStarted(3, ToolResultPart("c1", (TextPart("42"),), name="f")),
        PartFinished(3),
        UsageReported(Usage(3, 4, 0.5)),
        Finished(Finish(FinishReason.STOP)),
    ]
    data, encoder = encode(events)
    usage = {"input_tokens": 3, "output_tokens": 4, "cost_usd": 0.5}
    assert data == (
        b'event: thinking\ndata: {"text":"hm"}\n\n'
        b'event: token\ndata: {"text":"Hel"}\n\n'
        b'event: token\ndata: {"text":"lo"}\n\n'
        b'event: tool_call\ndata: {"type":"tool_call","data":{"id":"c1","name":"f","args":{"a":1}}}\n\n'
        b'event: tool_result\ndata: {"type":"tool_result","data":{"id":"c1","name":"f","result":"42"}}\n\n'
        b"event: usage\ndata: " + _json.dumps({**usage, "provider": "p1", "model": "m1"}) + b"\n\n"
        b"event: done\ndata: "
        + _json.dumps(
            {"reason": "stop", "usage": usage, "provider": "p1", "model": "m1", "id": "r1", "simulated": True}
        )
        + b"\n\n"
    )
    assert encoder.losses == ()


def test_interleaved_calls_leave_once_each_when_they_are_complete():
    events = [
        Started(),
        PartStarted(0, ToolCallPart("a", "f", "")),
        PartStarted(1, ToolCallPart("b", "g", "")),
        PartDelta(1, ArgumentsDelta('{"x"')),
        PartDelta(0, ArgumentsDelta("{}")),
        PartDelta(1, ArgumentsDelta(":2}")),
        PartFinished(1),
        PartFinished(0),
        Finished(Finish(FinishReason.TOOL_CALLS)),
    ]
    data, _ = encode(events)
    assert [event["data"] for name, event in frames(data) if name == "tool_call"] == [
        {"id": "b", "name": "g", "args": {"x": 2}},
        {"id": "a", "name": "f", "args": {}},
    ]


@pytest.mark.parametrize(
    ("arguments", "args"),
    [
        ("", {}),
        ("  ", {}),
        ('{"a":', {"_raw": '{"a":'}),
        ("[1]", {"_raw": "[1]"}),
        ('"x"', {"_raw": '"x"'}),
        ('{"a":1e999}', {"_raw": '{"a":1e999}'}),
        ('{\n"a": 1}', {"a": 1}),
    ],
)
def test_arguments_leave_as_an_object_and_what_is_none_leaves_as_raw_text(arguments, args):
    data, _ = encode(answer(ToolCallPart("c", "f", arguments)))
    assert frames(data)[0][1]["data"]["args"] == args


@pytest.mark.parametrize(
    "arguments", ['{"a": 12345678901234567890123}', '{"a":1.0}', '{"a":', "[1]", '{"_raw": "x"}', "nö\n"]
)
def test_arguments_come_back_as_the_text_the_model_wrote(arguments):
    events = decode(encode(answer(ToolCallPart("c", "f", arguments)))[0])
    assert accumulate(events).tool_calls[0].arguments == arguments


@given(answers)
@settings(max_examples=300, deadline=None)
def test_a_stream_tells_all_that_its_events_told(response):
    data, encoder = encode(explode(response))
    again = accumulate(decode(data))
    assert normal(again.message.parts) == normal(response.message.parts)
    assert again.finish == response.finish
    assert again.usage == response.usage
    assert encoder.losses == ()


@given(answers, st.data())
@settings(max_examples=100, deadline=None)
def test_where_the_bytes_are_split_never_shows(response, data):
    wire, _ = encode(explode(response))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    decoder = DIALECT.stream_decoder(UPSTREAM)
    events = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        events += decoder.feed(wire[start:end])
    assert events + decoder.close() == decode(wire)


@given(answers)
@settings(max_examples=100, deadline=None)
def test_how_events_are_grouped_never_shows(response):
    events = explode(response)
    encoder = DIALECT.stream_encoder(DOWN)
    assert b"".join(encoder.send([event]) for event in events) + encoder.close() == encode(events)[0]


@given(st.lists(st.one_of(text, st.sampled_from(HARD)), max_size=5))
@settings(deadline=None)
def test_no_text_can_forge_a_frame(texts):
    """T1: line ends inside data are data."""
    parts = [TextPart(each) for each in texts] + [ThinkingPart(each) for each in texts]
    parts += [ToolCallPart(each or "c", each or "f", each) for each in texts]
    parts += [ToolResultPart(each or "c", (TextPart(each),), name=each) for each in texts]
    events = answer(*parts)
    events[-1] = Finished(Finish(FinishReason.STOP, raw="".join(texts)))
    data, _ = encode(events, Downstream(model="".join(texts), id="x", extra={"provider": "".join(texts)}))
    names = [name for name, _ in frames(data)]
    said = len([each for each in texts if each])
    assert names == ["token"] * said + ["thinking"] * said + ["tool_call"] * len(texts) + ["tool_result"] * len(
        texts
    ) + ["done"]
    assert [frame.event for frame in SseDecoder().feed(data)] == names
    assert "".join(value["text"] for name, value in frames(data) if name == "token") == "".join(texts)


@given(st.sampled_from(HARD))
def test_no_error_text_can_forge_a_frame(message):
    """T1: in the words of an error too."""
    frame = DIALECT.error_frame(BudgetExceeded(message), "r")
    assert frames(frame) == [("error", {"error": message, "code": "cost_budget_exceeded", "retryable": False})]


@given(answers, st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_stream_gives_events_or_our_own_error(response, data):
    wire = bytearray(encode(explode(response))[0])
    for _ in range(data.draw(st.integers(1, 3))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    decoder = DIALECT.stream_decoder(UPSTREAM)
    accumulator = Accumulator()
    with contextlib.suppress(ExecutionPlatformError):
        for event in decoder.feed(bytes(wire)) + decoder.close():
            accumulator.feed(event)
        assert accumulator.result().outputs


@given(answers, st.data())
@settings(max_examples=100, deadline=None)
def test_a_stream_cut_before_its_end_is_never_complete(response, data):
    wire, _ = encode(explode(response))
    cut = data.draw(st.integers(0, len(wire) - 1))
    with pytest.raises(ProtocolError, match="cut before its `done`"):
        decode(wire[:cut])


@given(answers, st.data())
@settings(max_examples=100, deadline=None)
def test_a_relay_hands_on_every_byte_and_meters_what_the_decoder_reads(response, data):
    wire, _ = encode(explode(response))
    relay = DIALECT.relay(Peek(model=None))
    cut = data.draw(st.integers(0, len(wire)))
    assert relay.feed(wire[:cut]) + relay.feed(wire[cut:]) + relay.close() == wire
    assert relay.metered.usage == response.usage
    assert relay.metered.finish == response.finish
    assert (relay.metered.model, relay.metered.id, relay.metered.finished) == ("some/model", "resp_1", True)
    said = b"event: token" in wire or b"event: thinking" in wire or b"event: tool_call" in wire
    assert relay.metered.committed is said


def test_a_relay_reports_an_error_in_the_stream():
    relay = DIALECT.relay(Peek(model=None))
    relay.feed(DIALECT.error_frame(ProviderError("late", kind=ErrorKind.TIMEOUT), "r"))
    assert relay.metered.error.kind is ErrorKind.TIMEOUT
    assert relay.metered.finished is False


def test_events_without_an_end_get_no_done():
    data, _ = encode(answer(TextPart("half"))[:-1])
    assert [name for name, _ in frames(data)] == ["token"]


def test_nothing_follows_an_error():
    encoder = DIALECT.stream_encoder(DOWN)
    data = encoder.send(
        [Started(), Failed(BudgetExceeded("spent", code="token_budget_exceeded")), *answer(TextPart("x"))[1:]]
    )
    assert frames(data) == [("error", {"error": "spent", "code": "token_budget_exceeded", "retryable": False})]
    assert encoder.send(answer(TextPart("x"))) == b""
    assert encoder.close() == b""


def test_who_served_the_answer_is_read_when_the_stream_ends():
    extra = {}
    encoder = DIALECT.stream_encoder(Downstream(model="m", id="x", extra=extra))
    data = encoder.send(answer(TextPart("x")))
    extra.update(provider="second", fallback_from="first")
    done = frames(data + encoder.close())[-1][1]
    assert (done["provider"], done["fallback_from"]) == ("second", "first")


def test_the_last_usage_counts_and_is_told_once():
    events = answer(TextPart("x"))
    events[1:1] = [UsageReported(Usage(1, 1), final=False)]
    events[-1:-1] = [UsageReported(Usage(5, 6))]
    told = [value for name, value in frames(encode(events)[0]) if name == "usage"]
    assert [(value["input_tokens"], value["output_tokens"], value["cost_usd"]) for value in told] == [(5, 6, None)]


def test_a_cost_of_zero_is_a_float():
    data, _ = encode(answer(TextPart("x"), usage=Usage(1, 1, 0)))
    assert b'"cost_usd":0.0' in data


def test_what_the_events_cannot_tell_is_a_loss_and_pings_are_none():
    events = answer(TextPart("x"), MediaPart("image", Inline("image/png", "AA==")))
    events[2:2] = [PartDelta(0, CitationDelta(Citation(url="u"))), PartDelta(0, LogprobsDelta([1]))]
    events += [PartStarted(0, TextPart("two"), 1), PartFinished(0, None, 1), Raw("gemini", {})]
    events[0].system_fingerprint = "f"
    events[0].extra = {"odd": 1}
    _, encoder = encode(events)
    assert [(loss.path, loss.severity) for loss in encoder.losses] == [
        ("system_fingerprint", "knob"),
        ("odd", "knob"),
        ("message.content[0].citations", "content"),
        ("message.content[0].logprobs", "knob"),
        ("message.content[1]", "content"),
        ("outputs[1]", "content"),
    ]


def test_a_private_failure_of_a_provider_is_told_in_general_words():
    frame = DIALECT.error_frame(ProviderError("key sk-123 is wrong", kind=ErrorKind.AUTH), "r")
    assert b"sk-123" not in frame
    assert frames(frame)[0][1]["code"] == "provider_auth"


def test_an_error_event_becomes_the_exception_it_stands_for():
    (_, failed) = decode(
        b'event: error\ndata: {"error": "spent", "code": "token_budget_exceeded", "retryable": false}\n\n'
    )
    assert isinstance(failed.error, BudgetExceeded)
    assert (failed.error.message, failed.error.code) == ("spent", "token_budget_exceeded")


def test_events_nobody_knows_and_comments_do_not_disturb():
    data = b': keep-alive\n\nevent: plan\r\ndata: {"step": 1}\r\n\r\nevent: token\ndata: {"text": "x"}\n\n'
    data += b'event: done\ndata: {"reason": "stop", "usage": null}\n\n' + DIALECT.heartbeat
    events = decode(data)
    assert Raw("native", {"event": "plan", "data": {"step": 1}}) in events
    assert accumulate(events).text == "x"


@pytest.mark.parametrize(
    "data",
    [
        b"event: token\ndata: nonsense\n\n",
        b"event: token\ndata: []\n\n",
        b"event: token\ndata: {}\n\n",
        b'event: thinking\ndata: {"text": 1}\n\n',
        b"event: tool_call\ndata: {}\n\n",
        b"event: tool_call\ndata: []\n\n",
        b'event: tool_call\ndata: {"data": 1}\n\n',
        b'event: tool_call\ndata: {"data": {"id": "c"}}\n\n',
        b'event: tool_call\ndata: {"data": {"name": "f", "args": [1]}}\n\n',
        b'event: done\ndata: {"reason": "stop"}\n\nevent: token\ndata: {"text": "x"}\n\n',
        b"<html>not a stream</html>",
        b"",
    ],
)
def test_bytes_that_are_not_the_dialect_are_a_protocol_error(data):
    with pytest.raises(ProtocolError):
        decode(data)


def test_a_finish_reason_nobody_knows_is_kept_in_its_own_words():
    events = decode(b'event: done\ndata: {"reason": "tired", "fallback_from": "a"}\n\n')
    assert events[-1] == Finished(Finish(FinishReason.UNKNOWN, "tired"), extra={"fallback_from": "a"})


def test_usage_inside_done_serves_when_there_was_no_usage_event():
    events = decode(b'event: done\ndata: {"reason": "stop", "usage": {"input_tokens": 2, "output_tokens": "x"}}\n\n')
    assert events[1] == UsageReported(Usage(2, None))


def test_a_result_of_any_form_answers_the_call_before_it():
    data = (
        b'event: tool_call\ndata: {"data": {"id": "c9", "name": "f"}}\n\nevent: tool_result\ndata: {"data": [1, 2]}\n\n'
    )
    data += b'event: done\ndata: {"reason": "stop"}\n\n'
    assert accumulate(decode(data)).message == Message(
        "assistant", (ToolCallPart("c9", "f", "{}"), ToolResultPart("c9", raw=[1, 2]))
    )


def test_renamed_tools_get_their_declared_names_back():
    decoder = DIALECT.stream_decoder(Upstream(Origin(dialect="native"), {"a_b": "a.b"}))
    events = decoder.feed(
        b'event: tool_call\ndata: {"data": {"name": "a_b"}}\n\nevent: done\ndata: {"reason": "stop"}\n\n'
    )
    call = accumulate(events).tool_calls[0]
    assert (call.name, call.call_id, call.synthetic_id) == ("a.b", "call_0", True)
