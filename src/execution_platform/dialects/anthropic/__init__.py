"""The dialect of Anthropic's Messages API. A provider's base URL ends before `/v1`."""

from collections.abc import Mapping, Sequence

from execution_platform.dialects.anthropic import errors
from execution_platform.dialects.anthropic import models as listing
from execution_platform.dialects.anthropic import relay as passthrough
from execution_platform.dialects.anthropic import request as requests
from execution_platform.dialects.anthropic import response as responses
from execution_platform.dialects.anthropic.count import Count
from execution_platform.dialects.anthropic.stream_decode import Decoder
from execution_platform.dialects.anthropic.stream_encode import HEARTBEAT, Encoder
from execution_platform.dialects.anthropic.wire import NAME
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
from execution_platform.dialects.envelope import MARK
from execution_platform.exceptions import ExecutionPlatformError, ProviderError
from execution_platform.spi.profile import ModelProfile
from execution_platform.spi.request import ChatRequest
from execution_platform.spi.response import ChatResponse

__all__ = ["DIALECT"]


class Anthropic:
    """`dialects.base.Dialect` for the Messages API."""

    def __init__(self) -> None:
        self.name = NAME
        self.stream_type = "text/event-stream; charset=utf-8"
        self.heartbeat = HEARTBEAT
        self.seal_mark = MARK
        self.embeddings: EmbeddingsCodec | None = None
        self.count: CountCodec | None = Count()

    def peek(self, body: bytes) -> Peek:
        """Read what routing needs."""
        return passthrough.peek(body)

    def decode_request(self, body: bytes, *, model: str | None = None, stream: bool | None = None) -> ChatRequest:
        """Wire → canonical."""
        return requests.decode_request(body, model=model, stream=stream)

    def encode_request(self, request: ChatRequest, profile: ModelProfile) -> Encoded:
        """Canonical → wire."""
        return requests.encode_request(request, profile)

    def chat_path(self, model: str, *, stream: bool) -> str:
        """Path below the provider's base URL."""
        del model, stream
        return "/v1/messages"

    def patch(self, body: bytes, peek: Peek, model: str, *, usage: bool = True) -> bytes:
        """The caller's bytes with the target's model."""
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
        """An encoder for one streamed answer."""
        return Encoder(downstream)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """An upstream answer of status >= 400 as an error."""
        return errors.decode_error(status, headers, body)

    def encode_error(self, error: ExecutionPlatformError, request_id: str) -> bytes:
        """An error body."""
        return errors.encode_error(error, request_id)

    def error_frame(self, error: ExecutionPlatformError, request_id: str, *, array: bytes | None = None) -> bytes:
        """An error inside a stream that has already begun."""
        return errors.error_frame(error, request_id)

    def encode_models(self, models: Sequence[ModelEntry]) -> bytes:
        """A model listing."""
        return listing.encode_models(models)

    def decode_models(self, body: bytes) -> list[str]:
        """The model ids of a listing."""
        return listing.decode_models(body)


DIALECT: Dialect = Anthropic()
