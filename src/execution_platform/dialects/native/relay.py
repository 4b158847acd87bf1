"""Passthrough of native answers: whole frames as they came, metered with the decoder's own functions."""

from typing import cast

from execution_platform import _json
from execution_platform.dialects.base import Metered, Peek, Upstream
from execution_platform.dialects.native.errors import Circumstances, Told, provider_error
from execution_platform.dialects.native.response import decode_response
from execution_platform.dialects.native.stream_decode import decode_finish
from execution_platform.dialects.native.usage import decode_usage
from execution_platform.dialects.sse import FrameSplitter, SseDecoder
from execution_platform.dialects.take import Object
from execution_platform.spi.parts import Origin

_CONTENT = (b"event: token", b"event: thinking", b"event: tool_call")
_BOOKS = (b"event: usage", b"event: done", b"event: error")


def patch(body: bytes, peek: Peek, model: str, *, usage: bool = True) -> bytes:
    """The caller's bytes with the target's model."""
    del peek, usage
    return _json.patch(body, {"model": model})


class StreamRelay:
    """One stream's worth."""

    def __init__(self, peek: Peek) -> None:
        del peek  # nothing of the request changes what is relayed
        self.metered = Metered()
        self._splitter = FrameSplitter()

    def feed(self, data: bytes) -> bytes:
        """The complete frames of what has come so far."""
        whole = self._splitter.feed(data)
        if not self.metered.committed and any(mark in whole for mark in _CONTENT):
            self.metered.committed = True
        if any(mark in whole for mark in _BOOKS):
            for frame in SseDecoder().feed(whole):
                self._meter(frame.event, frame.data)
        return whole

    def close(self) -> bytes:
        """Nothing: a frame that never ended is dropped, as the specification of SSE says."""
        return b""

    def _meter(self, event: str | None, data: bytes) -> None:
        if event not in ("usage", "done", "error"):
            return
        try:
            value = _json.loads(data)
        except _json.JsonError:
            return
        if not isinstance(value, dict):
            return
        wire = cast("Object", value)
        if event == "usage":
            self.metered.usage = decode_usage(wire)
        elif event == "error":
            code = wire.get("code")
            told = Told(str(wire.get("error", "")), code if isinstance(code, str) else None)
            self.metered.error = provider_error(told, Circumstances())
        else:
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
