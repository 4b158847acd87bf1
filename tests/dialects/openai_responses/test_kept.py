"""What is kept of a turn, and how a later request gets it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform import _json
from execution_platform.dialects.openai_responses.kept import (
    Turn,
    asked,
    cleaned,
    context,
    continued,
    ended,
    frames,
    listed,
    own_items,
    retold,
)
from execution_platform.exceptions import InvalidRequest

texts = st.text(max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


def body(**members: Any) -> bytes:
    return _json.dumps({"model": "m", "input": "hi", **members})


def test_a_text_is_one_message_and_a_list_is_itself() -> None:
    [message] = own_items(body())
    assert (message["role"], message["content"]) == ("user", [{"type": "input_text", "text": "hi"}])
    items: list[dict[str, object]] = [{"role": "user", "content": "a"}, {"type": "x", "y": 1}]
    assert own_items(body(input=items)) == items
    assert own_items(_json.dumps({"prompt": {"id": "p"}})) == []
    with pytest.raises(InvalidRequest) as caught:
        own_items(body(input=[{}, 3]))
    assert caught.value.param == "input[1]"


def test_storing_is_asked_for_unless_it_is_refused() -> None:
    assert [asked(body(**more)).store for more in ({}, {"store": None}, {"store": True}, {"store": False})] == [
        True,
        True,
        True,
        False,
    ]
    assert asked(body(previous_response_id="resp_1")).previous_id == "resp_1"
    assert asked(body(background=False, conversation=None)).previous_id is None


def test_a_conversation_is_all_input_and_output_in_order() -> None:
    output: list[object] = [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "sealed"},
        {"type": "message", "id": "msg_1", "role": "assistant", "content": []},
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "web_search_call", "id": "ws_1"},
        "no item",
    ]
    turns = [Turn([{"role": "user", "content": "a"}], {"output": output}), Turn([{"type": "x"}], {"output": None})]
    whole = _json.loads(continued(body(previous_response_id="r", store=True, tools=[]), turns))
    assert isinstance(whole, dict)
    assert whole["input"] == [*context(turns), *own_items(body())]
    assert [item.get("type", "message") for item in whole["input"]] == [
        "message",
        "reasoning",
        "message",
        "function_call",
        "web_search_call",
        "x",
        "message",
    ]
    assert [item.get("id") for item in whole["input"]] == [None, "rs_2", None, None, "ws_1", None, None]
    assert set(whole) == {"model", "input", "tools"}
    assert b'"store":false' in continued(body(store=False), turns)


def test_every_listed_item_has_an_id_of_its_own_and_text_as_parts() -> None:
    items: list[dict[str, object]] = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"type": "function_call_output", "call_id": "c", "output": "o"},
        {"type": "reasoning", "id": "rs_1"},
    ]
    shown = listed(items, "resp_7")
    assert [item["id"] for item in shown] == ["msg_7_0", "msg_7_1", "item_7_2", "rs_1"]
    assert shown[0]["content"] == [{"type": "input_text", "text": "a"}]
    assert shown[1]["content"] == [{"type": "output_text", "text": "b"}]


def test_only_frames_with_a_response_are_told_anew() -> None:
    created = b'event: response.created\ndata: {"type":"response.created","response":{"id":"a"}}\n\n'
    delta = b'event: response.output_text.delta\ndata: {"type":"x","delta":"\\"response\\":{}"}\n\n'
    end = b'event: response.incomplete\ndata: {"type":"response.incomplete","response":{"id":"a"}}\n\n'
    assert frames(created + delta + end) == [created, delta, end]
    assert frames(delta + delta) == [delta + delta]
    assert retold(delta, {"id": "b"}) == delta
    assert b'"id":"b"' in retold(created, {"id": "b"})
    assert [ended(frame) for frame in (created, delta, end)] == [None, None, {"id": "a"}]
    assert retold(b": keep-alive\n\n", {"id": "b"}) == b": keep-alive\n\n"


@given(values)
def test_what_holds_no_secret_is_kept_as_it_is(value: object) -> None:
    assert cleaned(value, lambda text: text) == value


def test_texts_are_cleaned_wherever_they_are_and_tokens_are_not() -> None:
    value = {
        "a": ["x", {"b": "x"}],
        "encrypted_content": "x",
        "result": "x",
        "image_url": "data:image/png;base64,xx",
        "n": 1,
    }
    assert cleaned(value, lambda text: text.replace("x", "-")) == {
        "a": ["-", {"b": "-"}],
        "encrypted_content": "x",
        "result": "x",
        "image_url": "data:image/png;base64,xx",
        "n": 1,
    }
    assert cleaned("data:text/plain;base64,xx and x", lambda text: "-") == "-"
