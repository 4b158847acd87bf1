"""A stream of `chat.completion.chunk` frames → events.

Theory of operation. In go bytes, out come events; where the bytes are split never shows. `Started` waits for the first chunk with a
choice, because some servers (Azure's prompt filter) begin with chunks that have neither choice nor id. A choice has at most one open
part of text, refusal, thinking or audio, which a delta of another kind closes, and any number of open calls, whose deltas interleave by
index. A call opens when its name is certain: with the first piece of arguments, or when something else begins, because some
servers send names in pieces. A finish reason is only noted: calls, usage and late deltas may still follow. At `[DONE]`, or at the end
of the bytes if every choice has named its reason, all parts close, usage is reported and the choices finish.

An `error` member or event fails the stream. A server that ignores `stream` and answers with one JSON object is understood too.
"""

from typing import cast

from execution_platform import _json
from execution_platform.dialects import openai_errors
from execution_platform.dialects.base import Upstream
from execution_platform.dialects.openai_chat.choice import CHOICE_MEMBERS, Choice
from execution_platform.dialects.openai_chat.response import decode_response
from execution_platform.dialects.openai_chat.usage import Tally
from execution_platform.dialects.openai_chat.wire import NAME
from execution_platform.dialects.sse import SseDecoder
from execution_platform.dialects.take import Object
from execution_platform.exceptions import ErrorKind, InvalidRequest, ProtocolError, ProviderError
from execution_platform.spi.assemble import explode
from execution_platform.spi.events import Event, Failed, PartDelta, Raw, Started, TextDelta, UsageReported

_TOP = (
    "id",
    "object",
    "created",
    "model",
    "choices",
    "usage",
    "service_tier",
    "system_fingerprint",
    "obfuscation",
    "x_groq",
)
_MEMBERS = frozenset(_TOP)
"""Members of a chunk that are read; `obfuscation` is padding without meaning."""
_JUST_TEXT = frozenset({"content"})
_DONE = b"[DONE]"
_loads = _json.loads


class Decoder:
    """One stream's worth."""

    __slots__ = (
        "_body",
        "_choices",
        "_ended",
        "_extra",
        "_has_begun",
        "_seen",
        "_sse",
        "_started",
        "_started_id",
        "_tally",
        "_upstream",
    )

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._sse = SseDecoder()
        self._tally = Tally()
        self._choices: dict[int, Choice] = {}
        self._started = False
        self._ended = False
        self._has_begun = False
        self._started_id: str | None = None
        self._seen: Object = {}
        """Members of chunks nobody knows, with the value that was last told."""
        self._extra: Object | None = {}
        """Such members before `Started`, which takes them along."""
        self._body: bytearray | None = None
        """The bytes of an answer that turned out to be one JSON object."""

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes. Raises `ProtocolError` on frames that hold no JSON object."""
        out: list[Event] = []
        if not self._has_begun:
            self._begin(data)
        if self._body is not None:
            self._body += data
            return out
        for frame in self._sse.feed(data):
            if self._ended:
                break
            payload = frame.data
            if payload == _DONE:
                self._finish(out)
                continue
            if not payload:
                continue
            try:
                chunk = _loads(payload)
            except _json.JsonError as error:
                raise _broken(f"a frame is not JSON ({error.reason})", payload) from error
            if type(chunk) is not dict:
                raise _broken("a frame is not an object", payload)
            try:
                self._chunk(cast("Object", chunk), frame.event, out)
            except InvalidRequest as error:
                raise _broken(error.message, payload) from error
        return out

    def _begin(self, data: bytes) -> None:
        """Look at the first byte: an answer that begins like a JSON object is no stream."""
        head = (self._sse.pending + data).lstrip()
        self._has_begun = bool(head)
        if head.startswith(b"{"):
            self._body = bytearray(self._sse.pending)

    def _chunk(self, chunk: Object, event: str | None, out: list[Event]) -> None:
        if event == "error" or (chunk.get("error")):
            out.append(Failed(openai_errors.stream_error(chunk)))
            self._ended = True
            return
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            choices = []
        wires = cast("list[object]", choices)
        if not _MEMBERS.issuperset(chunk):
            self._leftovers(chunk, out)
        if not self._started or chunk.get("usage") is not None or "x_groq" in chunk:
            self._tally.see(chunk)
        if not self._started:
            if not wires:
                return
            self._start(chunk, out)
        for wire in wires:
            if type(wire) is dict:
                self._choice(cast("Object", wire), out)

    def _choice(self, wire: Object, out: list[Event]) -> None:
        index = wire.get("index", 0)
        choice = self._choices.get(index) if type(index) is int else None
        if choice is None:
            choice = self._new_choice(index)
        delta = wire.get("delta")
        # The path nearly every chunk takes: more text of the open part, and nothing else.
        if (
            choice.kind == "text"
            and type(delta) is dict
            and len(cast("Object", delta)) == 1
            and wire.get("finish_reason") is None
            and wire.get("logprobs") is None
            and CHOICE_MEMBERS.issuperset(wire)
            and not choice.splits
        ):
            text = cast("Object", delta).get("content")
            if type(text) is str:
                if text:
                    out.append(PartDelta(choice.open_index, TextDelta(text), choice.index))
                return
        choice.feed(wire, out)

    def _new_choice(self, index: object) -> Choice:
        number = index if isinstance(index, int) and not isinstance(index, bool) and index >= 0 else 0
        choice = self._choices.get(number)
        if choice is None:
            choice = self._choices[number] = Choice(number, self._upstream, self._started_id)
        return choice

    def _leftovers(self, chunk: Object, out: list[Event]) -> None:
        """Members nobody knows: told with `Started`, later ones as `Raw` whenever they change."""
        new = {
            name: value
            for name, value in chunk.items()
            if name not in _MEMBERS and name != "error" and value is not None and self._seen.get(name) != value
        }
        if not new:
            return
        self._seen.update(new)
        if self._extra is not None:
            self._extra.update(new)
        else:
            out.append(Raw(NAME, new))

    def _start(self, chunk: Object, out: list[Event]) -> None:
        answer_id, model, created = chunk.get("id"), chunk.get("model"), chunk.get("created")
        tier, fingerprint = chunk.get("service_tier"), chunk.get("system_fingerprint")
        self._started = True
        self._started_id = answer_id if isinstance(answer_id, str) and answer_id else None
        extra, self._extra = self._extra, None
        out.append(
            Started(
                id=self._started_id,
                model=model if isinstance(model, str) and model else None,
                origin=self._upstream.origin,
                created=int(created) if isinstance(created, int | float) and not isinstance(created, bool) else None,
                service_tier=tier if isinstance(tier, str) else None,
                system_fingerprint=fingerprint if isinstance(fingerprint, str) else None,
                extra=extra or None,
            )
        )

    def _finish(self, out: list[Event]) -> None:
        """The proper end. Raises `ProtocolError` when a choice has named no finish reason."""
        self._ended = True
        if not self._choices or any(choice.reason is None for choice in self._choices.values()):
            raise _cut(has_begun=bool(self._choices))
        ends = [self._choices[index].close(out) for index in sorted(self._choices)]
        usage = self._tally.result()
        if usage is not None:
            out.append(UsageReported(usage))
        out.extend(ends)

    def close(self) -> list[Event]:
        """The last events. Raises `ProtocolError` if the upstream ended before every choice had its finish reason."""
        if self._ended:
            return []
        out: list[Event] = []
        if self._body is not None:
            self._ended = True
            try:
                return explode(decode_response(bytes(self._body), self._upstream))
            except ProtocolError:
                raise
            except ProviderError as error:
                return [Failed(error)]
        if self._sse.pending:
            self._last(out)
        if not self._ended:
            self._finish(out)
        return out

    def _last(self, out: list[Event]) -> None:
        """A last frame without its blank line counts if it is whole; a piece of one is what was cut off."""
        try:
            out.extend(self.feed(b"\n\n"))
        except ProtocolError:
            if not self._choices or any(choice.reason is None for choice in self._choices.values()):
                raise _cut(has_begun=bool(self._choices)) from None


def _broken(why: str, payload: bytes) -> ProtocolError:
    return ProtocolError(
        f"the provider's stream is not chat completion chunks: {why}",
        kind=ErrorKind.PROTOCOL,
        raw=payload[: openai_errors.MAX_RAW],
    )


def _cut(*, has_begun: bool) -> ProtocolError:
    where = "before it named a finish reason" if has_begun else "before any choice came"
    return ProtocolError(f"the provider's stream was cut {where}", kind=ErrorKind.PROTOCOL)
