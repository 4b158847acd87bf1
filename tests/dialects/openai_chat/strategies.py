"""Bodies of chat completions made by chance: requests, whole answers, and the same answers cut into chunks."""

import json

from hypothesis import strategies as st

HARD = [
    "\n\nevent: error\ndata: {}\n\n",
    "\r\n\r\n",
    "\u2028",
    "data: [DONE]",
    "\ufeff",
    "é🙂",
    "\x00",
    '"\\',
    "<think>",
    "</think>",
]
text = st.one_of(st.text(max_size=12), st.sampled_from(HARD), st.lists(st.sampled_from(HARD), max_size=3).map("".join))
some_text = text.filter(bool)
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


def _object(required, optional=None):
    return st.fixed_dictionaries(required, optional=optional or {})


breakpoints = _object({"mode": st.just("explicit")}, {"ttl": st.sampled_from(["30m", "12h"])})
part_extras = {"prompt_cache_breakpoint": breakpoints, "x_part": json_values.filter(lambda v: v is not None)}
text_parts = _object({"type": st.just("text"), "text": text}, part_extras)
refusal_parts = _object({"type": st.just("refusal"), "refusal": text})
urls = st.sampled_from(
    ["https://x.test/a.png", "data:image/png;base64,AAAA", "data:image/png;charset=x;base64,AA==", "data:,odd", ""]
)
image_parts = _object(
    {
        "type": st.just("image_url"),
        "image_url": _object({"url": urls}, {"detail": st.just("low"), "x_in": json_values}),
    },
    part_extras,
)
audio_parts = _object(
    {
        "type": st.just("input_audio"),
        "input_audio": _object(
            {"data": st.sampled_from(["AAAA", "data:audio/wav;base64,AAAA"])},
            {"format": st.sampled_from(["wav", "mp3", "mpeg", "flac", "x-wav"])},
        ),
    },
    part_extras,
)
file_parts = _object(
    {
        "type": st.just("file"),
        "file": st.one_of(
            _object(
                {"file_data": st.sampled_from(["data:application/pdf;base64,AAAA", "AAAA", "https://x.test/a.pdf"])},
                {"filename": words, "file_id": words},
            ),
            _object({"file_id": words}, {"filename": words}),
        ),
    },
    part_extras,
)
unknown_parts = _object({"type": st.sampled_from(["video_thing", "x"])}, {"text": json_values, "x": json_values})
video_parts = _object({"type": st.just("video_url"), "video_url": _object({"url": urls})})
user_parts = st.one_of(text_parts, image_parts, audio_parts, file_parts, unknown_parts, video_parts)

arguments = st.one_of(st.sampled_from(["", "{}", '{"a": 1}', '{"b":1,"a":2}', "not json", "[1"]), text)
function_calls = _object(
    {
        "id": words,
        "type": st.just("function"),
        "function": _object({"name": words, "arguments": arguments}, {"x_f": json_values}),
    },
    {
        "extra_content": st.one_of(
            _object({"google": _object({"thought_signature": words}, {"x_g": st.just(1)})}, {"x_e": st.just(2)}),
            json_values,
        ),
        "index": st.integers(0, 3),
    },
)
custom_calls = _object(
    {"id": words, "type": st.just("custom"), "custom": _object({"name": words, "input": text}, {"x_c": json_values})}
)
odd_calls = _object({"id": words, "type": st.just("mystery"), "mystery": json_values})
calls = st.one_of(function_calls, custom_calls, odd_calls)

details = st.one_of(
    _object(
        {"type": st.just("reasoning.text"), "text": text},
        {"signature": st.none() | words, "index": st.integers(0, 2), "format": words, "id": st.none() | words},
    ),
    _object({"type": st.just("reasoning.summary"), "summary": text}, {"index": st.integers(0, 2), "id": words}),
    _object({"type": st.just("reasoning.encrypted"), "data": words}, {"index": st.integers(0, 2), "format": words}),
    _object({"type": st.just("reasoning.future"), "x": json_values}),
)
message_extras = {"name": words, "x_message": json_values}
assistant_messages = _object(
    {"role": st.just("assistant")},
    {
        "content": st.none() | text | st.lists(st.one_of(text_parts, refusal_parts, unknown_parts), max_size=3),
        "reasoning_content": st.none() | text,
        "reasoning": text,
        "reasoning_details": st.lists(details, max_size=3),
        "refusal": st.none() | text,
        "audio": st.none() | _object({"id": words}, {"transcript": text, "data": words, "expires_at": st.just(9)}),
        "images": st.lists(image_parts, max_size=2),
        "tool_calls": st.lists(calls, max_size=3),
        "function_call": st.none() | _object({"name": words, "arguments": arguments}, {"x_l": json_values}),
        "annotations": st.lists(json_objects, max_size=1),
        "prefix": st.booleans(),
        "extra_content": st.one_of(_object({"google": _object({"thought_signature": words})}), json_values),
        **message_extras,
    },
)
messages = st.one_of(
    _object({"role": st.sampled_from(["system", "developer", "user"]), "content": text}, message_extras),
    _object({"role": st.just("system"), "content": st.lists(text_parts, max_size=3)}, message_extras),
    _object({"role": st.just("user"), "content": st.lists(user_parts, max_size=3)}, message_extras),
    assistant_messages,
    _object(
        {
            "role": st.just("tool"),
            "tool_call_id": words,
            "content": text | st.lists(text_parts | image_parts, max_size=2),
        },
        message_extras,
    ),
    _object({"role": st.just("function"), "name": words, "content": st.none() | text}),
)
tools = st.one_of(
    _object(
        {
            "type": st.just("function"),
            "function": _object(
                {"name": words},
                {
                    "description": text,
                    "parameters": st.none() | json_objects,
                    "strict": st.none() | st.booleans(),
                    "x_fn": json_values,
                },
            ),
        },
        {"x_tool": json_values, "cache_control": st.just({"type": "ephemeral", "ttl": "1h"})},
    ),
    _object(
        {
            "type": st.just("custom"),
            "custom": _object({"name": words}, {"description": text, "format": st.just({"type": "text"})}),
        }
    ),
    _object({"type": st.just("web_search")}, {"x": json_values}),
)
functions = _object({"name": words}, {"description": text, "parameters": json_objects, "x": json_values})
choices = st.one_of(
    st.sampled_from(["none", "auto", "required", "any"]),
    _object({"type": st.just("function"), "function": _object({"name": words}, {"x": json_values})}),
    _object({"type": st.just("custom"), "custom": _object({"name": words})}),
    _object(
        {
            "type": st.just("allowed_tools"),
            "allowed_tools": _object(
                {
                    "mode": st.sampled_from(["auto", "required"]),
                    "tools": st.lists(
                        st.one_of(
                            _object({"type": st.just("function"), "function": _object({"name": words})}),
                            _object({"type": st.just("function"), "name": words}),
                        ),
                        max_size=2,
                    ),
                }
            ),
        }
    ),
)
formats = st.one_of(
    st.just({"type": "text"}),
    _object({"type": st.just("json_object")}, {"schema": json_objects}),
    _object(
        {
            "type": st.just("json_schema"),
            "json_schema": _object(
                {"name": words},
                {"description": text, "schema": json_objects, "strict": st.none() | st.booleans(), "x": json_values},
            ),
        }
    ),
    _object({"type": st.just("grammar"), "grammar": text}),
)
numbers = st.none() | st.sampled_from([0, 1, 0.5, 1.0, 2])
counts = st.none() | st.integers(0, 10)
_requests = _object(
    {"model": words, "messages": st.lists(messages, min_size=1, max_size=4)},
    {
        "temperature": numbers,
        "top_p": numbers,
        "top_k": counts,
        "max_tokens": counts,
        "max_completion_tokens": counts,
        "stop": st.none() | text | st.lists(text, max_size=3),
        "seed": counts,
        "n": counts,
        "presence_penalty": numbers,
        "frequency_penalty": numbers,
        "logit_bias": st.none() | st.dictionaries(words, st.integers(-100, 100), max_size=2),
        "logprobs": st.none() | st.booleans(),
        "top_logprobs": counts,
        "tools": st.none() | st.lists(tools, max_size=3),
        "functions": st.lists(functions, min_size=1, max_size=2),
        "tool_choice": st.none() | choices,
        "function_call": st.sampled_from(["none", "auto", {"name": "f"}]),
        "parallel_tool_calls": st.none() | st.booleans(),
        "reasoning_effort": st.none() | st.sampled_from(["none", "minimal", "xhigh", "odd"]),
        "reasoning": st.none()
        | _object(
            {},
            {
                "effort": words,
                "max_tokens": counts,
                "exclude": st.booleans(),
                "enabled": st.booleans(),
                "x": json_values,
            },
        ),
        "response_format": st.none() | formats,
        "verbosity": st.none() | words,
        "modalities": st.none() | st.lists(words, max_size=2),
        "audio": st.none() | json_objects,
        "prediction": json_values,
        "web_search_options": json_values,
        "prompt_cache_key": st.none() | words,
        "prompt_cache_retention": st.none() | words,
        "prompt_cache_options": st.none() | _object({}, {"mode": words, "ttl": words, "x": json_values}),
        "service_tier": st.none() | words,
        "user": st.none() | words,
        "safety_identifier": st.none() | words,
        "moderation": st.none() | json_objects,
        "store": st.none() | st.booleans(),
        "metadata": st.none() | json_objects,
        "x_top": json_values,
    },
)


@st.composite
def requests(draw):
    """A request body."""
    return draw(_requests)


# Answers. Nulls say nothing there, so none are made; `usage` and `service_tier` stand in the last chunk of a stream.

plain_values = json_values.filter(lambda value: value not in (None, "", [], {}))
token = _object({"token": text, "logprob": st.just(-0.5), "bytes": st.none(), "top_logprobs": st.just([])})
citation = _object(
    {
        "type": st.just("url_citation"),
        "url_citation": _object({"start_index": st.just(0), "end_index": st.just(1), "title": text, "url": words}),
    }
)
answer_calls = st.one_of(
    _object(
        {"id": words, "type": st.just("function"), "function": _object({"name": words, "arguments": arguments})},
        {"extra_content": _object({"google": _object({"thought_signature": words})}), "x_call": plain_values},
    ),
    _object({"id": words, "type": st.just("custom"), "custom": _object({"name": words, "input": text})}),
)
usages = _object(
    {"prompt_tokens": st.integers(0, 9), "completion_tokens": st.integers(0, 9)},
    {
        "total_tokens": st.integers(0, 30),
        "prompt_tokens_details": st.none() | _object({}, {"cached_tokens": st.integers(0, 12), "audio_tokens": counts}),
        "completion_tokens_details": _object({}, {"reasoning_tokens": counts}),
    },
)
answer_messages = _object(
    {"role": st.just("assistant"), "content": st.none() | some_text},
    {
        "refusal": some_text,
        "reasoning_content": some_text,
        "tool_calls": st.lists(answer_calls, min_size=1, max_size=3, unique_by=lambda call: call["id"]),
        "audio": _object({"id": words, "data": words, "transcript": some_text, "expires_at": st.just(9)}),
        "annotations": st.lists(citation, min_size=1, max_size=2),
        "x_message": st.lists(plain_values, min_size=1, max_size=2),
    },
)


@st.composite
def answers(draw):
    """A whole answer."""
    wires = []
    for index in range(draw(st.integers(1, 2))):
        message = draw(answer_messages)
        if not message["content"]:
            message.pop("annotations", None)
        choice = {
            "index": index,
            "message": message,
            "finish_reason": draw(st.sampled_from(["stop", "length", "tool_calls", "content_filter", "eos", "odd"])),
        }
        if message["content"] and draw(st.booleans()):
            choice["logprobs"] = {"content": draw(st.lists(token, min_size=1, max_size=2))}
        if draw(st.booleans()):
            choice["content_filter_results"] = {"hate": {"filtered": False}}
        wires.append(choice)
    body = {"id": draw(words), "object": "chat.completion", "created": 7, "model": draw(words), "choices": wires}
    if draw(st.booleans()):
        body["usage"] = draw(usages)
    if draw(st.booleans()):
        body["service_tier"] = draw(st.sampled_from(["default", "flex"]))
    if draw(st.booleans()):
        body["system_fingerprint"] = "fp"
    if draw(st.booleans()):
        body["x_top"] = draw(plain_values)
    return body


def _pieces(draw, value):
    """A string in pieces."""
    cuts = sorted(draw(st.lists(st.integers(0, len(value)), max_size=3)))
    return [piece for begin, end in zip([0, *cuts], [*cuts, len(value)], strict=True) if (piece := value[begin:end])]


def _call_deltas(draw, index, call):
    kind = call["type"]
    slot = "arguments" if kind == "function" else "input"
    inner = call[kind]
    first = {**{name: value for name, value in call.items() if name != kind}, "index": index}
    yield {"tool_calls": [{**first, kind: {"name": inner["name"], slot: ""}}]}
    for piece in _pieces(draw, inner[slot]):
        yield {"tool_calls": [{"index": index, kind: {slot: piece}}]}


def _deltas(draw, message):
    for piece in _pieces(draw, message.get("reasoning_content", "")):
        yield {"reasoning_content": piece}
    for piece in _pieces(draw, message["content"] or ""):
        yield {"content": piece}
    if "annotations" in message:
        yield {"annotations": message["annotations"]}
    for piece in _pieces(draw, message.get("refusal", "")):
        yield {"refusal": piece}
    audio = message.get("audio")
    if audio is not None:
        yield {"audio": {"id": audio["id"], "data": audio["data"]}}
        yield {"audio": {"transcript": audio["transcript"]}}
        yield {"audio": {"expires_at": audio["expires_at"]}}
    waiting = [list(_call_deltas(draw, index, call)) for index, call in enumerate(message.get("tool_calls", []))]
    begun = 0
    while any(waiting):
        # A call begins after the one before it; after that their deltas come in any order.
        index = draw(st.sampled_from([n for n, rest in enumerate(waiting) if rest and n <= begun]))
        begun = max(begun, index + 1)
        yield waiting[index].pop(0)
    if "x_message" in message:
        yield {"x_message": message["x_message"]}


@st.composite
def streams(draw, bodies=None):
    """An answer, and the bytes of a stream that tells the same."""
    body = draw(answers() if bodies is None else bodies)
    base = {"id": body["id"], "object": "chat.completion.chunk", "created": 7, "model": body["model"]}
    if "system_fingerprint" in body:
        base["system_fingerprint"] = "fp"
    if "service_tier" in body:
        base["service_tier"] = body["service_tier"]
    chunks = []
    for choice in body["choices"]:
        index, logprobs = choice["index"], choice.get("logprobs")
        chunks.append({"index": index, "delta": {"role": "assistant", "content": ""}, "finish_reason": None})
        for delta in _deltas(draw, choice["message"]):
            wire = {"index": index, "delta": delta, "finish_reason": None}
            if delta.get("content") and logprobs is not None:
                wire["logprobs"], logprobs = logprobs, None
            chunks.append(wire)
        last = {"index": index, "delta": {}, "finish_reason": choice["finish_reason"]}
        if "content_filter_results" in choice:
            last["content_filter_results"] = choice["content_filter_results"]
        chunks.append(last)
    frames = [{**base, "choices": [chunk]} for chunk in chunks]
    if "x_top" in body:
        frames[0]["x_top"] = body["x_top"]
    if "usage" in body:
        frames.append({**base, "choices": [], "usage": body["usage"]})
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    lines = [f"data: {json.dumps(frame, ensure_ascii=draw(st.booleans()))}{newline * 2}" for frame in frames]
    if draw(st.booleans()):
        lines.insert(draw(st.integers(0, len(lines))), f": ping{newline * 2}")
    if draw(st.booleans()):
        lines.append(f"data: [DONE]{newline * 2}")
    return body, "".join(lines).encode()


@st.composite
def splits(draw, data):
    """Bytes cut anywhere."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
