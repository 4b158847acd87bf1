"""Native requests, answers and streams made by chance."""

from hypothesis import strategies as st

from execution_platform.spi import (
    CacheMark,
    ChatResponse,
    Finish,
    FinishReason,
    Message,
    Origin,
    Output,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
)

HARD = [
    "\n\nevent: error\ndata: {}\n\n",
    "\r",
    "\r\n\r\n",
    "\u2028",
    "\u2029",
    "\x85",
    "data: x",
    ": c",
    "\ufeff",
    "é🙂",
    "\x00",
    '"\\',
]
text = st.one_of(st.text(max_size=12), st.sampled_from(HARD), st.lists(st.sampled_from(HARD), max_size=3).map("".join))
words = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(words, json_values, max_size=3)
extras = st.dictionaries(
    st.sampled_from(["x_one", "x_two"]), json_values.filter(lambda value: value is not None), max_size=2
)


def _object(required, optional):
    return st.fixed_dictionaries(required, optional=optional)


wire_parts = st.one_of(
    _object({"type": st.just("text"), "text": text}, {"x_one": text, "cache": _object({}, {"ttl": st.just("5m")})}),
    _object({"type": st.just("refusal"), "refusal": text}, {}),
    _object(
        {"type": st.just("thinking"), "text": text},
        {"summary": st.lists(text, min_size=1, max_size=2), "redacted": st.just(True)},
    ),
    _object(
        {
            "type": st.just("image_url"),
            "image_url": _object(
                {"url": st.sampled_from(["https://x.test/a.png", "data:image/png;base64,AAAA"])},
                {"detail": st.just("low")},
            ),
        },
        {},
    ),
    _object(
        {
            "type": st.just("input_audio"),
            "input_audio": _object({"data": st.just("AAAA"), "format": st.sampled_from(["wav", "mp3"])}, {}),
        },
        {},
    ),
    _object(
        {
            "type": st.just("file"),
            "file": st.one_of(
                _object({"file_data": st.just("data:application/pdf;base64,AA=="), "filename": words}, {}),
                _object({"file_id": words}, {}),
                _object({"file_url": st.just("https://x.test/a.pdf")}, {}),
            ),
        },
        {},
    ),
    _object(
        {
            "type": st.just("media"),
            "kind": st.just("video"),
            "source": st.one_of(
                _object({"type": st.just("inline"), "mime": st.just("video/mp4"), "data": st.just("AAAA")}, {}),
                _object({"type": st.just("url"), "url": st.just("https://x.test/v")}, {"mime": st.just("video/mp4")}),
                _object(
                    {"type": st.just("file"), "id": words, "origin": _object({"dialect": words}, {"provider": words})},
                    {},
                ),
            ),
        },
        {"title": words, "options": st.fixed_dictionaries({"fps": st.just(2)})},
    ),
    _object(
        {"type": st.just("tool_result"), "tool_call_id": words, "content": st.just("ok")}, {"is_error": st.booleans()}
    ),
    _object({"type": st.just("unheard_of")}, {"x_one": json_values}),
)
wire_calls = _object({"id": words, "name": words, "arguments": text}, {"x_one": text})
wire_messages = st.one_of(
    _object(
        {"role": st.sampled_from(["system", "developer", "user"]), "content": text}, {"name": words, "x_one": text}
    ),
    _object({"role": st.just("user"), "content": st.lists(wire_parts, max_size=3)}, {"x_two": text}),
    _object({"role": st.just("assistant"), "content": text}, {}),
    _object({"role": st.just("assistant"), "tool_calls": st.lists(wire_calls, min_size=1, max_size=2)}, {}),
    _object(
        {
            "role": st.just("assistant"),
            "content": text.filter(bool),
            "tool_calls": st.lists(wire_calls, min_size=1, max_size=2),
        },
        {},
    ),
    _object({"role": st.just("tool"), "tool_call_id": words, "content": text}, {"name": words}),
    _object(
        {"role": st.just("tool"), "tool_call_id": words, "content": text.filter(bool), "is_error": st.booleans()}, {}
    ),
)
wire_tools = _object(
    {"name": words},
    {
        "description": text,
        "json_schema": json_objects,
        "strict": st.booleans(),
        "cache": _object({}, {"ttl": words}),
        "x_one": text,
    },
)
wire_formats = st.one_of(
    st.just({"type": "text"}),
    st.just({"type": "json"}),
    _object(
        {
            "type": st.just("json_schema"),
            "json_schema": _object({"schema": json_objects}, {"name": words, "strict": st.booleans()}),
        },
        {},
    ),
)
wire_choices = st.one_of(
    st.sampled_from(["auto", "none", "required"]),
    _object({"name": words}, {}),
    _object({"allowed": st.lists(words, max_size=2)}, {"forced": st.just(True)}),
)
numbers = st.integers(-5, 5) | st.sampled_from([0.0, 0.7, 1.0])
wire_bodies = st.builds(
    lambda body, extra: {**extra, **body},
    _object(
        {"messages": st.lists(wire_messages, min_size=1, max_size=4), "stream": st.booleans()},
        {
            "system": text | st.lists(wire_parts, max_size=2),
            "model": words,
            "persona": words,
            "provider": words,
            "workspace": words,
            "max_tokens": st.integers(1, 9),
            "temperature": numbers,
            "top_p": numbers,
            "top_k": st.integers(1, 9),
            "stop": st.lists(text, max_size=2),
            "seed": st.integers(0, 9),
            "n": st.integers(1, 2),
            "logit_bias": st.dictionaries(words, numbers, max_size=2),
            "tools": st.lists(wire_tools, max_size=2),
            "tool_choice": wire_choices,
            "parallel_tool_calls": st.booleans(),
            "response_format": wire_formats,
            "reasoning": _object({}, {"effort": words, "budget_tokens": st.integers(0, 9), "x_one": text}),
            "cache": _object({}, {"key": words, "mark": _object({}, {"ttl": words}), "x_one": text}),
            "safety": _object({}, {"user": words, "settings": json_objects}),
            "continuation": _object({}, {"previous_id": words, "store": st.booleans()}),
            "metadata": json_objects,
            "requires": st.lists(words, max_size=2) | json_objects,
            "provider_options": st.dictionaries(words, json_objects, min_size=1, max_size=1),
        },
    ),
    extras,
)

signatures = st.builds(
    Signature,
    text.filter(bool),
    st.builds(Origin, dialect=st.just("anthropic"), provider=st.none() | words, model=st.none() | words),
    st.sampled_from(["signature", "thought"]),
)
arguments = st.one_of(
    text,
    st.just(""),
    st.just('{"a": 12345678901234567890123, "b":1.0}'),
    st.just('{"_raw": "x"}'),
    st.just('{"a":\n1}'),
)
usages = st.builds(
    Usage,
    st.none() | st.integers(0, 99),
    st.none() | st.integers(0, 99),
    st.none() | st.sampled_from([0.0, 0.25]),
    cache_read_tokens=st.none() | st.integers(0, 9),
    reasoning_tokens=st.none() | st.integers(0, 9),
    units=st.dictionaries(words, st.integers(0, 9), max_size=1),
    estimated=st.booleans(),
)
answer_parts = st.one_of(
    st.builds(TextPart, text, refusal=st.booleans(), signature=st.none() | signatures),
    st.builds(ThinkingPart, text, signature=st.none() | signatures),
    st.builds(ThinkingPart, redacted=st.just(True), signature=signatures),
    st.builds(ToolCallPart, words, words, arguments, signature=st.none() | signatures),
    st.builds(
        ToolResultPart, words, text.map(lambda value: (TextPart(value),) if value else ()), name=st.none() | words
    ),
)
finishes = st.builds(
    Finish, st.sampled_from(FinishReason), st.none() | words, st.none() | words, st.none() | json_objects.filter(bool)
)
answers = st.builds(
    lambda parts, finish, usage: ChatResponse(
        (Output(Message("assistant", tuple(parts)), finish),),
        id="resp_1",
        model="some/model",
        usage=usage,
        origin=Origin(dialect="anthropic", provider="p1"),
    ),
    st.lists(answer_parts, max_size=5),
    finishes,
    st.none() | usages,
)
marks = st.builds(CacheMark, ttl=st.none() | words)
