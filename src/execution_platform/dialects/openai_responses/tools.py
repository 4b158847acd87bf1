"""Tool declarations and the tool choice, both ways.

A namespace holds several tools; each becomes a tool of its own whose name begins with the namespace and a dot. Tools the provider
runs itself keep their wire object.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from execution_platform.dialects import schema
from execution_platform.dialects.losses import server_tool
from execution_platform.dialects.openai_responses.wire import NAME, joined, parted
from execution_platform.dialects.take import Object, Taker, merged, put
from execution_platform.dialects.target import Target
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi.request import ChatRequest
from execution_platform.spi.tools import ToolChoice, ToolChoiceMode, ToolDefinition

_WORDS: Mapping[str, ToolChoiceMode] = {"auto": "auto", "none": "none", "required": "required"}
_ONE_STRING: Mapping[str, object] = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}


def decode_tools(taker: Taker) -> list[ToolDefinition] | None:
    """`tools` of a request."""
    items = taker.list("tools")
    if items is None:
        return None
    tools: list[ToolDefinition] = []
    for index, item in enumerate(items):
        tools += _decode_tool(Taker(item, f"tools[{index}]"))
    return tools


def _decode_tool(taker: Taker, namespace: str | None = None, whole: Object | None = None) -> list[ToolDefinition]:
    raw = dict(taker.rest)
    match taker.need("type"):
        case "function":
            return [_function(taker, namespace, whole)]
        case "custom":
            name, description = taker.need("name"), taker.str("description")
            full = joined(namespace, name)
            return [ToolDefinition(full, description, kind="custom", dialect=NAME, raw=whole, extra=taker.rest)]
        case "namespace" if namespace is None:
            name = taker.need("name")
            inner = [Taker(item, f"{taker.at('tools')}[{n}]") for n, item in enumerate(taker.list("tools") or [])]
            return [tool for each in inner for tool in _decode_tool(each, name, raw)]
        case kind:
            name = raw.get("name")
            return [ToolDefinition(name if isinstance(name, str) else kind, kind="server", dialect=NAME, raw=raw)]


def _function(taker: Taker, namespace: str | None, whole: Object | None) -> ToolDefinition:
    name, description = taker.need("name"), taker.str("description")
    parameters, strict = taker.object("parameters"), taker.bool("strict")
    return ToolDefinition(
        joined(namespace, name),
        description,
        json_schema=parameters,
        strict=strict,
        dialect=NAME,
        raw=whole,
        extra=taker.rest,
    )


def decode_choice(taker: Taker) -> ToolChoice | None:
    """`tool_choice` with `parallel_tool_calls`."""
    parallel, value = taker.bool("parallel_tool_calls"), taker.any("tool_choice")
    if value is None:
        return None if parallel is None else ToolChoice(parallel=parallel)
    if isinstance(value, str):
        if value not in _WORDS:
            message = f"tool_choice: expected none, auto, required or an object, got {value!r}"
            raise InvalidRequest(message, param="tool_choice")
        return ToolChoice(_WORDS[value], parallel=parallel)
    inner = Taker(value, "tool_choice")
    kind = inner.need("type")
    if kind == "allowed_tools":
        return _allowed(inner, parallel)
    name = inner.str("name")
    extra: Object = dict(inner.rest) if kind == "function" else {"type": kind, **inner.rest}
    return ToolChoice("named", (name or kind,), parallel, extra=extra)


def _allowed(taker: Taker, parallel: bool | None) -> ToolChoice:  # noqa: FBT001 - the wire's own three-valued word
    mode, items = taker.need("mode"), taker.list("tools") or []
    if mode not in ("auto", "required"):
        raise InvalidRequest(f"{taker.at('mode')}: expected auto or required, got {mode!r}", param=taker.at("mode"))
    tools = [Taker(item, f"{taker.at('tools')}[{n}]").rest for n, item in enumerate(items)]
    names = tuple(str(tool.get("name") or tool.get("server_label") or tool.get("type")) for tool in tools)
    plain = [{"type": "function", "name": name} for name in names]
    extra: Object = {} if tools == plain else {"tools": items}
    return ToolChoice("allowed", names, parallel, forced=mode == "required", extra=extra)


def encode_tools(request: ChatRequest, body: Object, target: Target) -> None:
    """Set `tools`, `tool_choice`, `parallel_tool_calls`."""
    declared = request.tools or ()
    if request.tools is not None:
        tools = _declared(declared, target)
        if tools or target.same:
            body["tools"] = tools
        if tools and target.profile.tool_calling != "native":
            target.lose("tools", "the model calls no tools", "content")
    if request.tool_choice is not None:
        _encode_choice(request.tool_choice, declared, body, target)


def _declared(declared: Sequence[ToolDefinition], target: Target) -> list[Object]:
    tools: list[Object] = []
    last: Mapping[str, object] | None = None
    for index, tool in enumerate(declared):
        raw = tool.raw if tool.dialect == NAME and target.same else None
        if raw is not None:
            if raw != last or raw.get("type") != "namespace":
                tools.append(dict(raw))
            last = raw
            continue
        wire = _encode_tool(tool, f"tools[{index}]", target)
        if wire is not None:
            tools.append(wire)
    return tools


def _encode_tool(tool: ToolDefinition, path: str, target: Target) -> Object | None:
    if tool.kind in ("server", "mcp"):
        if tool.dialect == NAME and tool.raw is not None:
            return dict(tool.raw)
        target.losses.append(server_tool(tool, path))
        return None
    wire: Object = {"type": "function", "name": target.tool_name(tool.name)}
    if tool.kind == "custom" and (target.same or target.profile.extra.get("custom_tools", True) is not False):
        wire["type"] = "custom"
        put(wire, description=tool.description)
    elif target.same:
        put(wire, description=tool.description, parameters=tool.input_schema, strict=tool.strict)
    else:
        parameters = tool.input_schema if tool.kind == "function" else _ONE_STRING
        if tool.kind == "custom":
            target.lose(path, "a free-text tool goes as a function with one string")
        fitted = schema.fit(parameters, target.profile.schema_flavor, path=f"{path}.parameters")
        target.losses.extend(fitted.losses)
        put(wire, description=tool.description, parameters=fitted.schema)
        # Unsaid, the API takes every schema as strict; callers of other APIs did not mean that.
        wire["strict"] = bool(tool.strict)
    if tool.cache is not None:
        target.lose(f"{path}.cache", "the target takes no cache marks on tools")
    target.lose_extra(tool.extra, path)
    return merged(wire, tool.extra) if target.same else wire


def _encode_choice(choice: ToolChoice, tools: Sequence[ToolDefinition], body: Object, target: Target) -> None:
    declared = bool(tools)
    if choice.parallel is not None and (declared or target.same):
        body["parallel_tool_calls"] = choice.parallel
    if choice.mode is None or (not declared and not target.same):
        return
    if choice.mode in ("auto", "none", "required"):
        body["tool_choice"] = choice.mode
    elif choice.mode == "allowed":
        given = choice.extra.get("tools") if target.same else None
        plain = [{"type": "function", "name": target.tool_name(name)} for name in choice.names]
        mode = "required" if choice.forced else "auto"
        body["tool_choice"] = {"type": "allowed_tools", "mode": mode, "tools": given or plain}
    else:
        body["tool_choice"] = _named(choice, tools, target)


def _named(choice: ToolChoice, tools: Sequence[ToolDefinition], target: Target) -> Object:
    name = choice.names[0] if choice.names else ""
    kind = choice.extra.get("type") if target.same else None
    if isinstance(kind, str):
        wire: Object = dict(choice.extra)
        put(wire, name=name if name != kind else None)
        return wire
    custom = any(tool.kind == "custom" and tool.name == name for tool in tools)
    wire = {"type": "custom" if custom else "function", "name": target.tool_name(name)}
    return merged(wire, cast("Object", choice.extra)) if target.same else wire


def wire_name(name: str) -> Object:
    """The members `name` and `namespace` of a call in an answer."""
    namespace, plain = parted(name)
    return {"name": plain} if namespace is None else {"name": plain, "namespace": namespace}
