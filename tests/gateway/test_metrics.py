"""Counters that tell the truth, with labels that callers cannot multiply."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from execution_platform.testing import FakeUpstream, Script, Status, StreamError, Text, Tokens
from gateway.watching import metrics, total
from serving import MODELS, chat_body, serving, three_vendors

CLIENTS = ["openai_chat", "anthropic", "gemini", "native"]


def moved(before: dict[str, float], after: dict[str, float], name: str, **labels: str) -> float:
    return total(after, name, **labels) - total(before, name, **labels)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("target", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
def test_an_answer_counts_once_with_its_tokens(client: str, target: str, stream: bool, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(Script("hello", usage=Tokens(input=11, output=4)))
            await gateway.post(*chat_body(client, "hi", MODELS[target], stream=stream))
            after = await metrics(gateway)
            provider, _, model = MODELS[target].partition("/")
            labels = {"dialect": client, "gen_ai_provider_name": provider, "gen_ai_request_model": model}
            assert total(after, "ep_requests_total", **labels, outcome="ok") == 1
            assert total(after, "ep_requests_total", outcome="error") == 0
            assert total(after, "gen_ai_client_token_usage_total", **labels, type="input") == 11
            assert total(after, "gen_ai_client_token_usage_total", **labels, type="output") == 4
            assert total(after, "gen_ai_server_request_duration_seconds_count", **labels) == 1
            assert total(after, "gen_ai_server_time_to_first_token_seconds_count", **labels) == stream
            assert total(after, "ep_overhead_seconds_count", **labels) == (not stream)

    asyncio.run(run())


def test_failures_count_by_what_they_were(tmp_path: Path) -> None:
    async def run() -> None:
        personas = {"dev": {"prefer": [MODELS["anthropic"], MODELS["openai_chat"]]}}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=personas)) as gateway:
            upstream.script(Script("fine"), model="gpt-4o")
            upstream.script(Script(Status(529)), model="claude-*")
            path, body = chat_body("openai_chat", "hi", "persona/dev")
            await gateway.post(path, body)
            await gateway.post(path, {**body, "model": MODELS["anthropic"]})
            await gateway.post(path, {**body, "model": "nobody"})
            await gateway.post(path, data=b"{")
            upstream.script(Script(Text("one two"), faults=[StreamError(after=1, of="content")]))
            await gateway.post(path, {**body, "model": MODELS["gemini"], "stream": True})
            found = await metrics(gateway)
            assert total(found, "ep_attempts_failed_total", gen_ai_provider_name="anthropic", kind="overloaded") == 4
            assert total(found, "ep_retries_total", gen_ai_provider_name="anthropic", reason="overloaded") == 2
            assert total(found, "ep_failovers_total", gen_ai_provider_name="anthropic", reason="overloaded") == 1
            assert total(found, "ep_requests_total", outcome="ok", persona="dev") == 1
            assert total(found, "ep_requests_total", outcome="error", gen_ai_provider_name="gemini") == 1
            assert total(found, "ep_requests_total", outcome="error") == 3
            for code in ("provider", "model_not_found", "invalid_json"):
                assert total(found, "ep_refused_total", code=code) == 1, code

    asyncio.run(run())


def test_a_thousand_made_up_models_and_paths_make_no_new_series(tmp_path: Path) -> None:
    """S4: names that are not in the configuration count as `other`."""

    async def run() -> None:
        async with FakeUpstream(lean=True) as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:

            async def junk(number: int) -> None:
                client = CLIENTS[number % len(CLIENTS)]
                model = (f"openai/junk-{number}", f"junk-{number}", f"persona/junk-{number}", f"junk{number}/x")[
                    number // 4 % 4
                ]
                await gateway.post(
                    *chat_body(client, "hi", model), x_ep_persona=f"junk-{number}" if number % 5 == 0 else ""
                )
                await gateway.get(f"/v1/junk/{number}")
                await gateway.post(f"/v1/models/junk-{number}:generateContent", {})

            for number in range(80):
                await junk(number)
            before = await metrics(gateway)
            for start in range(80, 420, 20):
                await asyncio.gather(*(junk(number) for number in range(start, start + 20)))
            after = await metrics(gateway)
            assert after.keys() == before.keys()
            assert not any("junk" in name for name in after)
            assert moved(before, after, "ep_requests_total") > 500

    asyncio.run(run())


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -5, "completion_tokens": 10**18, "total_tokens": -5},
        {"prompt_tokens": "many", "completion_tokens": None},
        {"prompt_tokens": 1.5, "completion_tokens": [1]},
        "nonsense",
    ],
    ids=["negative", "words", "fractions", "no object"],
)
@pytest.mark.parametrize("client", ["openai_chat", "native"])
def test_nonsense_usage_of_an_upstream_breaks_nothing(client: str, usage: Any, tmp_path: Path) -> None:
    """P6: numbers of an upstream are checked before they count."""
    import json

    from execution_platform.testing import Raw

    answer = {
        "id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o", "usage": usage,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    }  # fmt: skip

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(Raw(json.dumps(answer).encode()))
            path, body = chat_body(client, "hi", MODELS["openai_chat"])
            for _ in range(2):
                got = await gateway.post(path, body)
                assert got.status in {200, 502}, got.body
                assert b"hello" in got.body or got.status == 502
            found = await metrics(gateway)
            assert total(found, "ep_requests_total") == 2
            assert total(found, "gen_ai_client_token_usage_total") >= 0

    asyncio.run(run())
