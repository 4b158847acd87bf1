"""What every module of this dialect shares: names, spelling, signatures, paths and arguments.

Source: ai.google.dev API reference (v1beta, GenerateContent, Content, Part) and google-genai 3.4 `types.py`,
read 2026-11. The API is protobuf in JSON: members are written in camelCase and also read in snake_case,
64-bit numbers may be text, and what is zero or empty is left out.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final, cast

from execution_platform import _json
from execution_platform.dialects import envelope
from execution_platform.dialects.envelope import BASE64_MARK
from execution_platform.dialects.take import Object, as_object, kind_of
from execution_platform.exceptions import ErrorKind, InvalidRequest, ProtocolError
from execution_platform.spi.parts import Origin, Signature

NAME: Final = "gemini"
THOUGHT: Final = "thought"
"""`Signature.kind` of a `thoughtSignature`."""
UNPARSED: Final = "_unparsed_arguments"
"""Holds the text of arguments that are not a JSON object, where the wire takes only objects."""
SEALED: Final = BASE64_MARK.decode()
"""How an envelope begins in this dialect: `ep1.` in base64 (`thoughtSignature` is bytes, and clients decode it)."""

_SNAKE: Final = re.compile(r"_+([a-z0-9])")
_MODEL: Final = re.compile(r"[A-Za-z0-9._\-:@/]+")
_FULL: Final = ("models/", "tunedModels/", "publishers/", "projects/")


def camel(value: Mapping[str, object]) -> Object:
    """The members of one message in camelCase; where both spellings are given, camelCase wins."""
    if not any("_" in name for name in value):
        return dict(value)
    spelled = {_SNAKE.sub(lambda found: found.group(1).upper(), name): member for name, member in value.items()}
    return {**spelled, **{name: member for name, member in value.items() if "_" not in name}}


def parse(body: bytes) -> Object:
    """A request body as an object with members in camelCase. Raises `InvalidRequest`."""
    try:
        value = _json.loads(body)
    except _json.JsonError as error:
        raise InvalidRequest(error.message) from error
    return camel(as_object(value, ""))


def bad_answer(what: str) -> ProtocolError:
    """The error for an answer that is not this dialect."""
    return ProtocolError(f"the provider's answer is not Gemini's: {what}", kind=ErrorKind.PROTOCOL)


def answer_object(data: bytes) -> Object:
    """An answer or a chunk of one as an object. Raises `ProtocolError`."""
    try:
        value = _json.loads(data)
    except _json.JsonError as error:
        raise bad_answer(error.message) from error
    one = cast("list[object]", value) if isinstance(value, list) else [value]
    found = one[0] if len(one) == 1 else None
    if not isinstance(found, dict):
        raise bad_answer(f"expected an object, got {kind_of(cast('object', value))}")
    return cast("Object", found)


def resource(model: str) -> str:
    """The model as a path: `models/x` unless it is a full name already. Raises `InvalidRequest` for unsafe names."""
    steps = model.split("/")
    if not _MODEL.fullmatch(model) or ".." in model or any(step in ("", ".") for step in steps):
        raise InvalidRequest(
            f"model: {model!r} cannot be part of a path; use letters, digits and . _ - : @ / only", param="model"
        )
    return model if model.startswith(_FULL) and len(steps) > 1 else f"models/{model}"


def bare(model: str) -> str:
    """The model's name without the collection it is in."""
    return model.removeprefix("models/")


def read_signature(token: str) -> envelope.Opened:
    """A `thoughtSignature`: opened if it is an envelope, else native."""
    if token.startswith(SEALED):
        try:
            text = base64.b64decode(token.translate(_STANDARD) + "=" * (-len(token) % 4)).decode("ascii")
        except (binascii.Error, ValueError):
            text = ""
        opened = envelope.unseal(text)
        if opened is not None:
            return opened
    return envelope.unseal(token) or envelope.Opened(Signature(token, Origin(dialect=NAME), THOUGHT), None)


_STANDARD: Final = str.maketrans("-_", "+/")


def seal(signature: Signature, item_id: str | None = None) -> str:
    """A token of another dialect in the form a `thoughtSignature` may have."""
    return base64.b64encode(envelope.seal(signature, item_id).encode()).decode()


def is_native(signature: Signature) -> bool:
    """Whether the token is a `thoughtSignature` of this dialect."""
    return signature.origin.dialect == NAME


def arguments_object(text: str) -> tuple[object, bool]:
    """Arguments as the object the wire takes, and whether they had to be wrapped because they are none."""
    if not text.strip():
        return {}, False
    try:
        value = _json.loads(text)
    except _json.JsonError:
        return {UNPARSED: text}, True
    return (cast("Object", value), False) if isinstance(value, dict) else ({UNPARSED: text}, True)


def arguments_text(args: object) -> str:
    """The wire's object as the text of the canonical language; empty when the wire gave none."""
    if args is None:
        return ""
    wrapped = cast("Object", args) if isinstance(args, dict) else {}
    inner = wrapped.get(UNPARSED) if len(wrapped) == 1 else None
    return inner if isinstance(inner, str) else _json.dumps(cast("object", args)).decode()


def whole(value: object) -> int | None:
    """A count on the wire: an integer, a float without fraction, or (64-bit) text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 19 else None


def objects(value: object) -> list[Object]:
    """The objects of a list in an answer; what is no object is no part of it."""
    return [cast("Object", item) for item in items_of(value) if isinstance(item, dict)]


def items_of(value: object) -> list[object]:
    """The items of a list; anything else has none."""
    return cast("list[object]", value) if isinstance(value, list) else []


def mapping(value: object) -> Object | None:
    """A mapping as an object of its own; None for anything else."""
    return dict(cast("Mapping[str, object]", value)) if isinstance(value, Mapping) else None


def member(value: Mapping[str, object], name: str) -> Object:
    """An object member of an answer; empty when it is not there."""
    found = value.get(name)
    return cast("Object", found) if isinstance(found, dict) else {}


def chat_path(model: str, *, stream: bool) -> str:
    """Path below the provider's base URL. Raises `InvalidRequest` for a name that cannot be part of one."""
    return f"/{resource(model)}:{'streamGenerateContent?alt=sse' if stream else 'generateContent'}"
