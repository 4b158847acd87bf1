"""What failing upstreams do to callers, and callers to failing upstreams. The upstream's own meter is the oracle."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from execution_platform.runtime.call import Call
from execution_platform.testing import Cut, FakeUpstream, Script, Stall, Status, StreamError, Text
from gateway.watching import Log, metrics, streaming, total
from serving import Got, Served, chat_body, serving

CLIENTS = ["openai_chat", "anthropic", "gemini", "native"]


def provider(url: str, **settings: Any) -> dict[str, Any]:
    return {
        "kind": "openai_compatible",
        "base_url": f"{url}/v1",
        "models": ["m", "other"],
        "retry": {"base_seconds": 0.001},
        "free": True,
        **settings,
    }


@asynccontextmanager
async def two(
    folder: Path, *, a: dict[str, Any] | None = None, environ: dict[str, str] | None = None, **persona: Any
) -> AsyncIterator[tuple[FakeUpstream, FakeUpstream, Served]]:
    """Two upstreams behind the persona `dev`, which prefers the first."""
    async with FakeUpstream() as first, FakeUpstream() as second:
        first.script(Script(Text("from a")), model="*")
        second.script(Script(Text("from b")), model="*")
        config = {
            "providers": {"a": provider(first.url, **(a or {})), "b": provider(second.url)},
            "personas": {"dev": {"prefer": ["a/m", "b/m"], **persona}},
        }
        async with serving(folder, config, environ) as gateway:
            yield first, second, gateway


async def ask(gateway: Served, model: str = "persona/dev", *, stream: bool = False, **headers: str) -> Got:
    path, body = chat_body("openai_chat", "hello", model, stream=stream)
    return await gateway.post(path, body, **headers)


async def breaker(gateway: Served, name: str = "a") -> str:
    got = await gateway.get("/v1/health/providers")
    return got.json()["providers"][name]["breaker"]


def later(gateway: Served, seconds: float) -> None:
    """Let the board believe that this much time has passed."""
    gateway.gateway.state.builder.board.clock = lambda: time.monotonic() + seconds


# R4: retries


@pytest.mark.parametrize("status", [500, 503])
def test_a_failing_upstream_without_a_fallback_never_sees_more_than_a_fifth_on_top(status: int, tmp_path: Path) -> None:
    """R4."""

    async def run() -> None:
        async with two(tmp_path) as (first, _, gateway):
            first.script(Script(Status(status)), model="*")
            answers = await asyncio.gather(*(ask(gateway, "a/m") for _ in range(100)))
            assert {got.status for got in answers} <= {502, 503}
            assert len(first.meter) <= 120
            assert all(int(got.header("x-ep-attempts") or 0) <= 3 for got in answers)

    asyncio.run(run())


def test_a_brown_out_with_a_healthy_fallback_is_not_seen_and_not_multiplied(tmp_path: Path) -> None:
    """R4."""

    async def run() -> None:
        async with two(tmp_path) as (first, second, gateway):
            first.script(*[Script(Status(500)), Script(Text("from a"))] * 200, model="*")
            answers = [await ask(gateway) for _ in range(60)]
            assert {got.status for got in answers} == {200}
            assert len(first.meter) <= 60
            assert len(first.meter) + len(second.meter) <= 60 + sum(
                got.header("x-ep-attempts") == "2" for got in answers
            )

    asyncio.run(run())


def test_one_target_is_asked_again_and_answers(tmp_path: Path) -> None:
    async def run() -> None:
        async with two(tmp_path) as (first, _, gateway):
            first.script(Script(Status(503)), Script(Status(500)), Script(Text("at last")), model="*")
            got = await ask(gateway, "a/m")
            assert (got.status, got.header("x-ep-attempts"), got.header("x-ep-fallback-from")) == (200, "3", None)
            assert len(first.meter) == 3

    asyncio.run(run())


def test_a_client_that_repeats_by_itself_is_not_multiplied(tmp_path: Path) -> None:
    """R4: vendor SDKs count their own retries in `x-stainless-retry-count`."""

    async def run() -> None:
        async with two(tmp_path) as (first, _second, gateway):
            first.script(Script(Status(500)), model="*")
            await ask(gateway, "a/m", x_stainless_retry_count="1")
            assert len(first.meter) == 1
            got = await ask(gateway, x_stainless_retry_count="2")
            assert got.header("x-ep-provider") == "b", "another target may still be asked"
            got = await ask(gateway, "a/m", x_stainless_retry_count="0")
            assert got.header("x-ep-attempts") == "3"

    asyncio.run(run())


@pytest.mark.parametrize("status", [400, 422, 404])
def test_a_refusal_that_would_repeat_itself_is_asked_once(status: int, tmp_path: Path) -> None:
    async def run() -> None:
        async with two(tmp_path) as (first, _, gateway):
            first.script(Script(Status(status)), model="*")
            await ask(gateway, "a/m")
            assert len(first.meter) == 1

    asyncio.run(run())


# R5: waits that providers ask for


def waits() -> dict[str, Status]:
    return {
        "seconds": Status(429, retry_after=7),
        "date": Status(429, retry_after=formatdate(time.time() + 30, usegmt=True)),
        "milliseconds": Status(429, retry_after_ms=7000),
        "a thousand million": Status(429, retry_after=1e9),
        "of an overload": Status(503, retry_after=7),
    }


@pytest.mark.parametrize("form", waits())
def test_a_wait_is_kept_for_that_model_alone_and_the_next_target_answers_at_once(form: str, tmp_path: Path) -> None:
    """R5: no early request, in whatever form the wait is written."""

    async def run() -> None:
        async with two(tmp_path) as (first, _second, gateway):
            first.script(Script(waits()[form]), model="m")
            got = await ask(gateway)
            assert (got.status, got.header("x-ep-provider")) == (200, "b")
            for _ in range(5):
                got = await ask(gateway)
                assert got.header("x-ep-fallback-from") == "a/m"
                assert got.header("x-ep-fallback-reason") == "cooling_down"
                assert got.header("x-ep-attempts") == "1"
            assert len(first.meter) == 1
            assert (await ask(gateway, "a/other")).status == 200
            got = await ask(gateway, "a/m")
            assert got.status == 429
            assert int(got.header("retry-after") or 0) >= 5
            assert len(first.meter) == 2
            later(gateway, 3601)
            first.script(Script(Text("from a")), model="m")
            assert (await ask(gateway)).header("x-ep-provider") == "a"

    asyncio.run(run())


def test_a_wait_in_no_form_is_no_wait(tmp_path: Path) -> None:
    async def run() -> None:
        async with two(tmp_path) as (first, _, gateway):
            first.script(Script(Status(429, retry_after="soon")), model="*")
            await ask(gateway)
            await ask(gateway)
            assert len(first.meter) == 2

    asyncio.run(run())


def test_a_wait_beyond_the_callers_deadline_is_the_answer_at_once(tmp_path: Path) -> None:
    """R5."""

    async def run() -> None:
        async with two(tmp_path, environ={"EP_TIMEOUT": "3"}) as (first, _, gateway):
            first.script(Script(Status(429, retry_after=7)), model="*")
            got = await ask(gateway, "a/m")
            assert (got.status, got.header("retry-after")) == (429, "7")
            assert len(first.meter) == 1

    asyncio.run(run())


def test_a_quota_is_not_asked_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with two(tmp_path) as (first, _, gateway):
            first.script(Script(Status(429, kind="quota")), model="*")
            got = await ask(gateway, "a/m")
            assert (got.status, len(first.meter)) == (429, 1)

    asyncio.run(run())


# R3: outages


OUTAGES: dict[str, Script] = {
    "503": Script(Status(503)),
    "silent": Script(Text("never"), faults=[Stall()]),
    "silent after the head": Script(Text("never"), faults=[Stall(after=0, of="content")]),
    "error event": Script(Text("never"), faults=[StreamError(after=0, of="content")]),
    "reset": Script(Text("never"), faults=[Cut(after=0, how="rst")]),
}


@pytest.mark.parametrize("outage", OUTAGES)
def test_an_outage_is_answered_by_the_next_target_then_avoided_and_its_end_is_noticed(
    outage: str, tmp_path: Path
) -> None:
    """R3 in small: five failures open the breaker, a probe closes it, and no caller sees any of it."""

    async def run() -> None:
        async with two(tmp_path, a={"timeouts": {"first_token": 0.3}}) as (first, _second, gateway):
            first.script(OUTAGES[outage], model="*")
            log = Log(gateway, tmp_path)
            answers = await asyncio.gather(*(ask(gateway, stream=True) for _ in range(5)))
            assert all(b"from" in got.body and got.header("x-ep-provider") == "b" for got in answers)
            assert {got.header("x-ep-fallback-from") for got in answers} == {"a/m"}
            assert await breaker(gateway) == "open"
            found = await metrics(gateway)
            assert total(found, "ep_breaker_state", gen_ai_provider_name="a", gen_ai_request_model="m") == 2
            seen = len(first.meter)
            got = await ask(gateway, stream=True)
            assert (got.header("x-ep-attempts"), got.header("x-ep-fallback-reason")) == ("1", "breaker_open")
            assert len(first.meter) == seen
            first.script(Script(Text("from a")), model="*")
            later(gateway, 6.0)
            assert await breaker(gateway) == "half_open"
            assert (await ask(gateway, stream=True)).header("x-ep-provider") == "a", "the probe"
            share = [(await ask(gateway, stream=True)).header("x-ep-provider") for _ in range(20)]
            assert share.count("a") == 2
            later(gateway, 9.0)
            assert (await ask(gateway, stream=True)).header("x-ep-provider") == "a"
            assert await breaker(gateway) == "closed"
            told = [(line["provider"], line["model"], line["state"]) for line in log.events("breaker")]
            assert told == [("a", "m", "open"), ("a", "m", "half_open"), ("a", "m", "closed")]

    asyncio.run(run())


def test_a_slow_first_token_of_the_last_target_is_awaited_and_counts(tmp_path: Path) -> None:
    """R3: the last attempt is never cut; the breaker hears of it all the same."""

    async def run() -> None:
        async with two(tmp_path, a={"timeouts": {"first_token": 0.05}}) as (first, _, gateway):
            first.script(Script(Text("late"), gate=first.gate("hold")), model="*")
            waiting = [asyncio.create_task(ask(gateway, "a/m", stream=True)) for _ in range(5)]
            async with asyncio.timeout(5):
                while await breaker(gateway) != "open":
                    await asyncio.sleep(0)
            first.release("hold")
            answers = await asyncio.gather(*waiting)
            assert all(got.status == 200 and b"late" in got.body for got in answers)

    asyncio.run(run())


def test_when_everything_is_open_one_try_a_second_is_let_through(tmp_path: Path) -> None:
    async def run() -> None:
        async with two(tmp_path) as (first, second, gateway):
            for upstream in (first, second):
                upstream.script(Script(Status(503)), model="*")
            for _ in range(8):
                await ask(gateway)
            assert (await breaker(gateway), await breaker(gateway, "b")) == ("open", "open")
            later(gateway, 1.5)
            before = len(first.meter) + len(second.meter)
            answers = [await ask(gateway) for _ in range(6)]
            assert len(first.meter) + len(second.meter) - before == 2, "one at each"
            refused = answers[-1]
            assert refused.status == 503
            assert refused.header("x-ep-error") == "circuit_open"
            assert 1 <= int(refused.header("retry-after") or 0) <= 5
            assert (refused.header("x-ep-attempts"), refused.header("x-ep-provider")) == ("0", None)

    asyncio.run(run())


# R6: bulkheads


def test_a_full_upstream_gives_way_to_the_next_and_others_do_not_notice(tmp_path: Path) -> None:
    """R6."""

    async def run() -> None:
        async with two(tmp_path, a={"concurrency": 2}) as (first, _, gateway):
            first.script(Script(Text("slow"), gate=first.gate("hold")), model="*")
            slow = [asyncio.create_task(ask(gateway)) for _ in range(2)]
            await first.wait_until(lambda meter: len(meter) == 2)
            got = await ask(gateway)
            assert (got.header("x-ep-provider"), got.header("x-ep-fallback-reason")) == ("b", "saturated")
            assert (await ask(gateway, "b/m")).status == 200
            refused = await ask(gateway, "a/m")
            assert (refused.status, refused.header("x-ep-error")) == (503, "saturated")
            assert refused.header("retry-after") == "1"
            first.release("hold")
            assert all(got.header("x-ep-provider") == "a" for got in await asyncio.gather(*slow))
            assert len(first.meter) == 2

    asyncio.run(run())


def test_a_place_is_kept_until_the_stream_has_ended(tmp_path: Path) -> None:
    async def run() -> None:
        async with two(tmp_path, a={"concurrency": 1}) as (first, _, gateway):
            first.script(Script(Text("one two", chunks=2), faults=[Stall(after=1, of="content")]), model="*")
            path, body = chat_body("openai_chat", "hello", "persona/dev", stream=True)
            async with streaming(gateway, path, body) as stream:
                await stream.until(b"one")
                assert gateway.gateway.state.builder.board.upstream("a").bulkhead.inside == 1
                assert (await ask(gateway)).header("x-ep-provider") == "b"
            await first.wait_closed(0)
            first.script(Script(Text("from a")), model="*")
            assert (await ask(gateway)).header("x-ep-provider") == "a"

    asyncio.run(run())


# R16: leaving


@pytest.mark.parametrize("place", ["pausing", "queued", "retrying", "hedged"])
def test_who_leaves_while_nothing_or_everything_is_under_way_closes_all_of_it(place: str, tmp_path: Path) -> None:
    """R16."""

    async def run() -> None:
        settings: dict[str, Any] = {"concurrency": 1} if place == "queued" else {}
        hedge = {"hedge": 0.01} if place == "hedged" else {}
        async with two(tmp_path, a=settings, **hedge) as (first, second, gateway):
            log = Log(gateway, tmp_path)
            hold = Script(Text("never"), gate=first.gate("hold"))
            second.script(Script(Text("never"), gate=second.gate("hold")), model="*")
            holder = None
            match place:
                case "pausing":
                    first.script(Script(Status(429, retry_after=9)), model="*")
                case "retrying":
                    first.script(Script(Status(500)), hold, model="*")
                case _:
                    first.script(hold, model="*")
            if place == "queued":
                holder = asyncio.create_task(ask(gateway, "a/m"))
                await first.wait_until(lambda meter: len(meter) == 1)
            leaver = asyncio.create_task(ask(gateway, "persona/dev" if place == "hedged" else "a/m", stream=True))
            bulkhead = gateway.gateway.state.builder.board.upstream("a").bulkhead
            if place == "queued":
                async with asyncio.timeout(5):
                    while not bulkhead.waiting:
                        await asyncio.sleep(0)
            await first.wait_until(lambda meter: len(meter) == (2 if place == "retrying" else 1))
            if place == "hedged":
                await second.wait_until(lambda meter: len(meter) == 1)
            leaver.cancel()
            (line,) = await log.requests(1)
            assert line["status"] == 499
            if place == "retrying":
                await first.wait_closed(1)
            if place == "hedged":
                await first.wait_closed(0)
                await second.wait_closed(0)
            assert (bulkhead.waiting, bulkhead.inside) == (0, 1 if holder else 0)
            assert all(one.end is not None for one in second.meter.exchanges)
            first.release("hold")
            if holder is not None:
                await holder

    asyncio.run(run())


# Hedging


def test_a_second_target_is_asked_after_the_given_time_and_the_loser_is_closed_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        calls: list[Call] = []
        monkeypatch.setattr("execution_platform.gateway.state.observe", lambda _, call, *rest: calls.append(call))
        async with two(tmp_path, hedge=0.02) as (first, _second, gateway):
            first.script(Script(Text("never"), gate=first.gate("hold")), model="*")
            for stream in (True, False):
                got = await ask(gateway, stream=stream)
                assert b"from" in got.body
                assert (got.header("x-ep-provider"), got.header("x-ep-attempts")) == ("b", "2")
            assert (await first.wait_closed(0)).end == "client"
            assert (await first.wait_closed(1)).end == "client"
            tried = calls[0].outcome.tried
            assert [(str(one.target), one.why, one.status) for one in tried] == [
                ("a/m", "first", "hedge_loser"),
                ("b/m", "hedge", "ok"),
            ]
            assert tried[0].sent
            assert tried[0].seconds > 0
            board = gateway.gateway.state.builder.board
            assert [board.upstream(name).bulkhead.inside for name in "ab"] == [0, 0]

    asyncio.run(run())


def test_a_quick_first_target_is_not_hedged_and_one_that_fails_is_not_waited_for(tmp_path: Path) -> None:
    async def run() -> None:
        async with two(tmp_path, hedge=5.0) as (first, second, gateway):
            assert (await ask(gateway, stream=True)).header("x-ep-provider") == "a"
            assert len(second.meter) == 0
            first.script(Script(Status(500)), model="*")
            got = await ask(gateway, stream=True)
            assert (got.header("x-ep-provider"), got.header("x-ep-attempts")) == ("b", "2")

    asyncio.run(run())


def test_when_both_racers_fail_the_answer_is_the_failure(tmp_path: Path) -> None:
    async def run() -> None:
        async with two(tmp_path, hedge=0.01) as (first, second, gateway):
            first.script(Script(Status(500), gate=first.gate("hold")), model="*")
            second.script(Script(Status(503)), model="*")
            waiting = asyncio.create_task(ask(gateway, stream=True))
            await second.wait_closed(0)
            first.release("hold")
            assert (await waiting).status in {502, 503}
            assert len(first.meter) + len(second.meter) <= 3

    asyncio.run(run())


def test_the_usual_slowest_of_the_last_answers_is_the_patience_of_hedge_true(tmp_path: Path) -> None:
    async def run() -> None:
        async with two(tmp_path, hedge=True) as (first, _second, gateway):
            for _ in range(20):
                assert (await ask(gateway, stream=True)).header("x-ep-provider") == "a"
            first.script(Script(Text("never"), gate=first.gate("hold")), model="*")
            assert (await ask(gateway, stream=True)).header("x-ep-provider") == "b"

    asyncio.run(run())


# R7 and continuation


CUTS = {
    "cut": Cut(after=3, of="content"),
    "error event": StreamError(after=3, of="content"),
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_cut_stream_goes_on_at_the_next_target_where_that_is_wanted(client: str, cut: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with two(tmp_path, continue_on_cut=True) as (first, second, gateway):
            log = Log(gateway, tmp_path)
            first.script(Script(Text("one two three four five"), faults=[CUTS[cut]], pace=0.01), model="*")
            second.script(Script(Text(" four five")), model="*")
            got = await gateway.post(*chat_body(client, "hello", "persona/dev", stream=True))
            assert got.status == 200
            text = said(client, got)
            assert text == "one two three four five"
            assert b'"error"' not in got.body
            asked: Any = second.meter[0].body
            assert asked["messages"][-1] == {"role": "assistant", "content": "one two three"}
            if client == "native":
                assert b'"continued":true' in got.body
                assert b'"fallback_from":"a"' in got.body
            # Some readers of the other two dialects take a comment for data.
            assert (b": continued by b/m\n\n" in got.body) == (client in {"openai_chat", "native"})
            (line,) = await log.requests(1)
            assert (line["continued"], line["provider"]) == (1, "b")
            assert "error" not in line
            assert total(await metrics(gateway), "ep_continuations_total", gen_ai_provider_name="b") == 1

    asyncio.run(run())


def test_nothing_goes_on_where_it_is_not_wanted_or_where_nobody_is_left(tmp_path: Path) -> None:
    """R7: then the stream ends with the dialect's error and nothing is said twice."""

    async def run() -> None:
        async with two(tmp_path) as (first, second, gateway):
            first.script(Script(Text("one two three four five"), faults=[CUTS["cut"]], pace=0.01), model="*")
            for model in ("persona/dev", "a/m"):
                got = await ask(gateway, model, stream=True)
                assert b'"error"' in got.body
                assert b"[DONE]" not in got.body
            assert len(second.meter) == 0
        async with two(tmp_path, continue_on_cut=True) as (first, second, gateway):
            first.script(Script(Text("one two three four five"), faults=[CUTS["cut"]], pace=0.01), model="*")
            second.script(Script(Status(500)), model="*")
            got = await ask(gateway, stream=True)
            assert b'"error"' in got.body
            assert b"[DONE]" not in got.body

    asyncio.run(run())


def said(client: str, got: Got) -> str:
    """The text of a stream."""
    from execution_platform import _json

    out: list[str] = []
    for line in got.body.decode().splitlines():
        if not line.startswith("data:") or line.endswith("[DONE]"):
            continue
        data: Any = _json.loads(line[5:].encode())
        match client:
            case "openai_chat":
                out += [choice["delta"].get("content") or "" for choice in data["choices"]]
            case "anthropic":
                out.append(data.get("delta", {}).get("text", ""))
            case "gemini":
                out += [part.get("text", "") for c in data["candidates"] for part in c["content"].get("parts", [])]
            case _:
                out.append(data.get("text", ""))
    return "".join(out)


# What people see


def test_a_running_gateways_breakers_are_listed_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run() -> None:
        from execution_platform.cli.providers import providers

        async with two(tmp_path, a={"circuit_breaker": {"failure_threshold": 1}}) as (first, _, gateway):
            first.script(Script(Status(503)), model="m")
            first.script(Script(Status(429, retry_after=30)), model="other")
            await ask(gateway, "a/m")
            await ask(gateway, "a/other")
            await asyncio.to_thread(providers, None, gateway.url, as_json=True)
            told = json.loads(capsys.readouterr().out)["providers"]["a"]
            assert told["breaker"] == "open"
            states = {each["model"]: each for each in told["deployments"]}
            assert states["m"]["breaker"] == "open"
            assert states["m"]["retry_in"] > 0
            assert states["other"]["cooling"] > 25
            await asyncio.to_thread(providers, None, gateway.url)
            table = capsys.readouterr().out
            assert "open" in table
            assert "breaker" in table

    asyncio.run(run())


def test_the_log_and_the_headers_tell_the_way_of_a_request(tmp_path: Path) -> None:
    async def run() -> None:
        async with two(tmp_path) as (first, second, gateway):
            log = Log(gateway, tmp_path)
            first.script(Script(Status(500)), model="*")
            got = await ask(gateway)
            assert got.header("x-ep-fallback-from") == "a/m"
            assert got.header("x-ep-fallback-reason") == "server"
            second.script(Script(Status(503)), model="*")
            failed = await ask(gateway)
            assert failed.header("x-should-retry") == "false", "one layer repeats, not two"
            lines = await log.requests(2)
            assert lines[0]["failed"] == ["a/m: server"]
            assert lines[0]["tries"] == ["a/m: first failed", "b/m: failover ok"]
            assert lines[1]["attempts"] == 3
            assert lines[1]["tries"][-1].split(": ")[1] == "retry failed"

    asyncio.run(run())


@pytest.mark.parametrize("goes_on", [False, True], ids=["ends", "goes on"])
@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("client", CLIENTS)
def test_wherever_a_stream_is_cut_nothing_is_said_twice_and_nothing_ends_cleanly(
    client: str, how: Any, goes_on: bool, tmp_path: Path
) -> None:
    """R7: a cut at each of the first events."""

    async def run() -> None:
        words = "one two three four five six seven eight"
        async with two(tmp_path, continue_on_cut=goes_on) as (first, second, gateway):
            second.script(Script(Text("...")), model="*")
            for after in range(10):
                first.script(Script(Text(words), faults=[Cut(after=after, how=how)], pace=0.001), model="*")
                got = await gateway.post(*chat_body(client, "hello", "persona/dev", stream=True))
                assert got.status == 200
                failed = b'"error"' in got.body
                text = said(client, got) if not failed else ""
                if got.header("x-ep-provider") == "b":
                    assert text == "...", "cut before its content"
                elif goes_on:
                    assert text.endswith("...")
                    assert words.startswith(text.removesuffix("...").rstrip())
                else:
                    assert failed
                    assert b"[DONE]" not in got.body
                    assert b"message_stop" not in got.body
                    assert b"event: done" not in got.body
            assert await breaker(gateway) == "closed", "how an answer ends says nothing about the next one"

    asyncio.run(run())
