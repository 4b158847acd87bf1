"""Errors of this dialect, both ways."""

import json

import pytest

from execution_platform.dialects.gemini import DIALECT
from execution_platform.exceptions import (
    AuthenticationError,
    BudgetExceeded,
    ErrorKind,
    InvalidRequest,
    PermissionDenied,
    ProviderError,
    RateLimited,
    RateLimitError,
    RequirementError,
    RouterError,
    TimeoutError,
)

TYPE = "type.googleapis.com/google.rpc."


def error(status, word="", message="", details=(), **headers):
    inner = {"code": status, "message": message, "status": word}
    if details:
        inner["details"] = list(details)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return DIALECT.decode_error(status, names, json.dumps({"error": inner}).encode())


def quota(name):
    return {"@type": f"{TYPE}QuotaFailure", "violations": [{"quotaMetric": "m", "quotaId": name}]}


RETRY = {"@type": f"{TYPE}RetryInfo", "retryDelay": "34.07s"}
BAD_KEY = {"@type": f"{TYPE}ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
LONG = "The input token count (1048580) exceeds the maximum number of tokens allowed (1048576)."
LIMITED = "You exceeded your current quota, please check your plan and billing details."


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (error(400, "INVALID_ARGUMENT", "Request contains an invalid argument."), ErrorKind.BAD_REQUEST),
        (error(400, "INVALID_ARGUMENT", LONG), ErrorKind.CONTEXT_LENGTH),
        (error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", [BAD_KEY]), ErrorKind.AUTH),
        (error(400, "INVALID_ARGUMENT", "API key expired. Please renew the API key."), ErrorKind.AUTH),
        (error(400, "FAILED_PRECONDITION", "User location is not supported for the API use."), ErrorKind.PERMISSION),
        (error(400, "FAILED_PRECONDITION", "Please enable billing on your project."), ErrorKind.QUOTA),
        (error(400, "INVALID_ARGUMENT", "blocked by a content filter"), ErrorKind.CONTENT_FILTER),
        (error(401, "UNAUTHENTICATED"), ErrorKind.AUTH),
        (error(402, ""), ErrorKind.QUOTA),
        (error(403, "PERMISSION_DENIED"), ErrorKind.PERMISSION),
        (error(403, "PERMISSION_DENIED", "x", [{**BAD_KEY, "reason": "API_KEY_EXPIRED"}]), ErrorKind.AUTH),
        (error(404, "NOT_FOUND"), ErrorKind.NOT_FOUND),
        (error(408, ""), ErrorKind.TIMEOUT),
        (error(409, "ABORTED"), ErrorKind.SERVER),
        (error(413, "INVALID_ARGUMENT"), ErrorKind.TOO_LARGE),
        (error(415, ""), ErrorKind.UNSUPPORTED_MEDIA),
        (error(422, "INVALID_ARGUMENT"), ErrorKind.UNPROCESSABLE),
        (error(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted."), ErrorKind.RATE_LIMIT),
        (
            error(429, "RESOURCE_EXHAUSTED", LIMITED, [quota("GenerateRequestsPerMinutePerProjectPerModel"), RETRY]),
            ErrorKind.RATE_LIMIT,
        ),
        (
            error(
                429, "RESOURCE_EXHAUSTED", LIMITED, [quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier"), RETRY]
            ),
            ErrorKind.QUOTA,
        ),
        (error(429, "RESOURCE_EXHAUSTED", LIMITED), ErrorKind.QUOTA),
        (error(429, "RESOURCE_EXHAUSTED", LIMITED, [RETRY]), ErrorKind.RATE_LIMIT),
        (error(499, "CANCELLED"), ErrorKind.CANCELLED),
        (error(500, "INTERNAL"), ErrorKind.SERVER),
        (error(501, "UNIMPLEMENTED"), ErrorKind.BAD_REQUEST),
        (error(502, ""), ErrorKind.SERVER),
        (error(503, "UNAVAILABLE"), ErrorKind.OVERLOADED),
        (error(504, "DEADLINE_EXCEEDED"), ErrorKind.TIMEOUT),
        (error(529, ""), ErrorKind.OVERLOADED),
        (error(418, ""), ErrorKind.UNKNOWN),
        (error(599, "NEW_WORD"), ErrorKind.SERVER),
    ],
)
def test_status_word_and_details_tell_the_kind(found, kind):
    assert found.kind is kind


def test_kinds_that_callers_catch_have_classes():
    assert isinstance(error(429, "RESOURCE_EXHAUSTED"), RateLimitError)
    assert isinstance(error(504, "DEADLINE_EXCEEDED"), TimeoutError)


@pytest.mark.parametrize(
    ("headers", "details", "seconds"),
    [
        ({}, [RETRY], 34.07),
        ({}, [{**RETRY, "retryDelay": "1m"}], None),
        ({}, [{**RETRY, "retryDelay": "xs"}], None),
        ({"retry_after": "5"}, [RETRY], 5),
        ({"retry_after_ms": "1500", "retry_after": "9"}, [], 1.5),
        ({"retry_after": "Sat, 21 Nov 2026 04:00:10 GMT", "date": "Sat, 21 Nov 2026 04:00:00 GMT"}, [], 10),
        ({"retry_after": "Sat, 21 Nov 2026 03:00:00 GMT", "date": "Sat, 21 Nov 2026 04:00:00 GMT"}, [], 0),
        ({"retry_after": "soon"}, [], None),
        ({"retry_after": "-1"}, [], None),
        ({"retry_after": "nan"}, [], None),
    ],
)
def test_when_to_come_back_is_read_from_headers_or_details(headers, details, seconds):
    assert error(429, "RESOURCE_EXHAUSTED", "x", details, **headers).retry_after == seconds


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>502 Bad Gateway</html>", "not in its documented form. (status 502)"),
        (b"", "(status 502)"),
        (b"\xff\xfe", "(status 502)"),
        (b"[]", "(status 502)"),
        (b'{"error": "plain words"}', "plain words"),
        (b'{"message": "bare"}', "bare"),
        (b'[{"error": {"code": 502, "message": "in a list"}}]', "in a list"),
        (b'{"error": {"message": 5, "status": 6, "code": "x", "details": "y"}}', "(status 502)"),
    ],
)
def test_any_body_is_an_error_of_its_status(body, message):
    found = DIALECT.decode_error(502, {"x-request-id": "r1"}, body)
    assert found.message.endswith(message)
    assert (found.kind, found.upstream_status, found.request_id, found.raw) == (ErrorKind.SERVER, 502, "r1", body)


def test_a_long_body_is_kept_in_part():
    assert len(DIALECT.decode_error(500, {}, b"x" * 100_000).raw) == 64 * 1024


@pytest.mark.parametrize(
    ("given", "code", "word"),
    [
        (InvalidRequest("bad", param="contents[0]"), 400, "INVALID_ARGUMENT"),
        (AuthenticationError("who?"), 401, "UNAUTHENTICATED"),
        (PermissionDenied("no"), 403, "PERMISSION_DENIED"),
        (BudgetExceeded("broke"), 402, "RESOURCE_EXHAUSTED"),
        (RouterError("where?"), 404, "NOT_FOUND"),
        (RequirementError("cannot"), 412, "FAILED_PRECONDITION"),
        (RateLimited("slow", retry_after=1.5), 429, "RESOURCE_EXHAUSTED"),
        (ProviderError("boom", kind=ErrorKind.SERVER), 502, "INTERNAL"),
        (ProviderError("busy", kind=ErrorKind.OVERLOADED), 503, "UNAVAILABLE"),
        (ProviderError("late", kind=ErrorKind.TIMEOUT), 504, "DEADLINE_EXCEEDED"),
    ],
)
def test_errors_have_the_vendors_shape(given, code, word):
    told = json.loads(DIALECT.encode_error(given, "req_1"))["error"]
    assert (told["code"], told["status"], told["message"]) == (code, word, given.message)
    info = told["details"][0]
    assert info["@type"] == f"{TYPE}ErrorInfo"
    assert info["reason"] == given.code
    assert info["metadata"] == {"raised_by": given.raised_by, "request_id": "req_1"}
    assert DIALECT.decode_error(code, {}, DIALECT.encode_error(given, "req_1")).retry_after == given.retry_after


def test_a_place_in_the_request_is_told_as_a_violation():
    details = json.loads(DIALECT.encode_error(InvalidRequest("bad", param="contents[0]"), "r"))["error"]["details"]
    assert details[1]["fieldViolations"] == [{"field": "contents[0]", "description": "bad"}]


@pytest.mark.parametrize("kind", [ErrorKind.AUTH, ErrorKind.PERMISSION, ErrorKind.QUOTA, ErrorKind.UNKNOWN])
def test_what_a_provider_says_of_our_credentials_is_not_passed_on(kind):
    body = DIALECT.encode_error(ProviderError("key sk-123 is over its limit", kind=kind, param="x"), "r")
    assert b"sk-123" not in body


def test_an_error_in_a_stream_is_a_frame_that_sdks_recognise():
    frame = DIALECT.error_frame(RateLimited("slow"), "r")
    assert frame.startswith(b'data: {"error":{"code":429')
    assert frame.endswith(b"\n\n")
