"""Whether the SDK of the protocol is there."""

from importlib.util import find_spec

from execution_platform.exceptions import ConfigError


class McpNotInstalled(ConfigError):
    """The extra `mcp` is missing."""

    code = "mcp_not_installed"


def require() -> None:
    """Raises `McpNotInstalled` that says how to install it."""
    if find_spec("mcp") is None:
        raise McpNotInstalled("MCP needs the extra 'mcp': pip install 'execution-platform[mcp]'")
