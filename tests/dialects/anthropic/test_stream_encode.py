"""What a caller of this dialect sees of answers that other providers streamed."""

from dialects.anthropic.answering import AWAY, DOWN, GEMINI, answer, gathered, read, streamed
from execution_platform.dialects import envelope
from execution_platform.dialects.anthropic import DIALECT
from execution_platform.dialects.base import Downstream
from execution_platform.exceptions import ErrorKind, ProviderError
from execution_platform.spi import (
    Finish,
    FinishReason,
    Origin,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    Usage,
)
from execution_platform.spi.events import (
    ArgumentsDelta,
    Event,
    Failed,
    Finished,
    LogprobsDelta,
    PartDelta,
    PartFinished,
    PartStarted,
    Raw,
    RefusalDelta,
    SignatureDelta,
    Started,
    SummaryDelta,
    TextDelta,
    UsageReported,
)


def test_summaries_are_the_text_of_thinking() -> None:
    response = answer(ThinkingPart(summary=("one", "two")), TextPart("x"))
    by_whole, by_stream = read(response)
    assert by_whole.message.parts[0].text == by_stream.message.parts[0].text == "one\n\ntwo"  # type: ignore[union-attr]
    events = [
        Started(origin=AWAY),
        PartStarted(0, ThinkingPart()),
        PartDelta(0, SummaryDelta("o")),
        PartDelta(0, SummaryDelta("ne")),
        PartDelta(0, SummaryDelta("two", 1)),
        PartFinished(0),
        Finished(Finish(FinishReason.STOP)),
    ]
    frames, _ = streamed(events)
    assert gathered(frames)[0]["thinking"] == "one\n\ntwo"


def test_interleaved_calls_leave_one_after_the_other() -> None:
    events: list[Event] = [
        Started(origin=AWAY),
        PartStarted(0, TextPart("")),
        PartDelta(0, TextDelta("a")),
        PartStarted(1, ToolCallPart("c1", "f", "")),
        PartDelta(1, ArgumentsDelta('{"x"')),
        PartStarted(2, ToolCallPart("c2", "g", "")),
        PartDelta(2, ArgumentsDelta('{"y":')),
        PartDelta(0, TextDelta("b")),
        PartFinished(0),
        PartDelta(1, ArgumentsDelta(":1}")),
        PartDelta(2, ArgumentsDelta("2}")),
        PartFinished(2),
        PartFinished(1),
        UsageReported(Usage(5, 6)),
        Finished(Finish(FinishReason.TOOL_CALLS, "tool_calls")),
    ]
    frames, losses = streamed(events)
    assert gathered(frames) == [
        {"type": "text", "text": "ab"},
        {"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}},
        {"type": "tool_use", "id": "c2", "name": "g", "input": {"y": 2}},
    ]
    assert frames[-2]["delta"]["stop_reason"] == "tool_use"
    assert losses == {}


def test_usage_known_late_is_zero_at_the_start_and_full_at_the_end() -> None:
    events = [
        Started(origin=AWAY, model="g"),
        UsageReported(Usage(9, 4, cache_read_tokens=3)),
        Finished(Finish(FinishReason.STOP)),
    ]
    frames, _ = streamed(events)
    assert frames[0]["message"]["usage"] == {"input_tokens": 0, "output_tokens": 0}
    assert frames[1]["usage"] == {"input_tokens": 6, "output_tokens": 4, "cache_read_input_tokens": 3}


def test_usage_known_at_the_start_is_said_there() -> None:
    usage = Usage(
        9, 0, cache_write_tokens=4, cache_write_by_ttl={"5m": 1, "12h": 3}, tier="default", speed="fast", region="us"
    )
    frames, _ = streamed([Started(usage=usage), Finished(Finish(FinishReason.STOP))])
    assert frames[0]["message"]["usage"] == {
        "input_tokens": 5,
        "output_tokens": 0,
        "cache_creation_input_tokens": 4,
        "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 3},
        "service_tier": "standard",
        "speed": "fast",
        "inference_geo": "us",
    }
    assert frames[1]["usage"] == {"input_tokens": 5, "output_tokens": 0, "cache_creation_input_tokens": 4}


def test_text_goes_out_with_the_read_it_came_in() -> None:
    encoder = DIALECT.stream_encoder(DOWN)
    first = encoder.send([Started(), PartStarted(0, TextPart("")), PartDelta(0, TextDelta("a\n\n"))])
    assert first.count(b"\n\n") == 3
    assert encoder.send([PartDelta(0, TextDelta("b")), PartDelta(0, TextDelta("c"))]).count(b"text_delta") == 2
    assert encoder.send([]) == b""


def test_empty_text_opens_no_block() -> None:
    frames, _ = streamed(
        [
            Started(),
            PartStarted(0, TextPart("")),
            PartDelta(0, TextDelta("")),
            PartFinished(0),
            Finished(Finish(FinishReason.STOP)),
        ]
    )
    assert [frame["type"] for frame in frames] == ["message_start", "message_delta", "message_stop"]


def test_a_refusal_is_text() -> None:
    frames, _ = streamed(
        [
            Started(),
            PartStarted(0, TextPart("")),
            PartDelta(0, RefusalDelta("no")),
            PartFinished(0),
            Finished(Finish(FinishReason.STOP)),
        ]
    )
    assert gathered(frames) == [{"type": "text", "text": "no"}]


def test_whole_parts_without_deltas_are_streamed() -> None:
    late = [
        Started(origin=AWAY),
        PartStarted(0, TextPart("")),
        PartFinished(0, TextPart("late")),
        PartStarted(1, TextPart("early")),
        PartFinished(1),
        PartStarted(2, ToolCallPart("c", "f", '{"a":1}')),
        PartDelta(2, SignatureDelta(Signature("G", GEMINI, "thought"))),
        PartFinished(2),
        PartStarted(3, TextPart("")),
        PartDelta(3, TextDelta("z")),
        PartDelta(3, LogprobsDelta([{}])),
        PartFinished(3),
        Finished(Finish(FinishReason.STOP)),
    ]
    frames, _ = streamed(late)
    content = gathered(frames)
    assert [block["type"] for block in content] == ["text", "text", "tool_use", "redacted_thinking", "text"]
    assert [block["text"] for block in content if "text" in block] == ["late", "early", "z"]


def test_a_failure_is_the_last_word() -> None:
    encoder = DIALECT.stream_encoder(Downstream("m", "r", extra={"request_id": "req_9"}))
    encoder.send([Started()])
    data = encoder.send([Failed(ProviderError("busy", kind=ErrorKind.OVERLOADED))])
    assert data.startswith(b"event: error\n")
    assert b'"request_id":"req_9"' in data
    assert encoder.close() == b""


def test_a_stream_without_finish_gets_no_terminator() -> None:
    encoder = DIALECT.stream_encoder(DOWN)
    encoder.send([Started(), PartStarted(0, TextPart("a"))])
    assert encoder.close() == b""


def test_pings_and_unknown_events_of_this_api_are_relayed() -> None:
    frames, _ = streamed(
        [
            Started(origin=Origin(dialect="anthropic")),
            Raw("anthropic", {"type": "ping"}),
            PartStarted(0, TextPart("a")),
            Raw("anthropic", {"type": "content_block_delta", "index": 9, "delta": {"type": "mood_delta"}}),
            Raw("openai_chat", {"type": "x"}),
            Raw("anthropic", {"type": "bad\nname"}),
            PartFinished(0),
            Raw("anthropic", {"type": "content_block_delta", "index": 9, "delta": {"type": "mood_delta"}}),
            Raw("anthropic", {"type": "weather_report"}),
            Finished(Finish(FinishReason.STOP)),
        ]
    )
    kinds = [frame["type"] for frame in frames]
    assert kinds.count("ping") == 1
    assert [frame["delta"]["type"] for frame in frames if frame["type"] == "content_block_delta"] == [
        "text_delta",
        "mood_delta",
    ]
    assert kinds.count("weather_report") == 1
    assert len(kinds) == 9


def test_content_before_the_start_still_gets_one() -> None:
    frames, _ = streamed([PartStarted(0, TextPart("a")), PartFinished(0), Finished(Finish(FinishReason.STOP))])
    assert frames[0]["type"] == "message_start"


def test_the_heartbeat_is_a_ping() -> None:
    assert DIALECT.heartbeat == b'event: ping\ndata: {"type": "ping"}\n\n'


def test_a_failure_after_the_finish_still_ends_the_stream() -> None:
    encoder = DIALECT.stream_encoder(DOWN)
    encoder.send([Started(), Finished(Finish(FinishReason.STOP))])
    assert encoder.send([Failed(ProviderError("cut", kind=ErrorKind.PROTOCOL))]).startswith(b"event: error")
    assert encoder.close() == b""


def test_thinking_given_whole_at_its_start_is_streamed() -> None:
    part = ThinkingPart("", summary=("one", "two"), signature=Signature("E", AWAY, "encrypted"))
    frames, _ = streamed(
        [
            Started(origin=AWAY),
            PartStarted(0, part),
            PartFinished(0),
            PartStarted(1, ThinkingPart("hm")),
            PartFinished(1),
            Finished(Finish(FinishReason.STOP)),
        ]
    )
    assert [block["thinking"] for block in gathered(frames)] == ["one\n\ntwo", "hm"]
    opened = envelope.unseal(gathered(frames)[0]["signature"])
    assert opened is not None
    assert opened.signature == part.signature
