"""Providers outlive the configurations they are in, and are closed when nobody uses them any more."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from execution_platform.config.files import parse_config
from execution_platform.config.resolve import Resolved, resolve
from execution_platform.config.settings import Settings
from execution_platform.exceptions import ConfigError
from execution_platform.providers.fleet import Fleet
from execution_platform.providers.registry import specs


def config(*names: str, key: str = "k") -> Resolved:
    providers = ", ".join(f"{name}: {{kind: groq, api_key: {key}}}" for name in names)
    return resolve(parse_config(f"providers: {{{providers}}}"), Settings({}), specs())


class Closings:
    """Which providers were closed, and how often."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def watch(self, provider: Any) -> None:
        close: Callable[[], Awaitable[None]] = provider.aclose

        async def aclose() -> None:
            self.names.append(provider.name)
            await close()

        provider.aclose = aclose


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_an_unchanged_provider_stays_and_a_changed_one_is_replaced() -> None:
    async def run() -> None:
        fleet = Fleet({})
        first = fleet.build(config("a", "b"))
        fleet.adopt(first)
        same = fleet.build(config("a", "b"))
        assert same.providers["a"] is first.providers["a"]
        other = fleet.build(config("a", "b", key="l"))
        assert other.providers["a"] is not first.providers["a"]
        await fleet.aclose()

    asyncio.run(run())


def test_what_is_built_and_not_adopted_changes_nothing() -> None:
    async def run() -> None:
        fleet, closings = Fleet({}), Closings()
        first = fleet.build(config("a"))
        fleet.adopt(first)
        closings.watch(first.providers["a"])
        fleet.build(config("b"))
        await settled()
        assert closings.names == []
        await fleet.aclose()
        assert closings.names == ["a"]

    asyncio.run(run())


def test_a_vanished_provider_is_closed_after_its_last_call() -> None:
    async def run() -> None:
        fleet, closings = Fleet({}), Closings()
        first = fleet.build(config("a", "b"))
        fleet.adopt(first)
        for name in ("a", "b"):
            closings.watch(first.providers[name])
        first.enter()
        first.enter()
        second = fleet.build(config("b"))
        fleet.adopt(second)
        first.leave()
        await settled()
        assert closings.names == []
        first.leave()
        await settled()
        assert closings.names == ["a"]
        await fleet.aclose()
        assert closings.names == ["a", "b"]

    asyncio.run(run())


def test_a_vanished_provider_without_a_call_is_closed_at_once() -> None:
    async def run() -> None:
        fleet, closings = Fleet({}), Closings()
        first = fleet.build(config("a"))
        fleet.adopt(first)
        closings.watch(first.providers["a"])
        fleet.adopt(fleet.build(config("b")))
        await settled()
        assert closings.names == ["a"]
        await fleet.aclose()

    asyncio.run(run())


def test_calls_of_several_generations_keep_what_each_uses() -> None:
    async def run() -> None:
        fleet, closings = Fleet({}), Closings()
        generations = []
        for names in (("a", "b"), ("b", "c"), ("c",)):
            generation = fleet.build(config(*names))
            fleet.adopt(generation)
            generation.enter()
            generations.append(generation)
        for name, generation in zip("abc", (generations[0], generations[0], generations[1]), strict=True):
            closings.watch(generation.providers[name])
        generations[1].leave()
        await settled()
        assert closings.names == []
        generations[0].leave()
        await settled()
        assert sorted(closings.names) == ["a", "b"]
        await fleet.aclose()

    asyncio.run(run())


def test_without_an_event_loop_nothing_is_lost() -> None:
    fleet, closings = Fleet({}), Closings()
    first = fleet.build(config("a"))
    fleet.adopt(first)
    closings.watch(first.providers["a"])
    fleet.adopt(fleet.build(config("b")))
    assert closings.names == []
    asyncio.run(fleet.aclose())
    assert closings.names == ["a"]


def test_a_provider_of_the_file_that_cannot_be_built_is_refused() -> None:
    broken = resolve(parse_config("providers: {z: {kind: azure_openai, api_key: k}}"), Settings({}), specs())
    with pytest.raises(ConfigError, match="address"):
        Fleet({}).build(broken)
