"""A change of the configuration reaches every process that serves it, whichever of them was told."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import redis as plain
import yaml

import servers
from execution_platform.testing import FakeUpstream
from gateway.processes import Process, process
from gateway.test_drain import children, events
from loops import in_loop, until
from serving import Served, serving, three_vendors, write_config

UNWATCHED = {"EP_CONFIG_WATCH": "false"}
"""Only what a process is told counts, not that all of them see the same file change."""


async def call(gateway: Process, path: str, body: dict[str, Any] | None = None, method: str = "POST") -> Any:
    """One request on a connection of its own, which any worker may take."""
    async with aiohttp.ClientSession() as http:
        async with http.request(method, gateway.url + path, json=body) as response:
            assert response.status == 200, await response.read()
            return await response.json()


async def versions(gateway: Process, most: int = 40) -> dict[str, set[str]]:
    """What is served, by worker: asked until both have answered."""
    found: dict[str, set[str]] = {}
    for _ in range(most):
        found.setdefault((await call(gateway, "/v1/config", method="GET"))["version"], set())
    return found


@asynccontextmanager
async def workers(folder: Path) -> AsyncIterator[tuple[Process, dict[str, Any]]]:
    async with FakeUpstream() as upstream:
        config = three_vendors(upstream)
        async with process(folder, config, "--workers", "2", environ=UNWATCHED) as gateway:
            await until(lambda: len(events(gateway, "started")) >= 2, within=60)
            yield gateway, config


def write(gateway: Process, config: dict[str, Any], depth: int) -> None:
    path = gateway.folder / f"platform-{gateway.port}.yaml"
    path.write_text(yaml.safe_dump({"version": 1, **config, "limits": {"depth": depth}}))


@in_loop
async def test_reloads_rollbacks_and_switched_personas_reach_all_workers_and_those_that_start_later(
    tmp_path: Path,
) -> None:
    async with workers(tmp_path) as (gateway, config):
        (first,) = await versions(gateway)
        write(gateway, config, 40)
        reloaded = await call(gateway, "/v1/config/reload", {})
        assert reloaded["workers"] == {"following": 2, "of": 2}
        (second,) = await versions(gateway)
        assert second == reloaded["version"] != first
        back = await call(gateway, "/v1/config/rollback", {"version": first})
        assert (back["version"], back["workers"]) == (first, {"following": 2, "of": 2})
        assert set(await versions(gateway)) == {first}
        os.kill(children(gateway)[0], signal.SIGKILL)
        await until(lambda: len(events(gateway, "started")) >= 3 and len(children(gateway)) >= 2, within=60)
        assert set(await versions(gateway)) == {first}, "the new worker does not serve what was rolled back"
        await call(gateway, "/v1/personas/dev", {"prefer": ["openai"]}, "PUT")
        (switched,) = await versions(gateway)
        assert switched not in (first, second)
        assert (await call(gateway, "/v1/config/reload", {}))["workers"] == {"following": 2, "of": 2}
        assert len(await versions(gateway)) == 1
        assert not events(gateway, "config_not_followed")


@in_loop
async def test_a_configuration_that_cannot_be_used_reaches_nobody(tmp_path: Path) -> None:
    async with workers(tmp_path) as (gateway, _):
        before = set(await versions(gateway))
        path = gateway.folder / f"platform-{gateway.port}.yaml"
        path.write_text("version: 1\nproviders: {openai: {kind: nonsense}}\n")
        async with aiohttp.ClientSession() as http:
            async with http.post(f"{gateway.url}/v1/config/reload", json={}) as response:
                assert response.status == 422
        assert set(await versions(gateway)) == before
        assert len(events(gateway, "config_refused")) == 1


async def _config(gateway: Served) -> str:
    return str((await gateway.get("/v1/config")).json()["version"])


@in_loop
async def test_replicas_hear_of_reloads_and_rollbacks_through_redis(
    tmp_path: Path, redis_client: plain.Redis, redis_server: servers.Redis
) -> None:
    async with FakeUpstream() as upstream:
        config = three_vendors(upstream)
        folders = tmp_path / "a", tmp_path / "b"
        for folder in folders:
            folder.mkdir()
        environ = {"EP_REDIS_URL": redis_server.url}
        async with serving(folders[0], config, environ) as one, serving(folders[1], config, environ) as other:
            before = await _config(one)
            assert await _config(other) == before
            for folder in folders:
                write_config(folder, {**config, "limits": {"depth": 41}})
            assert (await one.post("/v1/config/reload", {})).status == 200
            after = await _config(one)
            assert after != before

            async def follows(gateway: Served, version: str) -> bool:
                return await _config(gateway) == version

            await until(lambda: follows(other, after), within=5)
            assert (await other.post("/v1/config/rollback", {"version": before})).status == 200
            await until(lambda: follows(one, before), within=5)
