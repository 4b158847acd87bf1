"""The tools that run programs."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from execution_platform.config.exec import ExecConfig
from execution_platform.config.values import PermissionLevel
from execution_platform.config.written.exec import RawExec, resolve_exec
from execution_platform.exceptions import ConfigError, InvalidToolArguments, SandboxUnavailable, ToolDenied, ToolError
from execution_platform.tool_bridge import ToolContext, ToolRegistry
from execution_platform.tool_bridge.plugins.exec import NAMES, ExecCommand, Runner, exec_tools, why_absent
from execution_platform.tool_bridge.sandbox import Bubblewrap, NoSandbox, SandboxPolicy
from loops import in_loop
from sandboxes import CANARY, needs_bubblewrap, running

pytestmark = needs_bubblewrap
ON = ExecConfig(enabled=True)


class Bench:
    """The tools in a workspace."""

    def __init__(self, place: Path, config: ExecConfig = ON) -> None:
        self.workspace = place / "workspace"
        self.workspace.mkdir(exist_ok=True)
        sandbox = Bubblewrap(concurrency=config.concurrency)
        self.registry = ToolRegistry(installed=False)
        self.registry.configure(exec_tools(config, sandbox), seconds=30, absent=why_absent(config, sandbox))

    async def __call__(self, name: str, level: PermissionLevel = "full", **args: object) -> dict[str, Any]:
        context = ToolContext(workspace=self.workspace, call_id="call", level=level)
        return (await self.registry.invoke(name, args, context=context)).output  # type: ignore[return-value]


@in_loop
async def test_a_command_line_is_a_shells(tmp_path: Path) -> None:
    call = Bench(tmp_path)
    found = await call("exec_cmd", command="echo a | tr a b > made && cat made; [[ -f made ]] && echo bash; exit 3")
    seconds = found.pop("seconds")
    assert 0 < seconds < 30
    assert found == {"exit_code": 3, "stdout": "b\n", "stderr": "", "truncated": False, "timed_out": False} | {
        "stdout": "b\nbash\n"
    }
    assert (call.workspace / "made").read_text() == "b\n"


@in_loop
async def test_a_program_with_arguments_meets_no_shell(tmp_path: Path) -> None:
    found = await Bench(tmp_path)("exec_cmd", argv=["echo", "$HOME", "; id", "*"])
    assert found["stdout"] == "$HOME ; id *\n"


@in_loop
async def test_a_command_that_takes_too_long_says_so(tmp_path: Path) -> None:
    found = await Bench(tmp_path)("exec_cmd", command="echo first; sleep 50", timeout=300)
    assert (found["exit_code"], found["timed_out"], found["stdout"]) == (None, True, "first\n")
    assert "0.3 seconds" in found["stopped"]


@in_loop
async def test_no_call_asks_for_more_than_the_limit(tmp_path: Path) -> None:
    config = ExecConfig(enabled=True, seconds=0.4)
    found = await Bench(tmp_path, config)("exec_cmd", command="sleep 50", timeout=600_000)
    assert found["timed_out"]


@in_loop
async def test_what_was_stopped_names_its_limit(tmp_path: Path) -> None:
    call = Bench(tmp_path)
    assert "output" in (await call("exec_cmd", command="yes"))["stopped"]


@in_loop
async def test_git_works_in_the_workspace(tmp_path: Path) -> None:
    call = Bench(tmp_path)
    (call.workspace / "a").write_text("a")
    line = "git init -q && git add -A && git -c user.name=a -c user.email=a@b commit -qm first && git log --oneline"
    found = await call("exec_cmd", command=line)
    assert found["exit_code"] == 0, found
    assert "first" in found["stdout"]


@in_loop
async def test_python_sees_the_workspace_its_arguments_and_its_input(tmp_path: Path) -> None:
    call = Bench(tmp_path)
    (call.workspace / "mine.py").write_text("X = 41")
    code = "import mine, sys\nprint(mine.X + 1, sys.argv[1:], sys.stdin.read())\nopen('made', 'w').write('x')"
    found = await call("exec_python", code=code, args=["a", "b"], stdin="input")
    assert found["stdout"] == "42 ['a', 'b'] input\n"
    assert (call.workspace / "made").read_text() == "x"


@in_loop
async def test_a_python_error_is_a_result(tmp_path: Path) -> None:
    found = await Bench(tmp_path)("exec_python", code="1/0")
    assert found["exit_code"] == 1
    assert "ZeroDivisionError" in found["stderr"]


@in_loop
async def test_a_sandboxed_program_sees_its_files_and_nothing_of_the_workspace(tmp_path: Path) -> None:
    call = Bench(tmp_path)
    (call.workspace / "mine").write_text(CANARY)
    code = "import os\nprint(sorted(os.listdir('.')), open('data/in.txt').read())\nopen('made', 'w')"
    found = await call("exec_sandbox", language="python", code=code, files={"data/in.txt": "given"})
    assert found["stdout"] == "['data'] given\n"
    assert [path.name for path in call.workspace.iterdir()] == ["mine"]
    assert (await call("exec_sandbox", argv=["cat", "x"], files={"x": "y"}))["stdout"] == "y"


@in_loop
async def test_protected_files_are_empty_inside(tmp_path: Path) -> None:
    call = Bench(tmp_path)
    (call.workspace / ".env").write_text(f"KEY={CANARY}")
    found = await call("exec_cmd", command="cat .env; grep -r canary .; python3 -c 'print(open(\".env\").read())'")
    assert CANARY not in str(found)


# --- permission levels and lists ---


@in_loop
async def test_read_only_looks_and_changes_nothing(tmp_path: Path) -> None:
    call = Bench(tmp_path)
    (call.workspace / "a").write_text("one\ntwo\n")
    found = await call("exec_cmd", "read_only", command="cat a | head -1 && ls 2>/dev/null; wc -l < /dev/null")
    assert found["stdout"] == "one\na\n0\n"
    refused: tuple[dict[str, object], ...] = (
        {"command": "rm a"},
        {"command": "ls; rm a"},
        {"command": "echo x > a"},
        {"command": "cat $(rm a)"},
        {"argv": ["find", ".", "-delete"]},
        {"argv": ["sh", "-c", "rm a"]},
        {"command": "git -c alias.x='!rm a' x"},
    )
    for args in refused:
        with pytest.raises(ToolError):
            await call("exec_cmd", "read_only", **args)
    for name, args in (("exec_python", {"code": "1"}), ("exec_sandbox", {"argv": ["true"]})):
        with pytest.raises(ToolDenied):
            await call(name, "read_only", **args)
    assert (call.workspace / "a").read_text() == "one\ntwo\n"


@in_loop
async def test_an_argument_nobody_thought_of_still_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X4: the list is for convenience; behind it the workspace is read-only and nothing else is there."""
    monkeypatch.setattr("execution_platform.tool_bridge.plugins.exec.objection", lambda command: None)
    call = Bench(tmp_path)
    (call.workspace / "a").write_text("kept")
    (call.workspace / "c.tar").write_bytes(b"")
    outside = tmp_path / "stolen"
    tries = (
        "git -c alias.x='!touch made; rm a' x",
        "find . -name a -exec rm {} \\;",
        f"tar cf /dev/null --checkpoint=1 --checkpoint-action=exec='touch {outside}' a",
        f"rg --pre 'touch {outside}' kept .",
        "env LD_PRELOAD=./evil.so cat a",
        "ssh -oProxyCommand='touch made' host",
        f"cp a {outside}",
        f"ln -s {tmp_path} link; echo x > link/stolen",
    )
    for line in tries:
        await call("exec_cmd", "read_only", command=line.replace("{}", "'{}'"))
    assert sorted(path.name for path in call.workspace.iterdir()) == ["a", "c.tar"]
    assert (call.workspace / "a").read_text() == "kept"
    assert not outside.exists()


@in_loop
async def test_only_listed_programs_are_started(tmp_path: Path) -> None:
    call = Bench(tmp_path, ExecConfig(enabled=True, allowed_commands=("ls", "cat")))
    assert (await call("exec_cmd", command="ls | cat > made"))["exit_code"] == 0
    for args in ({"command": "ls; id"}, {"argv": ["id"]}, {"command": "/bin/ls"}, {"command": "X=1 ls"}):
        with pytest.raises(ToolDenied, match="ls, cat"):
            await call("exec_cmd", **args)
    with pytest.raises(ToolDenied, match="python3"):
        await call("exec_python", code="1")


def test_a_policy_with_a_network_is_refused() -> None:
    with pytest.raises(ConfigError, match="network_access"):
        Runner(NoSandbox(""), SandboxPolicy(network_access=True))


# --- arguments ---


@pytest.mark.parametrize(
    ("name", "args", "said"),
    [
        ("exec_cmd", {}, "exactly one of command"),
        ("exec_cmd", {"command": "a", "argv": ["a"]}, "exactly one of command"),
        ("exec_cmd", {"command": "a", "run_in_background": True}, "run_in_background"),
        ("exec_cmd", {"cmd": "ls"}, "args.cmd: unknown argument"),
        ("exec_cmd", {"argv": []}, "args.argv"),
        ("exec_cmd", {"command": "ls", "cwd": "../.."}, "below the workspace"),
        ("exec_cmd", {"command": "ls", "cwd": "/etc"}, "below the workspace"),
        ("exec_cmd", {"command": "a\0b"}, "NUL"),
        ("exec_cmd", {"argv": ["a\0b"]}, "NUL"),
        ("exec_python", {}, "args.code: is required"),
        ("exec_python", {"code": "1", "timeout": 0}, "args.timeout"),
        ("exec_sandbox", {"language": "cobol", "code": "1"}, "args.language"),
        ("exec_sandbox", {"code": "1"}, "language and code"),
        ("exec_sandbox", {"argv": ["a"], "code": "1"}, "language and code"),
        ("exec_sandbox", {"argv": ["a"], "files": {"../x": ""}}, "below the workspace"),
        ("exec_sandbox", {"argv": ["a"], "files": {"/etc/x": ""}}, "below the workspace"),
    ],
)
@in_loop
async def test_wrong_arguments_name_the_field(name: str, args: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidToolArguments, match=said):
        await Bench(tmp_path)(name, **args)


@in_loop
async def test_a_directory_of_the_workspace_can_be_named_as_it_is_inside(tmp_path: Path) -> None:
    call = Bench(tmp_path)
    (call.workspace / "sub").mkdir()
    assert (await call("exec_cmd", command="pwd", cwd="/workspace/sub"))["stdout"] == "/workspace/sub\n"
    assert (await call("exec_cmd", command="pwd", cwd="/workspace"))["stdout"] == "/workspace\n"


@in_loop
async def test_without_a_workspace_nothing_is_run(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="workspace"):
        await Bench(tmp_path).registry.invoke("exec_cmd", {"command": "ls"})


# --- X2 ---


@pytest.mark.parametrize(
    ("config", "said"), [(ON, "no sandbox here"), (ExecConfig(), "tools.exec.enabled")], ids=["missing", "off"]
)
@in_loop
async def test_without_a_sandbox_the_tools_are_not_there(config: ExecConfig, said: str, tmp_path: Path) -> None:
    """X2: they are in no listing, and a call says why instead of running anything."""
    registry = ToolRegistry(installed=False)
    sandbox = NoSandbox("no sandbox here")
    registry.configure(exec_tools(config, sandbox), seconds=30, absent=why_absent(config, sandbox))
    assert registry.tools() == ()
    for name in NAMES:
        with pytest.raises(SandboxUnavailable, match=said) as caught:
            await registry.invoke(name, {}, context=ToolContext(workspace=tmp_path, call_id="c"))
        assert caught.value.code == "sandbox_unavailable"


def test_a_sandbox_that_is_there_switches_nothing_on() -> None:
    """X2: commands are the operator's decision, and not that of what is installed."""
    assert exec_tools(ExecConfig(), Bubblewrap()) == []
    assert [tool.name for tool in exec_tools(ON, Bubblewrap())] == list(NAMES)


# --- X7 ---


@in_loop
async def test_what_lies_in_a_workspace_is_never_run_outside(tmp_path: Path) -> None:
    """X7: hooks, settings and modules planted in a workspace run inside, if at all, and reach nothing outside."""
    call = Bench(tmp_path)
    mark = tmp_path / "ran"
    program = f"#!/bin/sh\ntouch {mark}\n"
    await call(
        "exec_cmd", command="git init -q && git config core.fsmonitor ./hook.sh && git config core.pager ./hook.sh"
    )
    for place in (".git/hooks/pre-commit", ".git/hooks/post-checkout", "hook.sh"):
        (call.workspace / place).parent.mkdir(exist_ok=True)
        (call.workspace / place).write_text(program)
        (call.workspace / place).chmod(0o755)
    code = f"open({str(mark)!r}, 'w')"
    for name in ("sitecustomize.py", "usercustomize.py", "conftest.py", "json.py", "x.pth", "site.py"):
        (call.workspace / name).write_text(
            f"import os; {code}" if name.endswith("pth") else f"try: {code}\nexcept OSError: pass"
        )
    await call("exec_cmd", command="git status; git add -A; git log; git commit -m x")
    await call("exec_cmd", "read_only", command="git status; git diff; ls -R; grep -r x .")
    await call("exec_python", code="print(1)")
    assert not mark.exists()


# --- many at once ---


@in_loop
async def test_fifty_calls_at_once_all_end_well(tmp_path: Path) -> None:
    call = Bench(tmp_path)
    found = await asyncio.gather(*(call("exec_cmd", command=f"echo {number}") for number in range(50)))
    assert [each["stdout"] for each in found] == [f"{number}\n" for number in range(50)]


@in_loop
async def test_a_cancelled_call_leaves_nothing_running(tmp_path: Path) -> None:
    call = Bench(tmp_path)
    waiting = asyncio.create_task(call("exec_cmd", command="touch started; sleep 997.5"))
    async with asyncio.timeout(10):
        while not (call.workspace / "started").exists():
            await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert running("997.5") == []


# --- configuration ---


def test_the_configuration_is_as_written() -> None:
    raw = RawExec.model_validate(
        {"enabled": True, "memory": "1 GiB", "visible": ["/opt/node"], "allowed_commands": ["ls"]}
    )
    found = resolve_exec(raw)
    assert (found.memory, found.visible, found.allowed_commands, found.seconds) == (
        1 << 30,
        ("/opt/node",),
        ("ls",),
        30,
    )


@pytest.mark.parametrize("path", ["/", "/etc", "relative", "/opt/../etc", "/root"])
def test_whole_parts_of_the_machine_cannot_be_shown(path: str) -> None:
    with pytest.raises(ValueError, match=r"must be an absolute path|more than tools"):
        RawExec.model_validate({"visible": [path]})


def test_a_list_of_programs_holds_names_only() -> None:
    with pytest.raises(ConfigError, match="allowed_commands"):
        exec_tools(ExecConfig(enabled=True, allowed_commands=("rm -rf",)), NoSandbox(""))


def test_the_tools_say_what_they_do() -> None:
    tools = exec_tools(ON, Bubblewrap())
    assert [tool.name for tool in tools] == list(NAMES)
    assert {tool.side_effect for tool in tools} == {"exec"}  # type: ignore[attr-defined]
    assert ExecCommand.least == "read_only"
