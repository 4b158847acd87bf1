"""Neither PostgreSQL nor Redis answers: only what the configuration itself says can be checked."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis as client

import servers
from execution_platform.identity.records import KeyRecord
from execution_platform.identity.store import KeyStore
from execution_platform.testing import FakeUpstream
from gateway.processes import process
from money.outage import MASTER, ask, issued
from serving import serving, three_vendors

STATIC = "key-of-the-configuration-0123"


@pytest.fixture
def both() -> Iterator[tuple[servers.Postgres, servers.Redis]]:
    """A PostgreSQL and a Redis of this test alone."""
    with ExitStack() as stack:
        try:
            yield stack.enter_context(servers.postgres()), stack.enter_context(servers.redis())
        except servers.MissingServer as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(error))


@pytest.mark.parametrize("static", [True, False], ids=["with static keys", "without"])
def test_static_keys_serve_and_issued_ones_are_refused_at_once(
    static: bool, both: tuple[servers.Postgres, servers.Redis], tmp_path: Path
) -> None:
    """R11: 503 and never 401; liveness stays green, readiness is red with a reason where nobody can be served."""
    database, redis = both

    async def run() -> None:
        environ = {"EP_DATABASE_URL": database.new_database(), "EP_REDIS_URL": redis.url, "EP_MASTER_KEY": MASTER}
        keys = [{"name": "static", "key": STATIC}] if static else []
        async with FakeUpstream() as upstream, aiohttp.ClientSession() as http:
            config = three_vendors(upstream, keys=keys)
            async with process(tmp_path, config, environ=environ) as gateway:
                key = await issued(http, gateway.url, "web")
                assert (await ask(http, gateway.url, key))[0] == 200
                await asyncio.to_thread(database.stop)
                await asyncio.to_thread(redis.stop)
                refused: tuple[int, str] = (200, "")
                async with asyncio.timeout(20):
                    while refused[0] == 200:
                        refused = await ask(http, gateway.url, key)
                        await asyncio.sleep(0.1)
                assert refused == (503, "auth_backend_unavailable")
                if static:
                    assert (await ask(http, gateway.url, STATIC))[0] == 200
                assert await status(http, f"{gateway.url}/health/liveness") == (200, "")
                ready, reason = await status(http, f"{gateway.url}/health/readiness")
                assert ready == (200 if static else 503)
                assert static or "neither the database nor Redis" in reason
                await asyncio.to_thread(database.start)
                await asyncio.to_thread(redis.start)
                async with asyncio.timeout(20):
                    while (await ask(http, gateway.url, key))[0] != 200:
                        await asyncio.sleep(0.1)
                async with asyncio.timeout(20):
                    while await gateway.readiness() != 200:
                        await asyncio.sleep(0.1)

    asyncio.run(run())


async def status(http: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    async with http.get(url) as answer:
        told: Any = await answer.text()
        return answer.status, told if answer.status != 200 else ""


def test_an_emptied_redis_costs_no_look_up_and_no_refusal(
    both: tuple[servers.Postgres, servers.Redis], tmp_path: Path
) -> None:
    """R35: keys are believed from memory, so a flush under load is no storm on the database and no false 401."""
    database, redis = both

    async def run() -> None:
        environ = {"EP_DATABASE_URL": database.new_database(), "EP_REDIS_URL": redis.url, "EP_MASTER_KEY": MASTER}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), environ) as gateway:
            keys = [await issued(gateway.http, gateway.url, f"web-{number}") for number in range(20)]
            asked = Counted(gateway.gateway.state.access.keys)
            gateway.gateway.state.access.directory._store = asked  # type: ignore[assignment]

            async def round_of_requests() -> set[int]:
                answers = await asyncio.gather(*(ask(gateway.http, gateway.url, key) for key in keys * 5))
                return {status for status, _ in answers}

            assert await round_of_requests() == {200}
            before = asked.finds
            with client.Redis.from_url(redis.url, protocol=2) as direct:
                for _ in range(3):
                    direct.flushall()
                    assert await round_of_requests() == {200}
            assert asked.finds == before

    asyncio.run(run())


class Counted:
    """A store of keys that counts look-ups."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self.finds = 0

    async def find(self, identity: str) -> KeyRecord | None:
        self.finds += 1
        return await self._store.find(identity)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
