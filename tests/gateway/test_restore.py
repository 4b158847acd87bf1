"""A backup taken under load, restored after the loss of the database: with the journal nothing is missing and nothing double."""

import asyncio
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import aiohttp
import pytest
from sqlalchemy import func, select

import servers
from child import ChildGateway
from execution_platform.ledger.audit import drift
from execution_platform.ledger.reading import POSITION
from execution_platform.ledger.rollups import DAY, HOUR
from execution_platform.storage.address import FILE
from execution_platform.storage.schema import cost_events
from execution_platform.testing import FakeUpstream, Script, Text, Tokens
from serving import MODELS, chat_body, three_vendors
from storage.opened import opened

BEFORE, MEANWHILE, AFTERWARDS = 20, 40, 20
"""Requests that are stored, that come while the backup is taken, and that only the journal has."""
ANSWER = Script(Text("one two three"), usage=Tokens(input=30, output=3))


class Kept(Protocol):
    """A database that can be saved, lost and put back."""

    url: str

    def back_up(self) -> None:
        """Save it while it is written to."""

    def lose(self) -> None:
        """From now on it takes nothing."""

    def restore(self) -> None:
        """Put the saved one in its place; `url` is where."""


class KeptFile:
    """SQLite, by its own way to copy a file that is in use."""

    def __init__(self, folder: Path) -> None:
        self._file, self._copy = folder / FILE, folder / "backup.db"
        self.url = f"sqlite:///{self._file}"
        self._lock: sqlite3.Connection | None = None

    def back_up(self) -> None:
        with sqlite3.connect(self._file) as source, sqlite3.connect(self._copy) as target:
            source.backup(target)

    def lose(self) -> None:
        self._lock = sqlite3.connect(self._file, isolation_level=None, timeout=10, check_same_thread=False)
        self._lock.execute("BEGIN IMMEDIATE")

    def restore(self) -> None:
        if self._lock is not None:
            self._lock.close()
        for path in self._file.parent.glob(f"{FILE}*"):
            path.unlink()
        shutil.copy(self._copy, self._file)


class KeptServer:
    """PostgreSQL, by a dump of one moment."""

    def __init__(self, folder: Path, server: servers.Postgres) -> None:
        self._dump, self._server = folder / "backup.dump", server
        self.url = server.new_database()

    def _run(self, program: str, *options: str) -> None:
        where = ["-h", "127.0.0.1", "-p", str(self._server.port), "-U", self._server.user]
        subprocess.run([self._server.command_path(program), *where, *options], check=True, timeout=60)

    def back_up(self) -> None:
        self._run("pg_dump", "-Fc", "-f", str(self._dump), "-d", self.url.rpartition("/")[2])

    def lose(self) -> None:
        self._server.stop()

    def restore(self) -> None:
        self._server.start()
        self.url = self._server.new_database()
        self._run("pg_restore", "-d", self.url.rpartition("/")[2], str(self._dump))


@pytest.fixture(params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    if request.param == "sqlite":
        yield KeptFile(tmp_path)
        return
    try:
        with servers.postgres() as server:
            yield KeptServer(tmp_path, server)
    except servers.MissingServer as error:
        pytest.skip(str(error))


async def ask(url: str, count: int) -> None:
    """So many requests, eight at a time, each of them acknowledged."""
    path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"])
    turns = asyncio.Semaphore(8)

    async def one(http: aiohttp.ClientSession) -> None:
        async with turns, http.post(url + path, json=body) as response:
            assert response.status == 200, await response.text()

    async with aiohttp.ClientSession() as http:
        await asyncio.gather(*(one(http) for _ in range(count)))


async def sums(url: str) -> dict[str, int]:
    """What the events add up to."""
    names = ("input_tokens", "output_tokens", "cost_nanos")
    async with opened(url) as storage, storage.read() as connection:
        asked = select(func.count().label("events"), *(func.sum(cost_events.c[name]).label(name) for name in names))
        found = (await connection.execute(asked)).mappings().one()
    return {name: int(value or 0) for name, value in found.items()}


async def grown_to(url: str, count: int) -> None:
    """Wait until there are so many events."""
    async with asyncio.timeout(30):
        while (await sums(url))["events"] < count:
            await asyncio.sleep(0.1)


def test_a_restored_backup_and_the_journal_are_all_that_was_acknowledged(kept: Kept) -> None:
    """R36: the truth is the provider's own meter."""

    async def run() -> None:
        async with FakeUpstream() as upstream:
            upstream.script(ANSWER)
            gateway = ChildGateway(three_vendors(upstream), environ={"EP_DATABASE_URL": kept.url})
            await asyncio.to_thread(gateway.start)
            await ask(gateway.url, BEFORE)
            await grown_to(kept.url, BEFORE)
            await asyncio.gather(ask(gateway.url, MEANWHILE), asyncio.to_thread(kept.back_up))
            await grown_to(kept.url, BEFORE + MEANWHILE)
            await asyncio.to_thread(kept.lose)
            await ask(gateway.url, AFTERWARDS)
            if gateway.process is not None:
                gateway.process.kill()
                await asyncio.to_thread(gateway.process.wait)
            await asyncio.to_thread(kept.restore)
            for place in gateway.folder.glob(f"journal/*/{POSITION}"):
                place.unlink()  # what was stored behind the backup is read again

            gateway.environ["EP_DATABASE_URL"] = kept.url
            await asyncio.to_thread(gateway.start)
            await grown_to(kept.url, BEFORE + MEANWHILE + AFTERWARDS)
            gateway.__exit__()
            events = await sums(kept.url)
            truth = upstream.meter.totals()
            assert events["events"] == truth["requests"] == BEFORE + MEANWHILE + AFTERWARDS
            assert (events["input_tokens"], events["output_tokens"]) == (truth["input"], truth["output"])
            async with opened(kept.url) as storage:
                now = int(time.time()) // HOUR * HOUR
                found = await drift(storage, now - DAY, now + DAY)
                assert (found.attempts, found.rolled_nanos) == (found.events, events["cost_nanos"])

    asyncio.run(run())
