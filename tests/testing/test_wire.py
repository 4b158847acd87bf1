"""What goes over the wire in each dialect, byte for byte where the vendors fix it."""

import asyncio
import base64
import struct

import pytest

from execution_platform.testing import (
    Call,
    Citation,
    FakeUpstream,
    Native,
    Refusal,
    Script,
    ScriptError,
    Status,
    Text,
    Thinking,
    Tokens,
    Vectors,
)
from testing.raw_client import (
    ANTHROPIC,
    ANTHROPIC_PATH,
    GEMINI_ARRAY,
    GEMINI_PATH,
    GEMINI_SSE,
    OPENAI_PATH,
    STREAMS,
    UNARY,
    anthropic,
    gemini,
    openai,
    send,
)

RICH = Script(
    [
        Thinking("let me see", "c2ln"),
        Text("hello big world", chunks=2),
        Call("f", {"b": 1, "a": 2}, id="c1"),
        Call("g"),
    ],
    usage=Tokens(input=100, output=50, cached=20, cache_write=10, reasoning=8),
)


def ask(script, path, body, headers=None, *, method="POST", operation="chat", **options):
    async def run():
        async with FakeUpstream(**options) as upstream:
            if script is not None:
                upstream.script(script, operation=operation)
            return await send(upstream, path, body, headers, method=method)

    return asyncio.run(run())


def test_openai_completion_has_the_vendors_shape():
    received = ask(RICH, OPENAI_PATH, openai())
    body = received.json()
    assert received.headers["content-type"] == "application/json"
    assert list(body) == [
        "id",
        "object",
        "created",
        "model",
        "service_tier",
        "system_fingerprint",
        "choices",
        "usage",
    ]
    assert body["choices"][0] == {
        "index": 0,
        "message": {
            "role": "assistant",
            "content": "hello big world",
            "refusal": None,
            "annotations": [],
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"b":1,"a":2}'}},
                {"id": "call_fake000000x1", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        "logprobs": None,
        "finish_reason": "tool_calls",
    }
    assert body["usage"] == {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 20, "audio_tokens": 0, "cache_write_tokens": 10},
        "completion_tokens_details": {
            "reasoning_tokens": 8,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def test_openai_stream_starts_with_the_role_and_ends_with_done():
    received = ask("hello world", OPENAI_PATH, openai(stream=True))
    *chunks, done = received.events()
    deltas = [(chunk["choices"][0]["delta"], chunk["choices"][0]["finish_reason"]) for chunk in chunks]
    assert received.headers["content-type"].startswith("text/event-stream")
    assert deltas == [
        ({"role": "assistant", "content": "", "refusal": None}, None),
        ({"content": "hello"}, None),
        ({"content": " world"}, None),
        ({}, "stop"),
    ]
    assert done == "[DONE]"
    assert all("usage" not in chunk for chunk in chunks)
    assert received.body.endswith(b"\n\ndata: [DONE]\n\n")


def test_openai_usage_comes_in_a_last_chunk_without_choices_only_when_asked_for():
    received = ask(RICH, OPENAI_PATH, openai(stream=True, stream_options={"include_usage": True}))
    *chunks, last, _ = received.events()
    assert {chunk["usage"] for chunk in chunks} == {None}
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 50


def test_openai_calls_can_take_turns_in_a_stream():
    script = Script([Call("f", {"a": 1}), Call("g", {"b": 2})], interleave_calls=True)
    chunks = ask(script, OPENAI_PATH, openai(stream=True)).events()[:-1]
    calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert [call["index"] for call in calls] == [0, 1, 0, 1, 0, 1]
    assert "".join(call["function"]["arguments"] for call in calls if call["index"] == 1) == '{"b":2}'
    assert chunks[0]["choices"][0]["delta"]["content"] is None


def test_openai_gives_as_many_choices_as_asked_for():
    body = ask("hi", OPENAI_PATH, openai(n=3)).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert body["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_a_compatible_vendor_shows_thinking_in_its_own_member(field):
    script = Script([Thinking("a b", openai_field=field), Text("c")])
    assert ask(script, OPENAI_PATH, openai()).json()["choices"][0]["message"][field] == "a b"
    chunks = ask(script, OPENAI_PATH, openai(stream=True)).events()[:-1]
    assert "".join(chunk["choices"][0]["delta"].get(field, "") for chunk in chunks) == "a b"


def test_azure_puts_filter_results_before_everything_and_wants_an_api_version():
    path = "/openai/deployments/dep/chat/completions"
    first = ask(
        "hi", f"{path}?api-version=2025-01-01", {"messages": [{"role": "user", "content": "x"}], "stream": True}
    )
    assert first.events()[0]["choices"] == []
    assert "prompt_filter_results" in first.events()[0]
    assert first.events()[1]["model"] == "dep"
    assert ask("hi", path, {"messages": [{"role": "user", "content": "x"}]}).status == 404
    assert ask("hi", "/openai/v1/chat/completions", openai()).status == 200


def test_anthropic_message_has_the_vendors_shape():
    body = ask(RICH, ANTHROPIC_PATH, anthropic(), ANTHROPIC).json()
    assert body["content"] == [
        {"type": "thinking", "thinking": "let me see", "signature": "c2ln"},
        {"type": "text", "text": "hello big world", "citations": None},
        {"type": "tool_use", "id": "c1", "name": "f", "input": {"b": 1, "a": 2}, "caller": {"type": "direct"}},
        {"type": "tool_use", "id": "toolu_fake000000x3", "name": "g", "input": {}, "caller": {"type": "direct"}},
    ]
    assert body["stop_reason"] == "tool_use"
    assert body["usage"] == {
        "input_tokens": 70,
        "cache_creation_input_tokens": 10,
        "cache_read_input_tokens": 20,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 50,
        "service_tier": "standard",
        "output_tokens_details": {"thinking_tokens": 8},
    }


def test_anthropic_stream_has_the_whole_event_set_with_one_block_open_at_a_time():
    script = Script(
        [Thinking("hm", "c2ln"), Text("cited", citations=[Citation("src", start=1, end=4)]), Call("f", {"a": 1})]
    )
    received = ask(script, ANTHROPIC_PATH, anthropic(stream=True), ANTHROPIC)
    events = received.events()
    names = [line[7:] for line in received.body.decode().split("\n") if line.startswith("event: ")]
    assert names == [event["type"] for event in events]
    assert names[:3] == ["message_start", "content_block_start", "ping"]
    assert names[-2:] == ["message_delta", "message_stop"]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert [delta["type"] for delta in deltas] == [
        "thinking_delta",
        "signature_delta",
        "text_delta",
        "citations_delta",
        "input_json_delta",
        "input_json_delta",
        "input_json_delta",
    ]
    assert deltas[4]["partial_json"] == ""
    assert "".join(delta["partial_json"] for delta in deltas[4:]) == '{"a":1}'
    assert deltas[3]["citation"]["type"] == "char_location"
    indices = [event["index"] for event in events if "index" in event]
    assert indices == sorted(indices)


def test_anthropic_tells_usage_at_the_start_and_at_the_end():
    script = Script("a b c", usage=Tokens(input=10, output=5, cached=4, opening_output=3))
    events = ask(script, ANTHROPIC_PATH, anthropic(stream=True), ANTHROPIC).events()
    opening, closing = events[0]["message"]["usage"], events[-2]["usage"]
    assert (opening["input_tokens"], opening["cache_read_input_tokens"], opening["output_tokens"]) == (6, 4, 3)
    assert (closing["input_tokens"], closing["output_tokens"]) == (6, 5)


def test_anthropic_redacted_thinking_is_only_data():
    script = Script([Thinking("", "b3BhcXVl", redacted=True), Text("x")])
    assert ask(script, ANTHROPIC_PATH, anthropic(), ANTHROPIC).json()["content"][0] == {
        "type": "redacted_thinking",
        "data": "b3BhcXVl",
    }
    events = ask(script, ANTHROPIC_PATH, anthropic(stream=True), ANTHROPIC).events()
    assert events[1]["content_block"] == {"type": "redacted_thinking", "data": "b3BhcXVl"}


@pytest.mark.parametrize(
    ("version", "status"), [("2023-06-01", 200), ("2026-10-21", 200), ("2020-01-01", 400), (None, 400)]
)
def test_anthropic_demands_a_version_it_knows(version, status):
    headers = {} if version is None else {"anthropic-version": version}
    received = ask(None, ANTHROPIC_PATH, anthropic(), headers)
    assert received.status == status
    assert (received.json()["type"] == "error") is (status == 400)


def test_gemini_response_has_the_vendors_shape():
    body = ask(RICH, GEMINI_PATH, gemini()).json()
    assert body == {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"text": "let me see", "thought": True},
                        {"thoughtSignature": "c2ln", "text": "hello big world"},
                        {"functionCall": {"name": "f", "args": {"b": 1, "a": 2}, "id": "c1"}},
                        {"functionCall": {"name": "g", "args": {}}},
                    ],
                    "role": "model",
                },
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 100,
            "totalTokenCount": 150,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 100}],
            "candidatesTokenCount": 42,
            "thoughtsTokenCount": 8,
            "cachedContentTokenCount": 20,
            "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 20}],
        },
        "modelVersion": "gemini-2.5-flash",
        "responseId": "fake000000",
    }


def test_gemini_stream_counts_up_and_says_the_reason_in_the_last_chunk():
    received = ask("one two three", GEMINI_SSE, gemini())
    chunks = received.events()
    assert received.body.count(b"\r\n\r\n") == 3
    assert [chunk["usageMetadata"]["candidatesTokenCount"] for chunk in chunks] == [1, 2, 3]
    assert ["finishReason" in chunk["candidates"][0] for chunk in chunks] == [False, False, True]


def test_gemini_without_sse_streams_one_json_array():
    received = ask("one two three", GEMINI_ARRAY, gemini())
    texts = [chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in received.json()]
    assert received.headers["content-type"].startswith("application/json")
    assert "".join(texts) == "one two three"


def test_gemini_signature_of_a_last_thought_stands_on_an_empty_part():
    body = ask(Script([Thinking("hm", "c2ln")]), GEMINI_PATH, gemini()).json()
    assert body["candidates"][0]["content"]["parts"][-1] == {"text": "", "thoughtSignature": "c2ln"}


def test_a_refusal_is_text_a_reason_or_a_blocked_prompt():
    script = Script([Refusal("no")])
    message = ask(script, OPENAI_PATH, openai()).json()["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "no")
    refused = ask(script, ANTHROPIC_PATH, anthropic(), ANTHROPIC).json()
    assert (refused["content"], refused["stop_reason"]) == ([], "refusal")
    assert refused["stop_details"]["explanation"] == "no"
    for path in (GEMINI_PATH, GEMINI_ARRAY):
        blocked = ask(script, path, gemini()).json()
        blocked = blocked[0] if isinstance(blocked, list) else blocked
        assert blocked["promptFeedback"] == {"blockReason": "SAFETY"}
        assert "candidates" not in blocked


@pytest.mark.parametrize("name", STREAMS)
def test_without_a_script_the_last_text_comes_back(name):
    for path, body, headers in (STREAMS[name], UNARY[name]):
        assert b"echo:" in ask(None, path, body, headers).body


def test_an_echo_keeps_to_the_token_limit():
    body = ask(None, ANTHROPIC_PATH, anthropic(max_tokens=2), ANTHROPIC).json()
    assert (body["content"][0]["text"], body["stop_reason"]) == ("echo: say", "max_tokens")


@pytest.mark.parametrize(
    ("finish", "words"),
    [
        ("length", ("length", "max_tokens", "MAX_TOKENS")),
        ("content_filter", ("content_filter", "refusal", "SAFETY")),
        ("stop", ("stop", "end_turn", "STOP")),
        ("brand_new", ("brand_new", "brand_new", "brand_new")),
    ],
)
def test_finish_reasons_are_said_in_each_dialects_words(finish, words):
    script = Script("x", finish=finish)
    assert ask(script, OPENAI_PATH, openai()).json()["choices"][0]["finish_reason"] == words[0]
    assert ask(script, ANTHROPIC_PATH, anthropic(), ANTHROPIC).json()["stop_reason"] == words[1]
    assert ask(script, GEMINI_PATH, gemini()).json()["candidates"][0]["finishReason"] == words[2]


def test_citations_of_pages_are_told_in_each_dialects_form():
    script = Script([Text("it is so", citations=[Citation("so", url="https://e.org", title="E", start=6, end=8)])])
    note = ask(script, OPENAI_PATH, openai()).json()["choices"][0]["message"]["annotations"][0]
    assert note["url_citation"] == {"url": "https://e.org", "title": "E", "start_index": 6, "end_index": 8}
    block = ask(script, ANTHROPIC_PATH, anthropic(), ANTHROPIC).json()["content"][0]
    assert block["citations"][0]["type"] == "web_search_result_location"
    grounding = ask(script, GEMINI_PATH, gemini()).json()["candidates"][0]["groundingMetadata"]
    assert grounding["groundingChunks"] == [{"web": {"uri": "https://e.org", "title": "E"}}]


def test_a_native_part_goes_only_to_its_own_dialect():
    script = Script([Text("x"), Native("anthropic", {"type": "brand_new_block", "deep": [1]})])
    assert ask(script, ANTHROPIC_PATH, anthropic(), ANTHROPIC).json()["content"][1]["deep"] == [1]
    assert len(ask(script, GEMINI_PATH, gemini()).json()["candidates"][0]["content"]["parts"]) == 1


def test_logprobs_follow_the_pieces():
    script = Script([Text("a b", logprobs=True)])
    content = ask(script, OPENAI_PATH, openai()).json()["choices"][0]["logprobs"]["content"]
    assert [entry["token"] for entry in content] == ["a", " b"]
    chosen = ask(script, GEMINI_PATH, gemini()).json()["candidates"][0]["logprobsResult"]["chosenCandidates"]
    assert [entry["token"] for entry in chosen] == ["a", " b"]


def test_untold_usage_is_not_on_the_wire():
    script = Script("x", usage=Tokens(told=False))
    assert "usage" not in ask(script, OPENAI_PATH, openai()).json()
    assert "usage" not in ask(script, ANTHROPIC_PATH, anthropic(), ANTHROPIC).json()
    assert "usageMetadata" not in ask(script, GEMINI_PATH, gemini()).json()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 413, 429, 500, 503, 504, 529])
def test_errors_have_each_vendors_shape(status):
    script = Script(Status(status, message="no"))
    found = ask(script, OPENAI_PATH, openai())
    assert found.status == status
    assert set(found.json()["error"]) == {"message", "type", "param", "code"}
    found = ask(script, ANTHROPIC_PATH, anthropic(), ANTHROPIC).json()
    assert (found["type"], found["error"]["message"], found["request_id"]) == ("error", "no", "req_fake000000")
    found = ask(script, GEMINI_PATH, gemini()).json()
    assert (found["error"]["code"], found["error"]["message"]) == (status, "no")
    assert found["error"]["status"].isupper()
    assert isinstance(ask(script, GEMINI_ARRAY, gemini()).json(), list)


def test_rate_limit_and_quota_differ_though_both_are_429():
    limited = Script(Status(429, retry_after=2))
    spent = Script(Status(429, "quota"))
    received = ask(limited, OPENAI_PATH, openai())
    assert (received.headers["retry-after"], received.json()["error"]["code"]) == ("2", "rate_limit_exceeded")
    assert ask(spent, OPENAI_PATH, openai()).json()["error"]["code"] == "insufficient_quota"
    details = ask(limited, GEMINI_PATH, gemini()).json()["error"]["details"]
    assert details[0]["retryDelay"] == "2s"
    assert "QuotaFailure" in ask(spent, GEMINI_PATH, gemini()).json()["error"]["details"][0]["@type"]
    error = ask(spent, ANTHROPIC_PATH, anthropic(), ANTHROPIC).json()["error"]
    assert error["details"] == {"error_code": "enforced_spend_limit_reached"}


def test_retry_after_can_be_a_date_or_milliseconds_and_an_error_can_come_with_200():
    script = Script(Status(429, retry_after="Wed, 21 Oct 2026 07:28:00 GMT", retry_after_ms=250, sent_as=200))
    received = ask(script, OPENAI_PATH, openai())
    assert received.status == 200
    assert received.headers["retry-after"] == "Wed, 21 Oct 2026 07:28:00 GMT"
    assert received.headers["retry-after-ms"] == "250"
    assert "error" in received.json()


@pytest.mark.parametrize("name", UNARY)
def test_a_wrong_key_is_refused_and_the_right_one_is_not(name):
    path, body, headers = UNARY[name]
    header = {"openai_chat": "authorization", "anthropic": "x-api-key", "gemini": "x-goog-api-key"}[name]
    value = "Bearer right" if name == "openai_chat" else "right"
    assert ask(None, path, body, headers | {header: value}, api_key="right").status == 200
    refused = ask(None, path, body, headers | {header: "wrong"}, api_key="right")
    assert refused.status == (400 if name == "gemini" else 401)


def test_anthropic_takes_a_bearer_key_too():
    headers = ANTHROPIC | {"authorization": "Bearer right"}
    assert ask(None, ANTHROPIC_PATH, anthropic(), headers, api_key="right").status == 200


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        (OPENAI_PATH, {"messages": [{"role": "user", "content": "x"}]}, {}),
        (OPENAI_PATH, {"model": "m"}, {}),
        (OPENAI_PATH, openai(stream_options={"include_usage": True}), {}),
        (OPENAI_PATH, b"{not json", {}),
        (OPENAI_PATH, b"[]", {}),
        (ANTHROPIC_PATH, {"model": "m", "messages": [{"role": "user", "content": "x"}]}, ANTHROPIC),
        (ANTHROPIC_PATH, anthropic(messages=[]), ANTHROPIC),
        (GEMINI_PATH, {}, {}),
        ("/v1/embeddings", {"model": "m"}, {}),
    ],
)
def test_a_request_without_what_the_vendor_demands_is_400(path, body, headers):
    assert ask(None, path, body, headers).status == 400


def test_an_unknown_path_is_404_and_a_wrong_method_405():
    assert ask(None, "/v2/none", {}).status == 404
    assert ask(None, OPENAI_PATH, None, method="GET").status == 405


def test_openai_embeddings_are_equal_as_floats_and_as_base64():
    body = {"model": "e", "input": ["a", "b c"], "dimensions": 4}
    floats = ask(None, "/v1/embeddings", body).json()
    packed = ask(None, "/v1/embeddings", body | {"encoding_format": "base64"}).json()
    decoded = [list(struct.unpack("<4f", base64.b64decode(item["embedding"]))) for item in packed["data"]]
    assert decoded == [item["embedding"] for item in floats["data"]]
    assert decoded[0] != decoded[1]
    assert floats["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


def test_gemini_embeddings_come_one_by_one_and_in_batches():
    one = ask(None, "/v1beta/models/e:embedContent", {"content": {"parts": [{"text": "a"}]}}).json()
    requests = [{"content": {"parts": [{"text": text}]}} for text in ("a", "b")]
    many = ask(None, "/v1/models/e:batchEmbedContents", {"requests": requests}).json()
    assert many["embeddings"][0] == one["embedding"]
    assert len(many["embeddings"]) == 2


def test_scripted_vectors_are_sent_as_they_are():
    script = Script(Vectors([[0.5, 0.25]]))
    body = ask(script, "/v1/embeddings", {"model": "e", "input": "x"}, operation="embeddings").json()
    assert body["data"][0]["embedding"] == [0.5, 0.25]


def test_tokens_are_counted_as_words():
    counted = ask(
        None, "/v1/messages/count_tokens", {"model": "m", "messages": [{"role": "user", "content": "a b c"}]}, ANTHROPIC
    )
    assert counted.json() == {"input_tokens": 3}
    counted = ask(None, "/v1beta/models/m:countTokens", {"contents": [{"parts": [{"text": "a b"}]}]})
    assert counted.json()["totalTokens"] == 2


def test_the_model_list_is_told_in_the_dialect_of_the_headers():
    assert ask(None, "/v1/models", None, method="GET").json()["object"] == "list"
    assert ask(None, "/v1/models", None, ANTHROPIC, method="GET").json()["has_more"] is False
    assert "models" in ask(None, "/v1/models", None, {"x-goog-api-key": "k"}, method="GET").json()
    assert "models" in ask(None, "/v1beta/models", None, method="GET").json()
    assert ask(None, "/v1/models/gpt-4o-mini", None, method="GET").json()["id"] == "gpt-4o-mini"
    assert ask(None, "/v1/models/unknown", None, method="GET").status == 404


def test_arguments_that_are_no_json_are_sent_where_the_dialect_has_text_and_a_problem_elsewhere():
    script = Script([Call("f", '{"broken')])
    call = ask(script, OPENAI_PATH, openai()).json()["choices"][0]["message"]["tool_calls"][0]
    assert call["function"]["arguments"] == '{"broken'
    events = ask(script, ANTHROPIC_PATH, anthropic(stream=True), ANTHROPIC).events()
    assert "".join(e["delta"]["partial_json"] for e in events if e["type"] == "content_block_delta") == '{"broken'
    with pytest.raises(ScriptError, match="Request 0"):
        ask(script, GEMINI_PATH, gemini())
