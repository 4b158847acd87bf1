"""How the order of targets is found, through the whole gateway: prices, latencies, conversations, arms."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from execution_platform.testing import FakeUpstream, Script, Status, Text
from gateway.watching import Log, metrics
from serving import MODELS, Served, chat_body, serving, three_vendors

OPENAI, ANTHROPIC, GEMINI = MODELS.values()


def logical(upstream: FakeUpstream, strategy: str, *targets: Any, **more: Any) -> dict[str, Any]:
    members = [target if isinstance(target, dict) else {"model": target} for target in targets]
    model = {"targets": members, "strategy": strategy, **more}
    return three_vendors(upstream, models={"fast": model}, personas={"dev": {"prefer": ["fast"]}})


async def first(
    gateway: Served, model: str = "fast", text: str = "hi", dialect: str = "openai_chat", **headers: str
) -> str:
    got = await gateway.post(*chat_body(dialect, text, model), **headers)
    assert got.status == 200, got.body
    return str(got.header("x-ep-provider"))


@pytest.mark.parametrize("model", ["fast", "persona/dev"])
def test_lowest_cost_asks_the_cheapest_by_the_prices_in_force(tmp_path: Path, model: str) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            config = logical(upstream, "lowest_cost", OPENAI, ANTHROPIC, GEMINI)
            for provider, name, price in (
                ("openai", "gpt-4o", 9),
                ("anthropic", "claude-sonnet-4-5", 2),
                ("gemini", "gemini-2.5-pro", 5),
            ):
                config["providers"][provider]["prices"] = {name: {"input": price, "output": price}}
            async with serving(tmp_path, config) as gateway:
                assert await first(gateway, model) == "anthropic"
                explained = (await gateway.post("/v1/explain", {"model": "fast"})).json()
                assert [row["provider"] for row in explained["candidates"]] == ["anthropic", "gemini", "openai"]
                assert explained["strategy"] == "lowest_cost"
                upstream.script(Script(Status(503)), model="claude-sonnet-4-5")
                assert await first(gateway, model) == "gemini"

    asyncio.run(run())


def test_least_latency_asks_who_has_begun_soonest(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            config = logical(upstream, "least_latency", OPENAI, ANTHROPIC)
            async with serving(tmp_path, config) as gateway:
                upstream.script(Script(Text("slow"), delay=0.15), model="gpt-4o")
                # Each target is unknown until it has been asked once.
                assert await first(gateway) == "openai"
                assert await first(gateway) == "anthropic"
                assert {await first(gateway) for _ in range(3)} == {"anthropic"}
                upstream.script(Script(Text("slower"), delay=1.2), model="claude-sonnet-4-5")
                assert await first(gateway) == "anthropic"
                # The average has moved: 0.2 of it is the newest measurement.
                assert await first(gateway) == "openai"

    asyncio.run(run())


@pytest.mark.parametrize("model", ["fast", "persona/dev"])
def test_a_conversation_stays_with_its_target_and_conversations_spread(tmp_path: Path, model: str) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            config = logical(upstream, "sticky", {"model": OPENAI, "weight": 2}, {"model": ANTHROPIC, "weight": 2})
            async with serving(tmp_path, config) as gateway:
                chosen = {}
                for number in range(12):
                    answers = {
                        await first(gateway, model, f"turn {turn}", x_ep_conversation=f"c{number}") for turn in range(3)
                    }
                    assert len(answers) == 1
                    chosen[number] = answers.pop()
                assert set(chosen.values()) == {"openai", "anthropic"}
                # The same conversation in another client's dialect, by another agent's header.
                for number in (0, 1):
                    sent = {"x_claude_code_session_id": f"c{number}"}
                    assert await first(gateway, model, "hi", "anthropic", **sent) == chosen[number]
                explained = await gateway.post("/v1/explain", {"model": model}, x_ep_conversation="c0")
                assert explained.json()["candidates"][0]["provider"] == chosen[0]

    asyncio.run(run())


def test_a_conversation_without_a_name_is_known_by_its_first_words(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            FakeUpstream() as upstream,
            serving(tmp_path, logical(upstream, "sticky", OPENAI, ANTHROPIC)) as gateway,
        ):
            chosen = set()
            for number in range(10):
                begin = [{"role": "system", "content": "Be."}, {"role": "user", "content": f"question {number}"}]
                more = [*begin, {"role": "assistant", "content": "a"}, {"role": "user", "content": "and?"}]
                answers = set()
                for messages in (begin, more):
                    got = await gateway.post("/v1/chat/completions", {"model": "fast", "messages": messages})
                    answers.add(got.header("x-ep-provider"))
                assert len(answers) == 1
                chosen |= answers
            assert chosen == {"openai", "anthropic"}

    asyncio.run(run())


def test_a_sticky_target_that_is_down_is_followed_by_the_next_in_its_order(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            config = logical(upstream, "sticky", OPENAI, ANTHROPIC, GEMINI)
            async with serving(tmp_path, config) as gateway:
                path, body = "/v1/explain", {"model": "fast"}
                explained = (await gateway.post(path, body, x_ep_conversation="c")).json()
                order = [row["provider"] for row in explained["candidates"]]
                down = {"openai": "gpt-4o", "anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-pro"}[order[0]]
                assert await first(gateway, x_ep_conversation="c") == order[0]
                upstream.script(Script(Status(400 + 104)), model=down)
                assert await first(gateway, x_ep_conversation="c") == order[1]
                upstream.clear()

    asyncio.run(run())


def arms(upstream: FakeUpstream, share: int = 50) -> dict[str, Any]:
    control = {"model": OPENAI, "weight": 100 - share, "arm": "control"}
    canary = {"model": ANTHROPIC, "weight": share, "arm": "canary"}
    return logical(upstream, "weighted", control, canary)


def test_a_request_beyond_its_callers_limit_counts_for_no_arm(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            config = arms(upstream)
            config["rate_limits"] = {"personas": {"dev": {"requests": 1}}}
            async with serving(tmp_path, config) as gateway:
                statuses = [
                    (await gateway.post(*chat_body("openai_chat", "hi", "persona/dev"))).status for _ in range(3)
                ]
                assert statuses == [200, 429, 429]
                counted = {
                    labels: count
                    for labels, count in (await metrics(gateway)).items()
                    if labels.startswith("ep_arm_requests_total")
                }
                assert sum(counted.values()) == 1

    asyncio.run(run())


def test_the_arm_of_a_request_is_told_everywhere(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, arms(upstream)) as gateway:
            log = Log(gateway, tmp_path)
            seen: Counter[str | None] = Counter()
            by_conversation: dict[int, set[str | None]] = {}
            for number in range(40):
                sent = {"x_ep_conversation": str(number % 10)}
                got = await gateway.post(*chat_body("openai_chat", "hi", ("fast", "persona/dev")[number % 2]), **sent)
                arm = got.header("x-ep-arm")
                assert (arm, got.header("x-ep-provider")) in {("control", "openai"), ("canary", "anthropic")}
                seen[arm] += 1
                by_conversation.setdefault(number % 10, set()).add(arm)
            assert set(seen) == {"control", "canary"}
            assert all(len(found) == 1 for found in by_conversation.values())
            lines = await log.requests(40)
            assert Counter(line["arm"] for line in lines) == seen
            shown = await metrics(gateway)
            for arm, count in seen.items():
                labels = f'{{arm="{arm}",logical_model="fast",outcome="ok"}}'
                assert shown[f"ep_arm_requests_total{labels}"] == count
            explained = (await gateway.post("/v1/explain", {"model": "fast"}, x_ep_conversation="3")).json()
            assert {explained["arm"]} == by_conversation[3]
            assert {row["arm"] for row in explained["candidates"]} == {"control", "canary"}
            plain = await gateway.post(*chat_body("openai_chat", "hi", OPENAI))
            assert plain.header("x-ep-arm") is None

    asyncio.run(run())


def test_a_canary_that_fails_is_answered_by_the_other_arm_and_told_as_that(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, arms(upstream, share=99)) as gateway:
            upstream.script(Script(Status(503)), model="claude-sonnet-4-5")
            got = await gateway.post(*chat_body("openai_chat", "hi", "fast"), x_ep_conversation="z")
            explained = (await gateway.post("/v1/explain", {"model": "fast"}, x_ep_conversation="z")).json()
            assert explained["arm"] == "canary"
            assert (got.status, got.header("x-ep-arm")) == (200, "control")
            assert got.header("x-ep-fallback-from") == ANTHROPIC

    asyncio.run(run())
