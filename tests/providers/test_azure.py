"""Azure OpenAI: deployments below the customer's own resource, on the classic surface and on v1."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from execution_platform.config.resolve import ProviderConfig
from execution_platform.exceptions import ConfigError
from execution_platform.providers.wiring import Wiring, build_provider
from execution_platform.testing import FakeUpstream, Script, Status, Vectors
from execution_platform.transport.http import HttpTransport
from serving import chat_body, serving

KEY = "azure-key-0123456789"


def azure(upstream: FakeUpstream, **changes: Any) -> dict[str, Any]:
    provider = {"kind": "azure_openai", "base_url": upstream.url, "api_key": KEY, "models": ["gpt-4o"], **changes}
    return {"providers": {"azure": provider}}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client", ["openai_chat", "anthropic", "gemini", "native"])
def test_the_classic_surface_names_the_deployment_in_the_path(client: str, stream: bool, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream(api_key=KEY) as upstream:
            config = azure(upstream, api_version="2026-06-01", deployments={"gpt-4o": "team four"})
            async with serving(tmp_path, config) as gateway:
                got = await gateway.post(*chat_body(client, "hi", "azure/gpt-4o", stream=stream))
                assert got.status == 200, got.body
                assert b"hi" in got.body
            (exchange,) = upstream.meter.exchanges
            assert exchange.path == "/openai/deployments/team four/chat/completions"
            assert exchange.query == {"api-version": "2026-06-01"}
            assert exchange.headers["api-key"] == KEY
            assert "authorization" not in exchange.headers

    asyncio.run(run())


@pytest.mark.parametrize("root", ["", "/", "/openai", "/openai/v1", "/openai/v1/"])
def test_the_v1_surface_needs_no_version_and_any_spelling_of_the_resource_will_do(root: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream(api_key=KEY) as upstream:
            async with serving(tmp_path, azure(upstream, base_url=f"{upstream.url}{root}")) as gateway:
                got = await gateway.post(*chat_body("openai_chat", "hi", "azure/gpt-4o"))
                assert got.status == 200, got.body
            (exchange,) = upstream.meter.exchanges
            assert (exchange.path, exchange.query) == ("/openai/v1/chat/completions", {})
            assert exchange.body["model"] == "gpt-4o"

    asyncio.run(run())


def test_the_environment_is_enough(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream(api_key=KEY) as upstream:
            environ = {
                "AZURE_OPENAI_API_KEY": KEY,
                "AZURE_OPENAI_ENDPOINT": upstream.url,
                "AZURE_OPENAI_API_VERSION": "2026-06-01",
                "AZURE_OPENAI_DEPLOYMENT": "gpt-4o-mini",
            }
            async with serving(tmp_path, {}, environ) as gateway:
                got = await gateway.post(*chat_body("openai_chat", "hi", "azure_openai"))
                assert got.status == 200, got.body
            assert upstream.meter[0].path == "/openai/deployments/gpt-4o-mini/chat/completions"

    asyncio.run(run())


def test_embeddings_and_errors_work_as_openais_do(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream(api_key=KEY) as upstream:
            async with serving(
                tmp_path, azure(upstream, api_version="2026-06-01", prices={"emb-3": {"input": 0.1, "output": 0}})
            ) as gateway:
                upstream.script(Script(Vectors([[1.0, 2.0]])), operation="embeddings")
                got = await gateway.post("/v1/embeddings", {"model": "azure/emb-3", "input": "a"})
                assert got.json()["data"][0]["embedding"] == [1.0, 2.0]
                assert upstream.meter[0].path == "/openai/deployments/emb-3/embeddings"
                upstream.script(Status(429, retry_after=4))
                refused = await gateway.post(*chat_body("anthropic", "hi", "azure/gpt-4o"))
                assert (refused.status, refused.header("retry-after")) == (429, "4")

    asyncio.run(run())


def test_a_resource_address_is_needed() -> None:
    wiring = Wiring(HttpTransport(), lambda _: pytest.fail("no secret is asked for"))
    with pytest.raises(ConfigError, match="AZURE_OPENAI_ENDPOINT"):
        build_provider(ProviderConfig(name="azure", kind="azure_openai"), wiring)
