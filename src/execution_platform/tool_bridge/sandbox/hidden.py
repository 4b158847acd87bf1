"""Which files of a workspace commands find empty: the protected ones, but for what git itself needs."""

import re
from collections.abc import Iterable
from fnmatch import translate
from typing import Final

from execution_platform.tool_bridge.globs import Glob
from execution_platform.tool_bridge.protected import PROTECTED

GIT: Final = ".git/**"
"""Protected from the file tools. In the sandbox git works on it, and what it is made to run stays there."""


class HiddenPaths:
    """The protected patterns and `more`.

    It is asked for every entry of a workspace, from the top down: what is below a hidden directory need not match, so almost
    every pattern is one of names.
    """

    def __init__(self, more: Iterable[str] = ()) -> None:
        patterns = [_core(pattern) for pattern in (*PROTECTED, *more) if pattern != GIT]
        names = [translate(pattern) for pattern in patterns if "/" not in pattern]
        self._names = re.compile("|".join(names), re.IGNORECASE)
        self._paths = [Glob(f"**/{pattern}", any_case=True) for pattern in patterns if "/" in pattern]

    def __call__(self, path: str) -> bool:
        """Whether an entry, by its path relative to the workspace, is hidden."""
        if self._names.match(path.rpartition("/")[2]):
            return True
        return any(glob.matches(path) for glob in self._paths)


def _core(pattern: str) -> str:
    """Without what only says that it holds anywhere, and for all that is below."""
    return pattern.removesuffix("/**").removeprefix("**/").strip("/")
