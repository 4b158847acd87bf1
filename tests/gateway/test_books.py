"""Every exchange with a provider is in the books, with what it really used. The upstream's meter is the oracle."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from execution_platform.testing import FakeUpstream, Gate, NoAnswer, Script, Status, StreamError, Text, Tokens
from gateway.books import stored, usd
from serving import MODELS, chat_body, serving, three_vendors

CLIENTS = ["openai_chat", "anthropic", "gemini", "native"]
CHAIN = {"personas": {"dev": {"prefer": list(MODELS.values())}}}
ANSWER = Script(Text("one two three four five"), usage=Tokens(input=1000, output=50, cached=200))


def totals(rows: list[Any]) -> dict[str, int]:
    return {
        "requests": len(rows),
        "input": sum(row["input_tokens"] for row in rows),
        "output": sum(row["output_tokens"] for row in rows),
        "cached": sum(row["cache_read_tokens"] for row in rows),
    }


def metered(upstream: FakeUpstream) -> dict[str, int]:
    sums = upstream.meter.totals()
    return {name: sums[name] for name in ("requests", "input", "output", "cached")}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("target", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
def test_what_is_stored_is_what_the_upstream_metered(client: str, target: str, stream: bool, tmp_path: Path) -> None:
    """B2, R37: by every dialect to every vendor, converted or passed through."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(ANSWER)
            path, body = chat_body(client, "hello", MODELS[target], stream=stream)
            got = await gateway.post(path, body, x_request_id="req_mine")
            assert got.status == 200, got.body
            (row,) = rows = await stored(gateway)
            assert totals(rows) == metered(upstream)
            assert (row["request_id"], row["status"], row["confidence"], row["final"], row["attempt"]) == (
                "req_mine",
                "ok",
                "metered",
                True,
                1,
            )
            assert f"{row['provider']}/{row['model']}" == MODELS[target]
            assert row["price_version"].startswith("genai-prices/")
            assert row["cost_nanos"] > 0
            assert usd(rows) == row["cost_usd"] or abs(float(usd(rows)) - float(row["cost_usd"])) < 1e-9

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_every_try_is_an_event_and_one_of_them_is_final(stream: bool, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **CHAIN)) as gateway:
            upstream.script(Script(Status(500)), model="gpt-4o")
            upstream.script(Script(Status(529)), model="claude-*")
            upstream.script(ANSWER, model="gemini-*")
            path, body = chat_body("openai_chat", "hello", "persona/dev", stream=stream)
            assert (await gateway.post(path, body)).status == 200
            rows = await stored(gateway)
            assert len(rows) == len(upstream.meter)
            assert [(row["provider"], row["status"], row["final"], row["attempt"]) for row in rows] == [
                ("openai", "retried", False, 1),
                ("anthropic", "retried", False, 2),
                ("gemini", "ok", True, 3),
            ]
            assert [row["cost_nanos"] == 0 for row in rows] == [True, True, False]
            assert {row["persona"] for row in rows} == {"dev"}
            assert rows[0]["error"] == "provider_server"

    asyncio.run(run())


def test_when_every_try_fails_the_last_one_is_final(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **CHAIN)) as gateway:
            upstream.script(Script(Status(500)))
            upstream.script(Script(Status(500)))
            upstream.script(Script(Status(500)))
            path, body = chat_body("openai_chat", "hello", "persona/dev")
            assert (await gateway.post(path, body)).status == 502
            rows = await stored(gateway)
            assert [(row["status"], row["final"]) for row in rows] == [
                ("retried", False),
                ("retried", False),
                ("failed", True),
            ]
            assert usd(rows) == 0

    asyncio.run(run())


@pytest.mark.parametrize("target", MODELS)
@pytest.mark.parametrize("client", ["openai_chat", "anthropic", "gemini"])
@pytest.mark.parametrize("read", [1, 10, 50])
def test_a_client_that_leaves_pays_for_what_came(client: str, target: str, read: int, tmp_path: Path) -> None:
    """T2: neither nothing nor the whole answer, and flagged."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            pace = Gate()
            upstream.script(Script(Text(" ".join(["word"] * 100)), usage=Tokens(input=40, output=100), pace_gate=pace))
            path, body = chat_body(client, "hello", MODELS[target], stream=True)
            pace.step(read + 4)
            async with gateway.http.post(gateway.url + path, json=body) as response:
                assert response.status == 200
                received = b""
                while received.count(b"word") < read - 3:
                    received += await response.content.readany()
            (row,) = await stored(gateway)
            exchange = await upstream.wait_closed()
            pace.release()
            assert row["status"] == "aborted"
            assert row["confidence"] == "estimated"
            assert row["final"]
            assert abs(row["output_tokens"] - exchange.tokens_sent) <= 4
            assert row["cost_nanos"] > 0

    asyncio.run(run())


@pytest.mark.parametrize("target", MODELS)
@pytest.mark.parametrize("client", ["openai_chat", "anthropic", "gemini"])
@pytest.mark.parametrize("read", [1, 5, 50, 95])
def test_where_leaving_stops_no_cost_the_answer_is_read_to_its_usage(
    client: str, target: str, read: int, tmp_path: Path
) -> None:
    """T2: the provider charges for all of it, and so do the books, exactly."""

    async def run() -> None:
        async with FakeUpstream() as upstream:
            config = three_vendors(upstream)
            for provider in config["providers"].values():
                provider["profiles"] = {"*": {"cancel_stops_billing": False}}
            async with serving(tmp_path, config) as gateway:
                pace = Gate()
                usage = Tokens(input=40, output=100)
                upstream.script(Script(Text(" ".join(["word"] * 100)), usage=usage, pace_gate=pace))
                path, body = chat_body(client, "hello", MODELS[target], stream=True)
                pace.step(read + 4)
                async with gateway.http.post(gateway.url + path, json=body) as response:
                    received = b""
                    while received.count(b"word") < read - 3:
                        received += await response.content.readany()
                pace.release()
                (row,) = await stored(gateway)
                assert (row["status"], row["confidence"], row["final"]) == ("aborted", "metered", True)
                assert (row["input_tokens"], row["output_tokens"]) == (40, 100)
                assert gateway.gateway.state.admission.in_flight == 0
                assert not upstream.meter.requests_open

    asyncio.run(run())


@pytest.mark.parametrize("stops", [True, False], ids=["stops", "goes on"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_client_that_leaves_before_anything_came_pays_for_its_prompt(
    stops: bool, stream: bool, tmp_path: Path
) -> None:
    """T2: at 0 %, and the upstream is left at once."""

    async def run() -> None:
        async with FakeUpstream() as upstream:
            config = three_vendors(upstream)
            config["providers"]["openai"]["profiles"] = {"*": {"cancel_stops_billing": stops}}
            async with serving(tmp_path, config) as gateway:
                upstream.script(Script(faults=[NoAnswer("silence")]))
                path, body = chat_body("openai_chat", "hello " * 50, MODELS["openai_chat"], stream=stream)
                asked = asyncio.ensure_future(gateway.post(path, body))
                await upstream.wait_until(lambda meter: bool(meter.requests_open), within=5)
                asked.cancel()
                await asyncio.gather(asked, return_exceptions=True)
                (row,) = await stored(gateway)
                assert (row["status"], row["confidence"], row["output_tokens"]) == ("aborted", "estimated", 0)
                assert row["input_tokens"] > 40
                await upstream.wait_until(lambda meter: not meter.requests_open, within=5)

    asyncio.run(run())


@pytest.mark.parametrize("target", MODELS)
@pytest.mark.parametrize("client", ["openai_chat", "anthropic"])
def test_an_answer_that_breaks_off_is_billed_as_far_as_it_came(client: str, target: str, tmp_path: Path) -> None:
    """R7: the part that was sent is billed."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            text = " ".join(["word"] * 40)
            upstream.script(Script(Text(text), pace=0.002, faults=[StreamError(after=20, of="content")]))
            path, body = chat_body(client, "hello", MODELS[target], stream=True)
            await gateway.post(path, body)
            (row,) = await stored(gateway)
            assert (row["status"], row["confidence"], row["final"]) == ("cut", "estimated", True)
            assert 15 <= row["output_tokens"] <= 24
            assert row["error"] is not None

    asyncio.run(run())


def test_an_answer_without_usage_is_estimated(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(Script(Text("one two three"), usage=Tokens(told=False)))
            path, body = chat_body("openai_chat", "hello", MODELS["openai_chat"], stream=True)
            assert (await gateway.post(path, body)).status == 200
            (row,) = await stored(gateway)
            assert (row["status"], row["confidence"], row["output_tokens"]) == ("ok", "estimated", 3)
            assert row["cost_nanos"] > 0

    asyncio.run(run())


def test_embeddings_and_counts_are_exchanges_too(tmp_path: Path) -> None:
    """B2."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            embedded = await gateway.post(
                "/v1/embeddings", {"model": "openai/text-embedding-3-small", "input": "one two three four five"}
            )
            counted = await gateway.post(
                "/v1/messages/count_tokens",
                {"model": MODELS["anthropic"], "messages": [{"role": "user", "content": "hello"}]},
            )
            assert (embedded.status, counted.status) == (200, 200)
            rows = await stored(gateway)
            assert len(rows) == len(upstream.meter)
            assert [(row["operation"], row["status"]) for row in rows] == [("embeddings", "ok"), ("count", "ok")]
            assert rows[0]["input_tokens"] == 5
            assert rows[0]["cost_nanos"] == 100  # $0.02 a million: a tenth of a micro-dollar
            assert rows[1]["cost_nanos"] == 0

    asyncio.run(run())


def test_a_refused_request_has_no_entry(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            assert (await gateway.post("/v1/chat/completions", {"model": "nobody/knows", "messages": []})).status == 404
            assert await stored(gateway) == []
            assert len(upstream.meter) == 0

    asyncio.run(run())


def test_a_gateway_that_stops_leaves_nothing_in_its_journal(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            async with serving(tmp_path, three_vendors(upstream)) as gateway:
                path, body = chat_body("openai_chat", "hello", MODELS["openai_chat"])
                assert (await gateway.post(path, body)).status == 200
                await stored(gateway)
                assert (await gateway.post(path, body)).status == 200
            assert list((tmp_path / "journal").iterdir()) == []
            async with serving(tmp_path, three_vendors(upstream)) as gateway:
                assert len(await stored(gateway)) == 2


def test_what_a_short_life_left_in_its_journal_is_stored_by_the_next_one(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            async with serving(tmp_path, three_vendors(upstream)) as gateway:
                path, body = chat_body("openai_chat", "hello", MODELS["openai_chat"])
                assert (await gateway.post(path, body)).status == 200
            async with serving(tmp_path, three_vendors(upstream)) as gateway:
                await gateway.gateway.state.bookkeeping.recover()
                (row,) = await stored(gateway)
                assert (row["status"], totals([row])) == ("ok", metered(upstream))

    asyncio.run(run())


@pytest.mark.parametrize("tokens", [-5, 10**25])
def test_nonsense_of_a_provider_never_gives_money_back(tokens: int, tmp_path: Path) -> None:
    """B6."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(Script(Text("one two"), usage=Tokens(input=tokens, output=tokens)))
            path, body = chat_body("openai_chat", "hello", MODELS["openai_chat"])
            assert (await gateway.post(path, body)).status == 200
            (row,) = await stored(gateway)
            assert row["cost_nanos"] >= 0
            assert row["input_tokens"] >= 0

    asyncio.run(run())


def test_a_lost_row_is_noticed_and_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """R37: the metric and the log line that alerts read."""
    from sqlalchemy import delete

    from execution_platform.storage.schema import cost_events

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            for target in MODELS.values():
                path, body = chat_body("openai_chat", "hello", target)
                assert (await gateway.post(path, body)).status == 200
            await stored(gateway)
            keeping = gateway.gateway.state.bookkeeping
            await keeping.check()
            assert b"ep_ledger_drift_ratio 0.0" in (await gateway.get("/metrics")).body
            async with keeping.storage.write() as connection:
                await connection.execute(delete(cost_events).where(cost_events.c.provider == "gemini"))
            await keeping.check()
            assert b"ep_ledger_drift_ratio 0.0" not in (await gateway.get("/metrics")).body

    asyncio.run(run())
    assert '"event":"ledger_drift"' in capfd.readouterr().out


def test_a_task_of_the_books_that_fails_is_told_and_begins_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            keeping = gateway.gateway.state.bookkeeping
            apply, failures = keeping.apply, 0

            async def failing(events: Any) -> int:
                nonlocal failures
                failures += 1
                if failures == 1:
                    raise ZeroDivisionError("a mistake of ours")
                return await apply(events)

            keeping.apply = failing  # type: ignore[method-assign]
            path, body = chat_body("openai_chat", "hello", MODELS["openai_chat"])
            assert (await gateway.post(path, body)).status == 200
            async with asyncio.timeout(20):
                while failures < 2:
                    await asyncio.sleep(0.02)
            keeping.apply = apply  # type: ignore[method-assign]
            assert len(await stored(gateway)) == 1

    asyncio.run(run())
    assert '"event":"books_failed"' in capfd.readouterr().out
