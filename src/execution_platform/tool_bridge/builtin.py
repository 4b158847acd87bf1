"""A function that works in a workspace, as a tool."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from execution_platform import _json
from execution_platform.config.values import PermissionLevel
from execution_platform.exceptions import InvalidToolArguments, ToolError
from execution_platform.tool_bridge.context import ToolContext
from execution_platform.tool_bridge.permissions import least_level
from execution_platform.tool_bridge.protocol import SideEffect, ToolResult
from execution_platform.tool_bridge.schema import ArgumentCheck, Schema, function_schema, parameter_types

Work = Callable[..., Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nature:
    """What a tool is to those who decide whether it may run."""

    side_effect: SideEffect
    repeatable: bool
    """Whether running the same call twice leaves the same state as running it once."""
    least: PermissionLevel | None = None
    """The lowest level that may call it; that of the side effect unless said."""


class BuiltinTool:
    """A coroutine function with the context of the call as its first argument; the others become the schema.

    Its docstring's text, up to the first blank line, is the description a model chooses it by.
    """

    def __init__(self, work: Work, nature: Nature, *, name: str, returns: Schema | None = None) -> None:
        self.name = name
        self.description = " ".join((work.__doc__ or "").split("\n\n", 1)[0].split())
        self.side_effect: SideEffect = nature.side_effect
        self.repeatable = nature.repeatable
        self.least: PermissionLevel = nature.least or least_level(nature.side_effect)
        first, *others = parameter_types(work).items()
        self.parameters: Schema = function_schema(work, without=(first[0],))
        self.returns: Schema = {"type": "object"} if returns is None else returns
        self._work = work
        self._types = dict(others)
        self._check = ArgumentCheck(name, self.parameters)

    def validate_args(self, args: Mapping[str, object]) -> None:
        """Refuse arguments that do not fit the schema. Raises `InvalidToolArguments`."""
        self._check(args)

    async def execute(self, args: Mapping[str, object]) -> ToolResult:
        """Not without a workspace. Raises `ToolError`."""
        raise ToolError(
            f"tool {self.name!r} works in a workspace and was called without one; pass a ToolContext",
            code="workspace_missing",
        )

    async def execute_in(self, context: ToolContext, args: Mapping[str, object]) -> ToolResult:
        """Run it there. Raises `ToolError` with what the model should know."""
        given: dict[str, Any] = {name: self._converted(name, value) for name, value in args.items()}
        output = await self._work(context, **given)
        return output if isinstance(output, ToolResult) else ToolResult(output)

    def _converted(self, name: str, value: object) -> object:
        try:
            return _json.convert(value, self._types[name])
        except ValueError as error:
            raise InvalidToolArguments(f"tool {self.name!r}: args.{name}: {error}", param=f"args.{name}") from error
