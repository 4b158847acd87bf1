"""Budgets of a running gateway: what they stop, and what is spent by the upstream's own meter."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from execution_platform.testing import FakeUpstream, Script, Text, Tokens
from gateway.books import stored
from serving import Served, chat_body, serving, three_vendors


def priced(*limits: dict[str, Any], **changes: Any) -> Callable[[FakeUpstream], dict[str, Any]]:
    """Three vendors whose answers cost a thousandth of a dollar a token, under `limits`."""

    def config(upstream: FakeUpstream) -> dict[str, Any]:
        made = three_vendors(upstream, budgets={"limits": list(limits)}, **changes)
        for provider in made["providers"].values():
            provider["prices"] = {"*": {"input": 0, "output": 1000}}
        return made

    return config


def test_concurrent_requests_spend_no_more_than_there_is(tmp_path: Path) -> None:
    """B1: the worst case is held before anything leaves."""

    async def run() -> None:
        config = priced({"period": "monthly", "usd": 1})
        async with FakeUpstream() as upstream, serving(tmp_path, config(upstream)) as gateway:
            upstream.script(Script(Text("ok"), usage=Tokens(input=5, output=50)))
            path, body = chat_body("openai_chat", "hi", "openai/gpt-4o")
            answers = await asyncio.gather(*(gateway.post(path, {**body, "max_tokens": 50}) for _ in range(60)))
            statuses = [answer.status for answer in answers]
            assert (statuses.count(200), statuses.count(402)) == (20, 40)
            refused = next(answer for answer in answers if answer.status == 402)
            assert refused.json()["error"]["code"] == "cost_budget_exceeded"
            assert refused.header("x-should-retry") == "false"
            assert len(upstream.meter) == 20

    asyncio.run(run())


def test_every_answer_of_a_request_for_several_is_held_for(tmp_path: Path) -> None:
    """B6: 128 answers may cost 128 times as much."""

    async def run() -> None:
        config = priced({"period": "monthly", "usd": 1})
        async with FakeUpstream() as upstream, serving(tmp_path, config(upstream)) as gateway:
            path, body = chat_body("openai_chat", "hi", "openai/gpt-4o")
            got = await gateway.post(path, {**body, "max_tokens": 10, "n": 128})
            assert (got.status, got.json()["error"]["code"]) == (402, "cost_budget_exceeded")
            assert len(upstream.meter) == 0
            assert (await gateway.post(path, {**body, "max_tokens": 10, "n": 2})).status == 200

    asyncio.run(run())


def test_a_streamed_answer_ends_when_what_is_held_for_it_runs_out(tmp_path: Path) -> None:
    """Mid-stream stop: the dialect's error event, the upstream closed, what came is billed."""

    async def run() -> None:
        config = priced({"period": "monthly", "usd": 0.3})
        async with FakeUpstream() as upstream, serving(tmp_path, with_assumed(config(upstream), 40)) as gateway:
            upstream.script(Script(Text("word " * 4000, chunks=4000), usage=Tokens(input=5, output=4000), pace=0.001))
            path, body = chat_body("openai_chat", "hi", "openai/gpt-4o", stream=True)
            got = await gateway.post(path, body)
            assert got.status == 200
            assert got.body.endswith(b"\n\n")
            assert b"cost_budget_exceeded" in got.body.splitlines()[-2]
            (event,) = await stored(gateway)
            assert (event["status"], event["confidence"]) == ("cut", "estimated")
            assert 0.2 < event["cost_nanos"] / 1e9 < 0.4
            assert upstream.meter[0].events_sent < 4000

    asyncio.run(run())


def with_assumed(config: dict[str, Any], tokens: int) -> dict[str, Any]:
    config["budgets"]["assume_output_tokens"] = tokens
    return config


def test_a_cheaper_chain_takes_over_where_the_budget_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        limit = {"period": "monthly", "usd": 0.05, "on_breach": "downgrade", "downgrade_to": "cheap"}
        config = priced(limit, models={"cheap": {"targets": [{"model": "anthropic/claude-sonnet-4-5"}]}})
        async with FakeUpstream() as upstream:
            given = config(upstream)
            given["providers"]["anthropic"]["prices"] = {"*": {"input": 0, "output": 1}}
            async with serving(tmp_path, given) as gateway:
                upstream.script(Script(Text("ok"), usage=Tokens(input=5, output=50)))
                path, body = chat_body("openai_chat", "hi", "openai/gpt-4o")
                got = await gateway.post(path, {**body, "max_tokens": 100})
                assert got.status == 200
                assert got.header("x-ep-provider") == "anthropic"
                assert got.header("x-ep-downgraded") == "gateway"
                got = await gateway.post(path, {**body, "max_tokens": 60_000})
                assert got.status == 402

    asyncio.run(run())


def test_a_paused_request_goes_on_when_more_is_approved(tmp_path: Path) -> None:
    async def run() -> None:
        config = priced({"tenant": "default", "period": "daily", "usd": 0.01, "on_breach": "pause"})
        async with FakeUpstream() as upstream, serving(tmp_path, config(upstream)) as gateway:
            upstream.script(Script(Text("ok"), usage=Tokens(input=5, output=50)))
            path, body = chat_body("openai_chat", "hi", "openai/gpt-4o")
            asked = asyncio.create_task(gateway.post(path, {**body, "max_tokens": 50}))
            while not (await account(gateway))["waiting"]:
                await asyncio.sleep(0.02)
            approval = {"scope": "tenant:default", "period": "daily", "usd": 0.1}
            assert (await gateway.post("/v1/budgets/approve", approval)).status == 200
            assert (await asked).status == 200
            unknown = await gateway.post("/v1/budgets/approve", {**approval, "scope": "tenant:nobody"})
            assert unknown.status == 404

    asyncio.run(run())


def test_a_pause_ends_when_nobody_approves(tmp_path: Path) -> None:
    async def run() -> None:
        config = priced({"period": "daily", "usd": 0.01, "on_breach": "pause"})
        async with FakeUpstream() as upstream:
            given = config(upstream)
            given["budgets"]["pause_seconds"] = 0.1
            async with serving(tmp_path, given) as gateway:
                path, body = chat_body("native", "hi", "openai/gpt-4o")
                got = await gateway.post(path, {**body, "max_tokens": 50})
                assert got.status == 429
                assert got.json()["error"]["code"] == "cost_budget_exceeded"
                assert len(upstream.meter) == 0

    asyncio.run(run())


async def account(gateway: Served, scope: str = "tenant:default") -> dict[str, Any]:
    rows = (await gateway.get("/v1/budgets")).json()["budgets"]
    return next(row for row in rows if row["scope"] == scope)


async def rules(gateway: Served, **headers: str) -> list[dict[str, Any]]:
    """The budgets somebody wrote, without those of the built-in personas."""
    found = (await gateway.get("/v1/budgets", **headers)).json()["rules"]
    return [rule for rule in found if rule["source"] != "builtin"]


def test_budgets_are_set_shown_and_removed_at_run_time(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, priced()(upstream)) as gateway:
            upstream.script(Script(Text("ok"), usage=Tokens(input=5, output=50)))
            path, body = chat_body("openai_chat", "hi", "openai/gpt-4o")
            wanted = {"tenant": "default", "period": "monthly", "usd": 0.12, "tokens": 10_000}
            made = await gateway.post("/v1/budgets", wanted)
            assert made.status == 201
            statuses = [(await gateway.post(path, {**body, "max_tokens": 50})).status for _ in range(3)]
            assert statuses == [200, 200, 402]
            async with asyncio.timeout(5):  # R21: what is not used goes back within five seconds
                while (row := await account(gateway))["reserved_usd"]:
                    await asyncio.sleep(0.05)
            assert (row["limit_usd"], row["spent_usd"], row["remaining_usd"]) == (0.12, 0.1, 0.02)
            assert (row["spent_tokens"], row["requests"]) == (110, 2)
            assert row["period_end"] is not None
            assert (await gateway.post("/v1/budgets", {**wanted, "usd": 5})).json()["id"] == made.json()["id"]
            assert (await gateway.post(path, {**body, "max_tokens": 50})).status == 200
            place = f"{gateway.url}/v1/budgets/{made.json()['id']}"
            async with gateway.http.put(place, json={**wanted, "period": "daily"}) as changed:
                assert changed.status == 200
                daily = (await changed.json())["id"]
            assert [rule["period"] for rule in await rules(gateway)] == ["daily"]
            async with gateway.http.delete(f"{gateway.url}/v1/budgets/{daily}") as removed:
                assert removed.status == 204
            assert await rules(gateway) == []
            async with gateway.http.delete(place) as again:
                assert again.status == 404

    asyncio.run(run())


@pytest.mark.parametrize(
    "wrong",
    [
        {"period": "monthly"},
        {"period": "yearly", "usd": 1},
        {"period": "daily", "usd": -1},
        {"period": "daily", "usd": "NaN"},
        {"period": "daily", "usd": 1, "spent_nanos": 0},
        {"period": "daily", "usd": 1, "tenant": "a", "key": "b"},
        {"period": "daily", "usd": 1, "on_breach": "downgrade"},
        {"period": "daily", "usd": 1, "time_zone": "Mars/Olympus"},
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    """B6, K2."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, priced()(upstream)) as gateway:
            got = await gateway.post("/v1/budgets", wrong)
            assert got.status == 422, got.body
            assert await rules(gateway) == []

    asyncio.run(run())


def test_budgets_of_personas_keys_and_the_environment_bind(tmp_path: Path) -> None:
    async def run() -> None:
        config = priced(
            keys=[{"name": "ci", "key": "sk-ci-canary-key", "team": "web", "budget": {"monthly_usd": 9}}],
            personas={"helper": {"prefer": ["openai/gpt-4o"], "budget": {"tokens_per_min": 1000, "daily_usd": 3}}},
        )
        environ = {"EP_MASTER_KEY": "sk-master-canary", "EP_TOKENS_BUDGET_PER_MINUTE": "500"}
        async with FakeUpstream() as upstream, serving(tmp_path, config(upstream), environ) as gateway:
            master = {"authorization": "Bearer sk-master-canary"}
            limits = {
                (rule["scope"], rule["period"]): (rule["usd"], rule["tokens"])
                for rule in await rules(gateway, **master)
            }
            assert limits == {
                ("persona:helper", "minute"): (None, 1000),
                ("persona:helper", "daily"): (3, None),
                ("key:ci", "monthly"): (9, None),
                ("persona:*", "minute"): (None, 500),
            }
            body = {"model": "persona/helper", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 600}
            mine = {"authorization": "Bearer sk-ci-canary-key"}
            refused = await gateway.post("/v1/chat/completions", body, **mine)
            assert (refused.status, refused.json()["error"]["code"]) == (429, "token_budget_exceeded")
            assert 0 < int(refused.header("retry-after") or 0) <= 60
            assert refused.header("x-should-retry") == "false"
            own = (await gateway.get("/v1/budgets", **mine)).json()
            assert [row["scope"] for row in own["budgets"]] == ["key:ci"]
            assert "rules" not in own
            assert (await gateway.post("/v1/budgets", {"period": "daily", "usd": 1}, **mine)).status == 403

    asyncio.run(run())


def test_a_model_without_a_price_is_refused_unless_it_is_free(tmp_path: Path) -> None:
    """B6: unknown price = deny."""

    async def run() -> None:
        async with FakeUpstream() as upstream:
            config = three_vendors(upstream)
            async with serving(tmp_path, config) as gateway:
                path, body = chat_body("openai_chat", "hi", "openai/our-own-model")
                refused = await gateway.post(path, body)
                assert (refused.status, refused.json()["error"]["code"]) == (402, "price_unknown")
                assert len(upstream.meter) == 0
            config["providers"]["openai"]["free"] = True
            async with serving(tmp_path, config) as gateway:
                assert (await gateway.post(path, body)).status == 200

    asyncio.run(run())
