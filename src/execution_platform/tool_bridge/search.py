"""Text search over a workspace, in time linear in what is searched, whatever the pattern (L4).

RE2 does the matching: patterns that would need backtracking are refused when they are compiled. No program is started, so that no
argument can be taken for an option and no configuration of a workspace is followed (L7, X7).
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, NamedTuple, Protocol

from execution_platform.exceptions import InvalidToolArguments, ToolError, ToolTimeout
from execution_platform.tool_bridge.files import Files, Found
from execution_platform.tool_bridge.globs import Glob

LARGEST: Final = 2 * 1024 * 1024
"""Bytes of a file that is searched; what is larger is rarely written by people."""
MOST_FILES: Final = 50_000
_MOST_BYTES: Final = 512 * 1024 * 1024
_SECONDS: Final = 20.0
_LONGEST_PATTERN: Final = 4096
_MEMORY: Final = 8 * 1024 * 1024
_LONGEST_LINE: Final = 400
_BINARY_WITHIN: Final = 8192
SKIPPED: Final = frozenset(
    {"node_modules", "__pycache__", ".venv", "venv", "target", "dist", "build", ".tox", ".mypy_cache"}
)
"""Directories of what programs have made; they are searched when the path leads into one."""


class Pattern(Protocol):
    """What is asked of a compiled pattern."""

    def search(self, text: bytes) -> object:
        """Something where the pattern occurs in the text, else None."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file, numbered from 1."""

    number: int
    text: str
    matched: bool


@dataclass(frozen=True, slots=True)
class Hits:
    """The lines of one file that match, with those around them."""

    path: str
    count: int
    lines: tuple[Line, ...]


class LinePattern(NamedTuple):
    """A pattern for single lines, and one that occurs in every text with such a line; None where there is none."""

    line: Pattern
    whole: Pattern | None


def compiled(pattern: str, *, literal: bool, ignore_case: bool) -> LinePattern:
    """The pattern. Raises `InvalidToolArguments` for one that is too long or not linear."""
    re2: Any = import_module("re2")
    if not pattern or len(pattern) > _LONGEST_PATTERN:
        raise InvalidToolArguments(f"args.pattern: must have 1 to {_LONGEST_PATTERN} characters", param="args.pattern")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    options.literal = literal
    options.case_sensitive = not ignore_case
    try:
        found: Pattern = re2.compile(pattern.encode(), options)
        if literal:
            return LinePattern(found, found)
        # The ends of the text are no ends of lines, whatever the mode.
        absolute = "\\A" in pattern or "\\z" in pattern
        return LinePattern(found, None if absolute else re2.compile(b"(?m)" + pattern.encode(), options))
    except re2.error as error:
        raise InvalidToolArguments(
            f"args.pattern: {_reason(error)}; the syntax is RE2's, without look-around and back-references. Pass literal: "
            "true to search for the text itself",
            param="args.pattern",
        ) from None
    except UnicodeEncodeError:
        raise InvalidToolArguments("args.pattern: holds half a character", param="args.pattern") from None


def _reason(error: Exception) -> str:
    said: object = error.args[0] if error.args else "is not valid"
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)


class Search:
    """One search. `hits` gives the files in order of their paths; `note` says what was left out."""

    def __init__(self, pattern: LinePattern, *, glob: str | None, context: int, ending: float | None = None) -> None:
        self._pattern = pattern
        self._glob = None if glob is None else Glob(glob if "/" in glob else f"**/{glob}")
        self._context = context
        self._ending = time.monotonic() + _SECONDS if ending is None else ending
        self._bytes = 0
        self.files = 0
        """Files that were searched."""
        self.skipped = 0
        """Files that were not: too large, or not readable."""

    def hits(self, files: Files, path: str) -> Iterator[Hits]:
        """The files below `path`, or the file itself, that hold a match. Raises `ToolError`s."""
        if files.stat(path).kind == "file":
            found = self._in_file(files, files.path(path))
            if found is not None:
                yield found
            return
        top = files.path(path)
        below = 0 if top == "." else len(top) + 1
        for entry in files.walk(path, enter=_is_written_by_people):
            if entry.kind != "file" or entry.protected or not self._wants(entry, below):
                continue
            found = self._in_file(files, entry.path) if entry.size <= LARGEST else self._skip()
            if found is not None:
                yield found

    def _wants(self, entry: Found, below: int) -> bool:
        return self._glob is None or self._glob.matches(entry.path[below:])

    def _skip(self) -> None:
        self.skipped += 1

    def _in_file(self, files: Files, path: str) -> Hits | None:
        if self.files >= MOST_FILES or self._bytes > _MOST_BYTES or time.monotonic() > self._ending:
            raise ToolTimeout(
                f"the search has looked at {self.files} files and is stopped; narrow it by path or glob",
                param="args.path",
            )
        try:
            data = files.load(path).data
        except ToolError:
            return self._skip()  # it was removed or replaced meanwhile
        self.files += 1
        self._bytes += len(data)
        if b"\0" in data[:_BINARY_WITHIN]:
            return None
        return self._matching(path, data)

    def _matching(self, path: str, data: bytes) -> Hits | None:
        if b"\r" in data:  # which ends a line here and not for the pattern
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._pattern.whole is not None and self._pattern.whole.search(data) is None:
            return None
        lines = data.splitlines()
        search = self._pattern.line.search
        matched = [number for number, line in enumerate(lines) if search(line) is not None]
        if not matched:
            return None
        shown: dict[int, bool] = {}
        for number in matched:
            for around in range(max(0, number - self._context), min(len(lines), number + self._context + 1)):
                shown.setdefault(around, False)
        shown.update(dict.fromkeys(matched, True))
        return Hits(
            path, len(matched), tuple(Line(number + 1, _text(lines[number]), shown[number]) for number in sorted(shown))
        )


def _is_written_by_people(path: str) -> bool:
    return path.rpartition("/")[2] not in SKIPPED


def _text(line: bytes) -> str:
    text = line[: 4 * _LONGEST_LINE].decode("utf-8", "replace")
    return text if len(text) <= _LONGEST_LINE else text[:_LONGEST_LINE] + "…"
