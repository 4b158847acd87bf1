"""Overload: who is refused, in what order, how, and that the process finds back."""

import asyncio
import contextlib
import itertools
import random
import socket
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given, strategies

from execution_platform.config.values import Limits
from execution_platform.gateway.admission import Admission, Priority
from execution_platform.gateway.errors import Overloaded
from execution_platform.gateway.lag import LagSampler
from execution_platform.testing import Cut, FakeUpstream, Gate, Script, Stall, Text
from execution_platform.transport.http import HttpTransport
from gateway.watching import Log, metrics, streaming, total
from loops import until
from serving import MODELS, Served, chat_body, serving, three_vendors

CLIENTS = ["openai_chat", "anthropic", "gemini", "native"]


def admission(**limits: Any) -> Admission:
    return Admission(Limits(**limits), random.Random(1))


# The gate itself


def test_batch_is_refused_before_chat_and_chat_before_management() -> None:
    """R18, B10."""
    gate = admission(in_flight=10)
    refused_at = {}
    for under_way in range(200):
        gate.in_flight = under_way
        for priority in Priority:
            if gate.is_full(priority):
                refused_at.setdefault(priority, under_way)
    assert refused_at == {Priority.BATCH: 8, Priority.CHAT: 10, Priority.ADMIN: 74}


def test_a_late_loop_shrinks_what_is_admitted_to_what_is_under_way_and_below() -> None:
    gate = admission(in_flight=1000, lag_seconds=0.02)
    gate.in_flight = 500
    for _ in range(9):
        gate.note_lag(0.5, 0.5)
    assert gate.allowed == 1000
    gate.note_lag(0.5, 0.5)
    assert gate.allowed == 100
    assert gate.is_full(Priority.CHAT)
    assert not gate.is_full(Priority.ADMIN)
    for _ in range(100):
        gate.note_lag(1.0, 1.0)
    assert gate.allowed == 64, "as many as a team has are not the cause of a late loop"


@pytest.mark.parametrize(("late", "allowed"), [(0.031, 320), (0.06, 200), (0.1, 120), (30.0, 80)])
def test_the_allowed_number_shrinks_as_far_as_the_loop_is_late(late: float, allowed: int) -> None:
    """R18."""
    gate = admission(in_flight=2000, lag_seconds=0.03)
    gate.in_flight = 400
    for _ in range(10):
        gate.note_lag(late, late)
    assert gate.allowed == allowed


def test_a_loop_that_others_keep_waiting_sheds_nothing() -> None:
    gate = admission(in_flight=1000, lag_seconds=0.03)
    gate.in_flight = 900
    for _ in range(100):
        gate.note_lag(0.5, 0.005)
    assert gate.allowed == 1000
    for _ in range(10):
        gate.note_lag(0.5, 0.05)
    assert gate.allowed == 180


def test_what_waits_after_a_standstill_of_the_machine_is_no_overload() -> None:
    """R20: it is dealt with within a quarter of a second."""
    gate = admission(in_flight=1000)
    gate.in_flight = 500
    for _ in range(50):
        gate.note_lag(0.5, 0.5)
        for _ in range(8):
            gate.note_lag(0.15, 0.03)
        gate.note_lag(0.0, 0.0)
    assert gate.allowed == 1000


def test_a_process_that_keeps_time_again_admits_all_within_five_seconds() -> None:
    """R18."""
    gate = admission(in_flight=2000)
    for _ in range(200):
        gate.note_lag(1.0, 1.0)
    ticks = 0
    while gate.allowed < 2000:
        gate.note_lag(0.0, 0.0)
        ticks += 1
    assert ticks * 0.05 <= 5


def test_the_allowed_number_grows_slowly_while_there_are_more_requests_than_it_allows() -> None:
    """R18: they would all come in at once."""
    gate = admission(in_flight=2000)
    gate.in_flight = 100
    for _ in range(10):
        gate.note_lag(1.0, 1.0)
    begun = gate.allowed
    for _ in range(20):
        gate.refusal(Priority.CHAT)
        gate.note_lag(0.0, 0.0)
    assert begun < gate.allowed < begun * 2
    for _ in range(20):
        gate.note_lag(0.0, 0.0)
    assert gate.allowed > begun * 15


def test_other_limits_hold_from_the_moment_they_are_configured() -> None:
    gate = admission(in_flight=5)
    limits = Limits(in_flight=500)
    gate.configure(limits)
    assert gate.allowed == 500
    for _ in range(10):
        gate.note_lag(1.0, 1.0)
    gate.configure(limits)
    assert gate.allowed < 500


@given(
    most=strategies.integers(1, 5000),
    steps=strategies.lists(strategies.tuples(strategies.floats(0, 2), strategies.integers(0, 6000)), max_size=200),
)
def test_the_limits_keep_their_order_whatever_the_loop_does(most: int, steps: list[tuple[float, int]]) -> None:
    gate = admission(in_flight=most)
    for lag, under_way in steps:
        gate.in_flight = under_way
        gate.note_lag(lag, lag)
        batch, chat, management = gate.caps
        assert 1 <= batch <= chat <= most < management


def test_times_to_come_back_are_spread_and_batch_waits_longest() -> None:
    gate = admission(in_flight=1)
    told: dict[Priority, set[float | None]] = {
        priority: {gate.refusal(priority).retry_after for _ in range(100)} for priority in Priority
    }
    assert told[Priority.CHAT] == {1, 2, 3}
    assert min(told[Priority.BATCH]) >= 5  # type: ignore[type-var]
    gate.enter(Priority.CHAT)
    with pytest.raises(Overloaded):
        gate.check(Priority.CHAT)
    with pytest.raises(Overloaded):
        gate.enter(Priority.CHAT)
    assert gate.in_flight == 1
    gate.leave()
    gate.check(Priority.CHAT)


def test_the_sampler_notes_how_late_it_was_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """R30."""

    async def run() -> None:
        noted: list[float] = []
        worked: list[float] = []
        clock = itertools.count(0, 7)

        def note(late: float, used: float) -> None:
            noted.append(late)
            worked.append(used)

        sampler = LagSampler(note, 0.01, worked=lambda: float(next(clock)))
        sampler.start()
        await until(lambda: noted, within=5)
        loop = asyncio.get_running_loop()
        time = loop.time
        # As after a turn of 0.2 s.
        monkeypatch.setattr(loop, "time", lambda: time() + 0.2)
        await until(lambda: max(noted) >= 0.15, within=5)
        sampler.stop()
        sampler.stop()
        count = len(noted)
        # A timer that is set later and due later than the sampler's would be.
        over = asyncio.Event()
        loop.call_later(0.02, over.set)
        await over.wait()
        assert len(noted) == count
        assert set(worked) == {7.0}

    asyncio.run(run())


# On the wire


class Full:
    """A gateway whose places are all taken by requests that wait for `gate`."""

    def __init__(self, gateway: Served, upstream: FakeUpstream, gate: Gate) -> None:
        self.gateway = gateway
        self.upstream = upstream
        self.gate = gate


@contextlib.asynccontextmanager
async def full(folder: Path, places: int = 2, *, stream: bool = False, **limits: int) -> Any:
    async with FakeUpstream() as upstream:
        config = three_vendors(upstream, limits={"in_flight": places, **limits})
        async with serving(folder, config) as gateway:
            gate = upstream.gate("full")
            upstream.script(*[Script(Text("one two"), faults=[Stall(gate=gate)])] * places, once=True)
            path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"], stream=stream)
            taken = [asyncio.create_task(gateway.post(path, body)) for _ in range(places)]
            await upstream.wait_until(lambda meter: len(meter) >= places)
            try:
                yield Full(gateway, upstream, gate)
            finally:
                gate.release()
                assert [(await task).status for task in taken] == [200] * places


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_full_process_refuses_in_the_callers_dialect_and_reads_no_body(
    client: str, stream: bool, tmp_path: Path
) -> None:
    """R18: 503, or 529 where the vendor has it, with `retry-after`."""

    async def run() -> None:
        async with full(tmp_path) as held:
            path, body = chat_body(client, "hi", MODELS.get(client, MODELS["openai_chat"]), stream=stream)
            for sent in (body, "no JSON object at all"):
                got = await held.gateway.post(path, sent, x_request_id="mine-1")
                assert got.status == (529 if client == "anthropic" else 503), got.body
                assert got.header("retry-after") in {"1", "2", "3"}
                assert got.header("x-request-id") == "mine-1"
                assert got.header("x-ep-error") == "overloaded"
                error = got.json()["error"]
                assert "limit" in error["message"]
                if client == "anthropic":
                    assert error["type"] == "overloaded_error"
            assert len(held.upstream.meter) == 2
            found = await metrics(held.gateway)
            assert total(found, "ep_requests_shed_total", priority="chat") == 2
            assert total(found, "ep_requests_in_flight") == 3

    asyncio.run(run())


def test_management_answers_while_chats_are_refused_and_places_come_back(tmp_path: Path) -> None:
    """R18."""

    async def run() -> None:
        async with full(tmp_path) as held:
            gateway = held.gateway
            for path in ("/health", "/health/readiness", "/v1/models", "/v1/health/providers", "/metrics"):
                assert (await gateway.get(path)).status == 200
            embed = {"model": "openai/text-embedding-3-small", "input": "a"}
            assert (await gateway.post("/v1/embeddings", embed)).status == 503
            held.gate.release()
            path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"])
            await until(lambda: not gateway.gateway.state.admission.in_flight, within=5)
            assert (await gateway.post(path, body)).status == 200

    asyncio.run(run())


def test_who_waits_in_the_kernel_is_refused_without_becoming_a_connection(tmp_path: Path) -> None:
    """R18: all that wait are looked at in one turn; what is whole is refused at once, what is management is served."""

    async def run() -> None:
        async with full(tmp_path) as held:
            host, _, port = held.gateway.url.removeprefix("http://").partition(":")
            chat = b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nx-request-id: r-7\r\ncontent-length: 2\r\n\r\n{}"
            health = b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
            # The event loop sees none of them before the last has come.
            first, *waiting = [socket.create_connection((host, int(port))) for _ in range(7)]
            first.close()
            for number, client in enumerate(waiting):
                client.sendall(health if number in {0, 3} else chat)
            _, *said = [await asyncio.to_thread(read_all, client) for client in waiting]
            served = said.pop(2)
            assert served.startswith(b"HTTP/1.1 200 OK")
            for answer in said:
                head, _, body = answer.partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 529 Overloaded\r\n")
                assert b"\r\nretry-after: " in head
                assert b"\r\nx-request-id: r-7\r\n" in head
                assert head.endswith(b"\r\nconnection: close")
                assert b'"overloaded_error"' in body
            assert total(await metrics(held.gateway), "ep_requests_shed_total", priority="chat") == 4

    uvloop.run(run())


def read_all(client: socket.socket) -> bytes:
    """All until the other end closes."""
    client.settimeout(5)
    with client:
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_answers_that_wait_for_their_turn_are_a_delay_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R18: turns are short however much is under way, so a late turn alone would tell nothing."""

    async def run() -> None:
        limits = {"lag_seconds": 0.03}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, limits=limits)) as gateway:
            state = gateway.gateway.state
            allowed = state.admission.allowed
            state.lag.stop()
            monkeypatch.setattr(HttpTransport, "waited", 0.5)
            for _ in range(10):
                state.note_lag(0.0, 1.0)
            assert state.admission.allowed < allowed

    asyncio.run(run())


def test_streams_have_a_limit_of_their_own(tmp_path: Path) -> None:
    async def run() -> None:
        async with full(tmp_path, 2, stream=True, streams=2, in_flight=10) as held:
            path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"], stream=True)
            assert (await held.gateway.post(path, body)).status == 503
            path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"])
            assert (await held.gateway.post(path, body)).status == 200
            assert held.gateway.gateway.state.admission.streams == 2
        await until(lambda: not held.gateway.gateway.state.admission.streams, within=5)

    asyncio.run(run())


def test_a_refused_connection_serves_the_next_request_and_the_refusals_are_logged(tmp_path: Path) -> None:
    async def run() -> None:
        async with full(tmp_path) as held:
            log = Log(held.gateway, tmp_path)
            host, _, port = held.gateway.url.removeprefix("http://").partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 300000\r\n\r\n"
            writer.write(head)
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 503 ")
            writer.write(b" " * 300_000 + b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            assert b"HTTP/1.1 200 OK" in await reader.read()
            writer.close()
            await until(lambda: log.events("shedding"), within=5)
            assert log.events("shedding")[0]["refused"] == 1

    asyncio.run(run())


def test_nothing_counts_as_under_way_after_all_has_ended(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"], stream=True)
            upstream.script(Script(Text("one two"), faults=[Stall(after=1, of="content")]))
            async with streaming(gateway, path, body) as stream:
                await stream.until(b"one")
            upstream.script(Script(Text("one two"), faults=[Cut(after=1, of="content")]))
            await gateway.post(path, body)
            await gateway.post(path, data=b"{")
            await gateway.get("/nowhere")
            gate = gateway.gateway.state.admission
            await until(lambda: not (gate.in_flight or gate.streams), within=5)
            assert (gate.in_flight, gate.streams) == (0, 0)

    asyncio.run(run())


def test_bodies_on_their_way_take_nobodys_place(tmp_path: Path) -> None:
    """R14: otherwise so many slow uploads would lock everybody out."""

    async def run() -> None:
        limits = {"in_flight": 2}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, limits=limits)) as gateway:
            host, _, port = gateway.url.removeprefix("http://").partition(":")
            slow = []
            for _ in range(10):
                _, writer = await asyncio.open_connection(host, int(port))
                head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3000\r\n\r\n "
                writer.write(head)
                await writer.drain()
                slow.append(writer)
            for path in ("/health", "/v1/models"):
                assert (await gateway.get(path)).status == 200
            path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"])
            assert (await gateway.post(path, body)).status == 200
            assert gateway.gateway.state.admission.in_flight == 0
            for writer in slow:
                writer.close()

    asyncio.run(run())
