"""Events → the native stream (contract: section 4).

Theory of operation. Text and thinking leave as they come. A call leaves once, when its part closes, with complete arguments.
Usage and the end are held until `close`, because only then is it sure that nothing follows: `usage`, then `done`. After
`error` nothing leaves. A stream whose events name no end has no `done`, so the client sees that it was cut. Every datum is JSON on
one line, so no text can forge a frame; names of events are constants.

The forms carry one answer. Further ones (`n > 1`), citations, log probabilities and media are losses. A signature travels
sealed on an event of its kind with empty text, after the text it signs.
"""

from collections.abc import Mapping, Sequence
from typing import assert_never

from execution_platform import _json
from execution_platform.dialects import envelope
from execution_platform.dialects.base import Downstream
from execution_platform.dialects.native.calls import encode_call, encode_result
from execution_platform.dialects.native.errors import error_frame
from execution_platform.dialects.native.usage import encode_usage
from execution_platform.dialects.sse import event_frame
from execution_platform.dialects.take import Object, put
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
from execution_platform.spi.loss import Loss, Severity
from execution_platform.spi.parts import (
    CompactionPart,
    MediaPart,
    OpaquePart,
    Part,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from execution_platform.spi.response import Finish
from execution_platform.spi.usage import Usage

_TOKEN = b'event: token\ndata: {"text":'
_THINKING = b'event: thinking\ndata: {"text":'
_END = b"}\n\n"
_dumps = _json.dumps


class _Open:
    """A part between its start and its end."""

    __slots__ = ("arguments", "part", "signature")

    def __init__(self, part: Part) -> None:
        self.part = part
        self.arguments: list[str] = []
        self.signature: Signature | None = part.signature


class Encoder:
    """One stream's worth."""

    __slots__ = ("_closed", "_downstream", "_finish", "_id", "_losses", "_model", "_open", "_provider", "_usage")

    def __init__(self, downstream: Downstream) -> None:
        self._downstream = downstream
        self._losses: dict[Loss, None] = {}
        self._open: dict[int, _Open] = {}
        self._usage: Usage | None = None
        self._finish: Finish | None = None
        self._model: str | None = None
        self._id: str | None = None
        self._provider: str | None = None
        self._closed = False

    @property
    def losses(self) -> Sequence[Loss]:
        """What could not be carried so far, each once."""
        return tuple(self._losses)

    def send(self, events: Sequence[Event]) -> bytes:
        """The frames for `events`; nothing after an error."""
        if self._closed:
            return b""
        out: list[bytes] = []
        for event in events:
            if type(event) is PartDelta and event.choice == 0:
                delta = event.delta
                if type(delta) is TextDelta:
                    out += (_TOKEN, _dumps(delta.text), _END)
                elif type(delta) is ThinkingDelta:
                    out += (_THINKING, _dumps(delta.text), _END)
                else:
                    self._delta(event.index, delta, out)
            elif type(event) is Failed:
                out.append(error_frame(event.error, self._downstream.id))
                self._closed = True
                break
            else:
                self._event(event, out)
        return b"".join(out)

    def close(self) -> bytes:
        """`usage` and `done`; nothing after an error, nor when the events named no end."""
        if self._closed or self._finish is None:
            self._closed = True
            return b""
        self._closed = True
        extra = self._downstream.extra
        provider, model = extra.get("provider", self._provider), self._model or self._downstream.model
        usage = None if self._usage is None else encode_usage(self._usage)
        frames: list[bytes] = []
        if usage is not None:
            frames.append(event_frame("usage", _dumps({**usage, "provider": provider, "model": model})))
        done: Object = {"reason": self._finish.reason.value, "usage": usage, "provider": provider, "model": model}
        put(
            done,
            id=self._id or self._downstream.id or None,
            raw_reason=self._finish.raw,
            stop_sequence=self._finish.stop_sequence,
            details=self._finish.details,
        )
        done.update({name: value for name, value in extra.items() if name not in done})
        frames.append(event_frame("done", _dumps(done)))
        return b"".join(frames)

    def _lose(self, path: str, what: str, severity: Severity) -> None:
        self._losses[Loss(path, what, severity)] = None

    def _event(self, event: Event, out: list[bytes]) -> None:
        match event:
            case Started():
                self._start(event)
            case PartStarted() | PartDelta() | PartFinished() if event.choice:
                self._lose(f"outputs[{event.choice}]", "a native stream has one answer", "content")
            case PartStarted():
                self._open[event.index] = _Open(event.part)
                self._opened(event.index, event.part, out)
            case PartFinished():
                self._finished(event, out)
            case UsageReported():
                self._usage = event.usage
            case Finished():
                if event.choice == 0:
                    self._finish = event.finish
                    self._lose_members("outputs[0]", event.extra)
            case PartDelta() | Failed() | Raw():
                # What nobody knows (pings, progress) is no part of an answer, so nothing is lost with it.
                pass

    def _start(self, event: Started) -> None:
        self._model, self._id = event.model, event.id
        self._usage = event.usage
        if event.origin is not None:
            self._provider = event.origin.provider
        if event.system_fingerprint is not None:
            self._lose("system_fingerprint", "a native stream has no slot for it", "knob")
        self._lose_members("", event.extra)

    def _lose_members(self, path: str, extra: Mapping[str, object] | None) -> None:
        for name in extra or ():
            self._lose(f"{path}.{name}".lstrip("."), "a native stream has no slot for it", "knob")

    def _opened(self, index: int, part: Part, out: list[bytes]) -> None:
        path = f"message.content[{index}]"
        match part:
            case TextPart():
                if part.text:
                    _text(out, part.text, refusal=part.refusal)
                if part.citations:
                    self._lose(f"{path}.citations", "a native stream has no citations", "content")
            case ThinkingPart():
                for text in filter(None, (part.text, *part.summary)):
                    out += (_THINKING, _dumps(text), _END)
            case MediaPart() | OpaquePart():
                self._lose(path, "a native stream has no such part", "content")
            case CompactionPart():
                self._lose(path, "a native stream has no compaction", "opaque")
            case ToolCallPart() | ToolResultPart():
                pass

    def _delta(self, index: int, delta: Delta, out: list[bytes]) -> None:
        match delta:
            case ArgumentsDelta():
                self._open[index].arguments.append(delta.text)
            case SummaryDelta():
                out += (_THINKING, _dumps(delta.text), _END)
            case RefusalDelta():
                _text(out, delta.text, refusal=True)
            case SignatureDelta():
                self._open[index].signature = delta.signature
            case CitationDelta():
                self._lose(f"message.content[{index}].citations", "a native stream has no citations", "content")
            case LogprobsDelta():
                self._lose(f"message.content[{index}].logprobs", "a native stream has no log probabilities", "knob")
            case MediaDelta() | TextDelta() | ThinkingDelta():
                pass
            case _:
                assert_never(delta)

    def _finished(self, event: PartFinished, out: list[bytes]) -> None:
        opened = self._open.pop(event.index)
        part = event.part if event.part is not None else opened.part
        signature = opened.signature if part.signature is None else part.signature
        match part:
            case ToolCallPart():
                arguments = part.arguments
                if event.part is None:
                    arguments += "".join(opened.arguments)
                call = ToolCallPart(part.call_id, part.name, arguments, kind=part.kind, id=part.id, signature=signature)
                out.append(event_frame("tool_call", _dumps({"type": "tool_call", "data": encode_call(call)})))
            case ToolResultPart():
                out.append(event_frame("tool_result", _dumps({"type": "tool_result", "data": encode_result(part)})))
            case TextPart() | ThinkingPart():
                if signature is not None or (isinstance(part, ThinkingPart) and part.redacted):
                    out.append(_sealed(part, signature))
            case _:
                if signature is not None:
                    self._lose(f"message.content[{event.index}].signature", "its part is lost", "opaque")


def _text(out: list[bytes], text: str, *, refusal: bool) -> None:
    out += (_TOKEN, _dumps(text), b',"refusal":true}\n\n' if refusal else _END)


def _sealed(part: TextPart | ThinkingPart, signature: Signature | None) -> bytes:
    """The signature of a part that has ended."""
    body: Object = {"text": ""}
    is_thinking = isinstance(part, ThinkingPart)
    put(
        body,
        signature=None if signature is None else envelope.seal(signature, part.id),
        redacted=True if isinstance(part, ThinkingPart) and part.redacted else None,
        refusal=True if isinstance(part, TextPart) and part.refusal else None,
    )
    return event_frame("thinking" if is_thinking else "token", _dumps(body))
