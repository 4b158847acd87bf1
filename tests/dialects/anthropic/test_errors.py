"""Errors both ways: what the provider says becomes a kind, and a kind becomes what the vendor's clients know."""

import json

import pytest

from execution_platform.dialects.anthropic import DIALECT
from execution_platform.exceptions import (
    AuthenticationError,
    BudgetExceeded,
    ErrorKind,
    ExecutionPlatformError,
    InvalidRequest,
    NotConfigured,
    PermissionDenied,
    ProviderError,
    RateLimitError,
    RequestTooLarge,
    RouterError,
    TimeoutError,
)


def body(word: str, message: str = "m", **more: object) -> bytes:
    return json.dumps(
        {"type": "error", "error": {"type": word, "message": message, **more}, "request_id": "req_1"}
    ).encode()


@pytest.mark.parametrize(
    ("status", "raw", "kind"),
    [
        (400, body("invalid_request_error"), ErrorKind.BAD_REQUEST),
        (
            400,
            body("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
            ErrorKind.CONTEXT_LENGTH,
        ),
        (
            400,
            body("invalid_request_error", "input length and `max_tokens` exceed context limit"),
            ErrorKind.CONTEXT_LENGTH,
        ),
        (400, body("invalid_request_error", "Your credit balance is too low to access the API."), ErrorKind.QUOTA),
        (400, body("invalid_request_error", "Output blocked by content filtering policy"), ErrorKind.CONTENT_FILTER),
        (401, body("authentication_error"), ErrorKind.AUTH),
        (402, body("billing_error"), ErrorKind.QUOTA),
        (403, body("permission_error"), ErrorKind.PERMISSION),
        (404, body("not_found_error"), ErrorKind.NOT_FOUND),
        (409, body("conflict_error"), ErrorKind.BAD_REQUEST),
        (413, body("request_too_large"), ErrorKind.TOO_LARGE),
        (413, body("invalid_request_error"), ErrorKind.TOO_LARGE),
        (429, body("rate_limit_error"), ErrorKind.RATE_LIMIT),
        (429, body("rate_limit_error", details={"error_code": "contract_spend_limit_reached"}), ErrorKind.QUOTA),
        (429, body("rate_limit_error", "You have reached your specified API usage limits."), ErrorKind.QUOTA),
        (500, body("api_error"), ErrorKind.SERVER),
        (504, body("timeout_error"), ErrorKind.TIMEOUT),
        (529, body("overloaded_error"), ErrorKind.OVERLOADED),
        (503, body("api_error"), ErrorKind.OVERLOADED),
        (418, body("novel_error"), ErrorKind.UNKNOWN),
        (422, b"{}", ErrorKind.UNPROCESSABLE),
        (415, b"[]", ErrorKind.UNSUPPORTED_MEDIA),
        (502, b"<html>Bad gateway</html>", ErrorKind.SERVER),
        (529, b"\xff\xfe", ErrorKind.OVERLOADED),
        (408, b"", ErrorKind.TIMEOUT),
    ],
)
def test_status_type_and_words_give_the_kind(status: int, raw: bytes, kind: ErrorKind) -> None:
    error = DIALECT.decode_error(status, {}, raw)
    assert error.kind is kind
    assert error.upstream_status == status
    assert error.raw == raw
    assert error.message


def test_kinds_callers_catch_have_their_class() -> None:
    assert isinstance(DIALECT.decode_error(429, {}, b""), RateLimitError)
    assert isinstance(DIALECT.decode_error(504, {}, b""), TimeoutError)


def test_a_long_page_is_kept_in_part() -> None:
    assert len(DIALECT.decode_error(500, {}, b"x" * 200_000).raw or b"") == 64 * 1024


def test_the_request_id_comes_from_body_or_header() -> None:
    assert DIALECT.decode_error(400, {"request-id": "h"}, body("api_error")).request_id == "req_1"
    assert DIALECT.decode_error(400, {"request-id": "h"}, b"{}").request_id == "h"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
    ],
)
def test_the_time_to_wait_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert DIALECT.decode_error(429, headers, b"").retry_after == seconds


@pytest.mark.parametrize(
    ("error", "word", "shown"),
    [
        (InvalidRequest("bad", param="messages"), "invalid_request_error", "bad"),
        (RequestTooLarge("big"), "request_too_large", "big"),
        (AuthenticationError("who"), "authentication_error", "who"),
        (PermissionDenied("no"), "permission_error", "no"),
        (RouterError("where"), "not_found_error", "where"),
        (BudgetExceeded("broke"), "billing_error", "broke"),
        (NotConfigured("unset"), "api_error", "unset"),
        (ProviderError("key sk-1 is bad", kind=ErrorKind.AUTH), "api_error", None),
        (ProviderError("org 5 may not", kind=ErrorKind.PERMISSION), "api_error", None),
        (ProviderError("pay us", kind=ErrorKind.QUOTA), "rate_limit_error", None),
        (ProviderError("slow", kind=ErrorKind.RATE_LIMIT), "rate_limit_error", "slow"),
        (ProviderError("busy", kind=ErrorKind.OVERLOADED), "overloaded_error", "busy"),
        (ProviderError("late", kind=ErrorKind.TIMEOUT), "timeout_error", "late"),
        (ProviderError("long", kind=ErrorKind.CONTEXT_LENGTH), "invalid_request_error", "long"),
        (ProviderError("who knows", kind=ErrorKind.UNKNOWN), "api_error", None),
        (ExecutionPlatformError("stack trace"), "api_error", None),
    ],
)
def test_an_error_is_told_in_the_vendor_s_words(error: ExecutionPlatformError, word: str, shown: str | None) -> None:
    wire = json.loads(DIALECT.encode_error(error, "req_5"))
    assert wire["type"] == "error"
    assert wire["request_id"] == "req_5"
    assert wire["error"]["type"] == word
    assert wire["error"]["details"]["error_code"] == error.code
    assert wire["error"]["details"]["raised_by"] == error.raised_by
    if shown is None:
        assert error.message not in wire["error"]["message"]
    else:
        assert wire["error"]["message"] == shown


def test_the_path_at_fault_is_told() -> None:
    wire = json.loads(DIALECT.encode_error(InvalidRequest("bad", param="messages[0]"), ""))
    assert wire["error"]["details"]["param"] == "messages[0]"
    assert wire["request_id"] is None


def test_an_error_in_a_stream_is_an_event() -> None:
    frame = DIALECT.error_frame(InvalidRequest("bad"), "req_5")
    assert frame == b"event: error\ndata: " + DIALECT.encode_error(InvalidRequest("bad"), "req_5") + b"\n\n"
