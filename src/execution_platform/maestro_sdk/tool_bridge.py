"""The tool bridge under its older path; it lives in `execution_platform.tool_bridge`."""

from execution_platform.tool_bridge import (
    FunctionTool,
    SandboxPolicy,
    ToolProtocol,
    ToolRegistry,
    ToolResult,
    function_schema,
)
from execution_platform.tool_bridge.registry import tool_bridge

__all__ = [
    "FunctionTool",
    "SandboxPolicy",
    "ToolProtocol",
    "ToolRegistry",
    "ToolResult",
    "function_schema",
    "tool_bridge",
]
