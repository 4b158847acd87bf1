"""What the clients share, without any I/O: requests as bytes, answers from bytes."""

import base64
import binascii
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast
from urllib.parse import urlsplit

from execution_platform import __version__, _json
from execution_platform.dialects.base import StreamDecoder, Upstream
from execution_platform.dialects.native import DIALECT, decode_exception
from execution_platform.exceptions import ConfigError, ErrorKind, ExecutionPlatformError, ProtocolError
from execution_platform.spi.assemble import explode
from execution_platform.spi.chunks import ChatChunk, Chunker
from execution_platform.spi.events import Event
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import Origin
from execution_platform.spi.profile import ModelProfile
from execution_platform.spi.request import ChatRequest
from execution_platform.spi.response import ChatResponse, EmbeddingsResponse
from execution_platform.spi.tools import ToolDefinition
from execution_platform.spi.usage import Usage

Prompt = str | ChatRequest | Sequence[Message]
"""What to answer: a user's text, messages, or a whole request."""
Tools = Sequence[ToolDefinition | str]
Object = dict[str, object]

API_KEY = "EP_API_KEY"
_UPSTREAM = Upstream(Origin(dialect=DIALECT.name))
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP request, ready to be sent by any library."""

    method: str
    url: str
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Settings a call may name beside its prompt; for every other setting there is `ChatRequest`."""

    model: str | None = None
    system: str | None = None
    tools: Tools | None = None
    max_tokens: int | None = None
    temperature: float | None = None


def _protocol(sentence: str) -> ProtocolError:
    return ProtocolError(f"the gateway's answer cannot be read: {sentence}", kind=ErrorKind.PROTOCOL)


def read_object(body: bytes) -> Object:
    """A JSON object. Raises `ProtocolError`."""
    try:
        value = _json.loads(body)
    except _json.JsonError as error:
        raise _protocol(str(error)) from error
    if not isinstance(value, dict):
        raise _protocol("it is not an object")
    return cast("Object", value)


def as_request(prompt: Prompt, wishes: Wishes) -> ChatRequest:
    """The prompt with the call's wishes; a wish wins over what a whole request says."""
    if isinstance(prompt, ChatRequest):
        request = prompt
    else:
        messages = (Message("user", prompt),) if isinstance(prompt, str) else tuple(prompt)
        request = ChatRequest(messages)
    tools = request.tools
    if wishes.tools is not None:
        tools = [ToolDefinition(tool) if isinstance(tool, str) else tool for tool in wishes.tools]
    return replace(
        request,
        system=wishes.system,
        model=wishes.model or request.model,
        tools=tools,
        max_tokens=request.max_tokens if wishes.max_tokens is None else wishes.max_tokens,
        temperature=request.temperature if wishes.temperature is None else wishes.temperature,
    )


def _checked(base_url: str) -> str:
    """The gateway's address without what the paths add. Raises `ConfigError`."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"base_url: expected http://host:port or https://host, got {base_url!r}", param="base_url")
    return base_url.rstrip("/").removesuffix("/v1")


class Core:
    """One gateway, and as whom it is asked.

    The key is `api_key`, else the environment's EP_API_KEY, else none: a gateway on loopback asks for none.
    """

    def __init__(
        self,
        base_url: str,
        persona: str | None = None,
        provider: str | None = None,
        api_key: str | None = None,
    ) -> None:
        self.base_url = _checked(base_url)
        self.persona = persona
        self.provider = provider
        key = api_key or os.environ.get(API_KEY)
        self._headers = {"user-agent": f"execution-platform/{__version__}"}
        if key:
            self._headers["authorization"] = f"Bearer {key}"

    def get(self, path: str, params: Mapping[str, str | None] | None = None) -> HttpRequest:
        """A request without a body."""
        return HttpRequest("GET", self.base_url + path, _given(params), {**self._headers, "accept": _JSON})

    def post(
        self, path: str, body: bytes, params: Mapping[str, str | None] | None = None, *, accept: str = _JSON
    ) -> HttpRequest:
        """A request with a JSON body."""
        headers = {**self._headers, "content-type": _JSON, "accept": accept}
        return HttpRequest("POST", self.base_url + path, _given(params), headers, body)

    def chat(self, request: ChatRequest, *, stream: bool) -> HttpRequest:
        """`POST /v1/chat`; a persona of the request wins over the client's."""
        body = DIALECT.encode_request(replace(request, stream=stream), ModelProfile()).body
        persona = self.persona if request.persona is None else None
        params = {"provider": self.provider, "personaId": persona}
        path = DIALECT.chat_path(request.model or "", stream=stream)
        return self.post(path, body, params, accept=DIALECT.stream_type if stream else _JSON)

    def embed(self, inputs: str | Sequence[str], model: str | None, dimensions: int | None) -> HttpRequest:
        """`POST /v1/embeddings`."""
        body: Object = {"input": inputs if isinstance(inputs, str) else list(inputs)}
        if model is not None:
            body["model"] = model
        if dimensions is not None:
            body["dimensions"] = dimensions
        return self.post("/v1/embeddings", _json.dumps(body), {"provider": self.provider})

    def tools(self) -> HttpRequest:
        """`GET /v1/tools/list`."""
        return self.get("/v1/tools/list", {"provider": self.provider, "persona": self.persona})


def _given(params: Mapping[str, str | None] | None) -> dict[str, str]:
    return {name: value for name, value in (params or {}).items() if value is not None}


def read_failure(status: int, headers: Mapping[str, str], body: bytes) -> ExecutionPlatformError:
    """An HTTP answer of status >= 400 as the exception the gateway meant."""
    return decode_exception(status, {name.lower(): value for name, value in headers.items()}, body)


def read_chat(body: bytes) -> ChatResponse:
    """A whole answer. Raises `ProtocolError`, or what the body says went wrong."""
    return DIALECT.decode_response(body, _UPSTREAM)


class StreamReader:
    """The bytes of one streamed answer as events or chunks; an answer that came in one piece is told as a stream."""

    def __init__(self, content_type: str) -> None:
        self._decoder: StreamDecoder | None = None
        self._whole: list[bytes] = []
        self._chunker = Chunker()
        if content_type.startswith(DIALECT.stream_type):
            self._decoder = DIALECT.stream_decoder(_UPSTREAM)

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes."""
        if self._decoder is None:
            self._whole.append(data)
            return []
        return self._decoder.feed(data)

    def close(self) -> list[Event]:
        """The last events. Raises `ProtocolError` when the answer was not complete."""
        if self._decoder is None:
            return explode(read_chat(b"".join(self._whole)))
        return self._decoder.close()

    def chunks(self, events: Sequence[Event]) -> list[ChatChunk]:
        """The events as chunks. Raises what a failure among them carries."""
        return [chunk for event in events if (chunk := self._chunker.feed(event)) is not None]


def read_tools(body: bytes) -> list[ToolDefinition]:
    """The tools of a listing."""
    entries = read_object(body).get("tools")
    if not isinstance(entries, list):
        raise _protocol("it lists no tools")
    return [_read_tool(entry) for entry in cast("list[object]", entries)]


def _read_tool(entry: object) -> ToolDefinition:
    wire = cast("Object", entry) if isinstance(entry, dict) else {}
    name, description, parameters = wire.get("name"), wire.get("description"), wire.get("parameters")
    if not isinstance(name, str):
        raise _protocol("a tool has no name")
    return ToolDefinition(
        name,
        description if isinstance(description, str) else None,
        cast("Object", parameters) if isinstance(parameters, dict) else None,
        extra={key: value for key, value in wire.items() if key not in ("name", "description", "parameters")},
    )


def read_embeddings(body: bytes) -> EmbeddingsResponse:
    """The vectors in the order of the inputs, whatever the order of the answer."""
    wire = read_object(body)
    data = wire.get("data")
    if not isinstance(data, list):
        raise _protocol("it holds no embeddings")
    entries = [_read_vector(entry, place) for place, entry in enumerate(cast("list[object]", data))]
    vectors = [vector for _, vector in sorted(entries, key=lambda entry: entry[0])]
    model, usage = wire.get("model"), wire.get("usage")
    return EmbeddingsResponse(
        vectors,
        model if isinstance(model, str) else None,
        _read_usage(cast("Object", usage)) if isinstance(usage, dict) else None,
    )


def _read_vector(entry: object, place: int) -> tuple[int, Sequence[float]]:
    wire = cast("Object", entry) if isinstance(entry, dict) else {}
    index, vector = wire.get("index"), wire.get("embedding")
    position = index if isinstance(index, int) else place
    if isinstance(vector, list):
        return position, cast("list[float]", vector)
    if not isinstance(vector, str):
        raise _protocol("an embedding has no vector")
    try:
        data = base64.b64decode(vector, validate=True)
        return position, list(struct.unpack(f"<{len(data) // 4}f", data))
    except (binascii.Error, struct.error) as error:
        raise _protocol("an embedding is not base64 of 32-bit floats") from error


def _read_usage(wire: Object) -> Usage:
    tokens, cost = wire.get("prompt_tokens"), wire.get("cost_usd")
    return Usage(
        tokens if isinstance(tokens, int) else None,
        0,
        float(cost) if isinstance(cost, int | float) else None,
        raw=wire,
    )
