"""Facts between replicas: heard at once, read by who comes later, ended by themselves."""

from typing import Self

import redis as plain

import servers
from execution_platform.replicas.bulletin import Bulletin, Fact
from execution_platform.replicas.link import RedisLink, key
from loops import in_loop, until

SOON = 5.0


class Reader:
    """A replica that keeps what it hears."""

    def __init__(self, url: str) -> None:
        self.heard: list[Fact] = []
        self.link = RedisLink(url)
        self.bulletin = Bulletin(self.link, "test", self.heard.append)

    async def __aenter__(self) -> Self:
        await self.link.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.bulletin.stop()
        await self.link.stop()


@in_loop
async def test_what_one_says_the_others_hear_and_it_does_not(
    redis_client: plain.Redis, redis_server: servers.Redis
) -> None:
    async with Reader(redis_server.url) as one, Reader(redis_server.url) as other:
        one.bulletin.tell(Fact("a", "open", 20.0))
        one.bulletin.tell(Fact("b", "cooling", 5.0))
        await until(lambda: len(other.heard) == 2, within=SOON)
        assert [(fact.name, fact.words) for fact in other.heard] == [("a", "open"), ("b", "cooling")]
        assert 19 < other.heard[0].seconds <= 20
        assert one.heard == []


@in_loop
async def test_who_comes_later_reads_what_still_holds(redis_client: plain.Redis, redis_server: servers.Redis) -> None:
    async with Reader(redis_server.url) as one:
        one.bulletin.tell(Fact("a", "open", 20.0))
        one.bulletin.tell(Fact("brief", "open", 0.05))
        one.bulletin.tell(Fact("back", "open", 20.0))
        one.bulletin.tell(Fact("back", "closed", 0.0))
        await until(lambda: redis_client.exists(key("test", "fact", "") + "a") == 1, within=SOON)
        await until(lambda: redis_client.exists(key("test", "fact", "") + "brief") == 0, within=SOON)
        await until(lambda: redis_client.exists(key("test", "fact", "") + "back") == 0, within=SOON)
        async with Reader(redis_server.url) as late:
            assert [(fact.name, fact.words) for fact in late.heard] == [("a", "open")]
            assert late.heard[0].seconds <= 20
    assert 0 < redis_client.pttl(key("test", "fact", "") + "a") <= 20_000


@in_loop
async def test_what_could_not_be_said_is_said_when_redis_is_back() -> None:
    with servers.redis() as server:
        async with Reader(server.url) as one, Reader(server.url) as other:
            server.stop()
            await until(lambda: not one.link.up and not other.link.up, within=SOON)
            for number in range(50):
                one.bulletin.tell(Fact("a", f"state {number}", 60.0))
            server.start()
            await until(lambda: any(fact.words == "state 49" for fact in other.heard), within=SOON)
            assert {fact.words for fact in other.heard} == {"state 49"}


@in_loop
async def test_what_is_no_fact_is_passed_over(redis_client: plain.Redis, redis_server: servers.Redis) -> None:
    async with Reader(redis_server.url) as one:
        for message in (
            b"",
            b"{}",
            b"[1]",
            b'{"from": 1, "name": "x"}',
            b"\xff",
            b'{"from":"x","name":"n","words":"w","ms":"NaN-"}',
        ):
            redis_client.publish(key("test"), message)
        redis_client.publish(key("test"), b'{"from": "x", "name": "n", "words": "w", "ms": 1000}')
        await until(lambda: one.heard != [], within=SOON)
        assert one.heard == [Fact("n", "w", 1.0)]
        assert one.link.up
