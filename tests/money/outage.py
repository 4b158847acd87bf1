"""PostgreSQL is stopped, frozen and restarted under load: keys that were seen go on, every request is in the books once."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import aiohttp

from execution_platform.testing import FakeUpstream, Script, Text, Tokens
from gateway.processes import process
from servers import Postgres
from serving import MODELS, chat_body, three_vendors

MASTER = "master-key-of-the-outage-0123456789"
How = Literal["stopped", "frozen", "restarted"]


@dataclass(frozen=True)
class Outage:
    """What happened while the database was away, and after."""

    statuses: Counter[int]
    """Of requests with a key that was seen before."""
    unseen: tuple[int, str]
    """Status and code of a key that was not."""
    asked: int
    """Requests the upstream got."""
    rows: int
    distinct: int
    recovered: float
    """Seconds from the database's return until the books were level."""
    slowest: float
    """Seconds of the slowest request."""


class Load:
    """Requests at a steady rate, whatever becomes of them."""

    def __init__(self, http: aiohttp.ClientSession, url: str, key: str, rate: float) -> None:
        self.statuses: Counter[int] = Counter()
        self.slowest = 0.0
        self._http, self._url, self._key, self._rate = http, url, key, rate

    async def run(self, ending: asyncio.Event) -> None:
        """Ask until `ending` is set."""
        async with asyncio.TaskGroup() as group:
            while not ending.is_set():
                group.create_task(self._one())
                await asyncio.sleep(1 / self._rate)

    async def _one(self) -> None:
        begun = time.monotonic()
        self.statuses[(await ask(self._http, self._url, self._key))[0]] += 1
        self.slowest = max(self.slowest, time.monotonic() - begun)


async def ask(http: aiohttp.ClientSession, url: str, key: str) -> tuple[int, str]:
    """The status of one request, and its error's code."""
    path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"])
    async with http.post(url + path, json=body, headers={"authorization": f"Bearer {key}"}) as answer:
        told = await answer.json()
        return answer.status, "" if answer.status == 200 else told["error"]["code"]


async def issued(http: aiohttp.ClientSession, url: str, name: str) -> str:
    """A new key."""
    headers = {"authorization": f"Bearer {MASTER}"}
    async with http.post(f"{url}/v1/keys", json={"name": name}, headers=headers) as answer:
        return (await answer.json())["key"]


def stored(server: Postgres, url: str) -> tuple[int, int]:
    """Rows of the books, and how many requests they are of."""
    found = server.execute("SELECT count(*), count(DISTINCT request_id) FROM cost_events", url.rpartition("/")[2])
    rows, _, distinct = found.partition("|")
    return int(rows), int(distinct)


async def take_away(server: Postgres, how: How, seconds: float) -> None:
    """The database is gone for so long."""
    if how == "frozen":
        server.freeze()
    else:
        await asyncio.to_thread(server.stop)
    if how != "restarted":
        await asyncio.sleep(seconds)
    if how == "frozen":
        server.resume()
    else:
        await asyncio.to_thread(server.start)


async def go_through(how: How, seconds: float, rate: float, server: Postgres, folder: Path) -> Outage:
    """Play it once; `server` is the database, and nobody else's."""
    url = server.new_database()
    async with FakeUpstream() as upstream, aiohttp.ClientSession() as http:
        upstream.script(Script(Text("ok"), usage=Tokens(input=5, output=2)))
        environ = {"EP_DATABASE_URL": url, "EP_MASTER_KEY": MASTER}
        async with process(folder, three_vendors(upstream), environ=environ) as gateway:
            key, other = await issued(http, gateway.url, "seen"), await issued(http, gateway.url, "unseen")
            assert (await ask(http, gateway.url, key))[0] == 200
            load, ending = Load(http, gateway.url, key, rate), asyncio.Event()
            asking = asyncio.create_task(load.run(ending))
            going = asyncio.create_task(take_away(server, how, seconds))
            unseen = (0, "")
            if how != "restarted":
                await asyncio.sleep(seconds / 2)
                unseen = await ask(http, gateway.url, other)
            await going
            back = time.monotonic()
            # What has been asked by now must be stored soon; the load goes on meanwhile.
            asked = len(upstream.meter)
            async with asyncio.timeout(60):
                while (await asyncio.to_thread(stored, server, url))[1] < asked:
                    await asyncio.sleep(0.05)
            recovered = time.monotonic() - back
            ending.set()
            await asking
            async with asyncio.timeout(60):
                while (found := await asyncio.to_thread(stored, server, url))[1] < len(upstream.meter):
                    await asyncio.sleep(0.05)
            return Outage(load.statuses, unseen, len(upstream.meter), *found, recovered, load.slowest)
