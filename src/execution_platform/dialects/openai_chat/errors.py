"""Errors inside a stream of chat completions."""

from execution_platform.dialects.openai_errors import encode_error
from execution_platform.dialects.sse import data_frame
from execution_platform.exceptions import ExecutionPlatformError


def error_frame(error: ExecutionPlatformError, request_id: str, *, array: bytes | None = None) -> bytes:
    """An error inside a stream: SDKs raise on a chunk with an `error` member; no `[DONE]` follows."""
    del array
    return data_frame(encode_error(error, request_id))
