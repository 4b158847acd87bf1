"""Tool declarations and the tool choice, both ways.

Members: `tools`, `tool_choice`, `parallel_tool_calls`, and the older `functions` and `function_call`. A tool of the older form keeps its wire object in `raw`; that is how the same dialect knows it again.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from execution_platform.dialects import schema
from execution_platform.dialects.losses import server_tool
from execution_platform.dialects.openai_chat.wire import LEGACY, NAME
from execution_platform.dialects.take import Object, Taker, as_object, merged, put
from execution_platform.dialects.target import Target
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi.parts import CacheMark
from execution_platform.spi.request import ChatRequest
from execution_platform.spi.tools import ToolChoice, ToolDefinition

_WORDS: Mapping[str, ToolChoice] = {
    "auto": ToolChoice("auto"),
    "none": ToolChoice("none"),
    "required": ToolChoice("required"),
    # Mistral's word for the same; https://docs.mistral.ai/capabilities/function_calling (read 2026-11).
    "any": ToolChoice("required", extra={"word": "any"}),
}
_ONE_STRING: Mapping[str, object] = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}


def decode_tools(taker: Taker) -> list[ToolDefinition] | None:
    """`tools` and `functions` of a request; None when it has neither."""
    items, older = taker.list("tools"), taker.list("functions")
    if items is None and older is None:
        return None
    if items == [] and older:
        taker.rest["tools"] = items
    tools = [_decode_tool(Taker(item, f"tools[{index}]")) for index, item in enumerate(items or [])]
    return tools + [_decode_function(item, index) for index, item in enumerate(older or [])]


def _decode_function(value: object, index: int) -> ToolDefinition:
    raw = as_object(value, f"functions[{index}]")
    taker = Taker(raw, f"functions[{index}]")
    name, description, parameters = taker.need("name"), taker.str("description"), taker.object("parameters")
    return ToolDefinition(name, description, json_schema=parameters, dialect=NAME, raw=raw)


def _decode_tool(taker: Taker) -> ToolDefinition:
    raw = dict(taker.rest)
    kind = taker.str("type") or "function"
    if kind not in ("function", "custom"):
        name = raw.get("name")
        return ToolDefinition(name if isinstance(name, str) else kind, kind="server", dialect=NAME, raw=raw)
    inner = taker.child(kind)
    if inner is None:
        raise InvalidRequest(f"{taker.at(kind)}: required member is missing", param=taker.at(kind))
    name, description = inner.need("name"), inner.str("description")
    parameters = inner.object("parameters") if kind == "function" else None
    strict = inner.bool("strict") if kind == "function" else None
    taker.keep(kind, inner)
    mark = taker.object("cache_control")
    ttl = None if mark is None else mark.get("ttl")
    cache = (
        None if mark is None else CacheMark(ttl=ttl if isinstance(ttl, str) else None, extra={"cache_control": mark})
    )
    return ToolDefinition(
        name,
        description,
        json_schema=parameters,
        strict=strict,
        kind="custom" if kind == "custom" else "function",
        cache=cache,
        dialect=NAME,
        extra=taker.rest,
    )


def decode_choice(taker: Taker, *, is_legacy: bool) -> ToolChoice | None:
    """`tool_choice` with `parallel_tool_calls`; `function_call` where only `functions` are declared."""
    parallel = taker.bool("parallel_tool_calls")
    value = taker.any(LEGACY if is_legacy else "tool_choice")
    path = LEGACY if is_legacy else "tool_choice"
    if value is None:
        return None if parallel is None else ToolChoice(parallel=parallel)
    choice = _decode_named(value, path, is_legacy=is_legacy) if not isinstance(value, str) else _WORDS.get(value)
    if choice is None:
        raise InvalidRequest(f"{path}: expected none, auto, required or an object, got {value!r}", param=path)
    return ToolChoice(choice.mode, choice.names, parallel, choice.forced, extra=choice.extra)


def _decode_named(value: object, path: str, *, is_legacy: bool) -> ToolChoice:
    taker = Taker(value, path)
    if is_legacy:
        return ToolChoice("named", (taker.need("name"),), extra=taker.rest)
    kind = taker.need("type")
    inner = taker.child(kind)
    if inner is None:
        raise InvalidRequest(f"{taker.at(kind)}: required member is missing", param=taker.at(kind))
    if kind == "allowed_tools":
        mode, items = inner.need("mode"), inner.list("tools") or []
        names = tuple(_allowed_name(item, f"{path}.allowed_tools.tools[{n}]") for n, item in enumerate(items))
        taker.keep(kind, inner)
        known = [{"type": "function", "function": {"name": name}} for name in names]
        if items != known:
            taker.rest["tools"] = items
        if mode not in ("auto", "required"):
            raise InvalidRequest(f"{inner.at('mode')}: expected auto or required, got {mode!r}", param=inner.at("mode"))
        return ToolChoice("allowed", names, forced=mode == "required", extra=taker.rest)
    name = inner.need("name")
    taker.keep(kind, inner)
    if kind != "function":
        taker.rest["type"] = kind
    return ToolChoice("named", (name,), extra=taker.rest)


def _allowed_name(value: object, path: str) -> str:
    taker = Taker(value, path)
    kind = taker.str("type") or "function"
    inner = taker.child(kind)
    return taker.need("name") if inner is None else inner.need("name")


def encode_tools(request: ChatRequest, body: Object, target: Target) -> None:
    """Set `tools`, `functions`, `tool_choice`, `parallel_tool_calls`, `function_call`."""
    if request.tools is not None:
        tools: list[Object] = []
        older: list[Mapping[str, object]] = []
        for index, tool in enumerate(request.tools):
            if target.same and tool.kind == "function" and tool.raw is not None:
                older.append(tool.raw)
                continue
            wire = _encode_tool(tool, f"tools[{index}]", target)
            if wire is not None:
                tools.append(wire)
        if tools or (not older and target.same):
            body["tools"] = tools
        put(body, functions=older or None)
        if (tools or older) and target.profile.tool_calling != "native":
            target.lose("tools", "the model calls no tools", "content")
    if request.tool_choice is not None:
        _encode_choice(request.tool_choice, request.tools or (), body, target)


def _encode_tool(tool: ToolDefinition, path: str, target: Target) -> Object | None:
    if tool.kind in ("server", "mcp"):
        if tool.dialect == NAME and tool.raw is not None:
            return dict(tool.raw)
        target.losses.append(server_tool(tool, path))
        return None
    if tool.kind == "custom" and (target.same or target.profile.extra.get("custom_tools", True) is not False):
        return _own(_custom(tool), tool, path, target)
    parameters = tool.input_schema if tool.kind == "function" else _ONE_STRING
    inner: Object = {"name": target.tool_name(tool.name)}
    put(inner, description=tool.description)
    if tool.kind == "custom":
        target.lose(path, "a free-text tool goes as a function with one string")
    if target.same:
        put(inner, parameters=parameters, strict=tool.strict)
    else:
        fitted = schema.fit(parameters, target.profile.schema_flavor, path=f"{path}.parameters")
        target.losses.extend(fitted.losses)
        put(inner, parameters=fitted.schema, strict=tool.strict or None)
    return _own({"type": "function", "function": inner}, tool, path, target)


def _custom(tool: ToolDefinition) -> Object:
    inner: Object = {"name": tool.name}
    put(inner, description=tool.description)
    return {"type": "custom", "custom": inner}


def _own(wire: Object, tool: ToolDefinition, path: str, target: Target) -> Object:
    if tool.cache is not None:
        if target.profile.extra.get("cache_marks") == "anthropic" or (target.same and tool.cache.extra):
            wire["cache_control"] = tool.cache.extra.get("cache_control", {"type": "ephemeral"})
        else:
            target.lose(f"{path}.cache", "the target takes no cache marks on tools")
    target.lose_extra(tool.extra, path)
    return merged(wire, tool.extra) if target.same else wire


def _encode_choice(choice: ToolChoice, tools: Sequence[ToolDefinition], body: Object, target: Target) -> None:
    declared = bool(tools)
    if choice.parallel is not None and (declared or target.same):
        body["parallel_tool_calls"] = choice.parallel
    if choice.mode is None or (not declared and not target.same):
        return
    if target.same and "functions" in body and "tools" not in body:
        names = {"name": choice.names[0]} if choice.mode == "named" else None
        body[LEGACY] = choice.mode if names is None else merged(cast("Object", names), choice.extra)
        return
    if choice.mode in ("auto", "none", "required"):
        word = choice.extra.get("word") if target.same else None
        body["tool_choice"] = word if isinstance(word, str) else choice.mode
        return
    wire = _allowed(choice, target) if choice.mode == "allowed" else _named(choice, tools, target)
    rest = {name: value for name, value in choice.extra.items() if name not in ("tools", "word")}
    body["tool_choice"] = merged(wire, rest) if target.same else wire


def _named(choice: ToolChoice, tools: Sequence[ToolDefinition], target: Target) -> Object:
    name = choice.names[0] if choice.names else ""
    kind = choice.extra.get("type") if target.same else None
    if not isinstance(kind, str):
        custom = any(tool.kind == "custom" and tool.name == name for tool in tools)
        kind = "custom" if custom and target.profile.extra.get("custom_tools", True) is not False else "function"
    return {"type": kind, kind: {"name": target.tool_name(name)}}


def _allowed(choice: ToolChoice, target: Target) -> Object:
    tools = choice.extra.get("tools") if target.same else None
    if not isinstance(tools, list):
        tools = [{"type": "function", "function": {"name": target.tool_name(name)}} for name in choice.names]
    inner: Object = {"mode": "required" if choice.forced else "auto", "tools": tools}
    return {"type": "allowed_tools", "allowed_tools": inner}
