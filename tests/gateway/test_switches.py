"""Personas that are switched at run time: on every replica within two seconds, over restarts, and in an outage where they were made."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from execution_platform.config.secret import Secret
from execution_platform.gateway.switch_table import SwitchTable
from execution_platform.storage.address import address
from execution_platform.storage.engine import Storage
from execution_platform.storage.migrations import prepare
from execution_platform.testing import FakeUpstream
from loops import in_loop
from serving import Served, serving, three_vendors

SOON = 2.0
"""Seconds within which a switch is seen everywhere."""
TEAM: dict[str, Any] = {"dev": {"prefer": ["openai"]}, "other": {"prefer": ["openai"]}}
TO_GEMINI = {"prefer": ["gemini"]}
TO_ANTHROPIC = {"prefer": ["anthropic"]}


def made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


@asynccontextmanager
async def replica(folder: Path, upstream: FakeUpstream, url: str, **changes: Any) -> AsyncIterator[Served]:
    config = three_vendors(upstream, **{"personas": TEAM, **changes})
    async with serving(made(folder), config, {"EP_DATABASE_URL": url}) as served:
        yield served


async def change(served: Served, method: str, path: str, body: Any = None, status: int = 200) -> None:
    async with served.http.request(method, served.url + path, json=body) as answer:
        assert answer.status == status, await answer.text()


async def provider(served: Served, persona: str = "dev") -> str | None:
    """Who answers for a persona."""
    got = await served.post(
        "/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}, x_ep_persona=persona
    )
    assert got.status == 200, got.body
    return got.header("x-ep-provider")


async def answers(served: Served, name: str, persona: str = "dev", within: float = SOON) -> None:
    """Wait until the persona is served by `name`; the time limit is the promise."""
    async with asyncio.timeout(within):
        while await provider(served, persona) != name:
            await asyncio.sleep(0.02)


def test_a_switch_is_seen_by_every_replica_and_survives_a_restart(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            async with (
                replica(tmp_path / "a", upstream, database_url) as one,
                replica(tmp_path / "b", upstream, database_url) as two,
            ):
                assert (await provider(one), await provider(two)) == ("openai", "openai")
                await change(one, "PUT", "/v1/personas/dev", TO_GEMINI)
                assert await provider(one) == "gemini"
                await answers(two, "gemini")
                await change(two, "PUT", "/v1/personas/other", TO_ANTHROPIC)
                await answers(one, "anthropic", "other")
                assert await provider(one) == await provider(two) == "gemini", "the first switch stays"
                await change(two, "PUT", "/v1/personas/dev", TO_ANTHROPIC)
                await answers(one, "anthropic")
                await change(one, "POST", "/v1/config/reload")
                assert await provider(one) == "anthropic"
            async with replica(tmp_path / "c", upstream, database_url) as late:
                assert await provider(late) == await provider(late, "other") == "anthropic"
                async with replica(tmp_path / "a", upstream, database_url) as one:
                    await change(one, "DELETE", "/v1/personas/dev")
                    assert await provider(one) == "openai"
                    await answers(late, "openai")
                    await change(one, "DELETE", "/v1/personas/dev", status=404)
            async with replica(tmp_path / "d", upstream, database_url) as last:
                assert (await provider(last), await provider(last, "other")) == ("openai", "anthropic")

    asyncio.run(run())


def test_a_rollback_takes_back_what_was_switched_since_everywhere(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            async with (
                replica(tmp_path / "a", upstream, database_url) as one,
                replica(tmp_path / "b", upstream, database_url) as two,
            ):
                await change(one, "PUT", "/v1/personas/dev", TO_GEMINI)
                version = (await one.get("/v1/config")).json()["version"]
                await change(one, "PUT", "/v1/personas/dev", TO_ANTHROPIC)
                await change(one, "PUT", "/v1/personas/other", TO_ANTHROPIC)
                await answers(two, "anthropic", "other")
                await change(one, "POST", "/v1/config/rollback", {"version": version})
                assert (await provider(one), await provider(one, "other")) == ("gemini", "openai")
                await answers(two, "gemini")
                await answers(two, "openai", "other")
            async with replica(tmp_path / "c", upstream, database_url) as late:
                assert (await provider(late), await provider(late, "other")) == ("gemini", "openai")

    asyncio.run(run())


@in_loop
async def test_a_switch_that_is_refused_changes_nothing_anywhere(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'b.db'}"
    async with FakeUpstream() as upstream:
        async with replica(tmp_path / "a", upstream, url) as one:
            await change(one, "PUT", "/v1/personas/dev", {"prefer": ["nobody"]}, status=422)
            assert await provider(one) == "openai"
            assert await one.gateway.state.switches.table.revision() == 0


@in_loop
async def test_a_replica_that_cannot_carry_a_switch_goes_on_and_tells(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'b.db'}"
    async with FakeUpstream() as upstream:
        models = {"fast": {"targets": [{"model": "gemini/gemini-2.5-pro"}]}}
        async with (
            replica(tmp_path / "a", upstream, url, models=models) as one,
            replica(tmp_path / "b", upstream, url) as poor,
        ):
            await change(one, "PUT", "/v1/personas/dev", {"prefer": ["fast"]})
            assert await provider(one) == "gemini"
            assert await poor.gateway.state.switches.read() is False
            assert await provider(poor) == "openai"
            await change(one, "PUT", "/v1/personas/dev", TO_ANTHROPIC)
            await answers(poor, "anthropic")


@in_loop
async def test_without_the_database_a_switch_holds_here_and_waits(tmp_path: Path) -> None:
    """An operator in need must not wait for the database."""
    async with FakeUpstream() as upstream:
        async with replica(tmp_path / "a", upstream, "postgresql://postgres@127.0.0.1:1/books") as one:
            await change(one, "PUT", "/v1/personas/dev", TO_GEMINI)
            assert await provider(one) == "gemini"
            switches = one.gateway.state.switches
            back = Storage(address(Secret(f"sqlite:///{tmp_path / 'back.db'}"), tmp_path))
            try:
                switches.table = SwitchTable(back, lambda: prepare(back))
                await switches.read()
                assert await switches.table.all() == {"dev": TO_GEMINI}
                assert await provider(one) == "gemini"
            finally:
                await back.close()
