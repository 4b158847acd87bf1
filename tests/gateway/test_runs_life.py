"""The end of runs: keys that lose their rights meanwhile, what is counted, and what is forgotten."""

import asyncio
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from agent_tools import ReadFile, WriteFile
from execution_platform.exceptions import ToolDenied
from execution_platform.storage.schema import run_approvals, run_events, run_journal, runs
from execution_platform.testing import Call, FakeUpstream, Gate, Script, Status
from execution_platform.tool_bridge import ToolContext
from loops import in_loop
from serving import Served, serving, three_vendors, write_config

TEAM: dict[str, Any] = {
    "dev": {
        "prefer": ["anthropic"],
        "tools": ["read_file", "write_file", "agent_task"],
        "permission_mode": "acceptEdits",
    },
    "reader": {"prefer": ["anthropic"], "tools": ["read_file"]},
}
WRITE = Call("write_file", {"path": "a.txt", "content": "hello"})
BOSS = {"authorization": "Bearer master-key-0123456789"}
ENVIRON = {"EP_MASTER_KEY": "master-key-0123456789"}


def equip(served: Served) -> WriteFile:
    write = WriteFile()
    for tool in (ReadFile(), write):
        served.gateway.state.tools.register(tool)
    return write


async def issued(served: Served, **limits: Any) -> tuple[str, dict[str, str]]:
    """The id of a new key, and the headers that use it."""
    body = {"name": "worker", "tenant": "default", "role": "member", **limits}
    got = await served.post("/v1/keys", body, **BOSS)
    assert got.status == 201, got.body
    return got.json()["id"], {"authorization": f"Bearer {got.json()['key']}"}


async def begin(served: Served, headers: dict[str, str], persona: str = "dev") -> str:
    got = await served.post("/v1/runs", {"persona": persona, "task": "Write hello"}, **headers)
    assert got.status == 201, got.body
    return got.json()["id"]


async def over(served: Served, run_id: str) -> Any:
    """How a run stands once it is over."""
    async with asyncio.timeout(20):
        while True:
            row = (await served.get(f"/v1/runs/{run_id}", **BOSS)).json()
            if row["status"] not in {"running", "waiting"}:
                return row
            await asyncio.sleep(0.02)


async def change(served: Served, method: str, path: str, body: Any = None) -> None:
    async with served.http.request(method, served.url + path, json=body, headers=BOSS) as answer:
        assert answer.status < 300, await answer.text()


def test_a_revoked_key_ends_its_run_before_the_next_turn(tmp_path: Path, database_url: str) -> None:
    """K8: a run is no way around a revocation: neither its next turn nor a tool comes after it."""

    async def run() -> None:
        async with FakeUpstream() as upstream:
            environ = {**ENVIRON, "EP_DATABASE_URL": database_url}
            async with serving(tmp_path, three_vendors(upstream, personas=TEAM), environ) as served:
                write = equip(served)
                key_id, headers = await issued(served)
                gate = Gate()
                upstream.script(Script(WRITE, gate=gate), Script("never asked"))
                run_id = await begin(served, headers)
                await gate.reached()
                await change(served, "DELETE", f"/v1/keys/{key_id}")
                gate.release()
                row = await over(served, run_id)
                assert (row["status"], row["reason"]) == ("stopped", "key_revoked")
                assert "key_revoked" in row["error"]
                assert write.calls == []
                assert len(upstream.meter) == 1
                await change(served, "POST", f"/v1/runs/{run_id}/resume")
                assert (await over(served, run_id))["reason"] == "key_revoked"
                assert len(upstream.meter) == 1

    asyncio.run(run())


def test_a_run_that_goes_on_has_the_rights_its_key_has_now_and_no_more_than_it_had(
    tmp_path: Path, database_url: str
) -> None:
    """K3, K8."""

    async def run() -> None:
        async with FakeUpstream() as upstream:
            environ = {**ENVIRON, "EP_DATABASE_URL": database_url}
            async with serving(tmp_path, three_vendors(upstream, personas=TEAM), environ) as served:
                write = equip(served)
                key_id, headers = await issued(served, tools=["write_file"])
                upstream.script(Script(Status(400)))
                run_id = await begin(served, headers)
                assert (await over(served, run_id))["status"] == "failed"
                await change(served, "PATCH", f"/v1/keys/{key_id}", {"tools": ["read_file"]})
                upstream.script(Script(WRITE), Script(Call("read_file", {"path": "a.txt"})), Script("done"))
                await change(served, "POST", f"/v1/runs/{run_id}/resume")
                row = await over(served, run_id)
                assert (row["status"], row["answer"]) == ("done", "done")
                assert write.calls == []
                told = str(upstream.meter[-1].body)
                assert told.count("permission_denied") == 2, "one that it has lost, and one that it did not have"

    asyncio.run(run())


@in_loop
async def test_a_tool_that_a_key_loses_is_out_of_reach_at_once(tmp_path: Path) -> None:
    """K8."""
    async with FakeUpstream() as upstream:
        async with serving(tmp_path, three_vendors(upstream, personas=TEAM), ENVIRON) as served:
            write = equip(served)
            key_id, headers = await issued(served)
            gate = Gate()
            upstream.script(Script(WRITE), Script(WRITE, gate=gate), Script("done"))
            run_id = await begin(served, headers)
            await gate.reached()
            assert len(write.calls) == 1
            await change(served, "PATCH", f"/v1/keys/{key_id}", {"tools": ["read_file"]})
            gate.release()
            assert (await over(served, run_id))["status"] == "done"
            assert len(write.calls) == 1


class Forbids(WriteFile):
    """Refuses by itself, after the run has begun to call it."""

    async def work(self, context: ToolContext, args: Mapping[str, object]) -> object:
        raise ToolDenied(f"{args['path']} is protected")


@in_loop
async def test_a_call_that_the_tool_itself_forbids_is_answered_and_the_run_goes_on(tmp_path: Path) -> None:
    async with FakeUpstream() as upstream:
        async with serving(tmp_path, three_vendors(upstream, personas=TEAM), ENVIRON) as served:
            served.gateway.state.tools.register(Forbids())
            upstream.script(Script(WRITE), Script("I may not"))
            row = await over(served, await begin(served, BOSS))
            assert (row["status"], row["answer"]) == ("done", "I may not")
            assert "is protected" in str(upstream.meter[-1].body)


@in_loop
async def test_a_key_that_the_file_has_lost_ends_its_run(tmp_path: Path) -> None:
    async with FakeUpstream() as upstream:
        key = {"name": "filed", "key": "key-of-file-0123456789"}
        config = three_vendors(upstream, personas=TEAM, keys=[key])
        async with serving(tmp_path, config, ENVIRON) as served:
            equip(served)
            gate = Gate()
            upstream.script(Script(WRITE, gate=gate), Script("never asked"))
            run_id = await begin(served, {"authorization": f"Bearer {key['key']}"})
            await gate.reached()
            write_config(tmp_path, {**config, "keys": []})
            await change(served, "POST", "/v1/config/reload")
            gate.release()
            assert (await over(served, run_id))["reason"] == "key_revoked"


@in_loop
async def test_runs_turns_and_calls_are_counted(tmp_path: Path) -> None:
    async with FakeUpstream() as upstream:
        async with serving(tmp_path, three_vendors(upstream, personas=TEAM), ENVIRON) as served:
            equip(served)
            missing, made_up = Call("read_file", {"path": "none.txt"}), Call("no_such_tool", {})
            upstream.script(Script([WRITE, missing, made_up]), Script("done"), Script(Status(400)))
            for _ in range(2):
                await over(served, await begin(served, BOSS))
            chat = {"messages": [{"role": "user", "content": "hi"}], "tools": [{"name": "read_file"}], "stream": False}
            upstream.script(Script(missing), Script("done"))
            assert (await served.post("/v1/chat?personaId=dev", chat, **BOSS)).status == 200
            text = (await served.get("/metrics", **BOSS)).body.decode()
            for line in (
                'ep_runs_started_total{how="new"} 2.0',
                'ep_runs_finished_total{reason="stop"} 1.0',
                'ep_runs_finished_total{reason="error"} 1.0',
                "ep_run_steps_total 2.0",
                'ep_tool_calls_total{outcome="ok",tool="write_file"} 1.0',
                'ep_tool_calls_total{outcome="not_found",tool="other"} 1.0',
                "ep_runs_active 0.0",
            ):
                assert line in text, line
            assert "no_such_tool" not in text


def test_a_run_that_is_old_is_forgotten_with_all_it_left(tmp_path: Path, database_url: str) -> None:
    """S2."""

    async def run() -> None:
        async with FakeUpstream() as upstream:
            environ = {**ENVIRON, "EP_DATABASE_URL": database_url}
            config = three_vendors(upstream, personas=TEAM, runs={"keep_days": 7})
            async with serving(tmp_path, config, environ) as served:
                write = equip(served)
                state = served.gateway.state
                names: list[str] = []
                gate = Gate()
                for extra in ({}, {"gate": gate}, {}):
                    upstream.script(Script(WRITE), Script("done", **extra))
                    names.append(await begin(served, BOSS))
                    await (gate.reached() if extra else over(served, names[-1]))
                old, working, young = names
                places = {name: write.calls[at][0].workspace for at, name in enumerate(names)}
                aged = datetime.now(UTC) - timedelta(days=8)
                async with state.bookkeeping.storage.write() as connection:
                    for name in (old, working):
                        moments = {"created_at": aged, "updated_at": aged}
                        if name == old:
                            moments["finished_at"] = aged
                        await connection.execute(update(runs).where(runs.c.id == name).values(**moments))
                assert await state.retention.forget() == {"responses": 0, "runs": 1}
                assert (await served.get(f"/v1/runs/{old}", **BOSS)).status == 404
                assert [places[name].exists() for name in names] == [False, True, True]
                async with state.bookkeeping.storage.read() as connection:
                    for table in (run_journal, run_events, run_approvals):
                        found = await connection.execute(select(table.c.run_id).where(table.c.run_id == old))
                        assert found.all() == []
                gate.release()
                assert (await over(served, working))["status"] == "done"
                assert (await served.get(f"/v1/runs/{young}", **BOSS)).status == 200
                wish = {"id": "default", "retention_days": 1}
                assert (await served.post("/v1/tenants", wish, **BOSS)).status in {201, 409}
                await change(served, "PATCH", "/v1/tenants/default", {"retention_days": 1})
                await state.bookkeeping.requests.learn()
                async with state.bookkeeping.storage.write() as connection:
                    aged = datetime.now(UTC) - timedelta(days=2)
                    await connection.execute(update(runs).where(runs.c.id == young).values(finished_at=aged))
                assert (await state.retention.forget())["runs"] == 1
                assert (await served.get(f"/v1/runs/{young}", **BOSS)).status == 404

    asyncio.run(run())


@in_loop
async def test_a_directory_whose_run_another_machine_has_forgotten_is_removed(tmp_path: Path) -> None:
    async with FakeUpstream() as upstream:
        async with serving(tmp_path, three_vendors(upstream, personas=TEAM), ENVIRON) as served:
            write = equip(served)
            upstream.script(Script(WRITE), Script("done"))
            await over(served, await begin(served, BOSS))
            kept = write.calls[0][0].workspace
            gone, named = kept.parent / f"run_{'a' * 32}", kept.parent / "notes"
            fresh, short = kept.parent / f"run_{'b' * 32}", kept.parents[1] / "brief" / f"run_{'c' * 32}"
            for place in (gone, named, fresh, short):
                (place / "deep").mkdir(parents=True)
            (gone / "out").symlink_to(named)
            now = time.time()
            for place, days in ((kept, 9), (gone, 9), (named, 9), (fresh, 5), (short, 5)):
                os.utime(place, (now, now - days * 86400))
            assert await served.gateway.state.running.runs.sweep(timedelta(days=7), {"brief": 3, "long": 90}) == 2
            there = [place.exists() for place in (kept, gone, named / "deep", fresh, short)]
            assert there == [True, False, True, True, False]
