"""R38: the process fails at every named place of the books, in every way; after a restart the books are right."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from child import ChildGateway
from execution_platform._failpoint import EXIT_STATUS
from execution_platform.storage.address import FILE
from execution_platform.testing import FakeUpstream, Script, Text, Tokens
from failpoints import declared, passed
from gateway.test_kill import ask_at, events
from ledger.test_store import rolled, totals
from serving import MODELS, three_vendors
from storage.opened import opened

EVERY = sorted(name for name in declared("ledger", "storage"))
RECOVERY = {"ledger.before_recovery", "ledger.before_lost", "ledger.before_forgetting"}
SERVING = [name for name in EVERY if name not in RECOVERY]
ON_POSTGRESQL = {"ledger.before_send", "ledger.after_send", "ledger.before_send_commit", "storage.after_commit"}
"""Places that only events on their way to PostgreSQL pass: SQLite is written through its plain driver."""
HIT = {"storage.after_commit": 10}
"""Which passing of a place fails, if not the second: a start commits several times before the first request."""
ANSWER = Script(Text("one two three"), usage=Tokens(input=30, output=3))
OPEN = Script(Text(" ".join(["word"] * 4000)), usage=Tokens(input=30, output=4000), pace=0.01)
BEFORE_THE_CALL = {"ledger.write", "ledger.after_dispatch"}
"""Where a call that fails may be in the books without having left, or fail in front of the client."""


def test_the_books_have_their_places() -> None:
    assert len(EVERY) >= 10


async def settled(url: str, upstream: FakeUpstream, *, within: float = 30.0) -> list[Any]:
    """The events, once every exchange the upstream has seen has one."""
    async with asyncio.timeout(within):
        while len(rows := await events(url)) < len(upstream.meter):
            await asyncio.sleep(0.1)
    return rows


async def sums_are_right(url: str) -> None:
    """R37."""
    async with opened(url) as storage:
        found = await totals(storage)
        for grain in "hdm":
            sums = await rolled(storage, grain)
            assert sums["attempts"] == found["events"]
            assert sums["cost_nanos"] == found["cost_nanos"]


def books_of(gateway: ChildGateway) -> str:
    return gateway.environ.get("EP_DATABASE_URL", f"sqlite:///{gateway.folder / FILE}")


ERRORS = {
    "ledger.write": ["ENOSPC"],
    "ledger.before_insert": ["lost_reply"],
    "ledger.before_commit": ["lost_reply", "ENOSPC"],
    "ledger.after_commit": ["lost_reply"],
    "ledger.before_send": ["lost_reply"],
    "ledger.before_send_commit": ["lost_reply", "ENOSPC"],
    "storage.after_commit": ["lost_reply"],
}
"""Failures of the system that are expected at a place."""
CASES = [(point, mode) for point in SERVING for mode in ("exit", "exception", *ERRORS.get(point, ()))]


@pytest.mark.parametrize(("point", "mode"), CASES)
def test_a_failure_while_serving_leaves_right_books(
    point: str, mode: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    environ = {"FAILPOINT": f"{point}:{mode}@{HIT.get(point, 2)}", "FAILPOINT_HITS": str(tmp_path / "hits")}
    if point in ON_POSTGRESQL:
        environ["EP_DATABASE_URL"] = request.getfixturevalue("postgres_server").new_database()

    async def run() -> None:
        log = tmp_path / "hits"
        async with FakeUpstream() as upstream, aiohttp.ClientSession() as http:
            upstream.script(ANSWER)
            gateway = ChildGateway(three_vendors(upstream), environ=environ)
            try:
                await asyncio.to_thread(gateway.start)
                for number in range(4):
                    await ask_at(http, gateway.url, f"r{number}", MODELS["openai_chat"])
                    await asyncio.sleep(0.35)  # so that the outbox comes by between two of them
                if mode == "exit":
                    assert await asyncio.to_thread(gateway.wait) == EXIT_STATUS
                else:
                    await asyncio.to_thread(gateway.end)
                assert point in passed(log)
                del gateway.environ["FAILPOINT"]
                await asyncio.to_thread(gateway.start)
                rows = await settled(books_of(gateway), upstream)
                await ask_at(http, gateway.url, "last", MODELS["openai_chat"])
                rows = await settled(books_of(gateway), upstream)
                ids = [row["request_id"] for row in rows]
                assert len(set(ids)) == len(ids)
                assert {row["status"] for row in rows} <= {"ok", "lost"}
                extra = len(rows) - len(upstream.meter)
                assert extra == 0 or (extra == 1 and point in BEFORE_THE_CALL)
                told = upstream.meter.totals()
                exact = [row for row in rows if row["status"] == "ok"]
                assert len(exact) >= len(upstream.meter) - 1
                assert all((row["input_tokens"], row["output_tokens"]) == (30, 3) for row in exact)
                assert told["output"] == 3 * len(upstream.meter)
                await sums_are_right(books_of(gateway))
            finally:
                await asyncio.to_thread(gateway.__exit__)

    asyncio.run(run())


@pytest.mark.parametrize("mode", ["exit", "exception"])
@pytest.mark.parametrize("point", sorted(RECOVERY))
def test_a_failure_while_recovering_leaves_right_books(point: str, mode: str, tmp_path: Path) -> None:
    async def run() -> None:
        log = tmp_path / "hits"
        async with FakeUpstream() as upstream, aiohttp.ClientSession() as http:
            upstream.script(ANSWER, model="gpt-4o")
            upstream.script(OPEN, model="claude-*")
            gateway = ChildGateway(three_vendors(upstream))
            try:
                await asyncio.to_thread(gateway.start)
                await ask_at(http, gateway.url, "whole", MODELS["openai_chat"])
                cut = asyncio.create_task(ask_at(http, gateway.url, "cut", MODELS["anthropic"]))
                async with asyncio.timeout(20):
                    while len(upstream.meter) < 2 or upstream.meter[1].tokens_sent < 5:
                        await asyncio.sleep(0.02)
                assert gateway.process is not None
                gateway.process.kill()
                await asyncio.to_thread(gateway.process.wait)
                await cut
                gateway.environ |= {"FAILPOINT": f"{point}:{mode}@1", "FAILPOINT_HITS": str(log)}
                try:
                    await asyncio.to_thread(gateway.start)
                except RuntimeError:
                    assert mode == "exit"  # it may die before it answers
                async with asyncio.timeout(20):
                    while point not in passed(log):
                        await asyncio.sleep(0.05)
                if mode == "exit":
                    assert await asyncio.to_thread(gateway.wait) == EXIT_STATUS
                    del gateway.environ["FAILPOINT"]
                    await asyncio.to_thread(gateway.start)
                rows = await settled(books_of(gateway), upstream)
                assert sorted((row["request_id"], row["status"]) for row in rows) == [("cut", "lost"), ("whole", "ok")]
                await sums_are_right(books_of(gateway))
            finally:
                await asyncio.to_thread(gateway.__exit__)

    asyncio.run(run())
