"""A Python function as a tool."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, cast

from execution_platform import _json
from execution_platform.exceptions import ConfigError, InvalidToolArguments
from execution_platform.tool_bridge.protocol import ToolResult
from execution_platform.tool_bridge.schema import ArgumentCheck, Schema, function_schema, parameter_types


class FunctionTool:
    """A function with its name, description and schema.

    Unless given, the name is the function's, the description the first paragraph of its docstring, and the schema that of its
    annotations; arguments are then converted to the annotated types. A plain function runs in a thread, where a time limit ends
    the waiting but not the work. With a schema of its own the function gets the arguments as the model wrote them.
    """

    def __init__(
        self,
        function: Callable[..., object],
        *,
        name: str | None = None,
        description: str | None = None,
        parameters: Schema | None = None,
    ) -> None:
        self.name = name or function.__name__
        self.description = description if description is not None else _first_paragraph(function)
        if not self.description:
            raise ConfigError(f"tool {self.name!r} has no description; a model chooses tools by it, write a docstring")
        self._function = function
        self._types = parameter_types(function) if parameters is None else {}
        self.parameters: Schema = function_schema(function) if parameters is None else parameters
        self._check = ArgumentCheck(self.name, self.parameters)

    def validate_args(self, args: Mapping[str, object]) -> None:
        """Refuse arguments that do not fit the schema. Raises `InvalidToolArguments`."""
        self._check(args)

    async def execute(self, args: Mapping[str, object]) -> ToolResult:
        """Call the function. Raises what it raises."""
        given = self._converted(args)
        if inspect.iscoroutinefunction(self._function):
            output = await cast("Callable[..., Coroutine[Any, Any, object]]", self._function)(**given)
        else:
            output = await asyncio.to_thread(partial(self._function, **given))
        return output if isinstance(output, ToolResult) else ToolResult(output)

    def _converted(self, args: Mapping[str, object]) -> dict[str, object]:
        converted = dict(args)
        for name, annotation in self._types.items():
            if name in converted:
                try:
                    converted[name] = _json.convert(converted[name], annotation)
                except ValueError as error:
                    raise InvalidToolArguments(
                        f"tool {self.name!r}: args.{name}: {error}", param=f"args.{name}"
                    ) from error
        return converted


def _first_paragraph(function: Callable[..., object]) -> str:
    text = inspect.getdoc(function) or ""
    return " ".join(text.split("\n\n", 1)[0].split())
