"""Tools that only the caller has: a run tells of the call, waits, and goes on with the answer of its owner."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from execution_platform import _json
from execution_platform.client import (
    AsyncExecutionPlatformClient,
    ExecutionPlatformClient,
    OwnTool,
    RunOptions,
    RunResult,
)
from execution_platform.runtime.agent.log import numbered
from execution_platform.testing import Call, FakeUpstream, Script, Text
from gateway.test_runs import A2, KEYS, TEAM, A, B, begin, equip, events_of
from loops import in_loop, until
from serving import Served, serving, three_vendors

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
POST = {"name": "post_message", "description": "Post to the team.", "parameters": SCHEMA}
BOSS = {"name": "boss", "key": "key-of-the-boss-0123456789", "admin": True}
CALL = Call("post_message", {"text": "hello"})


async def called(served: Served, run_id: str) -> dict[str, Any]:
    """The call that a run waits with."""
    store = served.gateway.state.running.runs.store
    async with asyncio.timeout(10):
        while True:
            for frames in await store.frames(run_id, 0):
                for _, frame in numbered(frames, 0):
                    name, data = (line.partition(": ")[2] for line in frame.decode().strip().splitlines())
                    if name == "caller_call":
                        return cast("dict[str, Any]", _json.loads(data))
            await asyncio.sleep(0.01)


async def answer(served: Served, run_id: str, asked: dict[str, Any], who: str = A, **changes: Any) -> int:
    body = {"call": asked["call"], "token": asked["token"], "result": "posted", **changes}
    return (await served.post(f"/v1/runs/{run_id}/answer", body, authorization=who)).status


@pytest.mark.parametrize("twin", ["async", "sync"])
@in_loop
async def test_a_program_lends_its_functions_to_its_run(tmp_path: Path, twin: str) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        equip(served)
        upstream.script(Script([CALL, Call("post_message", {"text": "again"})]), Script(Text("All done.", chunks=1)))
        board: list[object] = []

        def post(arguments: dict[str, object]) -> object:
            board.append(arguments["text"])
            if arguments["text"] == "again":
                raise LookupError("nobody is there")
            return {"posted": True}

        tool = OwnTool(name="post_message", description="Post.", parameters=SCHEMA, run=post)
        options = RunOptions(own=(tool,))
        if twin == "async":
            async with AsyncExecutionPlatformClient(served.url, "dev") as client:
                result = await client.run("Tell the team", options=options)
        else:

            def work() -> RunResult:
                with ExecutionPlatformClient(served.url, "dev") as client:
                    return client.run("Tell the team", options=options)

            result = await asyncio.to_thread(work)
        assert (result.status, result.text) == ("done", "All done.")
        assert sorted(map(str, board)) == ["again", "hello"]
        told = str(upstream.meter[-1].body)
        assert "LookupError: nobody is there" in told
        assert "posted" in told


@in_loop
async def test_only_the_owner_answers_and_only_once(tmp_path: Path) -> None:
    """A4, K4: another tenant does not find the run; another key of the tenant, a wrong token and a replay change nothing."""
    async with (
        FakeUpstream() as upstream,
        serving(tmp_path, {**three_vendors(upstream, personas=TEAM), "keys": [*KEYS, BOSS]}) as served,
    ):
        equip(served)
        upstream.script(Script(CALL), Script(Text("All done.", chunks=1)))
        run_id = await begin(served, {"persona": "dev", "task": "Tell", "caller_tools": [POST]}, A)
        call = await called(served, run_id)
        assert (call["name"], call["args"]) == ("post_message", {"text": "hello"})
        assert await answer(served, run_id, call, B) == 404
        assert await answer(served, run_id, call, A2) in {403, 404}
        assert await answer(served, run_id, call, token="0" * 64) == 403
        assert await answer(served, run_id, call, call="another") == 403
        assert await answer(served, run_id, call, result="x" * (512 * 1024 + 1)) == 422
        assert await answer(served, run_id, call) == 200
        assert await answer(served, run_id, call) == 403
        told = await events_of(served, run_id, authorization=A)
        assert told[-1][1] == "done"
        assert next(data["data"] for _, name, data in told if name == "tool_result")["result"] == "posted"


@in_loop
async def test_a_caller_that_never_answers_is_a_result_the_model_can_act_on(tmp_path: Path) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        equip(served)
        served.gateway.state.running.workshop.answer_seconds = 0.05
        upstream.script(Script(CALL), Script(Text("Without them.", chunks=1)))
        run_id = await begin(served, {"persona": "dev", "task": "Tell", "caller_tools": [POST]})
        told = await events_of(served, run_id)
        assert told[-1][1] == "done"
        assert "gave no result" in str(upstream.meter[-1].body)


@pytest.mark.parametrize("name", ["write_file", "Write", "post_message"])
@in_loop
async def test_a_name_that_is_taken_is_refused(tmp_path: Path, name: str) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        equip(served)
        got = await served.post(
            "/v1/runs", {"persona": "dev", "task": "x", "caller_tools": [POST, {**POST, "name": name}]}
        )
        assert (got.status, "name of another tool" in got.body.decode()) == (422, True)


@in_loop
async def test_arguments_that_do_not_fit_do_not_reach_the_caller(tmp_path: Path) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        equip(served)
        upstream.script(Script(Call("post_message", {"txt": 1})), Script(Text("Sorry.", chunks=1)))
        run_id = await begin(served, {"persona": "dev", "task": "Tell", "caller_tools": [POST]})
        told = await events_of(served, run_id)
        assert "caller_call" not in {name for _, name, _ in told}


@in_loop
async def test_a_run_that_another_worker_takes_on_asks_the_same_and_an_answer_that_is_there_counts(
    tmp_path: Path,
) -> None:
    """A3: the call is asked again by the same token, so the caller answers once."""
    async with FakeUpstream() as upstream:
        config = three_vendors(upstream, personas=TEAM)
        upstream.script(Script(CALL), Script(Text("All done.", chunks=1)))
        async with serving(tmp_path, config) as served:
            equip(served)
            run_id = await begin(served, {"persona": "dev", "task": "Tell", "caller_tools": [POST]})
            first = await called(served, run_id)
        async with serving(tmp_path, config) as served:
            equip(served)
            await served.gateway.state.running.runs.take_on()
            runs = served.gateway.state.running.runs
            await until(lambda: runs.active(run_id) is not None)
            assert await answer(served, run_id, first, "Bearer none") == 200
            told = await events_of(served, run_id)
            assert told[-1][1] == "done"
            calls = [data for _, name, data in told if name == "caller_call"]
            assert {(each["call"], each["token"]) for each in calls} == {(first["call"], first["token"])}
