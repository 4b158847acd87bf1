"""`ep mcp`: what is configured, what is in quarantine, approving it, and the tools on standard output."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from typer.testing import CliRunner, Result

from evil_mcp import tool
from execution_platform.cli.main import app
from execution_platform.cli.outcome import Exit
from issuer import browse, guarded, issuing
from loops import in_loop
from mcp_bench import Evil, evil_server
from serving import serving, write_config


@pytest.fixture
def evil(tmp_path: Path) -> Evil:
    made = evil_server(tmp_path, tool("echo"))
    write_config(tmp_path, {"mcp": {"servers": {"evil": made.config()}}})
    return made


def ep(folder: Path, *words: str) -> Result:
    environ = {"EP_CONFIG": str(folder / "platform.yaml"), "EP_WORKSPACE_ROOT": str(folder)}
    return CliRunner().invoke(app, ["mcp", *words], env=environ)


def states(folder: Path, *words: str) -> dict[str, str]:
    done = ep(folder, *words, "--json")
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)["tools"]
    return {each["tool"]: each["state"] for each in found}


def test_a_server_is_listed_without_being_started(tmp_path: Path, evil: Evil) -> None:
    assert json.loads(ep(tmp_path, "list", "--json").stdout)["servers"][0]["tools"] == []
    assert not (tmp_path / "mcp").exists()
    assert states(tmp_path, "test", "evil") == {"echo": "approved"}
    assert json.loads(ep(tmp_path, "list", "--json").stdout)["servers"][0]["tools"] == ["echo"]
    assert evil.calls == []


def test_what_changed_is_shown_and_approved_by_name(tmp_path: Path, evil: Evil) -> None:
    """M8: approving one tool leaves the others in quarantine."""
    assert states(tmp_path, "test", "evil") == {"echo": "approved"}
    evil.lists(tool("echo", description="New."), tool("more"))
    assert states(tmp_path, "test", "evil") == {"echo": "quarantine", "more": "quarantine"}
    assert states(tmp_path, "approve", "evil", "more") == {"more": "approved", "echo": "quarantine"}
    assert states(tmp_path, "approve", "evil") == {"echo": "approved", "more": "approved"}


def test_an_unknown_server_is_told_with_those_there_are(tmp_path: Path, evil: Evil) -> None:
    del evil
    done = ep(tmp_path, "test", "evli")
    assert done.exit_code != Exit.OK
    assert "there are: evil" in done.output


@in_loop
async def test_the_tools_of_a_gateway_on_standard_output(tmp_path: Path) -> None:
    """M3: under the key of the environment, and no other."""
    key = "sk-of-alice-0123456789abcdef"
    config = {
        "providers": {"mock": {"kind": "mock"}},
        "keys": [{"name": "alice", "key": key}],
        "personas": {"reader": {"prefer": ["mock"], "tools": ["fs_list"]}},
    }
    async with serving(tmp_path, config, {"EP_PROVIDER": "mock"}) as served:
        environ = {
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "EP_WORKSPACE_ROOT": str(tmp_path),
            "EP_API_KEY": key,
        }
        main = "from execution_platform.cli.main import main; main()"
        words = ["-c", main, "mcp", "serve", "--url", served.url, "--persona", "reader"]
        program = StdioServerParameters(command=sys.executable, args=words, env=environ, cwd=tmp_path)
        async with asyncio.timeout(60), Client(program) as client:
            assert [each.name for each in (await client.list_tools()).tools] == ["fs_list"]
            assert not (await client.call_tool("fs_list", {})).is_error
            assert (await client.call_tool("fs_write", {"path": "x", "content": "y"})).is_error


@in_loop
async def test_a_person_logs_in_by_the_command_line(tmp_path: Path) -> None:
    """M13: what is missing is told with the command that helps, which prints the address to open and waits for the browser."""
    main = "from execution_platform.cli.main import main; main()"
    environ = {**os.environ, "EP_CONFIG": str(tmp_path / "platform.yaml"), "EP_WORKSPACE_ROOT": str(tmp_path)}

    async def ep_mcp(*words: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", main, "mcp", *words),
            env=environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def ended(*words: str) -> tuple[int | None, str]:
        process = await ep_mcp(*words)
        said, _ = await process.communicate()
        return process.returncode, " ".join(said.decode().split())

    async with asyncio.timeout(120), issuing() as issuer, guarded(issuer) as there:
        login = {"issuer": issuer.url, "internal": True}
        write_config(tmp_path, {"mcp": {"servers": {"site": {"url": there.url, "internal": True, "oauth": login}}}})
        status, said = await ended("test", "site")
        assert (status != Exit.OK, "ep mcp login site" in said) == (True, True)
        process = await ep_mcp("login", "site")
        assert process.stdout is not None
        while not (line := await process.stdout.readline()).startswith(b"http://"):
            assert line, "it ended without an address"
        await browse(line.decode().strip())
        assert b"Logged in at site" in await process.stdout.read()
        assert await process.wait() == Exit.OK
        status, said = await ended("test", "site", "--json")
        assert (status, json.loads(said)["tools"][0]["tool"]) == (Exit.OK, "whoami")
        assert "Logged out" in (await ended("logout", "site"))[1]
        assert (await ended("test", "site"))[0] != Exit.OK
