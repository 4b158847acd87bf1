"""A whole native answer, errors and listings."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.native.strategies import HARD, answers
from execution_platform import _json
from execution_platform.dialects.base import Downstream, ModelEntry, Upstream
from execution_platform.dialects.native import DIALECT, decode_exception, status_of
from execution_platform.exceptions import (
    AuthenticationError,
    BudgetExceeded,
    CircuitBreakerOpenError,
    ConfigError,
    ErrorKind,
    ExecutionPlatformError,
    InvalidRequest,
    NotConfigured,
    PermissionDenied,
    ProtocolError,
    ProviderError,
    RateLimited,
    RateLimitError,
    RequestTooLarge,
    RequirementError,
    RouterError,
    TimeoutError,
    ToolError,
    UnprocessableRequest,
    UnsupportedEncoding,
    UnsupportedFeature,
)
from execution_platform.spi import (
    ChatResponse,
    Finish,
    FinishReason,
    Loss,
    Message,
    Origin,
    Output,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
)

UPSTREAM = Upstream(Origin(dialect="native"))
DOWN = Downstream(model="asked", id="fallback-id", extra={"provider": "p1", "persona": "architect"})


def whole(*parts, **options):
    return ChatResponse((Output(Message("assistant", parts), Finish(FinishReason.STOP)),), **options)


def encode(response):
    return _json.loads(DIALECT.encode_response(response, DOWN).body)


def test_a_plain_answer_is_flat():
    response = whole(
        ThinkingPart("hm"),
        TextPart("Hello"),
        ToolCallPart("c", "f", '{"a":1}'),
        id="r",
        model="m",
        usage=Usage(1, 2, 0.5),
    )
    assert encode(response) == {
        "id": "r",
        "model": "m",
        "provider": "p1",
        "text": "Hello",
        "thinking": "hm",
        "tool_calls": [{"id": "c", "name": "f", "args": {"a": 1}}],
        "reason": "stop",
        "usage": {"input_tokens": 1, "output_tokens": 2, "cost_usd": 0.5},
        "persona": "architect",
    }


def test_an_answer_that_names_nothing_takes_the_names_of_the_request():
    body = encode(whole(TextPart("x")))
    assert (body["id"], body["model"], body["usage"]) == ("fallback-id", "asked", None)


def test_results_of_tools_are_listed():
    body = encode(whole(ToolCallPart("c", "f"), ToolResultPart("c", (TextPart("42"),), is_error=False), TextPart("so")))
    assert body["tool_results"] == [{"id": "c", "result": "42", "is_error": False}]
    assert [part["type"] for part in body["message"]["content"]] == ["tool_call", "tool_result", "text"]


@given(answers)
@settings(max_examples=300, deadline=None)
def test_an_answer_comes_back_whole(response):
    again = DIALECT.decode_response(DIALECT.encode_response(response, DOWN).body, UPSTREAM)
    kept = [part for part in response.message.parts if part not in (TextPart(""), ThinkingPart(""))]
    assert [part for part in again.message.parts if part not in (TextPart(""), ThinkingPart(""))] == kept
    assert (again.finish, again.usage, again.id, again.model) == (
        response.finish,
        response.usage,
        "resp_1",
        "some/model",
    )
    assert DIALECT.meter(DIALECT.encode_response(response, DOWN).body).usage == response.usage


@given(answers, st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_answer_is_an_answer_or_our_own_error(response, data):
    body = bytearray(DIALECT.encode_response(response, DOWN).body)
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ExecutionPlatformError):
        assert DIALECT.decode_response(bytes(body), UPSTREAM).outputs


def test_further_outputs_are_a_loss_of_content():
    output = Output(Message("assistant", "x"), Finish(FinishReason.STOP))
    encoded = DIALECT.encode_response(ChatResponse((output, output, output)), DOWN)
    assert [loss.path for loss in encoded.losses] == ["outputs[1]", "outputs[2]"]
    assert {loss.severity for loss in encoded.losses} == {"content"}


def test_members_of_another_dialect_are_losses_and_own_ones_stay():
    foreign = whole(TextPart("x"), extra={"odd": 1}, origin=Origin(dialect="gemini"))
    assert [loss.path for loss in DIALECT.encode_response(foreign, DOWN).losses] == ["odd"]
    assert encode(whole(TextPart("x"), extra={"odd": 1}, origin=Origin(dialect="native")))["odd"] == 1


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"reason": 3}', b'{"reason":"stop","tool_calls":[{}]}']
)
def test_bytes_that_are_no_answer_are_a_protocol_error(body):
    with pytest.raises(ProtocolError):
        DIALECT.decode_response(body, UPSTREAM)


def test_an_error_with_status_200_is_raised():
    with pytest.raises(BudgetExceeded, match="spent"):
        DIALECT.decode_response(b'{"error": {"message": "spent", "code": "cost_budget_exceeded"}}', UPSTREAM)


@pytest.mark.parametrize(
    "error",
    [
        RouterError("x"),
        ConfigError("x"),
        InvalidRequest("x", param="messages"),
        UnprocessableRequest("x", param="messages[0]"),
        RequestTooLarge("x"),
        UnsupportedEncoding("x"),
        AuthenticationError("x"),
        PermissionDenied("x"),
        RequirementError("x"),
        NotConfigured("x"),
        UnsupportedFeature([Loss("n", "too many", "content")], target="t"),
        BudgetExceeded("x"),
        BudgetExceeded("x", code="token_budget_exceeded"),
        RateLimited("x"),
        ToolError("x"),
        ProviderError("x", kind=ErrorKind.SERVER),
        ProviderError("x", kind=ErrorKind.CONTEXT_LENGTH),
        RateLimitError("x", kind=ErrorKind.RATE_LIMIT),
        TimeoutError("x", kind=ErrorKind.TIMEOUT),
        ProtocolError("x", kind=ErrorKind.PROTOCOL),
        CircuitBreakerOpenError("x", kind=ErrorKind.UNAVAILABLE, code="circuit_open"),
    ],
    ids=lambda error: f"{type(error).__name__}-{error.code}",
)
def test_every_error_comes_back_as_its_own_class(error):
    body = DIALECT.encode_error(error, "req_1")
    again = decode_exception(status_of(error), {"retry-after": "3"}, body)
    assert type(again) is type(error)
    assert (again.code, again.message, again.param) == (error.code, error.message, error.param)
    assert again.kind is error.kind
    assert again.retry_after == 3


def test_an_error_body_has_the_members_of_openai_and_ours():
    body = _json.loads(DIALECT.encode_error(BudgetExceeded("spent", retry_after=2.5), "req_1"))
    assert body == {
        "error": {
            "message": "spent",
            "type": "rate_limit_error",
            "param": None,
            "code": "cost_budget_exceeded",
            "raised_by": "gateway",
            "retryable": False,
            "request_id": "req_1",
            "retry_after": 2.5,
        }
    }


def test_a_used_up_budget_is_429_here():
    assert status_of(BudgetExceeded("x")) == 429
    assert status_of(UnprocessableRequest("x")) == 422


def test_failures_nobody_should_read_are_told_in_general_words():
    for error in (ProviderError("sk-1", kind=ErrorKind.AUTH), ExecutionPlatformError("sk-1")):
        assert b"sk-1" not in DIALECT.encode_error(error, "r")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, InvalidRequest),
        (401, AuthenticationError),
        (402, BudgetExceeded),
        (403, PermissionDenied),
        (404, RouterError),
        (412, RequirementError),
        (413, RequestTooLarge),
        (415, UnsupportedEncoding),
        (422, UnprocessableRequest),
        (429, RateLimited),
        (500, ProviderError),
        (502, ProviderError),
        (503, NotConfigured),
        (504, TimeoutError),
    ],
)
def test_an_answer_without_a_code_is_told_by_its_status(status, expected):
    error = decode_exception(status, {}, b"<html>Bad Gateway</html>")
    assert type(error) is expected
    assert str(status) in error.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "later"}, None),
    ],
)
def test_the_time_to_wait_is_read_in_every_form(headers, seconds):
    assert decode_exception(429, headers, b"").retry_after == seconds


def test_the_failure_of_an_upstream_keeps_status_request_id_and_body():
    body = b'{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}'
    error = DIALECT.decode_error(429, {"x-request-id": "r9"}, body)
    assert (error.kind, error.upstream_status, error.request_id, error.raw) == (ErrorKind.RATE_LIMIT, 429, "r9", body)
    assert isinstance(error, RateLimitError)


@pytest.mark.parametrize("body", [b'{"error": "plain words"}', b'{"error": {"message": "plain words"}}'])
def test_an_error_may_be_a_text_or_an_object(body):
    assert decode_exception(500, {}, body).message == "plain words"


@given(st.binary(max_size=60), st.integers(400, 599))
def test_any_error_body_gives_an_error(body, status):
    assert decode_exception(status, {}, body).message
    assert DIALECT.decode_error(status, {}, body).message


@pytest.mark.parametrize("text", HARD)
def test_an_error_body_stays_json_whatever_the_message(text):
    assert _json.loads(DIALECT.encode_error(InvalidRequest(text), "r"))["error"]["message"] == text


def test_model_listings_read_back():
    entries = [ModelEntry("openai/gpt", owned_by="openai", created=5), ModelEntry("persona/architect")]
    body = DIALECT.encode_models(entries)
    assert _json.loads(body)["data"][0] == {"id": "openai/gpt", "object": "model", "created": 5, "owned_by": "openai"}
    assert DIALECT.decode_models(body) == ["openai/gpt", "persona/architect"]


@pytest.mark.parametrize("body", [b"x", b"{}", b"[]"])
def test_a_listing_without_models_is_a_protocol_error(body):
    with pytest.raises(ProtocolError):
        DIALECT.decode_models(body)


def test_the_path_names_neither_model_nor_stream():
    assert DIALECT.chat_path("m", stream=True) == "/v1/chat"
