"""Runs on the server: begun, followed, approved, moved, cancelled, and seen by nobody else."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent_tools import ReadFile, Tool, WriteFile
from execution_platform import _json
from execution_platform.testing import Call, FakeUpstream, Script, Status, Text, Thinking
from gateway.test_keys import ENVIRON, made
from loops import in_loop, until
from serving import Served, serving, three_vendors

TEAM: dict[str, Any] = {
    "dev": {
        "prefer": ["anthropic", "openai"],
        "tools": ["read_file", "write_file", "agent_task"],
        "permission_mode": "acceptEdits",
    },
    "careful": {"prefer": ["anthropic"], "tools": ["read_file", "write_file"]},
    "helper": {"prefer": ["openai"], "tools": ["read_file"]},
}
KEYS = [
    {"name": "a", "key": "key-of-a-0123456789", "tenant": "acme"},
    {"name": "a2", "key": "key-of-a2-0123456789", "tenant": "acme"},
    {"name": "b", "key": "key-of-b-0123456789", "tenant": "other"},
]
A, A2, B = (f"Bearer {key['key']}" for key in KEYS)
WRITE = Call("write_file", {"path": "a.txt", "content": "hello"})


def equip(served: Served) -> tuple[ReadFile, WriteFile]:
    """Tools in the gateway's registry."""
    read, write = ReadFile(), WriteFile()
    for tool in (read, write):
        served.gateway.state.tools.register(tool)
    return read, write


async def events_of(served: Served, run_id: str, after: int = 0, **headers: str) -> list[tuple[int, str, Any]]:
    """Every event of a run until it is over."""
    got = await served.get(f"/v1/runs/{run_id}/events?after={after}", **headers)
    assert got.status == 200, got.body
    found: list[tuple[int, str, Any]] = []
    for frame in got.body.decode().split("\n\n"):
        lines = [line for line in frame.splitlines() if not line.startswith(":")]
        if lines:
            number, name, data = (line.partition(": ")[2] for line in lines)
            found.append((int(number), name, _json.loads(data)))
    return found


async def begin(served: Served, body: dict[str, Any], authorization: str = "Bearer none") -> str:
    """The id of a new run."""
    got = await served.post("/v1/runs", body, authorization=authorization)
    assert got.status == 201, got.body
    return got.json()["id"]


@in_loop
async def test_a_run_works_without_a_listener_and_tells_all_of_it_later(tmp_path: Path) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        _, write = equip(served)
        upstream.script(Script([Text("First.", chunks=1), WRITE]), Script(Text("All done.", chunks=1)))
        run_id = await begin(served, {"persona": "dev", "task": "Write hello"})
        told = await events_of(served, run_id)
        names = [name for _, name, _ in told]
        assert names == [
            "run_started",
            "turn_started",
            "token",
            "tool_call",
            "tool_result",
            "turn_started",
            "token",
            "token",
            "usage",
            "done",
        ]
        numbers = [number for number, _, _ in told]
        assert numbers == sorted(numbers)
        row = (await served.get(f"/v1/runs/{run_id}")).json()
        assert (row["status"], row["reason"], row["answer"], row["steps"]) == ("done", "stop", "All done.", 2)
        assert row["usage"]["input_tokens"] > 0
        assert (write.calls[0][0].workspace / "a.txt").read_text() == "hello"
        again = await events_of(served, run_id, after=numbers[3])
        assert again == told[4:]
        listed = (await served.get("/v1/runs")).json()["runs"]
        assert [run["id"] for run in listed] == [run_id]


@in_loop
async def test_each_turn_is_in_the_books_with_its_run(tmp_path: Path) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        equip(served)
        upstream.script(Script(WRITE), Script("done"))
        run_id = await begin(served, {"persona": "dev", "task": "Write hello"})
        await events_of(served, run_id)
        await served.gateway.state.bookkeeping.fresh()
        storage = served.gateway.state.bookkeeping.storage
        rows = await storage.local(
            lambda session: session.connection.execute(
                "SELECT request_id, status FROM cost_events WHERE run_id = ? ORDER BY seq", (run_id,)
            ).fetchall()
        )
        assert [tuple(row) for row in rows] == [(f"{run_id}.0", "ok"), (f"{run_id}.1", "ok")]


@in_loop
async def test_somebody_elses_run_is_not_there(tmp_path: Path) -> None:
    """K4: a key of another tenant, its owner's too, or another member's, finds no run of A's: not to see, to follow, to stop or to approve."""
    async with FakeUpstream() as upstream:
        config = three_vendors(upstream, personas=TEAM, keys=KEYS)
        async with serving(tmp_path, config, ENVIRON) as served:
            equip(served)
            upstream.script(Script("done"))
            run_id = await begin(served, {"persona": "dev", "task": "Hi"}, authorization=A)
            assert (await served.get(f"/v1/runs/{run_id}", authorization=A)).status == 200
            neighbour = f"Bearer {(await made(served, tenant='other', role='owner'))['key']}"
            for who in (B, A2, neighbour):
                for path in ("", "/events"):
                    assert (await served.get(f"/v1/runs/{run_id}{path}", authorization=who)).status == 404
                for action, body in (
                    ("cancel", None),
                    ("resume", None),
                    ("move", {"model": "openai/gpt-4o"}),
                    ("approve", {"call": "x", "token": "y", "decision": "allow"}),
                ):
                    got = await served.post(f"/v1/runs/{run_id}/{action}", body, authorization=who)
                    assert got.status == 404, (action, got.body)
                assert (await served.get("/v1/runs", authorization=who)).json()["runs"] == []


async def asked(served: Served, run_id: str) -> dict[str, Any]:
    """What the run asks to have approved."""
    run = served.gateway.state.running.runs.active(run_id)
    assert run is not None
    found: list[Any] = []

    def there() -> bool:
        found[:] = [
            _json.loads(frame.split(b"data: ", 1)[1])
            for _, frame in run.log.since(0)
            if frame.startswith(b"event: approval_required")
        ]
        return bool(found)

    await until(there)
    return found[0]


@in_loop
async def test_a_write_waits_for_its_owner_and_runs_once_it_is_allowed(tmp_path: Path) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        _, write = equip(served)
        upstream.script(Script(WRITE), Script("done"))
        run_id = await begin(served, {"persona": "careful", "task": "Write hello"})
        question = await asked(served, run_id)
        assert question["args"] == {"path": "a.txt", "content": "hello"}
        assert not write.calls
        assert (await served.get(f"/v1/runs/{run_id}")).json()["status"] == "waiting"
        said = {"call": question["call"], "token": question["token"], "decision": "allow"}
        assert (await served.post(f"/v1/runs/{run_id}/approve", said)).status == 200
        await events_of(served, run_id)
        assert len(write.calls) == 1


@pytest.mark.parametrize("fault", ["byte", "call", "replay", "other_user", "expired"])
@in_loop
async def test_an_approval_is_for_one_call_of_one_owner_once(tmp_path: Path, fault: str) -> None:
    """A4: one byte changed, another call, another user, a second time, too late: 403, and nothing runs by it."""
    async with FakeUpstream() as upstream:
        keys = [KEYS[0], {**KEYS[1], "admin": True}]
        async with serving(tmp_path, three_vendors(upstream, personas=TEAM, keys=keys)) as served:
            _, write = equip(served)
            upstream.script(Script(WRITE), Script("done"))
            run_id = await begin(served, {"persona": "careful", "task": "Write hello"}, authorization=A)
            question = await asked(served, run_id)
            token = question["token"]
            said = {"call": question["call"], "token": token, "decision": "allow"}
            who = A
            if fault == "byte":
                said["token"] = ("0" if token[0] != "0" else "1") + token[1:]
            elif fault == "call":
                said["call"] = question["call"][:-1] + "9"
            elif fault == "other_user":
                who = A2
            elif fault == "replay":
                refused = await served.post(f"/v1/runs/{run_id}/approve", {**said, "decision": "deny"}, authorization=A)
                assert refused.status == 200
            else:
                storage = served.gateway.state.bookkeeping.storage
                async with storage.write() as connection:
                    await connection.exec_driver_sql(
                        "UPDATE run_approvals SET expires_at = '2020-01-01 00:00:00.000000'"
                    )
            got = await served.post(f"/v1/runs/{run_id}/approve", said, authorization=who)
            assert got.status == 403, got.body
            assert not write.calls
            await served.post(f"/v1/runs/{run_id}/cancel", authorization=A)


@in_loop
async def test_a_cancelled_run_closes_its_upstream_and_keeps_its_name(tmp_path: Path) -> None:
    """R16: cancelling closes the connection to the provider at once, and the run says that it was cancelled."""
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        equip(served)
        upstream.script(Script("a long answer indeed", pace_gate=upstream.gate("never")))
        run_id = await begin(served, {"persona": "dev", "task": "Talk"})
        await upstream.wait_until(lambda meter: len(meter) == 1)
        assert (await served.post(f"/v1/runs/{run_id}/cancel")).json()["cancelled"]
        exchange = await upstream.wait_closed(0)
        assert exchange.end is not None
        told = await events_of(served, run_id)
        assert told[-1][1] == "done"
        assert told[-1][2]["stop_reason"] == "cancelled"
        assert (await served.get(f"/v1/runs/{run_id}")).json()["status"] == "cancelled"


@in_loop
async def test_a_run_moves_to_another_provider_when_the_first_is_switched_off(tmp_path: Path) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        _, write = equip(served)
        upstream.script(
            Script([Thinking("Let me think.", signature="c2lnbmVk"), WRITE]), Script(Status(529)), dialect="anthropic"
        )
        upstream.script(Script(Text("done by the other", chunks=1)), dialect="openai_chat")
        run_id = await begin(served, {"persona": "dev", "task": "Write hello"})
        told = await events_of(served, run_id)
        moved = [data for _, name, data in told if name == "provider_changed"]
        assert len(moved) == 1
        assert moved[0]["from"].startswith("anthropic/")
        assert moved[0]["to"].startswith("openai/")
        assert any("opaque" in loss for loss in moved[0]["losses"]), moved
        assert told[-1][2]["reason"] == "stop"
        sent = str(upstream.meter[-1].body)
        assert "c2lnbmVk" not in sent
        assert "written" in sent
        assert len(write.calls) == 1


@in_loop
async def test_a_run_moves_by_order_between_turns(tmp_path: Path) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        equip(served)
        gate = upstream.gate("first")
        upstream.script(Script(WRITE, gate=gate), dialect="anthropic")
        upstream.script(Script("done"), dialect="gemini")
        run_id = await begin(served, {"persona": "dev", "task": "Write hello"})
        await upstream.wait_until(lambda meter: len(meter) == 1)
        got = await served.post(f"/v1/runs/{run_id}/move", {"model": "gemini/gemini-2.5-pro"})
        assert got.json() == {"id": run_id, "moved": True}
        gate.release()
        told = await events_of(served, run_id)
        moved = [data for _, name, data in told if name == "provider_changed"]
        assert [(each["to"], each["reason"]) for each in moved] == [("gemini/gemini-2.5-pro", "order")]
        assert told[-1][2]["reason"] == "stop"
        unknown = await served.post(f"/v1/runs/{run_id}/move", {"model": "nobody/knows"})
        assert unknown.status == 404


@in_loop
async def test_an_agent_lets_another_persona_do_a_part_of_the_task(tmp_path: Path) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        read, _ = equip(served)
        upstream.script(
            Script(Call("agent_task", {"persona": "helper", "task": "Read a.txt"})),
            Script("The helper says hello."),
            dialect="anthropic",
        )
        upstream.script(Script(Call("read_file", {"path": "a.txt"})), Script("It is not there."), dialect="openai_chat")
        run_id = await begin(served, {"persona": "dev", "task": "Ask the helper"})
        told = await events_of(served, run_id)
        names = [name for _, name, _ in told]
        assert "agent_started" in names
        assert "agent_finished" in names
        assert len(read.calls) == 1
        assert "It is not there." in str(upstream.meter[-1].body)
        assert (await served.get(f"/v1/runs/{run_id}")).json()["status"] == "done"


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"persona": "dev"}, 422, "task"),
        ({"persona": "nobody", "task": "x"}, 404, "nobody"),
        ({"task": "x"}, 400, "persona"),
        ({"persona": "dev", "task": "x", "workspace": "/etc"}, 403, "workspace"),
        ({"persona": "dev", "task": "x", "limits": {"steps": 0}}, 422, "steps"),
        ({"persona": "dev", "task": "x", "mode": "yolo"}, 422, "mode"),
        ({"persona": "dev", "task": "x", "extra": 1}, 422, "extra"),
    ],
)
@in_loop
async def test_a_wrong_order_is_refused_with_the_reason(
    tmp_path: Path, body: dict[str, Any], status: int, word: str
) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        equip(served)
        got = await served.post("/v1/runs", body)
        assert got.status == status, got.body
        assert word in got.body.decode()


@in_loop
async def test_a_tool_that_hangs_ends_when_its_run_is_cancelled(tmp_path: Path) -> None:
    """R16: what a tool was doing is cancelled with its run."""
    begun, ended = asyncio.Event(), asyncio.Event()

    class Hangs(Tool):
        async def work(self, context: Any, args: Any) -> object:
            begun.set()
            try:
                await asyncio.sleep(3600)
            finally:
                ended.set()
            return None

    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        served.gateway.state.tools.register(Hangs("read_file", "read", {"type": "object"}, repeatable=True))
        upstream.script(Script(Call("read_file", {})))
        run_id = await begin(served, {"persona": "dev", "task": "Hang"})
        await asyncio.wait_for(begun.wait(), 10)
        await served.post(f"/v1/runs/{run_id}/cancel")
        await asyncio.wait_for(ended.wait(), 5)
        assert (await events_of(served, run_id))[-1][2]["stop_reason"] == "cancelled"
