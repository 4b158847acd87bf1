"""Request bodies, both ways (POST /responses).

Source: openai SDK 3.52 `types/responses/response_create_params.py` (read 2026-11). Members without a canonical slot (`prompt`,
`max_tool_calls`, `include` of what only OpenAI's own tools say) stay in `extra`. `spelling` remembers an input that was a string
and what of `include` the gateway serves anyway.
"""

from collections.abc import Mapping
from typing import Literal, cast

from execution_platform import _json
from execution_platform.dialects.base import Encoded
from execution_platform.dialects.openai_responses import settings
from execution_platform.dialects.openai_responses.items import decode_items
from execution_platform.dialects.openai_responses.tools import decode_choice, decode_tools, encode_tools
from execution_platform.dialects.openai_responses.turns import encode_messages
from execution_platform.dialects.openai_responses.wire import NAME, SEALED
from execution_platform.dialects.take import Object, Taker, as_list, as_str, merged, put
from execution_platform.dialects.target import Target
from execution_platform.dialects.toolnames import NameMap
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import CacheMark
from execution_platform.spi.profile import ModelProfile
from execution_platform.spi.request import CachePolicy, ChatRequest, Continuation, OutputFormat, Reasoning, Safety

LOGPROBS = "message.output_text.logprobs"
_SERVED = frozenset({SEALED, LOGPROBS})
_KINDS: Mapping[str, Literal["text", "json"]] = {"text": "text", "json_object": "json"}


def decode_request(body: bytes, *, model: str | None = None, stream: bool | None = None) -> ChatRequest:
    """Wire → canonical. Raises `InvalidRequest` whose `param` is the path of the member at fault."""
    try:
        value = _json.loads(body)
    except _json.JsonError as error:
        raise InvalidRequest(error.message) from error
    taker = Taker(value)
    spelling: Object = {}
    messages = _messages(taker, spelling)
    named, streamed = taker.str("model"), taker.bool("stream")
    includes = _include(taker, spelling)
    return ChatRequest(
        messages,
        model if model is not None else named,
        max_tokens=taker.int("max_output_tokens"),
        temperature=taker.float("temperature"),
        top_p=taker.float("top_p"),
        logprobs=True if LOGPROBS in includes else None,
        top_logprobs=taker.int("top_logprobs"),
        tools=decode_tools(taker),
        tool_choice=decode_choice(taker),
        reasoning=_reasoning(taker),
        output=_output(taker),
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


def _messages(taker: Taker, spelling: Object) -> tuple[Message, ...]:
    instructions, value = taker.str("instructions"), taker.any("input")
    lead = () if instructions is None else (Message("system", instructions, placement="top"),)
    if value is None:
        if lead or "prompt" in taker.rest:
            return lead
        raise InvalidRequest("input: required member is missing", param="input")
    if isinstance(value, str):
        spelling["input"] = "string"
        return (*lead, Message("user", value))
    return (*lead, *decode_items(as_list(value, "input")))


def _include(taker: Taker, spelling: Object) -> frozenset[str]:
    items = taker.list("include")
    if items is None:
        return frozenset()
    words = [as_str(item, f"include[{index}]") for index, item in enumerate(items)]
    spelling["include"] = words
    others = [word for word in words if word not in _SERVED]
    if others:
        taker.rest["include"] = others
    return frozenset(words)


def _reasoning(taker: Taker) -> Reasoning | None:
    child = taker.child("reasoning")
    if child is None:
        return None
    effort, summary = child.str("effort"), child.str("summary")
    return Reasoning(effort=effort, summary=summary, extra=child.rest)


def _output(taker: Taker) -> OutputFormat | None:
    text = taker.child("text")
    if text is None:
        return None
    verbosity, format_ = text.str("verbosity"), text.child("format")
    taker.keep("text", text)
    kind = "text" if format_ is None else format_.need("type")
    if format_ is not None and kind == "json_schema":
        return OutputFormat(
            kind="json_schema",
            name=format_.str("name"),
            description=format_.str("description"),
            schema=format_.object("schema"),
            strict=format_.bool("strict"),
            verbosity=verbosity,
            extra=format_.rest,
        )
    if kind not in _KINDS:
        known = "text, json_object or json_schema"
        raise InvalidRequest(f"text.format.type: expected {known}, got {kind!r}", param="text.format.type")
    if format_ is None and verbosity is None:
        return None
    return OutputFormat(kind=_KINDS[kind], verbosity=verbosity, extra={} if format_ is None else format_.rest)


def _cache(taker: Taker) -> CachePolicy | None:
    key, retention = taker.str("prompt_cache_key"), taker.str("prompt_cache_retention")
    options, mode, ttl = taker.child("prompt_cache_options"), None, None
    if options is not None:
        mode, ttl = options.str("mode"), options.str("ttl")
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
    state = Continuation(
        previous_id=taker.str("previous_response_id"),
        conversation=taker.any("conversation"),
        store=taker.bool("store"),
        background=taker.bool("background"),
        truncation=taker.str("truncation"),
        context_management=taker.list("context_management"),
    )
    return None if state == Continuation() else state


def encode_request(request: ChatRequest, profile: ModelProfile) -> Encoded:
    """Canonical → wire for the model and provider of `profile`."""
    names = NameMap(profile.tool_name_max)
    target = Target(NAME, profile, request.dialect, names)
    if not target.same:
        names.add(tool.name for tool in request.tools or () if tool.kind != "server")
    target.lose_extra(request.extra, "")
    body: Object = {}
    put(body, model=request.model)
    encode_messages(request.messages, body, target)
    if target.same and request.spelling.get("input") == "string" and len(cast("list[Object]", body["input"])) == 1:
        body["input"] = cast("list[Object]", body["input"])[0]["content"]
    encode_tools(request, body, target)
    settings.encode(request, body, target)
    if target.same:
        merged(body, {name: value for name, value in request.extra.items() if name != "include"})
    for name in (NAME, target.provider):
        options = None if name is None else request.provider_options.get(name)
        if options:
            body = merged(dict(options), body)
    return Encoded(_json.dumps(body), tuple(target.losses), tool_names={} if target.same else names.declared)
