"""Events → `chat.completion.chunk` frames.

Theory of operation. Text leaves as it comes, with everything around it prepared once per stream: id, model and time do not change.
Parallel calls are numbered in the order in which they open. The first frame of a choice tells the role. Usage and `[DONE]` wait for
`close`, because only then is it sure that nothing follows; the usage frame is written for callers who asked for it, and then every other
frame has `"usage": null`, as the API does. After an error nothing leaves, not even `[DONE]`.

The wire cannot take back what it said: a part that is replaced at its end is told by what was not said yet.
"""

from collections.abc import Sequence
from typing import cast

from execution_platform import _json
from execution_platform.dialects.base import Downstream
from execution_platform.dialects.losses import foreign_extra
from execution_platform.dialects.openai_chat import usage as usage_
from execution_platform.dialects.openai_chat.errors import error_frame
from execution_platform.dialects.openai_chat.finish import UNSAID, encode_finish
from execution_platform.dialects.openai_chat.open_part import Frames, OpenPart, open_part
from execution_platform.dialects.openai_chat.response import answer_id
from execution_platform.dialects.openai_chat.wire import NAME
from execution_platform.dialects.sse import data_frame
from execution_platform.dialects.take import Object, merged, put
from execution_platform.spi.events import (
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
    UsageReported,
)
from execution_platform.spi.loss import Loss
from execution_platform.spi.parts import Origin, TextPart, ToolCallPart
from execution_platform.spi.usage import Usage

_dumps = _json.dumps
_DONE = b"data: [DONE]\n\n"


class Encoder:
    """One stream's worth."""

    __slots__ = (
        "_base",
        "_downstream",
        "_ended",
        "_first",
        "_frames",
        "_losses",
        "_open",
        "_origin",
        "_usage",
        "_was_finished",
    )

    def __init__(self, downstream: Downstream) -> None:
        self._downstream = downstream
        self._losses: dict[Loss, None] = {}
        self._origin: Origin | None = None
        self._base: Object = {}
        self._first: Object = {}
        """Members that only the first frame tells."""
        self._frames: dict[int, Frames] = {}
        self._open: dict[tuple[int, int], OpenPart] = {}
        self._usage: Usage | None = None
        self._ended = False
        self._was_finished = False

    @property
    def losses(self) -> Sequence[Loss]:
        """What could not be carried so far, each once."""
        return tuple(self._losses)

    @property
    def _same(self) -> bool:
        return self._origin is not None and self._origin.dialect == NAME

    def send(self, events: Sequence[Event]) -> bytes:
        """The frames for `events`; nothing after an error."""
        if self._ended:
            return b""
        out: list[bytes] = []
        for event in events:
            if isinstance(event, PartDelta):
                opened = self._open[(event.choice, event.index)]
                delta = event.delta
                if type(delta) is TextDelta and opened.is_text:
                    frames = opened.frames
                    frames.length += len(delta.text)
                    out += (frames.text_head, _dumps(delta.text), frames.text_tail)
                elif type(delta) is LogprobsDelta:
                    self._logprobs(opened, delta, out)
                else:
                    opened.delta(delta, out)
            elif isinstance(event, Failed):
                out.append(error_frame(event.error, self._downstream.id))
                self._ended = True
                break
            else:
                self._event(event, out)
        return b"".join(out)

    def close(self) -> bytes:
        """Usage and `[DONE]`; nothing after an error, nor when the events named no end."""
        if self._ended or not self._was_finished:
            self._ended = True
            return b""
        self._ended = True
        if not self._downstream.include_usage or self._usage is None:
            return _DONE
        usage = usage_.encode(self._usage, same=self._same)
        return data_frame(_dumps({**self._base, "choices": [], "usage": usage})) + _DONE

    def _event(
        self, event: Started | PartStarted | PartFinished | UsageReported | Finished | Raw, out: list[bytes]
    ) -> None:
        match event:
            case Started():
                self._start(event)
            case PartStarted():
                part = event.part
                frames = self._begin(event.choice, has_content=not isinstance(part, ToolCallPart), out=out)
                opened = open_part(part, event.index, frames)
                self._open[(event.choice, event.index)] = opened
                opened.start(out)
            case PartFinished():
                self._open.pop((event.choice, event.index)).finish(event.part, out)
            case UsageReported():
                self._usage = event.usage
            case Finished():
                self._finish(event, out)
            case Raw():
                self._raw(event, out)

    def _start(self, event: Started) -> None:
        down = self._downstream
        self._origin, self._usage = event.origin, event.usage
        self._base = {
            "id": answer_id(event.id, down, same=self._same),
            "object": "chat.completion.chunk",
            "created": event.created if event.created is not None else down.created,
            "model": event.model or down.model,
        }
        put(self._base, service_tier=event.service_tier, system_fingerprint=event.system_fingerprint)
        if self._same:
            self._first = dict(event.extra or {})
        else:
            self._lose(foreign_extra(event.extra or {}, None, NAME))

    def _lose(self, losses: Sequence[Loss]) -> None:
        self._losses.update(dict.fromkeys(losses))

    def _begin(self, choice: int, *, has_content: bool, out: list[bytes]) -> Frames:
        frames = self._frames.get(choice)
        if frames is None:
            if not self._base:
                self._start(Started())
            prefix = _dumps(self._base)[:-1]
            frames = Frames(prefix, choice, self._losses, same=self._same, has_usage=self._downstream.include_usage)
            self._frames[choice] = frames
            role: Object = {"role": "assistant", "content": "" if has_content else None, "refusal": None}
            out.append(self._whole(choice, role, {}, self._first))
            self._first = {}
        return frames

    def _whole(self, choice: int, delta: Object, members: Object, top: Object) -> bytes:
        """A frame with members the prepared ones have no place for."""
        wire: Object = {"index": choice, "delta": delta, "logprobs": None, "finish_reason": None, **members}
        body = {**self._base, "choices": [wire]}
        if self._downstream.include_usage:
            body["usage"] = None
        return data_frame(_dumps(merged(body, top)))

    def _logprobs(self, opened: OpenPart, delta: LogprobsDelta, out: list[bytes]) -> None:
        """Probabilities belong to the text before them: they go into its frame if it is still here."""
        frames = opened.frames
        name = "refusal" if isinstance(opened.part, TextPart) and opened.part.refusal else "content"
        told = {"content": None, "refusal": None, name: delta.logprobs}
        tail = frames.tail_with(_dumps(told))
        if out and out[-1] is frames.text_tail:
            out[-1] = b"}" + tail
        else:
            out += (frames.head, b"{}", tail)

    def _finish(self, event: Finished, out: list[bytes]) -> None:
        self._was_finished = True
        self._begin(event.choice, has_content=True, out=out)
        finish, extra = event.finish, dict(event.extra or {})
        path = f"choices[{event.choice}]"
        members: Object = {"finish_reason": encode_finish(finish, self._origin)}
        put(members, stop_reason=finish.stop_sequence)
        delta: Object = {}
        if self._same:
            message = extra.pop("message", None)
            delta = dict(cast("Object", message)) if isinstance(message, dict) else {}
            members = merged(members, extra)
        else:
            self._lose(foreign_extra(extra, None, NAME, path=path))
            if finish.reason in UNSAID:
                self._lose([Loss(f"{path}.finish_reason", f"{finish.reason} has no word here")])
        for name in ("safety", "grounding", "diagnostics"):
            if getattr(event, name) is not None:
                self._lose([Loss(name, "no slot in a chat completion")])
        out.append(self._whole(event.choice, delta, members, {}))

    def _raw(self, event: Raw, out: list[bytes]) -> None:
        if event.dialect != NAME:
            self._lose([Loss("events", f"an event that only {event.dialect} knows", "opaque")])
        elif self._base:
            # A choice without a delta: clients that read `choices[0]` unseen survive it, unlike an empty list.
            out.append(self._whole(0, {}, {}, dict(event.payload)))
