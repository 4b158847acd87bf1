"""The platform's own tools."""

from collections.abc import Callable
from dataclasses import dataclass

from execution_platform.config.secret import Secret, SecretRef
from execution_platform.config.tools import HttpToolsConfig, ToolsConfig
from execution_platform.tool_bridge.files import FileRules
from execution_platform.tool_bridge.plugins.filesystem import filesystem_tools
from execution_platform.tool_bridge.plugins.http import http_tools
from execution_platform.tool_bridge.plugins.todo import todo_tools
from execution_platform.tool_bridge.plugins.web_search import WebSearch
from execution_platform.tool_bridge.protected import ProtectedPaths
from execution_platform.tool_bridge.protocol import ToolProtocol
from execution_platform.tool_bridge.web import LARGEST, SECONDS, Web
from execution_platform.transport.egress import EgressPolicy

__all__ = ["Toolset", "builtin_tools"]

_PORTS = frozenset({80, 443})


@dataclass(frozen=True, slots=True)
class Toolset:
    """The tools of one version of the configuration, and the connections they keep."""

    tools: tuple[ToolProtocol, ...]
    webs: tuple[Web, ...] = ()

    async def aclose(self) -> None:
        """Close what is open."""
        for web in self.webs:
            await web.aclose()


def builtin_tools(config: ToolsConfig, secret: Callable[[SecretRef], Secret]) -> Toolset:
    """The tools as configured. Opens nothing. Raises `ConfigError`."""
    rules = FileRules(ProtectedPaths(config.protected))
    web = Web(_policy(config.http), config.http.trusted)
    search = WebSearch(config.web_search, secret)
    tools = (*filesystem_tools(rules), *http_tools(web), *search.tools(), *todo_tools())
    return Toolset(tools, (web,) if search.web is None else (web, search.web))


def _policy(config: HttpToolsConfig) -> EgressPolicy:
    """Public addresses on the usual ports, as far as the lists allow; http too, since much of the web has no choice."""
    return EgressPolicy(
        "tool",
        ports=_PORTS,
        seconds=SECONDS,
        most=LARGEST,
        plain=True,
        only=config.allow,
        blocked=config.block,
        internal=config.internal,
    )
