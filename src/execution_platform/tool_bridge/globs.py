"""Patterns of paths: `*`, `?`, `[…]` within a name, `**` for any directories, `{a,b}` for either.

Matching takes time in proportion to pattern times path, whatever the pattern: names are matched one by one, and the standard
library's translation of a name's pattern does not backtrack.
"""

import re
from collections.abc import Sequence
from fnmatch import translate
from typing import Final

from execution_platform.exceptions import InvalidToolArguments

_LONGEST: Final = 1024
_MOST_CHOICES: Final = 64
_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_ANY: Final = "**"


class Glob:
    """One pattern. Raises `InvalidToolArguments` for one that is too long or has too many choices."""

    def __init__(self, pattern: str, *, any_case: bool = False) -> None:
        if not pattern or len(pattern) > _LONGEST:
            raise InvalidToolArguments(f"a pattern has 1 to {_LONGEST} characters", param="args.pattern")
        flags = re.IGNORECASE if any_case else 0
        self._choices = [
            [None if part == _ANY else re.compile(translate(part), flags) for part in choice.split("/") if part != "."]
            for choice in _expanded(pattern.strip("/"))
        ]

    def matches(self, path: str) -> bool:
        """Whether a path (relative, separated by `/`) matches as a whole."""
        parts = path.split("/")
        return any(_matches(choice, parts) for choice in self._choices)


def _expanded(pattern: str) -> list[str]:
    """The patterns that `{a,b}` stands for."""
    done: list[str] = []
    waiting = [pattern]
    while waiting:
        current = waiting.pop()
        found = _BRACES.search(current)
        if found is None:
            done.append(current)
        else:
            before, after = current[: found.start()], current[found.end() :]
            waiting.extend(before + choice + after for choice in found.group(1).split(","))
        if len(done) + len(waiting) > _MOST_CHOICES:
            raise InvalidToolArguments(f"a pattern stands for at most {_MOST_CHOICES} choices", param="args.pattern")
    return done


def _matches(pattern: Sequence[re.Pattern[str] | None], parts: Sequence[str]) -> bool:
    """By the set of places in the pattern that may come next, part by part."""
    places = _skipping({0}, pattern)
    for part in parts:
        following: set[int] = set()
        for place in places:
            if place == len(pattern):
                continue
            expected = pattern[place]
            if expected is None:
                following.add(place)
            elif expected.match(part):
                following.add(place + 1)
        places = _skipping(following, pattern)
        if not places:
            return False
    return len(pattern) in places


def _skipping(places: set[int], pattern: Sequence[re.Pattern[str] | None]) -> set[int]:
    """The places, and those reached because `**` may stand for nothing."""
    reached = set(places)
    for place in sorted(places):
        following = place
        while following < len(pattern) and pattern[following] is None:
            following += 1
            reached.add(following)
    return reached
