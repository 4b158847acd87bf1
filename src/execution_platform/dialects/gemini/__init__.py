"""The dialect of Google's Gemini API (`generateContent`). A provider's base URL ends with the version (`…/v1beta`).

A `thoughtSignature` is bytes, so an envelope travels in base64 here: `envelope.BASE64_MARK` is how it begins,
and a body that holds it must take the converting path.
"""

from execution_platform.dialects.base import Dialect
from execution_platform.dialects.envelope import BASE64_MARK
from execution_platform.dialects.gemini import errors, models, relay, request_decode, request_encode, response
from execution_platform.dialects.gemini.count import Count
from execution_platform.dialects.gemini.embeddings import Embeddings
from execution_platform.dialects.gemini.stream_decode import Decoder
from execution_platform.dialects.gemini.stream_encode import HEARTBEAT, Encoder
from execution_platform.dialects.gemini.wire import NAME, chat_path

__all__ = ["DIALECT"]

DIALECT = Dialect(
    name=NAME,
    heartbeat=HEARTBEAT,
    seal_mark=BASE64_MARK,
    peek=relay.peek,
    decode_request=request_decode.decode_request,
    encode_request=request_encode.encode_request,
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
    embeddings=Embeddings(),
    count=Count(),
)
