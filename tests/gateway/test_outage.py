"""A gateway whose PostgreSQL goes away and comes back. `make money` keeps it away for minutes."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

import servers
from execution_platform.testing import FakeUpstream, Script, Text, Tokens
from gateway.processes import process
from gateway.test_budgets import priced
from money.outage import How, ask, go_through, stored


@pytest.fixture
def database() -> Any:
    """A PostgreSQL of this test alone."""
    try:
        with servers.postgres() as running:
            yield running
    except servers.MissingServer as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.mark.parametrize("how", ["stopped", "restarted"])
def test_keys_that_were_seen_go_on_and_the_books_miss_nothing(how: How, database: Any, tmp_path: Path) -> None:
    """R9, B3, E14: no failed request, no row lost or doubled, level again within ten seconds; a key nobody saw is 503."""
    found = asyncio.run(go_through(how, 3, 30, database, tmp_path))
    assert set(found.statuses) == {200}
    assert found.unseen == ((503, "auth_backend_unavailable") if how == "stopped" else (0, ""))
    assert (found.rows, found.distinct) == (found.asked, found.asked)
    assert found.recovered <= 10


def test_a_budget_goes_on_from_what_was_leased_and_then_refuses(database: Any, tmp_path: Path) -> None:
    """R9: money fails closed before dispatch, with an error that says so; what was sent is in the books afterwards."""

    async def run() -> None:
        import aiohttp

        url = database.new_database()
        async with FakeUpstream() as upstream, aiohttp.ClientSession() as http:
            upstream.script(Script(Text("ok"), usage=Tokens(input=5, output=10)))
            config = priced({"period": "monthly", "usd": 1000})(upstream)
            async with process(tmp_path, config, environ={"EP_DATABASE_URL": url}) as gateway:
                assert (await ask(http, gateway.url, ""))[0] == 200
                await asyncio.to_thread(database.stop)
                answers = []
                async with asyncio.timeout(60):
                    while not answers or answers[-1][0] == 200:
                        answers.append(await ask(http, gateway.url, ""))
                assert len(answers) > 1, "the slice was used first"
                assert answers[-1] == (503, "budget_unavailable")
                sent = len(upstream.meter)
                await asyncio.to_thread(database.start)
                async with asyncio.timeout(20):
                    while (await ask(http, gateway.url, ""))[0] != 200:
                        await asyncio.sleep(0.1)
                async with asyncio.timeout(20):
                    while (await asyncio.to_thread(stored, database, url))[0] < len(upstream.meter):
                        await asyncio.sleep(0.1)
                assert len(upstream.meter) == sent + 1

    asyncio.run(run())
