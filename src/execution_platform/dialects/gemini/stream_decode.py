"""Streamed answers → events.

Theory of operation: each chunk is an answer of its own kind, with the parts that are new and the usage so
far. Text of consecutive chunks is one part, unless a chunk is signed: a signature belongs to exactly the
part it came with, so a signed text is a part of its own. Calls come whole. The wire has no terminator; a
candidate's `finishReason` is its end. Sources and usage come with the last chunks, so parts stay open and
`Finished` is held until the upstream ends. A stream that ends without a reason was cut.
"""

from dataclasses import replace
from typing import Final, cast

from execution_platform import _json
from execution_platform.dialects.base import Upstream
from execution_platform.dialects.gemini.calls import Calls
from execution_platform.dialects.gemini.errors import error_in_answer
from execution_platform.dialects.gemini.finish import blocked, decode_finish
from execution_platform.dialects.gemini.frames import Payloads
from execution_platform.dialects.gemini.metadata import Text, decode_logprobs, sources
from execution_platform.dialects.gemini.partial_args import PartialCall, is_partial
from execution_platform.dialects.gemini.parts_decode import decode_part, thinking
from execution_platform.dialects.gemini.response import created, own, text_member
from execution_platform.dialects.gemini.usage import REPORT_EVERY, Meter, grounding_of
from execution_platform.dialects.gemini.wire import (
    NAME,
    answer_object,
    bad_answer,
    is_native,
    member,
    objects,
    read_signature,
    whole,
)
from execution_platform.dialects.take import Object
from execution_platform.exceptions import ErrorKind, InvalidRequest, ProtocolError
from execution_platform.spi.events import (
    ArgumentsDelta,
    CitationDelta,
    Event,
    Failed,
    Finished,
    LogprobsDelta,
    PartDelta,
    PartFinished,
    PartStarted,
    Raw,
    Started,
    TextDelta,
    ThinkingDelta,
    UsageReported,
)
from execution_platform.spi.parts import Part, Signature, TextPart, ThinkingPart, ToolCallPart
from execution_platform.spi.response import Finish

_CHUNK: Final = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId", "createTime"})
_HELD: Final = _CHUNK - {"createTime"}
_CANDIDATE: Final = frozenset({"content", "index"})
_NONE, _TEXT, _THOUGHT, _SIGNED = range(4)


class Decoder:
    """`dialects.base.StreamDecoder` for this dialect."""

    __slots__ = ("_blocked", "_choices", "_failed", "_meter", "_payloads", "_report_at", "_started", "_upstream")

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._payloads = Payloads()
        self._meter = Meter()
        self._choices: dict[int, _Choice] = {}
        self._blocked: Finish | None = None
        self._started: str | None = None
        self._report_at = 0
        self._failed = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes. Raises `ProtocolError` on what is no chunk of this API."""
        events: list[Event] = []
        for text in self._payloads.feed(data):
            self._chunk(text, events)
        return events

    def close(self) -> list[Event]:
        """The last events. Raises `ProtocolError` when the stream ended before its answer."""
        events: list[Event] = []
        is_broken = False
        for text in self._payloads.close():
            try:
                self._chunk(text, events)
            except ProtocolError:
                is_broken = True
        if self._failed:
            return events
        if is_broken or not self._ends():
            raise ProtocolError(
                "the provider's stream was cut: it ended before a finish reason", kind=ErrorKind.PROTOCOL
            )
        if not self._choices:
            self._choices[0] = _Choice(0, self._upstream, self._started or "")
        for choice in self._choices.values():
            choice.close_parts(events)
        usage = self._meter.usage()
        if usage is not None:
            events.append(UsageReported(usage))
        events.extend(choice.finished(self._blocked) for choice in self._choices.values())
        return events

    def _ends(self) -> bool:
        if self._blocked is not None:
            return True
        return bool(self._choices) and all(choice.word is not None for choice in self._choices.values())

    def _chunk(self, text: bytes, events: list[Event]) -> None:
        try:
            wire = _json.loads(text)
        except _json.JsonError as error:
            raise bad_answer(error.message) from error
        if type(wire) is not dict:
            wire = answer_object(text)
        chunk = cast("Object", wire)
        if self._failed:
            return
        if self._started is None or not chunk.keys() <= _CHUNK:
            self._around(chunk, events)
            if self._failed:
                return
        usage = chunk.get("usageMetadata")
        if type(usage) is dict:
            self._usage(cast("Object", usage), events)
        candidates = chunk.get("candidates")
        if type(candidates) is list:
            for candidate in cast("list[object]", candidates):
                if type(candidate) is dict:
                    self._candidate(cast("Object", candidate), events)

    def _usage(self, usage: Object, events: list[Event]) -> None:
        self._meter.report(usage)
        count = usage.get("candidatesTokenCount", 0)
        if type(count) is int and count >= self._report_at:
            self._report_at = count + REPORT_EVERY
            told = self._meter.usage()
            if told is not None:
                events.append(UsageReported(told, final=False))

    def _candidate(self, candidate: Object, events: list[Event]) -> None:
        number = candidate.get("index", 0)
        choice = self._choices.get(number) if type(number) is int else None
        if choice is None:
            choice = self._open(candidate)
        content = candidate.get("content")
        parts = cast("Object", content).get("parts") if type(content) is dict else None
        if type(parts) is list:
            for item in cast("list[object]", parts):
                if type(item) is dict:
                    part = cast("Object", item)
                    text = part.get("text")
                    if len(part) == 1 and type(text) is str and choice.kind == _TEXT and choice.held is None:
                        choice.texts.append(text)
                        events.append(PartDelta(choice.index, TextDelta(text), choice.number))
                    else:
                        choice.part(part, events)
        if not candidate.keys() <= _CANDIDATE:
            choice.beside(candidate, events, self._meter)

    def _open(self, candidate: Object) -> "_Choice":
        """A choice's state at its first chunk."""
        number = whole(candidate.get("index")) or 0
        choice = self._choices.get(number)
        if choice is None:
            choice = _Choice(number, self._upstream, self._started or "")
            if "index" in candidate:
                choice.extra["index"] = candidate["index"]
            self._choices[number] = choice
        return choice

    def _around(self, chunk: Object, events: list[Event]) -> None:
        """The members beside candidates and usage: the first chunk's begin the answer."""
        if "error" in chunk:
            if self._started is None:
                self._begin({}, events)
            events.append(Failed(error_in_answer(chunk)))
            self._failed = True
            return
        feedback = blocked(member(chunk, "promptFeedback"))
        if feedback is not None and not chunk.get("candidates"):
            self._blocked = feedback
            chunk = {name: value for name, value in chunk.items() if name != "promptFeedback"}
        if self._started is None:
            self._begin(chunk, events)
            return
        rest = {name: value for name, value in chunk.items() if name not in _CHUNK}
        if rest:
            events.append(Raw(NAME, rest))

    def _begin(self, chunk: Object, events: list[Event]) -> None:
        identity = text_member(chunk, "responseId")
        self._started = str(identity)
        extra = {name: value for name, value in chunk.items() if name not in _HELD}
        if chunk and not _CHUNK & chunk.keys() and self._blocked is None:
            raise bad_answer("the first chunk has none of candidates, promptFeedback, usageMetadata")
        events.append(
            Started(
                id=identity,
                model=text_member(chunk, "modelVersion"),
                origin=self._upstream.origin,
                created=created(chunk),
                extra=extra or None,
            )
        )


class _Choice:
    """One candidate between its first chunk and its end."""

    __slots__ = (
        "_calls",
        "_citations",
        "_logprobs",
        "_message",
        "_partial",
        "_upstream",
        "called",
        "extra",
        "held",
        "index",
        "kind",
        "number",
        "texts",
        "word",
    )

    def __init__(self, number: int, upstream: Upstream, identity: str) -> None:
        self.number = number
        self.index = -1
        self.kind = _NONE
        self.texts: list[str] = []
        self.held: TextPart | None = None
        """An empty signed text: it follows the open text, which may still get its sources."""
        self.extra: Object = {}
        self.word: str | None = None
        self.called = False
        self._message: object = None
        self._upstream = upstream
        self._calls = Calls(f"{identity}\n{number}")
        self._partial: PartialCall | None = None
        self._citations: Object = {}
        self._logprobs: Object = {}

    # Parts

    def part(self, wire: Object, events: list[Event]) -> None:
        """One part of a chunk, of any kind."""
        text = wire.get("text")
        if "functionCall" in wire and (self._partial is not None or is_partial(member(wire, "functionCall"))):
            self._piece(wire, events)
        elif type(text) is not str:
            self._whole(wire, events)
        elif len(wire) == 1:
            if text:
                self._say(_TEXT, text, events)
        elif wire.keys() <= {"text", "thought"} and type(wire.get("thought")) is bool:
            if text:
                self._say(_THOUGHT if wire["thought"] else _TEXT, text, events)
        elif wire.keys() <= {"text", "thought", "thoughtSignature"} and type(wire.get("thoughtSignature")) is str:
            self._signed(wire, text, events)
        else:
            self._whole(wire, events)

    def _say(self, kind: int, text: str, events: list[Event]) -> None:
        """Text or a thought; it goes on in the open part of its kind."""
        if self.kind != kind or self.held is not None:
            self._start(kind, TextPart("") if kind == _TEXT else ThinkingPart(""), events)
        self.texts.append(text)
        delta = TextDelta(text) if kind == _TEXT else ThinkingDelta(text)
        events.append(PartDelta(self.index, delta, self.number))

    def _start(self, kind: int, part: Part, events: list[Event]) -> None:
        self.close_open(events)
        self.index += 1
        self.kind = kind
        self.texts = []
        events.append(PartStarted(self.index, part, self.number))

    def _signed(self, wire: Object, text: str, events: list[Event]) -> None:
        opened = read_signature(cast("str", wire["thoughtSignature"]))
        if wire.get("thought") is True:
            self._signed_thought(wire, text, events)
            return
        signature = opened.signature
        if is_native(signature):
            signature = Signature(signature.value, self._upstream.origin, signature.kind)
        part = TextPart("", signature=signature)
        if not text and self.kind in (_TEXT, _SIGNED) and self.held is None:
            self.held = part
            return
        self._start(_SIGNED, part, events)
        if text:
            self.texts.append(text)
            events.append(PartDelta(self.index, TextDelta(text), self.number))

    def _signed_thought(self, wire: Object, text: str, events: list[Event]) -> None:
        """A signed thought ends the open one; a token of another provider signs all that was thought before."""
        opened = read_signature(cast("str", wire["thoughtSignature"]))
        joins = self.kind == _THOUGHT and self.held is None and (not text or not is_native(opened.signature))
        if not joins:
            self._start(_THOUGHT, ThinkingPart(""), events)
        if text:
            self.texts.append(text)
            events.append(PartDelta(self.index, ThinkingDelta(text), self.number))
        part = own(thinking("".join(self.texts), opened, {}), self._upstream)
        events.append(PartFinished(self.index, part, self.number))
        self.kind = _NONE

    def _whole(self, wire: Object, events: list[Event]) -> None:
        """A part that comes in one piece."""
        try:
            part = own(decode_part(wire, f"candidates[{self.number}].content.parts", self._calls), self._upstream)
        except InvalidRequest as error:
            raise bad_answer(error.message) from error
        self.close_open(events)
        self.index += 1
        head: Part = part
        if isinstance(part, ToolCallPart):
            self.called = self.called or part.kind == "function"
            head = replace(part, arguments="")
        events.append(PartStarted(self.index, head, self.number))
        if isinstance(part, ToolCallPart) and part.arguments:
            events.append(PartDelta(self.index, ArgumentsDelta(part.arguments), self.number))
        events.append(PartFinished(self.index, None, self.number))

    def _piece(self, wire: Object, events: list[Event]) -> None:
        """A piece of a call; one that has a name begins a new call."""
        if self._partial is not None and member(wire, "functionCall").get("name") is not None:
            self._end_call(events)
        if self._partial is None:
            self._partial = PartialCall(wire)
        else:
            self._partial.add(wire)
        if self._partial.is_done:
            self._end_call(events)

    def _end_call(self, events: list[Event]) -> None:
        if self._partial is not None:
            wire, self._partial = self._partial.whole(), None
            self._whole(wire, events)

    def close_open(self, events: list[Event]) -> None:
        """End the open part and say the signed empty text that waits behind it."""
        if self.kind != _NONE:
            events.append(PartFinished(self.index, None, self.number))
            self.kind = _NONE
        held, self.held = self.held, None
        if held is not None:
            self.index += 1
            events.append(PartStarted(self.index, held, self.number))
            events.append(PartFinished(self.index, None, self.number))

    # What stands beside the content

    def beside(self, candidate: Object, events: list[Event], meter: Meter) -> None:
        """A candidate's members other than its content."""
        for name, value in candidate.items():
            match name:
                case "content" | "index":
                    pass
                case "finishReason" if isinstance(value, str):
                    self.word = value
                case "finishMessage" if isinstance(value, str):
                    self._message = value
                case "logprobsResult" if isinstance(value, dict):
                    self._heard(cast("Object", value), events)
                case _:
                    self.extra[name] = value
        if "groundingMetadata" in candidate:
            meter.searched(self.number, grounding_of(candidate))

    def _heard(self, result: Object, events: list[Event]) -> None:
        for name, value in result.items():
            have = self._logprobs.get(name)
            if isinstance(value, list):
                self._logprobs[name] = [*objects(have), *objects(cast("object", value))]
            else:
                self._logprobs[name] = value
        logprobs = decode_logprobs(result)
        if logprobs and self.kind in (_TEXT, _SIGNED):
            events.append(PartDelta(self.index, LogprobsDelta(logprobs), self.number))

    # The end

    def close_parts(self, events: list[Event]) -> None:
        """End every part; the open text gets its sources first."""
        self._end_call(events)
        if self.kind in (_TEXT, _SIGNED) and ("groundingMetadata" in self.extra or "citationMetadata" in self.extra):
            # A segment's part index counts parts of chunks, so only the bytes tell which text it is of.
            found = sources(self.extra, [Text(-1, "".join(self.texts))])
            events.extend(PartDelta(self.index, CitationDelta(citation), self.number) for citation in found.get(-1, ()))
        self.close_open(events)

    def finished(self, refused: Finish | None) -> Finished:
        """The choice's end."""
        if self._logprobs:
            self.extra["logprobsResult"] = self._logprobs
        if self.word is None and refused is not None:
            return Finished(refused, self.number, self.extra or None)
        finish = decode_finish(self.word, called=self.called, message=self._message)
        return Finished(finish, self.number, self.extra or None)
