"""The seams of the SDK under their older path; they live in `execution_platform.spi`."""

from execution_platform.spi import EmbeddingsClient, LLMClient, ToolBridge

__all__ = ["EmbeddingsClient", "LLMClient", "ToolBridge"]
