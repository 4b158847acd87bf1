"""Model listings.

Source: platform.openai.com API reference "List models" (2026-11).
"""

from collections.abc import Sequence

from execution_platform import _json
from execution_platform.dialects.base import ModelEntry
from execution_platform.dialects.take import Object, Taker, put
from execution_platform.exceptions import ErrorKind, InvalidRequest, ProtocolError


def encode_models(models: Sequence[ModelEntry]) -> bytes:
    """A model listing; what is known of a model beyond the vendor's members stands beside them."""
    data: list[Object] = []
    for model in models:
        wire: Object = {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owned_by}
        put(wire, display_name=model.display_name, context_window=model.context_window)
        put(wire, max_output_tokens=model.max_output_tokens)
        data.append(wire)
    return _json.dumps({"object": "list", "data": data})


def decode_models(body: bytes) -> list[str]:
    """The model ids of a listing. Raises `ProtocolError`."""
    try:
        items = Taker(_json.loads(body)).list("data") or []
        return [Taker(item, f"data[{index}]").need("id") for index, item in enumerate(items)]
    except (_json.JsonError, InvalidRequest) as error:
        raise ProtocolError("the provider's answer is not a list of models", kind=ErrorKind.PROTOCOL) from error
