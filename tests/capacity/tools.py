"""Tools and runs on one worker: how long calls take by HTTP, what a sandbox adds, and a hundred agents at once."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any

import aiohttp
import uvloop

from capacity.driver import quantile
from capacity.scene import Row, Scale
from child import ChildGateway
from execution_platform import _json
from execution_platform.testing import Call, FakeUpstream, Script

_PLAIN: tuple[tuple[str, dict[str, Any]], ...] = (
    ("fs_write", {"path": "src/a.py", "content": "def first():\n    return 1\n" * 200}),
    ("fs_read", {"path": "src/a.py"}),
    ("fs_list", {"path": "."}),
    ("code_search", {"pattern": r"def (\w+)"}),
    ("code_analyze", {"path": "src/a.py"}),
)
_PROGRAM: tuple[str, dict[str, Any]] = ("exec_cmd", {"argv": ["true"]})
_TURNS = 2
"""Turns of a run that call a tool, on average; one more tells the end."""


def tools(scale: Scale) -> Iterator[Row]:
    """Calls by `/v1/tools/invoke`, one after the other and fifty at once; then a hundred runs, each with turns and files of its own."""
    with ChildGateway({"tools": {"exec": {"enabled": True}}}) as gateway:
        yield from uvloop.run(_calls(gateway.url, scale))
    yield uvloop.run(_runs(scale))


async def _calls(url: str, scale: Scale) -> list[Row]:
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0)) as session:

        async def timed(call: tuple[str, dict[str, Any]]) -> float:
            name, args = call
            begun = time.perf_counter()
            async with session.post("/v1/tools/invoke", json={"name": name, "args": args}) as answer:
                body = await answer.json()
                if answer.status != 200 or not body["ok"]:
                    raise RuntimeError(f"{name}: {answer.status} {body}")
            return time.perf_counter() - begun

        async def in_turn(calls: Sequence[tuple[str, dict[str, Any]]], rounds: int) -> list[float]:
            return [await timed(call) for _ in range(rounds) for call in calls]

        async def at_once(calls: Sequence[tuple[str, dict[str, Any]]], count: int) -> list[float]:
            return list(await asyncio.gather(*(timed(calls[number % len(calls)]) for number in range(count))))

        await in_turn((*_PLAIN, _PROGRAM), 2)
        alone = await in_turn(_PLAIN, scale.count(40))
        many = [took for _ in range(scale.count(10)) for took in await at_once(_PLAIN, 50)]
        sandbox = await in_turn((_PROGRAM,), scale.count(100))
        programs = [took for _ in range(scale.count(4)) for took in await at_once((_PROGRAM,), 50)]
    median = quantile(sandbox, 0.5)
    return [
        _row("calls of tools without a program, one by one, p95", quantile(alone, 0.95), 0.5),
        _row("the same, 50 at once, p95", quantile(many, 0.95), 0.5),
        _row("a program in a fresh sandbox, median", median, 0.15),
        _row("the same, one by one, p95", quantile(sandbox, 0.95), 5.0),
        _row("the same, 50 at once, p95", quantile(programs, 0.95), 5.0),
    ]


def _row(what: str, got: float, most: float) -> Row:
    return Row("tools", what, f"{got * 1000:.0f} ms", f"< {most * 1000:.0f} ms", got < most)


async def _runs(scale: Scale) -> Row:
    count = scale.count(100)
    async with FakeUpstream() as upstream:
        calls = [Call("fs_write", {"path": f"f{number}.txt", "content": "x"}) for number in range(count * _TURNS)]
        # Runs take the calls as they come, and each ends with the first text it gets.
        upstream.script(*(Script(call) for call in calls), *(Script("done") for _ in range(count)))
        provider = {"kind": "openai", "base_url": f"{upstream.url}/v1", "api_key": "key", "free": True}
        config = {
            "providers": {"openai": {**provider, "models": ["gpt-4o"], "concurrency": 1000}},
            "personas": {"dev": {"prefer": ["openai/gpt-4o"], "tools": ["fs_write"], "permission_mode": "acceptEdits"}},
            "runs": {"steps": count * _TURNS},
        }
        with ChildGateway(config) as gateway:
            begun = time.perf_counter()
            async with aiohttp.ClientSession(gateway.url, connector=aiohttp.TCPConnector(limit=0)) as session:

                async def run(number: int) -> bool:
                    order = {"persona": "dev", "task": f"task {number}"}
                    async with session.post("/v1/runs", json=order) as answer:
                        run_id = (await answer.json())["id"]
                    async with session.get(f"/v1/runs/{run_id}/events") as events:
                        told = await events.read()
                    async with session.get(f"/v1/runs/{run_id}") as answer:
                        state = _json.loads(await answer.read())
                    return state["status"] == "done" and b"event: done" in told

                done = sum(await asyncio.gather(*(run(number) for number in range(count))))
            took = time.perf_counter() - begun
    got = f"{done}, in {took:.1f} s with {count * (_TURNS + 1)} turns"
    return Row("runs", f"{count} runs at once on one worker: completed", got, f"{count}", done == count)
