"""Two replicas, one budget of a dollar, 400 callers at once, and one replica killed half-way; then it comes back."""

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from execution_platform.testing import FakeUpstream, Script, Text, Tokens
from gateway.processes import Process, process
from gateway.test_budgets import priced
from serving import chat_body

REQUESTS = 400
CENTS = 100
TOKENS = 10
_DOLLARS_A_TOKEN = 0.001
DOUBT = 0.02
"""What may stay held for the killed replica: two of a hundred cents."""


@dataclass(frozen=True)
class Spent:
    """What became of the dollar."""

    statuses: frozenset[int]
    asked: int
    """Requests the upstream got until the survivor refused, each of which may be billed in full."""
    used: float
    """Dollars spent or held by then, by the books."""
    dollars: float
    """By the upstream's meter, when the killed replica had come back and the budget was used up."""
    booked: float
    """By the books, at the same moment."""
    held: float
    """What they hold besides: what the killed replica may have spent unseen."""


async def ask(http: aiohttp.ClientSession, url: str) -> int:
    """The status of one request that costs a cent; 0 when the replica is gone."""
    path, body = chat_body("openai_chat", "hi", "openai/gpt-4o")
    try:
        async with http.post(url + path, json={**body, "max_tokens": TOKENS}) as answer:
            await answer.read()
            return answer.status
    except aiohttp.ClientError:
        return 0


async def use_up(http: aiohttp.ClientSession, replica: Process) -> None:
    """Ask until the budget refuses."""
    for _ in range(CENTS):
        if (await ask(http, replica.url)) == 402:
            return


async def rush(replicas: list[Process], rng: random.Random, upstream: FakeUpstream) -> list[int]:
    """400 callers at both replicas; the first is killed at a moment of chance, then the other gets what is left."""
    kill_at = rng.randrange(20, 70)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

        async def caller(number: int) -> int:
            await asyncio.sleep(rng.random() * 1.5)
            return await ask(http, replicas[number % 2].url)

        callers = [asyncio.create_task(caller(number)) for number in range(REQUESTS)]
        async with asyncio.timeout(60):
            while len(upstream.meter) < kill_at:
                await asyncio.sleep(0.001)
        replicas[0].kill()
        statuses = await asyncio.gather(*callers)
        await use_up(http, replicas[1])
        return statuses


async def budget(replica: Process) -> tuple[float, float]:
    """Dollars spent and held, as the gateway tells them."""
    async with aiohttp.ClientSession() as http, http.get(f"{replica.url}/v1/budgets") as answer:
        rows = (await answer.json())["budgets"]
    row = next(row for row in rows if row["scope"] == "gateway")
    return row["spent_usd"], row["reserved_usd"]


async def come_back(replica: Process, survivor: Process) -> None:
    """Start the killed replica again, and wait until no more is held for it than what is in doubt."""
    await replica.start()
    async with asyncio.timeout(30):
        while (await budget(survivor))[1] > DOUBT or b"ledger_recovered" not in replica.log.read_bytes():
            await asyncio.sleep(0.1)


async def spend(seed: int, folder: Path, database_url: str) -> Spent:
    """Play it once."""
    rng = random.Random(seed)
    async with FakeUpstream() as upstream, AsyncExitStack() as stack:
        upstream.script(Script(Text("ok"), usage=Tokens(input=5, output=TOKENS), delay=0.1))
        config = priced({"period": "total", "usd": CENTS / 100})(upstream)
        replicas: list[Process] = []
        for name in ("a", "b"):
            place = folder / f"{seed}-{name}"
            place.mkdir()
            replicas.append(
                await stack.enter_async_context(process(place, config, environ={"EP_DATABASE_URL": database_url}))
            )
        statuses = await rush(replicas, rng, upstream)
        asked = len(upstream.meter)
        used = sum(await budget(replicas[1]))
        await come_back(*replicas)
        async with aiohttp.ClientSession() as http:
            for replica in replicas:
                await use_up(http, replica)
        dollars = sum(each.tokens_sent for each in upstream.meter.exchanges) * _DOLLARS_A_TOKEN
        async with asyncio.timeout(30):
            # What was spent last arrives within a batch of the outbox.
            while (found := await budget(replicas[1])) and found[1] > DOUBT + 0.009:
                await asyncio.sleep(0.1)
        return Spent(frozenset(statuses), asked, round(used, 6), round(dollars, 6), *(round(each, 6) for each in found))
