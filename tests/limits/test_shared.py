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
from loops import in_loop, until

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
async def replicas(url: str, config: RateLimits, *, seconds: float = 10.0) -> AsyncIterator[list[Replica]]:
    """Two replicas in one time; a command may take `seconds`, so that a busy machine is no outage."""
    time = Time()
    links = [RedisLink(url, command_seconds=seconds) for _ in range(2)]
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
    async with replicas(redis_server.url, of_key(requests=3, tokens=100)) as (one, _):
        first = await one.ask(100)
        assert first is not None
        for _ in range(5):
            assert await one.ask(100) is None
        first.settle(0)
        one.time.now += 3
        await one.limiter.renew()
        assert [await one.ask(10) is not None for _ in range(3)] == [True, True, False]


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
            await until(lambda: both[0].link.replicas == 2, within=5)
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


@in_loop
async def test_who_leaves_while_waiting_for_redis_takes_nothing(redis_client, redis_server) -> None:
    async with replicas(redis_server.url, of_key(5)) as (one, other):
        for _ in range(30):
            waiting = [asyncio.create_task(one.ask()) for _ in range(3)]
            await asyncio.sleep(0)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        for _ in range(3):
            one.time.now += 1.0
            await one.limiter.renew()
        for _ in range(6):
            await other.ask()
        # Some were let through before they left; what the others would have had is there for everybody.
        assert len(one.admitted) + len(other.admitted) == 5


@in_loop
async def test_a_redis_that_hangs_holds_up_nobody_for_longer_than_one_command() -> None:
    """R8: those who wait when it happens are let through by the share, and nobody waits after them."""
    with servers.redis() as redis:
        async with replicas(redis.url, of_key(1000), seconds=0.1) as both:
            redis.freeze()
            async with asyncio.timeout(1.0):
                got = await asyncio.gather(*(each.ask() for each in both for _ in range(50)))
                assert None not in got
                got = [await each.ask() for each in both for _ in range(50)]
                assert None not in got
            assert both[0].limiter.mode == "degraded"


@in_loop
async def test_a_limit_that_is_changed_holds_for_what_has_passed(redis_client, redis_server) -> None:
    async with replicas(redis_server.url, of_key(10)) as (one, other):
        assert [await one.ask() is not None for _ in range(8)] == [True] * 8
        for each in (one, other):
            each.limits = LimitTable(each.limiter, of_key(12)).caller("team", "default", None)
        assert [await other.ask() is not None for _ in range(5)] == [True] * 4 + [False]
        for each in (one, other):
            each.limits = LimitTable(each.limiter, of_key(3)).caller("team", "default", None)
        one.time.now += 1
        assert await one.ask() is None


@in_loop
async def test_names_that_come_and_go_are_kept_in_bounds() -> None:
    limiter = Limiter()
    table = LimitTable(limiter, RateLimits(keys={"*": RateLimit(requests=5)}))
    for number in range(25_000):
        table.caller(f"key-{number}", "default", None)
    assert len(limiter._meters) <= 20_000
    assert len(table._callers) <= 10_000


async def up(both: list[Replica]) -> None:
    """Wait until every link is up; 5 s is the promise, the timeout of the test the proof."""
    await until(lambda: all(each.link.up for each in both), within=5)
