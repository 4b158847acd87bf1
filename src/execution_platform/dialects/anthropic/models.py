"""Model listings. Source: anthropic SDK 2.11, `types/model_info.py` (read 2026-11)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

from execution_platform import _json
from execution_platform.dialects.anthropic.response import protocol_error
from execution_platform.dialects.base import ModelEntry
from execution_platform.dialects.take import Object


def encode_models(models: Sequence[ModelEntry]) -> bytes:
    """A listing of one page."""
    data = [_entry(model) for model in models]
    first, last = (models[0].id, models[-1].id) if models else (None, None)
    return _json.dumps({"data": data, "has_more": False, "first_id": first, "last_id": last})


def _entry(model: ModelEntry) -> Object:
    created = datetime.fromtimestamp(model.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.display_name or model.id,
        "created_at": created,
        "lifecycle": "active",
        "max_input_tokens": model.context_window,
        "max_tokens": model.max_output_tokens,
    }


def decode_models(body: bytes) -> list[str]:
    """The ids of a listing. Raises `ProtocolError`."""
    try:
        value = _json.loads(body)
    except _json.JsonError as error:
        raise protocol_error(f"the provider's model list is not JSON: {error.message}", body) from error
    data = cast("Object", value).get("data") if isinstance(value, dict) else None
    if not isinstance(data, list):
        raise protocol_error("the provider's model list has no list `data`", body)
    entries = [cast("Object", entry) for entry in cast("list[object]", data) if isinstance(entry, dict)]
    return [name for entry in entries if isinstance(name := entry.get("id"), str)]
