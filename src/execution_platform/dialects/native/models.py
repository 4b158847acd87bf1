"""Model listings, in OpenAI's shape."""

from collections.abc import Sequence
from typing import cast

from execution_platform import _json
from execution_platform.dialects.base import ModelEntry
from execution_platform.dialects.take import Object
from execution_platform.exceptions import ErrorKind, ProtocolError


def encode_models(models: Sequence[ModelEntry]) -> bytes:
    """A model listing."""
    data = [
        {"id": entry.id, "object": "model", "created": entry.created, "owned_by": entry.owned_by} for entry in models
    ]
    return _json.dumps({"object": "list", "data": data})


def decode_models(body: bytes) -> list[str]:
    """The model ids of a listing. Raises `ProtocolError`."""
    try:
        value = _json.loads(body)
    except _json.JsonError as error:
        raise ProtocolError("the model listing is not JSON", kind=ErrorKind.PROTOCOL) from error
    data = cast("Object", value).get("data") if isinstance(value, dict) else None
    if not isinstance(data, list):
        raise ProtocolError("the model listing has no list of models", kind=ErrorKind.PROTOCOL)
    entries = [cast("Object", entry) for entry in cast("list[object]", data) if isinstance(entry, dict)]
    return [model for entry in entries if isinstance(model := entry.get("id"), str)]
