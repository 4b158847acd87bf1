"""Texts signed in part: one block for the caller, and the pieces again for the provider."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialects.anthropic.answering import GEMINI, answer, gathered, streamed, whole
from execution_platform.dialects.anthropic.parts import decode_content
from execution_platform.spi import Message, Part, Signature, TextPart, ToolCallPart, explode

SIGNED = Signature("G", GEMINI, "thought")
CALL = ToolCallPart("c", "f", "{}")


def texts(*pieces: tuple[str, bool]) -> list[Part]:
    return [TextPart(text, signature=SIGNED if is_signed else None) for text, is_signed in pieces]


def blocks(*parts: Part) -> list[list[dict[str, object]]]:
    """The content of the whole and of the streamed answer."""
    response = answer(*parts, origin=GEMINI)
    return [whole(response)[0]["content"], gathered(streamed(explode(response))[0])]


@pytest.mark.parametrize("pieces", [[("hello", True), (" you", False)], [("hello", False), (" you", True)]])
def test_pieces_share_a_block(pieces: list[tuple[str, bool]]) -> None:
    for content in blocks(*texts(*pieces), CALL):
        assert [block["type"] for block in content] == ["text", "redacted_thinking", "tool_use"]
        assert content[0]["text"] == "hello you"


@pytest.mark.parametrize("tail", [[], [TextPart("", signature=SIGNED)]])
def test_the_last_block_of_an_answer_is_its_text(tail: list[Part]) -> None:
    for content in blocks(*texts(("hello", True), (" you", False)), *tail):
        assert content == [{"type": "text", "text": "hello you"}]
    losses = whole(answer(*texts(("hello", True)), origin=GEMINI))[1]
    assert losses == {"content.signature": "opaque"}
    assert streamed(explode(answer(*texts(("hello", True)), origin=GEMINI)))[1] == losses


@given(st.lists(st.tuples(st.text(min_size=1, max_size=5), st.booleans()), max_size=6))
def test_every_piece_comes_back_as_it_was_signed(pieces: list[tuple[str, bool]]) -> None:
    parts = texts(*pieces)
    for content in blocks(*parts, CALL):
        back = decode_content(content, "content")[:-1]
        assert [part.text for part in back if part.signature] == [part.text for part in parts if part.signature]
        assert Message("assistant", tuple(back)).text == Message("assistant", tuple(parts)).text


def test_texts_that_nobody_signed_stay_apart() -> None:
    for content in blocks(TextPart("one"), TextPart("two")):
        assert [block["text"] for block in content] == ["one", "two"]
