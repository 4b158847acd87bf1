"""From an answer and its faults to what happens on the socket, step by step.

`plan` is a pure function: frames and faults in, steps out; `head` writes the status line and headers. Positions of
faults are those of the healthy answer. The steps are played by `connection.py`.
"""

import http
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from execution_platform.testing.faults import (
    BrokenChunk,
    ContentType,
    Counting,
    Cut,
    CutHeaders,
    CutInside,
    CutInsideCharacter,
    Drip,
    EndAfter,
    Fault,
    Inject,
    NoAnswer,
    NoTerminator,
    Sse,
    Stall,
    StreamError,
)
from execution_platform.testing.frames import Answer, Frame, WireRequest
from execution_platform.testing.gate import Gate
from execution_platform.testing.script import Script, ScriptError, Status
from execution_platform.testing.wire_errors import stream_error


class Write(NamedTuple):
    """Put bytes on the socket. `frame` is counted as sent with them."""

    data: bytes
    frame: Frame | None = None
    is_event: bool = True


class Pause(NamedTuple):
    """Wait: at a gate and for some seconds (0: let others run), or until the connection ends."""

    gate: Gate | None = None
    seconds: float = 0.0
    forever: bool = False


class Finish(NamedTuple):
    """The end of the exchange: `keep` the connection, or end it."""

    how: Literal["keep", "fin", "rst"] = "keep"
    complete: bool = True


Step = Write | Pause | Finish
_At = Cut | CutInside | CutInsideCharacter | EndAfter | Stall | Inject | StreamError | BrokenChunk


@dataclass(slots=True)
class _Body:
    """How payload bytes become body bytes."""

    chunked: bool

    def wrap(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data

    def open_part(self, data: bytes, keep: int) -> bytes:
        """The first bytes of a payload whose rest never comes: the chunk announces more than it holds."""
        return b"%x\r\n%b" % (len(data), data[:keep]) if self.chunked else data[:keep]

    def terminator(self) -> bytes:
        return b"0\r\n\r\n" if self.chunked else b""


def plan(request: WireRequest, answer: Answer, script: Script) -> list[Step]:
    """The steps of one answer, ending with `Finish`.

    Raises:
        ScriptError: a fault stands at a place the answer does not have.
    """
    steps: list[Step] = []
    if script.gate is not None or script.delay:
        steps.append(Pause(script.gate, script.delay))
    if answer.socket is not None:
        return [*steps, Write(answer.socket), Finish("fin", complete=False)]
    for fault in script.faults:
        if isinstance(fault, NoAnswer):
            return [*steps, *_no_answer(fault)]
    frames = _reshaped(answer, script.faults)
    start = head(answer, script, frames)
    for fault in script.faults:
        if isinstance(fault, CutHeaders):
            return [*steps, Write(start[: len(start) // 2], is_event=False), Finish(fault.how, complete=False)]
    steps.append(Write(start, is_event=False))
    steps += _body_steps(request, answer, script, frames)
    drips = [fault for fault in script.faults if isinstance(fault, Drip)]
    return _dripped(steps, drips[0]) if drips else steps


def head(answer: Answer, script: Script, frames: Sequence[Frame]) -> bytes:
    """The status line and headers of an answer."""
    headers = {"content-type": answer.content_type} | answer.headers
    for fault in script.faults:
        if isinstance(fault, ContentType):
            headers["content-type"] = fault.value
    if answer.chunked:
        headers["transfer-encoding"] = "chunked"
        if answer.content_type.startswith("text/event-stream"):
            headers["cache-control"] = "no-cache"
    else:
        headers["content-length"] = str(sum(len(frame.data) for frame in frames))
    if script.close:
        headers["connection"] = "close"
    headers |= {name.lower(): value for name, value in script.headers.items()}
    try:
        reason = http.HTTPStatus(answer.status).phrase
    except ValueError:
        reason = "Overloaded" if answer.status == 529 else "Unknown"
    lines = [f"HTTP/1.1 {answer.status} {reason}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if value]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _no_answer(fault: NoAnswer) -> list[Step]:
    if fault.how == "silence":
        return [Pause(forever=True), Finish("fin", complete=False)]
    return [Finish(fault.how, complete=False)]


def _reshaped(answer: Answer, faults: Sequence[Fault]) -> list[Frame]:
    frames = answer.frames
    for fault in faults:
        if isinstance(fault, Sse):
            frames = [frame._replace(data=_restyled(frame.data, fault, at)) for at, frame in enumerate(frames)]
    return frames


def _restyled(data: bytes, style: Sse, position: int) -> bytes:
    """One event in another legal form."""
    lines: list[bytes] = []
    if style.event_id:
        lines.append(b"id: %d" % position)
    if style.retry and position == 0:
        lines.append(b"retry: 3000")
    for line in data.strip().splitlines():
        name, _, value = line.partition(b": ")
        separator = b": " if style.space else b":"
        # JSON text may be split where white space is allowed; a line break then stands there.
        at = value.find(b",") + 1 if style.multiline and name == b"data" else 0
        lines += [name + separator + part for part in ((value[:at], value[at:]) if at else (value,))]
    newline = style.newline.encode()
    mark = b"\xef\xbb\xbf" if style.bom and position == 0 else b""
    return mark + newline.join(lines) + newline * 2


def _place(frames: Sequence[Frame], fault: _At) -> int:
    """The index of the frame before which a fault happens."""
    return place(frames, fault.after, fault.of, type(fault).__name__)


def place(frames: Sequence[Frame], after: int, of: Counting, name: str) -> int:
    """The index behind `after` events.

    Raises:
        ScriptError: the answer has fewer.
    """
    counted = [index for index, frame in enumerate(frames) if of == "events" or frame.tokens]
    if after < 0 or after > len(counted):
        raise ScriptError(
            f"{name}(after={after}, of={of!r}) cannot be played: the answer has {len(counted)} such events; "
            "give the reply more chunks or move the fault"
        )
    return counted[after - 1] + 1 if after else 0 if of == "events" or not counted else counted[0]


def _body_steps(request: WireRequest, answer: Answer, script: Script, frames: list[Frame]) -> Iterator[Step]:
    body = _Body(answer.chunked)
    faults = [(fault, _place(answer.frames, fault)) for fault in script.faults if isinstance(fault, _At)]
    without_end = any(isinstance(fault, NoTerminator) for fault in script.faults)
    is_paced = script.pace_gate is not None or script.pace > 0
    complete = not without_end
    for index in range(len(frames) + 1):
        for fault, at in faults:
            if at == index:
                steps = list(_fault_steps(request, fault, frames, index, body))
                yield from steps
                if steps and isinstance(steps[-1], Finish):
                    return
                complete = complete and not isinstance(fault, StreamError)
        if index == len(frames):
            break
        if frames[index].terminator and without_end:
            continue
        if is_paced:
            yield Pause(script.pace_gate, script.pace)
        yield Write(body.wrap(frames[index].data), frames[index])
    if body.chunked:
        yield Write(body.terminator(), is_event=False)
    yield Finish("fin" if script.close else "keep", complete=complete)


def _fault_steps(request: WireRequest, fault: _At, frames: Sequence[Frame], index: int, body: _Body) -> Iterator[Step]:
    match fault:
        case Stall():
            yield Pause(fault.gate, forever=fault.gate is None)
        case Inject():
            yield Write(body.wrap(fault.data or fault.text.encode()))
        case Cut():
            yield Finish(fault.how, complete=False)
        case EndAfter():
            yield from _early_end(body)
        case BrokenChunk():
            yield Write(b"not-a-size\r\n{}\r\n", is_event=False)
            yield Finish("fin", complete=False)
        case StreamError():
            error = stream_error(request, Status(fault.status, fault.kind, fault.message), index)
            yield Write(body.wrap(error.data))
            if fault.then_end:
                yield from _early_end(body)
        case CutInside():
            frame = _following(frames, index, fault)
            keep = len(frame.data) // 2 if fault.keep is None else fault.keep
            yield Write(body.open_part(frame.data, keep), is_event=False)
            yield Finish(fault.how, complete=False)
        case CutInsideCharacter():
            yield from _character_steps(fault, frames, index, body)


def _early_end(body: _Body) -> Iterator[Step]:
    """End the body in order; a declared length cannot be met, so the connection ends with it."""
    if body.chunked:
        yield Write(body.terminator(), is_event=False)
    yield Finish("keep" if body.chunked else "fin", complete=False)


def _following(frames: Sequence[Frame], index: int, fault: _At) -> Frame:
    if index >= len(frames):
        raise ScriptError(f"{type(fault).__name__} needs an event behind its position, but the answer ends there")
    return frames[index]


def _character_steps(fault: CutInsideCharacter, frames: Sequence[Frame], index: int, body: _Body) -> Iterator[Step]:
    for frame in frames[index:]:
        split = next((at for at, byte in enumerate(frame.data) if byte >= 0xC0), None)
        if split is None:
            yield Write(body.wrap(frame.data), frame)
            continue
        if fault.how == "end":
            yield Write(body.wrap(frame.data[: split + 1]), is_event=False)
            yield from _early_end(body)
            return
        yield Write(body.open_part(frame.data, split + 1), is_event=False)
        yield Finish(fault.how, complete=False)
        return
    raise ScriptError("CutInsideCharacter needs a multi-byte character behind its position; put one into the text")


def _dripped(steps: Sequence[Step], drip: Drip) -> list[Step]:
    """The same bytes in small writes; the head goes in one."""
    slow: list[Step] = []
    for step in steps:
        if not isinstance(step, Write) or step.data.startswith(b"HTTP/1.1 "):
            slow.append(step)
            continue
        bounds = range(0, len(step.data), drip.size)
        for start in bounds:
            slow.append(Pause(drip.gate, drip.pause))
            is_last = start == bounds[-1]
            part = step.data[start : start + drip.size]
            slow.append(Write(part, step.frame if is_last else None, is_event=step.is_event and is_last))
    return slow
