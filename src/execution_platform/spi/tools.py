"""Tools as a request declares them, and as the tool bridge runs them."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Literal

from execution_platform.spi.parts import CacheMark, CallKind
from execution_platform.spi.value import value


@value()
class ToolParameter:
    """One parameter of a tool, the short way of writing a schema."""

    name: str
    type: str = "string"
    description: str = ""
    required: bool = True
    enum: tuple[str, ...] = ()

    def schema(self) -> dict[str, object]:
        """The parameter as JSON Schema."""
        schema: dict[str, object] = {"type": self.type}
        if self.description:
            schema["description"] = self.description
        if self.enum:
            schema["enum"] = list(self.enum)
        return schema


@value()
class ToolDefinition:
    """A tool the model may call.

    The schema is given as `json_schema` (kept with its property order) or as `parameters`, which is
    either such a schema or a list of `ToolParameter`; read `input_schema`. `None` there means that
    the caller declared no parameters at all. For provider-run tools (`kind="server"`) the wire
    object is in `raw` and belongs to `dialect`.
    """

    name: str
    description: str | None = None
    parameters: Mapping[str, object] | Sequence[ToolParameter] | None = None
    json_schema: Mapping[str, object] | None = field(default=None, kw_only=True)
    strict: bool | None = field(default=None, kw_only=True)
    kind: CallKind = field(default="function", kw_only=True)
    cache: CacheMark | None = field(default=None, kw_only=True)
    dialect: str | None = field(default=None, kw_only=True)
    raw: Mapping[str, object] | None = field(default=None, kw_only=True)
    extra: Mapping[str, object] = field(default_factory=dict[str, object], kw_only=True)

    @property
    def input_schema(self) -> Mapping[str, object] | None:
        """The parameters as one JSON Schema object."""
        if self.json_schema is not None:
            return self.json_schema
        given = self.parameters
        if given is None or isinstance(given, Mapping):
            return given
        schema: dict[str, object] = {
            "type": "object",
            "properties": {parameter.name: parameter.schema() for parameter in given},
        }
        required = [parameter.name for parameter in given if parameter.required]
        if required:
            schema["required"] = required
        return schema


ToolChoiceMode = Literal["auto", "none", "required", "named", "allowed"]


@value()
class ToolChoice:
    """How freely the model may call.

    `named`: exactly the tool in `names`; `allowed`: any of `names` (`forced` if one must be called).
    `parallel=False` forbids more than one call in a turn; `None` leaves it to the provider.
    """

    mode: ToolChoiceMode | None = None
    names: tuple[str, ...] = ()
    parallel: bool | None = None
    forced: bool = False
    extra: Mapping[str, object] = field(default_factory=dict[str, object], kw_only=True)


@value()
class ToolCall:
    """A complete call as callers of the SDK see it; `arguments` is the JSON text the model wrote."""

    id: str
    name: str
    arguments: str = "{}"
