"""Health, readiness, providers and capabilities as they are published; simulation; local servers found by themselves."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from execution_platform import __version__
from execution_platform.testing import FakeUpstream, Script
from gateway.watching import streaming
from serving import MODELS, chat_body, serving, three_vendors

CLIENTS = ["openai_chat", "anthropic", "gemini", "native"]


def test_health_and_liveness_and_readiness(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            for path in ("/health", "/v1/health"):
                health = (await gateway.get(path)).json()
                assert health["status"] == "ok"
                assert health["version"] == __version__
                assert health["config"] == gateway.gateway.state.snapshot.version
                assert health["providers"]["default"] == "openai"
                assert health["providers"]["configured"] >= 3
            assert (await gateway.get("/health/liveness")).json() == {"status": "ok"}
            assert (await gateway.get("/health/readiness")).status == 200
            assert (await gateway.get("/")).json()["docs"] == "/docs"
            async with gateway.http.head(gateway.url + "/") as response:
                assert response.status == 200

    asyncio.run(run())


def test_each_provider_says_whether_it_can_be_called_and_what_it_lacks(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            providers = (await gateway.get("/v1/health/providers")).json()["providers"]
            for name in ("openai", "anthropic", "gemini"):
                assert providers[name]["configured"]
                assert providers[name]["breaker"] == "closed"
                assert providers[name]["reason"] is None
                assert providers[name]["sdk"]
            assert not providers["groq"]["configured"]
            assert "GROQ_API_KEY" in providers["groq"]["reason"]
            assert not providers["vllm"]["configured"]
            assert not providers["openai"]["simulated"]

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/capabilities", "/v1/capabilities"])
def test_capabilities_are_those_of_the_default_provider_and_of_each(path: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            found = (await gateway.get(path)).json()
            assert found["provider"] == "openai"
            assert found["capabilities"] == found["providers"]["openai"]
            assert found["capabilities"]["tool_calling"] == "native"
            for name in ("streaming", "json_mode", "vision", "system_prompts", "context_window"):
                assert found["capabilities"][name], name
            assert found["providers"]["anthropic"]["logprobs"] is False

    asyncio.run(run())


def test_the_configuration_shows_its_version_its_names_and_its_problems(tmp_path: Path) -> None:
    async def run() -> None:
        personas = {"dev": {"prefer": [MODELS["anthropic"], MODELS["openai_chat"]], "requires": ["logprobs"]}}
        models = {"quick": {"targets": [{"model": MODELS["gemini"]}]}}
        async with FakeUpstream() as upstream:
            config = three_vendors(upstream, personas=personas, models=models)
            async with serving(tmp_path, config) as gateway:
                shown = (await gateway.get("/v1/config")).json()
                assert shown["version"] == gateway.gateway.state.snapshot.version
                assert "dev" in shown["personas"]
                assert shown["models"] == ["quick"]
                assert any("personas.dev" in problem and "logprobs" in problem for problem in shown["problems"])

    asyncio.run(run())


@pytest.mark.parametrize("client", CLIENTS)
def test_a_provider_without_a_key_is_503_and_names_the_variable(client: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path, {}) as gateway:
            for model, variable in (
                ("openai/gpt-4o", "OPENAI_API_KEY"),
                ("anthropic/claude-sonnet-4-5", "ANTHROPIC_API_KEY"),
                ("gemini/gemini-2.5-pro", "GEMINI_API_KEY"),
                ("groq/x", "GROQ_API_KEY"),
            ):
                for stream in (False, True):
                    got = await gateway.post(*chat_body(client, "hi", model, stream=stream))
                    assert got.status == 503, got.body
                    assert variable in got.json()["error"]["message"]

    asyncio.run(run())


def test_a_persona_of_whose_chain_nobody_has_a_key_is_503_with_the_reasons(tmp_path: Path) -> None:
    async def run() -> None:
        personas = {"dev": {"prefer": ["openai/gpt-4o", "anthropic/claude-sonnet-4-5"]}}
        async with serving(tmp_path, {"personas": personas}) as gateway:
            got = await gateway.post(*chat_body("openai_chat", "hi", "persona/dev"))
            error = got.json()["error"]
            assert (got.status, error["code"]) == (503, "no_candidate")
            assert "openai/gpt-4o" in error["message"]
            assert "anthropic/claude-sonnet-4-5" in error["message"]

    asyncio.run(run())


@pytest.mark.parametrize("client", CLIENTS)
def test_in_development_providers_without_a_key_are_simulated_and_say_so(client: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path, environ={"EP_PROVIDER": "mock"}) as gateway:
            for model in (*MODELS.values(), "persona/architect", "mock"):
                for stream in (False, True):
                    got = await gateway.post(*chat_body(client, "hello there", model, stream=stream))
                    assert got.status == 200, got.body
                    assert b"simulated" in got.body
                    assert got.header("x-ep-simulated") == "true"
            providers = (await gateway.get("/v1/health/providers")).json()["providers"]
            assert providers["openai"]["simulated"]
            assert providers["openai"]["configured"]

    asyncio.run(run())


def test_in_development_a_provider_with_a_key_is_real(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            environ = {"EP_PROVIDER": "mock", "OPENAI_API_KEY": "sk-x-1234567", "OPENAI_BASE_URL": f"{upstream.url}/v1"}
            async with serving(tmp_path, environ=environ) as gateway:
                got = await gateway.post(*chat_body("openai_chat", "hi", "openai/gpt-4o"))
                assert (got.status, got.header("x-ep-simulated")) == (200, None)
                assert len(upstream.meter) == 1

    asyncio.run(run())


def test_a_local_server_on_its_usual_port_is_found_with_its_models(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream(models=["qwen3:8b", "llama3.2"]) as upstream:
            environ = {"OLLAMA_HOST": f"127.0.0.1:{upstream.port}"}
            async with serving(tmp_path, {}, environ) as gateway:
                listed = {entry["id"] for entry in (await gateway.get("/v1/models")).json()["data"]}
                assert {"ollama/qwen3:8b", "ollama/llama3.2"} <= listed
                assert (await gateway.get("/v1/health/providers")).json()["providers"]["ollama"]["configured"]
                assert (await gateway.get("/health")).json()["providers"]["default"] == "ollama"
                for model in ("ollama/llama3.2", "llama3.2", "ollama:qwen3:8b"):
                    got = await gateway.post(*chat_body("anthropic", "hi", model))
                    assert got.status == 200, got.body
                    assert got.header("x-ep-provider") == "ollama"
                body = {"messages": [{"role": "user", "content": "hi"}]}
                async with streaming(gateway, "/v1/chat/completions", {**body, "stream": True}) as stream:
                    assert b"[DONE]" in await stream.rest()

    asyncio.run(run())


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"data": 5}', b"\xff"])
def test_something_else_on_that_port_is_not_taken_for_a_model_server(body: bytes, tmp_path: Path) -> None:
    from execution_platform.testing import Raw

    async def run() -> None:
        async with FakeUpstream() as upstream:
            upstream.script(Script(Raw(body)), operation="any")
            async with serving(tmp_path, {}, {"OLLAMA_HOST": upstream.url}) as gateway:
                providers = (await gateway.get("/v1/health/providers")).json()["providers"]
                assert not providers["ollama"]["configured"]
                assert "does not answer" in providers["ollama"]["reason"]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [({"origin": "https://app.example"}, True), ({"origin": "https://evil.example"}, False)],
)
def test_browsers_are_served_from_the_named_origins_only(headers: Any, allowed: bool, tmp_path: Path) -> None:
    async def run() -> None:
        environ = {"CORS_ALLOWED_ORIGINS": "https://app.example"}
        async with serving(tmp_path, {}, environ) as gateway:
            got = await gateway.get("/v1/models", **headers)
            assert (got.status == 200) == allowed

    asyncio.run(run())
