"""OpenAI's chat completions, and everything that speaks like them. Sources stand at the head of each module."""

from collections.abc import Mapping, Sequence

from execution_platform import _json
from execution_platform.dialects.base import (
    CountCodec,
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
from execution_platform.dialects.openai_chat import errors, relay, request, response
from execution_platform.dialects.openai_chat.embeddings import Embeddings
from execution_platform.dialects.openai_chat.stream_decode import Decoder
from execution_platform.dialects.openai_chat.stream_encode import Encoder
from execution_platform.dialects.openai_chat.wire import NAME
from execution_platform.dialects.sse import HEARTBEAT
from execution_platform.dialects.take import Object, Taker, put
from execution_platform.exceptions import (
    ErrorKind,
    ExecutionPlatformError,
    InvalidRequest,
    ProtocolError,
    ProviderError,
)
from execution_platform.spi.profile import ModelProfile
from execution_platform.spi.request import ChatRequest
from execution_platform.spi.response import ChatResponse

__all__ = ["DIALECT", "OpenAIChat"]


class OpenAIChat:
    """The dialect. Base URLs of its providers end in `/v1`."""

    name = NAME
    stream_type = "text/event-stream"
    heartbeat = HEARTBEAT
    seal_mark = MARK

    def __init__(self) -> None:
        self.embeddings: EmbeddingsCodec | None = Embeddings()
        self.count: CountCodec | None = None

    def peek(self, body: bytes) -> Peek:
        """Read what routing needs."""
        return relay.peek(body)

    def decode_request(self, body: bytes, *, model: str | None = None, stream: bool | None = None) -> ChatRequest:
        """Wire → canonical."""
        return request.decode_request(body, model=model, stream=stream)

    def encode_request(self, request_: ChatRequest, profile: ModelProfile) -> Encoded:
        """Canonical → wire."""
        return request.encode_request(request_, profile)

    def chat_path(self, model: str, *, stream: bool) -> str:
        """Path below the provider's base URL; model and streaming stand in the body."""
        del model, stream
        return "/chat/completions"

    def patch(self, body: bytes, peek: Peek, model: str, *, usage: bool = True) -> bytes:
        """The caller's bytes for the target; `usage=False` for targets that refuse `stream_options`."""
        return relay.patch(body, peek, model, usage=usage)

    def relay(self, peek: Peek) -> Relay:
        """Passthrough of a stream."""
        return relay.StreamRelay(peek)

    def meter(self, body: bytes) -> Metered:
        """Passthrough of a whole answer."""
        return relay.meter(body)

    def decode_response(self, body: bytes, upstream: Upstream) -> ChatResponse:
        """Wire → canonical."""
        return response.decode_response(body, upstream)

    def encode_response(self, response_: ChatResponse, downstream: Downstream) -> Encoded:
        """Canonical → wire."""
        return response.encode_response(response_, downstream)

    def stream_decoder(self, upstream: Upstream) -> StreamDecoder:
        """A decoder for one streamed answer."""
        return Decoder(upstream)

    def stream_encoder(self, downstream: Downstream) -> StreamEncoder:
        """An encoder for one streamed answer."""
        return Encoder(downstream)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """An answer of status >= 400 as an error with its kind."""
        return errors.decode_error(status, headers, body)

    def encode_error(self, error: ExecutionPlatformError, request_id: str) -> bytes:
        """An error body."""
        return errors.encode_error(error, request_id)

    def error_frame(self, error: ExecutionPlatformError, request_id: str, *, array: bytes | None = None) -> bytes:
        """An error inside a stream."""
        return errors.error_frame(error, request_id)

    def encode_models(self, models: Sequence[ModelEntry]) -> bytes:
        """A model listing; what is known of a model beyond the vendor's members stands beside them."""
        data: list[Object] = []
        for model in models:
            wire: Object = {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owned_by}
            put(wire, display_name=model.display_name, context_window=model.context_window)
            put(wire, max_output_tokens=model.max_output_tokens)
            data.append(wire)
        return _json.dumps({"object": "list", "data": data})

    def decode_models(self, body: bytes) -> list[str]:
        """The model ids of a listing."""
        try:
            items = Taker(_json.loads(body)).list("data") or []
            return [Taker(item, f"data[{index}]").need("id") for index, item in enumerate(items)]
        except (_json.JsonError, InvalidRequest) as error:
            raise ProtocolError("the provider's answer is not a list of models", kind=ErrorKind.PROTOCOL) from error


DIALECT = OpenAIChat()
