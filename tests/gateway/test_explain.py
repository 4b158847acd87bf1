"""The dry run: each candidate with its reason, what it would lose and what it may cost, and nothing is sent."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from execution_platform.testing import FakeUpstream
from serving import MODELS, Served, serving, three_vendors

OPENAI, ANTHROPIC, GEMINI = MODELS.values()
GROQ = "groq/llama-3.3-70b-versatile"
PERSONAS: dict[str, Any] = {
    "personas": {"dev": {"prefer": [ANTHROPIC, GROQ, OPENAI, "embedded"], "requires": ["vision"]}}
}
HELLO = [{"role": "user", "content": "hello " * 400}]


async def explain(gateway: Served, body: dict[str, Any], status: int = 200, **headers: str) -> Any:
    got = await gateway.post("/v1/explain", body, **headers)
    assert got.status == status, got.body
    return got.json()


def rows(found: Any) -> dict[str, dict[str, Any]]:
    return {f"{row['provider']}/{row['model']}": row for row in found["candidates"]}


def test_each_candidate_has_its_reason_its_losses_and_its_price(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **PERSONAS)) as gateway:
            body = {"personaId": "dev", "messages": HELLO, "seed": 7, "max_tokens": 500}
            found = await explain(gateway, body)
            assert found["persona"] == "dev"
            assert not found["explicit"]
            assert found["config"] == gateway.gateway.state.snapshot.version
            by = rows(found)
            assert next(iter(by)) == ANTHROPIC
            kept = by[ANTHROPIC]
            assert (kept["kept"], kept["order"]) == (True, 1)
            assert [(loss["path"], loss["severity"]) for loss in kept["losses"]] == [("seed", "knob")]
            assert kept["estimate"]["output_tokens_at_most"] == 500
            assert 300 < kept["estimate"]["input_tokens"] < 1200
            assert 0.005 < kept["estimate"]["cost_usd"] < 0.05
            assert (by[OPENAI]["order"], by[OPENAI]["losses"]) == (2, [])
            assert "vision" in by["embedded/smollm2-135m-instruct"]["reason"]
            assert not by[GROQ]["kept"]
            assert len(upstream.meter) == 0

    asyncio.run(run())


def test_a_missing_key_is_a_reason(tmp_path: Path) -> None:
    async def run() -> None:
        personas = {"dev": {"prefer": ["deepseek/deepseek-chat", OPENAI]}}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=personas)) as gateway:
            by = rows(await explain(gateway, {"persona": "dev"}))
            assert (by["deepseek/deepseek-chat"]["kept"], by[OPENAI]["kept"]) == (False, True)
            assert "no key" in by["deepseek/deepseek-chat"]["reason"]

    asyncio.run(run())


def test_what_a_request_contains_counts_as_it_does_when_it_is_sent(tmp_path: Path) -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}

    async def run() -> None:
        personas = {"dev": {"prefer": [ANTHROPIC, GEMINI]}}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=personas)) as gateway:
            body = {"persona": "dev", "messages": [{"role": "user", "content": [audio]}]}
            by = rows(await explain(gateway, body))
            assert (by[ANTHROPIC]["kept"], by[GEMINI]["kept"]) == (False, True)
            assert "audio" in by[ANTHROPIC]["reason"]
            refused = rows(await explain(gateway, {**body, "persona": None, "model": ANTHROPIC}))
            assert refused[ANTHROPIC]["losses"][0]["severity"] == "content"

    asyncio.run(run())


def test_requirements_of_the_request_count(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **PERSONAS)) as gateway:
            by = rows(await explain(gateway, {"personaId": "dev", "requires": {"logprobs": True}}))
            assert (by[ANTHROPIC]["kept"], by[OPENAI]["kept"]) == (False, True)
            assert "logprobs" in by[ANTHROPIC]["reason"]

    asyncio.run(run())


def test_an_explicit_target_and_the_provider_member_are_understood(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **PERSONAS)) as gateway:
            for body in ({"model": GEMINI}, {"provider": "gemini", "model": "gemini-2.5-pro"}):
                found = await explain(gateway, {**body, "messages": HELLO})
                assert found["explicit"]
                assert list(rows(found)) == [GEMINI]

    asyncio.run(run())


def test_what_the_key_may_not_use_is_told(tmp_path: Path) -> None:
    keys = [
        {"name": "models", "key": "sk-ep-models-0123456789", "models": [OPENAI]},
        {"name": "personas", "key": "sk-ep-persona-0123456789", "personas": ["architect"]},
    ]
    pool = {"models": {"pool": {"targets": [{"model": ANTHROPIC}, {"model": OPENAI}]}}}

    async def run() -> None:
        async with FakeUpstream() as upstream:
            async with serving(tmp_path, three_vendors(upstream, keys=keys, **PERSONAS, **pool)) as gateway:
                by = rows(await explain(gateway, {"model": "pool"}, x_api_key="sk-ep-models-0123456789"))
                assert (by[ANTHROPIC]["kept"], by[OPENAI]["kept"]) == (False, True)
                assert "key" in by[ANTHROPIC]["reason"]
                await explain(gateway, {"personaId": "dev"}, 403, x_api_key="sk-ep-persona-0123456789")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"model": "openai/gpt-4oo"}, 200, "gpt-4oo"),
        ({"model": "opnai/gpt-4o"}, 404, "openai/gpt-4o"),
        ({"personaId": "architekt"}, 404, "architect"),
        ({"requires": ["visoin"]}, 400, "vision"),
        ({"requires": 5}, 422, "requires"),
        ({"personaId": 5}, 422, "personaId"),
        ({"model": ["x"]}, 422, "model"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, 422, "messages[0].role"),
    ],
)
def test_malformed_requests_are_told_apart(body: dict[str, Any], status: int, word: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            got = await gateway.post("/v1/explain", body)
            assert got.status == status, got.body
            assert word in got.body.decode()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 422),
        (b"[]", 422),
        (b"{", 422),
        (b'{"model": "a", "model": "b"}', 422),
        (b"[" * 100_000, 422),
        (b'{"max_tokens": NaN}', 422),
        (b'{"model": "' + b"x" * 30_000 + b'"}', 413),
    ],
    ids=["nothing", "list", "half", "duplicate", "deep", "nan", "big"],
)
def test_bodies_of_the_management_api_are_as_strict_as_those_of_the_llm_paths(
    data: bytes, status: int, tmp_path: Path
) -> None:
    async def pieces():
        for at in range(0, len(data), 1000):
            yield data[at : at + 1000]

    async def run() -> None:
        async with (
            FakeUpstream() as upstream,
            serving(tmp_path, three_vendors(upstream, limits={"body": 20_000})) as gateway,
        ):
            got = await gateway.post("/v1/explain", data=data)
            assert got.status == (413 if len(data) > 20_000 else status), got.body
            assert got.json()["error"]["message"]
            streamed = await gateway.post("/v1/explain", data=pieces())
            assert streamed.status == got.status
            compressed = await gateway.post("/v1/explain", data=data, content_encoding="gzip")
            assert compressed.status == 415

    asyncio.run(run())
