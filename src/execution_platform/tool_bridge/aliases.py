"""Other names of the tools, and of their arguments: agents that were written for one vendor's tools find ours by them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

MCP: Final = "mcp://"
_SEPARATORS: Final = re.compile(r"[,\s]+")


@dataclass(frozen=True, slots=True)
class Alias:
    """A tool by another name: what it is here, and which of its arguments are called otherwise."""

    tool: str
    arguments: Mapping[str, str] = field(default_factory=dict[str, str])
    """The alias's name of an argument → ours."""


_TABLE: Final[Mapping[str, Alias]] = {
    "Read": Alias("fs_read", {"file_path": "path"}),
    "Write": Alias("fs_write", {"file_path": "path"}),
    "Edit": Alias("fs_edit", {"file_path": "path", "old_string": "old", "new_string": "new"}),
    "LS": Alias("fs_list"),
    "Glob": Alias("dir_glob"),
    "Grep": Alias("code_search", {"-i": "ignore_case", "-C": "context", "head_limit": "limit"}),
    "Bash": Alias("exec_cmd"),
    "WebFetch": Alias("http_fetch"),
    "WebSearch": Alias("web_search", {"allowed_domains": "domains"}),
    "TodoWrite": Alias("todo_write"),
    "Task": Alias("agent_task", {"subagent_type": "persona", "prompt": "task"}),
}
_BY_NAME: Final[Mapping[str, Alias]] = {
    **_TABLE,
    **{name.lower(): alias for name, alias in _TABLE.items()},
    **{f"{name[0].lower()}{name[1:]}": alias for name, alias in _TABLE.items()},
}


class NamedCall(NamedTuple):
    """A tool and its arguments, both by the same naming."""

    name: str
    args: Mapping[str, object]


def aliases() -> Mapping[str, Alias]:
    """Every alias in its usual spelling; the same in lower case is understood too."""
    return _TABLE


def canonical(name: str) -> str:
    """Our name of a tool; names that are no alias as they are. `mcp://server/tool` is `server.tool`."""
    if name.startswith(MCP):
        server, _, tool = name.removeprefix(MCP).partition("/")
        return f"{server}.{tool}" if tool else name
    alias = _BY_NAME.get(name)
    return name if alias is None else alias.tool


def to_platform(name: str, args: Mapping[str, object]) -> NamedCall:
    """A call by an alias as a call of our tool. An argument in our spelling stays, and wins over its other name."""
    alias = _BY_NAME.get(name)
    if alias is None:
        return NamedCall(canonical(name), args)
    renamed = {alias.arguments.get(key, key): value for key, value in args.items() if key in alias.arguments}
    return NamedCall(alias.tool, renamed | {key: value for key, value in args.items() if key not in alias.arguments})


def from_platform(name: str, tool: str, args: Mapping[str, object]) -> Mapping[str, object]:
    """The arguments of our `tool` as the alias `name` spells them; as they are where `name` is no alias of it."""
    alias = _BY_NAME.get(name)
    if alias is None or alias.tool != tool:
        return args
    back = {ours: theirs for theirs, ours in alias.arguments.items()}
    return {back.get(key, key): value for key, value in args.items()}


def tool_names(given: str | Iterable[str] | None) -> tuple[str, ...] | None:
    """A list of tools as callers write it, in our names, each once.

    A text is separated by commas or blanks; texts within a list too. None (all tools) stays None, and an empty text or list
    is no tool at all.
    """
    if given is None:
        return None
    words = [given] if isinstance(given, str) else given
    names = [name for text in words for name in _SEPARATORS.split(text) if name]
    return tuple(dict.fromkeys(canonical(name) for name in names))
