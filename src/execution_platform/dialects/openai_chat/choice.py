"""One choice of a stream: the deltas of its chunks → events. See `stream_decode` for the rules."""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from execution_platform import _json
from execution_platform.dialects.base import Upstream
from execution_platform.dialects.openai_chat.calls import synthetic_id
from execution_platform.dialects.openai_chat.content import decode_parts
from execution_platform.dialects.openai_chat.finish import decode_finish
from execution_platform.dialects.openai_chat.reasoning import DETAILS, FIELDS, decode_detail, read_token
from execution_platform.dialects.openai_chat.response import audio_mime, decode_annotation, decode_content_list
from execution_platform.dialects.openai_chat.think import ThinkSplitter
from execution_platform.dialects.openai_chat.wire import LEGACY, THOUGHT, thought_of
from execution_platform.dialects.take import Object
from execution_platform.spi.events import (
    ArgumentsDelta,
    CitationDelta,
    Event,
    Finished,
    LogprobsDelta,
    MediaDelta,
    PartDelta,
    PartFinished,
    PartStarted,
    RefusalDelta,
    SignatureDelta,
    SummaryDelta,
    TextDelta,
    ThinkingDelta,
)
from execution_platform.spi.parts import (
    Inline,
    MediaPart,
    OpaquePart,
    Part,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)

CHOICE_MEMBERS = frozenset({"index", "delta", "finish_reason", "logprobs", "stop_reason", "message", "text"})
_DELTA_MEMBERS = frozenset(
    {
        "role",
        "content",
        "refusal",
        "tool_calls",
        LEGACY,
        "audio",
        "images",
        "annotations",
        "extra_content",
        DETAILS,
        *FIELDS,
    }
)

_PLAIN = frozenset({"role", "content", "refusal", "tool_calls", DETAILS, *FIELDS})
_CALL_MEMBERS = frozenset({"index", "id", "type", "function", "custom", "extra_content"})


def _gather(into: Object, name: str, value: object, *, joins: bool) -> None:
    """Add a leftover member: lists grow, objects merge, texts of deltas join; anything else replaces what was there."""
    have = into.get(name)
    if isinstance(have, list) and isinstance(value, list):
        into[name] = [*cast("list[object]", have), *cast("list[object]", value)]
    elif isinstance(have, dict) and isinstance(value, dict):
        into[name] = {**cast("Object", have), **cast("Object", value)}
    elif joins and isinstance(have, str) and isinstance(value, str):
        into[name] = have + value
    else:
        into[name] = value


class _Call:
    """A call on its way: opened once its name is certain."""

    __slots__ = ("arguments", "extra", "group", "index", "is_open", "kind", "name", "signature", "wire_id")

    def __init__(self, index: int, kind: str, group: str | None) -> None:
        self.index = index
        self.kind = kind
        self.group = group
        self.wire_id = ""
        self.name = ""
        self.arguments = ""
        self.extra: Object = {}
        self.signature: Signature | None = None
        self.is_open = False


class Choice:
    """The state of one choice."""

    __slots__ = (
        "_calls",
        "_detail",
        "_extra",
        "_final",
        "_group",
        "_head",
        "_ids",
        "_message",
        "_next",
        "_order",
        "_pending",
        "_said",
        "_splitter",
        "_started_id",
        "_stop_reason",
        "_summary",
        "_upstream",
        "index",
        "kind",
        "open_index",
        "reason",
    )

    def __init__(self, index: int, upstream: Upstream, started_id: str | None) -> None:
        self.index = index
        self.kind = ""
        """Kind of the open part that is no call, empty if none is open."""
        self.open_index = -1
        self.reason: str | None = None
        self._upstream = upstream
        self._started_id = started_id
        self._next = 0
        self._said: list[str] = []
        self._detail: object = None
        self._final: ThinkingPart | None = None
        """What the open thinking is in the end, where deltas cannot tell it."""
        self._head = ThinkingPart()
        self._summary: list[str] = []
        self._group: str | None = None
        self._calls: dict[object, _Call] = {}
        self._order: list[_Call] = []
        self._pending: list[_Call] = []
        self._ids: set[str] = set()
        self._extra: Object = {}
        self._message: Object = {}
        self._stop_reason: object = None
        setting = upstream.extra.get("think_tags")
        self._splitter = ThinkSplitter(setting) if setting else None

    @property
    def splits(self) -> bool:
        """Whether the content has to be searched for tags."""
        return self._splitter is not None

    def feed(self, wire: Mapping[str, object], out: list[Event]) -> None:
        """One element of `choices`."""
        delta = wire.get("delta")
        if isinstance(delta, dict) and delta:
            self._delta(cast("Object", delta), out)
        logprobs = wire.get("logprobs")
        if isinstance(logprobs, dict) and logprobs:
            self._logprobs(cast("Object", logprobs), out)
        reason = wire.get("finish_reason")
        if isinstance(reason, str) and reason:
            self.reason = reason
        if wire.get("stop_reason") is not None:
            self._stop_reason = wire["stop_reason"]
        if not CHOICE_MEMBERS.issuperset(wire):
            for name, value in wire.items():
                if name not in CHOICE_MEMBERS and value is not None:
                    _gather(self._extra, name, value, joins=False)

    def _delta(self, delta: Object, out: list[Event]) -> None:
        details = delta.get(DETAILS)
        if isinstance(details, list) and details:
            self._details(cast("list[object]", details), delta, out)
        else:
            for name in FIELDS:
                text = delta.get(name)
                if isinstance(text, str) and text:
                    self._thinking(text, name, out)
                    break
        content = delta.get("content")
        if content:
            self._content(content, out)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._open("refusal", TextPart("", refusal=True), out)
            out.append(PartDelta(self.open_index, RefusalDelta(refusal), self.index))
        calls = delta.get("tool_calls")
        if isinstance(calls, list):
            for call in cast("list[object]", calls):
                if isinstance(call, dict):
                    self._call(cast("Object", call), out)
        if not _PLAIN.issuperset(delta):
            self._rare(delta, out)

    def _rare(self, delta: Object, out: list[Event]) -> None:
        legacy, audio, images = delta.get(LEGACY), delta.get("audio"), delta.get("images")
        if isinstance(legacy, dict):
            self._call({"index": LEGACY, "function": legacy}, out, group=LEGACY)
        if isinstance(audio, dict):
            self._audio(cast("Object", audio), out)
        if isinstance(images, list):
            for part in decode_parts(cast("list[object]", images), "images", group="images"):
                self._whole(part, out)
        for item in cast("list[object]", delta["annotations"]) if isinstance(delta.get("annotations"), list) else ():
            self._ensure_text(out)
            out.append(PartDelta(self.open_index, CitationDelta(decode_annotation(item)), self.index))
        token = thought_of(delta.get("extra_content"))
        if token is not None:
            signature, _ = read_token(token, self._upstream.origin, THOUGHT)
            self._ensure_text(out)
            out.append(PartDelta(self.open_index, SignatureDelta(cast("Signature", signature)), self.index))
        for name, value in delta.items():
            if name not in _DELTA_MEMBERS and value is not None and value not in ("", []):
                _gather(self._message, name, value, joins=True)

    # Text and thinking

    def _content(self, content: object, out: list[Event]) -> None:
        if isinstance(content, str):
            if self._splitter is None:
                self._text(content, out)
            else:
                self._split(self._splitter.feed(content), out)
        elif isinstance(content, list):
            for part in decode_content_list(cast("list[object]", content), "content"):
                if isinstance(part, TextPart):
                    self._text(part.text, out)
                elif isinstance(part, ThinkingPart):
                    self._thinking(part.text, None, out)
                else:
                    self._whole(part, out)

    def _split(self, pieces: list[tuple[bool, str]], out: list[Event]) -> None:
        for is_thinking, text in pieces:
            if is_thinking:
                self._thinking(text, None, out)
            else:
                self._text(text, out)

    def _text(self, text: str, out: list[Event]) -> None:
        if self.kind != "text":
            self._open("text", TextPart(""), out)
        out.append(PartDelta(self.open_index, TextDelta(text), self.index))

    def _ensure_text(self, out: list[Event]) -> None:
        if self.kind not in ("text", "refusal"):
            self._open("text", TextPart(""), out)

    def _thinking(self, text: str, group: str | None, out: list[Event]) -> None:
        if self.kind != "thinking" or (self._detail is not None and group is not None):
            self._open("thinking", ThinkingPart("", group=group), out, again=True)
            self._group = group
        self._said.append(text)
        out.append(PartDelta(self.open_index, ThinkingDelta(text), self.index))

    def _details(self, details: list[object], delta: Object, out: list[Event]) -> None:
        """`reasoning_details`; a string beside them repeats what they say."""
        entries = [cast("Object", each) for each in details if isinstance(each, dict)]
        said = any(entry.get("text") or entry.get("summary") for entry in entries)
        name = next((each for each in FIELDS if isinstance(delta.get(each), str) and delta[each]), None)
        if name is not None and not said:
            self._thinking(cast("str", delta[name]), name, out)
        for entry in entries:
            self._detail_entry(entry, name if said else None, out)

    def _detail_entry(self, wire: Object, name: str | None, out: list[Event]) -> None:
        part = decode_detail(wire, self._upstream.origin)
        if isinstance(part, OpaquePart):
            self._whole(part, out)
            return
        at = wire.get("index", 0)
        if self.kind == "thinking" and self._detail is None and (not part.text or part.text == "".join(self._said)):
            # What came as a string is told again, with its signature.
            self._final = replace(part, redacted=False, group=f"{DETAILS}+{self._group}" if self._group else DETAILS)
            part, self._detail = replace(part, text=""), at
        elif part.redacted and not (self.kind == "thinking" and self._detail == at):
            self._whole(part, out)
            return
        elif self.kind != "thinking" or self._detail != at:
            group = DETAILS if name is None else f"{DETAILS}+{name}"
            head = replace(part, text="", summary=(), signature=None, redacted=False, group=group)
            self._open("thinking", head, out, again=True)
            self._detail, self._head = at, head
        self._detail_deltas(part, out)

    def _detail_deltas(self, part: ThinkingPart, out: list[Event]) -> None:
        """What an entry adds to the open thinking."""
        if part.text:
            self._said.append(part.text)
            out.append(PartDelta(self.open_index, ThinkingDelta(part.text), self.index))
        for text in part.summary:
            if self._final is not None and text == "".join(self._said):
                continue
            self._summary.append(text)
            out.append(PartDelta(self.open_index, SummaryDelta(text), self.index))
        if part.signature is not None:
            if self._final is None and part.id is not None and part.id != self._head.id:
                self._final = replace(self._head, id=part.id)
            if self._final is not None:
                self._final = replace(self._final, signature=part.signature)
            out.append(PartDelta(self.open_index, SignatureDelta(part.signature), self.index))

    def _logprobs(self, logprobs: Object, out: list[Event]) -> None:
        for name, kind in (("content", "text"), ("refusal", "refusal")):
            values = logprobs.get(name)
            if isinstance(values, list) and values and self.kind == kind:
                out.append(PartDelta(self.open_index, LogprobsDelta(cast("list[object]", values)), self.index))

    # Media and parts that come whole

    def _audio(self, audio: Object, out: list[Event]) -> None:
        audio_id, data, said = audio.get("id"), audio.get("data"), audio.get("transcript")
        left = {
            name: value
            for name, value in audio.items()
            if name not in ("id", "data", "transcript") and value is not None
        }
        if left:
            _gather(self._message, "audio", left, joins=True)
        if not any(isinstance(each, str) for each in (audio_id, data, said)):
            return
        if self.kind != "audio":
            source = Inline(audio_mime(self._upstream), "")
            known = audio_id if isinstance(audio_id, str) else None
            self._open("audio", MediaPart("audio", source, id=known, group="audio"), out)
        text = said if isinstance(said, str) else None
        if text is not None or isinstance(data, str):
            out.append(PartDelta(self.open_index, MediaDelta(data if isinstance(data, str) else "", text), self.index))

    def _whole(self, part: Part, out: list[Event]) -> None:
        self._open("whole", part, out, again=True)
        self._close(out)

    def _open(self, kind: str, part: Part, out: list[Event], *, again: bool = False) -> None:
        if self.kind == kind and not again:
            return
        self._close(out)
        self._flush(out)
        self.kind, self.open_index = kind, self._next
        self._next += 1
        out.append(PartStarted(self.open_index, part, self.index))

    def _close(self, out: list[Event]) -> None:
        if self.kind:
            final = self._final
            if final is not None:
                summary = ("".join(self._summary),) if self._summary else ()
                final = replace(final, text="".join(self._said), summary=summary)
            out.append(PartFinished(self.open_index, final, self.index))
            self.kind, self._detail, self._final, self._group = "", None, None, None
            self._said.clear()
            self._summary.clear()

    # Calls

    def _call(self, wire: Object, out: list[Event], *, group: str | None = None) -> None:
        is_custom = isinstance(wire.get("custom"), dict)
        inner = wire.get("custom" if is_custom else "function")
        function = cast("Object", inner) if isinstance(inner, dict) else {}
        call = self._find(wire, function, "custom" if is_custom else "function", group)
        name, text = function.get("name"), function.get("input" if is_custom else "arguments")
        call_id, token = wire.get("id"), thought_of(wire.get("extra_content"))
        if isinstance(call_id, str) and call_id and not call.is_open:
            call.wire_id = call_id
        if isinstance(name, str) and name and not call.is_open and name != call.name:
            call.name += name
        if token is not None:
            call.signature, _ = read_token(token, self._upstream.origin, THOUGHT)
            if call.is_open:
                out.append(PartDelta(call.index, SignatureDelta(cast("Signature", call.signature)), self.index))
        for member, value in wire.items():
            if member not in _CALL_MEMBERS and value is not None and not call.is_open:
                call.extra[member] = value
        if isinstance(text, dict):
            text = _json.dumps(cast("Object", text)).decode()
        if isinstance(text, str) and text:
            if not call.is_open:
                self._flush(out)
            out.append(PartDelta(call.index, ArgumentsDelta(text), self.index))

    def _find(self, wire: Object, function: Object, kind: str, group: str | None) -> _Call:
        """The call a delta belongs to. Servers differ: some leave out the index, some reuse it for the next call."""
        key, call_id = wire.get("index"), wire.get("id")
        if not isinstance(key, int | str):
            key = None
        known: _Call | None = None
        if key is not None:
            known = self._calls.get(key)
            is_new = isinstance(call_id, str) and call_id and known is not None and known.wire_id not in ("", call_id)
            if is_new and function.get("name"):
                known = None
        elif isinstance(call_id, str) and call_id:
            known = next((call for call in self._order if call.wire_id == call_id), None)
        elif self._order and not function.get("name"):
            known = self._order[-1]
        if known is not None:
            return known
        call = _Call(-1, kind, group)
        self._calls[key if key is not None else ("nameless", len(self._order))] = call
        self._order.append(call)
        self._pending.append(call)
        return call

    def _flush(self, out: list[Event]) -> None:
        """Open the calls whose names are certain now."""
        if not self._pending:
            return
        if self.kind:
            self._close(out)
        for call in self._pending:
            call.index, call.is_open = self._next, True
            self._next += 1
            out.append(PartStarted(call.index, self._part(call), self.index))
        self._pending.clear()

    def _part(self, call: _Call) -> ToolCallPart:
        synthetic = not call.wire_id or call.wire_id in self._ids
        number = self._order.index(call)
        name = self._upstream.tool_names.get(call.name, call.name)
        call_id = synthetic_id(self._started_id, self.index, number, name) if synthetic else call.wire_id
        self._ids.add(call_id)
        return ToolCallPart(
            call_id,
            name,
            "",
            kind="custom" if call.kind == "custom" else "function",
            group=call.group,
            synthetic_id=synthetic,
            signature=call.signature,
            extra=call.extra,
        )

    # The end

    def close(self, out: list[Event]) -> Finished:
        """Close every part; the end of this choice, to be told after the usage."""
        if self._splitter is not None:
            self._split(self._splitter.close(), out)
        self._flush(out)
        self._close(out)
        out.extend(PartFinished(call.index, None, self.index) for call in self._order)
        extra = dict(self._extra)
        finish = decode_finish(self.reason or "", has_calls=bool(self._order), stop_reason=self._stop_reason)
        if self._stop_reason is not None and finish.stop_sequence is None:
            extra["stop_reason"] = self._stop_reason
        if self._message:
            extra["message"] = self._message
        return Finished(finish, self.index, extra or None)
