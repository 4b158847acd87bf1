"""Runs by the SDK: begun, watched, approved and finished with one call."""

import asyncio
from pathlib import Path

import pytest

from agent_tools import ReadFile, WriteFile
from execution_platform.client import (
    AsyncExecutionPlatformClient,
    ExecutionPlatformClient,
    RunEvent,
    RunOptions,
    RunResult,
)
from execution_platform.exceptions import ProviderError, RouterError
from execution_platform.testing import Call, FakeUpstream, Script, Status, Text
from gateway.test_runs import TEAM, WRITE
from loops import in_loop
from serving import Served, serving, three_vendors


def equip(served: Served) -> WriteFile:
    """Two tools."""
    write = WriteFile()
    served.gateway.state.tools.register(write)
    served.gateway.state.tools.register(ReadFile())
    return write


@pytest.mark.parametrize("twin", ["async", "sync"])
@pytest.mark.parametrize("allow", [True, False])
@in_loop
async def test_one_call_runs_a_task_asks_its_user_and_gives_the_result(tmp_path: Path, twin: str, allow: bool) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        write = equip(served)
        upstream.script(Script(WRITE), Script(Text("All done.", chunks=1)))
        seen: list[str] = []

        def watch(event: RunEvent) -> None:
            seen.append(event.event)

        def approve(event: RunEvent) -> bool:
            assert event.data["name"] == "write_file"
            return allow

        if twin == "async":
            async with AsyncExecutionPlatformClient(served.url, "careful") as client:
                result = await client.run("Write hello", on_event=watch, approve=approve)
        else:

            def work() -> RunResult:
                with ExecutionPlatformClient(served.url, "careful") as client:
                    return client.run("Write hello", on_event=watch, approve=approve)

            result = await asyncio.to_thread(work)
        assert (result.status, result.reason, result.text, result.steps) == ("done", "stop", "All done.", 2)
        assert result.usage.total_tokens > 0
        assert len(write.calls) == (1 if allow else 0)
        assert seen[0] == "run_started"
        assert seen[-1] == "done"
        assert {"approval_required", "approval_decided", "tool_result"} <= set(seen)


@in_loop
async def test_a_run_that_fails_raises_and_one_that_is_stopped_says_why(tmp_path: Path) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        equip(served)
        async with AsyncExecutionPlatformClient(served.url, "dev") as client:
            upstream.script(Script(Call("read_file", {"path": "a"})))
            stopped = await client.run("Read", options=RunOptions(limits={"steps": 1}))
            assert (stopped.status, stopped.reason) == ("stopped", "step_limit")
            upstream.clear()
            upstream.script(Status(500))
            with pytest.raises(ProviderError):
                await client.run("Fail")
            with pytest.raises(RouterError):
                await client.run("x", persona="nobody")


@in_loop
async def test_leaving_a_run_cancels_it(tmp_path: Path) -> None:
    """R16: the user who interrupts the call ends the work."""
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        equip(served)
        upstream.script(Script("slow", gate=upstream.gate("never")))
        async with AsyncExecutionPlatformClient(served.url, "dev") as client:
            begun = asyncio.Event()
            task = asyncio.create_task(client.run("Wait", on_event=lambda _: begun.set()))
            await asyncio.wait_for(begun.wait(), 10)
            await upstream.wait_until(lambda meter: len(meter) == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await upstream.wait_closed(0)
        rows = (await served.get("/v1/runs")).json()["runs"]
        assert [row["status"] for row in rows] == ["cancelled"]


@in_loop
async def test_a_persona_that_is_changed_while_it_works_goes_on_at_its_new_provider(tmp_path: Path) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        equip(served)
        gate = upstream.gate("first")
        upstream.script(Script(WRITE, gate=gate), dialect="anthropic")
        upstream.script(Script(Text("done", chunks=1)), dialect="gemini")
        notes: list[RunEvent] = []
        async with AsyncExecutionPlatformClient(served.url, "dev") as client:
            task = asyncio.create_task(client.run("Write", on_event=notes.append))
            await upstream.wait_until(lambda meter: len(meter) == 1)
            changed = {**TEAM["dev"], "prefer": ["gemini"]}
            async with served.http.put(f"{served.url}/v1/personas/dev", json=changed) as answer:
                assert answer.status in {200, 201}, await answer.text()
            gate.release()
            result = await task
        assert result.text == "done"
        moved = [event.data for event in notes if event.event == "provider_changed"]
        assert [(data["to"], data["reason"]) for data in moved] == [("gemini/gemini-2.5-pro", "configuration")]
