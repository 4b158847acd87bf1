"""One look at what a client has sent."""

import pytest

from execution_platform.gateway.glance import Glance, glance

BODY = b'{"model":"m"}'
POST = b"POST /v1/messages?beta=true HTTP/1.1\r\nHost: x\r\nX-Request-Id: r-1\r\nContent-Length: 13\r\n\r\n" + BODY
CHUNKED = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n" + BODY + b"\r\n0\r\n\r\n"


def test_a_whole_request_tells_who_asks_for_what() -> None:
    headers = [(b"host", b"x"), (b"x-request-id", b"r-1"), (b"content-length", b"13")]
    assert glance(POST) == Glance("POST", "/v1/messages", b"beta=true", headers)
    assert glance(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n") == Glance("GET", "/health", b"", [(b"host", b"x")])


@pytest.mark.parametrize("request_", [POST, CHUNKED])
def test_nothing_is_told_of_a_request_that_is_not_there_to_its_end(request_: bytes) -> None:
    assert glance(request_) is not None
    assert all(glance(request_[:end]) is None for end in range(len(request_)))


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01 a TLS hello",
        b"POST /v1/messages HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_no_plain_request_is_left_to_the_usual_way(data: bytes) -> None:
    assert glance(data) is None
