"""An estimate of input tokens for targets that cannot count.

Four bytes of UTF-8 a token for text, three for schemas and arguments, and a flat sum for media, as the
vendors' own rules of thumb say (OpenAI, "What are tokens", 2026-10). It is always marked as estimated.
"""

from execution_platform import _json
from execution_platform.spi.parts import MediaPart, Part, TextPart, ThinkingPart, ToolCallPart, ToolResultPart
from execution_platform.spi.request import ChatRequest

_MESSAGE = 4
_MEDIA = 1000


def estimate_tokens(request: ChatRequest) -> int:
    """Roughly how many tokens the request's messages and tools are; at least 1."""
    total = sum(_MESSAGE + sum(_part(part) for part in message.parts) for message in request.messages)
    for tool in request.tools or ():
        declared = len((tool.description or "").encode()) + len(_json.dumps(tool.input_schema or {}))
        total += _MESSAGE + (len(tool.name) + declared) // 3
    return max(1, total)


def _part(part: Part) -> int:
    match part:
        case TextPart() | ThinkingPart():
            return (len(part.text.encode()) + 3) // 4
        case ToolCallPart():
            return _MESSAGE + (len(part.name) + len(part.arguments.encode())) // 3
        case ToolResultPart():
            return _MESSAGE + sum(_part(inner) for inner in part.parts)
        case MediaPart():
            return _MEDIA
        case _:
            return 0
