"""R2, T4: the end of a process. Times are scaled down; the proxies in front of two replicas are real."""

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from execution_platform.config.values import DrainLimits
from execution_platform.gateway.drain import Drain
from execution_platform.testing import Drip, FakeUpstream, Script, Stall, Text
from gateway.processes import Process, balancer, process
from gateway.watching import series, total
from serving import MODELS, chat_body, three_vendors

CLIENTS = ["openai_chat", "anthropic", "gemini", "native"]
ERRORS = {
    "openai_chat": b'"code":"shutting_down"',
    "anthropic": b"event: error",
    "gemini": b'"status":"UNAVAILABLE"',
    "native": b"event: error",
}


class Clock:
    """A clock that stands until it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_drain_goes_through_its_stages_by_the_clock() -> None:
    clock = Clock()
    drain = Drain(clock)
    assert (drain.begun, drain.accepts, drain.puts_down, drain.is_over) == (False, True, False, False)
    drain.signal(DrainLimits())
    assert (drain.begun, drain.accepts, drain.puts_down, drain.is_over) == (True, True, False, False)
    for seconds, accepts, puts_down, is_over in (
        (4.9, True, False, False),
        (5.0, False, False, False),
        (120.0, False, True, False),
        (299.9, False, True, False),
        (300.0, False, True, True),
    ):
        clock.now = 100.0 + seconds
        assert (drain.accepts, drain.puts_down, drain.is_over) == (accepts, puts_down, is_over)


def test_a_second_signal_leaves_five_seconds_and_accepts_nobody() -> None:
    clock = Clock()
    drain = Drain(clock)
    drain.signal(DrainLimits())
    clock.now += 1
    drain.signal(DrainLimits())
    assert not drain.accepts
    clock.now += 4.9
    assert not drain.is_over
    clock.now += 0.1
    assert drain.is_over
    drain = Drain(clock)
    drain.signal(DrainLimits(hard_seconds=10, soft_seconds=8))
    clock.now += 9
    drain.signal(DrainLimits())
    clock.now += 1
    assert drain.is_over


@asynccontextmanager
async def drained(
    folder: Path, *options: str, drain: dict[str, float] | None = None
) -> AsyncIterator[tuple[FakeUpstream, Process, aiohttp.ClientSession]]:
    limits = {"accept_seconds": 1.0, "soft_seconds": 20, "hard_seconds": 30, "fast_seconds": 0.5, **(drain or {})}
    async with FakeUpstream() as upstream, aiohttp.ClientSession() as http:
        async with process(folder, three_vendors(upstream, drain=limits), *options) as gateway:
            yield upstream, gateway, http


async def stream(http: aiohttp.ClientSession, url: str, client: str = "openai_chat") -> bytes:
    path, body = chat_body(client, "hi", MODELS.get(client, MODELS["openai_chat"]), stream=True)
    async with http.post(url + path, json=body) as response:
        assert response.status == 200, await response.read()
        return await response.read()


def events(gateway: Process, name: str = "request") -> list[dict[str, Any]]:
    return [line for line in map(json.loads, gateway.log.read_text().splitlines()) if line["event"] == name]


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_after_a_signal_the_process_is_not_ready_accepts_for_a_while_and_ends_no_stream(
    sig: signal.Signals, tmp_path: Path
) -> None:
    async def run() -> None:
        async with drained(tmp_path) as (upstream, gateway, http):
            gate = upstream.gate("long")
            upstream.script(Script(Text("one two"), faults=[Stall(after=1, of="content", gate=gate)]), once=True)
            running = asyncio.create_task(stream(http, gateway.url))
            async with asyncio.timeout(10):
                while len(upstream.meter) < 1:
                    await asyncio.sleep(0.01)
            begun = time.monotonic()
            gateway.send(sig)
            async with asyncio.timeout(1):
                while await gateway.readiness() != 503:
                    await asyncio.sleep(0.01)
            assert b"[DONE]" in await stream(http, gateway.url)
            async with asyncio.timeout(10):
                while await gateway.readiness() != 0:
                    await asyncio.sleep(0.02)
            assert time.monotonic() - begun >= 1.0
            assert not running.done()
            gate.release()
            whole = await running
            assert b"two" in whole
            assert b"[DONE]" in whole
            assert await gateway.ended() == 0
            assert [line["status"] for line in events(gateway) if "/chat" in line["path"]] == [200, 200]
            assert len(events(gateway, "stopped")) == 1

    asyncio.run(run())


@pytest.mark.parametrize("client", CLIENTS)
def test_what_still_runs_at_the_hard_limit_ends_with_the_dialects_error(client: str, tmp_path: Path) -> None:
    async def run() -> None:
        limits = {"accept_seconds": 0, "soft_seconds": 0.4, "hard_seconds": 0.8}
        async with drained(tmp_path, drain=limits) as (upstream, gateway, http):
            upstream.script(Script(Text("one two"), faults=[Stall(after=1, of="content")]))
            running = asyncio.create_task(stream(http, gateway.url, client))
            async with asyncio.timeout(10):
                while len(upstream.meter) < 1 or upstream.meter[0].events_sent < 1:
                    await asyncio.sleep(0.01)
            gateway.send(signal.SIGTERM)
            whole = await running
            assert b"one" in whole
            assert ERRORS[client] in whole, whole
            assert await gateway.ended() == 0
            assert upstream.meter[0].end == "client"
            (line,) = events(gateway)
            assert (line["status"], line["error"]) == (200, "shutting_down")

    asyncio.run(run())


def test_a_whole_answer_that_is_not_there_at_the_hard_limit_is_503(tmp_path: Path) -> None:
    async def run() -> None:
        limits = {"accept_seconds": 0, "soft_seconds": 0.4, "hard_seconds": 0.8}
        async with drained(tmp_path, drain=limits) as (upstream, gateway, http):
            upstream.script(Script(Text("one two"), faults=[Stall()]))
            for client, status in (("openai_chat", 503), ("anthropic", 529)):
                path, body = chat_body(client, "hi", MODELS[client])
                running = asyncio.create_task(http.post(gateway.url + path, json=body).__aenter__())
                async with asyncio.timeout(10):
                    while not len(upstream.meter):
                        await asyncio.sleep(0.01)
                gateway.send(signal.SIGTERM)
                response = await running
                assert response.status == status
                assert response.headers["retry-after"] == "1"
                assert await gateway.ended() == 0
                upstream.meter.reset()
                await gateway.start()

    asyncio.run(run())


def test_a_second_signal_ends_within_its_seconds(tmp_path: Path) -> None:
    async def run() -> None:
        async with drained(tmp_path, drain={"accept_seconds": 20}) as (upstream, gateway, http):
            upstream.script(Script(Text("one two"), faults=[Stall(after=1, of="content")]))
            running = asyncio.create_task(stream(http, gateway.url))
            async with asyncio.timeout(10):
                while len(upstream.meter) < 1 or upstream.meter[0].events_sent < 1:
                    await asyncio.sleep(0.01)
            gateway.send(signal.SIGTERM)
            async with asyncio.timeout(5):
                while await gateway.readiness() != 503:
                    await asyncio.sleep(0.01)
            gateway.send(signal.SIGTERM)
            assert await gateway.ended(10) == 0
            assert b"shutting_down" in await running

    asyncio.run(run())


def test_no_stream_is_dropped_while_many_run(tmp_path: Path) -> None:
    """R2, scaled 1:10: streams of 0.05 to 2.5 seconds, begun before and during the time of acceptance."""

    async def run() -> None:
        async with drained(tmp_path) as (upstream, gateway, http):
            upstream.script(
                *[Script(Text("a b c d e f"), faults=[Drip(size=100, pause=0.005 + 0.012 * n)]) for n in range(10)]
            )
            running = [asyncio.create_task(stream(http, gateway.url)) for _ in range(60)]
            async with asyncio.timeout(20):
                while len(upstream.meter) < 60:
                    await asyncio.sleep(0.01)
            gateway.send(signal.SIGTERM)
            running += [asyncio.create_task(stream(http, gateway.url)) for _ in range(20)]
            answers = await asyncio.gather(*running)
            assert all(b"[DONE]" in answer and b"error" not in answer for answer in answers)
            assert await gateway.ended() == 0

    asyncio.run(run())


# Several processes


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").exists()


def children(gateway: Process) -> list[int]:
    assert gateway.process is not None
    found = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children").read_text().split()
    names = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in found}
    return [pid for pid, name in names.items() if b"spawn_main" in name]


def test_all_workers_serve_a_dead_one_is_replaced_and_all_drain(tmp_path: Path) -> None:
    async def run() -> None:
        async with drained(tmp_path, "--workers", "2") as (upstream, gateway, http):
            async with asyncio.timeout(60):
                while len({line["worker"] for line in events(gateway, "started")}) < 2:
                    await asyncio.sleep(0.05)
            workers = children(gateway)
            assert len(workers) == 2
            os.kill(workers[0], signal.SIGKILL)
            async with asyncio.timeout(60):
                while len(events(gateway, "started")) < 3:
                    await asyncio.sleep(0.05)
            for _ in range(3):
                assert b"[DONE]" in await stream(http, gateway.url)
            async with http.get(f"{gateway.url}/metrics") as response:
                page = await response.read()
            assert page.count(b"# HELP ep_requests_in_flight ") == 1
            for worker in (b"0", b"1"):
                assert b'ep_requests_in_flight{worker="%s"}' % worker in page
            assert total(series(page), "ep_requests_total", outcome="ok") == 3
            gate = upstream.gate("long")
            upstream.script(Script(Text("one two"), faults=[Stall(after=1, of="content", gate=gate)]))
            upstream.meter.reset()
            running = [asyncio.create_task(stream(http, gateway.url)) for _ in range(20)]
            async with asyncio.timeout(20):
                while len(upstream.meter) < 20:
                    await asyncio.sleep(0.01)
            gateway.send(signal.SIGTERM)
            async with asyncio.timeout(10):
                while await gateway.readiness() != 0:
                    await asyncio.sleep(0.02)
            gate.release()
            assert all(b"[DONE]" in answer for answer in await asyncio.gather(*running))
            assert await gateway.ended() == 0
            assert len(events(gateway, "stopped")) == 2

    asyncio.run(run())


def test_workers_end_when_their_master_is_killed(tmp_path: Path) -> None:
    async def run() -> None:
        async with drained(tmp_path, "--workers", "2", drain={"accept_seconds": 0}) as (_, gateway, _http):
            async with asyncio.timeout(60):
                while len(events(gateway, "started")) < 2:
                    await asyncio.sleep(0.05)
            workers = children(gateway)
            assert len(workers) == 2
            gateway.kill()
            async with asyncio.timeout(20):
                while any(map(is_alive, workers)):
                    await asyncio.sleep(0.05)
            assert len(events(gateway, "stopped")) == 2

    asyncio.run(run())


# Real proxies in front


@pytest.mark.parametrize("kind", ["haproxy", "nginx"])
def test_a_rolling_restart_behind_a_proxy_drops_no_stream(kind: str, tmp_path: Path) -> None:
    async def run() -> None:
        limits = {"accept_seconds": 1.5, "soft_seconds": 20, "hard_seconds": 30}
        async with FakeUpstream() as upstream, aiohttp.ClientSession() as http, contextlib.AsyncExitStack() as stack:
            upstream.script(Script(Text("a b c d e f"), faults=[Drip(size=150, pause=0.05)]))
            config = three_vendors(upstream, drain=limits)
            replicas = [await stack.enter_async_context(process(tmp_path, config)) for _ in range(2)]
            address = await stack.enter_async_context(balancer(kind, tmp_path, replicas))
            over = asyncio.Event()

            async def load() -> list[bytes]:
                answers = []
                while not over.is_set():
                    answers.append(await stream(http, address))
                return answers

            loads = [asyncio.create_task(load()) for _ in range(12)]
            for replica in replicas:
                served = len(upstream.meter)
                async with asyncio.timeout(20):
                    while len(upstream.meter) < served + 20:
                        await asyncio.sleep(0.02)
                replica.send(signal.SIGTERM)
                assert await replica.ended() == 0
                await replica.start()
                await asyncio.sleep(0.5)  # the proxy's health check finds it again
            over.set()
            answers = [answer for done in await asyncio.gather(*loads) for answer in done]
            assert len(answers) > 40
            assert all(b"[DONE]" in answer and b"error" not in answer for answer in answers)

    asyncio.run(run())
