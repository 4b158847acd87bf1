"""Prices of a running gateway: what is refused for want of one, setting one, and that the past keeps its cost."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from execution_platform import _json
from execution_platform.testing import Cut, FakeUpstream, Gate, Raw, Script, Text, Tokens
from gateway.books import stored
from serving import Got, Served, chat_body, serving, three_vendors

ANSWER = Script(Text("ok"), usage=Tokens(input=1000, output=100))
MASTER = {"EP_MASTER_KEY": "sk-master-0123456789"}
ADMIN = {"authorization": "Bearer sk-master-0123456789"}


async def put(gateway: Served, model: str, price: dict[str, Any], **headers: str) -> Got:
    async with gateway.http.put(f"{gateway.url}/v1/prices/{model}", json=price, headers=headers) as response:
        return Got(response.status, dict(response.headers), await response.read())


async def delete(gateway: Served, model: str) -> int:
    async with gateway.http.delete(f"{gateway.url}/v1/prices/{model}") as response:
        return response.status


async def ask(gateway: Served, model: str, dialect: str = "openai_chat", *, stream: bool = False) -> Got:
    path, body = chat_body(dialect, "hello", model, stream=stream)
    return await gateway.post(path, body)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic", "gemini"])
def test_a_model_whose_price_nobody_knows_is_refused_before_anything_leaves(
    dialect: str, stream: bool, tmp_path: Path
) -> None:
    """B6, trust 2.5 "price unknown", field item 15: never a silent zero."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            got = await ask(gateway, "openai/gpt-nonsense", dialect, stream=stream)
            assert got.status == 402
            assert b"price_unknown" in got.body or got.header("x-ep-error-code") == "price_unknown"
            assert b"ep prices set openai/gpt-nonsense" in got.body
            assert b"free: true" in got.body
            assert not upstream.meter
            assert await stored(gateway) == []

    asyncio.run(run())


def test_embeddings_need_a_price_too_and_counting_needs_none(tmp_path: Path) -> None:
    """B6 on every operation."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            body = {"model": "openai/embed-nonsense", "input": "hi"}
            got = await gateway.post("/v1/embeddings", body)
            assert (got.status, got.json()["error"]["code"]) == (402, "price_unknown")
            assert not upstream.meter
            counted = await gateway.post(
                "/v1/messages/count_tokens",
                {"model": "anthropic/claude-nonsense", "messages": [{"role": "user", "content": "hi"}]},
            )
            assert counted.status == 200, counted.body

    asyncio.run(run())


def test_the_next_target_of_a_chain_may_have_a_price(tmp_path: Path) -> None:
    async def run() -> None:
        models = {"smart": {"targets": [{"model": "openai/gpt-nonsense"}, {"model": "anthropic/claude-sonnet-4-5"}]}}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, models=models)) as gateway:
            got = await ask(gateway, "smart")
            assert got.status == 200, got.body
            assert [exchange.model for exchange in upstream.meter] == ["claude-sonnet-4-5"]

    asyncio.run(run())


def test_a_price_that_is_set_holds_at_once_and_the_past_keeps_its_cost(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(ANSWER)
            assert (await ask(gateway, "openai/gpt-nonsense")).status == 402
            got = await put(gateway, "openai/gpt-nonsense", {"input": 3, "output": 15})
            assert got.status == 200, got.body
            assert (await ask(gateway, "openai/gpt-nonsense")).header("x-ep-cost-usd") == "0.00450000"
            assert (await put(gateway, "openai/gpt-nonsense", {"input": 30, "output": 150})).status == 200
            assert (await ask(gateway, "openai/gpt-nonsense")).header("x-ep-cost-usd") == "0.04500000"
            rows = await stored(gateway)
            assert [row["cost_nanos"] for row in rows] == [4_500_000, 45_000_000]
            assert [row["confidence"] for row in rows] == ["metered", "metered"]
            assert len({row["price_version"] for row in rows} - {""}) == 2
            assert all(row["price_version"].startswith("table@") for row in rows)
            assert await delete(gateway, "openai/gpt-nonsense") == 204
            assert (await ask(gateway, "openai/gpt-nonsense")).status == 402
            assert await delete(gateway, "openai/gpt-nonsense") == 404

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic"], ids=["relayed", "translated"])
def test_an_answer_is_priced_by_the_moment_its_request_left(dialect: str, stream: bool, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            gate = Gate()
            upstream.script(Script(Text("ok"), usage=ANSWER.usage, gate=gate))
            await put(gateway, "openai/gpt-4o", {"input": 3, "output": 15})
            waiting = asyncio.create_task(ask(gateway, "openai/gpt-4o", dialect, stream=stream))
            await gate.reached()
            await put(gateway, "openai/gpt-4o", {"input": 30, "output": 150})
            gate.release()
            got = await waiting
            assert stream or got.header("x-ep-cost-usd") == "0.00450000"
            (row,) = await stored(gateway)
            assert row["cost_nanos"] == 4_500_000

    asyncio.run(run())


def test_a_future_price_waits_for_its_day(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(ANSWER)
            tomorrow = datetime.now(UTC).date() + timedelta(days=1)
            price = {"input": 3, "output": 15, "effective_date": tomorrow.isoformat()}
            assert (await put(gateway, "openai/gpt-4o", price)).status == 200
            assert (await ask(gateway, "openai/gpt-4o")).header("x-ep-cost-usd") == "0.00350000"
            moment = f"{tomorrow.isoformat()}T00:00:00Z"
            (row,) = (await gateway.get(f"/v1/prices?provider=openai&model=gpt-4o&at={moment}")).json()["prices"]
            assert (row["source"], row["input"], row["output"]) == ("table", 3, 15)
            (row,) = (await gateway.get("/v1/prices?provider=openai&model=gpt-4o")).json()["prices"]
            assert (row["source"], row["input"]) == ("list", 2.5)

    asyncio.run(run())


def test_a_replica_takes_over_what_another_one_set(database_url: str, tmp_path: Path) -> None:
    """Field item 17: a price reaches every replica within seconds, without a look at the database on the way of a request."""

    async def run() -> None:
        environ = {"EP_DATABASE_URL": database_url}
        first, second = tmp_path / "one", tmp_path / "two"
        first.mkdir()
        second.mkdir()
        async with (
            FakeUpstream() as upstream,
            serving(first, three_vendors(upstream), environ) as one,
            serving(second, three_vendors(upstream), environ) as two,
        ):
            upstream.script(ANSWER)
            assert (await put(one, "openai/gpt-nonsense", {"input": 3, "output": 15})).status == 200
            async with asyncio.timeout(20):
                while (got := await ask(two, "openai/gpt-nonsense")).status != 200:
                    await asyncio.sleep(0.05)
            assert got.header("x-ep-cost-usd") == "0.00450000"
        async with FakeUpstream() as upstream, serving(second, three_vendors(upstream), environ) as again:
            upstream.script(ANSWER)
            # A replica that starts has read the table before it serves.
            assert (await ask(again, "openai/gpt-nonsense")).status == 200

    asyncio.run(run())


def test_the_list_says_what_holds_and_by_whose_authority(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            config = three_vendors(upstream)
            config["providers"]["openai"]["models"] = ["gpt-4o", "gpt-nonsense", "mine"]
            config["providers"]["openai"]["prices"] = {
                "mine": {"input": 1, "output": 2, "tiers": {"batch": {"input": 0.5}}}
            }
            async with serving(tmp_path, config) as gateway:
                await put(gateway, "anthropic/*", {"input": 1, "output": 1})
                rows = (await gateway.get("/v1/prices")).json()["prices"]
                found = {f"{row['provider']}/{row['model']}": row for row in rows}
                assert found["openai/gpt-4o"]["source"] == "list"
                assert found["openai/gpt-4o"]["tiers"]["batch"]["input"] == 1.25
                assert (found["openai/mine"]["source"], found["openai/mine"]["tiers"]) == (
                    "file",
                    {"batch": {"input": 0.5, "output": 2.0}},
                )
                assert found["openai/gpt-nonsense"]["source"] == "none"
                assert found["anthropic/claude-sonnet-4-5"]["source"] == "table"
                assert found["mock/mock-1"] == {
                    "provider": "mock",
                    "model": "mock-1",
                    "source": "free",
                    "price_version": "free",
                    "free": True,
                }
                none = (await gateway.get("/v1/prices?source=none&provider=openai")).json()["prices"]
                assert [row["model"] for row in none] == ["gpt-nonsense"]
                any_model = (await gateway.get("/v1/prices?provider=openai&model=o3&at=2025-05-01")).json()["prices"]
                assert [(row["source"], row["input"]) for row in any_model] == [("list", 10)]

    asyncio.run(run())


def test_pages_of_the_list_follow_each_other_without_gaps(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            whole = (await gateway.get("/v1/prices")).json()
            assert whole["next"] is None
            seen: list[str] = []
            after = ""
            while after is not None:
                page = (await gateway.get(f"/v1/prices?limit=3&after={after}")).json()
                assert len(page["prices"]) <= 3
                seen += [f"{row['provider']}/{row['model']}" for row in page["prices"]]
                after = page["next"]
            assert seen == [f"{row['provider']}/{row['model']}" for row in whole["prices"]]
            assert (await gateway.get("/v1/prices?limit=101")).status == 422
            for number in range(3):
                await put(gateway, f"openai/m{number}", {"input": 1, "output": 1})
            first = (await gateway.get("/v1/prices/set?limit=2")).json()
            second = (await gateway.get(f"/v1/prices/set?limit=2&after={first['next']}")).json()
            assert [row["model"] for row in (*first["prices"], *second["prices"])] == ["m0", "m1", "m2"]
            assert first["prices"][0]["price"] == {"input": 1.0, "output": 1.0}
            assert second["next"] is None

    asyncio.run(run())


@pytest.mark.parametrize(
    ("model", "price", "says"),
    [
        ("openai/m", {"input": -1, "output": 1}, "input"),
        ("openai/m", {"input": 1}, "needs input and output"),
        ("openai/m", {"input": 1, "output": 1, "free": True}, "is free and has a price"),
        ("openai/m", {"input": "1", "output": 1}, "input"),
        ("openai/m", {"input": 1, "output": 1, "surprise": 1}, "surprise"),
        ("openai/m", {"input": 0.0000001, "output": 1}, "decimals"),
        ("openai/m", {"input": 1e9, "output": 1}, "at most"),
        ("openai/m", {"input": 1, "output": 1, "effective_date": "soon"}, "effective_date"),
        ("opnai/m", {"input": 1, "output": 1}, "openai"),
        ("openai/" + "m" * 201, {"input": 1, "output": 1}, "200"),
    ],
)
def test_what_is_no_price_is_refused_and_named(model: str, price: dict[str, Any], says: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            got = await put(gateway, model, price)
            assert got.status == 422, got.body
            assert says in got.json()["error"]["message"]
            assert (await gateway.get("/v1/prices/set")).json()["prices"] == []

    asyncio.run(run())


def test_only_an_admin_sets_prices(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            config = three_vendors(upstream, keys=[{"name": "ci", "key": "sk-ci-0123456789abcdef"}])
            async with serving(tmp_path, config, MASTER) as gateway:
                mine = {"authorization": "Bearer sk-ci-0123456789abcdef"}
                price = {"input": 1, "output": 1}
                assert (await put(gateway, "openai/gpt-4o", price, **mine)).status == 403
                assert (await put(gateway, "openai/gpt-4o", price)).status == 401
                assert (await gateway.get("/v1/prices", **mine)).status == 403
                assert (await gateway.get("/v1/prices/set", **mine)).status == 403
                assert (await put(gateway, "openai/gpt-4o", price, **ADMIN)).status == 200
                (row,) = (await gateway.get("/v1/prices/set", **ADMIN)).json()["prices"]
                assert row["set_by"]
                (entry,) = (await gateway.get("/v1/audit", **ADMIN)).json()["entries"]
                assert (entry["action"], entry["object"]) == ("price.set", "price")

    asyncio.run(run())


def test_a_database_that_is_away_changes_no_price(tmp_path: Path) -> None:
    async def run() -> None:
        environ = {"EP_DATABASE_URL": "postgresql://ep@127.0.0.1:1/none"}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), environ) as gateway:
            upstream.script(ANSWER)
            assert (await ask(gateway, "openai/gpt-4o")).header("x-ep-cost-usd") == "0.00350000"
            assert (await put(gateway, "openai/gpt-4o", {"input": 1, "output": 1})).status == 503
            assert (await gateway.get("/v1/prices?provider=openai&model=gpt-4o")).status == 200

    asyncio.run(run())


def test_explain_names_a_target_without_a_price(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            got = await gateway.post("/v1/explain", {"model": "openai/gpt-nonsense"})
            (row,) = got.json()["candidates"]
            assert row["estimate"]["cost_usd"] is None
            assert "its price is not known" in row["refused"]
            (row,) = (await gateway.post("/v1/explain", {"model": "openai/gpt-4o"})).json()["candidates"]
            assert row["estimate"]["price_version"].startswith("genai-prices/")

    asyncio.run(run())


def native_answer(usage: dict[str, Any], **more: Any) -> Script:
    """A chat completion whose usage is exactly this."""
    message = {"role": "assistant", "content": "ok"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return Script(Raw(body=_json.dumps({**answer, **more})))


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic"], ids=["relayed", "translated"])
@pytest.mark.parametrize(
    ("usage", "nanos", "confidence"),
    [
        ({"cost": 0.0123}, 12_300_000, "provider_reported"),
        # The caller's own account behind it pays upstream; what OpenRouter takes is its fee.
        (
            {"cost": 0.0005, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.01}},
            10_500_000,
            "provider_reported",
        ),
        ({"cost": 0}, 3_500_000, "metered"),
        ({}, 3_500_000, "metered"),
    ],
)
def test_what_openrouter_charges_is_what_the_books_have(
    usage: dict[str, Any], nanos: int, confidence: str, dialect: str, tmp_path: Path
) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            config = three_vendors(upstream)
            given = {"base_url": f"{upstream.url}/v1", "api_key": "sk-or-canary-1", "models": ["openai/gpt-4o"]}
            config["providers"]["openrouter"] = given
            async with serving(tmp_path, config) as gateway:
                upstream.script(native_answer({"prompt_tokens": 1000, "completion_tokens": 100, **usage}))
                got = await ask(gateway, "openrouter/openai/gpt-4o", dialect)
                assert got.status == 200, got.body
                (row,) = await stored(gateway)
                assert (row["cost_nanos"], row["confidence"]) == (nanos, confidence)

    asyncio.run(run())


def test_a_cost_that_others_report_is_not_believed(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(native_answer({"prompt_tokens": 1000, "completion_tokens": 100, "cost": 0.000001}))
            await ask(gateway, "openai/gpt-4o")
            (row,) = await stored(gateway)
            assert (row["cost_nanos"], row["confidence"]) == (3_500_000, "metered")

    asyncio.run(run())


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic"], ids=["relayed", "translated"])
@pytest.mark.parametrize(("tier", "nanos"), [("default", 3_500_000), ("priority", 5_950_000), ("batch", 1_750_000)])
def test_the_tier_that_answered_sets_the_price(tier: str, nanos: int, dialect: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(native_answer({"prompt_tokens": 1000, "completion_tokens": 100}, service_tier=tier))
            got = await ask(gateway, "openai/gpt-4o", dialect)
            assert got.status == 200, got.body
            (row,) = await stored(gateway)
            assert row["cost_nanos"] == nanos

    asyncio.run(run())


@pytest.mark.parametrize("dialect", ["anthropic", "openai_chat"], ids=["relayed", "translated"])
def test_a_cut_stream_keeps_the_rates_of_its_cached_prompt(dialect: str, tmp_path: Path) -> None:
    """Field item 13: a prompt out of the cache is not billed as a new one."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            told = Tokens(input=10_000, cached=8000, cache_write=1000)
            upstream.script(Script(Text("word " * 40), usage=told, faults=[Cut(after=10, of="content")]))
            await ask(gateway, "anthropic/claude-sonnet-4-5", dialect, stream=True)
            (row,) = await stored(gateway)
            assert (row["cache_read_tokens"], row["cache_write_tokens"]) == (8000, 1000)
            assert row["confidence"] == "estimated"
            prompt = 1000 * 3000 + 8000 * 300 + 1000 * 3750
            assert 0 < row["cost_nanos"] - prompt <= 45 * 15_000

    asyncio.run(run())
