"""Real servers of other people: both generations of the protocol, by standard input and by HTTP."""

from pathlib import Path

import pytest

from execution_platform.exceptions import ToolError
from loops import in_loop
from mcp_bench import bench, program


@in_loop
async def test_a_server_of_the_older_protocol_in_the_sandbox(tmp_path: Path) -> None:
    """M1: a program gets none of the gateway's environment."""
    async with bench(tmp_path, {"everything": program("mcp-server-everything", "stdio")}) as it:
        assert {
            "everything.echo",
            "everything.get-sum",
            "everything.resource_read",
            "everything.prompt_get",
        } <= it.names
        assert await it.call("everything.echo", message="hi") == "Echo: hi"
        assert await it.call("everything.get-sum", a=2, b=3) == "The sum of 2 and 3 is 5."
        environment = await it.call("everything.get-env")
        assert set(environment.split('"')[1::4]) <= {"PATH", "HOME", "LANG", "PWD"}
        resources = await it.call("everything.resource_list")
        uri = resources[0]["uri"]
        assert (await it.call("everything.resource_read", uri=uri))[0]["uri"] == uri
        prompts = await it.call("everything.prompt_list")
        assert "simple-prompt" in {each["name"] for each in prompts}
        assert (await it.call("everything.prompt_get", name="simple-prompt"))[0]["role"] == "user"
        assert it.servers.server("everything").version == "2025-11-25"


@in_loop
async def test_a_server_sees_the_workspace_it_was_given_and_nothing_else(tmp_path: Path) -> None:
    async with bench(tmp_path, {"files": program("mcp-server-filesystem", "{workspace}", workspace="write")}) as it:
        place = (await it.call("files.list_allowed_directories"))["content"].split()[-1]
        await it.call("files.write_file", path=f"{place}/a.txt", content="from the server")
        assert (it.workspace / "a.txt").read_text() == "from the server"
        with pytest.raises(ToolError, match="the MCP server files says"):
            await it.call("files.read_text_file", path="/etc/passwd")


@in_loop
async def test_what_a_server_remembers_is_kept_through_a_run_and_from_other_tenants(tmp_path: Path) -> None:
    """M5, A5: what one tenant has a server remember is never told to another; each tenant, and each run of it, has a conversation of its own."""
    memory = program("mcp-server-memory", env={"MEMORY_FILE_PATH": "/tmp/memory.json"})
    if not memory.get("sandbox", True):
        pytest.skip("without a sandbox the file would be shared")
    entity = {"name": "plan", "entityType": "note", "observations": ["secret"]}
    async with bench(tmp_path, {"memory": memory}) as it:
        await it.call("memory.create_entities", tenant="a", entities=[entity])
        assert "secret" in str(await it.call("memory.read_graph", tenant="a"))
        assert "secret" not in str(await it.call("memory.read_graph", tenant="b"))
        assert "secret" not in str(await it.call("memory.read_graph", tenant="a", run="run-1"))


@in_loop
async def test_a_server_of_the_newest_protocol(tmp_path: Path) -> None:
    async with bench(tmp_path, {"clock": program("mcp-server-time", "--local-timezone", "UTC")}) as it:
        assert (await it.call("clock.get_current_time", timezone="UTC"))["timezone"] == "UTC"
        assert it.names == {"clock.get_current_time", "clock.convert_time"}
        assert it.servers.server("clock").version == "2026-07-28"


@in_loop
async def test_only_the_tools_an_operator_names_are_offered(tmp_path: Path) -> None:
    async with bench(tmp_path, {"everything": program("mcp-server-everything", "stdio", tools=["echo"])}) as it:
        assert it.names == {"everything.echo"}
