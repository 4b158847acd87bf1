"""Tools by name: registered by the program, or published by installed packages.

A package publishes a tool under the entry-point group `execution_platform.tools`: an object that follows `ToolProtocol`, or a
function. Such tools are loaded when a registry is first read, never on import.
"""

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterable, Mapping
from copy import copy
from functools import cache
from importlib.metadata import entry_points
from typing import Any, cast

from execution_platform.config.problems import suggest
from execution_platform.exceptions import (
    ConfigError,
    ExecutionPlatformError,
    InvalidToolArguments,
    TargetNotFound,
    ToolDenied,
    ToolError,
    ToolNotFound,
    ToolTimeout,
)
from execution_platform.spi.tools import ToolDefinition
from execution_platform.tool_bridge.busy import Busy
from execution_platform.tool_bridge.context import ContextualTool, ToolContext
from execution_platform.tool_bridge.function import FunctionTool
from execution_platform.tool_bridge.permissions import check_level
from execution_platform.tool_bridge.protocol import ToolProtocol, ToolResult
from execution_platform.tool_bridge.results import normalised

ENTRY_POINTS = "execution_platform.tools"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\Z")
_NO_ARGUMENTS: Mapping[str, object] = {"type": "object", "properties": {}}

_OUR_WORDS = (ToolDenied, InvalidToolArguments, TargetNotFound, ToolTimeout)
"""Failures that tell a model nothing but what the platform says."""

Run = Callable[..., Coroutine[Any, Any, object]]
Refused = Callable[[str, ToolDenied, ToolContext | None], None]
"""Told of every call that was refused: the tool, why, and whose it was."""
Clean = Callable[[str], str]


class ToolRegistry:
    """The tools of one gateway or one program.

    `seconds` is how long a call may take, unless the tool says so itself by an attribute of that name.
    """

    def __init__(
        self,
        *,
        seconds: float = 30.0,
        installed: bool = True,
        refused: Refused | None = None,
        clean: Clean | None = None,
    ) -> None:
        """`clean` takes secrets out of every text that a tool gives back, its failures included (F7)."""
        self._seconds = seconds
        self._builtin: Mapping[str, ToolProtocol] = {}
        self._absent: Mapping[str, ToolError] = {}
        self._remote: Mapping[str, ToolProtocol] = {}
        self._quarantined: Mapping[str, ToolError] = {}
        self._tools: dict[str, ToolProtocol] = {}
        self._busy = Busy()
        """Calls that began under the configuration in force."""
        self._unread = installed
        self._refused = refused
        self._clean = clean

    def configure(
        self, tools: Iterable[ToolProtocol], *, seconds: float, absent: Mapping[str, ToolError] | None = None
    ) -> Busy:
        """Put the platform's own tools, as configured now, in the place of those of before; the calls that those still have.

        `absent` are own tools that are not there, by name, with what to tell who asks for them. Raises `ConfigError` when a
        tool bears the name of a registered one.
        """
        own = {tool.name: tool for tool in tools}
        self._refuse_taken(own)
        self._builtin, self._seconds, self._absent = own, seconds, absent or {}
        before, self._busy = self._busy, Busy()
        return before

    def offer(self, tools: Iterable[ToolProtocol], absent: Mapping[str, ToolError]) -> None:
        """Put the tools of other people's servers, as they are now, in the place of those of before.

        `absent` are those that may not be called, by name, with what to tell. A tool of the platform or of the program is never
        hidden by one of the same name.
        """
        self._remote = {tool.name: tool for tool in tools}
        self._quarantined = absent

    def _refuse_taken(self, own: Mapping[str, ToolProtocol]) -> None:
        taken = sorted(own.keys() & self._tools.keys())
        if taken:
            raise ConfigError(f"tool {taken[0]!r} is one of the platform's own; give the registered one another name")

    def register(self, tool: ToolProtocol | ToolDefinition, run: Run | None = None) -> None:
        """Add a tool under its name: one that follows `ToolProtocol`, or a definition with the coroutine function to run.

        Raises `ConfigError` for a name that is taken or no model could write, and for a schema that is no object.
        """
        self._add(_as_tool(tool, run))

    def tools(self) -> tuple[ToolProtocol, ...]:
        """Every tool: the platform's own, then the others in the order of registration, those of installed packages last."""
        return tuple(self._all().values())

    def tool(self, name: str) -> ToolProtocol:
        """One tool. Raises `ToolNotFound` with the nearest names, or why a tool of the platform's own is not there."""
        found = self._all().get(name)
        if found is None and (absent := self._absent.get(name) or self._quarantined.get(name)) is not None:
            raise copy(absent)
        if found is None:
            known = suggest(name, self._all()) or "No tool is registered."
            raise ToolNotFound(f"no tool has the name {name!r}. {known}", param="name")
        return found

    async def invoke(
        self, name: str, arguments: Mapping[str, object] | None = None, *, context: ToolContext | None = None
    ) -> ToolResult:
        """Check the level and the arguments and run the tool; one that works in a workspace needs the context of the call.

        The result is plain JSON of a size a model can read. Raises `ToolNotFound`, `ToolDenied`, `InvalidToolArguments`,
        `ToolTimeout`, or the `ToolError` the tool raised. Any other exception of a tool becomes a `ToolError` that names its
        type only: what it says may hold what a model should not read.
        """
        tool = self.tool(name)
        args: Mapping[str, object] = {} if arguments is None else arguments
        try:
            if context is not None:
                check_level(tool, context.level)
            tool.validate_args(args)
            with self._busy:
                output = normalised((await self._run(tool, args, context)).output)
        except ToolError as error:
            if isinstance(error, ToolDenied) and self._refused is not None:
                self._refused(name, error, context)
            if self._clean is not None:
                error.message = self._clean(error.message)
            raise
        return ToolResult(output if self._clean is None else _cleaned(output, self._clean))

    async def _run(self, tool: ToolProtocol, args: Mapping[str, object], context: ToolContext | None) -> ToolResult:
        own: object = getattr(tool, "seconds", None)
        seconds = own if isinstance(own, float) else self._seconds
        name, limit = tool.name, asyncio.timeout(seconds)
        try:
            async with limit:
                if context is None:
                    return await tool.execute(args)
                return await _noted(tool, args, context)
        except ExecutionPlatformError:
            raise
        except Exception as error:
            if limit.expired() and isinstance(error, TimeoutError):
                raise ToolTimeout(f"tool {name!r} did not finish within {seconds:g} seconds") from error
            raise ToolError(f"tool {name!r} failed ({type(error).__name__})") from error

    def _all(self) -> Mapping[str, ToolProtocol]:
        if self._unread:
            self._unread = False
            for entry in entry_points(group=ENTRY_POINTS):
                published: object = entry.load()
                if not isinstance(published, ToolProtocol) and callable(published):
                    published = FunctionTool(published)
                if not isinstance(published, ToolProtocol):
                    raise ConfigError(f"entry point {ENTRY_POINTS}: {entry.name} ({entry.value}) is no tool")
                self._add(published)
        return {**self._builtin, **self._remote, **self._tools}

    def _add(self, tool: ToolProtocol) -> None:
        # It is somebody else's object, so its types are not to be taken for granted.
        name, parameters = cast("object", tool.name), cast("object", tool.parameters)
        if not isinstance(name, str) or not _NAME.match(name):
            raise ConfigError(
                f"tool {name!r}: a name is a letter or _, then letters, digits, _, - or ., at most 64 in all"
            )
        if name in self._tools or name in self._builtin:
            raise ConfigError(f"tool {name!r} is registered already; give one of the two another name")
        if not isinstance(parameters, Mapping) or cast("Mapping[str, object]", parameters).get("type") != "object":
            raise ConfigError(f"tool {name!r}: parameters must be a JSON Schema with type: object")
        self._tools[name] = tool


def _cleaned(value: object, clean: Clean) -> object:
    """JSON without the secrets in its texts."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(item, clean) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        return {name: _cleaned(item, clean) for name, item in cast("dict[str, object]", value).items()}
    return value


async def _noted(tool: ToolProtocol, args: Mapping[str, object], context: ToolContext) -> ToolResult:
    """Run it, and note what its answer may have brought into the run; the words of a failure are an answer too (H4)."""
    effect = getattr(tool, "side_effect", None)
    try:
        result = await (tool.execute_in(context, args) if isinstance(tool, ContextualTool) else tool.execute(args))
    except ToolError as error:
        if effect == "network" or not isinstance(error, _OUR_WORDS):
            context.provenance.note(effect)
        raise
    context.provenance.note(effect)
    return result


def _as_tool(tool: ToolProtocol | ToolDefinition, run: Run | None) -> ToolProtocol:
    if isinstance(tool, ToolDefinition):
        if run is None:
            raise ConfigError(f"tool {tool.name!r} is a definition only; give the function that runs it as well")
        return FunctionTool(
            run, name=tool.name, description=tool.description, parameters=tool.input_schema or _NO_ARGUMENTS
        )
    if run is not None:
        raise ConfigError(f"tool {tool.name!r} runs itself; register it without a function")
    return tool


@cache
def process_registry() -> ToolRegistry:
    """The registry of programs that want one for the whole process; made when first asked for."""
    return ToolRegistry()


def __getattr__(name: str) -> object:
    """`tool_bridge`, the older name of the process's registry: importing this module makes nothing."""
    if name == "tool_bridge":
        return process_registry()
    raise AttributeError(name)
