"""Events → streamed answers.

The wire has one open block at a time, numbered in order. Events of a part that is not the open one wait until
it is closed (other APIs interleave parallel calls). Kinds of parts that have no deltas here wait for their end and go out
whole. `message_start` leaves before any content, with the usage known by then; the full usage is in `message_delta`,
which leaves with the terminator, since only then nothing can be added.
"""

from collections.abc import Sequence
from dataclasses import replace

from execution_platform import _json
from execution_platform.dialects.anthropic.answer import (
    Answer,
    beside,
    call_head,
    encode_answer_part,
    encode_citation,
    extra_members,
    is_call,
    stop_members,
    thinking_token,
)
from execution_platform.dialects.anthropic.errors import error_frame
from execution_platform.dialects.anthropic.response import message_id
from execution_platform.dialects.anthropic.signed_text import DROPPED, joins, mark
from execution_platform.dialects.anthropic.usage import delta_usage, encode_usage
from execution_platform.dialects.anthropic.wire import ALONE, NAME, NEXT, PREVIOUS
from execution_platform.dialects.base import Downstream
from execution_platform.dialects.sse import event_frame
from execution_platform.dialects.take import Object
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
    SignatureDelta,
    Started,
    SummaryDelta,
    TextDelta,
    ThinkingDelta,
    UsageReported,
)
from execution_platform.spi.loss import Loss
from execution_platform.spi.parts import Part, Signature, TextPart, ThinkingPart, ToolCallPart
from execution_platform.spi.usage import Usage

HEARTBEAT = b'event: ping\ndata: {"type": "ping"}\n\n'
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":'
)
_DELTA_END = b"}}\n\n"
_dumps = _json.dumps


class Encoder:
    """One streamed answer."""

    __slots__ = (
        "_answer",
        "_calls",
        "_current",
        "_downstream",
        "_failed",
        "_finished",
        "_hot",
        "_kept",
        "_length",
        "_next",
        "_opened",
        "_out",
        "_part",
        "_pending",
        "_prefix",
        "_resting",
        "_seal",
        "_sealed",
        "_signed",
        "_started",
        "_summary",
        "_usage",
        "_waiting",
    )

    def __init__(self, downstream: Downstream) -> None:
        self._downstream = downstream
        self._answer = Answer(None)
        self._out: list[bytes] = []
        self._started = False
        self._failed = False
        self._finished: Finished | None = None
        self._usage: Usage | None = None
        self._calls = False
        self._next = 0
        """Wire number of the next block."""
        self._current: int | None = None
        """Index of the part that is being written."""
        self._part: Part | None = None
        self._opened = False
        """Whether the block of that part has started on the wire."""
        self._hot = -1
        """Index of the part whose text deltas need nothing but the prefix."""
        self._prefix = b""
        self._seal: Signature | None = None
        self._signed: list[bool] = []
        """Whether each text of the open block is signed; empty when the block is none of text."""
        self._sealed: list[tuple[Signature, int, bool]] = []
        """The tokens of those texts, for behind the block: with the text's length and whether it is the first."""
        self._pending: list[Object] = []
        """Tokens of texts, which leave with the next block: a caller takes the last one for the answer."""
        self._resting = False
        """Whether the last text is complete and its block still open: a further text may share it."""
        self._length = 0
        """Characters of a signed text so far."""
        self._summary: int | None = None
        self._kept: list[str] = []
        """Text of a part that goes out whole."""
        self._waiting: dict[int, list[Event]] = {}

    @property
    def losses(self) -> Sequence[Loss]:
        """What could not be carried so far."""
        return self._answer.losses

    def send(self, events: Sequence[Event]) -> bytes:
        """The bytes for `events`."""
        out = self._out
        for event in events:
            if (
                event.__class__ is PartDelta
                and event.index == self._hot  # type: ignore[union-attr]
                and event.delta.__class__ is TextDelta  # type: ignore[union-attr]
                and event.choice == 0  # type: ignore[union-attr]
            ):
                out += (self._prefix, _dumps(event.delta.text), _DELTA_END)  # type: ignore[union-attr]
            else:
                self._event(event)
        data = b"".join(out)
        out.clear()
        return data

    def close(self) -> bytes:
        """The stop reason, the usage and the terminator; nothing after a failure or before the finish."""
        finished = self._finished
        if self._failed or finished is None:
            return b""
        self._finished = None
        self._end_text()
        if self._pending:
            self._answer.lose("content.signature", DROPPED, "opaque")
        rest = b"".join(self._out)
        self._out.clear()
        answer = self._answer
        usage = delta_usage(encode_usage(self._usage, native=answer.native))
        delta = stop_members(finished.finish, answer, calls=self._calls)
        payload: Object = {"type": "message_delta", "delta": delta, "usage": usage}
        for name, value in extra_members(finished.extra or {}, answer).items():
            (delta if name == "container" else payload)[name] = value
        return rest + event_frame("message_delta", _dumps(payload)) + _STOP

    def _event(self, event: Event) -> None:
        match event:
            case PartStarted() | PartDelta() | PartFinished():
                self._of_part(event)
            case Started():
                self._start(event)
            case UsageReported():
                self._usage = event.usage
            case Finished():
                if event.choice == 0:
                    self._finished = event
            case Failed():
                self._failed = True
                request_id = self._downstream.extra.get("request_id")
                self._out.append(error_frame(event.error, request_id if isinstance(request_id, str) else ""))
            case Raw():
                self._raw(event)

    def _start(self, event: Started) -> None:
        self._started = True
        self._answer.origin = event.origin
        answer = self._answer
        if event.usage is not None:
            self._usage = event.usage
        message: Object = {
            "id": message_id(event.id, self._downstream),
            "type": "message",
            "role": "assistant",
            "model": event.model or self._downstream.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": encode_usage(self._usage, native=answer.native),
        }
        for name, value in extra_members(event.extra or {}, answer).items():
            message.setdefault(name, value)
        self._write({"type": "message_start", "message": message})

    def _raw(self, event: Raw) -> None:
        word = event.payload.get("type")
        if event.dialect != NAME or not isinstance(word, str):
            return
        if word == "ping":
            self._out.append(HEARTBEAT)
        elif word == "content_block_delta":
            if self._opened:
                self._write({**event.payload, "index": self._next - 1})
        elif word.replace("_", "").isalnum():
            self._write(dict(event.payload))

    def _write(self, payload: Object) -> None:
        self._out.append(event_frame(str(payload["type"]), _dumps(payload)))

    def _of_part(self, event: PartStarted | PartDelta | PartFinished) -> None:
        if event.choice != 0:
            if isinstance(event, PartStarted):
                self._answer.lose(f"outputs[{event.choice}]", "there is room for one answer only", "content")
            return
        if not self._started:
            self._start(Started())
        if self._current is not None and event.index != self._current:
            self._waiting.setdefault(event.index, []).append(event)
            return
        self._now(event)
        while self._current is None and self._waiting:
            index = next(iter(self._waiting))
            for waiting in self._waiting.pop(index):
                if isinstance(waiting, PartStarted | PartDelta | PartFinished):
                    self._now(waiting)

    def _now(self, event: PartStarted | PartDelta | PartFinished) -> None:
        match event:
            case PartStarted():
                self._open_part(event.index, event.part)
            case PartDelta():
                self._delta(event.delta)
            case PartFinished():
                self._finish_part(event.part)

    def _open_part(self, index: int, part: Part) -> None:
        self._current, self._part, self._opened, self._hot = index, part, False, -1
        self._seal, self._summary = part.signature, None
        self._kept.clear()
        if isinstance(part, TextPart):
            # Opened by its first text: an empty block means nothing to a caller, and the API refuses it in a history.
            if part.text:
                self._text(part.text)
        elif isinstance(part, ThinkingPart) and not part.redacted:
            self._block({"type": "thinking", "thinking": "", "signature": "", **self._leftovers(part)})
            if part.text:
                self._delta(ThinkingDelta(part.text))
            for number, text in enumerate(part.summary):
                self._delta(SummaryDelta(text, number))
        elif isinstance(part, ToolCallPart) and part.kind != "custom":
            self._open_call(index, part)
        else:
            self._kept.append(part.arguments if isinstance(part, ToolCallPart) else "")

    def _leftovers(self, part: Part) -> Object:
        return dict(part.extra) if self._answer.native else {}

    def _open_call(self, index: int, part: ToolCallPart) -> None:
        head = call_head(part, f"content[{index}]", self._answer)
        if head is None:
            return
        self._calls = self._calls or is_call(part)
        if self._seal is not None:
            self._whole(beside(self._seal, NEXT))
            self._seal = None
        self._block(head)
        if part.arguments:
            self._delta(ArgumentsDelta(part.arguments))

    def _block(self, block: Object) -> None:
        """Start a block."""
        self._end_text()
        pending, self._pending = self._pending, []
        for token in pending:
            self._whole(token)
        self._write({"type": "content_block_start", "index": self._next, "content_block": block})
        self._next += 1
        self._opened = True

    def _stop_block(self) -> None:
        self._write({"type": "content_block_stop", "index": self._next - 1})
        self._opened = False
        self._signed.clear()

    def _whole(self, block: Object) -> None:
        """A block from start to stop."""
        match block.get("type"):
            case "tool_use":
                self._block({**block, "input": {}})
                self._put({"type": "input_json_delta", "partial_json": _dumps(block["input"]).decode()})
            case "text":
                self._block({"type": "text", "text": ""})
                self._put({"type": "text_delta", "text": block["text"]})
            case _:
                self._block(block)
        self._stop_block()

    def _put(self, delta: Object) -> None:
        self._write({"type": "content_block_delta", "index": self._next - 1, "delta": delta})

    def _text(self, text: str) -> None:
        if not self._opened and isinstance(self._part, TextPart):
            self._open_text(self._part)
        self._length += len(text)
        self._out += (self._prefix, _dumps(text), _DELTA_END)

    def _open_text(self, part: TextPart) -> None:
        """A text begins: in a block of its own, or in that of the text before it if one of them is signed."""
        is_signed = self._seal is not None
        if self._resting and joins(self._signed, is_signed=is_signed):
            self._resting, self._opened = False, True
        else:
            self._block({"type": "text", "text": "", **self._leftovers(part)})
        self._signed.append(is_signed)
        # The length of a signed text must be known, so its pieces take the long way.
        self._hot = -1 if self._current is None or is_signed else self._current
        self._prefix = _DELTA % (self._next - 1)
        self._length = 0

    def _rest(self) -> None:
        """The open text is complete; its block waits for a text that shares it."""
        if self._seal is not None:
            self._signed[-1] = True
            where = (self._seal, self._length, len(self._signed) == 1)
            self._sealed.append(where)
        self._resting, self._opened = True, False

    def _end_text(self) -> None:
        """End the block of complete texts, and say whose the tokens are."""
        if not self._resting:
            return
        self._resting = False
        tokens, alone = self._sealed.copy(), len(self._signed) == 1
        self._stop_block()
        self._sealed.clear()
        self._signed.clear()
        for seal, length, is_first in tokens:
            self._pending.append(beside(seal, mark(length, is_first=is_first, is_last=alone)))

    def _delta(self, delta: Delta) -> None:
        match delta:
            case TextDelta() | RefusalDelta() if isinstance(self._part, TextPart):
                if delta.text or self._opened:
                    self._text(delta.text)
            case ThinkingDelta() if self._opened:
                self._put({"type": "thinking_delta", "thinking": delta.text})
            case SummaryDelta() if self._opened:
                self._summarise(delta)
            case ArgumentsDelta() if self._opened:
                self._put({"type": "input_json_delta", "partial_json": delta.text})
            case ArgumentsDelta():
                self._kept.append(delta.text)
            case SignatureDelta():
                self._seal = delta.signature
            case CitationDelta():
                self._cite(delta)
            case _:
                # Log probabilities and media data have no form here; the part itself tells of its loss.
                pass

    def _cite(self, delta: CitationDelta) -> None:
        citation = encode_citation(delta.citation, f"content[{self._current}]", self._answer)
        if citation is not None and isinstance(self._part, TextPart):
            if not self._opened:
                self._text("")
            self._put({"type": "citations_delta", "citation": citation})

    def _summarise(self, delta: SummaryDelta) -> None:
        gap = "\n\n" if self._summary is not None and delta.index != self._summary else ""
        self._summary = delta.index
        self._put({"type": "thinking_delta", "thinking": gap + delta.text})

    def _finish_part(self, final: Part | None) -> None:
        part = final if final is not None else self._part
        if part is None:
            return
        if self._seal is not None and part.signature is None:
            part = replace(part, signature=self._seal)
        if self._opened:
            self._finish_open(part)
        elif isinstance(part, TextPart):
            self._late_text(part)
        elif not isinstance(part, ToolCallPart):
            self._late(part)
        elif part.kind == "custom":
            self._calls = True
            self._late(part if final is not None else replace(part, arguments="".join(self._kept)))
        self._current, self._part, self._hot = None, None, -1

    def _finish_open(self, part: Part) -> None:
        if isinstance(part, ThinkingPart):
            value = thinking_token(part, self._answer)
            if value:
                self._put({"type": "signature_delta", "signature": value})
        if isinstance(part, TextPart) and not self._answer.native:
            self._rest()
            return
        self._stop_block()
        if self._seal is not None and not isinstance(part, ThinkingPart):
            self._whole(beside(self._seal, PREVIOUS))

    def _late(self, part: Part) -> None:
        """A part that goes out whole, at its end."""
        for block in encode_answer_part(part, f"content[{self._current}]", self._answer):
            self._whole(block)

    def _late_text(self, part: TextPart) -> None:
        """Text that came without deltas: said now, or only its token."""
        if part.text:
            self._late(replace(part, signature=None))
        if self._seal is not None:
            self._end_text()
            self._pending.append(beside(self._seal, PREVIOUS if part.text else ALONE))
