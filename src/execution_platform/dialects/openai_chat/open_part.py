"""One part of an answer on its way into stream frames. See `stream_encode` for the rules."""

# ruff: noqa: D102 - the methods of `OpenPart` are documented there.

from collections.abc import Mapping
from dataclasses import replace

from execution_platform import _json
from execution_platform.dialects.losses import foreign_extra
from execution_platform.dialects.openai_chat.calls import answer_token, call_object
from execution_platform.dialects.openai_chat.reasoning import DETAILS, details_of
from execution_platform.dialects.openai_chat.response import annotation, image_object, text_field
from execution_platform.dialects.openai_chat.wire import LEGACY, NAME, thought
from execution_platform.dialects.take import Object, merged, put
from execution_platform.spi.events import (
    ArgumentsDelta,
    CitationDelta,
    Delta,
    MediaDelta,
    RefusalDelta,
    SignatureDelta,
    SummaryDelta,
    TextDelta,
    ThinkingDelta,
)
from execution_platform.spi.loss import Loss, Severity
from execution_platform.spi.parts import (
    Inline,
    MediaPart,
    OpaquePart,
    Part,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    Url,
)

_dumps = _json.dumps


class Frames:
    """What is the same in every frame of one choice, prepared once, and the counters of the choice."""

    __slots__ = ("_end", "calls", "details", "head", "length", "losses", "same", "tail", "text_head", "text_tail")

    def __init__(self, prefix: bytes, choice: int, losses: dict[Loss, None], *, same: bool, has_usage: bool) -> None:
        end = b',"usage":null}\n\n' if has_usage else b"}\n\n"
        self.head = b"data: " + prefix + b',"choices":[{"index":%d,"delta":' % choice
        self.tail = b',"logprobs":null,"finish_reason":null}]' + end
        self._end = end
        self.text_head = self.head + b'{"content":'
        self.text_tail = b"}" + self.tail
        self.losses = losses
        self.same = same
        self.length = 0
        """Characters of visible text so far: citations count from the start of the whole."""
        self.calls = 0
        self.details = 0

    def tail_with(self, logprobs: bytes) -> bytes:
        """The end of a frame that carries log probabilities."""
        return b',"logprobs":' + logprobs + b',"finish_reason":null}]' + self._end

    def put(self, delta: Mapping[str, object], out: list[bytes]) -> None:
        """Write one delta."""
        out += (self.head, _dumps(delta), self.tail)

    def lose(self, path: str, what: str, severity: Severity = "knob") -> None:
        """Record a loss, once."""
        self.losses[Loss(path, what, severity)] = None


class OpenPart:
    """A part between its start and its end. The base class has no form on the wire: it is lost."""

    __slots__ = ("frames", "is_text", "part", "path", "signature")

    def __init__(self, part: Part, index: int, frames: Frames) -> None:
        self.part = part
        self.frames = frames
        self.path = f"message.content[{index}]"
        self.is_text = False
        self.signature: Signature | None = part.signature
        if not frames.same:
            frames.losses.update(dict.fromkeys(foreign_extra(part.extra, None, NAME, path=self.path)))

    def start(self, out: list[bytes]) -> None:
        """The part opens."""
        del out
        self.frames.lose(self.path, "a part that chat completions have no form for", "content")

    def delta(self, delta: Delta, out: list[bytes]) -> None:
        """A piece of the part."""
        del out
        if isinstance(delta, SignatureDelta):
            self.signature = delta.signature

    def finish(self, part: Part | None, out: list[bytes]) -> None:
        """The part closes; `part` is its final form where the deltas did not make it."""


class OpenText(OpenPart):
    """Visible text, or text by which the model declines."""

    __slots__ = ("_begins", "_text")

    def __init__(self, part: TextPart, index: int, frames: Frames) -> None:
        super().__init__(part, index, frames)
        self.is_text = not part.refusal
        self._begins = frames.length
        self._text = part

    def start(self, out: list[bytes]) -> None:
        if self._text.text:
            self._say(self._text.text, out)
        for citation in self._text.citations:
            self.delta(CitationDelta(citation), out)

    def _say(self, text: str, out: list[bytes]) -> None:
        if self.is_text:
            self.frames.length += len(text)
            out += (self.frames.text_head, _dumps(text), self.frames.text_tail)
        else:
            self.frames.put({"refusal": text}, out)

    def delta(self, delta: Delta, out: list[bytes]) -> None:
        match delta:
            case TextDelta():
                self._say(delta.text, out)
            case RefusalDelta():
                self.frames.put({"refusal": delta.text}, out)
            case CitationDelta():
                wire = annotation(delta.citation, self._begins, self.frames.length - self._begins)
                if wire is None:
                    self.frames.lose(f"{self.path}.citations", f"a citation of the kind {delta.citation.kind}")
                else:
                    self.frames.put({"annotations": [wire]}, out)
            case _:
                super().delta(delta, out)

    def finish(self, part: Part | None, out: list[bytes]) -> None:
        signature = part.signature if part is not None and part.signature is not None else self.signature
        if signature is not None:
            self.frames.put({"extra_content": thought(answer_token(signature, self.part.id))}, out)


class OpenThinking(OpenPart):
    """Thinking: its text as it comes, its signature at the end together with the whole, for clients that keep details."""

    __slots__ = ("_field", "_is_detail", "_said", "_summaries", "_thinking")

    def __init__(self, part: ThinkingPart, index: int, frames: Frames) -> None:
        super().__init__(part, index, frames)
        self._thinking = part
        self._field = text_field(part)
        self._is_detail = (part.group or "").startswith(DETAILS)
        self._said: list[str] = []
        self._summaries: dict[int, list[str]] = {}

    def start(self, out: list[bytes]) -> None:
        if self._thinking.text:
            self._say(self._thinking.text, out)
        for number, text in enumerate(self._thinking.summary):
            self._summarise(text, number, out)

    def delta(self, delta: Delta, out: list[bytes]) -> None:
        match delta:
            case ThinkingDelta():
                self._say(delta.text, out)
            case SummaryDelta():
                self._summarise(delta.text, delta.index, out)
            case _:
                super().delta(delta, out)

    def _say(self, text: str, out: list[bytes]) -> None:
        self._said.append(text)
        self._write(text, {"type": "reasoning.text", "text": text}, out)

    def _summarise(self, text: str, number: int, out: list[bytes]) -> None:
        begins = number not in self._summaries and bool(self._summaries)
        self._summaries.setdefault(number, []).append(text)
        self._write(f"\n\n{text}" if begins else text, {"type": "reasoning.summary", "summary": text}, out)

    def _write(self, text: str, entry: Object, out: list[bytes]) -> None:
        delta: Object = {} if self._field is None else {self._field: text}
        if self._is_detail:
            put(entry, id=self.part.id)
            delta[DETAILS] = [{**entry, **self.part.extra, "index": self.frames.details}]
        self.frames.put(delta, out)

    def finish(self, part: Part | None, out: list[bytes]) -> None:
        whole = part
        if not isinstance(whole, ThinkingPart):
            summary = tuple("".join(self._summaries[number]) for number in sorted(self._summaries))
            whole = replace(self._thinking, text="".join(self._said), summary=summary, signature=self.signature)
        if whole.signature is not None:
            if self._is_detail and (self._said or self._summaries):
                whole = replace(whole, text="", summary=())
            if len(whole.summary) > 1:
                self.frames.lose(f"{self.path}.summary", "the parts of a summary become one")
            self.frames.put({DETAILS: details_of(whole, self.frames.details, seals=True)}, out)
        if whole.signature is not None or self._is_detail:
            self.frames.details += 1


class OpenCall(OpenPart):
    """A call, numbered among the calls of its choice."""

    __slots__ = ("_call", "_head", "_number", "_said", "_tail")

    def __init__(self, part: ToolCallPart, index: int, frames: Frames) -> None:
        super().__init__(part, index, frames)
        self._call = part
        self._number = frames.calls
        self._said = bool(part.arguments)
        if part.group == LEGACY:
            self._head, self._tail = frames.head + b'{"function_call":{"arguments":', b"}}" + frames.tail
        else:
            slot = b'"custom":{"input":' if part.kind == "custom" else b'"function":{"arguments":'
            self._head = frames.head + b'{"tool_calls":[{"index":%d,' % frames.calls + slot
            self._tail = b"}}]}" + frames.tail

    def start(self, out: list[bytes]) -> None:
        part, frames = self._call, self.frames
        if part.group == LEGACY:
            frames.put({LEGACY: {"name": part.name, "arguments": part.arguments}}, out)
            return
        wire: Object = {"index": frames.calls, **call_object(part, part.name, part.call_id, part.arguments)}
        frames.calls += 1
        if part.signature is not None:
            wire["extra_content"] = thought(answer_token(part.signature, part.id))
            self.signature = None
        frames.put({"tool_calls": [merged(wire, part.extra) if frames.same else wire]}, out)

    def delta(self, delta: Delta, out: list[bytes]) -> None:
        if isinstance(delta, ArgumentsDelta):
            self._said = self._said or bool(delta.text)
            out += (self._head, _dumps(delta.text), self._tail)
        else:
            super().delta(delta, out)

    def finish(self, part: Part | None, out: list[bytes]) -> None:
        if not self._said:
            text = part.arguments if isinstance(part, ToolCallPart) else ""
            if not text and self._call.kind == "function" and not self.frames.same:
                text = "{}"
            if text:
                out += (self._head, _dumps(text), self._tail)
        signature = part.signature if part is not None and self._call.signature is None else self.signature
        if signature is not None:
            call = {"index": self._number, "extra_content": thought(answer_token(signature, self.part.id))}
            self.frames.put({"tool_calls": [call]}, out)


class OpenMedia(OpenPart):
    """Audio leaves as it comes, an image at its end."""

    __slots__ = ("_data", "_media")

    def __init__(self, part: MediaPart, index: int, frames: Frames) -> None:
        super().__init__(part, index, frames)
        self._media = part
        self._data: list[str] = []

    def start(self, out: list[bytes]) -> None:
        source = self._media.source
        if self._media.kind == "audio" and isinstance(source, Inline):
            audio: Object = {"id": self.part.id or "audio_0"}
            put(audio, data=source.data or None, transcript=self._media.transcript)
            self.frames.put({"audio": audio}, out)
        elif self._media.kind != "image" or not isinstance(source, Inline | Url):
            super().start(out)

    def delta(self, delta: Delta, out: list[bytes]) -> None:
        if not isinstance(delta, MediaDelta):
            super().delta(delta, out)
        elif self._media.kind == "audio":
            audio: Object = {}
            put(audio, data=delta.data or None, transcript=delta.transcript)
            self.frames.put({"audio": audio}, out)
        else:
            self._data.append(delta.data)

    def finish(self, part: Part | None, out: list[bytes]) -> None:
        media = part if isinstance(part, MediaPart) else replace(self._media, signature=self.signature)
        source = media.source
        if media.kind != "image" or not isinstance(source, Inline | Url):
            return
        if part is None and isinstance(source, Inline):
            source = replace(source, data=source.data + "".join(self._data))
        self.frames.put({"images": [image_object(media, source, same=self.frames.same)]}, out)


class OpenOpaque(OpenPart):
    """A part of this very dialect that nobody knows."""

    def start(self, out: list[bytes]) -> None:
        part = self.part
        if not isinstance(part, OpaquePart) or part.dialect != NAME or part.group not in (DETAILS, "tool_calls"):
            super().start(out)
            return
        self.frames.put({part.group: [dict(part.raw)]}, out)


def open_part(part: Part, index: int, frames: Frames) -> OpenPart:
    """The writer for a part."""
    match part:
        case TextPart():
            return OpenText(part, index, frames)
        case ThinkingPart():
            return OpenThinking(part, index, frames)
        case ToolCallPart() if part.kind in ("function", "custom"):
            return OpenCall(part, index, frames)
        case MediaPart():
            return OpenMedia(part, index, frames)
        case OpaquePart():
            return OpenOpaque(part, index, frames)
        case _:
            return OpenPart(part, index, frames)
