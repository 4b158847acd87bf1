"""Tools by name: what may be registered, what is found, and how a call fails."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from agent_tools import WriteFile
from execution_platform.exceptions import (
    ConfigError,
    InvalidToolArguments,
    ToolDenied,
    ToolError,
    ToolNotFound,
    ToolTimeout,
)
from execution_platform.spi import ToolBridge, ToolDefinition, ToolParameter
from execution_platform.tool_bridge import (
    FunctionTool,
    ToolContext,
    ToolProtocol,
    ToolRegistry,
    ToolResult,
    process_registry,
)
from loops import in_loop

SOURCE = Path(__file__).parents[2] / "src"


class Counter:
    """A tool as a class of its own."""

    name = "count"
    description = "Count."

    @property
    def parameters(self) -> Mapping[str, object]:
        return {"type": "object", "properties": {"to": {"type": "integer"}}}

    async def execute(self, args: Mapping[str, object]) -> ToolResult:
        return ToolResult({"counted": args.get("to", 0)})

    def validate_args(self, args: Mapping[str, object]) -> None:
        if "from" in args:
            raise InvalidToolArguments("args.from: unknown", param="args.from")


async def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


def registry(*tools: ToolProtocol, seconds: float = 30.0) -> ToolRegistry:
    made = ToolRegistry(seconds=seconds, installed=False)
    for tool in tools:
        made.register(tool)
    return made


def test_a_registry_follows_the_seam_of_the_sdk() -> None:
    bridge: ToolBridge = ToolRegistry(installed=False)
    assert callable(bridge.register)
    assert callable(bridge.invoke)


def test_a_class_and_a_function_are_tools() -> None:
    assert isinstance(Counter(), ToolProtocol)
    assert isinstance(FunctionTool(add), ToolProtocol)
    assert not isinstance(add, ToolProtocol)


@in_loop
async def test_a_registered_tool_is_listed_and_runs() -> None:
    tools = registry(Counter(), FunctionTool(add))
    assert [tool.name for tool in tools.tools()] == ["count", "add"]
    assert (await tools.invoke("count", {"to": 3})).output == {"counted": 3}
    assert (await tools.invoke("add", {"a": 2})).as_json() == {"ok": True, "result": 3}


@in_loop
async def test_a_definition_runs_by_the_function_given_with_it() -> None:
    tools = ToolRegistry(installed=False)

    async def run(city: str) -> str:
        return f"rain in {city}"

    tools.register(ToolDefinition("weather", "The weather.", [ToolParameter("city")]), run)
    assert (await tools.invoke("weather", {"city": "Bern"})).output == "rain in Bern"
    with pytest.raises(InvalidToolArguments, match=r"args\.city: is required"):
        await tools.invoke("weather", {})


@in_loop
async def test_a_definition_without_parameters_takes_none() -> None:
    tools = ToolRegistry(installed=False)

    async def now() -> int:
        return 1

    tools.register(ToolDefinition("now", "The time."), now)
    assert (await tools.invoke("now")).output == 1


@in_loop
async def test_an_unknown_tool_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ToolNotFound, match=r"'cuont'.*Did you mean count\?") as caught:
        await registry(Counter()).invoke("cuont", {})
    assert (caught.value.status, caught.value.code) == (404, "not_found")
    with pytest.raises(ToolNotFound, match="No tool is registered"):
        registry().tool("count")


@in_loop
async def test_a_tools_own_check_decides() -> None:
    with pytest.raises(InvalidToolArguments) as caught:
        await registry(Counter()).invoke("count", {"from": 1})
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "invalid_args", "args.from")


@in_loop
async def test_what_a_tool_says_itself_reaches_the_model() -> None:
    async def refuse() -> None:
        """Refuse."""
        raise ToolError("the file is not there")

    with pytest.raises(ToolError, match="the file is not there"):
        await registry(FunctionTool(refuse)).invoke("refuse")


@in_loop
async def test_any_other_failure_names_its_type_and_keeps_its_text() -> None:
    async def break_down() -> None:
        """Break."""
        raise OSError("/home/someone/secret is missing")

    with pytest.raises(ToolError) as caught:
        await registry(FunctionTool(break_down)).invoke("break_down")
    assert caught.value.message == "tool 'break_down' failed (OSError)"
    assert caught.value.code == "tool_error"
    assert isinstance(caught.value.__cause__, OSError)


@in_loop
async def test_a_tool_is_stopped_at_its_time_limit() -> None:
    stopped = asyncio.Event()

    async def hang() -> None:
        """Hang."""
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    with pytest.raises(ToolTimeout, match=r"within 0\.01 seconds") as caught:
        await registry(FunctionTool(hang), seconds=0.01).invoke("hang")
    assert stopped.is_set()
    assert (caught.value.status, caught.value.code) == (504, "timeout")


@in_loop
async def test_a_time_out_inside_a_tool_is_the_tools_failure() -> None:
    async def give_up() -> None:
        """Give up."""
        raise TimeoutError

    with pytest.raises(ToolError, match=r"failed \(TimeoutError\)"):
        await registry(FunctionTool(give_up)).invoke("give_up")


@in_loop
async def test_leaving_a_call_cancels_the_tool() -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        """Hang."""
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    call = asyncio.create_task(registry(FunctionTool(hang)).invoke("hang"))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert stopped.is_set()


@pytest.mark.parametrize("name", ["", "1st", "a b", "a/b", "x" * 65, "naïve", "a\n"])
def test_a_name_no_model_can_write_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="a name is"):
        registry(FunctionTool(add, name=name) if name else Named(name))


class Named(Counter):
    """A counter by another name."""

    def __init__(self, name: str) -> None:
        self.name = name


def test_a_name_is_given_once() -> None:
    with pytest.raises(ConfigError, match="registered already"):
        registry(Counter(), Counter())


def test_parameters_are_the_schema_of_an_object() -> None:
    with pytest.raises(ConfigError, match="type: object"):
        registry(FunctionTool(add, parameters={"type": "array"}))


def test_a_definition_alone_does_nothing_and_a_tool_needs_no_function() -> None:
    tools = ToolRegistry(installed=False)
    with pytest.raises(ConfigError, match="definition only"):
        tools.register(ToolDefinition("weather"))
    with pytest.raises(ConfigError, match="runs itself"):
        tools.register(Counter(), add)


def test_the_process_has_one_registry() -> None:
    assert process_registry() is process_registry()


MODULE = '''
"""Tools of somebody else's."""
print("loaded")


def shout(text: str) -> str:
    """Say it louder."""
    return text.upper()


NOTHING = 3
'''


def installed(folder: Path, entry: str, code: str) -> subprocess.CompletedProcess[str]:
    """Lay a package out as an installer would, and run `code` with it."""
    (folder / "acme_tools.py").write_text(MODULE)
    info = folder / "acme_tools-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-tools\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[execution_platform.tools]\n{entry}\n")
    environ = {"PYTHONPATH": f"{folder}{os.pathsep}{SOURCE}", "PATH": os.environ["PATH"]}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=False)


def test_an_installed_package_adds_tools_which_are_loaded_when_they_are_asked_for(tmp_path: Path) -> None:
    code = (
        "import asyncio\n"
        "from execution_platform.maestro_sdk.tool_bridge import tool_bridge\n"
        "print('imported')\n"
        "print(asyncio.run(tool_bridge.invoke('shout', {'text': 'fire'})).output)\n"
        "print([tool.description for tool in tool_bridge.tools()])\n"
    )
    done = installed(tmp_path, "shout = acme_tools:shout", code)
    assert done.stdout.splitlines() == ["imported", "loaded", "FIRE", "['Say it louder.']"], done.stderr


def test_an_entry_point_that_is_no_tool_is_named(tmp_path: Path) -> None:
    code = "from execution_platform.tool_bridge import ToolRegistry; ToolRegistry().tools()"
    done = installed(tmp_path, "x = acme_tools:NOTHING", code)
    assert "entry point execution_platform.tools: x (acme_tools:NOTHING) is no tool" in done.stderr


class InWorkspace:
    """A tool that tells where it works."""

    name = "where"
    description = "Tells the workspace."
    parameters: Mapping[str, object] = {"type": "object", "properties": {}}
    side_effect = "read"
    repeatable = True

    def validate_args(self, args: Mapping[str, object]) -> None:
        assert args == {}

    async def execute(self, args: Mapping[str, object]) -> ToolResult:
        raise ToolError("where works in a workspace")

    async def execute_in(self, context: ToolContext, args: Mapping[str, object]) -> ToolResult:
        return ToolResult({"workspace": str(context.workspace), "level": context.level})


@in_loop
async def test_a_tool_that_works_in_a_workspace_is_told_which(tmp_path: Path) -> None:
    registry = ToolRegistry(installed=False)
    registry.register(InWorkspace())
    context = ToolContext(tmp_path, call_id="c1", level="read_only")
    result = await registry.invoke("where", {}, context=context)
    assert result.output == {"workspace": str(tmp_path), "level": "read_only"}
    with pytest.raises(ToolError, match="works in a workspace"):
        await registry.invoke("where", {})


@in_loop
async def test_a_level_that_does_not_reach_to_a_tool_is_refused_where_it_would_run(tmp_path: Path) -> None:
    """A1: whoever called, and whatever was decided before."""
    tool, registry = WriteFile(), ToolRegistry(installed=False)
    registry.register(tool)
    arguments = {"path": "a", "content": "x"}
    for level in ("none", "read_only"):
        with pytest.raises(ToolDenied, match="needs the permission level write"):
            await registry.invoke("write_file", arguments, context=ToolContext(tmp_path, "c", level=level))
    assert not tool.calls
    await registry.invoke("write_file", arguments, context=ToolContext(tmp_path, "c", level="write"))
    assert len(tool.calls) == 1
