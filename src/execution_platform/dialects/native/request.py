"""The body of `POST /v1/chat`, both ways.

Members::

    messages [{role, content, name?, tool_call_id?, tool_calls?, is_error?, placement?}]   required
    system, model, max_tokens, temperature, top_p, top_k, stop, seed, n, stream (true when absent), metadata
    presence_penalty, frequency_penalty, logit_bias, logprobs, top_logprobs, service_tier, speed, region
    tools, tool_choice, parallel_tool_calls, response_format                               see `tools`
    reasoning {effort, budget_tokens, summary, include, mode}, cache, safety, continuation, stream_options
    persona (alias personaId, persona_id), provider, workspace, requires, provider_options

`content` is a string or a list of the parts described in `parts`. Members nobody here knows stay in `extra`, at every level; null
is the same as absent. `provider` and `workspace` are addressed to the platform alone: they travel in
`provider_options["native"]`, so that no provider ever sees them, and `platform_options` reads them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from execution_platform import _json
from execution_platform.dialects.base import Encoded, Peek
from execution_platform.dialects.losses import foreign_extra
from execution_platform.dialects.native import settings, tools
from execution_platform.dialects.native.parts import (
    NAME,
    decode_calls,
    decode_content_parts,
    decode_parts,
    encode_calls,
    encode_content,
    encode_parts,
    unknown_word,
)
from execution_platform.dialects.native.tools import drop_nulls
from execution_platform.dialects.take import Object, Taker, as_object, as_str, merged, put, wrong
from execution_platform.exceptions import InvalidRequest, UnprocessableRequest
from execution_platform.spi.loss import Loss
from execution_platform.spi.messages import Message, Role
from execution_platform.spi.parts import Part, TextPart, ToolCallPart, ToolResultPart
from execution_platform.spi.profile import ModelProfile
from execution_platform.spi.request import ChatRequest, Extra

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
_PERSONA = ("personaId", "persona_id")
_PLATFORM = ("provider", "workspace")
_PEEKED = ("model", "stream", "max_tokens", "n", "tools", "persona", "personaId", "persona_id", "provider")


@dataclass(frozen=True, slots=True)
class PlatformOptions:
    """What a native request says to the platform and to no provider."""

    provider: str | None = None
    workspace: str | None = None


def platform_options(request: ChatRequest) -> PlatformOptions:
    """The provider and the workspace a native request names."""
    options = request.provider_options.get(NAME, {})
    provider, workspace = options.get("provider"), options.get("workspace")
    return PlatformOptions(
        provider if isinstance(provider, str) else None, workspace if isinstance(workspace, str) else None
    )


def _load(body: bytes) -> object:
    """The body as a value. Raises `InvalidRequest` when it is not JSON."""
    try:
        return _json.loads(body)
    except _json.JsonError as error:
        raise InvalidRequest(str(error)) from error


def _unprocessable(error: InvalidRequest) -> UnprocessableRequest:
    return UnprocessableRequest(error.message, param=error.param)


def peek(body: bytes) -> Peek:
    """Read what routing needs. Raises `InvalidRequest` (not JSON) or `UnprocessableRequest` (wrong types)."""
    value = _load(body)
    if not isinstance(value, dict):
        raise UnprocessableRequest("body: expected an object", param="body")
    members = cast("Object", value)
    take = Taker({name: members[name] for name in _PEEKED if name in members})
    try:
        stream = take.bool("stream")
        return Peek(
            model=take.str("model"),
            stream=True if stream is None else stream,
            max_tokens=take.int("max_tokens"),
            n=take.int("n") or 1,
            has_tools=bool(take.list("tools")),
            include_usage=True,
            persona=_decode_persona(take),
            provider=take.str("provider"),
        )
    except UnprocessableRequest:
        raise
    except InvalidRequest as error:
        raise _unprocessable(error) from error


def decode_request(body: bytes, *, model: str | None = None, stream: bool | None = None) -> ChatRequest:
    """Wire → canonical; `model` and `stream`, where given, win over the body.

    Raises:
        InvalidRequest: The body is not JSON.
        UnprocessableRequest: It is JSON but no request; `param` is the path.
    """
    value = _load(body)
    try:
        return _decode(Taker(value), model, stream=stream)
    except UnprocessableRequest:
        raise
    except InvalidRequest as error:
        raise _unprocessable(error) from error


def _decode(take: Taker, model: str | None, *, stream: bool | None) -> ChatRequest:
    messages = _decode_messages(take)
    said_stream = take.bool("stream")
    said_model = take.str("model")
    wish = settings.decode(take)
    return ChatRequest(
        messages,
        model or said_model,
        persona=_decode_persona(take),
        max_tokens=take.int("max_tokens"),
        temperature=take.float("temperature"),
        top_p=take.float("top_p"),
        top_k=take.int("top_k"),
        stop=_decode_stop(take),
        seed=take.int("seed"),
        n=take.int("n"),
        presence_penalty=take.float("presence_penalty"),
        frequency_penalty=take.float("frequency_penalty"),
        logit_bias=settings.decode_bias(take),
        logprobs=take.bool("logprobs"),
        top_logprobs=take.int("top_logprobs"),
        tools=tools.decode_tools(take),
        tool_choice=tools.decode_choice(take),
        reasoning=wish.reasoning,
        output=tools.decode_format(take),
        cache=wish.cache,
        service_tier=take.str("service_tier"),
        speed=take.str("speed"),
        region=take.str("region"),
        safety=wish.safety,
        continuation=wish.continuation,
        metadata=take.object("metadata"),
        stream=stream if stream is not None else said_stream is not False,
        stream_options=take.object("stream_options"),
        requires=tools.decode_requires(take),
        provider_options=_decode_options(take),
        dialect=NAME,
        extra=drop_nulls(take.rest),
    )


def _decode_persona(take: Taker) -> str | None:
    aliases = [take.str(name) for name in _PERSONA]
    return take.str("persona") or next((alias for alias in aliases if alias), None)


def _decode_stop(take: Taker) -> Sequence[str] | None:
    value = take.any("stop")
    if value is None or isinstance(value, str):
        return value if value is None else (value,)
    if not isinstance(value, list):
        raise wrong(take.at("stop"), "a string or a list of strings", value)
    items = cast("list[object]", value)
    return tuple(as_str(item, f"{take.at('stop')}[{number}]") for number, item in enumerate(items))


def _decode_options(take: Taker) -> Mapping[str, Extra]:
    path = take.at("provider_options")
    given = take.object("provider_options") or {}
    options: dict[str, Extra] = {name: as_object(value, f"{path}.{name}") for name, value in given.items()}
    own: Object = {name: value for name in _PLATFORM if (value := take.str(name)) is not None}
    if own:
        options[NAME] = {**options.get(NAME, {}), **own}
    return options


def _decode_messages(take: Taker) -> list[Message]:
    system = take.any("system")
    values = take.list("messages")
    if values is None:
        raise UnprocessableRequest(
            'messages: required member is missing; send a list such as [{"role": "user", "content": "Hello"}]',
            param="messages",
        )
    messages: list[Message] = []
    if system is not None:
        content = _decode_content(Taker({"content": system}, "system"), "system")
        messages.append(Message("system", content, placement="top"))
    messages.extend(_decode_message(value, f"messages[{number}]") for number, value in enumerate(values))
    if not messages:
        raise UnprocessableRequest("messages: the list is empty; send at least one message", param="messages")
    return messages


def _decode_content(take: Taker, path: str) -> str | tuple[Part, ...]:
    value = take.any("content")
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list):
        return decode_parts(cast("list[object]", value), path)
    raise wrong(path, "a string or a list of parts", value)


def _decode_message(value: object, path: str) -> Message:
    take = Taker(value, path)
    word = take.need("role")
    role = _ROLES.get(word)
    if role is None:
        raise unknown_word(take.at("role"), _ROLES, word)
    name, call_id = take.str("name"), take.str("tool_call_id")
    placement: Literal["inline", "top"] = "top" if take.str("placement") == "top" else "inline"
    if role == "tool":
        return _decode_tool_message(take, name, call_id)
    calls = take.any("tool_calls")
    content = _decode_content(take, f"{path}.content")
    if calls is not None:
        if role != "assistant":
            raise wrong(take.at("tool_calls"), "no calls outside assistant messages", calls)
        text: tuple[Part, ...] = (TextPart(content),) if isinstance(content, str) and content else ()
        parts = text if isinstance(content, str) else content
        content = (*parts, *decode_calls(calls, take.at("tool_calls")))
    return Message(role, content, name=name, tool_call_id=call_id, placement=placement, extra=drop_nulls(take.rest))


def _decode_tool_message(take: Taker, name: str | None, call_id: str | None) -> Message:
    if call_id is None:
        raise UnprocessableRequest(
            f"{take.at('tool_call_id')}: required member is missing; name the call this result answers",
            param=take.at("tool_call_id"),
        )
    is_error = take.bool("is_error")
    value = take.rest.get("content")
    if is_error is None and (value is None or isinstance(value, str)):
        take.any("content")
        return Message("tool", value or "", name=name, tool_call_id=call_id, extra=drop_nulls(take.rest))
    part = ToolResultPart(call_id, decode_content_parts(take), name=name, is_error=is_error)
    return Message("tool", (part,), tool_call_id=call_id, extra=drop_nulls(take.rest))


def encode_request(request: ChatRequest, profile: ModelProfile) -> Encoded:
    """Canonical → wire. Only settings of another dialect's own are lost; no profile matters, the gateway decides what fits."""
    del profile
    body: Object = {}
    messages = request.messages
    first = messages[0] if messages else None
    if first is not None and first.placement == "top" and first == Message("system", first.content, placement="top"):
        body["system"] = first.content if isinstance(first.content, str) else encode_parts(first.content)
        messages = messages[1:]
    body["messages"] = [_encode_message(message) for message in messages]
    losses = [
        Loss(f"messages[{number}].{name}", "not known to the target", "knob")
        for number, message in enumerate(request.messages)
        if request.dialect != NAME
        for name in message.extra
    ]
    losses.extend(foreign_extra(request.extra, request.dialect, NAME))
    put(
        body,
        model=request.model,
        persona=request.persona,
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
        stop=None if request.stop is None else list(request.stop),
        seed=request.seed,
        n=request.n,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
        logit_bias=request.logit_bias,
        logprobs=request.logprobs,
        top_logprobs=request.top_logprobs,
        tools=tools.encode_tools(request.tools),
        response_format=tools.encode_format(request.output),
        service_tier=request.service_tier,
        speed=request.speed,
        region=request.region,
        metadata=request.metadata,
        stream=request.stream,
        stream_options=request.stream_options,
        requires=request.requires if isinstance(request.requires, Mapping | None) else list(request.requires),
    )
    losses.extend(tools.encode_choice(request.tool_choice, body))
    settings.encode(request, body)
    others = {name: options for name, options in request.provider_options.items() if name != NAME}
    put(body, provider_options=others or None)
    body.update(request.provider_options.get(NAME, {}))
    if request.dialect in (None, NAME):
        body = merged(body, request.extra)
    return Encoded(_json.dumps(body), tuple(losses))


def _encode_message(message: Message) -> Object:
    out: Object = {"role": message.role}
    put(out, name=message.name, tool_call_id=message.tool_call_id)
    if message.placement == "top":
        out["placement"] = "top"
    content = message.content
    if isinstance(content, str):
        out["content"] = content
    elif message.role == "tool" and len(content) == 1 and _is_plain_result(content[0], message.tool_call_id):
        result = cast("ToolResultPart", content[0])
        out["tool_call_id"] = result.call_id
        put(out, name=result.name, is_error=result.is_error)
        out["content"] = encode_content(result.parts)
    else:
        _encode_message_parts(tuple(content), out)
    return merged(out, message.extra)


def _is_plain_result(part: Part, call_id: str | None) -> bool:
    """Whether the members of a tool message say all of `part`."""
    if not isinstance(part, ToolResultPart) or call_id not in (None, part.call_id):
        return False
    plain = ToolResultPart(part.call_id, part.parts, name=part.name, is_error=part.is_error)
    return part == plain


def _encode_message_parts(content: tuple[Part, ...], out: Object) -> None:
    """Content and, for calls that end an assistant message, `tool_calls`."""
    end = len(content)
    while out["role"] == "assistant" and end and isinstance(content[end - 1], ToolCallPart):
        end -= 1
    calls = cast("tuple[ToolCallPart, ...]", content[end:])
    if calls:
        if end:
            out["content"] = encode_content(content[:end])
        out["tool_calls"] = encode_calls(calls)
    else:
        out["content"] = encode_parts(content)


def encode_message(message: Message) -> Object:
    """A whole message as the request's `messages` hold it."""
    return _encode_message(message)


def decode_message(value: object, path: str) -> Message:
    """A whole message in the request's form. Raises `InvalidRequest`."""
    return _decode_message(value, path)


def chat_path(model: str, *, stream: bool) -> str:
    """Path below the base URL; model and stream are in the body."""
    del model, stream
    return "/v1/chat"
