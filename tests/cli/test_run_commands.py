"""`ep run` with tools that start programs: real tests in the real sandbox, with the consent of whoever sits there."""

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.test_run import EP, Machine
from execution_platform import _json
from execution_platform.testing import Call, FakeUpstream, Script, Text
from execution_platform.testing.threaded import ThreadedUpstream
from sandboxes import needs_bubblewrap
from terminal import Terminal

RUN_TESTS = Call("exec_cmd", {"command": "PYTHONPATH=.deps python3 -m pytest -q -p no:cacheprovider test_calc.py"})
CORRECT = Call("fs_edit", {"path": "calc.py", "old": "a - b", "new": "a + b"})
REPORT = Text("The sign was wrong; the test passes now.", chunks=1)
DEPENDENCIES = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "py")
"""What pytest is made of, as a project has it in a folder of its own."""


@pytest.fixture
def upstream() -> Iterator[ThreadedUpstream[FakeUpstream]]:
    with FakeUpstream.in_thread() as found:
        yield found


@pytest.fixture
def machine(tmp_path: Path, upstream: ThreadedUpstream[FakeUpstream]) -> Machine:
    made = Machine(tmp_path, upstream.upstream.url)
    configure(made, {"openai": upstream.upstream.url})
    program(made.project)
    return made


def configure(machine: Machine, urls: dict[str, str], **changes: Any) -> None:
    """Providers at these addresses, and the personas as they come with the platform."""
    providers: dict[str, Any] = {
        "openai": {"kind": "openai", "base_url": f"{urls['openai']}/v1", "api_key": "sk-1", "models": ["gpt-4o"]}
    }
    if "anthropic" in urls:
        found = {"kind": "anthropic", "base_url": urls["anthropic"], "api_key": "sk-2", "models": ["claude-sonnet-4-5"]}
        providers["anthropic"] = found
    given = {"version": 1, "retry": {"base_seconds": 0.001}, "providers": providers, **changes}
    machine.config.write_text(yaml.safe_dump(given))


def program(project: Path) -> None:
    """A program with a mistake, a test that finds it, and what runs the test."""
    (project / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    (project / "test_calc.py").write_text("from calc import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n")
    for name in DEPENDENCIES:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        found, target = Path(spec.origin), project / ".deps" / name
        if spec.submodule_search_locations is None:
            shutil.copy(found, target.with_suffix(".py"))
        else:
            shutil.copytree(found.parent, target, ignore=shutil.ignore_patterns("__pycache__"))


@contextmanager
def at_terminal(machine: Machine, *words: str) -> Iterator[Terminal]:
    """`ep` with somebody in front of it."""
    environ = {**machine.environ, "EP_CONFIG": str(machine.config), "TERM": "dumb", "COLUMNS": "200"}
    terminal = Terminal([*EP, *words], cwd=machine.project, env=environ)
    try:
        yield terminal
    finally:
        terminal.close()


def told(upstream: ThreadedUpstream[FakeUpstream], index: int) -> str:
    """The body of a request to the model."""
    return str(upstream.upstream.meter[index].body)


@needs_bubblewrap
def test_an_agent_finds_corrects_tests_and_reports_and_moves_to_another_provider_in_the_middle(
    tmp_path: Path,
) -> None:
    """The built-in developer, nothing configured but two providers: each edit and each command asks, tests run in the sandbox.

    While the last question waits the first provider is switched off, and the run goes on with the second.
    """
    machine = Machine(tmp_path, "")
    program(machine.project)
    with FakeUpstream.in_thread() as second, ExitStack() as switch:
        first = switch.enter_context(FakeUpstream.in_thread())
        configure(machine, {"anthropic": first.upstream.url, "openai": second.upstream.url})
        look = [Call("fs_read", {"path": "calc.py"}), RUN_TESTS]
        first.upstream.script(Script(look), Script(CORRECT), Script(RUN_TESTS))
        second.upstream.script(Script(REPORT))
        with at_terminal(machine, "run", "backend_developer", "Correct calc.py", "--cwd", str(machine.project)) as ep:
            ep.until("exec_cmd starts a program in the sandbox")
            ep.until("Allow it? [y/N]")
            ep.answer("y")
            ep.until("fs_edit needs an approval")
            ep.until("Allow it? [y/N]")
            ep.answer("y")
            ep.until("Allow it? [y/N]")
            switch.close()
            ep.answer("y")
            assert ep.ended() == 0, ep.said
        assert len(first.upstream.meter) == 3
        assert len(second.upstream.meter) == 1
        assert "1 failed" in told(first, 1)
        assert "1 passed" in told(second, 0)
    assert (machine.project / "calc.py").read_text() == "def add(a, b):\n    return a + b\n"
    assert "turn 0: anthropic/claude-sonnet-4-5" in ep.said
    assert "moved from anthropic/claude-sonnet-4-5 to openai/gpt-4o" in ep.said
    assert "The sign was wrong; the test passes now." in ep.said
    assert "done (stop)" in ep.said


@needs_bubblewrap
def test_one_option_lets_commands_run_where_nobody_can_be_asked(
    machine: Machine, upstream: ThreadedUpstream[FakeUpstream]
) -> None:
    upstream.upstream.script(Script(RUN_TESTS), Script(CORRECT), Script(RUN_TESTS), Script(REPORT))
    done = machine.ep("run", "backend_developer", "Correct calc.py", "--mode", "acceptEdits", "--allow-exec", "--json")
    assert done.returncode == 0, done.stderr
    answer: Any = _json.loads(done.stdout)
    assert (answer["reason"], answer["steps"], answer["text"]) == ("stop", 4, REPORT.text)
    assert "1 failed" in told(upstream, 1)
    assert "1 passed" in told(upstream, 3)
    assert done.stderr == ""


@needs_bubblewrap
def test_without_it_no_command_runs_and_the_first_line_says_so(
    machine: Machine, upstream: ThreadedUpstream[FakeUpstream]
) -> None:
    """A1: that a persona of the platform's own names the tool is nobody's consent."""
    upstream.upstream.script(Script(Call("exec_cmd", {"command": "touch ran"})), Script("I may not."))
    for more in ((), ("--json",)):
        done = machine.ep("run", "backend_developer", "x", *more)
        assert done.returncode == 0, done.stderr
        assert done.stderr.splitlines()[0].startswith("! exec_cmd asks at the terminal before each command, and nobody")
        assert "--allow-exec" in done.stderr.splitlines()[0]
        upstream.upstream.script(Script(Call("exec_cmd", {"command": "touch ran"})), Script("I may not."))
    assert "permission_denied" in told(upstream, 1)
    assert not (machine.project / "ran").exists()


@needs_bubblewrap
def test_a_refused_command_is_not_run(machine: Machine, upstream: ThreadedUpstream[FakeUpstream]) -> None:
    upstream.upstream.script(Script(Call("exec_cmd", {"command": "touch ran"})), Script("Then not."))
    with at_terminal(machine, "run", "backend_developer", "x") as ep:
        ep.until("Allow it? [y/N]")
        ep.answer("n")
        assert ep.ended() == 0, ep.said
    assert "the user refused the call of exec_cmd" in told(upstream, 1)
    assert not (machine.project / "ran").exists()


@needs_bubblewrap
def test_a_persona_that_only_looks_is_not_asked(machine: Machine, upstream: ThreadedUpstream[FakeUpstream]) -> None:
    look = Call("exec_cmd", {"command": "ls calc.py"})
    upstream.upstream.script(Script([look, Call("exec_cmd", {"command": "touch ran"})]), Script("I looked."))
    done = machine.ep("run", "phase_reviewer", "x")
    assert done.returncode == 0, done.stderr
    assert "nobody is there" not in done.stderr
    assert "calc.py\\\\n" in told(upstream, 1)
    assert not (machine.project / "ran").exists()


def test_where_the_sandbox_is_missing_the_first_line_says_so(
    machine: Machine, upstream: ThreadedUpstream[FakeUpstream], tmp_path: Path
) -> None:
    """X2: the tool is not told to the model, nothing runs, and whoever started the run learns why."""
    upstream.upstream.script(Script("I cannot test."))
    without = tmp_path / "bin"
    without.mkdir()
    done = machine.ep("run", "backend_developer", "x", PATH=str(without))
    assert done.returncode == 0, done.stderr
    first = done.stderr.splitlines()[0]
    assert first.startswith("! without exec_cmd: tool 'exec_cmd': ")
    assert "bubblewrap" in first
    assert "exec_cmd" not in str(upstream.upstream.meter[0].body["tools"])


def test_what_the_configuration_switches_off_stays_off(
    machine: Machine, upstream: ThreadedUpstream[FakeUpstream]
) -> None:
    configure(machine, {"openai": upstream.upstream.url}, tools={"exec": {"enabled": False}})
    upstream.upstream.script(Script("I cannot test."))
    done = machine.ep("run", "backend_developer", "x", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("! without exec_cmd: ")
    assert "tools.exec.enabled" in done.stderr
    refused = machine.ep("run", "backend_developer", "x", "--allow-exec")
    assert refused.returncode == 2
    assert "tools.exec.enabled: false" in refused.stderr
    through = machine.ep("run", "backend_developer", "x", "--allow-exec", "--url", "http://127.0.0.1:9")
    assert through.returncode == 2
    assert "a gateway runs commands only" in through.stderr


@needs_bubblewrap
def test_consent_in_the_configuration_needs_no_question(
    machine: Machine, upstream: ThreadedUpstream[FakeUpstream]
) -> None:
    configure(machine, {"openai": upstream.upstream.url}, tools={"exec": {"enabled": True}})
    upstream.upstream.script(Script(RUN_TESTS), Script("It fails."))
    done = machine.ep("run", "backend_developer", "Test it")
    assert done.returncode == 0, done.stderr
    assert "1 failed" in told(upstream, 1)
