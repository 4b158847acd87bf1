"""Requests of the Messages API, both ways.

Both API versions (2023-06-01 and 2026-10-21) decode; the version is a header and no part of the body. Source:
anthropic SDK 2.11, `types/message_create_params.py` and `types/beta/message_create_params.py` (read 2026-11).
"""

from collections.abc import Mapping
from typing import cast

from execution_platform import _json
from execution_platform.dialects import envelope
from execution_platform.dialects.anthropic.blocks import Target, breakpoints
from execution_platform.dialects.anthropic.parts import (
    decode_cache,
    decode_content,
    decode_system,
    expect_object_or_str,
    expect_str,
)
from execution_platform.dialects.anthropic.plain import plain_message
from execution_platform.dialects.anthropic.settings import encode_settings
from execution_platform.dialects.anthropic.tools import (
    decode_choice,
    decode_servers,
    decode_tools,
    encode_choice,
    encode_tools,
)
from execution_platform.dialects.anthropic.turns import encode_turns
from execution_platform.dialects.anthropic.wire import NAME
from execution_platform.dialects.base import Encoded
from execution_platform.dialects.losses import foreign_extra
from execution_platform.dialects.take import Object, Taker, as_list, merged, wrong
from execution_platform.dialects.toolnames import NameMap
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi.messages import Message, Role
from execution_platform.spi.parts import ThinkingPart, ToolCallPart, ToolResultPart
from execution_platform.spi.profile import ModelProfile
from execution_platform.spi.request import CachePolicy, ChatRequest, Continuation, OutputFormat, Reasoning, Safety
from execution_platform.spi.tools import ToolDefinition

MAX_BREAKPOINTS = 4
FAST_MODE = "fast-mode-2026-02-01"
_ROLES: Mapping[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}
_SUMMARIES: Mapping[str, str] = {"summarized": "auto", "omitted": "none"}
_PROTECTED = frozenset({"model", "stream", "messages"})
"""Members that the caller's provider options may not replace: they were checked and are accounted for."""
_NOT_COUNTED = frozenset(
    {
        "max_tokens",
        "stream",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "metadata",
        "service_tier",
        "container",
        "inference_geo",
    }
)
"""Members of a chat body that the counting endpoint does not take."""


def read_object(body: bytes) -> Taker:
    """A request body as an object. Raises `InvalidRequest`."""
    try:
        return Taker(_json.loads(body))
    except _json.JsonError as error:
        raise InvalidRequest(error.message) from error


def decode_request(body: bytes, *, model: str | None = None, stream: bool | None = None) -> ChatRequest:
    """A body as a canonical request. Raises `InvalidRequest` with the path of the member that is wrong."""
    take = read_object(body)
    named = take.str("model")
    messages = [*_system(take), *_messages(take)]
    stop = take.list("stop_sequences")
    streaming = take.bool("stream")
    return ChatRequest(
        messages,
        model if model is not None else named,
        max_tokens=take.int("max_tokens"),
        temperature=take.float("temperature"),
        top_p=take.float("top_p"),
        top_k=take.int("top_k"),
        stop=None if stop is None else [expect_str(text, f"stop_sequences[{i}]") for i, text in enumerate(stop)],
        tools=_tools(take),
        tool_choice=decode_choice(take.child("tool_choice")),
        reasoning=_reasoning(take),
        output=_output(take),
        cache=_cache(take),
        service_tier=take.str("service_tier"),
        speed=take.str("speed"),
        region=take.str("inference_geo"),
        safety=_safety(take),
        continuation=_continuation(take),
        stream=bool(streaming) if stream is None else stream,
        dialect=NAME,
        extra=take.rest,
        spelling={"stream": False} if streaming is False else {},
    )


def _system(take: Taker) -> list[Message]:
    value = take.any("system")
    if value is None:
        return []
    if not isinstance(value, str | list):
        raise wrong("system", "a string or a list of text blocks", value)
    return [Message("system", decode_system(cast("object", value), "system"), placement="top")]


def _messages(take: Taker) -> list[Message]:
    value = take.any("messages")
    if value is None:
        raise InvalidRequest("messages: required member is missing; send a list of messages", param="messages")
    return [plain_message(entry) or decode_message(entry, i) for i, entry in enumerate(as_list(value, "messages"))]


def decode_message(value: object, index: int) -> Message:
    """One message in full. Raises `InvalidRequest` naming the member at fault."""
    take = Taker(value, f"messages[{index}]")
    word = take.need("role")
    role = _ROLES.get(word)
    if role is None:
        raise InvalidRequest(
            f"{take.at('role')}: expected user, assistant or system, got {word!r}", param=take.at("role")
        )
    content = take.any("content")
    if isinstance(content, str):
        return Message(role, content, extra=take.rest)
    if content is None:
        if role != "system":
            raise InvalidRequest(f"{take.at('content')}: required member is missing", param=take.at("content"))
        return Message(role, extra=take.rest)
    if content == []:
        take.rest["content"] = content
        return Message(role, extra=take.rest)
    if not isinstance(content, list):
        raise wrong(take.at("content"), "a string or a list of blocks", content)
    return Message(role, decode_content(cast("object", content), take.at("content")), extra=take.rest)


def _tools(take: Taker) -> tuple[ToolDefinition, ...] | None:
    listed = take.list("tools")
    servers = take.list("mcp_servers")
    if servers == []:
        take.rest["mcp_servers"] = servers
        servers = None
    if listed is None and servers is None:
        return None
    if listed == [] and servers is not None:
        take.rest["tools"] = listed
    return (*decode_tools(listed or []), *decode_servers(servers or []))


def _reasoning(take: Taker) -> Reasoning | None:
    config = take.child("output_config")
    effort: str | None = None
    if config is not None and not config.rest:
        take.rest["output_config"] = config.rest
    elif config is not None:
        effort = config.str("effort")
        # What `_output` takes out of it, and what nobody knows, is still there.
        take.keep("output_config", config)
    child = take.child("thinking")
    if child is None:
        return None if effort is None else Reasoning(effort=effort)
    mode, budget = child.need("type"), child.int("budget_tokens")
    display = child.str("display")
    shown = None if mode == "disabled" else display != "omitted"
    take.keep("thinking", child)
    return Reasoning(
        effort=effort,
        budget_tokens=budget,
        summary=None if display is None else _SUMMARIES.get(display, display),
        include=shown,
        mode=mode,
    )


def _output(take: Taker) -> OutputFormat | None:
    if not take.rest.get("output_config"):
        # Absent, null, empty, or emptied of its effort: only what the caller wrote stays.
        return None
    config = take.child("output_config")
    if config is None:
        return None
    form = config.child("format")
    output: OutputFormat | None = None
    if form is not None and form.rest.get("type") == "json_schema":
        form.need("type")
        output = OutputFormat(kind="json_schema", schema=form.object("schema"))
        config.keep("format", form)
    elif form is not None:
        config.rest["format"] = form.rest
    take.keep("output_config", config)
    return output


def _cache(take: Taker) -> CachePolicy | None:
    mark = decode_cache(take)
    return None if mark is None else CachePolicy(mark=mark)


def _safety(take: Taker) -> Safety | None:
    child = take.child("metadata")
    if child is None:
        return None
    user = child.str("user_id")
    if user is None or child.rest:
        take.rest["metadata"] = child.rest
    return None if user is None else Safety(user=user)


def _continuation(take: Taker) -> Continuation | None:
    container = take.any("container")
    if container is not None:
        container = expect_object_or_str(container, "container")
    management = take.object("context_management")
    if container is None and management is None:
        return None
    return Continuation(container=container, context_management=management)


def encode_request(request: ChatRequest, profile: ModelProfile) -> Encoded:
    """A canonical request as a body, with what it could not carry."""
    target = Target(request, profile, _names(request, profile))
    body = _body(target)
    headers: dict[str, str] = {}
    if not target.same and body.get("speed") is not None:
        headers["anthropic-beta"] = FAST_MODE
    return Encoded(_json.dumps(body), tuple(target.losses), headers, dict(target.names.declared))


def encode_count(request: ChatRequest, profile: ModelProfile) -> Encoded:
    """A canonical request as a body for the counting endpoint."""
    target = Target(request, profile, _names(request, profile))
    body = {name: value for name, value in _body(target).items() if name not in _NOT_COUNTED}
    return Encoded(_json.dumps(body), tuple(target.losses), tool_names=dict(target.names.declared))


def _names(request: ChatRequest, profile: ModelProfile) -> NameMap:
    """Provider-run tools keep their names, so they are entered first and the others give way."""
    names = NameMap(profile.tool_name_max)
    tools = request.tools or ()
    names.add(tool.name for tool in tools if tool.kind in ("server", "mcp") and tool.dialect == NAME)
    same = request.dialect == NAME
    for tool in tools:
        if tool.kind in ("function", "custom"):
            if same and tool.dialect == NAME:
                names.sent.setdefault(tool.name, tool.name)
            else:
                names.add((tool.name,))
    return names


def _body(target: Target) -> Object:
    request = target.request
    body: Object = {"model": request.model or ""}
    turns = encode_turns(target)
    tools, servers = encode_tools(target)
    if turns.system is not None:
        body["system"] = turns.system
    body["messages"] = turns.messages
    if tools is not None:
        body["tools"] = tools
    if servers:
        body["mcp_servers"] = servers
    choice = encode_choice(target, has_tools=bool(tools))
    forced = choice is not None and choice.get("type") in ("any", "tool")
    encode_settings(target, body, forced=forced, broken_loop=_broken_loop(target))
    if choice is not None:
        body["tool_choice"] = choice
    if request.stream:
        body["stream"] = True
    if target.same:
        if not request.stream and request.spelling.get("stream") is False:
            body["stream"] = False
        merged(body, request.extra)
    else:
        target.losses.extend(foreign_extra(request.extra, request.dialect, NAME))
        _limit_breakpoints(target, body)
    _apply_options(target, body)
    return body


def _broken_loop(target: Target) -> bool:
    """Whether the turn under way, continued or with results coming in, began without thinking of this provider.

    With a token budget the API wants that turn to begin with its own thinking (extended thinking guide, read 2026-11).
    """
    messages = target.request.messages
    waiting = False
    for message in reversed(messages):
        if message.role == "assistant":
            first = message.parts[0] if message.parts else None
            signed = isinstance(first, ThinkingPart) and first.signature is not None
            home = signed and envelope.is_home(first.signature, NAME, target.provider)  # type: ignore[union-attr]
            calls = any(isinstance(part, ToolCallPart) for part in message.parts)
            continued = message is messages[-1]
            return ((waiting and calls) or continued) and not home
        waiting = waiting or any(isinstance(part, ToolResultPart) for part in message.parts)
    return False


def _limit_breakpoints(target: Target, body: Object) -> None:
    if target.marks <= MAX_BREAKPOINTS:
        return
    marked = breakpoints(body)
    room = MAX_BREAKPOINTS - ("cache_control" in body)
    for block in marked[: max(0, len(marked) - room)]:
        del block["cache_control"]
        target.lose("cache", f"the target takes {MAX_BREAKPOINTS} cache marks; the earliest gave way")


def _apply_options(target: Target, body: Object) -> None:
    """The caller's words for this dialect or provider, which win over what was derived."""
    options = target.request.provider_options
    for name in dict.fromkeys((NAME, target.provider)):
        if name is None or name not in options:
            continue
        for member, value in options[name].items():
            if member in _PROTECTED:
                target.lose(f"provider_options.{name}.{member}", "this member cannot be set by provider options")
            else:
                body[member] = _over(body.get(member), value)


def _over(have: object, value: object) -> object:
    if isinstance(have, dict) and isinstance(value, Mapping):
        known = cast("Object", have)
        return {**known, **{name: _over(known.get(name), inner) for name, inner in cast("Object", value).items()}}
    return value
