"""The seam between two authors: the client sees one lawful answer, wherever the first one stopped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform.runtime.continuation import Seam, continuation
from execution_platform.spi.assemble import Accumulator
from execution_platform.spi.events import (
    ArgumentsDelta,
    Event,
    Finished,
    PartDelta,
    PartFinished,
    PartStarted,
    Started,
    TextDelta,
    ThinkingDelta,
)
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import TextPart, ThinkingPart, ToolCallPart
from execution_platform.spi.profile import ModelProfile
from execution_platform.spi.request import ChatRequest
from execution_platform.spi.response import Finish, FinishReason

WORDS = st.lists(st.text("ab \n", min_size=1, max_size=4), min_size=1, max_size=6)


def answer(pieces: list[str], *, thinks: bool = False) -> list[Event]:
    """A plain answer as events."""
    events: list[Event] = [Started("id", "m")]
    if thinks:
        events += [PartStarted(0, ThinkingPart("")), PartDelta(0, ThinkingDelta("hm")), PartFinished(0)]
    index = int(thinks)
    events.append(PartStarted(index, TextPart("")))
    events += [PartDelta(index, TextDelta(piece)) for piece in pieces]
    return [*events, PartFinished(index), Finished(Finish(FinishReason.STOP))]


def joined(first: list[Event], second: list[Event]) -> list[Event]:
    seam = Seam()
    seam.see(first)
    seam.cut()
    return [*first, *seam.join(second)]


@given(WORDS, WORDS, st.integers(0, 6), st.booleans(), st.booleans())
def test_two_halves_are_one_answer(
    first: list[str], second: list[str], cut: int, first_thinks: bool, second_thinks: bool
) -> None:
    events = answer(first, thinks=first_thinks)
    whole = events.index(next(e for e in events if isinstance(e, PartStarted) and isinstance(e.part, TextPart)))
    begun = events[: whole + 1 + min(cut, len(first))]
    stream = joined(begun, answer(second, thinks=second_thinks))
    accumulator = Accumulator()
    for event in stream:
        accumulator.feed(event)
    said = "".join(first[: min(cut, len(first))])
    rest = "".join(second)
    expected = said + (rest.lstrip() if said != said.rstrip() else rest)
    assert accumulator.result().text == expected
    assert sum(isinstance(event, Started) for event in stream) == 1
    assert sum(isinstance(event, Finished) for event in stream) == 1


def test_a_call_in_the_rest_gets_a_place_of_its_own_after_the_cut_text_is_closed() -> None:
    begun: list[Event] = [Started(), PartStarted(0, TextPart("")), PartDelta(0, TextDelta("I will"))]
    rest: list[Event] = [
        Started(),
        PartStarted(0, ToolCallPart("c1", "look", "")),
        PartDelta(0, ArgumentsDelta("{}")),
        PartFinished(0),
        Finished(Finish(FinishReason.TOOL_CALLS)),
    ]
    shape = [(type(event).__name__, getattr(event, "index", None)) for event in joined(begun, rest)[3:]]
    assert shape == [("PartFinished", 0), ("PartStarted", 1), ("PartDelta", 1), ("PartFinished", 1), ("Finished", None)]


@pytest.mark.parametrize(
    "event",
    [
        PartStarted(1, ToolCallPart("c", "f", "")),
        PartDelta(0, ArgumentsDelta("{")),
        PartStarted(0, TextPart(""), choice=1),
        PartDelta(0, TextDelta("x"), choice=1),
    ],
    ids=["call", "arguments", "second choice", "text of a second choice"],
)
def test_what_is_more_than_plain_text_does_not_go_on(event: Event) -> None:
    seam = Seam()
    seam.see([Started(), PartStarted(0, TextPart("")), PartDelta(0, TextDelta("text"))])
    assert seam.text == "text"
    seam.see([event])
    assert seam.text == ""


def test_a_model_that_continues_gets_the_text_and_one_that_does_not_the_demand() -> None:
    request = ChatRequest([Message("user", "hello")])
    first = continuation(request, "One two ", ModelProfile())
    assert [(m.role, m.content) for m in first.messages] == [("user", "hello"), ("assistant", "One two")]
    second = continuation(request, "One two ", ModelProfile(prefill=False))
    assert [m.role for m in second.messages] == ["user", "assistant", "user"]
    assert second.stream
