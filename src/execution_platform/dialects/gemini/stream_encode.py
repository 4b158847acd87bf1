"""Events → a streamed answer for a Gemini client.

Each piece of text is a chunk of its own; calls and media are written whole when they are complete. The
finish reason, usage and sources come with the last chunk of a candidate. Two forms: server-sent events
(`alt=sse`), and one JSON array.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, cast

from execution_platform import _json
from execution_platform.dialects.base import Downstream
from execution_platform.dialects.gemini.errors import encode_error
from execution_platform.dialects.gemini.finish import encode_finish, feedback_of
from execution_platform.dialects.gemini.metadata import Text, encode_logprobs, grounding
from execution_platform.dialects.gemini.response import AnswerParts, about, comes_home
from execution_platform.dialects.gemini.usage import encode_usage
from execution_platform.dialects.gemini.wire import NAME
from execution_platform.dialects.take import Object, merged
from execution_platform.spi.events import (
    ArgumentsDelta,
    CitationDelta,
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
from execution_platform.spi.loss import Loss
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
from execution_platform.spi.usage import Usage

HEARTBEAT: Final = b"\n"
"""A blank line: nothing to readers of events and of arrays alike. google-genai 3.4 takes a comment for data."""

_encode = _json.dumps
_SAYS: Final = b'{"text":'
_THINKS: Final = b',"thought":true}'


class _Open:
    """A part between its start and its end."""

    __slots__ = ("citations", "is_held", "part", "summary", "texts")

    def __init__(self, part: Part, *, same: bool) -> None:
        self.part = part
        self.texts: list[str] = []
        self.citations: list[Citation] = []
        self.summary = -1
        # What stands beside a text stands beside the whole of it.
        is_bare = part.signature is None and not (same and part.extra)
        is_text = isinstance(part, TextPart) or (isinstance(part, ThinkingPart) and not part.redacted)
        self.is_held = not (is_text and is_bare)

    def whole(self) -> Part:
        """The part with all that was added."""
        part, text = self.part, "".join(self.texts)
        match part:
            case TextPart() | ThinkingPart():
                return replace(part, text=part.text + text)
            case ToolCallPart():
                return replace(part, arguments=part.arguments + text)
            case MediaPart() if text and isinstance(part.source, Inline):
                return replace(part, source=replace(part.source, data=part.source.data + text))
            case _:
                return part


class Encoder:
    """`dialects.base.StreamEncoder` for this dialect."""

    __slots__ = (
        "_about",
        "_downstream",
        "_ends",
        "_is_over",
        "_lead",
        "_logprobs",
        "_once",
        "_open",
        "_parts",
        "_said",
        "_sse",
        "_texts",
        "_usage",
    )

    def __init__(self, downstream: Downstream) -> None:
        self._downstream = downstream
        self._sse = downstream.sse
        self._lead = b"data: " if downstream.sse else b"["
        self._parts = AnswerParts(same=False)
        self._about: Object = about(None, None, downstream, same=False)
        self._once: Object = {}
        self._ends: dict[int, bytes] = {}
        self._open: dict[tuple[int, int], _Open] = {}
        self._texts: dict[int, list[tuple[Text, list[Citation]]]] = {}
        self._logprobs: dict[int, list[object]] = {}
        self._usage: Usage | None = None
        self._said: set[int] = set()
        self._is_over = False

    @property
    def losses(self) -> Sequence[Loss]:
        """What could not be carried so far."""
        return self._parts.losses

    def send(self, events: Sequence[Event]) -> bytes:
        """The chunks for `events`."""
        out: list[bytes] = []
        following: Event | None = None
        for place, event in enumerate(events):
            if type(event) is PartDelta:
                if event is following:
                    following = None
                    continue
                delta = event.delta
                opened = self._open[(event.choice, event.index)]
                kind = type(delta)
                if kind is TextDelta and not opened.is_held and not self._once:
                    text = cast("TextDelta", delta).text
                    opened.texts.append(text)
                    after = events[place + 1] if place + 1 < len(events) else None
                    if type(after) is PartDelta and type(after.delta) is LogprobsDelta:
                        following = after
                        self._scored(text, after, out)
                    else:
                        end = self._ends.get(event.choice) or self._end(event.choice)
                        out += (self._lead, b'{"candidates":[{"content":{"parts":[', _SAYS, _encode(text), b"}", end)
                        if not self._sse:
                            self._lead = b",\r\n"
                else:
                    self._delta(event, opened, out)
            elif not self._is_over:
                self._event(event, out)
        return b"".join(out)

    def close(self) -> bytes:
        """The end of the array; events have no terminator."""
        if self._sse or self._is_over:
            return b""
        self._is_over = True
        return b"[]\n" if self._lead == b"[" else b"\r\n]\n"

    # Chunks

    def _end(self, choice: int) -> bytes:
        """What stands behind the parts in a chunk of this choice."""
        rest = _encode({"role": "model"})[1:] + b',"index":' + str(choice).encode() + b"}]"
        members = _encode(self._about)[1:]
        end = b"]," + rest + (b"," if members != b"}" else b"") + members + (b"\n\n" if self._sse else b"")
        self._ends[choice] = end
        return end

    def _chunk(self, wire: Object, out: list[bytes]) -> None:
        wire = {**wire, **self._about}
        if self._once:
            wire, self._once = merged(wire, self._once), {}
        out += (self._lead, _encode(wire))
        if self._sse:
            out.append(b"\n\n")
        else:
            self._lead = b",\r\n"

    def _candidate(self, choice: int, parts: list[Object], out: list[bytes], **beside: object) -> None:
        self._said.add(choice)
        candidate: Object = {"content": {"parts": parts, "role": "model"}, "index": choice, **beside}
        self._chunk({"candidates": [candidate]}, out)

    def _scored(self, text: str, event: PartDelta, out: list[bytes]) -> None:
        """Text with its log probabilities; those of this dialect come whole, with token ids, at the end."""
        logprobs = cast("LogprobsDelta", event.delta).logprobs
        if self._parts.same:
            self._logprobs.setdefault(event.choice, []).extend(logprobs)
            if text:
                self._say(event.choice, text, out, thought=False)
            return
        result = encode_logprobs(logprobs)
        beside = {"logprobsResult": result} if result else {}
        self._candidate(event.choice, [{"text": text}] if text else [], out, **beside)

    # Events

    def _event(self, event: Event, out: list[bytes]) -> None:
        match event:
            case Started():
                self._start(event)
            case PartStarted():
                self._open_part(event, out)
            case PartFinished():
                self._close_part(event, out)
            case UsageReported():
                self._usage = event.usage
            case Finished():
                self._finish(event, out)
            case Failed():
                self._fail(event, out)
            case Raw() if event.dialect == NAME:
                self._chunk(dict(event.payload), out)
            case _:
                pass

    def _start(self, event: Started) -> None:
        same = comes_home(event.origin)
        self._parts.same = same
        self._about = about(event.model, event.id, self._downstream, same=same)
        self._usage = event.usage
        if same:
            self._once = dict(event.extra or {})
        elif event.service_tier is not None:
            self._parts.lose("service_tier", "the target's answers name no tier")

    def _open_part(self, event: PartStarted, out: list[bytes]) -> None:
        part = event.part
        opened = _Open(part, same=self._parts.same)
        self._open[(event.choice, event.index)] = opened
        if opened.is_held:
            return
        if isinstance(part, TextPart):
            opened.citations.extend(part.citations)
        text = part.text if isinstance(part, TextPart | ThinkingPart) else ""
        if isinstance(part, ThinkingPart):
            text = text or "\n\n".join(part.summary)
            opened.summary = len(part.summary) - 1
        if text:
            self._say(event.choice, text, out, thought=isinstance(part, ThinkingPart))

    def _say(self, choice: int, text: str, out: list[bytes], *, thought: bool) -> None:
        self._candidate(choice, [{"text": text, "thought": True} if thought else {"text": text}], out)

    def _delta(self, event: PartDelta, opened: _Open, out: list[bytes]) -> None:
        delta = event.delta
        match delta:
            case TextDelta() | RefusalDelta():
                self._show(event.choice, opened, delta.text, out)
            case ThinkingDelta():
                self._think(event.choice, opened, delta.text, out)
            case SummaryDelta():
                parted = "\n\n" if opened.summary not in (-1, delta.index) else ""
                opened.summary = delta.index
                self._think(event.choice, opened, parted + delta.text, out)
            case ArgumentsDelta():
                opened.texts.append(delta.text)
            case MediaDelta():
                opened.texts.append(delta.data)
            case SignatureDelta():
                self._sign(event, opened, delta.signature, out)
            case CitationDelta():
                opened.citations.append(delta.citation)
            case LogprobsDelta():
                self._scored("", event, out)

    def _show(self, choice: int, opened: _Open, text: str, out: list[bytes]) -> None:
        opened.texts.append(text)
        if not opened.is_held:
            self._say(choice, text, out, thought=False)

    def _think(self, choice: int, opened: _Open, text: str, out: list[bytes]) -> None:
        opened.texts.append(text)
        if opened.is_held:
            return
        if self._once:
            self._say(choice, text, out, thought=True)
            return
        end = self._ends.get(choice) or self._end(choice)
        out += (self._lead, b'{"candidates":[{"content":{"parts":[', _SAYS, _encode(text), _THINKS, end)
        self._said.add(choice)
        if not self._sse:
            self._lead = b",\r\n"

    def _sign(self, event: PartDelta, opened: _Open, signature: Signature, out: list[bytes]) -> None:
        """A signature at the end of streamed text stands on an empty part of the same kind."""
        if opened.is_held:
            opened.part = replace(opened.part, signature=signature)
            return
        empty: Part = TextPart("") if isinstance(opened.part, TextPart) else ThinkingPart("", id=opened.part.id)
        path = f"candidates[{event.choice}].content.parts[{event.index}]"
        self._candidate(event.choice, self._parts.write(replace(empty, signature=signature), path), out)

    def _close_part(self, event: PartFinished, out: list[bytes]) -> None:
        opened = self._open.pop((event.choice, event.index))
        if isinstance(opened.part, TextPart):
            text = Text(-1, opened.part.text + "".join(opened.texts))
            self._texts.setdefault(event.choice, []).append((text, opened.citations))
        if not opened.is_held:
            self._complete(event, opened, out)
            return
        path = f"candidates[{event.choice}].content.parts[{event.index}]"
        written = self._parts.write(event.part or opened.whole(), path)
        if written:
            self._candidate(event.choice, written, out)

    def _complete(self, event: PartFinished, opened: _Open, out: list[bytes]) -> None:
        """A final form may sign what was streamed without a signature."""
        final = event.part
        if final is not None and final.signature is not None:
            signed = PartDelta(event.index, SignatureDelta(final.signature), event.choice)
            opened.part = replace(opened.part, id=final.id)
            self._sign(signed, opened, final.signature, out)

    # The end

    def _finish(self, event: Finished, out: list[bytes]) -> None:
        same = self._parts.same
        usage = {} if self._usage is None else encode_usage(self._usage, same=same)
        told: Object = {"usageMetadata": usage} if usage else {}
        feedback = feedback_of(event.finish)
        if feedback and not self._ends and not self._said:
            self._chunk({"promptFeedback": feedback, **told}, out)
            return
        if event.finish.stop_sequence is not None:
            self._parts.lose("stop_sequence", "the target does not say which sequence matched")
        parts = {"parts": [{"text": ""}], "role": "model"}
        candidate: Object = {"content": parts, **encode_finish(event.finish, same=same), "index": event.choice}
        if same:
            result = encode_logprobs(self._logprobs.get(event.choice))
            candidate = merged(
                candidate, {"logprobsResult": result, **(event.extra or {})} if result else event.extra or {}
            )
        else:
            candidate |= self._sources(event.choice)
        self._chunk({"candidates": [candidate], **told}, out)

    def _sources(self, choice: int) -> Object:
        texts = self._texts.get(choice, [])
        if any(citation.url is None for _, found in texts for citation in found):
            self._parts.lose(f"candidates[{choice}].citations", "a source without a URL")
        data = grounding(texts)
        return {"groundingMetadata": data} if data else {}

    def _fail(self, event: Failed, out: list[bytes]) -> None:
        identity = self._downstream.extra.get("request_id")
        body = encode_error(event.error, identity if isinstance(identity, str) else "")
        out += (self._lead, body, b"\n\n" if self._sse else b"\r\n]\n")
        self._is_over = True
