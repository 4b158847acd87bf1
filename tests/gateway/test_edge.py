"""The edge: what happens when we fail ourselves, when a client leaves early, and when somebody wants another protocol."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from execution_platform.dialects import dialect
from execution_platform.dialects.base import Peek
from execution_platform.gateway.streaming import StreamOut
from execution_platform.identity.principal import Principal
from execution_platform.runtime.answer import Answer
from execution_platform.runtime.call import Call
from execution_platform.testing import FakeUpstream
from gateway.watching import Log, metrics, total
from serving import MODELS, Served, chat_body, serving, three_vendors


def boom(*_: object, **__: object) -> Any:
    raise ZeroDivisionError("the secret is sk-openai-canary-1")


@pytest.mark.parametrize("path", ["/v1/health/providers", "/v1/explain"])
def test_a_defect_in_the_management_api_is_500_with_the_request_id_and_nothing_else(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            log = Log(gateway, tmp_path)
            state = gateway.gateway.state
            monkeypatch.setattr(state, "provider_views", boom)
            monkeypatch.setattr("execution_platform.gateway.endpoints.explain.explain_request", boom)
            sent = {"x_request_id": "mine-9"}
            got = await (gateway.post(path, {}, **sent) if path == "/v1/explain" else gateway.get(path, **sent))
            assert got.status == 500
            assert b"mine-9" in got.body
            assert b"ZeroDivision" not in got.body
            assert got.header("x-ep-error") == "internal_error"
            (line,) = log.events("internal_error")
            assert "ZeroDivisionError" in line["stack"]
            assert "canary" not in log.text()

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/explain"])
@pytest.mark.parametrize("sent", [b"", b'{"model": "x'])
def test_a_client_that_leaves_before_its_body_is_whole_is_no_error(path: str, sent: bytes, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            log = Log(gateway, tmp_path)
            host, _, port = gateway.url.removeprefix("http://").partition(":")
            _, writer = await asyncio.open_connection(host, int(port))
            head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n".encode()
            writer.write(head + sent)
            await writer.drain()
            await gateway.get("/health")
            writer.close()
            (line,) = await log.requests(1)
            assert line["status"] == 499
            assert log.events("internal_error") == []
            assert len(upstream.meter) == 0

    asyncio.run(run())


def test_a_websocket_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path, {}) as gateway:
            for path in ("/v1/chat/completions", "/v1/models", "/nowhere"):
                with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                    await gateway.http.ws_connect(gateway.url + path)
                assert caught.value.status == 400

    asyncio.run(run())


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method_on_an_llm_path_is_told_from_an_unknown_path(method: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path, {}) as gateway:
            async with gateway.http.request(method, f"{gateway.url}/v1/chat/completions") as response:
                assert response.status in {404, 405}
                assert (await response.json())["error"]["message"]

    asyncio.run(run())


def made_call(gateway: Served) -> Call:
    state = gateway.gateway.state
    return Call("r1", Principal("test"), dialect("openai_chat"), b"{}", Peek(None, stream=True), state.snapshot)


def test_the_upstream_is_let_go_when_the_client_is_gone_before_the_head(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path, {}) as gateway:
            closed = asyncio.Event()

            async def upstream() -> AsyncIterator[bytes]:
                try:
                    yield b"data: {}\n\n"
                    yield b"data: {}\n\n"
                finally:
                    closed.set()

            async def gone(_: object) -> None:
                raise asyncio.CancelledError

            answer = Answer("text/event-stream", stream=upstream())
            out = StreamOut(gateway.gateway.state, made_call(gateway), gone)
            out.open()
            with pytest.raises(asyncio.CancelledError):
                await out.run(answer)
            out.close()
            assert closed.is_set()
            assert total(await metrics(gateway), "ep_streams_in_flight") == 0

    asyncio.run(run())


def test_every_route_of_the_llm_paths_answers_only_post_with_json(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"])
            assert (await gateway.post(path + "/", body)).status == 404
            assert (await gateway.post(path.upper(), body)).status == 404
            assert (await gateway.post(path + "?x=1", body)).status == 200

    asyncio.run(run())
