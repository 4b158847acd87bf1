"""Tools and `tool_choice`, both ways. Source: anthropic SDK 2.11, `types/tool_union_param.py` (read 2026-11)."""

from collections.abc import Mapping, Sequence
from typing import cast

from execution_platform.dialects.anthropic.blocks import Target
from execution_platform.dialects.anthropic.closed_schema import close
from execution_platform.dialects.anthropic.parts import decode_cache
from execution_platform.dialects.anthropic.wire import NAME, TOOLSET
from execution_platform.dialects.losses import foreign_extra, server_tool
from execution_platform.dialects.schema import fit
from execution_platform.dialects.take import Object, Taker, as_object, merged, put
from execution_platform.spi.tools import ToolChoice, ToolChoiceMode, ToolDefinition

_MODES: Mapping[str, ToolChoiceMode] = {"auto": "auto", "any": "required", "tool": "named", "none": "none"}
_CHOICES: Mapping[ToolChoiceMode, str] = {mode: word for word, mode in _MODES.items()}
_COMBINATORS = ("anyOf", "oneOf", "allOf")


def decode_tools(values: Sequence[object]) -> tuple[ToolDefinition, ...]:
    """The member `tools`."""
    return tuple(_decode_tool(value, f"tools[{number}]") for number, value in enumerate(values))


def _decode_tool(value: object, path: str) -> ToolDefinition:
    raw = as_object(value, path)
    take = Taker(raw, path)
    word = take.str("type")
    if word is not None and word != "custom":
        kind = "mcp" if word == TOOLSET else "server"
        name = take.str("name") or take.str("mcp_server_name") or word
        return ToolDefinition(name, kind=kind, cache=decode_cache(take), dialect=NAME, raw=raw)
    return ToolDefinition(
        take.need("name"),
        take.str("description"),
        json_schema=take.object("input_schema"),
        strict=take.bool("strict"),
        cache=decode_cache(take),
        dialect=NAME,
        raw={"type": word} if word is not None else None,
        extra=take.rest,
    )


def decode_servers(values: Sequence[object]) -> tuple[ToolDefinition, ...]:
    """The member `mcp_servers`: provider-run tools by another way of asking."""
    found: list[ToolDefinition] = []
    for number, value in enumerate(values):
        path = f"mcp_servers[{number}]"
        raw = as_object(value, path)
        found.append(ToolDefinition(Taker(raw, path).need("name"), kind="mcp", dialect=NAME, raw=raw))
    return tuple(found)


def decode_choice(take: Taker | None) -> ToolChoice | None:
    """The member `tool_choice`."""
    if take is None:
        return None
    word = take.need("type")
    serial = take.bool("disable_parallel_tool_use")
    parallel = None if serial is None else not serial
    mode = _MODES.get(word)
    if mode is None:
        return ToolChoice(parallel=parallel, extra={"type": word, **take.rest})
    names = (take.need("name"),) if mode == "named" else ()
    return ToolChoice(mode, names, parallel, extra=take.rest)


def encode_tools(target: Target) -> tuple[list[Object] | None, list[Object]]:
    """The members `tools` and `mcp_servers`."""
    tools = target.request.tools
    if tools is None:
        return None, []
    listed: list[Object] = []
    servers: list[Object] = []
    allowed = _allowed(target.request.tool_choice)
    for number, tool in enumerate(tools):
        path = f"tools[{number}]"
        if tool.kind in ("server", "mcp"):
            if tool.dialect != NAME or tool.raw is None:
                target.losses.append(server_tool(tool, path))
            elif tool.kind == "mcp" and tool.raw.get("type") != TOOLSET:
                servers.append(dict(tool.raw))
            else:
                listed.append(dict(tool.raw))
        elif target.same or allowed is None or tool.name in allowed:
            listed.append(_encode_tool(tool, path, target))
    if not listed and not (target.same and not tools):
        return None, servers
    return listed, servers


def _allowed(choice: ToolChoice | None) -> frozenset[str] | None:
    """The names a choice narrows the tools to; this API has no such choice, so the others are not declared."""
    return frozenset(choice.names) if choice is not None and choice.mode == "allowed" else None


def _encode_tool(tool: ToolDefinition, path: str, target: Target) -> Object:
    if target.same and tool.dialect == NAME:
        block: Object = {"name": tool.name}
        put(block, description=tool.description, input_schema=tool.input_schema, strict=tool.strict)
        if tool.raw is not None:
            block.update(tool.raw)
        if tool.cache is not None:
            block["cache_control"] = target.cache(tool.cache, path)
        return merged(block, tool.extra)
    block = {"name": target.tool_name(tool.name)}
    if tool.description:
        block["description"] = tool.description
    block["input_schema"] = _input_schema(tool, path, target)
    if tool.strict:
        if target.profile.json_schema:
            block["strict"] = True
        else:
            target.lose(f"{path}.strict", "the target does not enforce schemas")
    if tool.cache is not None:
        block["cache_control"] = target.cache(tool.cache, path)
    target.losses.extend(foreign_extra(tool.extra, target.request.dialect, NAME, path=path))
    return block


def _input_schema(tool: ToolDefinition, path: str, target: Target) -> Object:
    if tool.kind == "custom":
        if _has_grammar(tool):
            target.lose(f"{path}.format", "free text under a grammar became one string argument")
        return {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    given = tool.input_schema
    if not given:
        return {"type": "object", "properties": {}}
    fitted = fit(given, target.profile.schema_flavor, path=f"{path}.parameters")
    target.losses.extend(fitted.losses)
    schema: Object = dict(fitted.schema)
    if tool.strict and target.profile.json_schema:
        schema = close(schema, f"{path}.parameters", target.losses)
    if any(word in schema for word in _COMBINATORS):
        target.lose(f"{path}.parameters", "alternatives at the top of the schema became one object")
        return _flattened(schema)
    if schema.get("type") != "object":
        schema = {"type": "object", **{name: value for name, value in schema.items() if name != "type"}}
    return schema


def _has_grammar(tool: ToolDefinition) -> bool:
    raw = _object(tool.raw)
    form = {**tool.extra, **raw, **_object(raw.get("custom"))}.get("format")
    return form is not None and _object(form).get("type") != "text"


def _flattened(schema: Object) -> Object:
    """One object with the properties of all alternatives; what only some of them require becomes optional.

    The API refuses `anyOf`, `oneOf` and `allOf` at the top of an input schema (tool use guide, read 2026-11).
    """
    properties: Object = dict(_object(schema.get("properties")))
    required = list(_names(schema.get("required")))
    for word in _COMBINATORS:
        branches = [_object(branch) for branch in _values(schema.get(word))]
        for branch in branches:
            for name, value in _object(branch.get("properties")).items():
                properties.setdefault(name, value)
        needed = [_names(branch.get("required")) for branch in branches]
        for name in dict.fromkeys(name for names in needed for name in names):
            if (word == "allOf" or all(name in names for names in needed)) and name not in required:
                required.append(name)
    rest = {
        name: value for name, value in schema.items() if name not in (*_COMBINATORS, "type", "properties", "required")
    }
    out: Object = {"type": "object", "properties": properties, **rest}
    if required:
        out["required"] = required
    return out


def _object(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


def _values(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _names(value: object) -> list[str]:
    return [name for name in _values(value) if isinstance(name, str)]


def encode_choice(target: Target, *, has_tools: bool) -> Object | None:
    """The member `tool_choice`."""
    choice = target.request.tool_choice
    if choice is None:
        return None
    if target.same:
        return _same_choice(choice, target)
    mode: ToolChoiceMode = choice.mode or "auto"
    if not has_tools:
        if mode in ("required", "named") or choice.forced:
            target.lose("tool_choice", "there is no tool that could be called")
        return None
    if choice.mode is None and choice.parallel is not False:
        return None
    if mode == "allowed":
        mode = "required" if choice.forced else "auto"
    block: Object = {"type": _CHOICES[mode]}
    if mode == "named":
        block["name"] = target.tool_name(choice.names[0]) if choice.names else ""
    if choice.parallel is False and mode != "none":
        block["disable_parallel_tool_use"] = True
    return block


def _same_choice(choice: ToolChoice, target: Target) -> Object:
    if choice.mode is None:
        block: Object = {"type": "auto"} if "type" not in choice.extra else {}
    else:
        mode: ToolChoiceMode = ("required" if choice.forced else "auto") if choice.mode == "allowed" else choice.mode
        block = {"type": _CHOICES[mode]}
        if mode == "named" and choice.names:
            block["name"] = target.tool_name(choice.names[0])
    if choice.parallel is not None:
        block["disable_parallel_tool_use"] = not choice.parallel
    return merged(block, choice.extra)
