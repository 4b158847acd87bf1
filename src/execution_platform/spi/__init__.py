"""The canonical language: requests, answers, streams and tools, free of any vendor's wire format."""

from execution_platform.spi.assemble import Accumulator, accumulate, explode
from execution_platform.spi.chunks import ChatChunk, ToolCallDelta
from execution_platform.spi.clients import Chat, EmbeddingsClient, LLMClient, ToolBridge
from execution_platform.spi.loss import Loss, LossPolicy, Severity
from execution_platform.spi.messages import Message, Placement, Role
from execution_platform.spi.parts import (
    CacheMark,
    Citation,
    CompactionPart,
    FileRef,
    Inline,
    MediaPart,
    OpaquePart,
    Origin,
    Part,
    PartsSource,
    Signature,
    TextPart,
    TextSource,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    Url,
)
from execution_platform.spi.profile import CAPABILITIES, ModelProfile
from execution_platform.spi.request import (
    CachePolicy,
    ChatRequest,
    Continuation,
    EmbeddingsRequest,
    OutputFormat,
    Reasoning,
    Safety,
)
from execution_platform.spi.response import ChatResponse, EmbeddingsResponse, Finish, FinishReason, Output
from execution_platform.spi.tools import ToolCall, ToolChoice, ToolDefinition, ToolParameter
from execution_platform.spi.usage import Cost, Usage

__all__ = [
    "CAPABILITIES",
    "Accumulator",
    "CacheMark",
    "CachePolicy",
    "Chat",
    "ChatChunk",
    "ChatRequest",
    "ChatResponse",
    "Citation",
    "CompactionPart",
    "Continuation",
    "Cost",
    "EmbeddingsClient",
    "EmbeddingsRequest",
    "EmbeddingsResponse",
    "FileRef",
    "Finish",
    "FinishReason",
    "Inline",
    "LLMClient",
    "Loss",
    "LossPolicy",
    "MediaPart",
    "Message",
    "ModelProfile",
    "OpaquePart",
    "Origin",
    "Output",
    "OutputFormat",
    "Part",
    "PartsSource",
    "Placement",
    "Reasoning",
    "Role",
    "Safety",
    "Severity",
    "Signature",
    "TextPart",
    "TextSource",
    "ThinkingPart",
    "ToolBridge",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallPart",
    "ToolChoice",
    "ToolDefinition",
    "ToolParameter",
    "ToolResultPart",
    "Url",
    "Usage",
    "accumulate",
    "explode",
]
