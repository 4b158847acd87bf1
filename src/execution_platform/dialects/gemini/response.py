"""Whole answers, both ways.

Source: ai.google.dev API reference, GenerateContentResponse (2026-11). An answer may have no candidate at
all: then `promptFeedback` says that the prompt was blocked.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, cast

from execution_platform import _json
from execution_platform.dialects.base import Downstream, Encoded, Upstream
from execution_platform.dialects.gemini.calls import Calls
from execution_platform.dialects.gemini.errors import error_in_answer
from execution_platform.dialects.gemini.finish import blocked, decode_finish, encode_finish, feedback_of
from execution_platform.dialects.gemini.metadata import Text, decode_logprobs, encode_logprobs, grounding, sources
from execution_platform.dialects.gemini.parts_decode import decode_parts
from execution_platform.dialects.gemini.parts_encode import PartWriter
from execution_platform.dialects.gemini.usage import Meter, encode_usage, grounding_of
from execution_platform.dialects.gemini.wire import (
    NAME,
    answer_object,
    bad_answer,
    camel,
    is_native,
    mapping,
    member,
    objects,
    seal,
)
from execution_platform.dialects.take import Object, merged
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import Origin, Part, Signature, TextPart, ToolCallPart
from execution_platform.spi.response import ChatResponse, Finish, FinishReason, Output

_KNOWN: Final = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId", "promptFeedback", "createTime"})


def decode_response(body: bytes, upstream: Upstream) -> ChatResponse:
    """An answer. Raises `ProtocolError` on what is none, `ProviderError` on an error in a 200."""
    wire = camel(answer_object(body))
    if "error" in wire:
        raise error_in_answer(wire)
    if not _KNOWN & wire.keys():
        raise bad_answer("it has none of candidates, promptFeedback, usageMetadata")
    meter = Meter()
    if isinstance(wire.get("usageMetadata"), dict):
        meter.report(cast("Object", wire["usageMetadata"]))
    candidates = [camel(candidate) for candidate in objects(wire.get("candidates"))]
    identity = text_member(wire, "responseId")
    outputs = [
        decode_candidate(candidate, upstream, f"{identity}\n{place}", meter, place)
        for place, candidate in enumerate(candidates)
    ]
    extra = {name: value for name, value in wire.items() if name not in _HELD}
    if not outputs:
        finish = blocked(member(wire, "promptFeedback"))
        outputs = [Output(Message("assistant"), finish or Finish(FinishReason.UNKNOWN))]
        if finish is not None:
            del extra["promptFeedback"]
        if "candidates" in wire:
            extra["candidates"] = wire["candidates"]
    return ChatResponse(
        tuple(outputs),
        id=identity,
        model=text_member(wire, "modelVersion"),
        created=created(wire),
        usage=meter.usage(),
        origin=upstream.origin,
        extra=extra,
    )


_HELD: Final = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId"})


def text_member(wire: Mapping[str, object], name: str) -> str | None:
    """A text member of an answer; None when it is not there."""
    value = wire.get(name)
    return value if isinstance(value, str) else None


def created(wire: Mapping[str, object]) -> int | None:
    """`createTime` in seconds."""
    text = text_member(wire, "createTime")
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp())


def decode_candidate(candidate: Object, upstream: Upstream, seed: str, meter: Meter, place: int) -> Output:
    """One candidate as an output."""
    content = mapping(candidate.get("content"))
    calls = Calls(seed)
    try:
        given = None if content is None else camel(content).get("parts")
        parts = () if given is None else decode_parts(given, f"candidates[{place}].content.parts", calls)
    except InvalidRequest as error:
        raise bad_answer(error.message) from error
    message = Message("assistant", attach(parts, candidate, upstream), extra=_odd_content(content))
    meter.searched(place, grounding_of(candidate))
    finish = decode_finish(
        text_member(candidate, "finishReason"),
        called=any(isinstance(part, ToolCallPart) and part.kind == "function" for part in parts),
        message=candidate.get("finishMessage"),
    )
    held = {"content", "finishReason"} | ({"finishMessage"} if finish.details else set[str]())
    return Output(message, finish, {name: value for name, value in candidate.items() if name not in held})


def _odd_content(content: Object | None) -> Object:
    """What a content says beside its parts and the usual role; null members stand for what is absent."""
    if content is None:
        return {"content": None}
    rest = {name: value for name, value in content.items() if name != "parts"}
    if rest.get("role") == "model":
        del rest["role"]
    else:
        rest.setdefault("role", None)
    if content.get("parts") is None:
        rest["parts"] = None
    return rest


def attach(parts: tuple[Part, ...], candidate: Mapping[str, object], upstream: Upstream) -> tuple[Part, ...]:
    """The parts with what the candidate says about them: origins, declared names, sources, log probabilities."""
    out = [own(part, upstream) for part in parts]
    places = [place for place, part in enumerate(out) if isinstance(part, TextPart)]
    result = member(candidate, "logprobsResult")
    logprobs = decode_logprobs(result) if result else []
    if not logprobs and not _CITING & candidate.keys():
        return tuple(out)
    found = sources(candidate, [Text(place, cast("TextPart", out[place]).text) for place in places])
    for place in places:
        heard = logprobs if logprobs and place == places[-1] else None
        out[place] = replace(cast("TextPart", out[place]), citations=tuple(found.get(place, ())), logprobs=heard)
    return tuple(out)


_CITING: Final = frozenset({"groundingMetadata", "citationMetadata"})


def own(part: Part, upstream: Upstream) -> Part:
    """A part of an answer with the origin of its signature and the name the caller declared."""
    signature = part.signature
    if signature is not None and is_native(signature):
        part = replace(part, signature=Signature(signature.value, upstream.origin, signature.kind))
    if isinstance(part, ToolCallPart) and part.name in upstream.tool_names:
        part = replace(part, name=upstream.tool_names[part.name])
    return part


class AnswerParts(PartWriter):
    """Parts of an answer to a Gemini client: tokens of other providers travel sealed."""

    def token(self, signature: Signature, path: str, item_id: str | None) -> str | None:
        """Any token may go to a client."""
        del path
        return signature.value if is_native(signature) else seal(signature, item_id)


def comes_home(origin: Origin | None) -> bool:
    """Whether an answer came from this dialect."""
    return origin is not None and origin.dialect == NAME


def encode_response(response: ChatResponse, downstream: Downstream) -> Encoded:
    """An answer for a Gemini client."""
    same = comes_home(response.origin)
    parts = AnswerParts(same=same)
    wire: Object = {}
    first = response.outputs[0] if response.outputs else None
    feedback = feedback_of(first.finish) if first is not None and len(response.outputs) == 1 else {}
    if feedback and first is not None and not first.message.parts:
        wire["promptFeedback"] = feedback
    elif not (same and "candidates" in response.extra):
        wire["candidates"] = [
            encode_output(output, place, parts, same=same) for place, output in enumerate(response.outputs)
        ]
    if response.usage is not None:
        usage = encode_usage(response.usage, same=same)
        if usage:
            wire["usageMetadata"] = usage
    wire |= about(response.model, response.id, downstream, same=same)
    if same:
        wire = merged(wire, response.extra)
    elif response.service_tier is not None:
        parts.lose("service_tier", "the target's answers name no tier")
    return Encoded(_json.dumps(wire), tuple(parts.losses))


def about(model: str | None, identity: str | None, downstream: Downstream, *, same: bool) -> Object:
    """The members that name the answer: what the answer says, else what the caller is told."""
    if same:
        return {name: value for name, value in (("modelVersion", model), ("responseId", identity)) if value is not None}
    return {"modelVersion": model or downstream.model, "responseId": identity or downstream.id}


def encode_output(output: Output, place: int, parts: AnswerParts, *, same: bool) -> Object:
    """One output as a candidate."""
    path = f"candidates[{place}].content.parts"
    message = output.message
    written = [wire for index, part in enumerate(message.parts) for wire in parts.write(part, f"{path}[{index}]")]
    candidate: Object = {"content": {"parts": written, "role": "model"}, **encode_finish(output.finish, same=same)}
    if output.finish.stop_sequence is not None:
        parts.lose(f"candidates[{place}].stop_sequence", "the target does not say which sequence matched")
    if same:
        extra = message.extra
        content = {"parts": written, "role": "model", **extra}
        candidate["content"] = {name: value for name, value in content.items() if value is not None}
        if "content" in extra:
            del candidate["content"]
        return merged(candidate, output.extra)
    candidate["index"] = place
    return {**candidate, **_sources(message, parts, f"candidates[{place}]")}


def _sources(message: Message, parts: AnswerParts, path: str) -> Object:
    """Citations and log probabilities of another provider's answer."""
    wire: Object = {}
    texts = [(Text(place, part.text), part) for place, part in enumerate(message.parts) if isinstance(part, TextPart)]
    data = grounding([(text, part.citations) for text, part in texts])
    if data:
        wire["groundingMetadata"] = data
    if any(citation.url is None for _, part in texts for citation in part.citations):
        parts.lose(f"{path}.citations", "a source without a URL")
    result = encode_logprobs([entry for _, part in texts for entry in objects(part.logprobs)])
    if result:
        wire["logprobsResult"] = result
    return wire
