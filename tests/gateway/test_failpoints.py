"""The kernel's failpoints (R38): what the client and the upstream see when the gateway itself fails at each of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from child import ChildGateway
from execution_platform._failpoint import EXIT_STATUS
from execution_platform.testing import FakeUpstream, Script, Text
from failpoints import declared, passed
from serving import MODELS, chat_body, three_vendors

POINTS = sorted(name for name in declared("gateway", "runtime", "providers") if name.startswith("kernel."))
STREAM_ONLY = {"kernel.at_commit", "kernel.after_last_byte"}
BEFORE_HEAD = {"kernel.before_plan", "kernel.before_dispatch", "kernel.after_head", "kernel.at_commit"}
SAID = "one two three four"


@asynccontextmanager
async def failing(
    point: str, mode: str, log: Path | None = None
) -> AsyncIterator[tuple[FakeUpstream, ChildGateway, aiohttp.ClientSession]]:
    async with FakeUpstream() as upstream, aiohttp.ClientSession() as http:
        upstream.script(Script(Text(SAID)))
        environ = {"FAILPOINT": f"{point}:{mode}"} | ({"FAILPOINT_HITS": str(log)} if log else {})
        gateway = ChildGateway(three_vendors(upstream), environ=environ)
        try:
            await asyncio.to_thread(gateway.start)
            yield upstream, gateway, http
        finally:
            await asyncio.to_thread(gateway.__exit__)


async def ask(http: aiohttp.ClientSession, url: str, *, stream: bool) -> tuple[int, bytes]:
    path, body = chat_body("openai_chat", "hello", MODELS["openai_chat"], stream=stream)
    async with http.post(url + path, json=body) as answer:
        return answer.status, await answer.read()


@pytest.mark.parametrize("point", POINTS)
def test_a_failure_of_our_own_is_told_once_and_leaves_nothing_open(point: str, tmp_path: Path) -> None:
    async def run() -> None:
        log = tmp_path / "hits"
        async with failing(point, "exception@1", log) as (upstream, gateway, http):
            stream = point in STREAM_ONLY
            try:
                status, body = await ask(http, gateway.url, stream=stream)
            except aiohttp.ClientError:
                status, body = 0, b""
            if point in BEFORE_HEAD or not stream:
                assert status == 500
                assert b"internal_error" in body
            assert b"failpoint" not in body
            # A stream that failed before its end does not look finished, and the next request is served.
            assert b"[DONE]" not in body or point not in BEFORE_HEAD
            assert (await ask(http, gateway.url, stream=stream))[0] == 200
            await upstream.wait_until(lambda meter: meter.requests_open == 0)
            await asyncio.to_thread(gateway.end)
            assert [line["error"] for line in gateway.log("internal_error")] == [f"FailpointError: failpoint {point}"]
            assert point in passed(log)

    asyncio.run(run())


@pytest.mark.parametrize("point", POINTS)
def test_a_client_that_leaves_while_the_gateway_hangs_frees_the_upstream(point: str, tmp_path: Path) -> None:
    if point == "kernel.before_settle":
        pytest.skip("settling takes no time: nothing can be cancelled there")

    async def run() -> None:
        log = tmp_path / "hits"
        async with failing(point, "hang@1", log) as (upstream, gateway, http):
            stream = point in STREAM_ONLY
            asked = asyncio.create_task(ask(http, gateway.url, stream=stream))
            async with asyncio.timeout(20):
                while point not in await asyncio.to_thread(passed, log):
                    pass
            assert not asked.done() or point == "kernel.after_last_byte"
            if point not in {"kernel.before_plan", "kernel.before_dispatch"}:
                await upstream.wait_until(lambda meter: len(meter) == 1 and meter[0].end is not None)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
            assert (await ask(http, gateway.url, stream=stream))[0] == 200
            await upstream.wait_until(lambda meter: meter.requests_open == 0)

    asyncio.run(run())


@pytest.mark.parametrize("point", POINTS)
def test_a_gateway_that_is_killed_at_a_point_leaves_no_clean_end_and_starts_again(point: str) -> None:
    async def run() -> None:
        async with failing(point, "exit@1") as (upstream, gateway, http):
            stream = point in STREAM_ONLY
            whole = False
            try:
                _, body = await ask(http, gateway.url, stream=stream)
                whole = body.rstrip().endswith(b"[DONE]")
            except aiohttp.ClientError:
                pass
            # The last byte has left: only then may the client have its whole answer.
            assert not whole or point == "kernel.after_last_byte"
            assert await asyncio.to_thread(gateway.wait) == EXIT_STATUS
            await upstream.wait_until(lambda meter: meter.connections_open == 0)
            del gateway.environ["FAILPOINT"]
            await asyncio.to_thread(gateway.start)
            assert (await ask(http, gateway.url, stream=stream))[0] == 200

    asyncio.run(run())
