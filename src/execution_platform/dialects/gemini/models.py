"""Model listings.

Source: ai.google.dev API reference "Models" (2026-11).
"""

from collections.abc import Sequence

from execution_platform import _json
from execution_platform.dialects.base import ModelEntry
from execution_platform.dialects.gemini.errors import error_in_answer
from execution_platform.dialects.gemini.wire import answer_object, bad_answer, bare, objects
from execution_platform.dialects.take import Object

_METHODS = ["generateContent", "streamGenerateContent", "countTokens"]


def encode_models(models: Sequence[ModelEntry]) -> bytes:
    """A model listing."""
    return _json.dumps({"models": [_entry(model) for model in models]})


def _entry(model: ModelEntry) -> Object:
    entry: Object = {"name": f"models/{model.id}", "version": "", "displayName": model.display_name or model.id}
    if model.context_window is not None:
        entry["inputTokenLimit"] = model.context_window
    if model.max_output_tokens is not None:
        entry["outputTokenLimit"] = model.max_output_tokens
    entry["supportedGenerationMethods"] = _METHODS
    return entry


def decode_models(body: bytes) -> list[str]:
    """The model ids of a listing. Raises `ProtocolError` if it is none."""
    wire = answer_object(body)
    if "error" in wire:
        raise error_in_answer(wire)
    if not isinstance(wire.get("models", []), list):
        raise bad_answer("models is not a list")
    names = [entry.get("name") for entry in objects(wire.get("models"))]
    return [bare(name) for name in names if isinstance(name, str)]
