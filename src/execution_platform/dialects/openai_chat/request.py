"""Request bodies, both ways (POST /chat/completions).

Source: openai SDK 3.52 `types/chat/completion_create_params.py` (read 2026-11). Members without a canonical slot (`prediction`,
`web_search_options`, vendors' own) stay in `extra`. `spelling` remembers which of several forms the caller used: `max_tokens` or
`max_completion_tokens`, `stop` as a string, `reasoning` as OpenRouter's object, an explicit `response_format` of plain text.
"""

from collections.abc import Mapping
from typing import Literal, cast

from execution_platform import _json
from execution_platform.dialects.base import Encoded
from execution_platform.dialects.openai_chat import settings
from execution_platform.dialects.openai_chat.messages import decode_messages
from execution_platform.dialects.openai_chat.tools import decode_choice, decode_tools, encode_tools
from execution_platform.dialects.openai_chat.turns import encode_messages
from execution_platform.dialects.openai_chat.wire import NAME
from execution_platform.dialects.take import Object, Taker, as_str, merged, put, wrong
from execution_platform.dialects.target import Target
from execution_platform.dialects.toolnames import NameMap
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi.parts import CacheMark
from execution_platform.spi.profile import ModelProfile
from execution_platform.spi.request import CachePolicy, ChatRequest, Continuation, OutputFormat, Reasoning, Safety

_KINDS: Mapping[str, Literal["text", "json"]] = {"text": "text", "json_object": "json"}


def decode_request(body: bytes, *, model: str | None = None, stream: bool | None = None) -> ChatRequest:
    """Wire → canonical. Raises `InvalidRequest` whose `param` is the path of the member at fault."""
    try:
        value = _json.loads(body)
    except _json.JsonError as error:
        raise InvalidRequest(error.message) from error
    taker = Taker(value)
    spelling: Object = {}
    items = taker.list("messages")
    if items is None:
        raise InvalidRequest("messages: required member is missing", param="messages")
    messages = decode_messages(items)
    named = taker.str("model")
    tools = decode_tools(taker)
    is_legacy = bool(tools) and all(tool.raw is not None and tool.kind == "function" for tool in tools or ())
    streamed = taker.bool("stream")
    return ChatRequest(
        messages,
        model if model is not None else named,
        max_tokens=_max_tokens(taker, spelling),
        temperature=taker.float("temperature"),
        top_p=taker.float("top_p"),
        top_k=taker.int("top_k"),
        stop=_stop(taker, spelling),
        seed=taker.int("seed"),
        n=taker.int("n"),
        presence_penalty=taker.float("presence_penalty"),
        frequency_penalty=taker.float("frequency_penalty"),
        logit_bias=_logit_bias(taker),
        logprobs=taker.bool("logprobs"),
        top_logprobs=taker.int("top_logprobs"),
        tools=tools,
        tool_choice=decode_choice(taker, is_legacy=is_legacy),
        reasoning=_reasoning(taker, spelling),
        output=_output(taker, spelling),
        cache=_cache(taker),
        service_tier=taker.str("service_tier"),
        safety=_safety(taker),
        continuation=_continuation(taker),
        metadata=taker.object("metadata"),
        stream=bool(streamed) if stream is None else stream,
        stream_options=taker.object("stream_options"),
        dialect=NAME,
        extra=taker.rest,
        spelling=spelling,
    )


def _max_tokens(taker: Taker, spelling: Object) -> int | None:
    newer = taker.int("max_completion_tokens")
    if newer is None:
        return taker.int("max_tokens")
    spelling["max_tokens"] = "max_completion_tokens"
    older = taker.int("max_tokens")
    if older is not None:
        taker.rest["max_tokens"] = older
    return newer


def _stop(taker: Taker, spelling: Object) -> tuple[str, ...] | None:
    value = taker.any("stop")
    if value is None:
        return None
    if isinstance(value, str):
        spelling["stop"] = "string"
        return (value,)
    if not isinstance(value, list):
        raise wrong("stop", "a string or a list of strings", value)
    return tuple(as_str(item, f"stop[{index}]") for index, item in enumerate(cast("list[object]", value)))


def _logit_bias(taker: Taker) -> Mapping[str, float] | None:
    value = taker.object("logit_bias")
    for token, bias in (value or {}).items():
        if isinstance(bias, bool) or not isinstance(bias, int | float):
            raise wrong(f"logit_bias.{token}", "a number", bias)
    return cast("Mapping[str, float] | None", value)


def _reasoning(taker: Taker, spelling: Object) -> Reasoning | None:
    effort, child = taker.str("reasoning_effort"), None
    if effort is None:
        child = taker.child("reasoning")
    if child is None:
        return None if effort is None else Reasoning(effort=effort)
    spelling["reasoning"] = "object"
    effort, budget, excluded, enabled = (
        child.str("effort"),
        child.int("max_tokens"),
        child.bool("exclude"),
        child.bool("enabled"),
    )
    mode = None if enabled is None else "enabled" if enabled else "disabled"
    include = None if excluded is None else not excluded
    return Reasoning(effort=effort, budget_tokens=budget, include=include, mode=mode, extra=child.rest)


def _output(taker: Taker, spelling: Object) -> OutputFormat | None:
    format_, verbosity, audio = taker.child("response_format"), taker.str("verbosity"), taker.object("audio")
    items = taker.list("modalities")
    modalities = None if items is None else tuple(as_str(item, f"modalities[{n}]") for n, item in enumerate(items))
    kind = "text" if format_ is None else format_.need("type")
    if format_ is not None and kind not in (*_KINDS, "json_schema"):
        taker.rest["response_format"] = {"type": kind, **format_.rest}
        format_, kind = None, "text"
    if format_ is None and verbosity is None and modalities is None and audio is None:
        return None
    if format_ is not None and kind == "json_schema":
        return _json_schema(format_, OutputFormat(verbosity=verbosity, modalities=modalities, audio=audio))
    if format_ is not None and kind == "text":
        spelling["response_format"] = "text"
    extra = {} if format_ is None else format_.rest
    return OutputFormat(kind=_KINDS[kind], verbosity=verbosity, modalities=modalities, audio=audio, extra=extra)


def _json_schema(format_: Taker, base: OutputFormat) -> OutputFormat:
    inner = format_.child("json_schema")
    if inner is None:
        raise InvalidRequest(
            f"{format_.at('json_schema')}: required member is missing", param=format_.at("json_schema")
        )
    name, description = inner.str("name"), inner.str("description")
    schema, strict = inner.object("schema"), inner.bool("strict")
    format_.keep("json_schema", inner)
    return OutputFormat(
        kind="json_schema",
        schema=schema,
        name=name,
        description=description,
        strict=strict,
        verbosity=base.verbosity,
        modalities=base.modalities,
        audio=base.audio,
        extra=format_.rest,
    )


def _cache(taker: Taker) -> CachePolicy | None:
    key, retention, options = (
        taker.str("prompt_cache_key"),
        taker.str("prompt_cache_retention"),
        taker.child("prompt_cache_options"),
    )
    mode = ttl = None
    if options is not None:
        mode, ttl = options.str("mode"), options.str("ttl")
        if mode is None and ttl is None:
            taker.rest["prompt_cache_options"] = options.rest
        taker.keep("prompt_cache_options", options)
    if key is None and retention is None and mode is None and ttl is None:
        return None
    return CachePolicy(key=key, retention=retention, mode=mode, mark=None if ttl is None else CacheMark(ttl=ttl))


def _safety(taker: Taker) -> Safety | None:
    user, identifier, moderation = taker.str("user"), taker.str("safety_identifier"), taker.object("moderation")
    if user is None and identifier is None and moderation is None:
        return None
    return Safety(user=user, identifier=identifier, moderation=moderation)


def _continuation(taker: Taker) -> Continuation | None:
    store = taker.bool("store")
    return None if store is None else Continuation(store=store)


def encode_request(request: ChatRequest, profile: ModelProfile) -> Encoded:
    """Canonical → wire for the model and provider of `profile`."""
    names = NameMap(profile.tool_name_max)
    target = Target(NAME, profile, request.dialect, names)
    if not target.same:
        names.add(tool.name for tool in request.tools or () if tool.kind != "server")
    target.lose_extra(request.extra, "")
    body: Object = {}
    put(body, model=request.model)
    body["messages"] = encode_messages(request.messages, target)
    encode_tools(request, body, target)
    settings.encode(request, body, target)
    if target.same:
        merged(body, request.extra)
    for name in (NAME, target.provider):
        options = None if name is None else request.provider_options.get(name)
        if options:
            body = merged(dict(options), body)
    _drop_refused(body, target)
    return Encoded(_json.dumps(body), tuple(target.losses), tool_names={} if target.same else names.declared)


def _drop_refused(body: Object, target: Target) -> None:
    """Leave out what the profile says the target refuses (`extra["refused"]`: names of members)."""
    refused = target.profile.extra.get("refused")
    for name in cast("list[object]", refused) if isinstance(refused, list | tuple) else ():
        if isinstance(name, str) and name in body:
            del body[name]
            target.lose(name, "the target refuses this member")
