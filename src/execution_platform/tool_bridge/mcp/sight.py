"""Whether a program can be seen and entered from within its sandbox, told before it fails in ways that nobody understands."""

import stat
from pathlib import Path
from typing import Final

from execution_platform.config.mcp import McpProgram
from execution_platform.exceptions import ToolError

_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib")


def check_sight(program: McpProgram, found: str, user: int | None) -> None:
    """`found` is the program's path, `user` who it runs as where the gateway is root. Raises `ToolError` with the remedy."""
    given = {f"read.{place}": Path(path) for place, path in enumerate(program.read)}
    given |= {f"write.{place}": Path(path) for place, path in enumerate(program.write)}
    path = Path(found)
    if not any(path.is_relative_to(each) for each in (*_SYSTEM, *given.values())):
        raise ToolError(
            "this MCP server cannot be started: its program lies neither below /usr nor in a directory of `read`, so its sandbox "
            "does not have it; list the directory where it is installed in `read`"
        )
    for name, folder in given.items():
        if not folder.exists():
            raise ToolError(f"this MCP server cannot be started: there is no directory at `{name}`")
        if user is not None and not all(_enters(each, user) for each in (*reversed(folder.parents), folder)):
            raise ToolError(
                f"this MCP server cannot be started: the gateway is root and gives that up for it, and the directory at `{name}` "
                "is one, or lies below one, that only root may enter; install the server where everybody may, such as below /opt, or "
                "set sandbox: false for it, which gives it the gateway's own rights"
            )


def _enters(folder: Path, user: int) -> bool:
    """Whether a user without groups may go through a directory; anybody may have a file."""
    found = folder.stat()
    if not stat.S_ISDIR(found.st_mode):
        return True
    if found.st_uid == user:
        return bool(found.st_mode & stat.S_IXUSR)
    return bool(found.st_mode & (stat.S_IXGRP if found.st_gid == user else stat.S_IXOTH))
