"""A stream on its way to the client: one write per batch."""

from execution_platform.gateway.headers import answer_headers
from execution_platform.gateway.http import Send
from execution_platform.gateway.state import State
from execution_platform.runtime.answer import Answer
from execution_platform.runtime.call import Call
from execution_platform.runtime.execute import aclose


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
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for data in stream:
            await send({"type": "http.response.body", "body": data, "more_body": True})
            pulse.touch(key, send, heartbeat)
        await send({"type": "http.response.body", "body": b""})
    finally:
        pulse.forget(key)
        state.metrics.streams.dec()
        await aclose(stream)
