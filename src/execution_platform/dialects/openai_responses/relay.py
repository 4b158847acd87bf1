"""Passthrough: what routing reads of a request, and metering of answers that leave as they came.

Until the first content every event is read; after it only those that end an item or the answer, since the last event repeats
the usage and the end.
"""

from typing import cast

from execution_platform import _json
from execution_platform.dialects import openai_errors
from execution_platform.dialects.base import Metered, Peek
from execution_platform.dialects.openai_responses.response import decode_finish, parse_answer
from execution_platform.dialects.openai_responses.usage import decode_usage
from execution_platform.dialects.openai_responses.wire import SEALED
from execution_platform.dialects.sse import Frame, FrameSplitter, Seams, count_pieces, read_frame, split_frames
from execution_platform.dialects.take import Object, Taker, body_object

_PEEKED = ("model", "stream", "max_output_tokens")
_NONE: tuple[object, ...] = (None, [])
_DELTAS = (".delta", "output_item.done")
_ENDS = ("response.completed", "response.incomplete")
_SEAMS = Seams(b'event: response.output_text.delta\ndata: {"')


def peek(body: bytes) -> Peek:
    """What routing needs of a body. Raises `InvalidRequest` on wrong types of those members."""
    members = body_object(body)
    take = Taker({name: members[name] for name in _PEEKED if name in members})
    return Peek(
        model=take.str("model"),
        stream=bool(take.bool("stream")),
        max_tokens=take.int("max_output_tokens"),
        has_tools=members.get("tools") not in _NONE,
    )


def patch(body: bytes, peek: Peek, model: str, *, usage: bool = True, thinks: bool = False) -> bytes:
    """The caller's bytes with the target's model, and with `store` switched off: what is kept of an answer is kept by the gateway.

    Thoughts that the provider does not keep come back to it sealed, so they are asked for. Usage is always reported.
    """
    del usage
    changes: Object = {} if peek.model == model else {"model": model}
    members = body_object(body)
    if members.get("store") is not False:
        changes["store"] = False
        include = cast("list[object]", members.get("include") or [])
        if thinks and SEALED not in include:
            changes["include"] = [*include, SEALED]
    return _json.patch(body, changes) if changes else body


def meter(body: bytes) -> Metered:
    """What the books need of a whole answer. Raises `ProtocolError` if it is none."""
    metered = Metered(committed=True, finished=True)
    _take(parse_answer(body), metered)
    return metered


def _take(response: Object, metered: Metered) -> None:
    """What the object of a whole answer says."""
    usage, tier = response.get("usage"), response.get("service_tier")
    if isinstance(usage, dict):
        metered.usage = decode_usage(cast("Object", usage), tier if isinstance(tier, str) else None)
    output = response.get("output")
    items = (
        [cast("Object", item) for item in cast("list[object]", output) if isinstance(item, dict)]
        if isinstance(output, list)
        else []
    )
    calls = any(item.get("type") in ("function_call", "custom_tool_call") for item in items)
    metered.finish = decode_finish(response, has_calls=calls)
    _name(response, metered)


def _name(response: Object, metered: Metered) -> None:
    answer_id, model = response.get("id"), response.get("model")
    metered.id = answer_id if isinstance(answer_id, str) else None
    metered.model = model if isinstance(model, str) else None


class StreamRelay:
    """One streamed answer on its way from provider to caller."""

    __slots__ = ("_splitter", "metered")

    def __init__(self, peek: Peek) -> None:
        del peek  # nothing of the request changes what is relayed
        self.metered = Metered()
        self._splitter = FrameSplitter()

    def feed(self, data: bytes) -> bytes:
        """The complete frames of what has come so far, before the first that is none."""
        whole = self._splitter.feed(data)
        return whole if not whole or (self.metered.committed and _SEAMS.frames(whole)) else self._look(whole)

    def _look(self, whole: bytes) -> bytes:
        shown = 0
        for block in split_frames(whole):
            frame = read_frame(block)
            if frame is not None and frame.data and not self._reads(frame):
                return whole[:shown]
            shown += len(block)
        return whole

    def _reads(self, frame: Frame) -> bool:
        """Take what an event says; whether it is one."""
        if frame.data == b"[DONE]":
            return True
        try:
            value = _json.loads(frame.data)
        except _json.JsonError:
            value = None
        if not isinstance(value, dict):
            self.metered.break_off("an event that is no JSON object")
            return False
        self._event(cast("Object", value))
        return True

    def _event(self, wire: Object) -> None:
        metered, kind = self.metered, str(wire.get("type"))
        inner = wire.get("response")
        response = cast("Object", inner) if isinstance(inner, dict) else {}
        if kind == "response.failed":
            metered.error = openai_errors.stream_error(response)
        elif kind == "error" or (wire.get("error") and not response):
            metered.error = metered.error or openai_errors.stream_error(wire)
        elif kind == "response.created":
            _name(response, metered)
        elif kind in _ENDS:
            _take(response, metered)
            metered.committed = metered.finished = True
        elif kind.endswith(_DELTAS):
            metered.committed = True

    def pieces(self, shown: bytes) -> int:
        """How many pieces of the answer are in what was shown last."""
        return count_pieces(shown)

    def close(self) -> bytes:
        """Nothing: an event that never ended is dropped, as the specification of SSE says."""
        return b""
