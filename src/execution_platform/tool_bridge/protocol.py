"""What a tool is: a name, a description, a JSON Schema, a check of arguments and a function."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

SideEffect = Literal["read", "write", "exec", "network"]
"""The worst a tool can do. Approval and permissions are decided by it."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool gave back: any value JSON can carry."""

    output: object = None

    def as_json(self) -> dict[str, object]:
        """The result as the HTTP API shows it."""
        return {"ok": True, "result": self.output}


@runtime_checkable
class ToolProtocol(Protocol):
    """Anything that can be registered as a tool. Failures are raised as `ToolError`."""

    @property
    def name(self) -> str:
        """How the model calls it: letters, digits, `_`, `-` and `.`, at most 64."""
        ...

    @property
    def description(self) -> str:
        """What it does and when to use it, for the model."""
        ...

    @property
    def parameters(self) -> Mapping[str, object]:
        """JSON Schema (2020-12) of the arguments, an object."""
        ...

    async def execute(self, args: Mapping[str, object]) -> ToolResult:
        """Run it. The arguments have passed `validate_args`. Raises `ToolError` with what the model should know."""
        ...

    def validate_args(self, args: Mapping[str, object]) -> None:
        """Refuse arguments that do not fit. Raises `InvalidToolArguments` that names the field, the problem and the schema."""
        ...
