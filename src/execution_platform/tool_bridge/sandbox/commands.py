"""A command line as the simple commands it is made of, as far as that can be told without running it.

Only what means the same to every shell is understood: words, quotes, `|`, `||`, `&&`, `;`, `&` and redirections. Everything that a
shell would replace by something else first is refused, since nobody could say what it will be.
"""

from dataclasses import dataclass, field
from typing import Final

from execution_platform.exceptions import InvalidToolArguments

_BLANK: Final = " \t"
_SEPARATORS: Final = ";&|\n"
_REDIRECTIONS: Final = "<>"
_GROUPS: Final = "(){}"
_EXPANDS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_{(@*#?$!-"


@dataclass(slots=True)
class SimpleCommand:
    """A program, its arguments, and where its input and output are redirected to."""

    words: list[str] = field(default_factory=list[str])
    targets: list[str] = field(default_factory=list[str])


def simple_commands(line: str) -> list[SimpleCommand]:
    """The commands of a line, in order. Raises `InvalidToolArguments` for what cannot be told without running it."""
    return [command for command in _Reader(line).read() if command.words or command.targets]


class _Reader:
    """Goes through a line character by character."""

    def __init__(self, line: str) -> None:
        self._line = line
        self._at = 0
        self._commands = [SimpleCommand()]
        self._word: str | None = None
        self._to_target = False

    def read(self) -> list[SimpleCommand]:
        while self._at < len(self._line):
            self._step(self._line[self._at])
            self._at += 1
        self._end_word()
        if self._to_target:
            raise _refused("a redirection without a file")
        return self._commands

    def _step(self, character: str) -> None:
        if character in "'\"":
            self._quoted(character)
        elif character == "\\":
            self._at += 1
            self._add(self._line[self._at : self._at + 1])
        elif character in _BLANK:
            self._end_word()
        elif character in _SEPARATORS:
            self._separator(character)
        elif character in _REDIRECTIONS:
            self._redirection()
        elif character in _GROUPS:
            raise _refused(f"{character!r}: groups, subshells and brace expansions")
        elif character == "#" and self._word is None:
            raise _refused("comments")
        else:
            self._no_expansion(character, also="'\"")
            self._add(character)

    def _quoted(self, quote: str) -> None:
        self._add("")
        self._at += 1
        while (character := self._line[self._at : self._at + 1]) != quote:
            if not character:
                raise _refused(f"a quote {quote} that is not closed")
            if quote == '"':
                self._no_expansion(character)
                if character == "\\" and self._line[self._at + 1 : self._at + 2] in {'"', "\\", "$", "`"}:
                    self._at += 1
                    character = self._line[self._at]
            self._add(character)
            self._at += 1

    def _no_expansion(self, character: str, also: str = "") -> None:
        following = self._line[self._at + 1 : self._at + 2]
        if character == "`" or (character == "$" and following and following in _EXPANDS + also):
            raise _refused("variables and command substitutions")

    def _separator(self, character: str) -> None:
        self._end_word()
        if self._to_target and character != "&":
            raise _refused("a redirection without a file")
        if self._to_target:  # 2>&1
            return
        if character == "&" and self._line[self._at + 1 : self._at + 2] == ">":
            return  # &>file
        self._commands.append(SimpleCommand())

    def _redirection(self) -> None:
        if self._word is not None and self._word.isdigit():
            self._word = None  # the descriptor
        self._end_word()
        run = self._line[self._at :]
        if run.startswith(("<<", "<(", ">(")):
            raise _refused("here-documents and process substitutions")
        if run.startswith((">>", "<>", ">|")):
            self._at += 1
        self._to_target = True

    def _add(self, text: str) -> None:
        self._word = (self._word or "") + text

    def _end_word(self) -> None:
        if self._word is None:
            return
        command = self._commands[-1]
        (command.targets if self._to_target else command.words).append(self._word)
        self._word, self._to_target = None, False


def _refused(what: str) -> InvalidToolArguments:
    return InvalidToolArguments(
        f"args.command: {what} are not possible where only some programs are allowed; write the command out, with single "
        "quotes around special characters",
        param="args.command",
    )
