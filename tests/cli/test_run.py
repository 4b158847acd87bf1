"""`ep run` and `ep runs`: an agent in a directory, with and without a gateway."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from child import SOURCE, ChildGateway
from execution_platform import _json
from execution_platform.testing import Call, FakeUpstream, Script, Status, Text
from execution_platform.testing.threaded import ThreadedUpstream

EP = (sys.executable, "-c", "from execution_platform.cli.main import main; main()")
WRITE = Call("fs_write", {"path": "notes/a.txt", "content": "hello\n"})
READ = Call("fs_read", {"path": "notes/a.txt"})


@pytest.fixture
def upstream() -> Iterator[ThreadedUpstream[FakeUpstream]]:
    with FakeUpstream.in_thread() as found:
        yield found


def config(url: str, **changes: Any) -> dict[str, Any]:
    """A developer who may write, and one who has to ask."""
    return {
        "version": 1,
        "retry": {"base_seconds": 0.001},
        "providers": {"openai": {"kind": "openai", "base_url": f"{url}/v1", "api_key": "sk-1", "models": ["gpt-4o"]}},
        "personas": {
            "dev": {"prefer": ["openai/gpt-4o"], "tools": ["fs_read", "fs_write"], "permission_mode": "acceptEdits"},
            "careful": {"prefer": ["openai/gpt-4o"], "tools": ["fs_read", "fs_write"]},
        },
        **changes,
    }


class Machine:
    """A home, a project and a configuration."""

    def __init__(self, folder: Path, url: str) -> None:
        self.project = folder / "project"
        self.project.mkdir()
        self.config = folder / "platform.yaml"
        self.config.write_text(yaml.safe_dump(config(url)))
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(SOURCE)}
        self.folder = folder

    def ep(self, *words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run `ep`."""
        return subprocess.run(
            [*EP, *words],
            env={**self.environ, "EP_CONFIG": str(self.config), **environ},
            cwd=self.project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path, upstream: ThreadedUpstream[FakeUpstream]) -> Machine:
    return Machine(tmp_path, upstream.upstream.url)


def test_an_agent_edits_the_files_of_the_directory_and_reports(
    machine: Machine, upstream: ThreadedUpstream[FakeUpstream]
) -> None:
    upstream.upstream.script(Script(WRITE), Script(READ), Script(Text("I wrote the notes.", chunks=1)))
    done = machine.ep("run", "dev", "Write the notes", "--cwd", str(machine.project))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "I wrote the notes.\n"
    assert "→ fs_write" in done.stderr
    assert "✓ fs_read" in done.stderr
    assert "done (stop)" in done.stderr
    assert (machine.project / "notes" / "a.txt").read_text() == "hello\n"
    listed = machine.ep("runs", "list", "--json")
    rows: Any = _json.loads(listed.stdout)
    assert [(row["persona"], row["status"]) for row in rows] == [("dev", "done")]
    shown = machine.ep("runs", "show", rows[0]["id"])
    assert "I wrote the notes." in shown.stdout


def test_where_nobody_can_be_asked_a_call_that_needs_it_is_refused(
    machine: Machine, upstream: ThreadedUpstream[FakeUpstream]
) -> None:
    upstream.upstream.script(Script(WRITE), Script("I may not."))
    done = machine.ep("run", "careful", "Write the notes", "--json")
    assert done.returncode == 0, done.stderr
    told: Any = _json.loads(done.stdout)
    assert (told["text"], told["steps"]) == ("I may not.", 2)
    assert not (machine.project / "notes").exists()
    assert "permission_denied" in str(upstream.upstream.meter[1].body)


def test_a_limit_ends_the_command_with_4_and_a_failure_with_another_code(
    machine: Machine, upstream: ThreadedUpstream[FakeUpstream]
) -> None:
    upstream.upstream.script(Script(READ))
    stopped = machine.ep("run", "dev", "Read for ever", "--steps", "2")
    assert stopped.returncode == 4, stopped.stderr
    assert "step_limit" in stopped.stderr
    upstream.upstream.clear()
    upstream.upstream.script(Status(500))
    failed = machine.ep("run", "dev", "Fail")
    assert failed.returncode == 1, failed.stderr
    assert machine.ep("run", "nobody", "x").returncode == 2
    assert machine.ep("run", "dev", "x", "--cwd", str(machine.folder / "none")).returncode == 2


def test_the_platforms_own_files_are_not_put_into_the_agents_reach(machine: Machine) -> None:
    done = machine.ep("run", "dev", "x", EP_WORKSPACE_ROOT=str(machine.project / "state"))
    assert done.returncode == 2
    assert "EP_WORKSPACE_ROOT" in done.stderr


def test_a_failed_run_goes_on_from_its_last_turn(machine: Machine, upstream: ThreadedUpstream[FakeUpstream]) -> None:
    upstream.upstream.script(Script(WRITE), Script(Status(401)))
    failed = machine.ep("run", "dev", "Write the notes")
    assert failed.returncode != 0
    rows: Any = _json.loads(machine.ep("runs", "list", "--json").stdout)
    upstream.upstream.clear()
    upstream.upstream.script(Script(Text("done after all", chunks=1)))
    resumed = machine.ep("runs", "resume", rows[0]["id"])
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout == "done after all\n"
    assert "goes on after 1 turns" in resumed.stderr


def test_the_same_through_a_gateway(machine: Machine, upstream: ThreadedUpstream[FakeUpstream]) -> None:
    upstream.upstream.script(Script(WRITE), Script(Text("I wrote the notes.", chunks=1)))
    served = config(upstream.upstream.url, runs={"workspace_roots": [str(machine.project)]})
    with ChildGateway(served) as gateway:
        done = machine.ep("run", "dev", "Write the notes", "--cwd", str(machine.project), "--url", gateway.url)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "I wrote the notes.\n"
        assert (machine.project / "notes" / "a.txt").read_text() == "hello\n"
        rows: Any = _json.loads(machine.ep("runs", "list", "--json", "--url", gateway.url).stdout)
        assert [row["status"] for row in rows] == ["done"]
        outside = machine.ep("run", "dev", "x", "--cwd", str(machine.folder), "--url", gateway.url)
        assert outside.returncode == 4, outside.stderr
