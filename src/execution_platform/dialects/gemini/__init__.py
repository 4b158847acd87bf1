"""The dialect of Google's Gemini API (`generateContent`). A provider's base URL ends with the version (`…/v1beta`).

A `thoughtSignature` is bytes, so an envelope travels in base64 here: `envelope.BASE64_MARK` is how it begins,
and a body that holds it must take the converting path.
"""

from collections.abc import Mapping, Sequence

from execution_platform.dialects.base import (
    CountCodec,
    Dialect,
    Downstream,
    EmbeddingsCodec,
    Encoded,
    Metered,
    ModelEntry,
    Peek,
    Relay,
    StreamDecoder,
    StreamEncoder,
    Upstream,
)
from execution_platform.dialects.envelope import BASE64_MARK
from execution_platform.dialects.gemini import errors, request_decode, request_encode
from execution_platform.dialects.gemini import models as listing
from execution_platform.dialects.gemini import relay as passthrough
from execution_platform.dialects.gemini import response as responses
from execution_platform.dialects.gemini.count import Count
from execution_platform.dialects.gemini.embeddings import Embeddings
from execution_platform.dialects.gemini.stream_decode import Decoder
from execution_platform.dialects.gemini.stream_encode import HEARTBEAT, Encoder
from execution_platform.dialects.gemini.wire import NAME, resource
from execution_platform.exceptions import ExecutionPlatformError, ProviderError
from execution_platform.spi.profile import ModelProfile
from execution_platform.spi.request import ChatRequest
from execution_platform.spi.response import ChatResponse

__all__ = ["DIALECT"]


class Gemini:
    """`dialects.base.Dialect` for `generateContent`."""

    def __init__(self) -> None:
        self.name = NAME
        self.stream_type = "text/event-stream"
        self.heartbeat = HEARTBEAT
        self.seal_mark = BASE64_MARK
        self.embeddings: EmbeddingsCodec | None = Embeddings()
        self.count: CountCodec | None = Count()

    def peek(self, body: bytes) -> Peek:
        """Read what routing needs; the model and whether to stream stand in the path."""
        return passthrough.peek(body)

    def decode_request(self, body: bytes, *, model: str | None = None, stream: bool | None = None) -> ChatRequest:
        """Wire → canonical."""
        return request_decode.decode_request(body, model=model, stream=stream)

    def encode_request(self, request: ChatRequest, profile: ModelProfile) -> Encoded:
        """Canonical → wire."""
        return request_encode.encode_request(request, profile)

    def chat_path(self, model: str, *, stream: bool) -> str:
        """Path below the provider's base URL. Raises `InvalidRequest` for a name that cannot be part of one."""
        return f"/{resource(model)}:{'streamGenerateContent?alt=sse' if stream else 'generateContent'}"

    def patch(self, body: bytes, peek: Peek, model: str, *, usage: bool = True) -> bytes:
        """The caller's bytes with the target's model, where the body names one."""
        return passthrough.patch(body, peek, model)

    def relay(self, peek: Peek) -> Relay:
        """Passthrough of a streamed answer."""
        del peek
        return passthrough.AnswerRelay()

    def meter(self, body: bytes) -> Metered:
        """Passthrough of a unary answer."""
        return passthrough.meter(body)

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
        """An encoder for one streamed answer, in the form `downstream.sse` says."""
        return Encoder(downstream)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """An upstream answer of status >= 400 as an error."""
        return errors.decode_error(status, headers, body)

    def encode_error(self, error: ExecutionPlatformError, request_id: str) -> bytes:
        """An error body."""
        return errors.encode_error(error, request_id)

    def error_frame(self, error: ExecutionPlatformError, request_id: str, *, array: bytes | None = None) -> bytes:
        """An error inside a stream of server-sent events; an array's is written by its encoder for `Failed`."""
        return (
            errors.error_frame(error, request_id) if array is None else errors.error_element(error, request_id, array)
        )

    def encode_models(self, models: Sequence[ModelEntry]) -> bytes:
        """A model listing."""
        return listing.encode_models(models)

    def decode_models(self, body: bytes) -> list[str]:
        """The model ids of a listing."""
        return listing.decode_models(body)


DIALECT: Dialect = Gemini()
