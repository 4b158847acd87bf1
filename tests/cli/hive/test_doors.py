"""Programs that know only the vendor's agent run on the platform with two variables changed."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from child import SOURCE, ChildGateway
from execution_platform.testing import Call, FakeUpstream, Script, Status, Text
from execution_platform.testing.threaded import ThreadedUpstream

EP = (sys.executable, "-c", "from execution_platform.cli.main import main; main()")
WRITE = Call("fs_write", {"path": "notes/a.txt", "content": "hello\n"})
FOREIGN = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
"""The caller's own Python, where the platform need not be installed."""

QUERY = """
import asyncio, json
from claude_code_sdk import ClaudeCodeOptions, query

async def main():
    options = ClaudeCodeOptions(model="claude-3-5-sonnet-20241022", system_prompt="You write notes.", cwd=None,
                                allowed_tools=["Write", "Read"], timeout=60)
    async for message in query(prompt="write a note", options=options):
        print(json.dumps([message.message_type, getattr(message, "text", None), getattr(message, "name", None),
                          getattr(message, "input", None), message.metadata, message.content if isinstance(message.content, str) else None]))

asyncio.run(main())
"""
CLIENT = """
import json, sys
from claude_code_api_layer import ClaudeCLIClient
print(json.dumps(ClaudeCLIClient(cwd=sys.argv[1]).query("write a note", allowed_tools=["Write", "Edit", "Read", "Bash"],
                                                        skip_permissions=True, timeout=60)))
"""

COORDINATED = """
import asyncio, json, os
from claude_code_sdk import ClaudeCodeOptions, create_sdk_mcp_server, query, tool

board = []

@tool("post_message", "Post a message to the team.", {"text": str})
async def post_message(args):
    board.append(args["text"])
    while len(board) < 2:  # both calls of a turn are here at once
        await asyncio.sleep(0.01)
    return {"content": [{"type": "text", "text": f"posted in process {os.getpid()}"}]}

@tool("vote", "Vote.", {"type": "object", "properties": {"choice": {"type": "string"}}, "required": ["choice"]})
async def vote(args):
    raise LookupError("there is nothing to vote on")

async def main():
    server = create_sdk_mcp_server("coord", tools=[post_message, vote])
    options = ClaudeCodeOptions(allowed_tools=["Read", "mcp__coord__post_message", "mcp__coord__vote"], timeout=60,
                                mcp_servers={"coord": server})
    async for message in query(prompt="tell the team", options=options):
        print(json.dumps([message.message_type, message.content]))
    print(json.dumps(["board", board, os.getpid()]))

asyncio.run(main())
"""


class Machine:
    """A home, a project, a configuration, and the doors in the way of the vendor's agent."""

    def __init__(self, folder: Path, upstream: str) -> None:
        self.project = folder / "project"
        self.project.mkdir()
        self.config: dict[str, Any] = {
            "version": 1,
            "retry": {"base_seconds": 0.001, "max_attempts": 1},
            "providers": {
                "gemini": {
                    "kind": "gemini",
                    "base_url": f"{upstream}/v1beta",
                    "api_key": "g-1",
                    "models": ["gemini-2.5-flash"],
                }
            },
            "personas": {"backend_developer": {"prefer": ["gemini/gemini-2.5-flash"]}},
        }
        path = folder / "platform.yaml"
        path.write_text(yaml.safe_dump(self.config))
        environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(SOURCE), "EP_CONFIG": str(path)}
        told = subprocess.run([*EP, "hive", "env", "--json"], env=environ, capture_output=True, text=True, check=True)
        self.environ = environ | json.loads(told.stdout)

    def run(self, *words: str, said: str | None = None, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run a program that knows nothing of the platform."""
        return subprocess.run(
            words,
            env={**self.environ, **environ},
            cwd=self.project,
            stdin=subprocess.DEVNULL if said is None else None,
            input=said,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def upstream() -> Iterator[ThreadedUpstream[FakeUpstream]]:
    with FakeUpstream.in_thread() as found:
        yield found


@pytest.fixture
def machine(tmp_path: Path, upstream: ThreadedUpstream[FakeUpstream]) -> Machine:
    upstream.upstream.script(Script(WRITE), Script(Text("The note is written.")))
    return Machine(tmp_path, upstream.upstream.url)


def test_the_command_works_in_the_directory_it_is_called_in(machine: Machine) -> None:
    done = machine.run(
        "claude", "--print", "--output-format", "text", "--dangerously-skip-permissions", "--", "write a note"
    )
    assert (done.returncode, done.stdout) == (0, "The note is written.\n"), done.stderr
    assert (machine.project / "notes/a.txt").read_text() == "hello\n"


def test_the_prompt_may_come_on_standard_input_and_the_answer_as_json(machine: Machine) -> None:
    done = machine.run("claude", "-p", "--output-format", "json", "--allowedTools", "Write,Read", said="write a note")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["is_error"], answer["result"]) == (0, False, "The note is written.")
    assert answer["num_turns"] == 2
    assert answer["usage"]["output_tokens"] > 0


def test_messages_are_the_vendors(machine: Machine) -> None:
    words = (
        "--verbose",
        "--output-format",
        "stream-json",
        "--permission-mode",
        "acceptEdits",
        "--model",
        "claude-sonnet-4-20250514",
    )
    done = machine.run("claude", "-p", *words, "write a note")
    lines: list[Mapping[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["type"] for line in lines] == ["system", "assistant", "user", "assistant", "result"]
    [use] = lines[1]["message"]["content"]
    assert (use["name"], use["input"]["file_path"]) == ("Write", str(machine.project / "notes/a.txt"))
    [result] = lines[2]["message"]["content"]
    assert (result["tool_use_id"], result["is_error"]) == (use["id"], False)


def test_a_tool_that_is_not_listed_is_not_run(machine: Machine) -> None:
    done = machine.run(
        "claude", "-p", "--dangerously-skip-permissions", "--allowed-tools", "Read", "--", "write a note"
    )
    assert done.returncode == 0, done.stderr
    assert not (machine.project / "notes").exists()


def test_the_sdk_module_tells_what_the_agent_says_and_does(machine: Machine) -> None:
    done = machine.run(FOREIGN, "-c", QUERY)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == ["tool_use", "tool_result", "text", "file_created", "done"]
    assert [row[1] for row in rows if row[1] is not None] == ["The note is written."]
    path = str(machine.project / "notes/a.txt")
    assert (rows[0][2], rows[0][3]["file_path"]) == ("Write", path)
    assert rows[-1][4]["files_created"] == [path]
    assert isinstance(rows[-1][4]["tokens_used"], int)


def test_the_blocking_client_tells_how_it_went(machine: Machine) -> None:
    done = machine.run(FOREIGN, "-c", CLIENT, str(machine.project))
    assert json.loads(done.stdout) == {"success": True, "output": "The note is written.", "format": "text"}


def test_an_outage_is_loud(tmp_path: Path, upstream: ThreadedUpstream[FakeUpstream]) -> None:
    upstream.upstream.script(Script(Status(503)))
    machine = Machine(tmp_path, upstream.upstream.url)
    done = machine.run("claude", "-p", "hello")
    assert done.returncode == 1
    assert (done.stdout, "claude: " in done.stderr) == ("", True)
    answer = json.loads(machine.run(FOREIGN, "-c", CLIENT, str(machine.project)).stdout)
    assert answer["success"] is False
    assert answer["error"]
    [row] = [json.loads(line) for line in machine.run(FOREIGN, "-c", QUERY).stdout.splitlines()]
    assert row[0] == "error"


@pytest.mark.parametrize("words", [("--continue", "x"), ("--mcp-config", "f.json", "x"), ("--no-such-flag", "x"), ()])
def test_what_cannot_be_honoured_is_refused(words: tuple[str, ...], machine: Machine) -> None:
    done = machine.run("claude", "-p", *words)
    assert done.returncode == 2
    assert done.stderr.startswith("claude: ")


def test_a_gateway_serves_the_same_doors(tmp_path: Path, upstream: ThreadedUpstream[FakeUpstream]) -> None:
    upstream.upstream.script(Script(WRITE), Script(Text("The note is written.")))
    machine = Machine(tmp_path, upstream.upstream.url)
    with ChildGateway({**machine.config, "runs": {"workspace_roots": [str(machine.project)]}}) as gateway:
        done = machine.run("claude", "-p", "--dangerously-skip-permissions", "write a note", GATEWAY_URL=gateway.url)
    assert (done.returncode, done.stdout) == (0, "The note is written.\n"), done.stderr
    assert (machine.project / "notes/a.txt").read_text() == "hello\n"


POST = [Call("mcp__coord__post_message", {"text": text}) for text in ("one", "two")]


def coordinated(machine: Machine, upstream: FakeUpstream, **environ: str) -> None:
    """The functions of the program are called, side by side, and what they give or raise is read by the model."""
    upstream.script(Script(POST), Script(Call("mcp__coord__vote", {"choice": "a"})), Script(Text("The team knows.")))
    done = machine.run(FOREIGN, "-c", COORDINATED, **environ)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row[0] for row in rows if row[0] in {"text", "done"}] == ["text", "done"], done.stdout + done.stderr
    results = [row[1] for row in rows if row[0] == "tool_result"]
    name, board, process = rows[-1]
    assert (name, sorted(board)) == ("board", ["one", "two"])
    assert results[:2] == [f"posted in process {process}"] * 2
    assert "LookupError: there is nothing to vote on" in results[2]
    last = str(upstream.meter[-1].body)
    assert "nothing to vote on" in last
    assert "mcp__coord__post_message" in last


def test_functions_of_the_program_are_tools_of_a_run_on_this_machine(
    tmp_path: Path, upstream: ThreadedUpstream[FakeUpstream]
) -> None:
    coordinated(Machine(tmp_path, upstream.upstream.url), upstream.upstream)


def test_functions_of_the_program_are_tools_of_a_run_at_a_gateway(
    tmp_path: Path, upstream: ThreadedUpstream[FakeUpstream]
) -> None:
    machine = Machine(tmp_path, upstream.upstream.url)
    with ChildGateway({**machine.config, "runs": {"workspace_roots": [str(machine.project)]}}) as gateway:
        coordinated(machine, upstream.upstream, GATEWAY_URL=gateway.url)


def test_a_function_that_is_not_listed_is_not_offered(tmp_path: Path, upstream: ThreadedUpstream[FakeUpstream]) -> None:
    upstream.upstream.script(Script(POST[0]), Script(Text("Without.")))
    machine = Machine(tmp_path, upstream.upstream.url)
    listed = COORDINATED.replace(', "mcp__coord__post_message", "mcp__coord__vote"', "")
    done = machine.run(FOREIGN, "-c", listed)
    assert json.loads(done.stdout.splitlines()[-1])[:2] == ["board", []], done.stderr


def test_a_server_that_is_no_function_is_refused(machine: Machine) -> None:
    """M1: no program of a caller is started."""
    program = COORDINATED.replace(
        '{"coord": server}', '{"coord": {"command": "/bin/sh", "args": ["-c", "touch pwned"]}}'
    )
    done = machine.run(FOREIGN, "-c", program)
    assert "platform.yaml" in done.stderr
    assert not (machine.project / "pwned").exists()
