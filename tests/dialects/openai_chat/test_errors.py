"""Error answers of OpenAI and the servers that speak like it, and our own errors in that shape."""

import json

import pytest

from execution_platform.dialects.openai_chat import DIALECT
from execution_platform.dialects.openai_errors import MAX_RAW, stream_error
from execution_platform.exceptions import (
    ERROR_TABLE,
    AuthenticationError,
    BudgetExceeded,
    ErrorKind,
    ExecutionPlatformError,
    InvalidRequest,
    NotConfigured,
    PermissionDenied,
    ProviderError,
    RateLimited,
    RateLimitError,
    RouterError,
    TimeoutError,
)


def body(message="m", type_=None, code=None, param=None):
    return json.dumps({"error": {"message": message, "type": type_, "param": param, "code": code}}).encode()


CASES = [
    (400, body(type_="invalid_request_error"), ErrorKind.BAD_REQUEST),
    (400, body(code="context_length_exceeded", type_="invalid_request_error"), ErrorKind.CONTEXT_LENGTH),
    (400, body("This model's maximum context length is 8192 tokens."), ErrorKind.CONTEXT_LENGTH),
    (400, body(type_="exceed_context_size_error"), ErrorKind.CONTEXT_LENGTH),
    (400, body(code="content_filter"), ErrorKind.CONTENT_FILTER),
    (400, body("Your request was rejected by our safety system"), ErrorKind.CONTENT_FILTER),
    (401, body(code="invalid_api_key", type_="invalid_request_error"), ErrorKind.AUTH),
    (402, body("Insufficient Balance"), ErrorKind.QUOTA),
    (403, body("Country not supported"), ErrorKind.PERMISSION),
    (404, body(code="model_not_found", type_="invalid_request_error"), ErrorKind.NOT_FOUND),
    (404, body(code="DeploymentNotFound"), ErrorKind.NOT_FOUND),
    (408, b"", ErrorKind.TIMEOUT),
    (413, b"<html>too large</html>", ErrorKind.TOO_LARGE),
    (415, body(), ErrorKind.UNSUPPORTED_MEDIA),
    (422, b'{"detail":[{"loc":["body"]}]}', ErrorKind.UNPROCESSABLE),
    (429, body(type_="tokens", code="rate_limit_exceeded"), ErrorKind.RATE_LIMIT),
    (429, body(type_="insufficient_quota", code="insufficient_quota"), ErrorKind.QUOTA),
    (429, body("You exceeded your current quota, please check your plan and billing details."), ErrorKind.QUOTA),
    (429, b"", ErrorKind.RATE_LIMIT),
    (500, body(type_="server_error"), ErrorKind.SERVER),
    (500, b"", ErrorKind.SERVER),
    (501, body("not supported"), ErrorKind.BAD_REQUEST),
    (502, b"<html><h1>502 Bad Gateway</h1></html>", ErrorKind.SERVER),
    (503, body("Loading model", type_="unavailable_error"), ErrorKind.OVERLOADED),
    (503, body(type_="server_error"), ErrorKind.OVERLOADED),
    (504, b"", ErrorKind.TIMEOUT),
    (529, body(type_="overloaded_error"), ErrorKind.OVERLOADED),
    (418, b"teapot", ErrorKind.BAD_REQUEST),
    (599, b"", ErrorKind.SERVER),
]


@pytest.mark.parametrize(("status", "data", "kind"), CASES)
def test_the_kind_follows_from_status_words_and_message(status, data, kind):
    error = DIALECT.decode_error(status, {}, data)
    assert error.kind is kind
    assert error.upstream_status == status
    assert error.message
    assert error.code == f"provider_{kind.value}"


def test_an_error_keeps_what_the_provider_said():
    data = body("Unsupported value", param="temperature", type_="invalid_request_error")
    error = DIALECT.decode_error(400, {"x-request-id": "req_9"}, data)
    assert (error.message, error.param, error.request_id, error.raw) == (
        "Unsupported value",
        "temperature",
        "req_9",
        data,
    )
    assert len(DIALECT.decode_error(500, {}, b"x" * (MAX_RAW + 9)).raw or b"") == MAX_RAW


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"error":"model \'x\' not found"}', "model 'x' not found"),
        (b'{"object":"error","message":"bad","type":"BadRequestError","code":400}', "bad"),
        (b'[{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}]', "bad"),
        (b'{"detail":"Not Found"}', "Not Found"),
        (
            b'{"error":{"message":5}}',
            "The provider answered with an error that is not in its documented form. (status 400)",
        ),
        (b"[]", "The provider answered with an error that is not in its documented form. (status 400)"),
        (b'{"error":[]}', "The provider answered with an error that is not in its documented form. (status 400)"),
        (b"5", "The provider answered with an error that is not in its documented form. (status 400)"),
    ],
)
def test_other_shapes_are_read_too(data, message):
    assert DIALECT.decode_error(400, {}, data).message == message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 30.0),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:00 GMT", "date": "Sat, 21 Nov 2026 10:00:30 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after-ms": "inf"}, None),
        ({}, None),
    ],
)
def test_when_to_come_back(headers, seconds):
    error = DIALECT.decode_error(429, headers, body())
    assert isinstance(error, RateLimitError)
    assert error.retry_after == seconds


def test_a_date_without_the_answers_own_is_measured_from_now():
    assert DIALECT.decode_error(429, {"retry-after": "Fri, 01 Jan 2100 00:00:00 -0000"}, b"").retry_after > 1e6


def test_googles_retry_info_is_read():
    detail = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17s"}
    data = json.dumps(
        [{"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED", "details": [5, detail]}}]
    )
    assert DIALECT.decode_error(429, {}, data.encode()).retry_after == 17


def test_an_error_in_a_200_has_the_status_inside_it():
    assert isinstance(stream_error({"error": {"code": 429, "message": "m"}}), RateLimitError)
    assert isinstance(stream_error({"error": {"code": 504, "message": "m"}}), TimeoutError)
    assert stream_error({"error": {"message": "m"}}).kind is ErrorKind.SERVER
    assert stream_error({"error": {"message": "m", "type": "overloaded_error"}}).kind is ErrorKind.OVERLOADED
    assert stream_error({"error": {"message": "m", "code": "invalid_request_error"}}).kind is ErrorKind.BAD_REQUEST


OURS = [
    (InvalidRequest("n: wrong", param="n"), "invalid_request_error", "n: wrong"),
    (AuthenticationError("no key"), "authentication_error", "no key"),
    (PermissionDenied("not yours"), "permission_error", "not yours"),
    (RouterError("no such model"), "not_found_error", "no such model"),
    (BudgetExceeded("used up"), "insufficient_quota", "used up"),
    (RateLimited("slow down"), "rate_limit_error", "slow down"),
    (NotConfigured("no key for x"), "server_error", "no key for x"),
    (ExecutionPlatformError("secret detail"), "server_error", None),
    (ProviderError("key sk-1 is wrong", kind=ErrorKind.AUTH), "server_error", None),
    (ProviderError("your org", kind=ErrorKind.PERMISSION), "server_error", None),
    (ProviderError("billing", kind=ErrorKind.QUOTA), "rate_limit_error", None),
    (ProviderError("too long", kind=ErrorKind.CONTEXT_LENGTH), "invalid_request_error", "too long"),
    (ProviderError("late", kind=ErrorKind.TIMEOUT), "timeout_error", "late"),
    (ProviderError("?", kind=ErrorKind.UNKNOWN), "server_error", None),
]


@pytest.mark.parametrize(("error", "word", "message"), OURS)
def test_our_errors_have_the_vendors_shape_and_tell_no_secrets(error, word, message):
    wire = json.loads(DIALECT.encode_error(error, "req_1"))["error"]
    assert wire["type"] == word
    assert wire["message"] == (message or "The request could not be completed by the provider.")
    assert (wire["code"], wire["param"]) == (error.code, error.param)
    assert (wire["raised_by"], wire["request_id"]) == (error.raised_by, "req_1")


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_every_kind_has_a_type_word(kind):
    wire = json.loads(DIALECT.encode_error(ProviderError("m", kind=kind), ""))["error"]
    assert wire["type"].endswith("_error") or wire["type"] == "insufficient_quota"
    assert (wire["message"] == "m") == ERROR_TABLE[kind].public
    assert "request_id" not in wire


def test_an_error_in_a_stream_is_one_frame():
    frame = DIALECT.error_frame(InvalidRequest("a\n\nb"), "r")
    assert frame.startswith(b"data: {")
    assert frame.count(b"\n") == 2
    assert frame.endswith(b"\n\n")
