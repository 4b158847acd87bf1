"""The link to Redis: nobody reads another one's answer, and a Redis that is gone costs nothing twice."""

import asyncio
import subprocess
import sys
import time
from contextlib import suppress
from random import Random

import pytest
import redis as plain

import servers
from execution_platform.config.settings import Settings
from execution_platform.exceptions import ConfigError
from execution_platform.gateway.state import State
from execution_platform.replicas.link import RedisLink, Script, StoreDown, key
from loops import in_loop, until

SOON = 5.0


@in_loop
async def test_no_answer_reaches_another_command_when_commands_are_cancelled_at_random(
    redis_client: plain.Redis, redis_server: servers.Redis
) -> None:
    """P4: a connection whose command was cancelled is dropped, so that its answer is nobody's."""
    link, rng = RedisLink(redis_server.url), Random(4)
    await link.start()
    foreign, answered = 0, 0

    async def one(number: int) -> None:
        nonlocal foreign, answered
        got = await link.command("ECHO", f"mine-{number}")
        answered += 1
        foreign += got != f"mine-{number}".encode()

    for round_ in range(60):
        tasks = [asyncio.create_task(one(round_ * 100 + number)) for number in range(40)]
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(0)
        for task in rng.sample(tasks, 12):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if not link.up:
            await until(lambda: link.up, within=SOON)
    assert answered > 500
    assert foreign == 0
    await link.stop()


@in_loop
async def test_a_redis_that_hangs_costs_one_command_and_then_nothing() -> None:
    """R8: 100 ms once, refused at once afterwards, up again within 5 s of its recovery."""
    with servers.redis() as server:
        link = RedisLink(server.url)
        await link.start()
        assert link.up
        server.freeze()
        told = await asyncio.gather(*(link.command("PING") for _ in range(50)), return_exceptions=True)
        assert {type(each) for each in told} == {StoreDown}
        loop = asyncio.get_running_loop()
        async with asyncio.timeout_at(loop.time() + 1.0):
            for _ in range(5000):
                with suppress(StoreDown):
                    await link.command("PING")
        server.resume()
        await until(lambda: link.up, within=SOON)
        assert await link.command("PING") == b"PONG"
        await link.stop()


@in_loop
async def test_it_starts_without_redis_and_finds_it_later() -> None:
    changes: list[tuple[bool, str | None]] = []
    found = asyncio.Event()

    def changed(up: bool, error: str | None) -> None:
        changes.append((up, error))
        if up:
            found.set()

    with servers.redis() as server:
        server.stop()
        link = RedisLink(server.url, changed=changed)
        async with asyncio.timeout(1):
            await link.start()
        assert changes == [(False, "connection refused or lost")]
        with pytest.raises(StoreDown):
            await link.command("PING")
        server.start()
        async with asyncio.timeout(SOON):
            await found.wait()  # told once the channels are followed, a moment after commands are taken
        assert changes[-1] == (True, None)
        assert link.up
        await link.stop()


@in_loop
async def test_replicas_are_counted_while_they_live(redis_client: plain.Redis, redis_server: servers.Redis) -> None:
    links = [RedisLink(redis_server.url) for _ in range(3)]
    for link in links:
        await link.start()
    # told at once, long before the next beat
    await until(lambda: [link.replicas for link in links] == [3, 3, 3], within=SOON)
    await links[0].stop()
    await until(lambda: [link.replicas for link in links[1:]] == [2, 2], within=SOON)
    assert redis_client.zcard(key("replicas")) == 2
    for link in links[1:]:
        await link.stop()
    assert redis_client.zcard(key("replicas")) == 0


@in_loop
async def test_a_stall_of_the_process_is_not_held_against_redis(
    redis_client: plain.Redis, redis_server: servers.Redis
) -> None:
    link = RedisLink(redis_server.url, command_seconds=0.05)
    await link.start()
    asked = asyncio.create_task(link.command("BLPOP", "nothing", 0.02))
    await asyncio.sleep(0.005)
    end = time.monotonic() + 0.2
    while time.monotonic() < end:  # nobody else runs, as in a long callback
        pass
    assert await asked is None
    assert link.up
    await link.stop()


@in_loop
async def test_a_script_is_known_again_after_redis_forgot_it(
    redis_client: plain.Redis, redis_server: servers.Redis
) -> None:
    link = RedisLink(redis_server.url)
    await link.start()
    script = Script("return ARGV[1] + 1")
    assert await link.run(script, [], [1]) == 2
    redis_client.script_flush()
    assert await link.run(script, [], [2]) == 3
    assert link.up
    await link.stop()


@in_loop
async def test_a_refused_password_is_named_and_the_address_is_not() -> None:
    with servers.redis() as server:
        with plain.Redis.from_url(server.url) as client:
            client.config_set("requirepass", "canary-password")
        link = RedisLink(server.url)
        await link.start()
        assert not link.up
        assert link.view.error == "password refused"
        await link.stop()
        right = RedisLink(f"redis://:canary-password@127.0.0.1:{server.port}/0")
        await right.start()
        assert right.up
        await right.stop()


@pytest.mark.parametrize("url", ["http://127.0.0.1:6379", "127.0.0.1:6379", "redis://host:port/x"])
def test_an_address_that_is_none_is_refused_at_start_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigError, match="EP_REDIS_URL") as refused:
        State(Settings({"EP_REDIS_URL": url}))
    assert url not in str(refused.value)


def test_a_missing_package_is_a_clear_error_and_no_package_is_needed_without_redis() -> None:
    code = (
        "import sys; sys.modules['redis'] = None\n"
        "from execution_platform.config.settings import Settings\n"
        "from execution_platform.gateway.state import State\n"
        "State(Settings({}))\n"
        "assert not [name for name in sys.modules if name.startswith('redis.')]\n"
        "try: State(Settings({'EP_REDIS_URL': 'redis://127.0.0.1:1/0'}))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("ConfigError EP_REDIS_URL is set and the package redis is not installed")
