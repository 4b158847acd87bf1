"""The suite every sandbox is put through finds those that do not hold."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from execution_platform.config.exec import ExecConfig
from execution_platform.tool_bridge.sandbox import Bubblewrap, Command, NoSandbox, Outcome
from execution_platform.tool_bridge.sandbox.opening import open_sandbox
from execution_platform.tool_bridge.sandbox.self_check import ATTEMPTS, QUICK, check_sandbox, probed
from loops import in_loop
from sandboxes import CANARY, HostSandbox, needs_bubblewrap, running

SAFE_ON_THE_HOST = {
    "reads_files_outside",
    "writes_read_only_workspaces",
    "sees_the_environment",
    "sees_processes",
    "reaches_the_network",
    "has_privileges",
    "runs_on_after_its_time",
    "leaves_files_in_tmp",
    "writes_too_large_files",
}
"""Attempts that may succeed here: they change nothing outside their own directory."""


@needs_bubblewrap
@in_loop
async def test_bubblewrap_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", CANARY)
    assert [found for found in await check_sandbox(Bubblewrap()) if not found.holds] == []


@pytest.fixture
def swept() -> Iterator[None]:
    """What a sandbox that stops nothing leaves on the machine is removed."""
    yield
    for place in (Path("/tmp/left"), Path("/dev/shm/left")):
        place.unlink(missing_ok=True)


@pytest.mark.usefixtures("swept")
@in_loop
async def test_a_sandbox_that_stops_nothing_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """X2: every attempt that can be made on the bare machine is seen to succeed there."""
    monkeypatch.setenv("CANARY", CANARY)
    chosen = tuple(attempt for attempt in ATTEMPTS if attempt.__name__ in SAFE_ON_THE_HOST)
    found = await check_sandbox(HostSandbox(), attempts=chosen)
    assert {each.name for each in found if each.holds} == {"runs_commands"}
    assert len(found) == len(SAFE_ON_THE_HOST) + 1


@in_loop
async def test_a_sandbox_that_runs_nothing_does_not_hold() -> None:
    found = await check_sandbox(NoSandbox("there is none"))
    assert [(each.name, each.holds, each.seen) for each in found] == [("runs_commands", False, "there is none")]
    assert (await probed(NoSandbox("there is none"))).unavailable is not None


class Leaky:
    """Bubblewrap with one guard less."""

    unavailable: str | None = None

    def __init__(self, weaken: Callable[[list[str]], list[str]]) -> None:
        self._sandbox = Bubblewrap()
        self._sandbox._view = weaken(list(self._sandbox._view))
        self.limits = self._sandbox.limits

    async def run(self, command: Command) -> Outcome:
        return await self._sandbox.run(command)


def _swap(old: str, *new: str) -> Callable[[list[str]], list[str]]:
    def weaken(view: list[str]) -> list[str]:
        at = view.index(old)
        return [*view[:at], *new, *view[at + 1 :]]

    return weaken


@needs_bubblewrap
@in_loop
async def test_a_guard_that_is_gone_is_noticed() -> None:
    """X2: without one of its guards a sandbox is not used."""
    shared_network = ("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
    found = await probed(Leaky(_swap("--unshare-all", *shared_network)))
    assert found.unavailable is not None
    assert "reaches the network" in found.unavailable


def test_commands_are_off_unless_switched_on() -> None:
    sandbox = open_sandbox(ExecConfig())
    assert sandbox.unavailable is not None
    assert "tools.exec.enabled" in sandbox.unavailable


@needs_bubblewrap
def test_a_sandbox_that_holds_is_opened() -> None:
    assert open_sandbox(ExecConfig(enabled=True)).unavailable is None


def test_off_path_nothing_is_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """X2: without bwrap the sandbox says so, and no process is started for it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    started: list[object] = []
    sys.addaudithook(lambda event, args: started.append(args) if event == "subprocess.Popen" else None)
    sandbox = open_sandbox(ExecConfig(enabled=True))
    assert sandbox.unavailable is not None
    assert "bwrap" in sandbox.unavailable
    assert started == []


@needs_bubblewrap
def test_without_user_namespaces_there_is_no_sandbox() -> None:
    """X2: on a kernel that gives no user namespaces, as within another sandbox here."""
    script = (
        "from execution_platform.config.exec import ExecConfig\n"
        "from execution_platform.tool_bridge.sandbox.opening import open_sandbox\n"
        "print(open_sandbox(ExecConfig(enabled=True)).unavailable)"
    )
    line = [
        "bwrap",
        "--dev-bind",
        "/",
        "/",
        "--unshare-user",
        "--disable-userns",
        "--uid",
        "4242",
        "--gid",
        "4242",
        "--",
    ]
    source = str(Path(__file__).parents[3] / "src")
    ended = subprocess.run(
        [*line, sys.executable, "-c", script],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": source, "PATH": os.environ["PATH"]},
    )
    assert "did not start" in ended.stdout, ended.stderr
    assert running("self-check") == []


def test_the_quick_attempts_are_part_of_the_suite() -> None:
    assert set(QUICK) < set(ATTEMPTS)
