"""Limits over replicas: exact with Redis, a share without it, and never an error."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

import servers
from execution_platform.config.values import RateLimit, RateLimits
from execution_platform.exceptions import RateLimited
from execution_platform.limits.limiter import TICK_SECONDS, Admission, Limiter
from execution_platform.limits.table import LimitTable
from execution_platform.replicas.link import RedisLink
from looping import in_loop

START = 1_700_000_000.0


class Time:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def server(self) -> float:
        return START + self.now


class Replica:
    """A limiter with its link, and what it let through."""

    def __init__(self, link: RedisLink, time: Time, config: RateLimits) -> None:
        self.link = link
        self.limiter = Limiter(link, clock=time.monotonic, server_clock=time.server)
        self.limiter.configured = config.replicas
        self.limits = LimitTable(self.limiter, config).caller("team", "default", None)
        self.time = time
        self.admitted: list[float] = []

    async def ask(self, tokens: int = 0) -> Admission | None:
        try:
            admission = await self.limiter.admit(self.limits, tokens)
        except RateLimited:
            return None
        self.admitted.append(self.time.now)
        return admission


@asynccontextmanager
async def replicas(url: str, config: RateLimits, number: int = 2) -> AsyncIterator[list[Replica]]:
    time = Time()
    links = [RedisLink(url) for _ in range(number)]
    for link in links:
        await link.start()
    try:
        yield [Replica(link, time, config) for link in links]
    finally:
        for link in links:
            await link.stop()


def most_in_a_minute(times: list[float]) -> int:
    times = sorted(times)
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - 60.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def of_key(requests: int | None = None, tokens: int | None = None, **more: int) -> RateLimits:
    return RateLimits(keys={"team": RateLimit(requests=requests, tokens=tokens, **more)})


async def load(both: list[Replica], *, rate: float, seconds: float, rng: Random) -> None:
    """Requests at `rate` a second, each at a replica of chance, with leases renewed as in the background."""
    time, ticks = both[0].time, 0.0
    end = time.now + seconds
    while time.now < end:
        time.now += rng.expovariate(rate)
        ticks += 1 / rate
        if ticks >= TICK_SECONDS:
            ticks = 0.0
            for each in both:
                await each.limiter.renew()
        await rng.choice(both).ask()


@pytest.mark.parametrize(("limit", "burst"), [(60, None), (600, None), (600, 30), (6000, None)])
@in_loop
async def test_two_replicas_let_exactly_the_limit_through(
    redis_client, redis_server, limit: int, burst: int | None
) -> None:
    """R22: under three times the limit no minute has more than the limit, and 99 % of it is usable."""
    config = of_key(limit, **({"burst": burst} if burst else {}))
    async with replicas(redis_server.url, config) as both:
        await load(both, rate=limit / 20, seconds=182, rng=Random(limit))
        times = [at for each in both for at in each.admitted]
        assert most_in_a_minute(times) <= limit
        assert len(times) >= 3 * limit * 0.99
        assert min(len(each.admitted) for each in both) > 0.3 * len(times)


@in_loop
async def test_below_the_limit_nothing_is_refused_and_hardly_anybody_waits(redis_client, redis_server) -> None:
    async with replicas(redis_server.url, of_key(6000)) as both:
        before = redis_client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
        await load(both, rate=80, seconds=60, rng=Random(1))
        assert sum(len(each.admitted) for each in both) >= 4600
        calls = redis_client.info("commandstats")["cmdstat_evalsha"]["calls"] - before
        assert calls < 0.35 * 4800  # 2 replicas x 10 rounds a second are 1200


@in_loop
async def test_tokens_are_held_by_estimate_and_corrected(redis_client, redis_server) -> None:
    async with replicas(redis_server.url, of_key(tokens=10_000)) as (one, other):
        held = [await one.ask(4000), await other.ask(4000)]
        assert None not in held
        assert await one.ask(4000) is None
        held[0].settle(1000)
        held[1].settle(2000)
        one.time.now += 3.0
        await one.limiter.renew()
        await other.limiter.renew()
        assert await one.ask(7000) is not None
        assert await other.ask(10) is None


@in_loop
async def test_more_tokens_than_estimated_count_too(redis_client, redis_server) -> None:
    async with replicas(redis_server.url, of_key(tokens=10_000)) as (one, other):
        held = await one.ask(1000)
        assert held is not None
        held.settle(9_500)
        one.time.now += 3.0
        await one.limiter.renew()
        assert await other.ask(1000) is None
        assert await other.ask(400) is not None


@in_loop
async def test_a_request_that_one_limit_refuses_takes_nothing_of_the_others(redis_client, redis_server) -> None:
    async with replicas(redis_server.url, of_key(requests=3, tokens=100)) as (one, other):
        assert await one.ask(100) is not None
        for _ in range(5):
            assert await one.ask(100) is None
        one.time.now += 0.5
        await one.limiter.renew()
        assert other.limiter.remaining(other.limits[0]) == 3
        other.time.now += 61
        assert await other.ask(50) is not None


@in_loop
async def test_the_refusal_says_when_to_come_back(redis_client, redis_server) -> None:
    async with replicas(redis_server.url, of_key(requests=2)) as (one, other):
        assert await one.ask() is not None
        one.time.now += 10
        assert await other.ask() is not None
        with pytest.raises(RateLimited) as refused:
            await one.limiter.admit(one.limits, 0)
        assert refused.value.retry_after == pytest.approx(50, abs=1)
        assert refused.value.code == "rate_limit_exceeded"
        one.time.now += refused.value.retry_after
        assert await one.ask() is not None


@in_loop
async def test_without_redis_each_replica_takes_its_share_of_what_is_left() -> None:
    """B8: limit 100, Redis goes in the middle: at most 110 in any minute over two replicas; after it the limit is whole."""
    with servers.redis() as redis:
        async with replicas(redis.url, of_key(100)) as both:
            time = both[0].time
            for each in both:
                for _ in range(30):
                    assert await each.ask() is not None
            for link in (each.link for each in both):
                await link.start()  # a beat, so that both know of two
            redis.stop()
            for _ in range(3):
                time.now += 5
                for each in both:
                    for _ in range(60):
                        await each.ask()
            assert both[0].limiter.mode == "degraded"
            times = [at for each in both for at in each.admitted]
            assert 98 <= len(times) <= 110
            time.now += 120
            for each in both:
                for _ in range(80):
                    await each.ask()
            times = [at for each in both for at in each.admitted]
            assert most_in_a_minute(times) <= 110
            redis.start()
            await up(both)
            for each in both:
                await each.limiter.renew()
            assert [await each.ask() for each in both] == [None, None]  # what passed without Redis counts
            time.now += 61
            assert all([await each.ask() for each in both])


@in_loop
async def test_an_emptied_redis_learns_what_was_let_through(redis_client, redis_server) -> None:
    """R35: FLUSHALL gives nobody the limit a second time."""
    async with replicas(redis_server.url, of_key(1000)) as both:
        for each in both:
            for _ in range(450):
                assert await each.ask() is not None
        redis_client.flushall()
        for _ in range(3):
            both[0].time.now += 0.3
            for each in both:
                await each.ask()
                await each.limiter.renew()
        for each in both:
            for _ in range(200):
                await each.ask()
        assert sum(len(each.admitted) for each in both) <= 1000


async def up(both: list[Replica]) -> None:
    """Wait until every link is up; 5 s is the promise, the timeout of the test the proof."""
    async with asyncio.timeout(5):
        while not all(each.link.up for each in both):
            await asyncio.sleep(0.01)
