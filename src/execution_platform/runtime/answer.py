"""What the kernel gives back to the gateway: a whole body, or a stream of writes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass


@dataclass(slots=True)
class Answer:
    """Exactly one of `body` and `stream` is set. The stream's writes are whole frames."""

    content_type: str
    body: bytes | None = None
    stream: AsyncIterator[bytes] | None = None
