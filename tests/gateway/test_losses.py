"""What a translation may lose: by configuration, by key, and where the chain can avoid it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from execution_platform.testing import FakeUpstream
from serving import MODELS, Got, Served, chat_body, serving, three_vendors

CLIENTS = ["openai_chat", "anthropic", "gemini", "native"]
AUDIO = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
KEY = "sk-ep-{}-0123456789"


def with_knob(model: str) -> tuple[str, dict[str, Any]]:
    """`seed` is a setting that Anthropic does not have."""
    path, body = chat_body("openai_chat", "hi", model)
    return path, {**body, "seed": 7}


def with_content(model: str) -> tuple[str, dict[str, Any]]:
    """Audio is content that Anthropic does not have."""
    path, body = chat_body("openai_chat", "hi", model)
    content = [{"type": "text", "text": "listen"}, AUDIO]
    return path, {**body, "messages": [{"role": "user", "content": content}]}


async def ask(gateway: Served, made: tuple[str, dict[str, Any]], **headers: str) -> Got:
    return await gateway.post(*made, **headers)


@pytest.mark.parametrize(
    ("policy", "knob", "content"), [("strict", 400, 400), ("default", 200, 400), ("lenient", 200, 200)]
)
@pytest.mark.parametrize("by", ["configuration", "key"])
def test_the_policy_decides_what_may_be_lost(by: str, policy: str, knob: int, content: int, tmp_path: Path) -> None:
    keys = [{"name": "team", "key": KEY.format("team"), "loss_policy": policy}]
    config: dict[str, Any] = {"loss_policy": policy} if by == "configuration" else {"keys": keys}
    headers = {} if by == "configuration" else {"x_api_key": KEY.format("team")}

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **config)) as gateway:
            model = MODELS["anthropic"]
            first = await ask(gateway, with_knob(model), **headers)
            assert first.status == knob, first.body
            second = await ask(gateway, with_content(model), **headers)
            assert second.status == content, second.body
            assert len(upstream.meter) == (knob == 200) + (content == 200)
            if second.status == 200:
                assert "content:messages[0].content[1]" in (second.header("x-ep-loss") or "")

    asyncio.run(run())


def test_a_keys_policy_wins_over_the_configurations(tmp_path: Path) -> None:
    keys = [
        {"name": "strict", "key": KEY.format("strict"), "loss_policy": "strict"},
        {"name": "plain", "key": KEY.format("plain")},
    ]

    async def run() -> None:
        async with FakeUpstream() as upstream:
            async with serving(tmp_path, three_vendors(upstream, keys=keys, loss_policy="lenient")) as gateway:
                made = with_knob(MODELS["anthropic"])
                assert (await ask(gateway, made, x_api_key=KEY.format("strict"))).status == 400
                assert (await ask(gateway, made, x_api_key=KEY.format("plain"))).status == 200

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_refusal_names_the_path_what_is_lost_and_the_remedy(stream: bool, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            path, body = with_content(MODELS["anthropic"])
            got = await gateway.post(path, {**body, "stream": stream})
            error = got.json()["error"]
            assert (got.status, error["code"], error["param"]) == (400, "unsupported_feature", "messages[0].content[1]")
            for word in ("anthropic/claude-sonnet-4-5", "audio", "another model", "lenient"):
                assert word in error["message"], error
            assert len(upstream.meter) == 0

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_chain_goes_on_to_the_target_that_loses_nothing(stream: bool, tmp_path: Path) -> None:
    async def run() -> None:
        personas = {"dev": {"prefer": [MODELS["anthropic"], MODELS["openai_chat"]]}}
        async with FakeUpstream() as upstream:
            async with serving(tmp_path, three_vendors(upstream, personas=personas, loss_policy="strict")) as gateway:
                path, body = with_knob("persona/dev")
                got = await gateway.post(path, {**body, "stream": stream})
                assert got.status == 200, got.body
                assert (got.header("x-ep-provider"), got.header("x-ep-attempts")) == ("openai", "1")
                assert got.header("x-ep-fallback-from") == MODELS["anthropic"]
                assert got.header("x-ep-loss") is None
                (exchange,) = upstream.meter.exchanges
                assert exchange.body["seed"] == 7

    asyncio.run(run())


def test_a_target_that_cannot_take_the_content_is_not_even_tried(tmp_path: Path) -> None:
    async def run() -> None:
        personas = {"dev": {"prefer": [MODELS["anthropic"], MODELS["gemini"]]}}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=personas)) as gateway:
            got = await ask(gateway, with_content("persona/dev"))
            assert got.status == 200, got.body
            assert (got.header("x-ep-provider"), got.header("x-ep-attempts")) == ("gemini", "1")

    asyncio.run(run())


@pytest.mark.parametrize("client", CLIENTS)
def test_same_dialect_loses_nothing_even_under_strict(client: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            async with serving(tmp_path, three_vendors(upstream, loss_policy="strict")) as gateway:
                path, body = chat_body(client, "hi", MODELS.get(client, MODELS["openai_chat"]))
                got = await gateway.post(
                    path, {**body, "metadata": {"user_id": "u"}} if client == "anthropic" else body
                )
                assert got.status == 200, got.body
                assert got.header("x-ep-loss") is None

    asyncio.run(run())


def test_embeddings_keep_to_the_policy_too(tmp_path: Path) -> None:
    async def run() -> None:
        body = {"content": {"parts": [{"text": "a"}]}, "taskType": "RETRIEVAL_QUERY", "title": "t"}
        async with FakeUpstream() as upstream:
            for policy, status in (("strict", 400), ("default", 200)):
                async with serving(tmp_path, three_vendors(upstream, loss_policy=policy)) as gateway:
                    path = "/v1beta/models/openai/text-embedding-3-small:embedContent"
                    got = await gateway.post(path, body)
                    assert got.status == status, got.body
                    if status == 200:
                        assert "task" in (got.header("x-ep-loss") or "")

    asyncio.run(run())
