"""The policy of a sandbox, as a value."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from execution_platform.exceptions import ConfigError


@dataclass(frozen=True, slots=True)
class SandboxPolicy:
    """What may run, what may not be touched, for how long. The default allows no command and no network.

    `allowed_commands` are names of programs, not shell text; `blocked_paths` are globs below the workspace;
    `max_execution_time` is in seconds. Raises `ConfigError` for what could not be enforced as written.
    """

    allowed_commands: tuple[str, ...] = ()
    blocked_paths: tuple[str, ...] = ()
    max_execution_time: float = 30
    network_access: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "allowed_commands", _words("allowed_commands", self.allowed_commands))
        object.__setattr__(self, "blocked_paths", _words("blocked_paths", self.blocked_paths))
        for command in self.allowed_commands:
            if any(character.isspace() or character in "/\\;|&$<>`" for character in command):
                raise ConfigError(
                    f"allowed_commands: {command!r} is not the name of a program; arguments, paths and shell text are not part of it"
                )
        if not self.max_execution_time > 0:
            raise ConfigError(f"max_execution_time: must be more than 0 seconds, not {self.max_execution_time!r}")


def _words(name: str, given: object) -> tuple[str, ...]:
    """A list of texts as a tuple. A single text is refused: it would count as its letters."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigError(f"{name}: must be a list of texts, not {given!r}")
    words = tuple(cast("Iterable[object]", given))
    if not all(isinstance(word, str) and word for word in words):
        raise ConfigError(f"{name}: every entry must be a text that is not empty")
    return cast("tuple[str, ...]", words)
