"""The head and body of an answer: byte for byte what uvicorn writes, and the same is refused."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from execution_platform.gateway.cycle import Cycle
from execution_platform.gateway.http import LATE


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

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def cycled(kind: type[RequestResponseCycle], method: str, *, alive: bool, done: list[bool]) -> tuple[Any, Written]:
    """A request on a connection that remembers what is written to it."""
    written, log = Written(), logging.getLogger("none")
    transport = cast("asyncio.Transport", written)
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
    return cycle, written


def answered(kind: type[RequestResponseCycle], messages: list[dict[str, Any]], method: str, *, alive: bool) -> object:
    """What is written, and whether the connection is closed and the answer complete; or the error's type."""

    async def run() -> object:
        done: list[bool] = []
        cycle, written = cycled(kind, method, alive=alive, done=done)
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


def test_a_piece_the_client_does_not_take_is_awaited_before_the_next_is_made() -> None:
    """R15: at most one piece is held besides what the connection holds."""

    async def run() -> None:
        written, log = Written(), logging.getLogger("none")
        transport = cast("asyncio.Transport", written)
        flow = FlowControl(transport)
        cycle = Cycle(
            cast("Any", {"method": "GET", "http_version": "1.1"}),
            transport, flow, log, log, False, [], asyncio.Event(), False, True, lambda: None,
        )  # fmt: skip
        await cycle.send({"type": "http.response.start", "status": 200, "headers": []})
        flow.pause_writing()
        sending = asyncio.create_task(
            cycle.send({"type": "http.response.body", "body": b"a" * 20_000, "more_body": True})
        )
        for _ in range(20):
            await asyncio.sleep(0)
        assert not sending.done()
        assert written.data.endswith(b"\r\n4e20\r\n" + b"a" * 20_000 + b"\r\n")
        flow.resume_writing()
        await sending
        flow.pause_writing()
        # The end is no reason to wait: nothing comes behind it.
        await cycle.send({"type": "http.response.body", "body": b"end"})
        assert written.data.endswith(b"\r\n3\r\nend\r\n0\r\n\r\n")

    asyncio.run(run())


# Bodies


def arrived(cycle: Any, piece: bytes, *, more: bool) -> None:
    cycle.body += piece
    cycle.more_body = more
    if not more or len(cycle.body) > cycle.most:
        cycle.message_event.set()


def test_a_body_that_comes_in_pieces_is_received_as_one() -> None:
    async def run() -> None:
        cycle, _ = cycled(Cycle, "POST", alive=True, done=[])
        arrived(cycle, b"x" * HIGH_WATER_LIMIT + b"y", more=True)
        assert cycle.message_event.is_set()
        received = asyncio.ensure_future(cycle.receive())
        for _ in range(3):
            await asyncio.sleep(0)
            arrived(cycle, b"z", more=True)
        assert not received.done()
        arrived(cycle, b"!", more=False)
        body = b"x" * HIGH_WATER_LIMIT + b"yzzz!"
        assert await received == {"type": "http.request", "body": body, "more_body": False}

    asyncio.run(run())


def test_no_more_of_a_body_waits_than_is_read_together() -> None:
    async def run() -> None:
        cycle, _ = cycled(Cycle, "POST", alive=True, done=[])
        received = asyncio.ensure_future(cycle.receive())
        await asyncio.sleep(0)
        size = cycle.most + 1
        arrived(cycle, b"x" * size, more=True)
        assert await received == {"type": "http.request", "body": b"x" * size, "more_body": True}
        assert size <= 2 * 1024 * 1024

    asyncio.run(run())


def test_the_rest_of_a_late_body_is_not_waited_for() -> None:
    """E9: the deadline may have passed before anybody reads."""

    async def run() -> None:
        cycle, _ = cycled(Cycle, "POST", alive=True, done=[])
        arrived(cycle, b"x", more=True)
        cycle.scope[LATE] = True
        cycle.message_event.set()
        async with asyncio.timeout(5):
            assert await cycle.receive() == {"type": "http.request", "body": b"x", "more_body": True}

    asyncio.run(run())


def test_a_client_that_leaves_within_its_body_is_told_of() -> None:
    async def run() -> None:
        cycle, _ = cycled(Cycle, "POST", alive=True, done=[])
        arrived(cycle, b"x", more=True)
        received = asyncio.ensure_future(cycle.receive())
        await asyncio.sleep(0)
        cycle.disconnected = True
        cycle.message_event.set()
        assert await received == {"type": "http.disconnect"}

    asyncio.run(run())
