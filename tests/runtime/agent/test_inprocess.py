"""Runs in the caller's own program."""

from pathlib import Path

from agent_tools import ReadFile, WriteFile
from execution_platform.config.settings import Settings
from execution_platform.router import PersonaRouter
from execution_platform.runtime.agent.inprocess import LocalRun, run_agent
from execution_platform.testing import Call, FakeUpstream, Script
from execution_platform.tool_bridge import ToolRegistry
from loops import in_loop


@in_loop
async def test_a_client_of_the_router_runs_tools_without_a_gateway(tmp_path: Path) -> None:
    registry = ToolRegistry(installed=False)
    registry.register(ReadFile())
    registry.register(WriteFile())
    async with FakeUpstream() as upstream:
        upstream.script(
            Script([Call("write_file", {"path": "a", "content": "x"}), Call("read_file", {"path": "none"})]),
            Script("done"),
        )
        environ = {"EP_OPENAI_API_KEY": "sk-1", "EP_OPENAI_BASE_URL": f"{upstream.url}/v1"}
        async with PersonaRouter(settings=Settings(environ)) as router:
            run = LocalRun(workspace=tmp_path, tools=registry, mode="acceptEdits")
            end = await run_agent(router.get_model("openai/gpt-4o"), "Do it", run, tools=["write_file", "read_file"])
        assert (end.reason, end.text, end.steps) == ("stop", "done", 2)
        assert (tmp_path / "a").read_text() == "x"
        second = str(upstream.meter[1].body)
        assert "not_found" not in second
        assert "none is not there" in second
