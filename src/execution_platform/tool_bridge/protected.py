"""Paths no tool touches: secrets that lie in a workspace, and what others would run from there (F7, X7)."""

from collections.abc import Iterable
from typing import Final

from execution_platform.exceptions import ToolDenied
from execution_platform.tool_bridge.globs import Glob

PROTECTED: Final = (".env*", ".git/**", "*.pem", "*.key", "**/secrets/**")
"""Always protected. A pattern holds in every directory, whatever the case of the letters."""


class ProtectedPaths:
    """The protected patterns, `more` of them by configuration."""

    def __init__(self, more: Iterable[str] = ()) -> None:
        self.patterns = tuple(dict.fromkeys((*PROTECTED, *more)))
        # `a/**` stands for a itself too, so this is what matches and everything below it.
        self._globs = [(pattern, Glob(f"**/{pattern}/**", any_case=True)) for pattern in self.patterns]

    def protects(self, path: str) -> str | None:
        """The pattern that protects a path relative to the workspace, or what is above it; None for one that may be used."""
        return next((pattern for pattern, glob in self._globs if glob.matches(path)), None)

    def check(self, path: str) -> None:
        """Raises `ToolDenied` for a protected path."""
        pattern = self.protects(path)
        if pattern is not None:
            raise ToolDenied(
                f"{path!r} is protected by {pattern!r}: no tool reads or changes it, at no permission level. Go on without "
                "it, or ask a person for what you need from it.",
                code="path_protected",
                param="args.path",
            )
