"""A server that a reload leaves behind ends with its last call, and its process with it."""

import asyncio
import os
from pathlib import Path

import pytest

from evil_mcp import tool
from execution_platform.config.written.mcp import RawMcp, resolve_mcp
from loops import in_loop
from mcp_bench import Bench, bench, evil_server, program


def reload(it: Bench, servers: dict[str, object]) -> None:
    it.servers.use(resolve_mcp(RawMcp.model_validate({"servers": servers}), "127.0.0.1", []).servers)


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while lives(pid):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("changes", [None, {"seconds": 59}], ids=["removed", "changed"])
@in_loop
async def test_a_call_under_way_ends_well_and_then_the_process_ends(
    tmp_path: Path, changes: dict[str, object] | None
) -> None:
    evil = evil_server(tmp_path, tool("pid"), tool("slow"))
    sign = tmp_path / "go on"
    async with bench(tmp_path, {"evil": evil.config(), "other": evil.config()}) as it:
        kept = int(await it.call("other.pid"))
        pid = int(await it.call("evil.pid", tenant="idle"))
        slow = asyncio.ensure_future(it.call("evil.slow", text=str(sign)))
        async with asyncio.timeout(10):
            while "slow" not in evil.calls:
                await asyncio.sleep(0.01)
        servers: dict[str, object] = {"other": evil.config()}
        if changes is not None:
            servers["evil"] = evil.config(**changes)
        reload(it, servers)
        await it.servers.look()
        assert lives(pid)
        assert not slow.done()
        if changes is not None:
            assert int(await it.call("evil.pid", tenant="idle")) != pid
        sign.touch()
        worked = int(await slow)
        await gone(worked)
        await gone(pid)
        assert lives(kept)
        assert int(await it.call("other.pid")) == kept


@in_loop
async def test_a_real_server_is_gone_after_a_reload(tmp_path: Path) -> None:
    before = children()
    async with bench(tmp_path, {"everything": program("mcp-server-everything", "stdio")}) as it:
        assert await it.call("everything.echo", message="hi") == "Echo: hi"
        started = children() - before
        assert started
        reload(it, {})
        await it.servers.look()
        for pid in started:
            await gone(pid)


def children() -> set[int]:
    """Every process below this one."""
    parents = {int(path.name): int(stat.rpartition(")")[2].split()[1]) for path, stat in stats()}
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


def stats() -> list[tuple[Path, str]]:
    read: list[tuple[Path, str]] = []
    for path in Path("/proc").iterdir():
        try:
            if path.name.isdigit():
                read.append((path, (path / "stat").read_text()))
        except OSError:
            continue  # it ended while we looked
    return read


@in_loop
async def test_what_is_left_at_the_end_is_ended_whatever_it_does(tmp_path: Path) -> None:
    evil = evil_server(tmp_path, tool("pid"), tool("never"))
    async with bench(tmp_path, {"evil": evil.config()}) as it:
        pid = int(await it.call("evil.pid"))
        never = asyncio.ensure_future(it.call("evil.never"))
        async with asyncio.timeout(10):
            while "never" not in evil.calls:
                await asyncio.sleep(0.01)
        reload(it, {})
        await it.servers.look()
        assert lives(pid)
    await gone(pid)
    await asyncio.wait({never}, timeout=10)
    assert never.exception() is not None
