"""The tools that run programs, at a gateway."""

from pathlib import Path
from typing import Any

from loops import in_loop
from sandboxes import needs_bubblewrap
from serving import Served, serving

NAMES = {"exec_cmd", "exec_python", "exec_sandbox"}


def configuration(*, enabled: bool) -> dict[str, object]:
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


@in_loop
async def test_commands_are_off_unless_the_operator_switches_them_on(tmp_path: Path) -> None:
    """X2: what is not there is in no list, and a call says why."""
    async with serving(tmp_path, configuration(enabled=False), {"EP_PROVIDER": "mock"}) as gateway:
        assert NAMES.isdisjoint(await listed(gateway))
        for name in ("exec_cmd", "Bash"):
            answer = await invoke(gateway, name, {"command": "id"})
            assert answer["error"]["code"] == "sandbox_unavailable"
            assert "tools.exec.enabled" in answer["error"]["message"]
