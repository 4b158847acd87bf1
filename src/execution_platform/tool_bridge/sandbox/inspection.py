"""Commands that only look: the programs of the level `read_only`, and the arguments with which they do more than that.

This list is for convenience: it tells a model at once what its persona is for. What protects is the sandbox, in which the workspace
is read-only then, and which an argument nobody thought of does not leave.

Sources: the programs' manuals (GNU coreutils 9, findutils 4.9, ripgrep 13, git 2.39), 2026-11.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from execution_platform.tool_bridge.sandbox.commands import SimpleCommand

_ANY_ARGUMENTS: Final = frozenset(
    [
        "[",
        "basename",
        "cat",
        "cd",
        "cksum",
        "cmp",
        "column",
        "comm",
        "cut",
        "df",
        "diff",
        "dirname",
        "du",
        "echo",
        "egrep",
        "expand",
        "expr",
        "false",
        "fgrep",
        "fmt",
        "fold",
        "grep",
        "head",
        "hexdump",
        "id",
        "join",
        "ls",
        "md5sum",
        "nl",
        "nproc",
        "od",
        "paste",
        "pr",
        "printenv",
        "printf",
        "ps",
        "pwd",
        "readlink",
        "realpath",
        "rev",
        "seq",
        "sha1sum",
        "sha256sum",
        "sha512sum",
        "stat",
        "strings",
        "sum",
        "tac",
        "tail",
        "test",
        "tr",
        "true",
        "tsort",
        "tty",
        "uname",
        "unexpand",
        "uptime",
        "wc",
        "whereis",
        "which",
        "whoami",
    ]
)
_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "date": ("-s", "--set"),
    "file": ("-C", "--compile"),
    "find": (
        *("-exec", "-execdir", "-ok", "-okdir", "-delete"),
        *("-fls", "-fprint", "-fprint0", "-fprintf", "-files0-from"),
    ),
    "jq": (),
    "rg": ("--pre", "--pre-glob", "--hostname-bin", "-z", "--search-zip"),
    "sort": ("-o", "--output", "--compress-program", "-T", "--temporary-directory"),
    "tree": ("-o", "--output"),
}
"""Arguments that run another program or write a file."""
_GIT: Final = frozenset(
    [
        "blame",
        "branch",
        "cat-file",
        "check-ignore",
        "count-objects",
        "describe",
        "diff",
        "diff-tree",
        "for-each-ref",
        "grep",
        "log",
        "ls-files",
        "ls-tree",
        "merge-base",
        "name-rev",
        "reflog",
        "remote",
        "rev-list",
        "rev-parse",
        "shortlog",
        "show",
        "show-ref",
        "stash",
        "status",
        "tag",
        "version",
        "whatchanged",
    ]
)
_GIT_OPTIONS: Final = (
    "--ext-diff",
    "--output",
    "--output-directory",
    "--open-files-in-pager",
    "-O",
    "--textconv",
    "-c",
)
_GIT_PAGER: Final = frozenset({"--no-pager", "-P", "--no-optional-locks", "--literal-pathspecs"})
_LINES: Final = re.compile(r"(\d+|\$)(,(\+?\d+|\$))?p(;(\d+|\$)(,(\+?\d+|\$))?p)*")
_TARGETS: Final = frozenset({"/dev/null", "1", "2"})
_LONGEST_SHORT: Final = 2


def objection(command: SimpleCommand) -> str | None:
    """Why a command does not only look; None when it does."""
    name, *arguments = command.words or [""]
    for target in command.targets:
        if target not in _TARGETS:
            return f"redirections to files ({target}) are not possible"
    if name in _ANY_ARGUMENTS:
        return None
    rule = _RULES.get(name)
    if rule is not None:
        return rule(arguments)
    if name in _OPTIONS:
        return _forbidden(name, arguments, _OPTIONS[name])
    return f"{name!r} is none of the programs that only look: {', '.join(programs())}"


def programs() -> list[str]:
    """The programs that can be used, in order."""
    return sorted(_ANY_ARGUMENTS | _OPTIONS.keys() | _RULES.keys())


def _forbidden(name: str, arguments: Sequence[str], options: Sequence[str]) -> str | None:
    """An argument among `options`: whole, with a value attached, abbreviated, or within a group of letters."""
    for argument in arguments:
        if argument == "--" and name != "find":
            return None
        if any(_is(argument.partition("=")[0], option) for option in options):
            return f"{name} {argument} is not possible here: it does more than look"
    return None


def _is(argument: str, option: str) -> bool:
    if argument == option:
        return True
    if argument.startswith("--"):
        return len(argument) > _LONGEST_SHORT and option.startswith(argument)
    grouped = len(option) == _LONGEST_SHORT and argument.startswith("-") and len(argument) > _LONGEST_SHORT
    return grouped and option[1] in argument


def _git(arguments: Sequence[str]) -> str | None:
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option == "-C" and rest:
            rest.pop(0)
        elif option not in {*_GIT_PAGER, "--version"}:
            return f"git {option} is not possible before the name of the command"
    if rest and rest[0] not in _GIT:
        return f"git {rest[0]} is not possible here; these are: {', '.join(sorted(_GIT))}"
    return _forbidden(f"git {rest[0]}", rest[1:], _GIT_OPTIONS) if rest else None


def _sed(arguments: Sequence[str]) -> str | None:
    prints = len(arguments) > 1 and arguments[0] == "-n" and _LINES.fullmatch(arguments[1])
    if prints and not any(argument.startswith("-") for argument in arguments[2:]):
        return None
    return "sed is possible to print lines only: sed -n '10,20p' file"


def _uniq(arguments: Sequence[str]) -> str | None:
    files = [argument for argument in arguments if not argument.startswith("-")]
    return "uniq with a second file writes it" if len(files) > 1 else None


def _env(arguments: Sequence[str]) -> str | None:
    return "env with arguments starts another program" if arguments else None


_RULES: Final[Mapping[str, Callable[[Sequence[str]], str | None]]] = {
    "git": _git,
    "sed": _sed,
    "uniq": _uniq,
    "env": _env,
}
