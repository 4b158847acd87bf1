"""Several replicas with one Redis: what they tell each other, and that its loss in any way is nobody's error."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis as plain

import servers
from execution_platform.testing import FakeUpstream, Script, Status, Text
from execution_platform.testing.fault_proxy import FaultProxy
from execution_platform.testing.proxy_faults import Stop
from loops import in_loop, until
from serving import MODELS, Served, chat_body, serving, three_vendors

PATH, BODY = chat_body("openai_chat", "Hi", MODELS["openai_chat"])
SOON = 5.0
"""Seconds in which something of the background must have happened."""


@asynccontextmanager
async def replica(folder: Path, config: dict[str, Any], url: str) -> AsyncIterator[Served]:
    async with serving(folder, config, {"EP_REDIS_URL": url}) as gateway:
        yield gateway


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def breaker(gateway: Served) -> dict[str, Any]:
    """What a replica knows of the one deployment that is asked."""
    views = (await gateway.get("/v1/health/providers")).json()["providers"]["openai"]
    return next(iter(views["deployments"]), {"breaker": "unknown", "cooling": 0.0})


@in_loop
async def test_an_open_breaker_and_its_end_reach_the_other_replicas(
    tmp_path: Path, redis_client: plain.Redis, redis_server: servers.Redis
) -> None:
    async with FakeUpstream() as upstream:
        config = three_vendors(
            upstream, circuit_breaker={"failure_threshold": 1, "timeout_seconds": 2}, retry={"max_attempts": 1}
        )
        upstream.script(Script(Status(500)))
        async with (
            replica(made(tmp_path / "a"), config, redis_server.url) as one,
            replica(made(tmp_path / "b"), config, redis_server.url) as other,
        ):
            while (await breaker(one))["breaker"] != "open":
                assert (await one.post(PATH, BODY)).status == 502

            async def open_there() -> bool:
                return (await breaker(other))["breaker"] == "open"

            await until(open_there, within=SOON)
            assert (await breaker(other))["retry_in"] <= 2.5
            async with replica(made(tmp_path / "c"), config, redis_server.url) as late:
                assert (await breaker(late))["breaker"] == "open"
            upstream.script(Script(Text("again")))

            async def closed_here() -> bool:
                return (await one.post(PATH, BODY)).status == 200 and (await breaker(one))["breaker"] == "closed"

            async def closed_there() -> bool:
                return (await breaker(other))["breaker"] == "closed"

            await until(closed_here, within=SOON)
            await until(closed_there, within=SOON)


@in_loop
async def test_a_cool_down_reaches_the_other_replicas(
    tmp_path: Path, redis_client: plain.Redis, redis_server: servers.Redis
) -> None:
    """R5 over replicas: who is asked to wait, waits everywhere."""
    async with FakeUpstream() as upstream:
        upstream.script(Script(Status(429, retry_after=30)))
        config = three_vendors(upstream)
        async with (
            replica(made(tmp_path / "a"), config, redis_server.url) as one,
            replica(made(tmp_path / "b"), config, redis_server.url) as other,
        ):
            assert (await one.post(PATH, BODY)).status == 429

            async def cooling_there() -> bool:
                return 20 < (await breaker(other))["cooling"] <= 31

            await until(cooling_there, within=SOON)
            asked = len(upstream.meter)
            refused = await other.post(PATH, BODY)
            assert refused.status == 429
            assert int(refused.header("retry-after") or 0) > 20
            assert len(upstream.meter) == asked


@in_loop
async def test_two_replicas_share_one_limit(
    tmp_path: Path, redis_client: plain.Redis, redis_server: servers.Redis
) -> None:
    async with FakeUpstream() as upstream:
        config = three_vendors(upstream, rate_limits={"keys": {"*": {"requests": 20}}})
        async with (
            replica(made(tmp_path / "a"), config, redis_server.url) as one,
            replica(made(tmp_path / "b"), config, redis_server.url) as other,
        ):
            got = await asyncio.gather(*(gateway.post(PATH, BODY) for _ in range(20) for gateway in (one, other)))
            assert sorted(each.status for each in got) == [200] * 20 + [429] * 20
            assert len(upstream.meter) == 20

            async def both_known() -> bool:
                health = (await one.get("/health")).json()
                return health["redis"] == {"up": True, "replicas": 2} and health["rate_limits"] == "shared"

            await until(both_known, within=SOON)
            ready = (await one.get("/health/readiness")).json()
            assert ready["status"] == "ready"
            assert ready["redis"]["up"]


# Redis goes, in six ways


class Victim:
    """A Redis of its own behind a proxy, and the ways to lose it and to have it back."""

    def __init__(self, server: servers.Redis, proxy: FaultProxy) -> None:
        self.server, self.proxy = server, proxy
        self.url = f"redis://127.0.0.1:{proxy.port}/0"

    def client(self) -> plain.Redis:
        return plain.Redis.from_url(self.server.url, protocol=2)

    async def closed_port(self) -> None:
        self.server.stop()
        await self.proxy.listen("refuse")
        self.proxy.break_all()

    async def dropped_packets(self) -> None:
        self.proxy.script([Stop(after_bytes=0, goes="silence", swallow=True)])
        await self.proxy.listen("drop")

    async def stopped_process(self) -> None:
        self.server.freeze()

    async def loading(self) -> None:
        with self.client() as client:
            client.eval("for i = 1, 60000 do redis.call('SET', 'filler:' .. i, string.rep('x', 100)) end", 0)
            client.save()
        self.server.stop()
        self.proxy.break_all()
        slowly = ["--key-load-delay", "200", "--loading-process-events-interval-bytes", "1024"]
        self.server.command = [*self.server.command, *slowly]
        self.server.start()

    async def read_only(self) -> None:
        with self.client() as client:
            client.replicaof("127.0.0.1", 1)

    async def out_of_memory(self) -> None:
        with self.client() as client:
            client.config_set("maxmemory", 1)

    async def heal(self) -> None:
        self.proxy.script()
        if self.server.process is None or "--key-load-delay" in self.server.command:
            self.server.stop()
            self.server.command = self.server.command[: -4 if "--key-load-delay" in self.server.command else None]
            (self.server.folder / "dump.rdb").unlink(missing_ok=True)
            self.server.start()
        self.server.resume()
        await self.proxy.listen("serve")
        self.proxy.break_all()
        with self.client() as client:
            client.replicaof("NO", "ONE")
            client.config_set("maxmemory", 0)


WAYS = {
    "closed port": (Victim.closed_port, "connection refused or lost"),
    "dropped packets": (Victim.dropped_packets, "no answer in time"),
    "SIGSTOP": (Victim.stopped_process, "no answer in time"),
    "LOADING": (Victim.loading, "loading its data set"),
    "read-only": (Victim.read_only, "read-only"),
    "out of memory": (Victim.out_of_memory, "out of memory"),
}


@pytest.mark.parametrize("way", WAYS)
@in_loop
async def test_a_lost_redis_is_nobodys_error(tmp_path: Path, way: str) -> None:
    """R8, B8: no client error, one command's time at most, limits by share and flagged, back within 5 s."""
    lose, said = WAYS[way]
    with servers.redis() as server:
        async with FakeUpstream() as upstream, FaultProxy(server.url) as proxy:
            victim = Victim(server, proxy)
            config = three_vendors(upstream, rate_limits={"replicas": 2, "keys": {"*": {"requests": 100_000}}})
            async with replica(made(tmp_path / "a"), config, victim.url) as gateway:
                healthy = await gateway.post(PATH, BODY)
                assert healthy.header("x-ratelimit-limit-requests") == "100000"
                await lose(victim)

                async def degraded() -> bool:
                    got = await gateway.post(PATH, BODY)
                    assert got.status == 200
                    return got.header("x-ep-ratelimit-mode") == "degraded"

                await until(degraded, within=SOON)
                # Each at the price of a command would take ten seconds.
                async with asyncio.timeout(8):
                    got = [await gateway.post(PATH, BODY) for _ in range(100)]
                assert {each.status for each in got} == {200}
                assert {each.header("x-ratelimit-limit-requests") for each in got} == {"50000"}
                page = (await gateway.get("/metrics")).body
                assert b"\nratelimit_degraded 1.0" in page
                assert b"\nep_redis_up 0.0" in page
                ready = await gateway.get("/health/readiness")
                assert ready.status == 200

                async def named() -> bool:
                    told = (await gateway.get("/health")).json()
                    return not told["redis"]["up"] and told["redis"]["error"] == said

                await until(named, within=SOON)
                await victim.heal()

                async def back() -> bool:
                    assert (await gateway.post(PATH, BODY)).status == 200
                    return (await gateway.get("/health")).json()["rate_limits"] == "shared"

                await until(back, within=SOON)
                page = (await gateway.get("/metrics")).body
                assert b"\nratelimit_degraded 0.0" in page
                assert b"\nep_redis_up 1.0" in page


@in_loop
async def test_a_gateway_starts_without_its_redis(tmp_path: Path) -> None:
    """R8: a limit is a limit from the first request on."""
    port = servers.free_port()
    async with FakeUpstream() as upstream:
        config = three_vendors(upstream, rate_limits={"replicas": 2, "keys": {"*": {"requests": 4}}})
        async with replica(made(tmp_path / "a"), config, f"redis://127.0.0.1:{port}/0") as gateway:
            got = [await gateway.post(PATH, BODY) for _ in range(4)]
            assert [each.status for each in got] == [200, 200, 429, 429]
            assert got[-1].header("x-ep-ratelimit-mode") == "degraded"
            assert b"\nratelimit_degraded 1.0" in (await gateway.get("/metrics")).body
