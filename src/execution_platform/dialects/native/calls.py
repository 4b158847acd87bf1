"""Tool calls and results as events and answers tell them.

`args` is an object. The text the model wrote is kept to the byte (line ends between tokens become blanks); text that is no
JSON object becomes `{"_raw": text}`, and comes back as that text. So does an object that looks like such a wrapping, so that
unwrapping is never wrong.
"""

from typing import cast

from execution_platform import _json
from execution_platform.dialects import envelope
from execution_platform.dialects.native.parts import NAME, encode_content
from execution_platform.dialects.take import Object, put
from execution_platform.exceptions import ErrorKind, ProtocolError
from execution_platform.spi.parts import TextPart, ToolCallPart, ToolResultPart

RAW_KEY = "_raw"


def as_args(arguments: str) -> object:
    """Arguments text as the member `args`."""
    text = arguments.strip()
    if not text:
        return {}
    value = _as_object(text)
    if value is None or _wrapped(value) is not None:
        return {RAW_KEY: arguments}
    # JSON strings hold no line ends, so these stand between tokens; a raw one would end the SSE line.
    return _json.Raw(text.replace("\r", " ").replace("\n", " ").encode())


def _as_object(text: str) -> Object | None:
    try:
        value = _json.loads(text)
    except _json.JsonError:
        return None
    return cast("Object", value) if isinstance(value, dict) else None


def _wrapped(value: Object) -> str | None:
    """The text inside `{"_raw": text}`."""
    text = value.get(RAW_KEY)
    return text if len(value) == 1 and isinstance(text, str) else None


def as_arguments(args: bytes) -> str:
    """The member `args`, undecoded, as arguments text. Raises `ProtocolError` when it is no object."""
    try:
        value = _json.loads(args)
    except _json.JsonError as error:
        raise protocol_error("the arguments of a tool call are not JSON") from error
    if not isinstance(value, dict):
        raise protocol_error("the arguments of a tool call are not an object")
    wrapped = _wrapped(cast("Object", value))
    return args.decode() if wrapped is None else wrapped


def protocol_error(sentence: str) -> ProtocolError:
    """The gateway's bytes are not the native dialect."""
    return ProtocolError(f"the answer is not in the native dialect: {sentence}", kind=ErrorKind.PROTOCOL)


def encode_call(call: ToolCallPart) -> Object:
    """A complete call: `{id, name, args}` and what a later turn needs."""
    out: Object = {"id": call.call_id, "name": call.name, "args": as_args(call.arguments)}
    put(
        out,
        kind=None if call.kind == "function" else call.kind,
        signature=None if call.signature is None else envelope.seal(call.signature, call.id),
    )
    return out


def decode_call(body: bytes, number: int, names: "dict[str, str]") -> ToolCallPart:
    """A complete call from its undecoded object. Raises `ProtocolError`."""
    try:
        split = _json.members(body)
    except _json.JsonError as error:
        raise protocol_error("a tool call is not an object") from error
    call_id, name, kind, token = (_text(split.get(member)) for member in ("id", "name", "kind", "signature"))
    if not name:
        raise protocol_error("a tool call has no name")
    return ToolCallPart(
        call_id or f"call_{number}",
        names.get(name, name),
        as_arguments(bytes(split["args"])) if "args" in split else "{}",
        kind=kind if kind in ("custom", "mcp", "server") else "function",
        synthetic_id=not call_id,
        signature=None if token is None else envelope.read(token, NAME, "signature"),
    )


def _text(value: "_json.Raw | None") -> str | None:
    if value is None:
        return None
    try:
        found = _json.loads(bytes(value))
    except _json.JsonError as error:
        raise protocol_error("a member of a tool call is not JSON") from error
    return found if isinstance(found, str) else None


def encode_result(part: ToolResultPart) -> Object:
    """A tool's result: `{id, name?, result, is_error?}`."""
    result = part.raw if part.raw is not None else encode_content(part.parts)
    out: Object = {"id": part.call_id}
    put(out, name=part.name)
    out["result"] = result
    put(out, is_error=part.is_error)
    return out


def decode_result(data: object, last_call: str) -> ToolResultPart:
    """Any result as a part; one that names no call answers `last_call`."""
    if not isinstance(data, dict) or "result" not in data:
        return ToolResultPart(last_call, raw=cast("object", data))
    wire = cast("Object", data)
    call_id, name, is_error = wire.get("id"), wire.get("name"), wire.get("is_error")
    result = wire["result"]
    text = (TextPart(result),) if isinstance(result, str) and result else ()
    return ToolResultPart(
        call_id if isinstance(call_id, str) else last_call,
        text,
        name=name if isinstance(name, str) else None,
        is_error=is_error if isinstance(is_error, bool) else None,
        raw=None if isinstance(result, str) else result,
    )
