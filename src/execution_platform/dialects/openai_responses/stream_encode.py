"""Events → streamed answers.

Every part is an item with a number of its own, so items may be open side by side; texts that came from one message item go into
one. The last event repeats the whole answer, so what was said is kept until then. All events are numbered in a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from execution_platform import _json
from execution_platform.dialects.base import Downstream
from execution_platform.dialects.losses import foreign_extra
from execution_platform.dialects.openai_responses import answer as answers
from execution_platform.dialects.openai_responses.content import encode_annotation
from execution_platform.dialects.openai_responses.errors import failure_frames
from execution_platform.dialects.openai_responses.response import joins
from execution_platform.dialects.openai_responses.wire import NAME
from execution_platform.dialects.sse import event_frame
from execution_platform.dialects.take import Object
from execution_platform.spi.assemble import OpenPart
from execution_platform.spi.events import (
    ArgumentsDelta,
    CitationDelta,
    Delta,
    Event,
    Failed,
    Finished,
    PartDelta,
    PartFinished,
    PartStarted,
    Raw,
    RefusalDelta,
    Started,
    SummaryDelta,
    TextDelta,
    ThinkingDelta,
    UsageReported,
)
from execution_platform.spi.loss import Loss
from execution_platform.spi.parts import Part, TextPart, ThinkingPart, ToolCallPart
from execution_platform.spi.usage import Usage

_DELTA = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","item_id":%b,"output_index":%d,'
    b'"content_index":%d,"logprobs":[],"sequence_number":'
)
_dumps = _json.dumps


@dataclass(slots=True)
class _MessageItem:
    """A message item on the wire: its texts so far."""

    first: TextPart
    last: TextPart
    number: int
    id: str
    content: list[Object] = field(default_factory=list[Object])
    open: int = 0
    """How many of its texts are open."""


@dataclass(slots=True)
class _Open:
    """A part on the wire that is not complete."""

    state: OpenPart
    number: int
    id: str
    message: _MessageItem | None = None
    place: int = 0
    """Number of a text in its message."""
    prefix: bytes = b""
    summaries: int = 0
    has_text: bool = False
    """Whether the wire was told of a text's or a thought's first piece."""


class Encoder:
    """One streamed answer."""

    __slots__ = (
        "_answer",
        "_failed",
        "_finished",
        "_head",
        "_items",
        "_message",
        "_open",
        "_out",
        "_sequence",
        "_usage",
    )

    def __init__(self, downstream: Downstream) -> None:
        self._answer = answers.Answer(downstream)
        self._head: Object | None = None
        self._out: list[bytes] = []
        self._sequence = 0
        self._items: dict[int, Object] = {}
        """Complete items by their number."""
        self._open: dict[int, _Open] = {}
        self._message: _MessageItem | None = None
        self._usage: Usage | None = None
        self._finished: Finished | None = None
        self._failed = False

    @property
    def losses(self) -> Sequence[Loss]:
        """What could not be carried so far."""
        return self._answer.losses

    def send(self, events: Sequence[Event]) -> bytes:
        """The bytes for `events`."""
        for event in events:
            self._event(event)
        data = b"".join(self._out)
        self._out.clear()
        return data

    def close(self) -> bytes:
        """The whole answer once more; nothing after a failure or before the finish."""
        finished = self._finished
        if self._failed or finished is None:
            return b""
        self._finished = None
        self._close_message()
        answer = self._answer
        whole = self._whole()
        whole.update(answers.ending(finished.finish, answer))
        word = {"incomplete": "response.incomplete", "failed": "response.failed"}.get(str(whole["status"]))
        self._write(word or "response.completed", {"response": whole})
        data = b"".join(self._out)
        self._out.clear()
        return data

    def _whole(self) -> Object:
        whole: Object = {**(self._head or {}), "output": [self._items[number] for number in sorted(self._items)]}
        usage = answers.usage_member(self._usage, self._answer)
        if usage is not None:
            whole["usage"] = usage
        return whole

    def _write(self, kind: str, members: Object) -> None:
        payload = {"type": kind, "sequence_number": self._sequence, **members}
        self._sequence += 1
        self._out.append(event_frame(kind, _dumps(payload)))

    def _event(self, event: Event) -> None:
        match event:
            case PartDelta() | PartStarted() | PartFinished():
                self._of_part(event)
            case Started():
                self._start(event)
            case UsageReported():
                self._usage = event.usage
            case Finished() if event.choice == 0:
                self._finished = event
            case Failed():
                self._fail(event)
            case Raw() if event.dialect == NAME:
                self._raw(event)
            case _:
                pass

    def _of_part(self, event: PartDelta | PartStarted | PartFinished) -> None:
        if event.choice != 0:
            if isinstance(event, PartStarted):
                self._answer.lose(f"outputs[{event.choice}]", "there is room for one answer only", "content")
            return
        match event:
            case PartDelta():
                self._delta(self._open[event.index], event.delta)
            case PartStarted():
                if self._head is None:
                    self._start(Started())
                self._begin(event.index, event.part)
            case PartFinished():
                self._finish(event.index, event.part)

    def _fail(self, event: Failed) -> None:
        self._failed = True
        request_id = self._answer.downstream.extra.get("request_id")
        head = self._head or answers.envelope_of(self._answer, model=None, created=None, tier=None)
        number = self._sequence
        told = request_id if isinstance(request_id, str) else ""
        self._out.append(failure_frames(event.error, told, {**head, "output": self._whole()["output"]}, number))

    def _raw(self, event: Raw) -> None:
        kind = event.payload.get("type")
        if isinstance(kind, str) and kind.replace("_", "").replace(".", "").isalnum():
            self._write(kind, {name: value for name, value in event.payload.items() if name != "sequence_number"})

    def _start(self, event: Started) -> None:
        answer = self._answer
        answer.origin, answer.given_id = event.origin, event.id
        self._usage = event.usage or self._usage
        self._head = answers.envelope_of(answer, model=event.model, created=event.created, tier=event.service_tier)
        if event.extra:
            if answer.same:
                self._head.update(event.extra)
            else:
                answer.losses += foreign_extra(event.extra, None, NAME)
        self._write("response.created", {"response": self._head})
        self._write("response.in_progress", {"response": self._head})

    # Items

    def _next(self) -> int:
        """The number of the next item."""
        message = () if self._message is None else (self._message.number,)
        taken = [*self._items, *(each.number for each in self._open.values()), *message]
        return max(taken, default=-1) + 1

    def _begin(self, index: int, part: Part) -> None:
        if isinstance(part, TextPart):
            self._begin_text(index, part)
            return
        self._close_message()
        number = self._next()
        path, state = f"content[{index}]", OpenPart(part)
        if isinstance(part, ThinkingPart):
            head = answers.reasoning_item(
                replace(part, text="", summary=(), signature=None), self._answer, number, path
            )
        elif isinstance(part, ToolCallPart) and part.kind in ("function", "custom"):
            head = answers.call_item(replace(part, arguments=""), self._answer, number, path, status="in_progress")
        else:
            self._open[index] = _Open(state, number, "")
            return
        opened = self._open[index] = _Open(state, number, str(head["id"]))
        self._write("response.output_item.added", {"output_index": number, "item": head})
        if isinstance(part, ThinkingPart):
            opened.state = OpenPart(replace(part, text="", summary=()))
            for place, text in enumerate(part.summary):
                self._delta(opened, SummaryDelta(text, place))
            if part.text:
                self._delta(opened, ThinkingDelta(part.text))
        elif part.arguments:
            opened.state = OpenPart(replace(part, arguments=""))
            self._delta(opened, ArgumentsDelta(part.arguments))

    def _begin_text(self, index: int, part: TextPart) -> None:
        message = self._message
        if message is not None and not (message.open == 0 and joins(message.last, part, self._answer)):
            self._close_message()
            message = None
        if message is None:
            number = self._next()
            item = answers.message_item(part, (), self._answer, number, "in_progress")
            message = self._message = _MessageItem(part, part, number, str(item["id"]))
            self._write("response.output_item.added", {"output_index": number, "item": item})
        message.open += 1
        opened = _Open(OpenPart(replace(part, text="")), message.number, message.id, message, len(message.content))
        self._open[index] = opened
        if part.text:
            self._delta(opened, RefusalDelta(part.text) if part.refusal else TextDelta(part.text))

    def _close_message(self) -> None:
        message = self._message
        if message is None or message.open:
            return
        self._message = None
        item = answers.message_item(message.first, message.content, self._answer, message.number, "completed")
        self._items[message.number] = item
        self._write("response.output_item.done", {"output_index": message.number, "item": item})

    # Pieces

    def _delta(self, opened: _Open, delta: Delta) -> None:
        opened.state.add(delta)
        if opened.message is not None:
            self._of_text(opened, delta)
        elif opened.id:
            self._of_item(opened, delta)

    def _of_text(self, opened: _Open, delta: Delta) -> None:
        """A piece of a message; log probabilities stand in the finished text."""
        if not opened.has_text and isinstance(delta, TextDelta | RefusalDelta | CitationDelta):
            self._open_text(opened, refusal=isinstance(delta, RefusalDelta))
        match delta:
            case TextDelta():
                self._out += (opened.prefix, b'%d,"delta":' % self._sequence, _dumps(delta.text), b"}\n\n")
                self._sequence += 1
            case RefusalDelta():
                self._piece("response.refusal.delta", opened, content_index=opened.place, delta=delta.text)
            case CitationDelta():
                number = len(opened.state.citations) - 1
                wire = encode_annotation(delta.citation, sum(map(len, opened.state.text)))
                event = "response.output_text.annotation.added"
                self._piece(event, opened, content_index=opened.place, annotation_index=number, annotation=wire)
            case _:
                pass

    def _of_item(self, opened: _Open, delta: Delta) -> None:
        """A piece of a thought or a call; signatures stand in the finished item."""
        match delta:
            case ArgumentsDelta():
                custom = isinstance(opened.state.part, ToolCallPart) and opened.state.part.kind == "custom"
                kind = "custom_tool_call_input" if custom else "function_call_arguments"
                self._piece(f"response.{kind}.delta", opened, delta=delta.text)
            case ThinkingDelta():
                if not opened.has_text:
                    opened.has_text = True
                    empty = {"type": "reasoning_text", "text": ""}
                    self._piece("response.content_part.added", opened, content_index=0, part=empty)
                self._piece("response.reasoning_text.delta", opened, content_index=0, delta=delta.text)
            case SummaryDelta():
                self._summary(opened, delta)
            case _:
                pass

    def _piece(self, kind: str, opened: _Open, **members: object) -> None:
        self._write(kind, {"item_id": opened.id, "output_index": opened.number, **members})

    def _open_text(self, opened: _Open, *, refusal: bool) -> None:
        opened.has_text = True
        empty: Object = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        part: Object = {"type": "refusal", "refusal": ""} if refusal else empty
        self._piece("response.content_part.added", opened, content_index=opened.place, part=part)
        opened.prefix = _DELTA % (_dumps(opened.id), opened.number, opened.place)

    def _summary(self, opened: _Open, delta: SummaryDelta) -> None:
        while opened.summaries <= delta.index:
            if opened.summaries:
                self._close_summary(opened)
            empty = {"type": "summary_text", "text": ""}
            self._piece("response.reasoning_summary_part.added", opened, summary_index=opened.summaries, part=empty)
            opened.summaries += 1
        event = "response.reasoning_summary_text.delta"
        self._piece(event, opened, summary_index=delta.index, delta=delta.text)

    def _close_summary(self, opened: _Open) -> None:
        place = opened.summaries - 1
        text = "".join(opened.state.summary.get(place, ()))
        self._piece("response.reasoning_summary_text.done", opened, summary_index=place, text=text)
        part = {"type": "summary_text", "text": text}
        self._piece("response.reasoning_summary_part.done", opened, summary_index=place, part=part)

    def _finish(self, index: int, final: Part | None) -> None:
        opened = self._open.pop(index)
        part = final if final is not None else opened.state.close()
        path = f"content[{index}]"
        if isinstance(part, TextPart) and opened.message is not None:
            self._finish_text(opened, opened.message, part, path)
            return
        item = answers.whole_item(part, self._answer, opened.number, path)
        if item is None:
            return
        if not opened.id:
            self._write("response.output_item.added", {"output_index": opened.number, "item": item})
        elif isinstance(part, ThinkingPart):
            if opened.summaries:
                self._close_summary(opened)
            if opened.has_text:
                self._piece("response.reasoning_text.done", opened, content_index=0, text=part.text)
                done = {"type": "reasoning_text", "text": part.text}
                self._piece("response.content_part.done", opened, content_index=0, part=done)
        elif isinstance(part, ToolCallPart):
            if part.kind == "custom":
                self._piece("response.custom_tool_call_input.done", opened, input=part.arguments)
            else:
                self._piece(
                    "response.function_call_arguments.done", opened, name=item["name"], arguments=part.arguments
                )
        self._items[opened.number] = item
        self._write("response.output_item.done", {"output_index": opened.number, "item": item})

    def _finish_text(self, opened: _Open, message: _MessageItem, part: TextPart, path: str) -> None:
        if not opened.has_text:
            self._open_text(opened, refusal=part.refusal)
        wire = answers.text_content(part, self._answer, path)
        if part.refusal:
            self._piece("response.refusal.done", opened, content_index=opened.place, refusal=part.text)
        else:
            event, logprobs = "response.output_text.done", wire["logprobs"]
            self._piece(event, opened, content_index=opened.place, text=part.text, logprobs=logprobs)
        self._piece("response.content_part.done", opened, content_index=opened.place, part=wire)
        message.content.append(wire)
        message.open -= 1
        message.last = part
