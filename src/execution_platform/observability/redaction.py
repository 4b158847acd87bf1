"""The last line against leaks: known secret values, and what looks like a key, are replaced by `***`.

The redactor knows live values, because pattern lists miss; it also knows the usual shapes of keys,
because an upstream may echo a key that is not ours.
"""

import re
from collections.abc import Iterable
from typing import TypeVar

from execution_platform.exceptions import ExecutionPlatformError, ProviderError

Error = TypeVar("Error", bound=ExecutionPlatformError)

_SHAPES = re.compile(
    rb"(?:sk-(?:ant-|proj-|ep-)?[A-Za-z0-9_-]{8,}|AIza[0-9A-Za-z_-]{16,}|gsk_[A-Za-z0-9]{16,}|xai-[A-Za-z0-9]{16,}"
    rb"|(?i:bearer)\s+[A-Za-z0-9._~+/=-]{8,})"
)
_KEYS = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    rb"|(?<![A-Za-z0-9_-])(?:sk-|gsk_|xai-|AIza)(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,}",
    re.DOTALL,
)
"""What is a key beyond doubt: files that agents read and write are full of words that only look a little like one."""
_SHORTEST = 6
"""A shorter value would tear ordinary words out of messages."""


class Redactor:
    """Replaces secrets in whatever leaves the house. Immutable; one per configuration snapshot."""

    __slots__ = ("_values",)

    def __init__(self, values: Iterable[str] = ()) -> None:
        kept = sorted({value for value in values if len(value) >= _SHORTEST}, key=len, reverse=True)
        self._values = re.compile(b"|".join(re.escape(value.encode()) for value in kept)) if kept else None

    def body(self, data: bytes) -> bytes:
        """`data` without secrets."""
        if self._values is not None:
            data = self._values.sub(b"***", data)
        return _SHAPES.sub(b"***", data)

    def content(self, text: str) -> str:
        """`text` that people and agents work with, without our secrets and without what is a key beyond doubt."""
        data = text.encode("utf-8", "replace")
        clean = data if self._values is None else self._values.sub(b"***", data)
        clean = _KEYS.sub(b"***", clean)
        return text if clean == data else clean.decode("utf-8", "replace")

    def text(self, text: str) -> str:
        """`text` without secrets."""
        return self.body(text.encode("utf-8", "replace")).decode("utf-8", "replace")

    def error(self, error: Error) -> Error:
        """`error` itself, with the secrets taken out of every word of it that may be shown."""
        error.message, error.code = self.text(error.message), self.text(error.code)
        if error.param is not None:
            error.param = self.text(error.param)
        if isinstance(error, ProviderError) and error.request_id is not None:
            error.request_id = self.text(error.request_id)
        return error
