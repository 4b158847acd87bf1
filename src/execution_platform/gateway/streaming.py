"""A stream on its way to the client: one write per batch."""

from execution_platform._failpoint import ARMED, reach
from execution_platform.gateway.headers import answer_headers
from execution_platform.gateway.http import Send
from execution_platform.gateway.state import State
from execution_platform.router.chain import aclose
from execution_platform.runtime.answer import Answer
from execution_platform.runtime.call import Call


async def send_stream(state: State, call: Call, answer: Answer, send: Send) -> None:
    """Send the head, which is true since content has arrived, and then every batch as it comes."""
    stream = answer.stream
    if stream is None:
        return
    headers = answer_headers(call, answer.content_type)
    headers.append((b"cache-control", b"no-cache"))
    headers.append((b"x-accel-buffering", b"no"))
    pulse, key, heartbeat = state.pulse, id(call), call.dialect.heartbeat
    state.metrics.streams.inc()
    try:
        # Begun before the head leaves: closing a generator that never ran would not close the upstream.
        first = await anext(stream)
        if ARMED:
            await reach("kernel.at_commit")
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": first, "more_body": True})
        pulse.touch(key, send, heartbeat)
        async for data in stream:
            await send({"type": "http.response.body", "body": data, "more_body": True})
            pulse.touch(key, send, heartbeat)
        pulse.forget(key)
        if ARMED:
            await reach("kernel.after_last_byte")
        await send({"type": "http.response.body", "body": b""})
    finally:
        pulse.forget(key)
        state.metrics.streams.dec()
        await aclose(stream)
