"""The flat view of a stream."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform.exceptions import ErrorKind, ProviderError
from execution_platform.spi import (
    Chat,
    ChatChunk,
    Finish,
    FinishReason,
    Message,
    Origin,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCall,
    ToolCallDelta,
    ToolCallPart,
    Usage,
    accumulate,
    explode,
)
from execution_platform.spi.chunks import to_chunks, to_events
from execution_platform.spi.events import (
    ArgumentsDelta,
    Failed,
    Finished,
    PartDelta,
    PartFinished,
    PartStarted,
    Raw,
    SignatureDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    UsageReported,
)
from spi.strategies import responses

EVENTS = [
    Started(id="r"),
    PartStarted(0, ThinkingPart()),
    PartDelta(0, ThinkingDelta("hm")),
    PartFinished(0),
    PartStarted(1, TextPart("")),
    PartDelta(1, TextDelta("a")),
    PartDelta(1, TextDelta("b")),
    PartFinished(1),
    PartStarted(2, ToolCallPart("c1", "f", "")),
    PartDelta(2, ArgumentsDelta('{"x"')),
    PartDelta(2, ArgumentsDelta(":1}")),
    PartFinished(2),
    UsageReported(Usage(3, 2)),
    Finished(Finish(FinishReason.TOOL_CALLS)),
]


def test_a_call_comes_growing_and_then_once_whole():
    chunks = to_chunks(EVENTS)
    assert chunks == [
        ChatChunk(thinking="hm"),
        ChatChunk("a"),
        ChatChunk("b"),
        ChatChunk(tool_call_delta=ToolCallDelta("c1", "f", '{"x"')),
        ChatChunk(tool_call_delta=ToolCallDelta("c1", "f", ":1}")),
        ChatChunk(tool_call=ToolCall("c1", "f", '{"x":1}')),
        ChatChunk(usage=Usage(3, 2)),
        ChatChunk(finish_reason=FinishReason.TOOL_CALLS),
    ]


def test_a_call_given_whole_at_its_end_is_told_so():
    events = [Started(), PartStarted(0, ToolCallPart("c1", "f", "")), PartFinished(0, ToolCallPart("c2", "g", "{}"))]
    assert to_chunks(events) == [ChatChunk(tool_call=ToolCall("c2", "g", "{}"))]


def test_what_no_field_expresses_is_a_provider_event():
    raw, signed = Raw("d", {}), PartDelta(0, SignatureDelta(Signature("s", Origin(dialect="d"))))
    events = [Started(), PartStarted(0, TextPart("whole")), signed, PartFinished(0), raw]
    assert to_chunks(events) == [
        ChatChunk("whole"),
        ChatChunk(provider_events=(signed,)),
        ChatChunk(provider_events=(raw,)),
    ]


def test_a_failure_is_raised():
    with pytest.raises(ProviderError, match="boom"):
        to_chunks([Started(), Failed(ProviderError("boom", kind=ErrorKind.SERVER))])


def test_chunks_become_the_same_events_again():
    assert accumulate(to_events(to_chunks(EVENTS))).outputs == accumulate(EVENTS).outputs


chunks = st.lists(
    st.one_of(
        st.text(max_size=4).map(ChatChunk),
        st.text(max_size=4).map(lambda text: ChatChunk(thinking=text)),
        st.builds(ToolCall, st.text(min_size=1), st.text(min_size=1), st.text()).map(
            lambda call: ChatChunk(tool_call=call)
        ),
        st.just(ChatChunk(usage=Usage(1, 1))),
    ),
    max_size=8,
)


@given(chunks)
def test_events_of_any_chunks_keep_the_laws(told):
    answer = accumulate(to_events([*told, ChatChunk(finish_reason=FinishReason.STOP)]))
    assert answer.text == "".join(chunk.delta_text or "" for chunk in told)
    assert [call.call_id for call in answer.tool_calls] == [chunk.tool_call.id for chunk in told if chunk.tool_call]


def test_chunks_without_an_end_make_no_complete_answer():
    assert not any(isinstance(event, Finished) for event in to_events([ChatChunk("x")]))


@given(responses)
def test_the_text_and_the_calls_of_every_answer_are_told(response):
    told = to_chunks(explode(response))
    parts = [part for output in response.outputs for part in output.message.parts]
    assert "".join(chunk.delta_text or "" for chunk in told) == "".join(
        part.text for part in parts if isinstance(part, TextPart)
    )
    calls = [(part.call_id, part.arguments) for part in parts if isinstance(part, ToolCallPart)]
    assert [(chunk.tool_call.id, chunk.tool_call.arguments) for chunk in told if chunk.tool_call] == calls


async def stream():
    for event in EVENTS:
        yield event


def test_one_answer_can_be_iterated_or_awaited():
    async def both():
        told = [chunk async for chunk in Chat(stream)]
        events = [event async for event in Chat(stream).events()]
        return told, events, await Chat(stream)

    told, events, answer = asyncio.run(both())
    assert told == to_chunks(EVENTS)
    assert events == EVENTS
    assert answer == accumulate(EVENTS)
    assert answer.message == Message(
        "assistant", [ThinkingPart("hm"), TextPart("ab"), ToolCallPart("c1", "f", '{"x":1}')]
    )


def test_an_answer_that_breaks_raises_both_ways():
    async def broken():
        yield Started()
        yield Failed(ProviderError("boom", kind=ErrorKind.SERVER))

    async def iterate():
        return [chunk async for chunk in Chat(broken)]

    async def wait():
        return await Chat(broken)

    for use in (iterate, wait):
        with pytest.raises(ProviderError, match="boom"):
            asyncio.run(use())
