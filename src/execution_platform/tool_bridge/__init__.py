"""The tool bridge: tools by name, their arguments checked against their schemas, their results as values."""

from execution_platform.tool_bridge.context import ContextualTool, ToolContext
from execution_platform.tool_bridge.function import FunctionTool
from execution_platform.tool_bridge.protocol import SideEffect, ToolProtocol, ToolResult
from execution_platform.tool_bridge.registry import ENTRY_POINTS, ToolRegistry, process_registry
from execution_platform.tool_bridge.sandbox import SandboxPolicy
from execution_platform.tool_bridge.schema import ArgumentCheck, function_schema

__all__ = [
    "ENTRY_POINTS",
    "ArgumentCheck",
    "ContextualTool",
    "FunctionTool",
    "SandboxPolicy",
    "SideEffect",
    "ToolContext",
    "ToolProtocol",
    "ToolRegistry",
    "ToolResult",
    "function_schema",
    "process_registry",
]
