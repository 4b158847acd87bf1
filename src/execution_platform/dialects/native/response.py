"""A whole native answer, both ways.

Members::

    id, created?, model, provider, persona?, fallback_from?, simulated?
    text, thinking?, tool_calls [{id, name, args}], tool_results? [{id, name?, result, is_error?}]
    reason, raw_reason?, stop_sequence?, details?
    usage {input_tokens, output_tokens, cost_usd, ...}    null when nobody said
    message?                                              the answer in the form of the request's `messages`

`message` is there when the flat members cannot tell everything (order, signatures, citations, media, arguments spelled in a way
that matters); appended to the next request's `messages` it continues the conversation without a loss. A client that
appends `{"role": "assistant", "content": text, "tool_calls": tool_calls}` says the same where `message` is absent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from execution_platform import _json
from execution_platform.dialects.base import Downstream, Encoded, Upstream
from execution_platform.dialects.native.calls import as_args, as_arguments, encode_call, encode_result, protocol_error
from execution_platform.dialects.native.errors import Circumstances, exception_for, read_body
from execution_platform.dialects.native.parts import NAME
from execution_platform.dialects.native.request import decode_message, encode_message
from execution_platform.dialects.native.stream_decode import FINISH_MEMBERS, decode_finish
from execution_platform.dialects.native.usage import decode_usage, encode_usage
from execution_platform.dialects.take import Object, merged, put
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi.loss import Loss
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import Part, TextPart, ThinkingPart, ToolCallPart, ToolResultPart
from execution_platform.spi.response import ChatResponse, Output

_KNOWN = FINISH_MEMBERS | {"id", "created", "model", "text", "thinking", "tool_calls", "tool_results", "message"}
_TOLD = ("service_tier", "system_fingerprint", "safety", "grounding", "diagnostics")


def encode_response(response: ChatResponse, downstream: Downstream) -> Encoded:
    """Canonical → wire. Outputs after the first are lost."""
    message, finish = response.message, response.finish
    provider = response.origin.provider if response.origin is not None else None
    body: Object = {"id": response.id or downstream.id}
    put(body, created=response.created or downstream.created or None)
    body["model"] = response.model or downstream.model
    body["provider"] = downstream.extra.get("provider", provider)
    body["text"] = message.text
    thinking = "".join(_thoughts(message.parts))
    put(body, thinking=thinking or None)
    body["tool_calls"] = [encode_call(call) for call in message.tool_calls]
    results = [encode_result(part) for part in message.parts if isinstance(part, ToolResultPart)]
    put(body, tool_results=results or None)
    if not _is_flat(message, thinking):
        body["message"] = encode_message(message)
    body["reason"] = finish.reason.value
    put(body, raw_reason=finish.raw, stop_sequence=finish.stop_sequence, details=finish.details)
    body["usage"] = None if response.usage is None else encode_usage(response.usage)
    put(body, **{name: getattr(response, name) for name in _TOLD})
    body.update({name: value for name, value in downstream.extra.items() if name not in body})
    losses = [Loss(f"outputs[{number}]", "a native answer has one output", "content") for number in _further(response)]
    if response.origin is not None and response.origin.dialect == NAME:
        body = merged(body, response.extra)
    else:
        losses.extend(Loss(name, "not known to the native dialect", "knob") for name in response.extra)
    return Encoded(_json.dumps(body), tuple(losses))


def _further(response: ChatResponse) -> range:
    return range(1, len(response.outputs))


def _thoughts(parts: Sequence[Part]) -> list[str]:
    return [text for part in parts if isinstance(part, ThinkingPart) for text in (part.text, *part.summary)]


def _is_flat(message: Message, thinking: str) -> bool:
    """Whether thinking, text and calls, in that order, are the whole message."""
    if message.extra or message.name:
        return False
    return message.parts == _flat(thinking, message.text, message.tool_calls, exact=False)


def _flat(thinking: str, text: str, calls: Sequence[ToolCallPart], *, exact: bool) -> tuple[Part, ...]:
    parts: list[Part] = []
    if thinking:
        parts.append(ThinkingPart(thinking))
    if text:
        parts.append(TextPart(text))
    for call in calls:
        arguments = call.arguments if exact else _reread(call.arguments)
        parts.append(ToolCallPart(call.call_id, call.name, arguments, kind=call.kind))
    return tuple(parts)


def _reread(arguments: str) -> str:
    """The arguments as a reader of `args` spells them again."""
    args = _json.loads(_json.dumps(as_args(arguments)))
    return as_arguments(_json.dumps(args))


def decode_response(body: bytes, upstream: Upstream) -> ChatResponse:
    """Wire → canonical.

    Raises:
        ProtocolError: The bytes are not a native answer.
        ExecutionPlatformError: They are an error, whatever the status said.
    """
    try:
        value = _json.loads(body)
    except _json.JsonError as error:
        raise protocol_error(f"it is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise protocol_error("it is not an object")
    wire = cast("Object", value)
    if "error" in wire:
        raise exception_for(read_body(200, body), Circumstances())
    if not isinstance(wire.get("reason"), str):
        raise protocol_error("it has no finish reason")
    usage = wire.get("usage")
    return ChatResponse(
        (Output(_message(wire, upstream.tool_names), decode_finish(wire)),),
        id=_word(wire, "id"),
        model=_word(wire, "model"),
        created=_number(wire, "created"),
        usage=decode_usage(cast("Object", usage)) if isinstance(usage, dict) else None,
        origin=upstream.origin,
        service_tier=_word(wire, "service_tier"),
        system_fingerprint=_word(wire, "system_fingerprint"),
        safety=wire.get("safety"),
        grounding=wire.get("grounding"),
        diagnostics=wire.get("diagnostics"),
        extra={name: found for name, found in wire.items() if name not in _KNOWN and name not in _TOLD},
    )


def _word(wire: Object, name: str) -> str | None:
    value = wire.get(name)
    return value if isinstance(value, str) else None


def _number(wire: Object, name: str) -> int | None:
    value = wire.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _message(wire: Object, names: Mapping[str, str]) -> Message:
    try:
        if "message" in wire:
            return _renamed(decode_message(wire["message"], "message"), names)
        calls = decode_message({"role": "assistant", "tool_calls": wire.get("tool_calls") or []}, "answer").tool_calls
    except InvalidRequest as error:
        raise protocol_error(error.message) from error
    plain = tuple(
        ToolCallPart(call.call_id, names.get(call.name, call.name), _unwrapped(call.arguments), kind=call.kind)
        for call in calls
    )
    return Message("assistant", _flat(_word(wire, "thinking") or "", _word(wire, "text") or "", plain, exact=True))


def _unwrapped(arguments: str) -> str:
    return as_arguments(arguments.encode())


def _renamed(message: Message, names: Mapping[str, str]) -> Message:
    if not names:
        return message
    parts = tuple(_rename(part, names) for part in message.parts)
    return Message(message.role, parts, name=message.name, extra=message.extra)


def _rename(part: Part, names: Mapping[str, str]) -> Part:
    if not isinstance(part, ToolCallPart) or part.name not in names:
        return part
    return replace(part, name=names[part.name])
