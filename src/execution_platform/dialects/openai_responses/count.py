"""Token counting: `POST /responses/input_tokens`. Source: openai SDK 3.52 `resources/responses/input_tokens.py` (read 2026-11)."""

from typing import cast

from execution_platform import _json
from execution_platform.dialects.base import Encoded
from execution_platform.dialects.openai_responses.request import decode_request, encode_request
from execution_platform.dialects.openai_responses.response import broken
from execution_platform.dialects.take import Object
from execution_platform.spi.profile import ModelProfile
from execution_platform.spi.request import ChatRequest


class Count:
    """The counting endpoint."""

    def path(self, model: str) -> str:
        """Path below the provider's base URL."""
        del model
        return "/responses/input_tokens"

    def decode_request(self, body: bytes, *, model: str | None = None) -> ChatRequest:
        """A body as a canonical request."""
        return decode_request(body, model=model, stream=False)

    def encode_request(self, request: ChatRequest, profile: ModelProfile) -> Encoded:
        """A canonical request as a body."""
        return encode_request(request, profile)

    def decode_response(self, body: bytes) -> int:
        """The number of input tokens. Raises `ProtocolError`."""
        try:
            value = _json.loads(body)
        except _json.JsonError as error:
            raise broken(f"the count is not JSON: {error.message}", body) from error
        tokens = cast("Object", value).get("input_tokens") if isinstance(value, dict) else None
        if isinstance(tokens, bool) or not isinstance(tokens, int):
            raise broken("the count has no integer `input_tokens`", body)
        return tokens

    def encode_response(self, input_tokens: int) -> bytes:
        """A count as a body."""
        return _json.dumps({"object": "response.input_tokens", "input_tokens": input_tokens})
