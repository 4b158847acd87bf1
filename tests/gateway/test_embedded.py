"""The embedded model behind the gateway, from the first request to the end of its processes."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.watching import streaming
from providers.local_server import has_ended, needs_chat, needs_embeddings
from serving import chat_body, serving

CLIENTS = ["openai_chat", "anthropic", "gemini", "native"]
pytestmark = pytest.mark.xdist_group("model")


def processes(gateway: Any) -> list[int]:
    model = gateway.gateway.state.snapshot.providers["embedded"]._endpoint._model
    return [status.pid for status in model.status() if status.pid is not None]


@needs_chat
def test_without_any_key_the_real_model_answers_every_client_whole_and_streamed(tmp_path: Path) -> None:
    async def run() -> list[int]:
        async with serving(tmp_path, {"default_provider": "embedded"}) as gateway:
            assert processes(gateway) == []
            for client in CLIENTS:
                for stream in (False, True):
                    path, body = chat_body(client, "Say hello.", "auto", stream=stream)
                    if client == "gemini":
                        body["generationConfig"] = {"maxOutputTokens": 12}
                    else:
                        body["max_tokens"] = 12
                    got = await gateway.post(path, body)
                    assert got.status == 200, got.body
                    assert (got.header("x-ep-provider"), got.header("x-ep-simulated")) == ("embedded", None)
                    assert b"simulated" not in got.body
            found = processes(gateway)
            assert len(found) == 1
            return found

    (pid,) = asyncio.run(run())
    assert has_ended(pid)


@needs_chat
def test_its_stream_comes_in_pieces_with_usage_and_ends_when_the_client_leaves(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path, {"default_provider": "embedded"}) as gateway:
            body = {"messages": [{"role": "user", "content": "Count to ten."}], "max_tokens": 24}
            async with streaming(gateway, "/v1/chat", body) as stream:
                whole = await stream.rest()
            assert whole.count(b"event: token") > 3
            assert b'"cost_usd":0' in whole
            assert whole.rstrip().splitlines()[-2] == b"event: done"
            async with streaming(gateway, "/v1/chat", {**body, "max_tokens": 4000}) as stream:
                await stream.until(b"event: token")
            async with streaming(gateway, "/v1/chat", {**body, "max_tokens": 2}) as stream:
                assert b"event: done" in await stream.rest()

    asyncio.run(run())


@needs_embeddings
def test_its_embeddings_speak_both_vendors_words(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path, {}) as gateway:
            model = "embedded/multilingual-e5-small"
            got = await gateway.post("/v1/embeddings", {"model": model, "input": ["a cat", "a dog"]})
            assert got.status == 200, got.body
            assert [len(row["embedding"]) for row in got.json()["data"]] == [384, 384]
            body = {"content": {"parts": [{"text": "a cat"}]}}
            gemini = await gateway.post(f"/v1beta/models/{model}:embedContent", body)
            assert len(gemini.json()["embedding"]["values"]) == 384

    asyncio.run(run())
