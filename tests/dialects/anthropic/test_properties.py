"""Properties: every legal value survives, and nothing illegal gets further than an error of ours."""

import contextlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dialects.anthropic.telling import cases, content
from execution_platform import _json
from execution_platform.dialects.anthropic import DIALECT
from execution_platform.dialects.anthropic.usage import decode_usage, merge
from execution_platform.dialects.anthropic.wire import arguments_text, input_object
from execution_platform.dialects.base import Downstream, Upstream
from execution_platform.exceptions import ExecutionPlatformError, InvalidRequest, ProtocolError, ProviderError
from execution_platform.spi import (
    ChatResponse,
    Finish,
    FinishReason,
    Message,
    ModelProfile,
    Origin,
    Output,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    Usage,
    accumulate,
    explode,
)
from execution_platform.spi.events import Event

HOME = Origin(dialect="anthropic", provider="anthropic")
UP = Upstream(HOME)
DOWN = Downstream("m", "r")
calm = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

texts = st.text(st.characters(codec="utf-8"), max_size=12)
words = st.text("abcdefgh_", min_size=1, max_size=8)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=6
)
objects = st.dictionaries(words, values, max_size=3)
extras = st.dictionaries(words.map(lambda word: f"x_{word}"), values, max_size=2)
caches = st.sampled_from(
    [
        {},
        {"cache_control": {"type": "ephemeral"}},
        {"cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"cache_control": None},
    ]
)


def block(kind: str, **members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    fixed = st.fixed_dictionaries({"type": st.just(kind), **members})
    return st.builds(lambda known, cache, extra: {**extra, **known, **cache}, fixed, caches, extras)


text_blocks = block("text", text=texts)
sources = st.one_of(
    st.fixed_dictionaries({"type": st.just("base64"), "media_type": texts, "data": texts}),
    st.fixed_dictionaries({"type": st.just("url"), "url": texts}),
    st.fixed_dictionaries({"type": st.just("file"), "file_id": texts}, optional={"x_more": values}),
    st.fixed_dictionaries({"type": st.just("future"), "x": values}),
)
documents = st.one_of(
    sources,
    st.fixed_dictionaries({"type": st.just("text"), "media_type": texts, "data": texts}),
    st.fixed_dictionaries({"type": st.just("content"), "content": texts | st.lists(text_blocks, max_size=2)}),
)
enabled = st.sampled_from([{}, {"enabled": True}, {"enabled": False, "x": 1}, {"enabled": None}])
media = block("image", source=sources) | st.builds(
    lambda known, cited: {**known, **cited},
    block("document", source=documents),
    st.fixed_dictionaries({}, optional={"citations": enabled, "title": texts, "context": texts | st.none()}),
)
results = st.builds(
    lambda known, more: {**known, **more},
    block("tool_result", tool_use_id=words),
    st.fixed_dictionaries(
        {},
        optional={"content": texts | st.lists(text_blocks | media, max_size=2) | st.none(), "is_error": st.booleans()},
    ),
)
server_results = block(
    "web_search_tool_result", tool_use_id=words, content=st.lists(objects, max_size=2) | objects | texts
)
calls = block("tool_use", id=words, name=words, input=objects) | block(
    "server_tool_use", id=words, name=words, input=objects
)
thoughts = block("thinking", thinking=texts, signature=texts.map(lambda text: text.removeprefix("ep1."))).map(
    lambda known: {name: value for name, value in known.items() if name != "cache_control"}
)
unknown = block("x_future", payload=values)
blocks = text_blocks | media | results | server_results | calls | thoughts | unknown
turns = st.builds(
    lambda role, body, extra: {**extra, "role": role, "content": body},
    st.sampled_from(["user", "assistant", "system"]),
    texts | st.lists(blocks, max_size=4),
    extras,
)
tools = st.builds(
    lambda known, more, extra: {**extra, **known, **more},
    st.fixed_dictionaries({"name": words, "input_schema": objects}),
    st.fixed_dictionaries(
        {}, optional={"description": texts | st.none(), "strict": st.booleans(), "type": st.just("custom")}
    ),
    extras,
)
bodies = st.fixed_dictionaries(
    {"model": words, "max_tokens": st.integers(0, 9999), "messages": st.lists(turns, max_size=4)},
    optional={
        "system": texts | st.lists(text_blocks, max_size=2),
        "tools": st.lists(tools, max_size=2, unique_by=lambda tool: tool["name"]) | st.none(),
        "temperature": st.floats(0, 1),
        "stop_sequences": st.lists(texts, max_size=2),
        "stream": st.booleans() | st.none(),
        "thinking": st.sampled_from(
            [
                {"type": "enabled", "budget_tokens": 2000},
                {"type": "adaptive", "display": "omitted", "x": 1},
                {"type": "between_tools"},
                None,
            ]
        ),
        "output_config": st.sampled_from(
            [
                {},
                {"effort": "max"},
                {"effort": None, "format": None},
                {"format": {"type": "json_schema", "schema": {"a": 1}, "x": 2}, "y": 1},
            ]
        ),
        "tool_choice": st.sampled_from(
            [{"type": "any", "disable_parallel_tool_use": True}, {"type": "tool", "name": "n", "z": 1}, {"type": "new"}]
        ),
        "metadata": st.sampled_from([{}, {"user_id": "u"}, {"user_id": None}, {"user_id": "u", "x": 1}]),
        "container": st.sampled_from(["c", {"id": "c"}, None]),
        "x_future": values,
    },
)


@calm
@given(bodies)
def test_a_request_survives_the_way_there_and_back(body: dict[str, Any]) -> None:
    encoded = DIALECT.encode_request(DIALECT.decode_request(json.dumps(body).encode()), ModelProfile())
    assert json.loads(encoded.body) == body
    assert encoded.losses == ()


CORPUS = [json.loads(content(case, "request.json")) for case in cases("request.json")]


def paths(value: object, at: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at] + [path for key, inner in items for path in paths(inner, (*at, key))]


def replaced(value: Any, path: tuple[Any, ...], new: object) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@settings(calm, max_examples=400)
@given(st.data())
def test_a_request_with_one_wrong_value_is_refused_or_kept(data: st.DataObject) -> None:
    body = data.draw(st.sampled_from(CORPUS))
    path = data.draw(st.sampled_from(paths(body)))
    broken = replaced(body, path, data.draw(values))
    raw = json.dumps(broken).encode()
    try:
        request = DIALECT.decode_request(raw)
    except InvalidRequest:
        return
    sent = json.loads(DIALECT.encode_request(request, ModelProfile()).body)
    lenient = {"max_tokens": 4096, "model": "", "stream": None}
    for name in set(sent) | set(broken):
        if name in lenient and broken.get(name) in (None, sent.get(name)):
            continue
        assert sent.get(name) == broken.get(name), name


@settings(calm, max_examples=300)
@given(st.data())
def test_every_wrong_type_names_its_path(data: st.DataObject) -> None:
    body = data.draw(st.sampled_from(CORPUS))
    for name, wrong in [
        ("messages", {}),
        ("max_tokens", "5"),
        ("system", 5),
        ("tools", {}),
        ("stop_sequences", "x"),
        ("thinking", []),
        ("metadata", []),
    ]:
        with pytest.raises(InvalidRequest) as caught:
            DIALECT.decode_request(json.dumps({**body, name: wrong}).encode())
        assert caught.value.param == name


@settings(calm, max_examples=200)
@given(
    st.binary(max_size=60)
    | bodies.map(lambda body: json.dumps(body).encode()).flatmap(
        lambda raw: st.integers(0, len(raw)).map(lambda at: raw[:at])
    )
)
def test_broken_bytes_are_refused(raw: bytes) -> None:
    for read in (DIALECT.decode_request, DIALECT.peek):
        with contextlib.suppress(InvalidRequest):
            read(raw)


parts = st.one_of(
    texts.filter(bool).map(TextPart),
    st.builds(
        lambda text, token: ThinkingPart(text, signature=Signature(token, HOME) if token else None),
        texts,
        words | st.just(""),
    ),
    st.builds(
        lambda name, args: ToolCallPart("", name, _json.dumps(args).decode()),
        words,
        objects,
    ),
)
finishes = st.sampled_from(
    [
        Finish(FinishReason.STOP, "end_turn"),
        Finish(FinishReason.LENGTH, "max_tokens"),
        Finish(FinishReason.STOP_SEQUENCE, "stop_sequence", "x"),
    ]
)


@st.composite
def responses(draw: st.DrawFn) -> ChatResponse:
    drawn = draw(st.lists(parts, max_size=5))
    numbered = [
        ToolCallPart(f"toolu_{number}", part.name, part.arguments) if isinstance(part, ToolCallPart) else part
        for number, part in enumerate(drawn)
    ]
    usage = draw(st.builds(Usage, st.integers(0, 10), st.integers(0, 10)))
    return ChatResponse(
        (Output(Message("assistant", numbered), draw(finishes)),), id="msg_1", model="m", usage=usage, origin=HOME
    )


@calm
@given(responses())
def test_an_answer_survives_whole_and_streamed(response: ChatResponse) -> None:
    whole = DIALECT.decode_response(DIALECT.encode_response(response, DOWN).body, UP)
    assert whole == response
    encoder = DIALECT.stream_encoder(DOWN)
    data = encoder.send(explode(response)) + encoder.close()
    decoder = DIALECT.stream_decoder(UP)
    assert accumulate(decoder.feed(data) + decoder.close()) == response
    assert accumulate(explode(response)) == response


def decode_in(pieces: list[bytes]) -> list[Event]:
    decoder = DIALECT.stream_decoder(UP)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.close()


@calm
@given(responses(), st.lists(st.integers(0, 2000), max_size=8), st.booleans())
def test_any_split_gives_the_same_events_and_the_same_relayed_bytes(
    response: ChatResponse, cuts: list[int], crlf: bool
) -> None:
    encoder = DIALECT.stream_encoder(DOWN)
    data = encoder.send(explode(response)) + encoder.close()
    data = data.replace(b"\n", b"\r\n") if crlf else data
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert repr(decode_in(pieces)) == repr(decode_in([data]))
    relay = DIALECT.relay(DIALECT.peek(b"{}"))
    assert b"".join(map(relay.feed, pieces)) + relay.close() == data
    assert relay.metered.usage == response.usage
    assert relay.metered.finish == response.finish


STREAMS = [content(case, "stream.sse") for case in cases("stream.sse")]
RESPONSES = [json.loads(content(case, "response.json")) for case in cases("response.json")]


@settings(calm, max_examples=300)
@given(st.data())
def test_a_mutated_stream_gives_events_or_our_error(data: st.DataObject) -> None:
    raw = data.draw(st.sampled_from(STREAMS))
    frames = raw.split(b"\n\n")
    at = data.draw(st.integers(0, len(frames) - 1))
    try:
        payload = json.loads(frames[at].split(b"data: ", 1)[-1])
        path = data.draw(st.sampled_from(paths(payload)))
        frames[at] = b"data: " + json.dumps(replaced(payload, path, data.draw(values))).encode()
    except ValueError:
        frames[at] = data.draw(st.binary(max_size=20))
    mutated = b"\n\n".join(frames)
    relay = DIALECT.relay(DIALECT.peek(b"{}"))
    relay.feed(mutated)
    relay.close()
    try:
        response = accumulate(decode_in([mutated]))
    except ProviderError:
        return
    assert relay.metered.usage == response.usage or relay.metered.usage is None
    encoder = DIALECT.stream_encoder(DOWN)
    encoder.send(explode(response))
    encoder.close()


@settings(calm, max_examples=300)
@given(st.data())
def test_a_mutated_answer_gives_a_response_or_our_error(data: st.DataObject) -> None:
    body = data.draw(st.sampled_from(RESPONSES))
    raw = json.dumps(replaced(body, data.draw(st.sampled_from(paths(body))), data.draw(values))).encode()
    try:
        response = DIALECT.decode_response(raw, UP)
    except ProviderError:
        return
    assert DIALECT.meter(raw).usage == response.usage
    DIALECT.encode_response(response, DOWN)


@calm
@given(
    st.integers(400, 599),
    st.binary(max_size=80) | values.map(lambda value: json.dumps({"error": value}).encode()),
    st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), texts),
)
def test_any_error_body_is_an_error_of_ours(status: int, body: bytes, headers: dict[str, str]) -> None:
    error = DIALECT.decode_error(status, headers, body)
    assert isinstance(error, ExecutionPlatformError)
    assert not isinstance(error, ProtocolError)
    assert json.loads(DIALECT.encode_error(error, "r"))["type"] == "error"


@calm
@given(texts | objects.map(json.dumps))
def test_arguments_come_back_as_they_were(arguments: str) -> None:
    sent = input_object(arguments)
    assert isinstance(sent, dict)
    back = arguments_text(sent)
    assert input_object(back) == sent
    if arguments.strip() and "_unparsed_arguments" in sent:
        assert back == arguments


counts = st.dictionaries(
    st.sampled_from(
        [
            "input_tokens",
            "output_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
            "cache_creation",
            "iterations",
            "server_tool_use",
        ]
    ),
    st.integers(-5, 100) | values | st.just({"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 2}),
)


@calm
@given(st.lists(counts, max_size=4))
def test_usage_is_inclusive_whatever_the_reports_say(reports: list[dict[str, Any]]) -> None:
    known: dict[str, object] = {}
    for report in reports:
        merge(known, report)
    usage = decode_usage(known)
    assert usage.prompt_tokens >= (usage.cache_read_tokens or 0) + (usage.cache_write_tokens or 0)
    assert all(number >= 0 for number in usage.cache_write_by_ttl.values())
    if usage.cache_write_by_ttl and usage.cache_write_tokens is not None:
        assert sum(usage.cache_write_by_ttl.values()) == usage.cache_write_tokens
    assert merge(dict(known), {}) == known
