"""Tools, tool choice and the answer's format on the native wire, both ways."""

from collections.abc import Mapping, Sequence
from typing import cast

from execution_platform.dialects.native.parts import decode_cache, encode_cache, unknown_word
from execution_platform.dialects.take import Object, Taker, as_list, as_str, merged, put, wrong
from execution_platform.spi.loss import Loss
from execution_platform.spi.parts import CallKind
from execution_platform.spi.request import OutputFormat
from execution_platform.spi.tools import ToolChoice, ToolChoiceMode, ToolDefinition

_KINDS: Mapping[str, CallKind] = {"custom": "custom", "mcp": "mcp", "server": "server"}
_MODES: Mapping[str, ToolChoiceMode] = {"auto": "auto", "none": "none", "required": "required", "any": "required"}
_FORMATS: Mapping[str, None] = dict.fromkeys(("text", "json", "json_object", "json_schema"))


def decode_tools(take: Taker) -> list[ToolDefinition] | None:
    """The member `tools`; an empty list means "no tools" and is kept."""
    values = take.list("tools")
    if values is None:
        return None
    path = take.at("tools")
    return [_decode_tool(value, f"{path}[{number}]") for number, value in enumerate(values)]


def _decode_tool(value: object, path: str) -> ToolDefinition:
    """`{name, description?, json_schema? | parameters?}`, a bare name, or the chat-completions form."""
    if isinstance(value, str):
        return ToolDefinition(value)
    take = Taker(value, path)
    kind = _KINDS.get(take.str("type") or "function", "function")
    inner = take.child("function")
    source = inner or take
    cache = take.child("cache")
    tool = ToolDefinition(
        source.need("name"),
        source.str("description"),
        source.object("parameters"),
        json_schema=source.object("json_schema"),
        strict=source.bool("strict"),
        kind=kind,
        cache=None if cache is None else decode_cache(cache),
        dialect=take.str("dialect"),
        raw=take.object("raw"),
        extra=drop_nulls(take.rest),
    )
    if inner is not None:
        take.keep("function", inner)
    return tool


def drop_nulls(rest: Object) -> Object:
    """The same leftovers without null members: on this wire null is absent."""
    for name in [name for name, value in rest.items() if value is None]:
        del rest[name]
    return rest


def encode_tools(tools: Sequence[ToolDefinition] | None) -> list[Object] | None:
    """Tools as the member `tools`."""
    return None if tools is None else [_encode_tool(tool) for tool in tools]


def _encode_tool(tool: ToolDefinition) -> Object:
    out: Object = {"name": tool.name}
    schema = tool.input_schema
    put(
        out,
        type=None if tool.kind == "function" else tool.kind,
        description=tool.description,
        json_schema=tool.json_schema,
        parameters=None if schema is tool.json_schema else schema,
        strict=tool.strict,
        cache=None if tool.cache is None else encode_cache(tool.cache),
        dialect=tool.dialect,
        raw=tool.raw,
    )
    return merged(out, tool.extra)


def decode_choice(take: Taker) -> ToolChoice | None:
    """`tool_choice` and `parallel_tool_calls`.

    A word (`auto`, `none`, `required`, `any`), `{"name"}`, the chat-completions and Anthropic forms of a named tool,
    or `{"allowed": [names], "forced"?}`.
    """
    value = take.any("tool_choice")
    parallel = take.bool("parallel_tool_calls")
    if value is None:
        return None if parallel is None else ToolChoice(parallel=parallel)
    path = take.at("tool_choice")
    if isinstance(value, str):
        return ToolChoice(_mode(value, path), parallel=parallel)
    return _decode_choice_object(Taker(value, path), parallel=parallel)


def _mode(word: str, path: str) -> ToolChoiceMode:
    mode = _MODES.get(word)
    if mode is None:
        raise unknown_word(path, _MODES, word)
    return mode


def _decode_choice_object(take: Taker, *, parallel: bool | None) -> ToolChoice:
    allowed = take.list("allowed")
    if allowed is not None:
        path = take.at("allowed")
        names = tuple(as_str(name, f"{path}[{number}]") for number, name in enumerate(allowed))
        return ToolChoice("allowed", names, parallel, forced=take.bool("forced") or False, extra=drop_nulls(take.rest))
    inner = take.child("function")
    name = inner.need("name") if inner is not None else take.str("name")
    word = take.str("type")
    if name is not None:
        return ToolChoice("named", (name,), parallel, extra=drop_nulls(take.rest))
    return ToolChoice(_mode(word or "", take.at("type")), parallel=parallel, extra=drop_nulls(take.rest))


def encode_choice(choice: ToolChoice | None, body: Object) -> list[Loss]:
    """Write `tool_choice` and `parallel_tool_calls`; other dialects' leftovers are lost."""
    if choice is None:
        return []
    put(body, parallel_tool_calls=choice.parallel)
    match choice.mode:
        case "named":
            body["tool_choice"] = merged({"name": choice.names[0]}, choice.extra)
        case "allowed":
            allowed: Object = {"allowed": list(choice.names)}
            put(allowed, forced=choice.forced or None)
            body["tool_choice"] = merged(allowed, choice.extra)
        case None:
            return [Loss("tool_choice", "leftovers without a mode", "knob")] if choice.extra else []
        case mode:
            body["tool_choice"] = merged({"type": mode}, choice.extra) if choice.extra else mode
    return []


def decode_format(take: Taker) -> OutputFormat | None:
    """`response_format`: `{"type": "text" | "json" | "json_object" | "json_schema", ...}` or the bare word."""
    value = take.any("response_format")
    if value is None:
        return None
    path = take.at("response_format")
    form = Taker({"type": value} if isinstance(value, str) else value, path)
    word = form.need("type")
    match word:
        case "text":
            return _format(form, OutputFormat(kind="text"))
        case "json" | "json_object":
            return _format(form, OutputFormat(kind="json"))
        case "json_schema":
            return _format(form, _decode_schema(form))
        case _:
            raise unknown_word(form.at("type"), _FORMATS, word)


def _decode_schema(form: Taker) -> OutputFormat:
    inner = form.child("json_schema")
    source = inner or form
    schema = source.object("schema")
    if schema is None:
        raise wrong(source.at("schema"), "a JSON Schema object", None)
    return OutputFormat(
        kind="json_schema",
        schema=schema,
        name=source.str("name"),
        description=source.str("description"),
        strict=source.bool("strict"),
        extra={"json_schema": inner.rest} if inner is not None and drop_nulls(inner.rest) else {},
    )


def _format(form: Taker, known: OutputFormat) -> OutputFormat:
    path = form.at("modalities")
    modalities = form.any("modalities")
    words = None
    if modalities is not None:
        words = tuple(as_str(word, f"{path}[{number}]") for number, word in enumerate(as_list(modalities, path)))
    return OutputFormat(
        kind=known.kind,
        schema=known.schema,
        name=known.name,
        description=known.description,
        strict=known.strict,
        verbosity=form.str("verbosity"),
        modalities=words,
        audio=form.object("audio"),
        image=form.object("image"),
        extra={**known.extra, **drop_nulls(form.rest)},
    )


def encode_format(output: OutputFormat | None) -> Object | None:
    """The answer's format as `response_format`."""
    if output is None:
        return None
    out: Object = {"type": output.kind}
    if output.kind == "json_schema":
        inner: Object = {}
        put(inner, name=output.name, description=output.description, schema=output.schema, strict=output.strict)
        out["json_schema"] = inner
    put(
        out,
        verbosity=output.verbosity,
        modalities=None if output.modalities is None else list(output.modalities),
        audio=output.audio,
        image=output.image,
    )
    return merged(out, output.extra)


def decode_requires(take: Taker) -> Mapping[str, object] | Sequence[str] | None:
    """`requires`: a list of capabilities or a map from capability to what is needed of it."""
    value = take.any("requires")
    path = take.at("requires")
    if value is None or isinstance(value, dict):
        return cast("Mapping[str, object] | None", value)
    if not isinstance(value, list):
        raise wrong(path, "a list of capabilities or an object", value)
    return [as_str(name, f"{path}[{number}]") for number, name in enumerate(cast("list[object]", value))]
