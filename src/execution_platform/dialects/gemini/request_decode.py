"""Gemini requests → `ChatRequest`."""

from dataclasses import replace
from typing import Final, cast

from execution_platform.dialects.gemini.calls import Calls
from execution_platform.dialects.gemini.parts_decode import decode_parts
from execution_platform.dialects.gemini.settings_decode import Settings, decode_settings
from execution_platform.dialects.gemini.tools import decode_choice, decode_tools
from execution_platform.dialects.gemini.wire import NAME, bare, camel, parse
from execution_platform.dialects.take import Object, Taker, as_list, as_object
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi.messages import Message, Placement, Role
from execution_platform.spi.request import CachePolicy, ChatRequest, Continuation, Safety
from execution_platform.spi.tools import ToolChoice, ToolDefinition

_ROLES: Final[dict[str | None, Role]] = {
    None: "user",
    "user": "user",
    "model": "assistant",
    "function": "tool",
    "tool": "tool",
    "system": "system",
}
_USUAL: Final = {"user": "user", "assistant": "model", "tool": "user", "system": ""}
"""The word that is not worth remembering."""


def decode_request(body: bytes, *, model: str | None = None, stream: bool | None = None) -> ChatRequest:
    """A request body; the path has the model and whether to stream. Raises `InvalidRequest` with `param`."""
    return decode_wire(parse(body), model=model, stream=stream)


def decode_wire(wire: Object, *, model: str | None = None, stream: bool | None = None, path: str = "") -> ChatRequest:
    """A request that is an object already (members in camelCase)."""
    take = Taker(wire, path)
    named = take.str("model")
    if named is not None:
        # The path names the model; where the body does too, the target's name takes its place.
        take.rest["model"] = named
    messages = decode_messages(take)
    config = take.object("generationConfig")
    settings = Settings() if config is None else decode_settings(config, take.at("generationConfig"))
    if settings.rest or config == {}:
        take.rest["generationConfig"] = settings.rest
    tools = _tools(take)
    choice = _choice(take)
    safety, cached = take.list("safetySettings"), take.str("cachedContent")
    labels, tier, store = take.object("labels"), take.str("serviceTier"), take.bool("store")
    return replace(
        ChatRequest(
            messages,
            bare(model or named or "") or None,
            tools=tools,
            tool_choice=choice,
            reasoning=settings.reasoning,
            output=settings.output,
            cache=None if cached is None else CachePolicy(cached_content=cached),
            service_tier=tier,
            safety=None if safety is None else Safety(settings=safety),
            continuation=None if store is None else Continuation(store=store),
            metadata=labels,
            stream=bool(stream),
            dialect=NAME,
            extra=take.rest,
        ),
        **settings.fields,  # pyright: ignore[reportArgumentType] - the names and types are those of `decode_settings`
    )


def decode_messages(take: Taker) -> tuple[Message, ...]:
    """`systemInstruction` and `contents`."""
    calls = Calls()
    found: list[Message] = []
    system = take.any("systemInstruction")
    if system is not None:
        content = {"parts": [{"text": system}]} if isinstance(system, str) else system
        found.append(_message(content, take.at("systemInstruction"), calls, top=True))
    contents = take.any("contents")
    path = take.at("contents")
    if contents is None:
        raise InvalidRequest(f"{path}: required member is missing", param=path)
    items = [cast("object", contents)] if isinstance(contents, dict) else as_list(contents, path)
    found.extend(_message(item, f"{path}[{index}]", calls) for index, item in enumerate(items))
    return tuple(found)


def _message(value: object, path: str, calls: Calls, *, top: bool = False) -> Message:
    take = Taker(camel(as_object(value, path)), path)
    word = take.str("role")
    if word is not None and word not in _ROLES and not top:
        raise InvalidRequest(f"{path}.role: {word!r} is none of user, model, function", param=f"{path}.role")
    role: Role = "system" if top else _ROLES[word]
    given = take.any("parts")
    parts = () if given is None else decode_parts(given, f"{path}.parts", calls)
    if given is None:
        # Without parts (as answers that were cut are) it is said so again; null says nothing elsewhere.
        take.rest["parts"] = None
    usual = _USUAL[role]
    placement: Placement = "top" if top else "inline"
    wire_role = None if (word or "") == usual else word or ""
    return Message(role, parts, placement=placement, wire_role=wire_role, extra=take.rest)


def _tools(take: Taker) -> tuple[ToolDefinition, ...] | None:
    given = take.any("tools")
    if given is None:
        return None
    tools = decode_tools(given)
    if not tools and given:
        # Tool objects that hold nothing are no tools, but the same dialect says them again.
        take.rest["tools"] = given
        return None
    return tools


def _choice(take: Taker) -> ToolChoice | None:
    config = take.object("toolConfig")
    if config is None:
        return None
    inner = Taker(camel(config), take.at("toolConfig"))
    calling = inner.object("functionCallingConfig")
    choice = None
    if calling is not None:
        choice = decode_choice(Taker(camel(calling), inner.at("functionCallingConfig")))
        if not calling:
            inner.rest["functionCallingConfig"] = {}
    if inner.rest or not config:
        take.rest["toolConfig"] = inner.rest
    return choice
