"""The head and body of an answer: byte for byte what uvicorn writes, and the same is refused."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from execution_platform.gateway.cycle import Cycle


class Written:
    """A transport that remembers."""

    def __init__(self) -> None:
        self.data = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.data += data

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.data += b"".join(pieces)

    def close(self) -> None:
        self.closed = True


def answered(kind: type[RequestResponseCycle], messages: list[dict[str, Any]], method: str, *, alive: bool) -> object:
    """What is written, and whether the connection is closed and the answer complete; or the error's type."""

    async def run() -> object:
        written, log = Written(), logging.getLogger("none")
        transport = cast("asyncio.Transport", written)
        done: list[bool] = []
        cycle = kind(
            cast("Any", {"method": method, "http_version": "1.1"}),
            transport,
            FlowControl(transport),
            log,
            log,
            False,
            [(b"date", b"today")],
            asyncio.Event(),
            False,
            alive,
            lambda: done.append(True),
        )
        for message in messages:
            try:
                await cycle.send(cast("Any", message))
            except RuntimeError:
                return written.data, "refused"
        return written.data, written.closed, cycle.response_complete, cycle.keep_alive, done

    return asyncio.run(run())


NAMES = st.sampled_from([b"x-a", b"Content-Type", b"content-length", b"transfer-encoding", b"connection", b"X-B"])
VALUES = st.sampled_from(
    [b"", b"1", b"3", b"chunked", b"Chunked", b"close", b"keep-alive, Close", b"a\tb", b"caf\xc3\xa9", b"plain text"]
)
ODD = st.sampled_from([b"a\rb", b"a\nb", b"\r\nx: y", b"\0", b"\x7f", b"ok"])


@given(
    st.lists(st.tuples(NAMES, VALUES), max_size=5),
    st.sampled_from([200, 204, 304, 500]),
    st.lists(st.sampled_from([b"", b"a", b"abc"]), max_size=3),
    st.sampled_from(["GET", "HEAD", "POST"]),
    st.booleans(),
)
def test_every_answer_is_written_as_uvicorn_writes_it(
    headers: list[tuple[bytes, bytes]], status: int, bodies: list[bytes], method: str, alive: bool
) -> None:
    headers = [pair for pair in headers if pair[0] != b"content-length" or pair[1].isdigit()]
    messages: list[dict[str, Any]] = [{"type": "http.response.start", "status": status, "headers": headers}]
    messages += [{"type": "http.response.body", "body": body, "more_body": True} for body in bodies]
    messages.append({"type": "http.response.body"})
    expected = answered(RequestResponseCycle, messages, method, alive=alive)
    assert answered(Cycle, messages, method, alive=alive) == expected


@given(st.sampled_from([b"x-a", b"x a", b"x:a", b"x\r\n", b"", b"x\x80"]), ODD)
def test_what_could_be_read_as_another_header_is_refused_as_uvicorn_refuses_it(name: bytes, value: bytes) -> None:
    messages = [{"type": "http.response.start", "status": 200, "headers": [(name, value)]}]
    expected = answered(RequestResponseCycle, messages, "GET", alive=True)
    assert answered(Cycle, messages, "GET", alive=True) == expected


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "http.response.body"}],
        [{"type": "http.response.start", "status": 200}, {"type": "http.response.start", "status": 200}],
        [
            {"type": "http.response.start", "status": 200},
            {"type": "http.response.body"},
            {"type": "http.response.body"},
        ],
    ],
)
def test_a_message_out_of_place_is_an_error(messages: list[dict[str, Any]]) -> None:
    assert answered(Cycle, messages, "GET", alive=True)[-1] == "refused"  # type: ignore[index]
