"""The platform's own wire language: `POST /v1/chat` and its stream of named events (contract: section 4)."""

from execution_platform.dialects.base import Dialect
from execution_platform.dialects.envelope import MARK
from execution_platform.dialects.native import errors, models, relay, request, response
from execution_platform.dialects.native.errors import decode_event, decode_exception, public_message, status_of
from execution_platform.dialects.native.parts import NAME
from execution_platform.dialects.native.request import PlatformOptions, decode_message, encode_message, platform_options
from execution_platform.dialects.native.stream import Encoder
from execution_platform.dialects.native.stream_decode import Decoder
from execution_platform.dialects.sse import HEARTBEAT

__all__ = [
    "DIALECT",
    "PlatformOptions",
    "decode_event",
    "decode_exception",
    "decode_message",
    "encode_message",
    "platform_options",
    "public_message",
    "status_of",
]

DIALECT = Dialect(
    name=NAME,
    heartbeat=HEARTBEAT,
    seal_mark=MARK,
    peek=request.peek,
    decode_request=request.decode_request,
    encode_request=request.encode_request,
    chat_path=request.chat_path,
    patch=relay.patch,
    relay=relay.StreamRelay,
    meter=relay.meter,
    decode_response=response.decode_response,
    encode_response=response.encode_response,
    stream_decoder=Decoder,
    stream_encoder=Encoder,
    decode_error=errors.decode_error,
    encode_error=errors.encode_error,
    error_frame=errors.error_frame,
    encode_models=models.encode_models,
    decode_models=models.decode_models,
)
