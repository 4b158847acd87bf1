"""Whole answers (`response`), both ways.

Source: openai SDK 3.52 `types/responses/response.py` (read 2026-11). Leftovers stay in `extra`; nulls say nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from execution_platform import _json
from execution_platform.dialects import openai_errors
from execution_platform.dialects.base import Downstream, Encoded, Upstream
from execution_platform.dialects.losses import foreign_extra
from execution_platform.dialects.openai_responses import answer as answers
from execution_platform.dialects.openai_responses.content import decode_content
from execution_platform.dialects.openai_responses.items import decode_answer_item, message_parts
from execution_platform.dialects.openai_responses.usage import decode_usage
from execution_platform.dialects.openai_responses.wire import NAME
from execution_platform.dialects.take import Object, Taker, merged
from execution_platform.exceptions import ErrorKind, InvalidRequest, ProtocolError
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import Origin, Part, TextPart, ToolCallPart
from execution_platform.spi.response import ChatResponse, Finish, FinishReason, Output

_REASONS: Mapping[str, FinishReason] = {
    "max_output_tokens": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}
_ENDS = ("status", "error", "incomplete_details")


def parse_answer(body: bytes) -> Object:
    """A 200 body as an object. Raises `ProviderError` for an error in it, `ProtocolError` if it is no answer."""
    try:
        value = _json.loads(body)
    except _json.JsonError as error:
        raise broken(f"it is not JSON ({error.reason})", body) from error
    if isinstance(value, dict) and cast("Object", value).get("error"):
        raise openai_errors.stream_error(cast("Object", value))
    if not isinstance(value, dict) or not isinstance(cast("Object", value).get("output"), list):
        raise broken("it has no list `output`", body)
    return cast("Object", value)


def broken(why: str, body: bytes) -> ProtocolError:
    """What is raised for bytes that are no answer."""
    raw = body[: openai_errors.MAX_RAW]
    return ProtocolError(f"the provider's answer is no response object: {why}", kind=ErrorKind.PROTOCOL, raw=raw)


def decode_response(body: bytes, upstream: Upstream) -> ChatResponse:
    """Wire → canonical."""
    wire = parse_answer(body)
    try:
        return decode_object(wire, upstream)
    except InvalidRequest as error:
        raise broken(error.message, body) from error


def decode_object(wire: Object, upstream: Upstream) -> ChatResponse:
    """A complete response object. Raises `InvalidRequest` where it is malformed."""
    taker = Taker(wire)
    parts: list[Part] = []
    for index, item in enumerate(taker.list("output") or []):
        parts += decode_output_item(item, f"output[{index}]", upstream)
    tier, usage = taker.str("service_tier"), taker.object("usage")
    finish = decode_finish(wire, has_calls=any(isinstance(part, ToolCallPart) for part in parts))
    created = taker.float("created_at")
    for name in (*_ENDS, "object"):
        taker.any(name)
    return ChatResponse(
        (Output(Message("assistant", tuple(parts)), finish),),
        id=taker.str("id"),
        model=taker.str("model"),
        created=None if created is None else int(created),
        usage=None if usage is None else decode_usage(usage, tier),
        origin=upstream.origin,
        service_tier=tier,
        extra=said(taker.rest),
    )


def said(wire: Mapping[str, object]) -> Object:
    """The members that say something, without those of the items and the end."""
    known = (*_ENDS, "id", "object", "created_at", "model", "output", "usage", "service_tier", "completed_at")
    return {name: value for name, value in wire.items() if value is not None and name not in known}


def decode_output_item(item: object, path: str, upstream: Upstream) -> list[Part]:
    """An output item as parts; names of tools become those the caller declared."""
    taker = Taker(item, path)
    if taker.rest.get("type") == "message":
        content = decode_content(taker.any("content") or [], taker.at("content"))
        return message_parts(taker, content, path)
    return [declared(decode_answer_item(item, path, upstream.origin), upstream)]


def declared(part: Part, upstream: Upstream) -> Part:
    """A call by the name the caller declared."""
    if isinstance(part, ToolCallPart) and part.name in upstream.tool_names:
        return replace(part, name=upstream.tool_names[part.name])
    return part


def decode_finish(wire: Mapping[str, object], *, has_calls: bool) -> Finish:
    """Why it ended; the wire's own members stay with it for the same dialect."""
    status, details = wire.get("status"), wire.get("incomplete_details")
    told = {name: wire.get(name) for name in _ENDS}
    if status == "incomplete":
        word = cast("Object", details).get("reason") if isinstance(details, dict) else None
        reason = _REASONS.get(str(word), FinishReason.UNKNOWN)
        return Finish(reason, word if isinstance(word, str) else "incomplete", details=told)
    if status == "completed" or status is None:
        return Finish(FinishReason.TOOL_CALLS if has_calls else FinishReason.STOP, "completed", details=told)
    return Finish(FinishReason.ERROR if status == "failed" else FinishReason.UNKNOWN, str(status), details=told)


def encode_response(response: ChatResponse, downstream: Downstream) -> Encoded:
    """Canonical → wire."""
    origin: Origin | None = response.origin
    answer = answers.Answer(downstream, origin, response.id)
    wire = answers.envelope_of(answer, model=response.model, created=response.created, tier=response.service_tier)
    wire["output"] = encode_output(response.message.parts, answer)
    wire.update(answers.ending(response.finish, answer))
    usage = answers.usage_member(response.usage, answer)
    if usage is not None:
        wire["usage"] = usage
    for number in range(1, len(response.outputs)):
        answer.lose(f"outputs[{number}]", "there is room for one answer only", "content")
    if answer.same:
        wire.update(response.extra)
    else:
        answer.losses += foreign_extra(response.extra, None, NAME)
    for name in ("safety", "grounding", "diagnostics"):
        if getattr(response, name) is not None:
            answer.lose(name, "no slot in a response")
    return Encoded(_json.dumps(merged(wire, {})), tuple(answer.losses))


def encode_output(parts: tuple[Part, ...], answer: answers.Answer) -> list[Object]:
    """Parts as items; texts of one message item stay together."""
    out: list[Object] = []
    run: list[TextPart] = []

    def flush(upto: int) -> None:
        if run:
            contents = [
                answers.text_content(part, answer, f"content[{upto - len(run) + n}]") for n, part in enumerate(run)
            ]
            out.append(answers.message_item(run[0], contents, answer, len(out), "completed"))
            run.clear()

    for index, part in enumerate(parts):
        if isinstance(part, TextPart):
            if run and not joins(run[-1], part, answer):
                flush(index)
            run.append(part)
            continue
        flush(index)
        item = answers.whole_item(part, answer, len(out), f"content[{index}]")
        if item is not None:
            out.append(item)
    flush(len(parts))
    return out


def joins(before: TextPart, part: TextPart, answer: answers.Answer) -> bool:
    """Whether two texts stood in one message item, or are pieces of one that another provider signed in part."""
    if not answer.same:
        return before.signature is not None or part.signature is not None
    return part.group is not None and before.group == part.group
