"""The Model Context Protocol: tools of other people's servers as tools here, and the own tools for other people's clients.

The SDK is the extra `mcp`, imported where a server is first spoken to or a client first answered.
"""

from execution_platform.tool_bridge.mcp.client import McpServers, McpTool
from execution_platform.tool_bridge.mcp.pins import Pins

__all__ = ["McpServers", "McpTool", "Pins"]
