"""Base64 in the URL-safe alphabet, which google-genai writes and other vendors refuse."""

import pytest

from execution_platform import _json
from execution_platform.dialects.gemini import DIALECT
from execution_platform.spi import Inline, MediaPart, ModelProfile


def body_with(data: str) -> bytes:
    parts = [{"inlineData": {"mimeType": "image/png", "data": data}}]
    return _json.dumps({"contents": [{"role": "user", "parts": parts}]})


@pytest.mark.parametrize(
    ("given", "held"),
    [("a-_b", "a+/b"), ("a+/b", "a+/b"), ("abcd", "abcd"), ("a-+b", "a-+b"), ("data:image/png;base64,a-", None)],
)
def test_media_is_held_in_the_standard_alphabet_and_goes_back_as_it_came(given: str, held: str | None) -> None:
    request = DIALECT.decode_request(body_with(given), model="gemini-2.5-pro")
    part = request.messages[0].parts[0]
    assert isinstance(part, MediaPart)
    assert part.source == Inline("image/png", given if held is None else held)
    again = _json.loads(DIALECT.encode_request(request, ModelProfile()).body)
    assert again["contents"] == _json.loads(body_with(given))["contents"]
