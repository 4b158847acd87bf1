"""What is read and written quickly is what the full reading and writing says, and nothing where that is not sure."""

from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dialects.anthropic.asking import ASK, PROFILE
from dialects.openai_chat.strategies import requests
from execution_platform import _json
from execution_platform.dialects import dialect
from execution_platform.dialects.anthropic import DIALECT, turns
from execution_platform.dialects.anthropic.plain import plain_message
from execution_platform.dialects.anthropic.request import decode_message
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi import (
    CacheMark,
    ChatRequest,
    Citation,
    Message,
    Origin,
    Signature,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from spi.strategies import call_parts, parts, texts, texts_parts

TEXT = st.text(max_size=5)
ANY = st.none() | st.booleans() | st.integers() | TEXT | st.just([]) | st.just({})
IDS = st.sampled_from(["c1", "c2", "toolu_é", ""])
BLOCK = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "tool_use", "tool_result", "thinking", 1])},
    optional={
        "text": TEXT | ANY,
        "id": IDS | ANY,
        "name": TEXT | ANY,
        "input": st.dictionaries(TEXT, ANY, max_size=2) | ANY,
        "tool_use_id": IDS | ANY,
        "content": TEXT | ANY | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXT | ANY})),
        "is_error": ANY,
        "cache_control": st.just({"type": "ephemeral"}) | ANY,
        "x": ANY,
    },
)
PLAIN_BLOCK = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}),
    st.fixed_dictionaries(
        {"type": st.just("tool_use"), "id": IDS, "name": TEXT, "input": st.dictionaries(TEXT, ANY, max_size=2)}
    ),
    st.fixed_dictionaries(
        {"type": st.just("tool_result"), "tool_use_id": IDS, "content": TEXT}, optional={"is_error": st.booleans()}
    ),
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "nobody", 1])},
    optional={"content": TEXT | ANY | st.lists(BLOCK, max_size=3) | st.lists(PLAIN_BLOCK, max_size=3), "x": ANY},
)


@settings(max_examples=300, deadline=None)
@given(MESSAGE)
def test_a_plain_message_is_what_it_is_in_full(wire: dict[str, Any]) -> None:
    quick = plain_message(wire)
    if quick is None:
        return
    try:
        full = decode_message(wire, 0)
    except InvalidRequest as error:
        pytest.fail(f"read although {error.message}")
    assert quick == full


CALL = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": [1]}}
RESULT = {"type": "tool_result", "tool_use_id": "c1", "content": "r"}
WORDS = {"type": "text", "text": "t"}


@pytest.mark.parametrize(
    "wire",
    [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {"role": "user", "content": [WORDS, WORDS]},
        {"role": "user", "content": [RESULT, {**RESULT, "is_error": True}, {**RESULT, "content": [WORDS]}, WORDS]},
        {"role": "assistant", "content": [WORDS, CALL, CALL]},
    ],
)
def test_the_forms_of_long_conversations_are_plain(wire: dict[str, Any]) -> None:
    quick = plain_message(wire)
    assert quick is not None
    assert quick == decode_message(wire, 0)


@pytest.mark.parametrize("wire", [None, [], "x", {}, {"role": "user", "content": []}, {"role": [], "content": "x"}])
def test_what_is_no_message_is_left_to_the_full_reading(wire: Any) -> None:
    assert plain_message(wire) is None


def everything_in_full(patch: pytest.MonkeyPatch) -> None:
    for name in ("text_block", "call_block", "result_block"):
        patch.setattr(turns, name, lambda *_: None)


def both_ways(request: ChatRequest) -> None:
    """Written with and without the plain forms: the same bytes, the same losses."""
    quick = DIALECT.encode_request(request, PROFILE)
    with pytest.MonkeyPatch.context() as patch:
        everything_in_full(patch)
        full = DIALECT.encode_request(request, PROFILE)
    assert quick == full


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(requests())
def test_a_request_of_another_dialect_is_written_as_in_full(body: dict[str, Any]) -> None:
    decoded = dialect("openai_chat").decode_request(_json.dumps(body))
    both_ways(decoded)
    both_ways(replace(decoded, dialect="openai_responses"))


RESULTS = st.builds(
    ToolResultPart,
    st.sampled_from(["c1", "c2"]),
    st.lists(texts_parts | st.builds(TextPart, texts), max_size=2).map(tuple),
    is_error=st.none() | st.booleans(),
    kind=st.sampled_from(["function", "custom", "server"]),
    form=st.sampled_from([None, "list", "string"]),
    cache=st.none() | st.just(CacheMark()),
    name=st.none() | texts,
)
CALLS = call_parts | st.builds(ToolCallPart, st.sampled_from(["c1", "c2"]), st.just("f"), st.just('{"a":1}'))
MESSAGES = st.builds(
    Message,
    st.sampled_from(["user", "assistant", "tool", "system"]),
    texts | st.lists(parts | RESULTS | CALLS | st.builds(TextPart, texts), max_size=3).map(tuple),
    name=st.none() | texts,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(MESSAGES, max_size=5))
def test_canonical_messages_are_written_as_in_full(messages: list[Message]) -> None:
    both_ways(ChatRequest(messages, "claude-x"))


EXCHANGES = st.tuples(
    st.builds(Message, st.just("assistant"), st.lists(CALLS, min_size=1, max_size=2).map(tuple)),
    st.builds(
        Message, st.sampled_from(["tool", "user"]), st.lists(RESULTS | texts_parts, min_size=1, max_size=2).map(tuple)
    ),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(EXCHANGES, min_size=1, max_size=3))
def test_calls_and_their_results_are_written_as_in_full(exchanges: list[tuple[Message, Message]]) -> None:
    both_ways(ChatRequest([message for exchange in exchanges for message in exchange], "claude-x"))


R = (TextPart("r"),)
MARK = CacheMark(ttl="1h")
SIGNED = Signature("s", Origin(dialect="gemini"))
ODD_RESULTS = [
    ToolResultPart("c1", R, is_error=True),
    ToolResultPart("c1", R, form="list"),
    ToolResultPart("c1", R, cache=MARK),
    ToolResultPart("c1", R, extra={"x": 1}),
    ToolResultPart("c1", R, kind="custom"),
    ToolResultPart("c1", R, kind="server"),
    ToolResultPart("c1", (*R, *R)),
    ToolResultPart("c1", raw={"a": 1}),
    ToolResultPart("c1", (TextPart("r", cache=MARK),)),
    ToolResultPart("c1", (TextPart("r", extra={"x": 1}),)),
    ToolResultPart("c1", (TextPart(""),)),
]
ODD_CALLS = [
    ToolCallPart("c1", "f", "[]", kind="custom"),
    ToolCallPart("c1", "f", signature=SIGNED),
    ToolCallPart("c1", "f", cache=MARK),
    ToolCallPart("c1", "f", extra={"x": 1}),
    ToolCallPart("c1", "é", "not json"),
    ToolCallPart("é", "f", ""),
]
ODD_TEXTS = [
    TextPart(""),
    TextPart("t", signature=SIGNED),
    TextPart("t", cache=MARK),
    TextPart("t", extra={"x": 1}),
    TextPart("t", citations=(Citation(kind="url", url="u"),)),
    TextPart("t", refusal=True),
]


@pytest.mark.parametrize("result", ODD_RESULTS)
@pytest.mark.parametrize("role", ["user", "tool"])
def test_an_odd_result_is_written_as_in_full(result: ToolResultPart, role: Literal["user", "tool"]) -> None:
    call = ToolCallPart("c1", "f", kind="custom" if result.kind == "custom" else "function")
    both_ways(ChatRequest([ASK, Message("assistant", (call,)), Message(role, (result,)), ASK], "claude-x"))
    both_ways(ChatRequest([ASK, Message("assistant", (call,)), Message(role, (result, *R)), ASK], "claude-x"))


@pytest.mark.parametrize("call", ODD_CALLS)
def test_an_odd_call_is_written_as_in_full(call: ToolCallPart) -> None:
    result = ToolResultPart(call.call_id, R)
    both_ways(ChatRequest([ASK, Message("assistant", (*R, call)), Message("tool", (result,))], "claude-x"))


@pytest.mark.parametrize("text", ODD_TEXTS)
@pytest.mark.parametrize("role", ["user", "assistant", "tool"])
def test_an_odd_text_is_written_as_in_full(text: TextPart, role: Literal["user", "assistant", "tool"]) -> None:
    both_ways(ChatRequest([ASK, Message(role, (text, *R)), ASK], "claude-x"))


def test_where_a_later_part_stood_is_told_as_ever() -> None:
    request = ChatRequest(
        [
            Message("system", "s", placement="top"),
            Message("assistant", (ToolCallPart("c1", "f"), ToolCallPart("c2", "f"))),
            Message("tool", (ToolResultPart("c1", (TextPart("r"),)),)),
            Message("user", (TextPart("u"), TextPart("v", extra={"x": 1}))),
        ],
        "claude-x",
        dialect="openai_chat",
    )
    told = [loss.path for loss in DIALECT.encode_request(request, PROFILE).losses]
    assert told == ["messages[0]", "messages[2].content[1].x"]
