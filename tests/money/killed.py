"""A gateway with many streams in flight is killed with SIGKILL at a random moment, and started again."""

import asyncio
import random
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp

from child import ChildGateway
from execution_platform.testing import FakeUpstream, Script, Text, Tokens
from gateway.test_kill import ask_at, events, kill, running
from serving import MODELS, three_vendors

PROMPT = 2000
ANSWER = 300
PACE = 0.25
"""Seconds between two tokens of a long answer."""
_LONG = 400
_WORD_RATE, _PROMPT_RATE = 5, 1
"""Micro-dollars a token."""
_AT_ONCE = 50


@dataclass(frozen=True)
class Killed:
    """What the books say after the restart."""

    dispatched: int
    """Requests the upstream got."""
    rows: int
    lost_committed: int
    """Rows that were stored before the kill and are not there any more, or changed."""
    doubled: int
    flagged: bool
    """Every cut stream is `lost` and estimated, every other row exact."""
    behind: int
    """Tokens by which the worst cut stream was billed too low."""
    drift: float
    """Of the total cost, against the meter."""
    seconds: float
    """From the restart until every request has its row."""


async def kill_in_flight(seed: int, streams: int, database_url: str) -> Killed:
    """Play it once: as many short calls that end, as many streams that are cut."""
    rng = random.Random(seed)
    async with FakeUpstream() as upstream, AsyncExitStack() as stack:
        upstream.script(Script(Text("ok"), usage=Tokens(input=PROMPT, output=ANSWER)), model="gpt-4o")
        words = " ".join(["word"] * _LONG)
        upstream.script(
            Script(Text(words, chunks=_LONG), usage=Tokens(input=PROMPT, output=_LONG), pace=PACE), model="claude-*"
        )
        config = three_vendors(upstream)
        for provider in config["providers"].values():
            provider["prices"] = {"*": {"input": _PROMPT_RATE, "output": _WORD_RATE}}
        gateway = ChildGateway(config, environ={"EP_DATABASE_URL": database_url})
        stack.callback(gateway.__exit__)
        async with running(gateway):
            before = await _load_and_kill(gateway, upstream, streams, rng, database_url)
        await upstream.wait_until(lambda meter: meter.requests_open == 0, within=60)
        started = time.monotonic()
        async with running(gateway):
            rows = await _until_complete(database_url, len(upstream.meter))
            return _judge(before, rows, upstream, time.monotonic() - started)


async def _load_and_kill(
    gateway: ChildGateway, upstream: FakeUpstream, streams: int, rng: random.Random, database_url: str
) -> list[Any]:
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def short(number: int) -> None:
            async with gate:
                await ask_at(http, gateway.url, f"short-{number}", MODELS["openai_chat"])

        await asyncio.gather(*(short(number) for number in range(streams)))
        long = [
            asyncio.create_task(ask_at(http, gateway.url, f"long-{number}", MODELS["anthropic"]))
            for number in range(streams)
        ]
        async with asyncio.timeout(120):
            while sum(each.tokens_sent > 0 for each in upstream.meter.exchanges) < streams * 2:
                await asyncio.sleep(0.05)
        moment = time.monotonic() + rng.uniform(0.5, 6)
        while time.monotonic() < moment:
            await asyncio.sleep(0.01)
        before = await events(database_url)
        await kill(gateway)
        await asyncio.gather(*long)
        return before


async def _until_complete(database_url: str, count: int) -> list[Any]:
    rows = await events(database_url)
    async with asyncio.timeout(60):
        while len(rows) < count:
            await asyncio.sleep(0.2)
            rows = await events(database_url)
    return rows


def _judge(before: list[Any], rows: list[Any], upstream: FakeUpstream, seconds: float) -> Killed:
    after = {row["id"]: dict(row) for row in rows}
    truth = sum(
        PROMPT * _PROMPT_RATE + (ANSWER if each.model == "gpt-4o" else each.tokens_sent) * _WORD_RATE
        for each in upstream.meter.exchanges
    )
    booked = sum(row["cost_nanos"] for row in rows) / 1000
    cut = [row for row in rows if row["request_id"].startswith("long")]
    ended = [row for row in rows if row["request_id"].startswith("short")]
    flagged = {(row["status"], row["confidence"], row["final"]) for row in cut} <= {("lost", "estimated", True)}
    exact = {(row["status"], row["input_tokens"], row["output_tokens"]) for row in ended} <= {("ok", PROMPT, ANSWER)}
    told = sorted(row["output_tokens"] for row in cut)
    metered = sorted(each.tokens_sent for each in upstream.meter.exchanges if each.model != "gpt-4o")
    return Killed(
        len(upstream.meter),
        len(rows),
        sum(after.get(row["id"]) != dict(row) for row in before),
        len(rows) - len({row["request_id"] for row in rows}),
        flagged and exact,
        max((there - here for here, there in zip(told, metered, strict=False)), default=0),
        abs(booked - truth) / truth,
        seconds,
    )
