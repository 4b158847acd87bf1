"""A streamed answer on its way to the client: its head, its writes, its heartbeats, its end."""

import time

from execution_platform._failpoint import ARMED, reach
from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.gateway.headers import answer_headers
from execution_platform.gateway.http import HeaderList, Send
from execution_platform.gateway.state import State
from execution_platform.router.chain import aclose
from execution_platform.runtime.answer import Answer
from execution_platform.runtime.call import Call


class StreamOut:
    """One streamed answer. The head is held until content has arrived, so that status 200 is true.

    When content takes long although nobody else is left to ask, or because the model thinks first, the head leaves
    with a heartbeat, before proxies lose patience; from then on a failure is an event of the stream.
    """

    __slots__ = ("_call", "_last", "_send", "_state", "begun", "touched")

    def __init__(self, state: State, call: Call, send: Send) -> None:
        self._state = state
        self._call = call
        self._send = send
        self._last = b""
        self.begun = False
        """The head has left."""
        self.touched = time.monotonic()
        """When something was written last."""

    def open(self) -> None:
        """Count the stream and let it have heartbeats. Raises `Overloaded`."""
        self._state.admission.streams += 1
        self._state.admission.check_stream()
        self._state.pulse.add(self)

    def close(self) -> None:
        """The stream is over, however it ended."""
        self._state.admission.streams -= 1
        self._state.pulse.discard(self)

    @property
    def wants_beat(self) -> bool:
        """Whether a sign of life may be sent: always behind the head, before it when waiting is all that is left."""
        if self.begun:
            return True
        tried = self._call.outcome.tried
        return bool(tried) and (tried[-1].last or self._call.snapshot.profile(tried[-1].target).reasoning)

    async def beat(self) -> None:
        """Send a heartbeat, behind the head."""
        if not self.begun:
            self.begun = True
            headers = self._head(self._call.stream_type)
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": self._call.dialect.heartbeat, "more_body": True})

    async def run(self, answer: Answer) -> None:
        """Send every batch as it comes."""
        stream, send = answer.stream, self._send
        if stream is None:
            return
        headers = self._head(answer.content_type)
        try:
            # Begun before the head leaves: closing a generator that never ran would not close the upstream.
            first = await anext(stream)
            if ARMED:
                await reach("kernel.at_commit")
            if not self.begun:
                self.begun = True
                await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": first, "more_body": True})
            self._last, self.touched = first, time.monotonic()
            async for data in stream:
                await send({"type": "http.response.body", "body": data, "more_body": True})
                self._last, self.touched = data, time.monotonic()
            self._state.pulse.discard(self)
            if ARMED:
                await reach("kernel.after_last_byte")
            await send({"type": "http.response.body", "body": b""})
        finally:
            await aclose(stream)

    async def fail(self, error: ExecutionPlatformError) -> None:
        """End a stream whose head has left with the dialect's error."""
        call = self._call
        self._state.pulse.discard(self)
        told = call.snapshot.redactor.error(error)
        frame = call.dialect.error_frame(told, call.id, array=None if call.sse else self._last)
        await self._send({"type": "http.response.body", "body": frame, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})

    def _head(self, content_type: str) -> HeaderList:
        headers = answer_headers(self._call, content_type)
        headers.append((b"cache-control", b"no-cache"))
        headers.append((b"x-accel-buffering", b"no"))
        return headers
