"""OpenAI's Responses API. Base URLs of its providers end in `/v1`. Sources stand at the head of each module."""

from execution_platform.dialects import openai_errors, openai_models
from execution_platform.dialects.base import Dialect
from execution_platform.dialects.envelope import MARK
from execution_platform.dialects.openai_responses import errors, relay, request, response
from execution_platform.dialects.openai_responses.count import Count
from execution_platform.dialects.openai_responses.stream_decode import Decoder
from execution_platform.dialects.openai_responses.stream_encode import Encoder
from execution_platform.dialects.openai_responses.wire import NAME, chat_path
from execution_platform.dialects.sse import HEARTBEAT

__all__ = ["DIALECT"]

DIALECT = Dialect(
    name=NAME,
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
    decode_error=openai_errors.decode_error,
    encode_error=openai_errors.encode_error,
    error_frame=errors.error_frame,
    encode_models=openai_models.encode_models,
    decode_models=openai_models.decode_models,
    count=Count(),
)
