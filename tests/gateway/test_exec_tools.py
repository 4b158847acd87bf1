"""The tools that run programs, at a gateway."""

from pathlib import Path
from typing import Any

import pytest

from execution_platform import _json
from execution_platform.testing import Call, FakeUpstream, Script
from loops import in_loop
from sandboxes import needs_bubblewrap
from serving import Served, serving, three_vendors

NAMES = {"exec_cmd", "exec_python", "exec_sandbox"}


def configuration(*, enabled: bool | None) -> dict[str, object]:
    return {
        "providers": {"mock": {"kind": "mock"}},
        "tools": {"exec": {"enabled": enabled}},
        "personas": {"reader": {"prefer": ["mock"], "tools": ["Bash"], "permissions": {"Bash": "read_only"}}},
    }


async def listed(gateway: Served) -> set[str]:
    return {tool["name"] for tool in (await gateway.get("/v1/tools")).json()["tools"]}


async def invoke(gateway: Served, name: str, args: dict[str, object], **more: str) -> Any:
    return (await gateway.post("/v1/tools/invoke", {"name": name, "args": args, **more})).json()


@needs_bubblewrap
@in_loop
async def test_a_gateway_runs_commands_in_the_callers_workspace(tmp_path: Path) -> None:
    async with serving(tmp_path, configuration(enabled=True), {"EP_PROVIDER": "mock"}) as gateway:
        assert await listed(gateway) >= NAMES
        made = await invoke(gateway, "Bash", {"command": "echo 42 > made; cat made", "description": "Make a file"})
        assert made["result"]["stdout"] == "42\n"
        again = await invoke(gateway, "exec_python", {"code": "print(open('made').read())"})
        assert again["result"]["stdout"] == "42\n\n"
        changed = await invoke(gateway, "fs_write", {"path": "made", "content": "43"})
        assert changed["ok"], changed
        seen = await invoke(gateway, "exec_cmd", {"command": "cat made && echo 44 > made"})
        assert (seen["result"]["stdout"], seen["result"]["exit_code"]) == ("43", 0)
        refused = await invoke(gateway, "exec_cmd", {"command": "rm made"}, persona="reader")
        assert refused["error"]["code"] == "permission_denied"
        looked = await invoke(gateway, "exec_cmd", {"command": "cat made | wc -l"}, persona="reader")
        assert looked["result"]["stdout"] == "1\n"


@pytest.mark.parametrize("enabled", [False, None])
@in_loop
async def test_commands_are_off_unless_the_operator_switches_them_on(tmp_path: Path, enabled: bool | None) -> None:
    """X2: what is not there is in no list, and a call says why."""
    async with serving(tmp_path, configuration(enabled=enabled), {"EP_PROVIDER": "mock"}) as gateway:
        assert NAMES.isdisjoint(await listed(gateway))
        for name in ("exec_cmd", "Bash"):
            answer = await invoke(gateway, name, {"command": "id"})
            assert answer["error"]["code"] == "sandbox_unavailable"
            assert "tools.exec.enabled" in answer["error"]["message"]


@in_loop
async def test_a_run_tells_which_tools_of_its_persona_are_not_there(tmp_path: Path) -> None:
    """X2: nobody finds out by a silence."""
    async with serving(tmp_path, configuration(enabled=None), {"EP_PROVIDER": "mock"}) as gateway:
        run = (await gateway.post("/v1/runs", {"persona": "reader", "task": "Look"})).json()["id"]
        told = (await gateway.get(f"/v1/runs/{run}/events")).body.decode()
        (line,) = [frame.split("data: ")[1] for frame in told.split("\n\n") if "event: tools_missing" in frame]
        assert "tools.exec.enabled" in _json.loads(line)["tools"]["exec_cmd"]


@needs_bubblewrap
@in_loop
async def test_a_command_that_is_refused_while_it_runs_is_written_down_once(tmp_path: Path) -> None:
    async with FakeUpstream() as upstream:
        personas = {"reader": {"prefer": ["openai"], "tools": ["exec_cmd"], "permissions": {"exec_cmd": "read_only"}}}
        given = three_vendors(upstream, personas=personas, tools={"exec": {"enabled": True}})
        upstream.script(
            Script([Call("exec_cmd", {"command": "touch a"}), Call("exec_cmd", {"command": "ls"})]), Script("ok")
        )
        async with serving(tmp_path, given) as gateway:
            run = (await gateway.post("/v1/runs", {"persona": "reader", "task": "Look"})).json()["id"]
            await gateway.get(f"/v1/runs/{run}/events")
            row = (await gateway.get(f"/v1/runs/{run}")).json()
            assert (row["status"], row["reason"], row["steps"]) == ("done", "stop", 2), row
        assert "permission_denied" in str(upstream.meter[1].body)
