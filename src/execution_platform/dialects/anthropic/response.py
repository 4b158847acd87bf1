"""Whole answers of the Messages API, both ways. Source: anthropic SDK 2.11, `types/message.py` (read 2026-11)."""

import hashlib
from dataclasses import dataclass, field, replace
from typing import cast

from execution_platform import _json
from execution_platform.dialects.anthropic.answer import (
    Answer,
    encode_run,
    extra_members,
    is_call,
    stop_members,
    without_last_tokens,
)
from execution_platform.dialects.anthropic.errors import stream_error
from execution_platform.dialects.anthropic.parts import Blocks, decode_content
from execution_platform.dialects.anthropic.signed_text import runs
from execution_platform.dialects.anthropic.usage import decode_usage, encode_usage, merge
from execution_platform.dialects.anthropic.wire import FINISH
from execution_platform.dialects.base import Downstream, Encoded, Upstream
from execution_platform.dialects.take import Object, Taker
from execution_platform.exceptions import ErrorKind, InvalidRequest, ProtocolError
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import Part, ToolCallPart
from execution_platform.spi.response import ChatResponse, Finish, FinishReason, Output
from execution_platform.spi.usage import Usage

OUTPUT_MEMBERS = ("container", "context_management", "input_transformations")
"""What the provider tells with the end of an answer, in streams in `message_delta`."""


def protocol_error(message: str, body: bytes = b"") -> ProtocolError:
    """The error for bytes that are not this dialect."""
    return ProtocolError(message, kind=ErrorKind.PROTOCOL, raw=body[: 64 * 1024] or None)


@dataclass(slots=True)
class CallIds:
    """Gives calls without an id of their own one that is always the same for the same answer."""

    message_id: str | None = None
    seen: set[str] = field(default_factory=set[str])

    def settle(self, part: Part, index: int) -> Part:
        """`part`, with an id if it is a call that lacks one or repeats an earlier one."""
        if not isinstance(part, ToolCallPart):
            return part
        if part.call_id and part.call_id not in self.seen:
            self.seen.add(part.call_id)
            return part
        digest = hashlib.sha256(f"{self.message_id}:{index}:{part.name}".encode()).hexdigest()[:24]
        made = f"toolu_{digest}"
        self.seen.add(made)
        return replace(part, call_id=made, synthetic_id=True)


def read_message(body: bytes) -> Object:
    """The message object of a body. Raises `ProtocolError`, or what an error object says."""
    try:
        value = _json.loads(body)
    except _json.JsonError as error:
        raise protocol_error(f"the provider's answer is not JSON: {error.message}", body) from error
    if not isinstance(value, dict):
        raise protocol_error("the provider's answer is not a JSON object", body)
    message = cast("Object", value)
    if message.get("type") == "error":
        raise stream_error(message)
    if not isinstance(message.get("content"), list):
        raise protocol_error("the provider's answer is not a message: it has no list `content`", body)
    return message


def decode_finish(members: Object) -> Finish:
    """The stop members of a message or of a `message_delta`."""
    raw, sequence, details = members.get("stop_reason"), members.get("stop_sequence"), members.get("stop_details")
    word = raw if isinstance(raw, str) else None
    return Finish(
        FINISH.get(word or "", FinishReason.UNKNOWN),
        word,
        sequence if isinstance(sequence, str) else None,
        cast("Object", details) if isinstance(details, dict) else None,
    )


def decode_response(body: bytes, upstream: Upstream) -> ChatResponse:
    """A body as a canonical answer. Raises `ProtocolError`, or `ProviderError` for an error in a 200."""
    message = read_message(body)
    try:
        return _decode(message, upstream)
    except InvalidRequest as error:
        raise protocol_error(f"the provider's answer is not a message: {error.message}", body) from error


def _decode(message: Object, upstream: Upstream) -> ChatResponse:
    finish = decode_finish(message)
    take = Taker(message)
    for name in ("type", "role", "stop_reason", "stop_sequence", "stop_details"):
        take.any(name)
    message_id, model = take.str("id"), take.str("model")
    how = Blocks(upstream.origin, upstream.tool_names, answer=True)
    ids = CallIds(message_id)
    parts = [ids.settle(part, i) for i, part in enumerate(decode_content(take.any("content"), "content", how))]
    usage = read_usage(take.object("usage"))
    ending = {name: value for name in OUTPUT_MEMBERS if (value := take.any(name)) is not None}
    output = Output(Message("assistant", parts), finish, ending)
    return ChatResponse(
        (output,),
        id=message_id,
        model=model,
        usage=usage,
        origin=upstream.origin,
        service_tier=usage.tier if usage is not None else None,
        extra={name: value for name, value in take.rest.items() if value is not None},
    )


def read_usage(wire: Object | None) -> Usage | None:
    """The usage of a whole answer; None when the provider did not say."""
    if wire is None:
        return None
    return decode_usage(merge({}, wire))


def message_id(given: str | None, downstream: Downstream) -> str:
    """The id an answer goes out with."""
    chosen = given if given is not None and given.startswith("msg_") else downstream.id
    return chosen if chosen.startswith("msg_") else f"msg_{chosen}"


def encode_response(response: ChatResponse, downstream: Downstream) -> Encoded:
    """A canonical answer as a body. The API gives one answer, so further outputs are left out, recorded."""
    answer = Answer(response.origin)
    message = response.message
    content: list[Object] = []
    number = 0
    for run in runs(message.parts):
        content.extend(encode_run(run, number, answer))
        number += len(run)
    content = without_last_tokens(content, answer)
    for number in range(1, len(response.outputs)):
        answer.lose(f"outputs[{number}]", "there is room for one answer only", "content")
    for name in ("grounding", "safety"):
        if getattr(response, name) is not None:
            answer.lose(name, "what another provider told about the answer", "knob")
    finish = response.finish
    if not response.outputs and response.safety is not None:
        finish = Finish(FinishReason.REFUSAL)
    body: Object = {
        "id": message_id(response.id, downstream),
        "type": "message",
        "role": "assistant",
        "model": response.model or downstream.model,
        "content": content,
        **stop_members(finish, answer, calls=any(is_call(part) for part in message.parts)),
        "usage": encode_usage(response.usage, native=answer.native),
    }
    if response.outputs:
        body.update(extra_members(response.outputs[0].extra, answer))
    for name, value in extra_members(response.extra, answer).items():
        body.setdefault(name, value)
    return Encoded(_json.dumps(body), tuple(answer.losses))
