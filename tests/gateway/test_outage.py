"""A gateway whose PostgreSQL goes away and comes back. `make money` keeps it away for minutes."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

import servers
from execution_platform.testing import FakeUpstream, Script, Text, Tokens
from gateway.processes import process
from gateway.test_budgets import priced
from money.outage import MASTER, How, ask, go_through, stored
from serving import three_vendors


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


def test_a_change_made_without_the_database_is_in_the_trail_when_it_is_back(database: Any, tmp_path: Path) -> None:
    """K13: an operator who reloads in an outage does not wait, and the entry survives the process."""

    async def run() -> None:
        import aiohttp

        url, headers = database.new_database(), {"authorization": f"Bearer {MASTER}"}
        environ = {"EP_DATABASE_URL": url, "EP_MASTER_KEY": MASTER}
        async with FakeUpstream() as upstream, aiohttp.ClientSession(headers=headers) as http:
            async with process(tmp_path, three_vendors(upstream), environ=environ) as gateway:
                await asyncio.to_thread(database.stop)
                changed = {**three_vendors(upstream), "continue_on_cut": True}
                path = tmp_path / f"platform-{gateway.port}.yaml"
                path.write_text(yaml.safe_dump({"version": 1, **changed}, sort_keys=False))
                async with http.post(f"{gateway.url}/v1/config/reload") as answer:
                    assert answer.status == 200, await answer.text()
                gateway.kill()
                await asyncio.to_thread(database.start)
                await gateway.start()
                entries: list[Any] = []
                async with asyncio.timeout(20):
                    while not entries:
                        async with http.get(f"{gateway.url}/v1/audit") as answer:
                            entries = (await answer.json())["entries"]
                        await asyncio.sleep(0.1)
                (entry,) = entries
                assert (entry["action"], entry["actor"]) == ("config.reload", "master")
                assert "noted_at" in entry["details"]
                async with http.get(f"{gateway.url}/v1/audit/verify") as answer:
                    assert (await answer.json())["ok"]

    asyncio.run(run())
