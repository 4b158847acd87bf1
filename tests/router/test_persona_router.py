"""`PersonaRouter`: personas in this process, against a scripted upstream."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from execution_platform.config.settings import Settings
from execution_platform.exceptions import ProviderError, RequirementError, RouterError
from execution_platform.router import PersonaRouter
from execution_platform.spi import ChatRequest, Message
from execution_platform.testing import Cut, FakeUpstream, Script, Status, StreamError, Text, Vectors
from serving import MODELS, three_vendors

HELLO = ChatRequest([Message("user", "hello")])


def router(upstream: FakeUpstream, **changes: Any) -> PersonaRouter:
    personas = {
        "dev": {"prefer": [MODELS["anthropic"], MODELS["openai_chat"]], "system": "Be brief.", "max_tokens": 50}
    }
    return PersonaRouter(policy={**three_vendors(upstream), "personas": personas, **changes}, settings=Settings({}))


def test_a_persona_answers_whole_and_in_chunks_with_its_system_text() -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, router(upstream) as personas:
            upstream.script(Script(Text("one two three", chunks=3)))
            assert "dev" in personas.personas
            assert personas.select_provider("dev") == "anthropic"
            client = personas.get_client("dev")
            chunks = [chunk.delta_text async for chunk in client.chat(HELLO) if chunk.delta_text]
            assert (len(chunks), "".join(chunks)) == (3, "one two three")
            assert (await client.chat(HELLO)).text == "one two three"
            assert upstream.meter[0].body["system"] == "Be brief."
            assert upstream.meter[0].body["max_tokens"] == 50

    asyncio.run(run())


@pytest.mark.parametrize(
    "failure",
    [
        Script(Status(529)),
        Script(Text("never"), faults=[StreamError(after=0, of="content")]),
        Script(Text("never"), faults=[Cut(after=0, of="content")]),
    ],
    ids=["refused", "error event", "cut"],
)
def test_the_next_of_the_chain_answers_when_the_first_fails_before_content(failure: Script) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, router(upstream) as personas:
            upstream.script(Script("from the second"))
            upstream.script(failure, model="claude-*")
            assert (await personas.get_client("dev").chat(HELLO)).text == "from the second"

    asyncio.run(run())


def test_a_failure_after_content_is_raised() -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, router(upstream) as personas:
            upstream.script(Script(Text("one two three"), faults=[Cut(after=1, of="content")]))
            seen = []
            with pytest.raises(ProviderError):
                async for chunk in personas.get_client("dev").chat(HELLO):
                    seen.append(chunk.delta_text)
            assert any(seen)
            assert len(upstream.meter) == 1

    asyncio.run(run())


def test_embeddings_go_to_the_model_that_is_named() -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, router(upstream) as personas:
            upstream.script(Script(Vectors([[1.0, 0.5]])), operation="embeddings")
            client = personas.get_model("openai/text-embedding-3-small")
            assert [list(vector) for vector in (await client.embed(["a"])).vectors] == [[1.0, 0.5]]
            with pytest.raises(RequirementError):
                await client.embed(["a"], MODELS["anthropic"])

    asyncio.run(run())


def test_names_that_lead_nowhere_are_told_at_once() -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, router(upstream) as personas:
            with pytest.raises(RouterError, match="dev"):
                personas.get_client("dew")
            with pytest.raises(ValueError, match="gpt-4o"):
                personas.get_model("gpt-4oo")
            with pytest.raises(RouterError, match="nobody"):
                personas.provider("nobody")

    asyncio.run(run())


def test_the_in_process_client_has_breakers_and_retries_too() -> None:
    """R4: one loop for every way in."""

    async def run() -> None:
        async with FakeUpstream() as upstream, router(upstream) as personas:
            upstream.script(Script("from the second"))
            upstream.script(Script(Status(500)), model="claude-*")
            for _ in range(8):
                assert (await personas.get_client("dev").chat(HELLO)).text == "from the second"
            assert sum(exchange.model.startswith("claude") for exchange in upstream.meter.exchanges) == 5
            upstream.script(Script(Status(503)), Script(Status(500)), Script("at the third try"), model="gemini-*")
            assert (await personas.get_model(MODELS["gemini"]).chat(HELLO)).text == "at the third try"

    asyncio.run(run())


def test_importing_the_router_loads_nothing_that_reads_files_or_serves_pages() -> None:
    heavy = "{'pydantic', 'yaml', 'aiohttp', 'fastapi', 'importlib.metadata', 'tomllib', 'email', 'zipfile'}"
    code = f"import sys, execution_platform.router, execution_platform.spi; sys.stdout.write(' '.join({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
