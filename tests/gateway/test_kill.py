"""A gateway that is killed in the middle of everything: what it was doing is in the books all the same."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import select

from child import ChildGateway
from execution_platform.storage.address import FILE
from execution_platform.storage.schema import cost_events
from execution_platform.testing import FakeUpstream, Script, Text, Tokens
from gateway.processes import process
from money.shared import budget
from serving import MODELS, chat_body, three_vendors
from storage.opened import opened

WORDS = " ".join(["word"] * 5000)
LONG = Script(Text(WORDS), usage=Tokens(input=40, output=5000), pace=0.005)
SHORT = Script(Text("one two three"), usage=Tokens(input=30, output=3))


async def events(url: str) -> list[Any]:
    async with opened(url) as storage, storage.read() as connection:
        return list((await connection.execute(select(cost_events).order_by(cost_events.c.seq))).mappings())


async def events_of(url: str, count: int, *, within: float = 60.0) -> list[Any]:
    """The stored events, once there are `count` of them."""
    async with asyncio.timeout(within):
        while len(rows := await events(url)) < count:
            await asyncio.sleep(0.2)
    return rows


@asynccontextmanager
async def running(gateway: ChildGateway) -> AsyncIterator[aiohttp.ClientSession]:
    """`gateway`, started; killed at the end, if it was not before."""
    await asyncio.to_thread(gateway.start)
    try:
        async with aiohttp.ClientSession() as http:
            yield http
    finally:
        await kill(gateway)


async def kill(gateway: ChildGateway) -> None:
    """`kill -9`."""
    if gateway.process is not None:
        gateway.process.kill()
        await asyncio.to_thread(gateway.process.wait)


async def ask_at(http: aiohttp.ClientSession, url: str, request_id: str, model: str) -> None:
    """One stream, read until it ends or breaks."""
    path, body = chat_body("openai_chat", f"hello {request_id}", model, stream=True)
    try:
        async with http.post(url + path, json=body, headers={"x-request-id": request_id}) as response:
            await response.read()
    except aiohttp.ClientError:
        return


def test_a_killed_gateway_has_every_dispatched_request_in_its_books_after_a_restart(
    database_url: str,
) -> None:
    """R1: answers that ended are exact, those that were cut are billed to within one checkpoint, and flagged."""

    async def run() -> None:
        async with FakeUpstream() as upstream, AsyncExitStack() as stack:
            upstream.script(SHORT, model="gpt-4o")
            upstream.script(LONG, model="claude-*")
            gateway = ChildGateway(three_vendors(upstream), environ={"EP_DATABASE_URL": database_url})
            stack.callback(gateway.__exit__)
            short, long = MODELS["openai_chat"], MODELS["anthropic"]
            async with running(gateway) as http:
                await asyncio.gather(*(ask_at(http, gateway.url, f"short-{n}", short) for n in range(12)))
                streams = [asyncio.create_task(ask_at(http, gateway.url, f"long-{n}", long)) for n in range(12)]
                async with asyncio.timeout(60):
                    while sum(each.tokens_sent > 400 for each in upstream.meter.exchanges) < 12:
                        await asyncio.sleep(0.05)
                await kill(gateway)
                await asyncio.gather(*streams)
            await upstream.wait_until(lambda meter: meter.requests_open == 0, within=10)
            async with running(gateway):
                rows = await events_of(database_url, 24)
            assert sorted(row["request_id"] for row in rows) == sorted(
                [f"short-{number}" for number in range(12)] + [f"long-{number}" for number in range(12)]
            )
            ended = [row for row in rows if row["request_id"].startswith("short")]
            assert {(row["status"], row["input_tokens"], row["output_tokens"]) for row in ended} == {("ok", 30, 3)}
            cut = [row for row in rows if row["request_id"].startswith("long")]
            assert {(row["status"], row["confidence"], row["final"], row["input_tokens"]) for row in cut} == {
                ("lost", "estimated", True, 40)
            }
            sent = [each.tokens_sent for each in upstream.meter.exchanges if each.tokens_sent > 400]
            # Two seconds at 250 tokens a second, or 256 tokens and a tick: what one checkpoint may miss.
            assert min(row["output_tokens"] for row in cut) > min(sent) - 256 - 250
            assert max(row["output_tokens"] for row in cut) <= max(sent)

    asyncio.run(run())


def test_many_streams_in_flight_are_all_in_the_books(database_url: str) -> None:
    """R1: what `make money` does with a thousand, with forty."""
    from money.killed import kill_in_flight

    found = asyncio.run(kill_in_flight(5, 40, database_url))
    assert (found.dispatched, found.rows, found.lost_committed, found.doubled) == (80, 80, 0, 0)
    assert found.flagged
    assert found.seconds <= 60
    assert found.drift <= 0.02  # of so few tokens; a thousand streams are held to 0.005
    assert found.behind <= 256


def test_what_was_written_survives_a_database_that_was_never_there() -> None:
    """R9, B3: killed while the database was away, nothing is lost when it comes."""

    async def run() -> None:
        gone = "postgresql://postgres@127.0.0.1:1/books"
        async with FakeUpstream() as upstream, AsyncExitStack() as stack:
            upstream.script(SHORT)
            gateway = ChildGateway(three_vendors(upstream), environ={"EP_DATABASE_URL": gone})
            stack.callback(gateway.__exit__)
            async with running(gateway) as http:
                asked = (ask_at(http, gateway.url, f"r-{n}", MODELS["openai_chat"]) for n in range(12))
                await asyncio.gather(*asked)
                await kill(gateway)
            del gateway.environ["EP_DATABASE_URL"]
            async with running(gateway):
                rows = await events_of(f"sqlite:///{gateway.folder / FILE}", 12)
            assert {row["status"] for row in rows} == {"ok"}
            assert len({row["request_id"] for row in rows}) == len(upstream.meter) == 12

    asyncio.run(run())


def test_a_machine_that_never_comes_back_is_accounted_for_by_another(postgres_server: Any, tmp_path: Path) -> None:
    """R1, R21: its open streams are rows of the books without its journal, flagged; what they held is free again."""

    async def run() -> None:
        url = postgres_server.new_database()
        environ = {"EP_DATABASE_URL": url}
        async with FakeUpstream() as upstream:
            upstream.script(LONG, model="claude-*")
            config = three_vendors(
                upstream, ledger={"lost_after": 3}, budgets={"limits": [{"period": "total", "usd": 100}]}
            )
            for name in "ab":
                (tmp_path / name).mkdir()
            async with (
                process(tmp_path / "a", config, environ=environ) as gone,
                process(tmp_path / "b", config, environ=environ) as other,
                aiohttp.ClientSession() as http,
            ):
                model = MODELS["anthropic"]
                streams = [asyncio.create_task(ask_at(http, gone.url, f"long-{n}", model)) for n in range(5)]
                async with asyncio.timeout(60):
                    while int(postgres_server.execute("SELECT count(*) FROM reservations", url.rpartition("/")[2])) < 5:
                        await asyncio.sleep(0.1)
                gone.kill()
                await asyncio.gather(*streams)
                shutil.rmtree(tmp_path / "a")
                held = (await budget(other))[1]
                rows = await events_of(url, 5)
                assert {(row["status"], row["confidence"], row["final"]) for row in rows} == {
                    ("lost", "estimated", True)
                }
                assert {row["request_id"] for row in rows} == {f"long-{number}" for number in range(5)}
                assert all(row["cost_nanos"] > 0 for row in rows)
                async with asyncio.timeout(20):
                    while (await budget(other))[1] >= held:
                        await asyncio.sleep(0.1)
                (tmp_path / "a").mkdir()

    asyncio.run(run())
