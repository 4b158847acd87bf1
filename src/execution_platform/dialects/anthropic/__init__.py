"""The dialect of Anthropic's Messages API. A provider's base URL ends before `/v1`."""

from execution_platform.dialects.anthropic import errors, models, relay, request, response
from execution_platform.dialects.anthropic.count import Count
from execution_platform.dialects.anthropic.stream_decode import Decoder
from execution_platform.dialects.anthropic.stream_encode import HEARTBEAT, Encoder
from execution_platform.dialects.anthropic.wire import NAME, chat_path
from execution_platform.dialects.base import Dialect
from execution_platform.dialects.envelope import MARK

__all__ = ["DIALECT"]

DIALECT = Dialect(
    name=NAME,
    stream_type="text/event-stream; charset=utf-8",
    heartbeat=HEARTBEAT,
    seal_mark=MARK,
    peek=relay.peek,
    decode_request=request.decode_request,
    encode_request=request.encode_request,
    chat_path=chat_path,
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
    count=Count(),
)
