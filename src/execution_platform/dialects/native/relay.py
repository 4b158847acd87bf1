"""Passthrough of native answers: whole frames as they came, metered with the decoder's own functions."""

from typing import cast

from execution_platform import _json
from execution_platform.dialects.base import Metered, Peek, Upstream
from execution_platform.dialects.native.errors import Circumstances, Told, provider_error
from execution_platform.dialects.native.response import decode_response
from execution_platform.dialects.native.stream_decode import decode_finish
from execution_platform.dialects.native.usage import decode_usage
from execution_platform.dialects.sse import Frame, FrameSplitter, Seams, count_pieces, read_frame, split_frames
from execution_platform.dialects.take import Object
from execution_platform.spi.parts import Origin

_CONTENT = ("token", "thinking", "tool_call")
_SEAMS = Seams(b'event: token\ndata: {"')


def patch(body: bytes, peek: Peek, model: str, *, usage: bool = True, thinks: bool = False) -> bytes:
    """The caller's bytes with the target's model."""
    del peek, usage, thinks
    return _json.patch(body, {"model": model})


class StreamRelay:
    """One stream's worth."""

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

    def pieces(self, shown: bytes) -> int:
        """How many pieces of the answer are in what was shown last."""
        return count_pieces(shown)

    def close(self) -> bytes:
        """Nothing: a frame that never ended is dropped, as the specification of SSE says."""
        return b""

    def _reads(self, frame: Frame) -> bool:
        """Whether a frame is an event; what it tells the books is noted."""
        try:
            value = _json.loads(frame.data)
        except _json.JsonError:
            value = None
        if not isinstance(value, dict):
            self.metered.break_off("an event that is no JSON object")
            return False
        self.metered.committed = self.metered.committed or frame.event in _CONTENT
        self._note(frame.event, cast("Object", value))
        return True

    def _note(self, event: str | None, wire: Object) -> None:
        if event == "usage":
            self.metered.usage = decode_usage(wire)
        elif event == "error":
            code = wire.get("code")
            told = Told(str(wire.get("error", "")), code if isinstance(code, str) else None)
            self.metered.error = provider_error(told, Circumstances())
        elif event == "done":
            self._done(wire)

    def _done(self, wire: Object) -> None:
        metered = self.metered
        usage, model, answer_id = wire.get("usage"), wire.get("model"), wire.get("id")
        if metered.usage is None and isinstance(usage, dict):
            metered.usage = decode_usage(cast("Object", usage))
        metered.finish = decode_finish(wire)
        metered.model = model if isinstance(model, str) else None
        metered.id = answer_id if isinstance(answer_id, str) else None
        metered.finished = True


def meter(body: bytes) -> Metered:
    """What the books need of a whole answer. Raises `ProtocolError` if it is none."""
    response = decode_response(body, Upstream(Origin(dialect="native")))
    return Metered(
        usage=response.usage,
        finish=response.finish,
        model=response.model,
        id=response.id,
        committed=True,
        finished=True,
    )
