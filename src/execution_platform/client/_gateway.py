"""The client of raw events."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Self, cast

from execution_platform import _json
from execution_platform.client import _core
from execution_platform.client._asynchronous import Pool
from execution_platform.client._core import Core, Object
from execution_platform.dialects.native import DIALECT, decode_event, encode_message
from execution_platform.dialects.sse import Frame, SseDecoder
from execution_platform.exceptions import ErrorKind, ProtocolError
from execution_platform.spi.messages import Message

Requires = Mapping[str, object] | Sequence[str]


class GatewayClient:
    """A gateway, spoken to in its own words: bodies and events are plain dictionaries.

    Events are `{"event": name, "data": value}` as contract section 4 lists them. An `error` event is raised, not yielded; a stream
    that stops before `done` raises `ProtocolError`.
    """

    def __init__(self, base_url: str, api_key: str | None = None) -> None:
        self._core = Core(base_url, api_key=api_key)
        self._pool = Pool(self._core.base_url)

    async def stream_chat(
        self,
        messages: Sequence[Mapping[str, object] | Message],
        *,
        provider: str | None = None,
        persona_id: str | None = None,
        requires: Requires | None = None,
        **body: object,
    ) -> AsyncGenerator[Object]:
        """The events of one answer. `body` holds further members of the request, such as `tools` or `response_format`."""
        wire: Object = {name: value for name, value in body.items() if value is not None}
        wire["messages"] = [encode_message(each) if isinstance(each, Message) else each for each in messages]
        wire["stream"] = True
        if requires is not None:
            wire["requires"] = requires
        params = {"provider": provider, "personaId": persona_id}
        request = self._core.post("/v1/chat", _json.dumps(wire), params, accept=DIALECT.stream_type)
        frames = SseDecoder()
        done = False
        async with aclosing(self._pool.stream(request)) as pieces:
            async for _, data in pieces:
                for frame in frames.feed(data):
                    event = _event(frame)
                    done = done or event["event"] == "done"
                    yield event
        if not done:
            raise ProtocolError("the stream was cut before its `done` event", kind=ErrorKind.PROTOCOL)

    async def embeddings(
        self, inputs: str | Sequence[str], model: str | None = None, *, dimensions: int | None = None
    ) -> Object:
        """The answer of `POST /v1/embeddings`, in OpenAI's shape."""
        return _core.read_object(await self._pool.send(self._core.embed(inputs, model, dimensions)))

    async def invoke_tool(self, name: str, args: Mapping[str, object] | None = None) -> Object:
        """Run a tool of the platform: `{"ok": true, "result": …}`."""
        body = _json.dumps({"name": name, "args": dict(args or {})})
        return _core.read_object(await self._pool.send(self._core.post("/v1/tools/invoke", body)))

    async def capabilities(self, provider: str | None = None) -> Object:
        """What the providers offer."""
        request = self._core.get("/v1/capabilities", {"provider": provider})
        return _core.read_object(await self._pool.send(request))

    async def providers(self) -> Object:
        """The state of every provider, with its circuit breakers: `{"providers": {name: {"configured", "breaker", …}}}`."""
        return _core.read_object(await self._pool.send(self._core.get("/v1/health/providers")))

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _event(frame: Frame) -> Object:
    """One frame as a dictionary. Raises what an `error` event stands for."""
    try:
        data = _json.loads(frame.data)
    except _json.JsonError as error:
        raise ProtocolError(f"the data of an event is not JSON ({error})", kind=ErrorKind.PROTOCOL) from error
    if frame.event == "error":
        raise decode_event(cast("Object", data) if isinstance(data, dict) else {"error": str(data)})
    return {"event": frame.event or "message", "data": data}
