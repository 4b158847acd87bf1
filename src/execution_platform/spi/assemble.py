"""From events to a whole answer and back.

`accumulate(explode(response)) == response`; `Accumulator` also checks the laws of the stream algebra,
so a decoder that breaks one is found where it breaks.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import cast

from execution_platform.exceptions import ErrorKind, ProtocolError
from execution_platform.spi.events import (
    ArgumentsDelta,
    CitationDelta,
    Delta,
    Event,
    Failed,
    Finished,
    LogprobsDelta,
    MediaDelta,
    PartDelta,
    PartFinished,
    PartStarted,
    Raw,
    RefusalDelta,
    SignatureDelta,
    Started,
    SummaryDelta,
    TextDelta,
    ThinkingDelta,
    UsageReported,
)
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import (
    Citation,
    Inline,
    MediaPart,
    Part,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from execution_platform.spi.response import ChatResponse, Output
from execution_platform.spi.usage import Usage


def _broken(sentence: str) -> ProtocolError:
    return ProtocolError(f"the stream breaks its own rules: {sentence}", kind=ErrorKind.PROTOCOL)


@dataclass(slots=True)
class OpenPart:
    """A part between its start and its end."""

    part: Part
    text: list[str] = field(default_factory=list[str])
    summary: dict[int, list[str]] = field(default_factory=dict[int, list[str]])
    citations: list[Citation] = field(default_factory=list[Citation])
    logprobs: list[object] = field(default_factory=list[object])
    transcript: list[str] = field(default_factory=list[str])
    signature: Signature | None = None
    refusal: bool = False

    def add(self, delta: Delta) -> None:
        """Take one more piece."""
        match delta:
            case TextDelta() | ThinkingDelta() | ArgumentsDelta():
                self.text.append(delta.text)
            case RefusalDelta():
                self.text.append(delta.text)
                self.refusal = True
            case MediaDelta():
                self.text.append(delta.data)
                if delta.transcript is not None:
                    self.transcript.append(delta.transcript)
            case SummaryDelta():
                self.summary.setdefault(delta.index, []).append(delta.text)
            case SignatureDelta():
                self.signature = delta.signature
            case CitationDelta():
                self.citations.append(delta.citation)
            case LogprobsDelta():
                self.logprobs.extend(delta.logprobs)

    def close(self) -> Part:
        """The part with all its pieces."""
        part, text = self.part, "".join(self.text)
        if self.signature is not None:
            part = replace(part, signature=self.signature)
        match part:
            case TextPart():
                logprobs = part.logprobs
                if self.logprobs:
                    logprobs = [*cast("list[object]", logprobs or []), *self.logprobs]
                return replace(
                    part,
                    text=part.text + text,
                    citations=(*part.citations, *self.citations),
                    logprobs=logprobs,
                    refusal=part.refusal or self.refusal,
                )
            case ThinkingPart():
                added = tuple("".join(self.summary[index]) for index in sorted(self.summary))
                return replace(part, text=part.text + text, summary=(*part.summary, *added))
            case ToolCallPart():
                return replace(part, arguments=part.arguments + text)
            case MediaPart():
                if text and isinstance(part.source, Inline):
                    part = replace(part, source=replace(part.source, data=part.source.data + text))
                said = "".join(self.transcript)
                return replace(part, transcript=(part.transcript or "") + said) if self.transcript else part
            case _:
                return part


class Accumulator:
    """Folds the events of one stream into a `ChatResponse`. Raises what a `Failed` event carries."""

    def __init__(self) -> None:
        self._started: Started | None = None
        self._open: dict[tuple[int, int], OpenPart] = {}
        self._parts: dict[int, dict[int, Part]] = {}
        self._finished: dict[int, Finished] = {}
        self._usage: Usage | None = None

    def feed(self, event: Event) -> None:
        """Take one event. Raises `ProtocolError` when it breaks a law of the algebra."""
        match event:
            case Started():
                if self._started is not None:
                    raise _broken("it starts twice")
                self._started = event
                self._usage = event.usage
            case PartStarted():
                self._start(event)
            case PartDelta():
                self._at(event.choice, event.index).add(event.delta)
            case PartFinished():
                opened = self._at(event.choice, event.index)
                del self._open[(event.choice, event.index)]
                self._parts[event.choice][event.index] = event.part if event.part is not None else opened.close()
            case UsageReported():
                self._usage = event.usage
            case Finished():
                self._finish(event)
            case Failed():
                raise event.error
            case Raw():
                pass

    def _start(self, event: PartStarted) -> None:
        if self._started is None:
            raise _broken("a part opens before the stream starts")
        if event.choice in self._finished:
            raise _broken(f"choice {event.choice} goes on after its end")
        parts = self._parts.setdefault(event.choice, {})
        if event.index in parts or (event.choice, event.index) in self._open:
            raise _broken(f"part {event.index} opens twice")
        self._open[(event.choice, event.index)] = OpenPart(event.part)
        parts[event.index] = event.part

    def _at(self, choice: int, index: int) -> OpenPart:
        opened = self._open.get((choice, index))
        if opened is None:
            raise _broken(f"part {index} is used while it is not open")
        return opened

    def _finish(self, event: Finished) -> None:
        if event.choice in self._finished:
            raise _broken(f"choice {event.choice} ends twice")
        if any(choice == event.choice for choice, _ in self._open):
            raise _broken(f"choice {event.choice} ends while a part is open")
        self._finished[event.choice] = event

    def part(self, index: int, choice: int = 0) -> Part:
        """A part that has closed."""
        if (choice, index) in self._open:
            raise _broken(f"part {index} is still open")
        return self._parts[choice][index]

    def result(self) -> ChatResponse:
        """The whole answer. Raises `ProtocolError` when the stream stopped before its end."""
        started = self._started
        if started is None:
            raise _broken("it ends before it starts")
        missing = set(self._parts) - set(self._finished)
        if missing or not self._finished:
            raise _broken("it ends without a finish reason")
        outputs = tuple(self._output(choice) for choice in sorted(self._finished))
        return ChatResponse(
            outputs,
            id=started.id,
            model=started.model,
            created=started.created,
            usage=self._usage,
            origin=started.origin,
            service_tier=started.service_tier,
            system_fingerprint=started.system_fingerprint,
            safety=self._told("safety"),
            grounding=self._told("grounding"),
            diagnostics=self._told("diagnostics"),
            extra=dict(started.extra or {}),
        )

    def _told(self, name: str) -> object:
        """What the ends tell of the whole answer; the last one that says something counts."""
        told = [getattr(event, name) for event in self._finished.values()]
        return next((value for value in reversed(told) if value is not None), None)

    def _output(self, choice: int) -> Output:
        parts = self._parts.get(choice, {})
        finished = self._finished[choice]
        message = Message("assistant", tuple(parts[index] for index in sorted(parts)))
        return Output(message, finished.finish, dict(finished.extra or {}))


def accumulate(events: Iterable[Event]) -> ChatResponse:
    """The whole answer that `events` tell."""
    accumulator = Accumulator()
    for event in events:
        accumulator.feed(event)
    return accumulator.result()


def explode(response: ChatResponse) -> list[Event]:
    """The events of a whole answer: each part opens, says its content in one delta, and closes."""
    events: list[Event] = [
        Started(
            id=response.id,
            model=response.model,
            origin=response.origin,
            created=response.created,
            service_tier=response.service_tier,
            system_fingerprint=response.system_fingerprint,
            extra=dict(response.extra) or None,
        )
    ]
    for choice, output in enumerate(response.outputs):
        for index, part in enumerate(output.message.parts):
            events.extend(_explode_part(part, index, choice))
    if response.usage is not None:
        events.append(UsageReported(response.usage))
    ends = [
        Finished(output.finish, choice, dict(output.extra) or None) for choice, output in enumerate(response.outputs)
    ]
    if ends:
        last = ends[-1]
        last.safety, last.grounding, last.diagnostics = response.safety, response.grounding, response.diagnostics
    return [*events, *ends]


def _explode_part(part: Part, index: int, choice: int) -> list[Event]:
    head, deltas = split_part(part)
    return [
        PartStarted(index, head, choice),
        *(PartDelta(index, delta, choice) for delta in deltas),
        PartFinished(index, None, choice),
    ]


def split_part(part: Part) -> tuple[Part, list[Delta]]:
    """A part as its opening form and the deltas that complete it."""
    deltas: list[Delta] = []
    match part:
        case TextPart():
            if part.text:
                deltas.append(RefusalDelta(part.text) if part.refusal else TextDelta(part.text))
            deltas.extend(CitationDelta(citation) for citation in part.citations)
            if part.logprobs:
                deltas.append(LogprobsDelta(list(cast("list[object]", part.logprobs))))
            head: Part = replace(part, text="", citations=(), logprobs=None if part.logprobs else part.logprobs)
        case ThinkingPart():
            if part.text:
                deltas.append(ThinkingDelta(part.text))
            deltas.extend(SummaryDelta(text, number) for number, text in enumerate(part.summary))
            head = replace(part, text="", summary=())
            if part.signature is not None and not part.redacted:
                deltas.append(SignatureDelta(part.signature))
                head = replace(head, signature=None)
        case ToolCallPart():
            if part.arguments:
                deltas.append(ArgumentsDelta(part.arguments))
            head = replace(part, arguments="")
        case _:
            head = part
    return head, deltas
