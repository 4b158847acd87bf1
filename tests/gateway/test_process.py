"""The process and the system around it: descriptors, core dumps, a log nobody reads, browsers, the page of the API."""

import asyncio
import contextlib
import html.parser
import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from execution_platform.gateway.door import SURPLUS, most_connections
from execution_platform.observability.logging import LineLog
from execution_platform.testing import FakeUpstream
from gateway.processes import SOURCE, command, process
from gateway.watching import metrics, total
from serving import MODELS, chat_body, serving, three_vendors

# Descriptors


def few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_process_out_of_descriptors_refuses_logs_and_recovers_without_spinning(tmp_path: Path) -> None:
    """R29."""

    async def run() -> None:
        async with FakeUpstream() as upstream, contextlib.AsyncExitStack() as stack:
            async with process(tmp_path, three_vendors(upstream), prepare=few_descriptors) as gateway:
                assert gateway.process is not None
                pid = gateway.process.pid
                path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"])
                http = await stack.enter_async_context(aiohttp.ClientSession())
                async with http.post(gateway.url + path, json=body) as response:
                    assert response.status == 200
                idle = contextlib.ExitStack()
                stack.enter_context(idle)
                for _ in range(400):
                    with contextlib.suppress(OSError):
                        idle.enter_context(socket.create_connection(("127.0.0.1", gateway.port), 1))
                before = cpu_seconds(pid)
                await asyncio.sleep(1)
                assert cpu_seconds(pid) - before < 0.5
                async with http.post(gateway.url + path, json=body) as response:
                    assert response.status == 200, "an open connection is served"
                async with aiohttp.ClientSession() as newcomer:
                    try:
                        async with newcomer.get(f"{gateway.url}/health") as response:
                            assert response.status == 503
                    except aiohttp.ClientConnectionError:
                        pass
                idle.close()
                async with asyncio.timeout(20):
                    while await gateway.readiness() != 200:
                        await asyncio.sleep(0.05)
                async with aiohttp.ClientSession() as newcomer, newcomer.get(f"{gateway.url}/metrics") as response:
                    assert b'ep_connections_refused_total{reason="process_limit"}' in await response.read()
                gateway.send(signal.SIGTERM)
                assert await gateway.ended(40) == 0
                assert gateway.log.read_text().count('"path":"/v1/chat/completions"') == 2

    asyncio.run(run())


@pytest.mark.parametrize(("soft", "most"), [(256, 72), (100, 8), (65536, 32712), (resource.RLIM_INFINITY, 1_000_000)])
def test_half_of_the_descriptors_are_for_clients(soft: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
    assert most_connections() == most
    assert 2 * most + SURPLUS < soft or soft in {100, resource.RLIM_INFINITY}


# Core dumps


def test_a_serving_process_leaves_no_core_and_lets_nobody_trace_it(tmp_path: Path) -> None:
    """S7."""
    code = (
        "import ctypes, os, resource, signal; from execution_platform.gateway.process import harden; harden();"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3), flush=True);"
        "os.kill(os.getpid(), signal.SIGSEGV)"
    )
    environ = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, cwd=tmp_path, capture_output=True, check=False)
    assert done.stdout.split() == [b"(0,", b"0)", b"0"], done.stderr
    assert done.returncode == -signal.SIGSEGV
    assert list(tmp_path.iterdir()) == []


# The log


def test_requests_go_on_while_nobody_reads_the_log(tmp_path: Path) -> None:
    """R31."""

    async def run() -> None:
        reader, writer = os.pipe()
        try:
            async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
                state = gateway.gateway.state
                state.log.close()
                state.log = LineLog(writer)
                path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"])
                state.log.write({"filler": "x" * 100_000})
                for _ in range(80):
                    assert (await gateway.post(path, body)).status == 200
                    state.log.flush()
                assert total(await metrics(gateway), "ep_log_lines_dropped") > 0
                os.set_blocking(reader, False)
                async with asyncio.timeout(10):
                    while state.log._batches.qsize():
                        with contextlib.suppress(BlockingIOError):
                            os.read(reader, 1 << 20)
                        await asyncio.sleep(0)
                assert (await gateway.post(path, body)).status == 200
        finally:
            os.close(reader)
            os.close(writer)

    asyncio.run(run())


# Browsers


def test_a_browser_of_a_named_origin_asks_and_calls_and_another_gets_no_leave(tmp_path: Path) -> None:
    """E8: what a browser sends before and with a request from a page of another origin."""

    async def run() -> None:
        environ = {"CORS_ALLOWED_ORIGINS": "https://app.example", "EP_MASTER_KEY": "sk-ep-master-9876543210"}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), environ) as gateway:
            url = f"{gateway.url}/v1/chat/completions"
            _, body = chat_body("openai_chat", "hi", MODELS["openai_chat"])
            key = {"authorization": "Bearer sk-ep-master-9876543210"}
            for origin, allowed in (("https://app.example", True), ("https://evil.example", False), ("null", False)):
                asks = {
                    "origin": origin,
                    "access-control-request-method": "POST",
                    "access-control-request-headers": "authorization,content-type",
                    "sec-fetch-mode": "cors",
                    "sec-fetch-site": "cross-site",
                }
                async with gateway.http.options(url, headers=asks) as response:
                    assert (response.status == 200) == allowed
                    leave = response.headers.get("access-control-allow-origin")
                    assert leave == (origin if allowed else None)
                    assert "access-control-allow-credentials" not in response.headers
                    if allowed:
                        assert "POST" in response.headers["access-control-allow-methods"]
                        assert "authorization" in response.headers["access-control-allow-headers"]
                async with gateway.http.post(url, json=body, headers={"origin": origin, **key}) as response:
                    assert response.headers.get("access-control-allow-origin") == (origin if allowed else None)
                cookie = {"origin": origin, "cookie": "session=sk-ep-master-9876543210"}
                async with gateway.http.post(url, json=body, headers=cookie) as response:
                    assert response.status == 401

    asyncio.run(run())


class Loads(html.parser.HTMLParser):
    """Everything a page makes a browser fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name for name, _ in attrs}
        if tag in {"script", "link", "img", "iframe", "object", "embed", "base", "form"} or "src" in names:
            self.found.append(tag)
        self.found += [name for name in names if name.startswith("on") or name == "style"]


def test_the_page_of_the_api_loads_nothing_and_names_every_path(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path, {}) as gateway:
            got = await gateway.get("/docs")
            assert got.status == 200
            assert (got.header("content-type") or "").startswith("text/html")
            policy = got.header("content-security-policy") or ""
            assert policy.startswith("default-src 'none'")
            assert "unsafe" not in policy
            loads = Loads()
            loads.feed(got.body.decode())
            assert loads.found == []
            assert b"http://" not in got.body.replace(b"http://localhost", b"")
            assert b"https://" not in got.body
            document: dict[str, Any] = (await gateway.get("/openapi.json")).json()
            for path in document["paths"]:
                assert path.encode() in got.body
            style = got.body.partition(b"<style>")[2].partition(b"</style>")[0]
            from base64 import b64encode
            from hashlib import sha256

            assert b64encode(sha256(style).digest()).decode() in policy

    asyncio.run(run())


# slowhttptest


@pytest.mark.parametrize("mode", [["-H"], ["-B", "-s", "4096", "-t", "POST"], ["-X"]], ids=["head", "body", "read"])
def test_honest_requests_are_served_while_slowhttptest_holds_hundreds_of_sockets(
    mode: list[str], tmp_path: Path
) -> None:
    """R14, scaled down: 300 sockets that send or read a little every second."""

    async def run() -> None:
        limits = {"head_seconds": 2, "body_seconds": 2, "write_seconds": 2, "in_flight": 100}
        async with FakeUpstream() as upstream:
            async with (
                process(tmp_path, three_vendors(upstream, limits=limits)) as gateway,
                aiohttp.ClientSession() as http,
            ):
                path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"])
                amount = ["-c", "300", "-r", "300", "-i", "1", "-l", "4", "-p", "3"]
                attack = await asyncio.create_subprocess_exec(
                    command("slowhttptest"), *amount, "-u", gateway.url + path, *mode, stdout=subprocess.DEVNULL
                )
                statuses = []
                while attack.returncode is None:
                    async with http.post(gateway.url + path, json=body) as response:
                        statuses.append(response.status)
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(attack.wait(), 0.02)
                assert set(statuses) == {200}
                assert len(statuses) > 20

    asyncio.run(run())
