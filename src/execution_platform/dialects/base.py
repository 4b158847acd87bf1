"""What a dialect is: a codec between one vendor's wire and the canonical language, without I/O.

Decoders take bytes and give canonical values; encoders take canonical values and give bytes plus the
`Loss`es of the way. A dialect knows nothing of HTTP libraries, of providers, or of other dialects.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from execution_platform.exceptions import ErrorKind, ExecutionPlatformError, ProtocolError, ProviderError
from execution_platform.spi.events import Event
from execution_platform.spi.loss import Loss
from execution_platform.spi.parts import Origin
from execution_platform.spi.profile import ModelProfile
from execution_platform.spi.request import ChatRequest, EmbeddingsRequest
from execution_platform.spi.response import ChatResponse, EmbeddingsResponse, Finish
from execution_platform.spi.usage import Usage
from execution_platform.spi.value import value


@value()
class Peek:
    """What routing and metering need of a chat body, read without decoding the rest."""

    model: str | None
    stream: bool = False
    max_tokens: int | None = None
    n: int = 1
    has_tools: bool = False
    include_usage: bool = False
    """OpenAI: the caller asked for the usage chunk itself."""
    persona: str | None = None
    provider: str | None = None
    """Native: the provider the caller chose in the body."""


@value()
class Encoded:
    """A body for the wire and what it could not carry.

    `headers` are headers of the dialect that the body needs (`anthropic-beta`); `tool_names` maps
    names as sent to the names the caller declared, where they had to be changed.
    """

    body: bytes
    losses: tuple[Loss, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    tool_names: Mapping[str, str] = field(default_factory=dict[str, str])


@value()
class Upstream:
    """Where an answer that is being decoded comes from."""

    origin: Origin
    tool_names: Mapping[str, str] = field(default_factory=dict[str, str])
    extra: Mapping[str, object] = field(default_factory=dict[str, object])
    """Facts of the target's profile that a decoder needs (`think_tags`, `audio_mime`)."""


@value()
class Downstream:
    """For whom an answer is being encoded."""

    model: str
    """The name to answer with when the answer itself names no model."""
    id: str
    """The response id to use when the answer has none that suits the dialect."""
    created: int = 0
    include_usage: bool = False
    sse: bool = True
    """Gemini streams as SSE (`alt=sse`) or as one JSON array."""
    extra: dict[str, object] = field(default_factory=dict[str, object])
    """Members for the native `done` event: provider, fallback_from, simulated …; read when the stream ends."""


@dataclass(slots=True)
class Metered:
    """What the books need of an answer, filled by the same merge function that the decoder uses.

    `committed` turns true with the first real content, `finished` with the proper end.
    """

    usage: Usage | None = None
    finish: Finish | None = None
    model: str | None = None
    id: str | None = None
    committed: bool = False
    finished: bool = False
    error: ProviderError | None = None
    broken: ProviderError | None = None
    """What came is no stream of this dialect any more. It was not passed on, nor what followed, so the error is ours to tell."""
    deltas: int = 0
    """Pieces of the answer that have passed since its head, for the case that its usage never comes."""
    characters: int = 0
    """Of those pieces, where they were decoded."""
    head: bytes = b""
    sample: bytes = b""
    """Where they were not: the first frames as they came, and the last ones."""

    def break_off(self, what: str) -> None:
        """Note that `what` came instead of a frame; of a stream that has ended, or told of its failure, nothing more is expected."""
        if self.error is None and self.broken is None and not self.finished:
            self.broken = ProtocolError(f"the provider's stream holds {what}", kind=ErrorKind.PROTOCOL)


class StreamDecoder(Protocol):
    """Wire bytes → events. Where the bytes are split never shows."""

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes. Raises `ProtocolError` on bytes that are not the dialect."""
        ...

    def close(self) -> list[Event]:
        """The last events, when the upstream ended. Raises `ProtocolError` if that was before the end."""
        ...


class StreamEncoder(Protocol):
    """Events → wire bytes."""

    @property
    def losses(self) -> Sequence[Loss]:
        """What could not be carried so far."""
        ...

    def send(self, events: Sequence[Event]) -> bytes:
        """The bytes for `events`, which came in one read and leave in one write. May be empty."""
        ...

    def close(self) -> bytes:
        """The dialect's terminator, after the last `Finished`; nothing after `Failed`."""
        ...


class Relay(Protocol):
    """Passthrough of a stream: bytes in, the same bytes out (whole frames), metered on the way.

    Partial frames are held back, so that an error frame can follow at any time.
    """

    metered: Metered

    def feed(self, data: bytes) -> bytes:
        """The complete frames of what has come so far, except frames the caller must not see."""
        ...

    def pieces(self, shown: bytes) -> int:
        """How many pieces of the answer are in what `feed` has given last, which is `shown` and not empty."""
        ...

    def close(self) -> bytes:
        """What is left when the upstream ended; `metered.finished` tells whether that was proper."""
        ...


class EmbeddingsCodec(Protocol):
    """Embeddings in this dialect."""

    def path(self, model: str) -> str:
        """Path below the provider's base URL."""
        ...

    def decode_request(self, body: bytes, *, model: str | None = None) -> EmbeddingsRequest:
        """Wire → canonical; `model` where the path names it."""
        ...

    def encode_request(self, request: EmbeddingsRequest) -> Encoded:
        """Canonical → wire; `request.model` is the target's."""
        ...

    def decode_response(self, body: bytes) -> EmbeddingsResponse:
        """Wire → canonical."""
        ...

    def encode_response(self, response: EmbeddingsResponse, request: EmbeddingsRequest) -> bytes:
        """Canonical → wire, in the form `request` asked for."""
        ...


class CountCodec(Protocol):
    """Token counting in this dialect."""

    def path(self, model: str) -> str:
        """Path below the provider's base URL."""
        ...

    def decode_request(self, body: bytes, *, model: str | None = None) -> ChatRequest:
        """Wire → canonical."""
        ...

    def encode_request(self, request: ChatRequest, profile: ModelProfile) -> Encoded:
        """Canonical → wire."""
        ...

    def decode_response(self, body: bytes) -> int:
        """The number of input tokens."""
        ...

    def encode_response(self, input_tokens: int) -> bytes:
        """Canonical → wire."""
        ...


@value()
class ModelEntry:
    """A line of a model listing."""

    id: str
    owned_by: str = "execution-platform"
    created: int = 0
    display_name: str | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None


class DecodeRequest(Protocol):
    """Wire → canonical; `model` and `stream` where the path says so. Raises `InvalidRequest` with `param`."""

    def __call__(self, body: bytes, *, model: str | None = None, stream: bool | None = None) -> ChatRequest:
        """Decode a chat body."""
        ...


class ChatPath(Protocol):
    """Path (and query) below the provider's base URL. Raises `InvalidRequest` for a name that cannot be part of one."""

    def __call__(self, model: str, *, stream: bool) -> str:
        """The path for a model."""
        ...


class Patch(Protocol):
    """Passthrough: the caller's bytes with only the target's model changed.

    Where usage of streams has to be asked for it is, unless `usage` says that the target refuses that. Where the provider would keep
    the answer it is told not to; `thinks` says that the target then has to hand its thoughts out, sealed.
    """

    def __call__(self, body: bytes, peek: Peek, model: str, *, usage: bool = True, thinks: bool = False) -> bytes:
        """The bytes for the target."""
        ...


class ErrorFrame(Protocol):
    """An error inside a stream that has already begun; nothing follows it.

    Where the stream is one JSON array, `array` is what was last written of it, empty before anything was.
    """

    def __call__(self, error: ExecutionPlatformError, request_id: str, *, array: bytes | None = None) -> bytes:
        """The frame."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One wire language: its functions, without state; one value serves all requests."""

    name: str
    stream_type: str = "text/event-stream"
    """Content type of a streamed answer."""
    heartbeat: bytes
    """What keeps an idle stream alive."""
    seal_mark: bytes
    """What stands in a request that holds an envelope: such a request does not pass through."""
    peek: Callable[[bytes], Peek]
    """Read what routing needs. Raises `InvalidRequest` on wrong types of those members."""
    decode_request: DecodeRequest
    encode_request: Callable[[ChatRequest, ModelProfile], Encoded]
    """Canonical → wire; `request.model` is the target's model, `request.stream` as wanted upstream."""
    chat_path: ChatPath
    patch: Patch
    relay: Callable[[Peek], Relay]
    """Passthrough of a streamed answer."""
    meter: Callable[[bytes], Metered]
    """Passthrough of a unary answer: what the books need. Raises `ProtocolError` if it is no answer."""
    decode_response: Callable[[bytes, Upstream], ChatResponse]
    """Wire → canonical. Raises `ProtocolError` on bytes that are not the dialect, `ProviderError` on an error in a 200."""
    encode_response: Callable[[ChatResponse, Downstream], Encoded]
    """Canonical → wire."""
    stream_decoder: Callable[[Upstream], StreamDecoder]
    """A decoder for one streamed answer."""
    stream_encoder: Callable[[Downstream], StreamEncoder]
    """An encoder for one streamed answer."""
    decode_error: Callable[[int, Mapping[str, str], bytes], ProviderError]
    """An upstream answer of status >= 400 as an error with its kind; header names are lower case."""
    encode_error: Callable[[ExecutionPlatformError, str], bytes]
    """An error body in this dialect, with the request id where it has a place for it."""
    error_frame: ErrorFrame
    encode_models: Callable[[Sequence[ModelEntry]], bytes]
    """A model listing."""
    decode_models: Callable[[bytes], list[str]]
    """The model ids of a listing. Raises `ProtocolError`."""
    embeddings: EmbeddingsCodec | None = None
    count: CountCodec | None = None
