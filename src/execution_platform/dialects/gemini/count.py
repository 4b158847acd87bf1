"""Token counts: `countTokens`.

Source: ai.google.dev API reference "Counting tokens" (2026-11). The short form has `contents` alone; the
whole request, with system text and tools, goes as `generateContentRequest`.
"""

from execution_platform import _json
from execution_platform.dialects.base import Encoded
from execution_platform.dialects.gemini.errors import error_in_answer
from execution_platform.dialects.gemini.request_decode import decode_wire
from execution_platform.dialects.gemini.request_encode import encode_request
from execution_platform.dialects.gemini.wire import answer_object, bad_answer, camel, mapping, parse, resource, whole
from execution_platform.dialects.take import as_object
from execution_platform.spi.profile import ModelProfile
from execution_platform.spi.request import ChatRequest


class Count:
    """`dialects.base.CountCodec` for this dialect."""

    def path(self, model: str) -> str:
        """Path below the provider's base URL."""
        return f"/{resource(model)}:countTokens"

    def decode_request(self, body: bytes, *, model: str | None = None) -> ChatRequest:
        """Either form. Raises `InvalidRequest`."""
        wire = parse(body)
        inner = wire.get("generateContentRequest")
        if inner is None:
            return decode_wire(wire, model=model)
        path = "generateContentRequest"
        return decode_wire(camel(as_object(inner, path)), model=model, path=path)

    def encode_request(self, request: ChatRequest, profile: ModelProfile) -> Encoded:
        """The whole request; what it loses is told by the request itself, too."""
        encoded = encode_request(request, profile)
        inner = mapping(_json.loads(encoded.body)) or {}
        body = {"generateContentRequest": {"model": resource(request.model or ""), **inner}}
        return Encoded(_json.dumps(body), encoded.losses, tool_names=encoded.tool_names)

    def decode_response(self, body: bytes) -> int:
        """The number of input tokens."""
        wire = camel(answer_object(body))
        if "error" in wire:
            raise error_in_answer(wire)
        total = whole(wire.get("totalTokens"))
        if total is None:
            # What is zero is left out on this wire, but then something else is there.
            if "totalTokens" in wire or not wire.keys() & {"promptTokensDetails", "cachedContentTokenCount"}:
                raise bad_answer("it has no totalTokens")
            return 0
        return total

    def encode_response(self, input_tokens: int) -> bytes:
        """Canonical → wire."""
        return _json.dumps({"totalTokens": input_tokens})
