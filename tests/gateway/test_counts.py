"""Token counts: the provider's own where it has one, an estimate otherwise; embeddings where there are none."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from execution_platform.testing import FakeUpstream, Script, Status, Tokens, Vectors
from serving import MODELS, serving, three_vendors

PATHS = {"anthropic": "/v1/messages/count_tokens", "gemini": "/v1beta/models/{}:countTokens"}


def count_body(client: str, text: str, model: str) -> tuple[str, dict[str, Any]]:
    if client == "gemini":
        return PATHS["gemini"].format(model), {"contents": [{"role": "user", "parts": [{"text": text}]}]}
    return PATHS["anthropic"], {"model": model, "messages": [{"role": "user", "content": text}]}


def counted(client: str, answer: Any) -> int:
    return answer["input_tokens"] if client == "anthropic" else answer["totalTokens"]


@pytest.mark.parametrize("target", ["anthropic", "gemini"])
@pytest.mark.parametrize("client", PATHS)
def test_a_provider_that_counts_is_asked(client: str, target: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(Script(usage=Tokens(input=77)), operation="count_tokens")
            got = await gateway.post(*count_body(client, "hello", MODELS[target]))
            assert got.status == 200, got.body
            assert counted(client, got.json()) == 77
            assert upstream.meter[0].operation == "count_tokens"
            assert got.header("x-ep-provider") == target

    asyncio.run(run())


@pytest.mark.parametrize("client", PATHS)
def test_where_nobody_counts_an_estimate_grows_with_the_request(client: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            found = []
            for text in ("hi", "word " * 100, "word " * 1000):
                got = await gateway.post(*count_body(client, text, MODELS["openai_chat"]))
                assert got.status == 200, got.body
                found.append(counted(client, got.json()))
            assert found == sorted(found)
            assert found[0] < 20 < found[1] < 300
            assert 1000 < found[2] < 2000
            assert len(upstream.meter) == 0

    asyncio.run(run())


def test_tools_calls_results_and_media_count_too(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            path, body = count_body("anthropic", "hi", MODELS["openai_chat"])

            async def count(**changes: Any) -> int:
                return (await gateway.post(path, {**body, **changes})).json()["input_tokens"]

            plain = await count()
            tool = {"name": "weather", "description": "d" * 300, "input_schema": {"type": "object"}}
            assert await count(tools=[tool]) > plain + 90
            image = {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}}
            assert await count(messages=[{"role": "user", "content": [image]}]) > 900
            turns = [
                *body["messages"],
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "c", "name": "weather", "input": {"q": "x" * 90}}],
                },
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "sunny " * 50}]},
            ]
            assert await count(messages=turns) > plain + 90
            long = {"type": "thinking", "thinking": "hm " * 100, "signature": "c2ln"}
            thought = [*body["messages"], {"role": "assistant", "content": [long, {"type": "text", "text": "ok"}]}]
            assert await count(messages=thought) > plain + 60

    asyncio.run(run())


def test_the_system_text_of_a_persona_counts(tmp_path: Path) -> None:
    async def run() -> None:
        personas = {"dev": {"prefer": [MODELS["openai_chat"]], "system": "Be brief. " * 100}}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=personas)) as gateway:
            path, body = count_body("anthropic", "hi", "persona/dev")
            assert (await gateway.post(path, body)).json()["input_tokens"] > 200

    asyncio.run(run())


def test_a_count_moves_on_to_the_next_target(tmp_path: Path) -> None:
    async def run() -> None:
        personas = {"dev": {"prefer": [MODELS["anthropic"], MODELS["gemini"]]}}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=personas)) as gateway:
            upstream.script(Script(usage=Tokens(input=5)), operation="count_tokens")
            upstream.script(Status(500), model="claude-*", operation="count_tokens")
            got = await gateway.post(*count_body("anthropic", "hi", "persona/dev"))
            assert (got.json()["input_tokens"], got.header("x-ep-attempts")) == (5, "2")

    asyncio.run(run())


@pytest.mark.parametrize("target", ["openai/text-embedding-3-small", "gemini/gemini-embedding-001"])
def test_embeddings_in_both_vendors_words_from_both_vendors(target: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(Script(Vectors([[1.0, 0.5], [0.25, -1.0]])), operation="embeddings")
            got = await gateway.post("/v1/embeddings", {"model": target, "input": ["a", "b"]})
            assert [row["embedding"] for row in got.json()["data"]] == [[1.0, 0.5], [0.25, -1.0]]
            encoded = await gateway.post(
                "/v1/embeddings", {"model": target, "input": ["a", "b"], "encoding_format": "base64"}
            )
            assert isinstance(encoded.json()["data"][0]["embedding"], str)
            one = {"content": {"parts": [{"text": "a"}]}}
            many = {"requests": [{"model": f"models/{target}", **one}] * 2}
            batch = await gateway.post(f"/v1beta/models/{target}:batchEmbedContents", many)
            assert [row["values"] for row in batch.json()["embeddings"]] == [[1.0, 0.5], [0.25, -1.0]]

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1beta/models/{}:embedContent"])
def test_a_provider_without_embeddings_is_412(path: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            body = {"model": MODELS["anthropic"], "input": "a", "content": {"parts": [{"text": "a"}]}}
            got = await gateway.post(path.format(MODELS["anthropic"]), body)
            assert got.status == 412, got.body
            assert "embeddings" in got.json()["error"]["message"]

    asyncio.run(run())
