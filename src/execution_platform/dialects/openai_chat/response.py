"""Whole answers (`chat.completion`), both ways.

Source: openai SDK 3.52 `types/chat/chat_completion.py` (read 2026-11). Leftovers of a choice stay in the output's `extra`, those of its
message under `message` there, so that a stream can tell the same; nulls say nothing. Encoding always writes `content`, `refusal` and
`logprobs`, as the API does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from execution_platform import _json
from execution_platform.dialects import openai_errors
from execution_platform.dialects.base import Downstream, Encoded, Upstream
from execution_platform.dialects.losses import foreign_extra
from execution_platform.dialects.openai_chat import usage
from execution_platform.dialects.openai_chat.calls import (
    answer_token,
    call_object,
    decode_calls,
    synthetic_id,
    take_thought,
)
from execution_platform.dialects.openai_chat.content import decode_part, decode_parts, url_of
from execution_platform.dialects.openai_chat.finish import UNSAID, decode_finish, encode_finish
from execution_platform.dialects.openai_chat.messages import sign_last_text
from execution_platform.dialects.openai_chat.reasoning import DETAILS, FIELDS, decode_reasoning, details_of
from execution_platform.dialects.openai_chat.think import split_think
from execution_platform.dialects.openai_chat.wire import LEGACY, NAME, thought
from execution_platform.dialects.take import Object, Taker, merged, put
from execution_platform.exceptions import ErrorKind, InvalidRequest, ProtocolError
from execution_platform.spi.loss import Loss, Severity
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import (
    Citation,
    FileRef,
    Inline,
    MediaPart,
    OpaquePart,
    Part,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    Url,
)
from execution_platform.spi.response import ChatResponse, Output


def _said(wire: Mapping[str, object]) -> Object:
    """The members that say something."""
    return {name: value for name, value in wire.items() if value is not None}


def parse_answer(body: bytes) -> Object:
    """A 200 body as an object. Raises `ProviderError` for an error in it, `ProtocolError` if it is no JSON object."""
    try:
        value = _json.loads(body)
    except _json.JsonError as error:
        raise _broken(f"it is not JSON ({error.reason})", body) from error
    if isinstance(value, dict) and cast("Object", value).get("error"):
        raise openai_errors.stream_error(cast("Object", value))
    if not isinstance(value, dict) or not isinstance(cast("Object", value).get("choices"), list):
        raise _broken("it has no list `choices`", body)
    return cast("Object", value)


def _broken(why: str, body: bytes) -> ProtocolError:
    return ProtocolError(
        f"the provider's answer is not a chat completion: {why}",
        kind=ErrorKind.PROTOCOL,
        raw=body[: openai_errors.MAX_RAW],
    )


def decode_response(body: bytes, upstream: Upstream) -> ChatResponse:
    """Wire → canonical."""
    value = parse_answer(body)
    try:
        return _decode(value, upstream)
    except InvalidRequest as error:
        raise _broken(error.message, body) from error


def _decode(value: Object, upstream: Upstream) -> ChatResponse:
    taker = Taker(value)
    choices = [Taker(item, f"choices[{index}]") for index, item in enumerate(taker.list("choices") or [])]
    if not choices:
        raise InvalidRequest("`choices` is empty")
    tally = usage.Tally()
    tally.see(value)
    answer_id = taker.str("id") or None
    numbered = [(choice.int("index"), choice) for choice in choices]
    ordered = sorted(enumerate(numbered), key=lambda each: (each[0] if each[1][0] is None else each[1][0], each[0]))
    outputs = [decode_choice(choice, upstream, answer_id, at) for at, (_, (_, choice)) in enumerate(ordered)]
    for name in ("object", "usage"):
        taker.any(name)
    return ChatResponse(
        outputs=tuple(outputs),
        id=answer_id,
        model=taker.str("model") or None,
        created=taker.int("created"),
        usage=tally.result(),
        origin=upstream.origin,
        service_tier=taker.str("service_tier"),
        system_fingerprint=taker.str("system_fingerprint"),
        extra=_said(taker.rest),
    )


def decode_choice(choice: Taker, upstream: Upstream, answer_id: str | None, at: int) -> Output:
    """One choice."""
    taker = choice.child("message")
    if taker is None:
        raise InvalidRequest(f"{choice.at('message')}: required member is missing", param=choice.at("message"))
    taker.any("role")
    parts: list[Part] = [*decode_reasoning(taker, upstream.origin)]
    parts += _texts(taker, upstream)
    signature = take_thought(taker, upstream.origin)
    if signature is not None:
        parts = sign_last_text(parts, signature)
    parts += _refusal_and_media(taker, upstream)
    calls = decode_calls(
        taker, upstream.origin, lambda n, name: synthetic_id(answer_id, at, n, name), upstream.tool_names
    )
    parts = _with_logprobs(choice, [*parts, *(_without_index(call) for call in calls)])
    word, matched = choice.str("finish_reason"), choice.any("stop_reason")
    if word is None:
        raise InvalidRequest(
            f"{choice.at('finish_reason')}: required member is missing", param=choice.at("finish_reason")
        )
    finish = decode_finish(word, has_calls=bool(calls), stop_reason=matched)
    extra = _said(choice.rest)
    if matched is not None and finish.stop_sequence is None:
        extra["stop_reason"] = matched
    left = {name: each for name, each in _said(taker.rest).items() if each not in ("", [])}
    if left:
        extra["message"] = left
    return Output(Message("assistant", parts), finish, extra)


def _without_index(call: ToolCallPart | OpaquePart) -> Part:
    """Some servers number the calls of whole answers as in a stream."""
    if "index" not in call.extra:
        return call
    return replace(call, extra={name: value for name, value in call.extra.items() if name != "index"})


def _texts(taker: Taker, upstream: Upstream) -> list[Part]:
    """The content: a string, or a list of parts (Mistral)."""
    value = taker.any("content")
    citations = tuple(decode_annotation(item) for item in taker.list("annotations") or [])
    if isinstance(value, list):
        parts = decode_content_list(cast("list[object]", value), taker.at("content"))
    elif value is None or isinstance(value, str):
        parts = split_think(value or "", upstream.extra.get("think_tags"))
    else:
        raise InvalidRequest(f"{taker.at('content')}: expected a string", param=taker.at("content"))
    if citations:
        at = next((n for n in reversed(range(len(parts))) if isinstance(parts[n], TextPart)), None)
        if at is None:
            return [*parts, TextPart("", citations=citations)]
        parts[at] = replace(cast("TextPart", parts[at]), citations=citations)
    return parts


def decode_content_list(items: list[object], path: str) -> list[Part]:
    """A content list of an answer; Mistral's `thinking` elements hold a list of texts."""
    parts: list[Part] = []
    for index, item in enumerate(items):
        wire = cast("Object", item) if isinstance(item, dict) else {}
        chunks = wire.get("thinking")
        if wire.get("type") == "thinking" and isinstance(chunks, list):
            texts = [
                cast("Object", chunk).get("text") for chunk in cast("list[object]", chunks) if isinstance(chunk, dict)
            ]
            parts.append(ThinkingPart("".join(text for text in texts if isinstance(text, str))))
        else:
            parts.append(decode_part(cast("object", item), f"{path}[{index}]"))
    return parts


def decode_annotation(value: object) -> Citation:
    """One element of `annotations`."""
    raw = cast("Object", value) if isinstance(value, dict) else {}
    inner = raw.get("url_citation")
    if not isinstance(inner, dict):
        return Citation(raw=raw)
    wire = cast("Object", inner)
    start, end, url, title = (wire.get(name) for name in ("start_index", "end_index", "url", "title"))
    return Citation(
        kind="url",
        start=start if isinstance(start, int) else None,
        end=end if isinstance(end, int) else None,
        url=url if isinstance(url, str) else None,
        title=title if isinstance(title, str) else None,
        raw=raw,
    )


def _refusal_and_media(taker: Taker, upstream: Upstream) -> list[Part]:
    parts: list[Part] = []
    refusal = taker.str("refusal")
    if refusal:
        parts.append(TextPart(refusal, refusal=True))
    audio = taker.child("audio")
    if audio is not None:
        said, data = audio.str("transcript"), audio.str("data") or ""
        source = Inline(audio_mime(upstream), data)
        parts.append(MediaPart("audio", source, id=audio.str("id"), transcript=said, group="audio"))
        taker.keep("audio", audio)
    images = taker.list("images")
    if images:
        parts.extend(decode_parts(images, taker.at("images"), group="images"))
    return parts


def audio_mime(upstream: Upstream) -> str:
    """The media type of audio in answers: the request chose it, the wire does not repeat it."""
    mime = upstream.extra.get("audio_mime")
    return mime if isinstance(mime, str) else "audio/wav"


def _with_logprobs(choice: Taker, parts: list[Part]) -> list[Part]:
    """`logprobs` on the text they tell of; what has no text stays with the choice."""
    child = choice.child("logprobs") if isinstance(choice.rest.get("logprobs"), dict) else None
    if child is None:
        return parts
    out = list(parts)
    for name, refusal in (("content", False), ("refusal", True)):
        values = child.rest.get(name)
        at = next((n for n, part in enumerate(out) if isinstance(part, TextPart) and part.refusal is refusal), None)
        if isinstance(values, list) and at is not None:
            out[at] = replace(cast("TextPart", out[at]), logprobs=child.rest.pop(name))
    child.rest = _said(child.rest)
    choice.keep("logprobs", child)
    return out


# Encoding


def encode_response(response: ChatResponse, downstream: Downstream) -> Encoded:
    """Canonical → wire."""
    same = response.origin is not None and response.origin.dialect == NAME
    losses: list[Loss] = []
    wire: Object = {
        "id": answer_id(response.id, downstream, same=same),
        "object": "chat.completion",
        "created": response.created if response.created is not None else downstream.created,
        "model": response.model or downstream.model,
        "choices": [_encode_output(output, at, response, losses) for at, output in enumerate(response.outputs)],
    }
    if response.usage is not None:
        wire["usage"] = usage.encode(response.usage, same=same)
    put(wire, service_tier=response.service_tier, system_fingerprint=response.system_fingerprint)
    if same:
        merged(wire, response.extra)
    else:
        losses += foreign_extra(response.extra, None, NAME)
    for name in ("safety", "grounding", "diagnostics"):
        if getattr(response, name) is not None:
            losses.append(Loss(name, "no slot in a chat completion"))
    return Encoded(_json.dumps(wire), tuple(losses))


def answer_id(given: str | None, downstream: Downstream, *, same: bool) -> str:
    """The upstream's id where it suits the dialect, else the gateway's with the dialect's prefix."""
    if given and (same or given.startswith("chatcmpl")):
        return given
    return downstream.id if downstream.id.startswith("chatcmpl") else f"chatcmpl-{downstream.id}"


def _encode_output(output: Output, at: int, response: ChatResponse, losses: list[Loss]) -> Object:
    same = response.origin is not None and response.origin.dialect == NAME
    writer = MessageWriter(f"choices[{at}].message", losses, same)
    for index, part in enumerate(output.message.parts):
        writer.add(part, index)
    message = writer.message()
    finish = output.finish
    choice: Object = {
        "index": at,
        "message": message,
        "logprobs": writer.logprobs(),
        "finish_reason": encode_finish(finish, response.origin),
    }
    put(choice, stop_reason=finish.stop_sequence)
    if finish.reason in UNSAID and not same:
        losses.append(Loss(f"choices[{at}].finish_reason", f"{finish.reason} has no word here"))
    if same:
        merged(choice, output.extra)
    audio = cast("Object", choice["message"]).get("audio")
    if isinstance(audio, dict):
        cast("Object", audio).setdefault("expires_at", 0)
    if same:
        return choice
    losses += foreign_extra(output.extra, None, NAME, path=f"choices[{at}]")
    return choice


@dataclass(slots=True)
class MessageWriter:
    """The message of an answer, part by part."""

    path: str
    losses: list[Loss]
    same: bool
    texts: list[str] = field(default_factory=list[str])
    refusals: list[str] = field(default_factory=list[str])
    thoughts: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    details: list[Object] = field(default_factory=list[Object])
    annotations: list[Object] = field(default_factory=list[Object])
    calls: list[Object] = field(default_factory=list[Object])
    images: list[Object] = field(default_factory=list[Object])
    members: Object = field(default_factory=dict[str, object])
    probabilities: Object = field(default_factory=dict[str, object])
    length: int = 0

    def add(self, part: Part, index: int) -> None:
        """Place one part in its member, or record its loss."""
        if not self.same:
            self.losses += foreign_extra(part.extra, None, NAME, path=f"{self.path}.content[{index}]")
        match part:
            case TextPart():
                self._text(part, index)
            case ThinkingPart():
                self._thinking(part)
            case ToolCallPart():
                self._call(part, index)
            case MediaPart():
                self._media(part, index)
            case OpaquePart() if part.dialect == NAME and part.group == DETAILS:
                self.details.append(dict(part.raw))
            case OpaquePart() if part.dialect == NAME and part.group == "tool_calls":
                self.calls.append(dict(part.raw))
            case _:
                self._lose(index, "a part that chat completions have no form for", "content")

    def _lose(self, index: int, what: str, severity: Severity = "knob") -> None:
        self.losses.append(Loss(f"{self.path}.content[{index}]", what, severity))

    def _text(self, part: TextPart, index: int) -> None:
        if part.signature is not None:
            if "extra_content" in self.members:
                self._lose(index, "only one signature fits on the text", "opaque")
            self.members["extra_content"] = thought(answer_token(part.signature, part.id))
        (self.refusals if part.refusal else self.texts).append(part.text)
        for citation in part.citations:
            wire = annotation(citation, self.length, len(part.text))
            if wire is None:
                self._lose(index, f"a citation of the kind {citation.kind}")
            else:
                self.annotations.append(wire)
        logprobs: object = part.logprobs
        if isinstance(logprobs, list):
            name = "refusal" if part.refusal else "content"
            have = cast("list[object]", self.probabilities.get(name, []))
            self.probabilities[name] = [*have, *cast("list[object]", logprobs)]
        if not part.refusal:
            self.length += len(part.text)

    def _thinking(self, part: ThinkingPart) -> None:
        name = text_field(part)
        text = part.text or "\n\n".join(part.summary)
        if text and name is not None:
            self.thoughts.setdefault(name, []).append(text)
        if part.signature is not None or (part.group or "").startswith(DETAILS):
            self.details += details_of(part, len(self.details), seals=True)

    def _call(self, part: ToolCallPart, index: int) -> None:
        if part.kind in ("server", "mcp"):
            self._lose(index, f"the provider ran the tool {part.name} itself", "content")
            return
        if part.group == LEGACY:
            self.members[LEGACY] = {"name": part.name, "arguments": part.arguments}
            return
        wire = call_object(part, part.name, part.call_id, call_arguments(part, same=self.same))
        if part.signature is not None:
            wire["extra_content"] = thought(answer_token(part.signature, part.id))
        self.calls.append(merged(wire, part.extra) if self.same else wire)

    def _media(self, part: MediaPart, index: int) -> None:
        source = part.source
        if part.kind == "audio" and isinstance(source, Inline) and "audio" not in self.members:
            self.members["audio"] = audio_object(part, source)
        elif part.kind == "image" and isinstance(source, Inline | Url):
            self.images.append(image_object(part, source, same=self.same))
        else:
            what = "a file stored at a provider" if isinstance(source, FileRef) else f"{part.kind} in an answer"
            self._lose(index, what, "content")

    def message(self) -> Object:
        """The finished message."""
        wire: Object = {
            "role": "assistant",
            "content": "".join(self.texts) if self.texts else None,
            "refusal": "".join(self.refusals) or None,
        }
        wire.update({name: "".join(texts) for name, texts in self.thoughts.items()})
        put(wire, tool_calls=self.calls or None, annotations=self.annotations or None, images=self.images or None)
        put(wire, **{DETAILS: self.details or None}, **self.members)
        return wire

    def logprobs(self) -> Object | None:
        """`logprobs` of the choice."""
        if not self.probabilities:
            return None
        return {"content": self.probabilities.get("content"), "refusal": self.probabilities.get("refusal")}


def call_arguments(part: ToolCallPart, *, same: bool) -> str:
    """Arguments as clients can parse them: the empty text of another dialect becomes an empty object."""
    return part.arguments if same or part.kind == "custom" else part.arguments or "{}"


def text_field(part: ThinkingPart) -> str | None:
    """The member that carries the text of a thinking part; None when only the details do."""
    group, _, name = (part.group or "").partition("+")
    if group in FIELDS:
        return group
    return name or (None if group == DETAILS else FIELDS[0])


def annotation(citation: Citation, offset: int, length: int) -> Object | None:
    """A citation as an element of `annotations`; one without offsets covers its text."""
    if citation.raw is not None and (citation.raw.get("type") == "url_citation" and "url_citation" in citation.raw):
        return dict(citation.raw)
    if citation.url is None:
        return None
    start = 0 if citation.start is None else citation.start
    end = length if citation.end is None else citation.end
    return {
        "type": "url_citation",
        "url_citation": {
            "start_index": offset + start,
            "end_index": offset + end,
            "title": citation.title or "",
            "url": citation.url,
        },
    }


def audio_object(part: MediaPart, source: Inline) -> Object:
    """The `audio` member of an answer."""
    return {"id": part.id or "audio_0", "data": source.data, "transcript": part.transcript or ""}


def image_object(part: MediaPart, source: Inline | Url, *, same: bool) -> Object:
    """An element of `images`, the form compatible servers use."""
    wire: Object = {"type": "image_url", "image_url": {"url": url_of(source)}}
    if part.signature is not None:
        wire["extra_content"] = thought(answer_token(part.signature, part.id))
    return merged(wire, part.extra) if same else wire
