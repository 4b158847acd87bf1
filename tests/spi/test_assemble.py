"""Events and whole answers are the same thing, and a stream that breaks its laws is found out."""

from dataclasses import replace

import pytest
from hypothesis import given, settings

from execution_platform.exceptions import ErrorKind, ProtocolError, ProviderError
from execution_platform.spi import (
    Citation,
    Finish,
    FinishReason,
    Inline,
    MediaPart,
    Origin,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
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
    MediaDelta,
    PartDelta,
    PartFinished,
    PartStarted,
    Raw,
    RefusalDelta,
    SignatureDelta,
    Started,
    SummaryDelta,
    TextDelta,
    ThinkingDelta,
    UsageReported,
)
from spi.strategies import responses

STOP = Finish(FinishReason.STOP)


@given(responses)
@settings(max_examples=300)
def test_an_answer_taken_apart_and_put_together_is_the_same(response):
    assert accumulate(explode(response)) == response


@given(responses)
def test_an_answer_taken_apart_keeps_the_laws(response):
    events = explode(response)
    assert isinstance(events[0], Started)
    ends = [index for index, event in enumerate(events) if isinstance(event, Finished)]
    assert len(ends) == len(response.outputs)
    assert ends[-1] == len(events) - 1
    reports = [index for index, event in enumerate(events) if isinstance(event, UsageReported)]
    assert all(index < ends[0] for index in reports)


def folded(part, *deltas):
    events = [
        Started(),
        PartStarted(0, part),
        *(PartDelta(0, delta) for delta in deltas),
        PartFinished(0),
        Finished(STOP),
    ]
    return accumulate(events).message.parts[0]


def test_deltas_add_to_the_part():
    mark = Signature("s", Origin(dialect="d"))
    cite = Citation(kind="url")
    assert folded(TextPart("a"), TextDelta("b"), TextDelta("c"), CitationDelta(cite)) == TextPart(
        "abc", citations=(cite,)
    )
    assert folded(TextPart("", logprobs=[1]), LogprobsDelta([2])) == TextPart("", logprobs=[1, 2])
    assert folded(TextPart(""), RefusalDelta("no")) == TextPart("no", refusal=True)
    assert folded(ThinkingPart("a"), ThinkingDelta("b"), SignatureDelta(mark)) == ThinkingPart("ab", signature=mark)
    assert folded(ThinkingPart(), SummaryDelta("x", 1), SummaryDelta("a"), SummaryDelta("b")) == ThinkingPart(
        summary=("ab", "x")
    )
    assert folded(ToolCallPart("c", "f", ""), ArgumentsDelta("{"), ArgumentsDelta("}")) == ToolCallPart("c", "f", "{}")
    audio = MediaPart("audio", Inline("audio/wav", "A"))
    assert folded(audio, MediaDelta("B", "hi"), MediaDelta("", " you")) == replace(
        audio, source=Inline("audio/wav", "AB"), transcript="hi you"
    )
    assert folded(audio, MediaDelta("B")).transcript is None


def test_a_part_given_at_its_end_replaces_what_the_deltas_made():
    events = [
        Started(),
        PartStarted(0, TextPart("")),
        PartDelta(0, TextDelta("x")),
        PartFinished(0, TextPart("whole")),
        Finished(STOP),
    ]
    assert accumulate(events).text == "whole"


def test_parts_come_in_the_order_of_their_index():
    events = [
        Started(),
        PartStarted(1, TextPart("b")),
        PartStarted(0, TextPart("a")),
        PartFinished(1),
        PartFinished(0),
        Finished(STOP),
    ]
    assert accumulate(events).text == "ab"


def test_a_later_report_of_usage_replaces_an_earlier_one():
    events = [Started(usage=Usage(1)), UsageReported(Usage(2), final=False), UsageReported(Usage(3)), Finished(STOP)]
    assert accumulate(events).usage == Usage(3)
    assert accumulate([Started(usage=Usage(1)), Finished(STOP)]).usage == Usage(1)


def test_what_the_last_end_tells_of_the_whole_answer_counts():
    events = [Started(), Finished(STOP, 0, grounding={"a": 1}, safety=1), Finished(STOP, 1, grounding={"b": 2})]
    answer = accumulate(events)
    assert (answer.grounding, answer.safety, answer.diagnostics) == ({"b": 2}, 1, None)


def test_a_failure_is_raised():
    error = ProviderError("boom", kind=ErrorKind.SERVER)
    with pytest.raises(ProviderError) as raised:
        accumulate([Started(), Failed(error)])
    assert raised.value is error


def test_events_nobody_knows_change_nothing():
    assert accumulate([Started(), Raw("d", {"type": "ping"}), Finished(STOP)]).outputs[0].message.parts == ()


TEXT = PartStarted(0, TextPart(""))


@pytest.mark.parametrize(
    ("events", "law"),
    [
        ([], "ends before it starts"),
        ([Started()], "without a finish reason"),
        ([Started(), Started()], "starts twice"),
        ([TEXT], "opens before the stream starts"),
        ([Started(), TEXT, TEXT], "part 0 opens twice"),
        ([Started(), TEXT, PartFinished(0), TEXT], "part 0 opens twice"),
        ([Started(), PartDelta(0, TextDelta("x"))], "part 0 is used while it is not open"),
        ([Started(), TEXT, PartFinished(0), PartDelta(0, TextDelta("x"))], "part 0 is used while it is not open"),
        ([Started(), PartFinished(0)], "part 0 is used while it is not open"),
        ([Started(), TEXT, Finished(STOP)], "choice 0 ends while a part is open"),
        ([Started(), Finished(STOP), Finished(STOP)], "choice 0 ends twice"),
        ([Started(), Finished(STOP), TEXT], "choice 0 goes on after its end"),
        ([Started(), TEXT, PartFinished(0)], "without a finish reason"),
        ([Started(), TEXT, PartFinished(0), Finished(STOP, 1)], "without a finish reason"),
    ],
)
def test_a_broken_stream_is_found_out(events, law):
    with pytest.raises(ProtocolError, match=law) as raised:
        accumulate(events)
    assert raised.value.kind is ErrorKind.PROTOCOL
