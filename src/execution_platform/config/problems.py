"""What is wrong with a configuration, one finding at a time: path, problem, nearest valid key, remedy."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from execution_platform.exceptions import ConfigError

Gravity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. `path` is dotted (`personas.architect.requires.vision`), `line` counts from 1."""

    path: str
    message: str
    remedy: str = ""
    gravity: Gravity = "error"
    line: int | None = None
    file: str | None = None

    def __str__(self) -> str:
        place = self.path or "(top level)"
        if self.file and self.line:
            place = f"{self.file}:{self.line}: {place}"
        elif self.line:
            place = f"{place} (line {self.line})"
        elif self.file:
            place = f"{self.file}: {place}"
        return f"{place}: {self.message}" + (f" {self.remedy}" if self.remedy else "")


class ConfigProblems(ConfigError):
    """A configuration that cannot be used, with every problem found rather than the first."""

    def __init__(self, problems: Sequence[Problem], *, what: str = "configuration") -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"the {what} has a problem" if count == 1 else f"the {what} has {count} problems"
        super().__init__("\n".join((f"{head}:", *(f"  {problem}" for problem in self.problems))))


def nearest(name: str, valid: Iterable[str], *, count: int = 3) -> list[str]:
    """The valid names most like `name`, best first; case and dashes do not matter."""
    by_fold = {candidate.lower().replace("-", "_"): candidate for candidate in valid}
    found = get_close_matches(name.lower().replace("-", "_"), by_fold, n=count, cutoff=0.6)
    return [by_fold[fold] for fold in found]


def suggest(name: str, valid: Iterable[str], *, listed: int = 12) -> str:
    """A remedy sentence: the nearest valid name, or the valid names when none is near."""
    names = sorted(set(valid))
    close = nearest(name, names)
    if close:
        return f"Did you mean {close[0]}?"
    if not names:
        return ""
    more = f" and {len(names) - listed} more" if len(names) > listed else ""
    return f"Valid: {', '.join(names[:listed])}{more}."
