"""Ten personas at work at once, through the doors that programs made for the vendor's agent use."""

import subprocess
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from child import ChildGateway
from cli.hive.test_doors import FOREIGN, WRITE, Machine
from execution_platform import _json
from execution_platform.testing import FakeUpstream, Script, Text, Tokens

PERSONAS = (
    "requirement_analyst",
    "solution_architect",
    "frontend_developer",
    "backend_developer",
    "devops_engineer",
    "qa_engineer",
    "security_specialist",
    "technical_writer",
    "database_specialist",
    "test_engineer",
)
MODULE = """
import asyncio
from claude_code_sdk import ClaudeCodeOptions, query

async def main():
    async for message in query(prompt="write a note", options=ClaudeCodeOptions(allowed_tools=["Write"], cwd=None)):
        if message.message_type == "text":
            print(message.text)

asyncio.run(main())
"""
COMMAND = ("claude", "-p", "--dangerously-skip-permissions", "write a note")
TOKENS = Tokens(input=100, output=20)


def read_text(gateway: ChildGateway, path: str) -> str:
    with urllib.request.urlopen(gateway.url + path, timeout=30) as answer:
        return answer.read().decode()


def read(gateway: ChildGateway, path: str) -> Any:
    return _json.loads(read_text(gateway, path))


def spoken(log: str) -> str:
    """What the model said in the events of a run."""
    frames = [frame.split("\n") for frame in log.split("\n\n") if "event: token" in frame]
    return "".join(_json.loads(line[6:].encode())["text"] for frame in frames for line in frame if line[:6] == "data: ")


def config(upstream: str, place: Path) -> Mapping[str, Any]:
    """Each persona with a model and a budget of its own. A token costs a thousandth of a dollar."""
    models = {persona: f"model-of-{persona}" for persona in PERSONAS}
    near = {"kind": "openai", "base_url": f"{upstream}/v1", "api_key": "sk-1", "models": list(models.values())}
    return {
        "providers": {
            "near": {
                **near,
                "prices": {"*": {"input": 1000, "output": 1000}},
                "profiles": {"*": {"context_window": 200_000}},
            }
        },
        "personas": {
            persona: {
                "prefer": [f"near/{model}"],
                "tools": ["fs_write"],
                "max_tokens": 50,
                "budget": {"daily_usd": 900},
            }
            for persona, model in models.items()
        },
        "runs": {"workspace_roots": [str(place)]},
    }


@pytest.mark.timeout(300)
def test_ten_personas_work_at_once_each_with_its_own_budget_log_and_files(tmp_path: Path) -> None:
    with FakeUpstream.in_thread() as running:
        upstream = running.upstream
        gate = upstream.gate("all ten are here")
        for persona in PERSONAS:
            first = Script(WRITE, usage=TOKENS, gate=gate)
            second = Script(Text(f"{persona} is done."), usage=TOKENS)
            upstream.script(first, second, model=f"model-of-{persona}")
        machine = Machine(tmp_path, upstream.url)
        with ChildGateway(config(upstream.url, machine.project)) as gateway:
            programs: dict[str, subprocess.Popen[str]] = {}
            for number, persona in enumerate(PERSONAS):
                folder = machine.project / persona
                folder.mkdir()
                programs[persona] = subprocess.Popen(
                    COMMAND if number % 2 else (FOREIGN, "-c", MODULE),
                    env={**machine.environ, "GATEWAY_URL": gateway.url, "EP_HIVE_PERSONA": persona},
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            try:
                # Nobody is answered before all ten have asked: that they overlap is not a matter of luck.
                running.wait_until(lambda meter: meter.requests_open == len(PERSONAS), within=90)
                upstream.release("all ten are here")
                said = {persona: program.communicate(timeout=90) for persona, program in programs.items()}
            finally:
                for program in programs.values():
                    program.kill()
            for persona, (stdout, stderr) in said.items():
                assert (programs[persona].returncode, stdout) == (0, f"{persona} is done.\n"), stderr
                assert (machine.project / persona / "notes/a.txt").read_text() == "hello\n"
                assert [path.name for path in (machine.project / persona).iterdir()] == ["notes"]
            assert len(upstream.meter) == 2 * len(PERSONAS)
            costs = read(gateway, "/v1/costs")["by_persona"]
            rows = {row["scope"]: row for row in read(gateway, "/v1/budgets")["budgets"] if row["period"] == "daily"}
            runs = {run["persona"]: run for run in read(gateway, "/v1/runs")["runs"]}
            assert runs.keys() == set(PERSONAS)
            for persona in PERSONAS:
                row = rows[f"persona:{persona}"]
                assert (row["requests"], row["spent_tokens"], row["spent_usd"]) == (2, 240, 0.24), persona
                assert (costs[persona]["requests"], costs[persona]["total_cost"]) == (2, 0.24)
                run = runs[persona]
                assert (run["status"], run["steps"], run["usage"]["cost_usd"]) == ("done", 2, 0.24)
                assert (
                    spoken(read_text(gateway, f"/v1/runs/{run['id']}/events")) == run["answer"] == f"{persona} is done."
                )
