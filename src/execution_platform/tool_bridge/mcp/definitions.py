"""Definitions of programs in what callers send (M1).

Which programs are started is for the operator's file alone. No path takes such a definition; this finds one wherever it is, so
that a caller is told instead of wondering.
"""

from collections.abc import Mapping
from typing import Final, cast

_SERVERS: Final = frozenset({"mcpServers", "mcp_servers", "servers"})
_DEEPEST: Final = 12


def defines_program(value: object, depth: int = 0) -> bool:
    """Whether a JSON value holds the definition of an MCP server that would have to be started."""
    if depth > _DEEPEST:
        return False
    if isinstance(value, list):
        return any(defines_program(each, depth + 1) for each in cast("list[object]", value))
    if not isinstance(value, dict):
        return False
    given = cast("Mapping[str, object]", value)
    if "command" in given and "stdio" in (given.get("transport"), given.get("type")):
        return True
    if any(_names_command(given.get(key)) for key in _SERVERS):
        return True
    return any(defines_program(each, depth + 1) for each in given.values())


def _names_command(servers: object) -> bool:
    listed: list[object] = []
    if isinstance(servers, Mapping):
        listed = list(cast("Mapping[str, object]", servers).values())
    elif isinstance(servers, list):
        listed = list(cast("list[object]", servers))
    return any(isinstance(each, Mapping) and "command" in each for each in listed)
