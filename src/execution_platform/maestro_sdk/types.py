"""The values of the SDK under their older path; they live in `execution_platform.spi`."""

from execution_platform.spi import (
    ChatChunk,
    ChatRequest,
    ChatResponse,
    EmbeddingsResponse,
    FinishReason,
    Message,
    Role,
    ToolCall,
    ToolCallDelta,
    ToolDefinition,
    ToolParameter,
    Usage,
)

__all__ = [
    "ChatChunk",
    "ChatRequest",
    "ChatResponse",
    "EmbeddingsResponse",
    "FinishReason",
    "Message",
    "Role",
    "ToolCall",
    "ToolCallDelta",
    "ToolDefinition",
    "ToolParameter",
    "Usage",
]
