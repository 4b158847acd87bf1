"""In whose words paths beside the LLM paths answer: model listings belong to three vendors at once."""

from execution_platform.dialects import dialect
from execution_platform.dialects.base import Dialect
from execution_platform.gateway.http import Scope

_ROOTS = (
    ("/genai/", "gemini"),
    ("/v1beta/", "gemini"),
    ("/anthropic/", "anthropic"),
    ("/openai/", "openai_chat"),
)
_LISTING = "/v1/models"


def dialect_of(scope: Scope) -> Dialect:
    """The dialect of who asks: by the path's root; at `/v1/models` by the vendor's own headers; else the native one."""
    path: str = scope["path"]
    name = next((name for root, name in _ROOTS if path.startswith(root)), None)
    if name is None:
        name = _by_headers(dict(scope["headers"])) if path.startswith(_LISTING) else "native"
    return dialect(name)


def _by_headers(headers: dict[bytes, bytes]) -> str:
    if b"x-goog-api-key" in headers or b"google-genai" in headers.get(b"user-agent", b""):
        return "gemini"
    return "anthropic" if b"anthropic-version" in headers else "openai_chat"
