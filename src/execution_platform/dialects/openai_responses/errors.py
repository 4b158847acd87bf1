"""Errors inside a stream of events.

Source: openai SDK 3.52 `_streaming.py` and `types/responses/response_{failed,error}_event.py` (read 2026-11): clients that read
events look for `response.failed`; the SDK raises on data with a member `error`. Both are written, and nothing after them.
"""

from execution_platform import _json
from execution_platform.dialects.openai_errors import encode_error
from execution_platform.dialects.sse import event_frame
from execution_platform.dialects.take import Object
from execution_platform.exceptions import ErrorKind, ExecutionPlatformError

_CODES = {ErrorKind.RATE_LIMIT: "rate_limit_exceeded", ErrorKind.BAD_REQUEST: "invalid_prompt"}


def error_frame(error: ExecutionPlatformError, request_id: str, *, array: bytes | None = None) -> bytes:
    """An error inside a stream about whose answer nothing more is known."""
    del array
    head: Object = {"id": f"resp_{request_id.removeprefix('req_')}", "object": "response", "created_at": 0, "model": ""}
    wire: Object = {**head, "output": [], "parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    return failure_frames(error, request_id, wire, 0)


def failure_frames(error: ExecutionPlatformError, request_id: str, response: Object, number: int) -> bytes:
    """The last two events of a stream that breaks, from sequence number `number` on."""
    told: Object = _json.loads(encode_error(error, request_id))["error"]  # type: ignore[index]
    code = _CODES.get(error.kind, "server_error")
    failed: Object = {**response, "status": "failed", "error": {"code": code, "message": told["message"]}}
    last: Object = {
        "type": "error",
        "sequence_number": number + 1,
        "code": told["code"],
        "message": told["message"],
        "param": told["param"],
        "error": told,
    }
    event: Object = {"type": "response.failed", "sequence_number": number, "response": failed}
    return event_frame("response.failed", _json.dumps(event)) + event_frame("error", _json.dumps(last))
