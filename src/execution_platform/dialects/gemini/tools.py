"""Tools and how freely they may be called.

A tool object of the wire holds function declarations or one or more tools the provider runs, or all of
that at once. Each becomes a `ToolDefinition` of its own; `raw` remembers the wire form and, under
`group`, which object it stood in, so that the same dialect gets the same objects again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, cast

from execution_platform.dialects.gemini.request_parts import wire_name
from execution_platform.dialects.gemini.wire import NAME, camel
from execution_platform.dialects.losses import server_tool
from execution_platform.dialects.schema import fit, from_openapi
from execution_platform.dialects.take import Object, Taker, as_list, as_object, merged
from execution_platform.dialects.toolnames import NameMap
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi.loss import Loss
from execution_platform.spi.profile import ModelProfile
from execution_platform.spi.tools import ToolChoice, ToolDefinition

FUNCTIONS: Final = "functionDeclarations"
_GROUP: Final = "group"
_ONE_TEXT: Final[Object] = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
"""A free-text tool as a function."""


def decode_tools(value: object) -> tuple[ToolDefinition, ...]:
    """The `tools` of a request."""
    found: list[ToolDefinition] = []
    items = [cast("object", value)] if isinstance(value, dict) else as_list(value, "tools")
    for group, item in enumerate(items):
        path = f"tools[{group}]"
        for name, inner in camel(as_object(item, path)).items():
            at = f"{path}.{name}"
            if name == FUNCTIONS:
                declared = as_list(inner, at)
                found.extend(_declared(entry, f"{at}[{index}]", group) for index, entry in enumerate(declared))
            else:
                raw = {_GROUP: group, name: inner}
                found.append(ToolDefinition(name, kind="server", dialect=NAME, raw=raw))
    return tuple(found)


def _declared(value: object, path: str, group: int) -> ToolDefinition:
    wire = camel(as_object(value, path))
    take = Taker(wire, path)
    name, description = take.need("name"), take.str("description")
    schema = take.object("parametersJsonSchema")
    if schema is None:
        parameters = take.object("parameters")
        schema = None if parameters is None else from_openapi(parameters)
    return ToolDefinition(
        name,
        description,
        json_schema=schema,
        dialect=NAME,
        raw={_GROUP: group, FUNCTIONS: [wire]},
        extra=take.rest,
    )


class ToolWriter:
    """Writes tools and the choice among them."""

    def __init__(self, profile: ModelProfile, names: NameMap, *, same: bool) -> None:
        self.profile, self.names, self.same = profile, names, same
        self.losses: list[Loss] = []

    def lose(self, path: str, what: str) -> None:
        """Record a knob loss."""
        self.losses.append(Loss(path, what, "knob"))

    def tools(self, tools: Sequence[ToolDefinition]) -> list[Object]:
        """The tools as wire objects: those of one group together, functions of nobody's group in one object."""
        groups: dict[object, Object] = {}
        for index, tool in enumerate(tools):
            path = f"tools[{index}]"
            own = tool.dialect == NAME and tool.raw is not None
            if tool.kind in ("server", "mcp"):
                if not own:
                    self.losses.append(server_tool(tool, path))
                    continue
                wire: Object = {name: value for name, value in (tool.raw or {}).items() if name != _GROUP}
            else:
                wire = {FUNCTIONS: [self._declaration(tool, path)]}
            group = (tool.raw or {}).get(_GROUP) if own else self._free(groups)
            _join(groups.setdefault(group, {}), wire)
        return list(groups.values())

    def _free(self, groups: Mapping[object, Object]) -> object:
        """The group that a function from elsewhere joins: the last with functions, else a new one."""
        holding = [group for group, wire in groups.items() if FUNCTIONS in wire]
        return holding[-1] if holding else None

    def _declaration(self, tool: ToolDefinition, path: str) -> Object:
        if tool.dialect == NAME and tool.raw is not None and FUNCTIONS in tool.raw:
            wire = cast("list[Object]", tool.raw[FUNCTIONS])[0]
            if replace(_declared(wire, path, cast("int", tool.raw.get(_GROUP))), cache=tool.cache) == tool:
                return wire
        wire: Object = {"name": wire_name(tool.name, self.names)}
        if tool.description is not None:
            wire["description"] = tool.description
        schema = _ONE_TEXT if tool.kind == "custom" else tool.input_schema
        if schema is not None and (schema.get("properties") or schema.keys() - {"type", "properties", "required"}):
            wire |= self._parameters(schema, f"{path}.parameters")
        if tool.strict:
            self.lose(f"{path}.strict", "the target follows schemas as far as it does")
        if tool.cache is not None:
            self.lose(f"{path}.cache", "the target has no cache marks")
        if tool.dialect in (None, NAME):
            return merged(wire, tool.extra)
        for name, value in tool.extra.items():
            if value is not None:
                self.lose(f"{path}.{name}", "not known to the target")
        return wire

    def _parameters(self, schema: Mapping[str, object], path: str) -> Object:
        flavor = self.profile.schema_flavor
        fitted = fit(schema, "json_schema" if flavor == "json_schema" else "openapi", path=path)
        self.losses.extend(fitted.losses)
        if flavor == "json_schema":
            return {"parametersJsonSchema": fitted.schema}
        # An object without properties is refused where parameters are declared; none at all is accepted.
        return {"parameters": fitted.schema} if fitted.schema.get("properties") != {} else {}

    def choice(self, choice: ToolChoice) -> Object | None:
        """The `functionCallingConfig`."""
        names = [name if self.same else wire_name(name, self.names) for name in choice.names]
        if choice.parallel is False:
            self.lose("tool_choice.parallel", "the target cannot be kept from calling several tools at once")
        mode = _MODES.get(choice.mode or "")
        if choice.mode == "allowed":
            mode = "ANY" if choice.forced else "VALIDATED"
        wire: Object = {} if mode is None else {"mode": mode}
        if names:
            wire["allowedFunctionNames"] = names
        if self.same:
            wire = {**wire, **choice.extra}
        else:
            self.losses.extend(
                Loss(f"tool_choice.{name}", "not known to the target", "knob")
                for name, value in choice.extra.items()
                if value is not None
            )
        return wire or None


_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY", "named": "ANY"}


def _join(into: Object, wire: Object) -> None:
    for name, value in wire.items():
        have = into.get(name)
        if name == FUNCTIONS and isinstance(have, list):
            into[name] = [*cast("list[object]", have), *cast("list[object]", value)]
        else:
            into[name] = value


def decode_choice(take: Taker) -> ToolChoice:
    """A `functionCallingConfig`; what is left of it goes into the choice's `extra`."""
    word = take.str("mode")
    names = tuple(_names(take))
    extra = take.rest
    match word:
        case "AUTO" | "VALIDATED" if names:
            choice = ToolChoice("allowed", names)
        case "AUTO" | "VALIDATED":
            choice = ToolChoice("auto")
        case "NONE":
            choice = ToolChoice("none", names)
        case "ANY" if names:
            choice = ToolChoice("named", names) if len(names) == 1 else ToolChoice("allowed", names, forced=True)
        case "ANY":
            choice = ToolChoice("required")
        case _:
            choice = ToolChoice(None, names)
    usual = {"auto": "AUTO", "allowed": "ANY" if choice.forced else "VALIDATED", None: None}
    if word is not None and word != usual.get(choice.mode, word):
        extra = {**extra, "mode": word}
    return replace(choice, extra=extra)


def _names(take: Taker) -> list[str]:
    values = take.list("allowedFunctionNames")
    path = take.at("allowedFunctionNames")
    if values is None:
        return []
    for index, value in enumerate(values):
        if not isinstance(value, str):
            raise InvalidRequest(f"{path}[{index}]: expected a string", param=f"{path}[{index}]")
    if not values:
        take.rest["allowedFunctionNames"] = []
    return cast("list[str]", values)
