"""The platform's own wire language: `POST /v1/chat` and its stream of named events (contract: section 4)."""

from collections.abc import Mapping, Sequence
from typing import cast

from execution_platform import _json
from execution_platform.dialects.base import (
    CountCodec,
    Dialect,
    Downstream,
    EmbeddingsCodec,
    Encoded,
    Metered,
    ModelEntry,
    Peek,
    StreamDecoder,
    StreamEncoder,
    Upstream,
)
from execution_platform.dialects.base import Relay as RelayProtocol
from execution_platform.dialects.envelope import MARK
from execution_platform.dialects.native import errors, relay
from execution_platform.dialects.native import request as requests
from execution_platform.dialects.native import response as responses
from execution_platform.dialects.native.errors import decode_event, decode_exception, status_of
from execution_platform.dialects.native.parts import NAME
from execution_platform.dialects.native.request import PlatformOptions, encode_message, platform_options
from execution_platform.dialects.native.stream import Encoder
from execution_platform.dialects.native.stream_decode import Decoder
from execution_platform.dialects.sse import HEARTBEAT
from execution_platform.dialects.take import Object
from execution_platform.exceptions import ErrorKind, ExecutionPlatformError, ProtocolError, ProviderError
from execution_platform.spi.profile import ModelProfile
from execution_platform.spi.request import ChatRequest
from execution_platform.spi.response import ChatResponse

__all__ = [
    "DIALECT",
    "NativeDialect",
    "PlatformOptions",
    "decode_event",
    "decode_exception",
    "encode_message",
    "platform_options",
    "status_of",
]


class NativeDialect:
    """The native dialect; stateless."""

    name: str = NAME
    stream_type: str = "text/event-stream"
    heartbeat: bytes = HEARTBEAT
    seal_mark = MARK
    embeddings: EmbeddingsCodec | None = None
    count: CountCodec | None = None

    def peek(self, body: bytes) -> Peek:
        """Read what routing needs."""
        return requests.peek(body)

    def decode_request(self, body: bytes, *, model: str | None = None, stream: bool | None = None) -> ChatRequest:
        """Wire → canonical."""
        return requests.decode(body, model=model, stream=stream)

    def encode_request(self, request: ChatRequest, profile: ModelProfile) -> Encoded:
        """Canonical → wire; the gateway decides what fits a model, so no profile matters."""
        del profile
        return requests.encode(request)

    def chat_path(self, model: str, *, stream: bool) -> str:
        """Path below the base URL; model and stream are in the body."""
        del model, stream
        return "/v1/chat"

    def patch(self, body: bytes, peek: Peek, model: str, *, usage: bool = True) -> bytes:
        """The caller's bytes with the target's model."""
        del peek
        return _json.patch(body, {"model": model})

    def relay(self, peek: Peek) -> RelayProtocol:
        """Passthrough of a streamed answer."""
        del peek
        return relay.Relay()

    def meter(self, body: bytes) -> Metered:
        """Passthrough of a unary answer."""
        return relay.meter(body)

    def decode_response(self, body: bytes, upstream: Upstream) -> ChatResponse:
        """Wire → canonical."""
        return responses.decode_response(body, upstream)

    def encode_response(self, response: ChatResponse, downstream: Downstream) -> Encoded:
        """Canonical → wire."""
        return responses.encode_response(response, downstream)

    def stream_decoder(self, upstream: Upstream) -> StreamDecoder:
        """A decoder for one streamed answer."""
        return Decoder(upstream)

    def stream_encoder(self, downstream: Downstream) -> StreamEncoder:
        """An encoder for one streamed answer."""
        return Encoder(downstream)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """An upstream answer of status >= 400."""
        return errors.decode_error(status, headers, body)

    def encode_error(self, error: ExecutionPlatformError, request_id: str) -> bytes:
        """An error body."""
        return errors.encode_error(error, request_id)

    def error_frame(self, error: ExecutionPlatformError, request_id: str, *, array: bytes | None = None) -> bytes:
        """The `error` event; the request id is in the header."""
        del request_id
        return errors.error_frame(error)

    def encode_models(self, models: Sequence[ModelEntry]) -> bytes:
        """A model listing in OpenAI's shape."""
        data = [
            {"id": entry.id, "object": "model", "created": entry.created, "owned_by": entry.owned_by}
            for entry in models
        ]
        return _json.dumps({"object": "list", "data": data})

    def decode_models(self, body: bytes) -> list[str]:
        """The model ids of a listing. Raises `ProtocolError`."""
        try:
            value = _json.loads(body)
        except _json.JsonError as error:
            raise ProtocolError("the model listing is not JSON", kind=ErrorKind.PROTOCOL) from error
        data = cast("Object", value).get("data") if isinstance(value, dict) else None
        if not isinstance(data, list):
            raise ProtocolError("the model listing has no list of models", kind=ErrorKind.PROTOCOL)
        entries = [cast("Object", entry) for entry in cast("list[object]", data) if isinstance(entry, dict)]
        return [model for entry in entries if isinstance(model := entry.get("id"), str)]


DIALECT: Dialect = NativeDialect()
