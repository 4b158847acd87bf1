"""Answers that are given without a handler."""

from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform import _json
from execution_platform.config.settings import Settings
from execution_platform.exceptions import ExecutionPlatformError, InvalidRequest
from execution_platform.gateway.app import build
from execution_platform.gateway.door import Door
from execution_platform.gateway.errors import Overloaded

PATHS = {"/v1/chat/completions": 503, "/v1/messages": 529, "/v1beta/models/x:generateContent": 503, "/v1/complete": 503}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Door:
    folder: Path = tmp_path_factory.mktemp("door")
    gateway = build(Settings({"EP_WORKSPACE_ROOT": str(folder)}))
    return Door(gateway.state, gateway.routes)


def told(body: bytes) -> dict[str, Any]:
    return cast("dict[str, Any]", _json.loads(body))


def taken_apart(answer: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    return int(first.split()[1]), {name: value for name, _, value in (line.partition(b": ") for line in lines)}, body


@given(st.from_regex(r"[A-Za-z0-9._:/+=-]{1,128}", fullmatch=True), st.sampled_from(sorted(PATHS)), st.booleans())
def test_every_refusal_is_told_to_its_own_request(door: Door, request_id: str, path: str, close: bool) -> None:
    for seconds in (1, 3):
        error = Overloaded("too much", retry_after=seconds)
        answer = door.answer(error, path, [(b"x-request-id", request_id.encode())], close=close)
        status, headers, body = taken_apart(answer)
        assert status == (PATHS[path])
        assert headers[b"x-request-id"] == request_id.encode()
        assert headers[b"retry-after"] == b"%d" % seconds
        assert int(headers[b"content-length"]) == len(body)
        assert headers.get(b"connection") == (b"close" if close else None)
        assert told(body)["error"]["message"] == "too much"
        if path == "/v1/messages":
            assert told(body)["request_id"] == request_id


def test_requests_without_an_id_get_one_each(door: Door) -> None:
    answers = [door.answer(door.full(), "/v1/messages", []) for _ in range(20)]
    assert len({taken_apart(answer)[1][b"x-request-id"] for answer in answers}) == 20


@pytest.mark.parametrize("error", [InvalidRequest("one"), InvalidRequest("two"), Overloaded("one", retry_after=1)])
def test_one_error_is_not_told_for_another(door: Door, error: ExecutionPlatformError) -> None:
    body = told(taken_apart(door.answer(error, "/v1/messages", []))[2])
    assert body["error"]["message"] == error.message
    assert body["error"]["type"] == ("overloaded_error" if isinstance(error, Overloaded) else "invalid_request_error")


def test_answers_that_are_kept_have_a_bound(door: Door) -> None:
    for number in range(1000):
        door.answer(InvalidRequest(f"message {number}"), "/v1/messages", [])
    assert taken_apart(door.answer(door.full(), "/v1/messages", []))[0] == 529
    assert len(door.forms) <= 256
