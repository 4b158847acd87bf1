"""`ep workflow`: three vendors, one after the other and at once, killed and taken up again, with and without a gateway."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from child import SOURCE, ChildGateway
from execution_platform import _json
from execution_platform.cli.main import app
from execution_platform.testing import Call, FakeUpstream, Script, Text
from execution_platform.testing.threaded import ThreadedUpstream
from sandboxes import needs_bubblewrap

EP = (sys.executable, "-c", "from execution_platform.cli.main import main; main()")
EXAMPLES = Path(__file__).parents[2] / "examples" / "workflows"
VENDORS = {"anthropic": "claude-sonnet-4-5", "openai": "gpt-4o", "gemini": "gemini-2.5-pro"}
DIALECTS = ["anthropic", "openai_chat", "gemini"]


def config(url: str, **changes: Any) -> dict[str, Any]:
    """Three vendors at one upstream, and a persona for each."""
    roots = {"anthropic": url, "openai": f"{url}/v1", "gemini": f"{url}/v1beta"}
    return {
        "version": 1,
        "retry": {"base_seconds": 0.001, "max_attempts": 1},
        "providers": {
            name: {"kind": name, "base_url": root, "api_key": "sk-1", "models": [VENDORS[name]]}
            for name, root in roots.items()
        },
        "personas": {
            "designer": {"prefer": ["anthropic/claude-sonnet-4-5"], "tools": []},
            "coder": {"prefer": ["openai/gpt-4o"], "tools": ["fs_read", "fs_write"], "permission_mode": "acceptEdits"},
            "critic": {"prefer": ["gemini/gemini-2.5-pro"], "tools": ["fs_read"]},
        },
        **changes,
    }


FLOW: dict[str, Any] = {
    "version": 1,
    "name": "three",
    "inputs": {"task": {"description": "What to build."}},
    "phases": {
        "design": {"persona": "designer", "prompt": "Design {{task}}", "checks": [{"contains": "DESIGN"}]},
        "code": {"persona": "coder", "prompt": "Write {{design}}", "checks": [{"file": "app.py"}]},
        "review": {
            "persona": "critic",
            "prompt": "Judge {{code}} by {{design}}",
            "checks": [{"json": {"type": "object", "properties": {"verdict": {"const": "accept"}}}}],
        },
    },
    "configurations": {
        "gemini": {"model": "gemini/gemini-2.5-pro"},
        "swapped": {"phases": {"design": {"model": "openai/gpt-4o"}, "code": {"model": "anthropic/claude-sonnet-4-5"}}},
    },
}
WRITE = Call("fs_write", {"path": "app.py", "content": "print('hello')\n"})


class Machine:
    """A home, a project, a configuration and a workflow."""

    def __init__(self, folder: Path, upstream: FakeUpstream) -> None:
        self.folder = folder
        self.upstream = upstream
        self.project = folder / "project"
        self.project.mkdir()
        self.config = folder / "platform.yaml"
        self.config.write_text(yaml.safe_dump(config(upstream.url)))
        self.write(FLOW)
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(SOURCE)}

    def write(self, flow: dict[str, Any]) -> None:
        """Another workflow."""
        (self.folder / "flow.yaml").write_text(yaml.safe_dump(flow, sort_keys=False))

    def answers(self, **changes: Any) -> None:
        """The three do what they are asked, in every dialect."""
        replies: dict[str, list[Any]] = {
            "Design": [Text("THE DESIGN", chunks=1)],
            "Write": [Script(WRITE), Script(Text("THE CODE", chunks=1))],
            "Judge": [Text('{"verdict": "accept"}', chunks=1)],
            **changes,
        }
        for word, scripts in replies.items():
            self.upstream.script(*scripts, when=_begins(word))

    def start(self, *words: str, **environ: str) -> "subprocess.Popen[str]":
        """Start `ep workflow`."""
        return subprocess.Popen(
            [*EP, "workflow", *words],
            env={**self.environ, "EP_CONFIG": str(self.config), **environ},
            cwd=self.project,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ep(self, *words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run it to its end."""
        with self.start(*words, **environ) as process:
            try:
                out, err = process.communicate(timeout=60)
            finally:
                process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def here(self, *words: str) -> Result:
        """The same within this process, which is quicker."""
        environ = {"HOME": str(self.folder), "EP_CONFIG": str(self.config)}
        return CliRunner().invoke(app, ["workflow", *words], env=environ)

    def run(self, *words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run the workflow."""
        return self.ep("run", "../flow.yaml", "--input", "task=a clock", *words, **environ)

    def asked(self) -> list[tuple[str, str]]:
        """The dialect and the body of every request so far."""
        return [(exchange.dialect or "", exchange.raw_body.decode()) for exchange in self.upstream.meter.exchanges]


def _says(words: str) -> Callable[[Any], bool]:
    return lambda request: words in _json.dumps(request.body).decode()


def _begins(word: str) -> Callable[[Any], bool]:
    return lambda request: f'"{word} ' in _json.dumps(request.body).decode()


@pytest.fixture
def upstream() -> Iterator[ThreadedUpstream[FakeUpstream]]:
    with FakeUpstream.in_thread() as found:
        yield found


@pytest.fixture
def machine(tmp_path: Path, upstream: ThreadedUpstream[FakeUpstream]) -> Machine:
    return Machine(tmp_path, upstream.upstream)


def test_context_is_carried_between_phases_and_vendors_and_a_report_is_written(machine: Machine) -> None:
    machine.answers()
    done = machine.run("--report", "../report.md")
    assert done.returncode == 0, done.stderr
    asked = machine.asked()
    assert [dialect for dialect, _ in asked] == ["anthropic", "openai_chat", "openai_chat", "gemini"]
    assert "Design a clock" in asked[0][1]
    assert "Write THE DESIGN" in asked[1][1]
    assert "Judge THE CODE by THE DESIGN" in asked[3][1]
    assert (machine.project / "app.py").read_text() == "print('hello')\n"
    assert "default/code: → fs_write" in done.stderr
    report = (machine.folder / "report.md").read_text()
    assert "| code | done | openai/gpt-4o |" in report
    assert "| review | done | gemini/gemini-2.5-pro |" in report

    listed: Any = _json.loads(machine.here("list", "--json").stdout)
    assert [(row["workflow"], row["status"]) for row in listed] == [("three", "done")]
    workflow_id = listed[0]["id"]
    assert machine.here("show", workflow_id, "--phase", "design").stdout == "THE DESIGN\n"
    again = machine.here("resume", workflow_id)
    assert again.exit_code == 0, again.stderr
    assert len(machine.asked()) == 4


def test_configurations_are_compared_in_time_tokens_and_money(machine: Machine) -> None:
    machine.answers(Write=[Script(WRITE), Script(Text("THE CODE", chunks=1))] * 2)
    done = machine.run("--config", "gemini", "--config", "swapped", "--json")
    assert done.returncode == 0, done.stderr
    told: Any = _json.loads(done.stdout)
    dialects = [dialect for dialect, _ in machine.asked()]
    assert dialects[:4] == ["gemini"] * 4
    assert dialects[4:] == ["openai_chat", "anthropic", "anthropic", "gemini"]
    for each in told["configurations"]:
        assert (machine.project / each["configuration"] / "app.py").exists()
        assert each["status"] == "done"
        assert each["seconds"] > 0
        for name in ("input_tokens", "output_tokens", "cost_usd"):
            assert each[name] == pytest.approx(sum(phase[name] for phase in each["phases"]))
            assert each[name] > 0
    costs = [each["cost_usd"] for each in told["configurations"]]
    assert costs[0] != costs[1]


def test_a_failed_check_fails_the_workflow_and_nothing_follows(machine: Machine) -> None:
    machine.answers(Write=[Text("I wrote app.py, believe me.", chunks=1)])
    done = machine.run()
    assert done.returncode == 1
    assert "app.py" in done.stdout
    assert "unchecked" in done.stdout
    assert "ep workflow resume" in done.stderr
    assert [dialect for dialect, _ in machine.asked()] == DIALECTS[:2]


def test_killed_between_two_phases_it_goes_on_with_the_next(machine: Machine) -> None:
    machine.answers()
    killed = machine.run(FAILPOINT="workflow.after_phase:exit@2")
    assert killed.returncode == 86, killed.stderr
    listed: Any = _json.loads(machine.here("list", "--json").stdout)
    assert listed[0]["status"] == "unfinished"
    assert len(machine.asked()) == 3
    resumed = machine.here("resume", listed[0]["id"], "--json")
    assert resumed.exit_code == 0, resumed.stderr
    assert [dialect for dialect, _ in machine.asked()[3:]] == ["gemini"]
    assert "Judge THE CODE by THE DESIGN" in machine.asked()[3][1]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_interrupted_within_a_phase_its_run_goes_on_from_its_last_turn(
    machine: Machine, upstream: ThreadedUpstream[FakeUpstream], number: signal.Signals
) -> None:
    gate = machine.upstream.gate("second turn")
    machine.answers(Write=[Script(WRITE), Script(Text("THE CODE", chunks=1), gate=gate)])
    process = machine.start("run", "../flow.yaml", "-i", "task=a clock")
    upstream.wait_until(lambda meter: len(meter) == 3, within=30)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    machine.upstream.release("second turn")
    listed: Any = _json.loads(machine.here("list", "--json").stdout)
    resumed = machine.here("resume", listed[0]["id"], "--json")
    assert resumed.exit_code == 0, resumed.stderr
    bodies = [body for _, body in machine.asked()]
    assert sum("Design a clock" in body for body in bodies) == 1
    assert [("call_id" in body or "tool_call_id" in body) for body in bodies[1:4]] == [False, True, True]
    told: Any = _json.loads(resumed.stdout)
    code = told["configurations"][0]["phases"][1]
    assert (len(code["runs"]), code["status"]) == (1, "done")


def test_phases_without_needs_work_at_the_same_time(machine: Machine, upstream: ThreadedUpstream[FakeUpstream]) -> None:
    checks = [{"contains": "ok"}]
    machine.write(
        {
            "name": "parallel",
            "phases": {
                "left": {"persona": "designer", "prompt": "Left", "needs": [], "checks": checks},
                "right": {"persona": "critic", "prompt": "Right", "needs": [], "checks": checks},
                "both": {
                    "persona": "coder",
                    "prompt": "Both {{left}} {{right}}",
                    "needs": ["left", "right"],
                    "tools": [],
                    "checks": checks,
                },
            },
        }
    )
    gate = machine.upstream.gate("both")
    machine.upstream.script(Script("ok", gate=gate))
    process = machine.start("run", "../flow.yaml")
    upstream.wait_until(lambda meter: len(meter) == 2, within=30)
    machine.upstream.release("both")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    asked = machine.asked()
    assert "Both ok ok" in asked[2][1]
    assert "fs_write" not in asked[2][1]


def test_at_a_gateway_a_phase_goes_on_without_the_command(
    machine: Machine, upstream: ThreadedUpstream[FakeUpstream]
) -> None:
    gate = machine.upstream.gate("second turn")
    machine.answers(Write=[Script(WRITE), Script(Text("THE CODE", chunks=1), gate=gate)])
    served = config(machine.upstream.url, runs={"workspace_roots": [str(machine.project)]})
    with ChildGateway(served) as gateway:
        process = machine.start("run", "../flow.yaml", "-i", "task=a clock", "--url", gateway.url)
        upstream.wait_until(lambda meter: len(meter) == 3, within=30)
        process.kill()
        process.communicate(timeout=30)
        machine.upstream.release("second turn")
        listed: Any = _json.loads(machine.here("list", "--json").stdout)
        resumed = machine.here("resume", listed[0]["id"], "--json")
        assert resumed.exit_code == 0, resumed.stderr
        assert [dialect for dialect, _ in machine.asked()] == ["anthropic", "openai_chat", "openai_chat", "gemini"]
        told: Any = _json.loads(resumed.stdout)
        code = told["configurations"][0]["phases"][1]
        assert (len(code["runs"]), code["status"], code["output"]) == (1, "done", "THE CODE")
        assert code["cost_usd"] > 0


@needs_bubblewrap
def test_the_six_phases_of_the_example_succeed_in_all_five_configurations(machine: Machine) -> None:
    served = config(machine.upstream.url)
    models = {
        "anthropic": ["claude-sonnet-4-5", "claude-opus-4-5"],
        "openai": ["gpt-5.1", "gpt-5.1-mini"],
        "gemini": ["gemini-2.5-pro", "gemini-2.5-flash"],
    }
    for name, found in models.items():
        served["providers"][name]["models"] = found
    del served["personas"]
    machine.config.write_text(yaml.safe_dump(served))
    code = "def main(argv):\n    return len(argv)\n"
    tests = "import unittest\nimport app\n\nclass T(unittest.TestCase):\n    def test(self):\n        assert app.main([1]) == 1\n"
    for words, reply in (
        ("Write the requirements", Text("Acceptance criteria: it counts", chunks=1)),
        ("Design the program", Text("Interfaces: main", chunks=1)),
        ("Plan the implementation", Text('{"steps": [{"function": "main", "does": "all"}]}', chunks=1)),
        ("Write the program", Call("fs_write", {"path": "app.py", "content": code})),
        ("write its tests", Call("fs_write", {"path": "test_app.py", "content": tests})),
        ("and judge them", Text('```json\n{"verdict": "accept", "findings": []}\n```', chunks=1)),
    ):
        machine.upstream.script(reply, when=_says(words))
    machine.upstream.script(Text("written", chunks=1), when=_says("created"))
    done = machine.ep("run", str(EXAMPLES / "software.yaml"), "-i", "task=count words", "--all", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told: Any = _json.loads(done.stdout)
    assert [each["status"] for each in told["configurations"]] == ["done"] * 5
    vendors = [
        {model.split("/")[0] for phase in each["phases"] for model in phase["models"]}
        for each in told["configurations"]
    ]
    three = {"anthropic", "openai", "gemini"}
    assert vendors == [{"anthropic"}, {"openai"}, {"gemini"}, {"anthropic", "openai"}, three]


def test_what_is_wrong_is_told_before_anybody_is_asked(machine: Machine) -> None:
    flow = str(machine.folder / "flow.yaml")
    for words, told in (
        (("run", flow), "--input task="),
        (("run", flow, "-i", "task"), "expected NAME=VALUE"),
        (("run", flow, "-i", "task=@none"), "cannot be read as UTF-8 text"),
        (("run", flow, "-i", "task=x", "--config", "gemni"), "Did you mean gemini?"),
        (("run", flow, "-i", "task=x", "--config", "gemini", "--all"), "keep one"),
        (("run", flow, "-i", "task=x", "--config", "platform.yaml"), "EP_CONFIG"),
        (("run", flow, "-i", "task=x", "-C", "none"), "there is no directory"),
        (("run", "none.yaml"), "cannot be read"),
        (("resume", "wf_none"), "there is no workflow"),
        (("show", "wf_none"), "there is no workflow"),
    ):
        done = machine.here(*words)
        assert (done.exit_code, told in done.stderr) == (2, True), (words, done.stderr)
    machine.write({"name": "x", "phases": {"a": {"persona": "desiner", "prompt": "x", "checks": [{"contains": "x"}]}}})
    done = machine.here("check", flow)
    assert (done.exit_code, "Did you mean designer?" in done.stderr) == (2, True), done.stderr
    assert machine.asked() == []


@pytest.mark.parametrize("name", ["software", "second-opinion"])
def test_the_examples_can_be_used(machine: Machine, name: str) -> None:
    machine.config.write_text("version: 1\n")
    done = machine.here("check", str(EXAMPLES / f"{name}.yaml"))
    assert done.exit_code == 0, done.stderr
    assert "architect" in done.stdout
