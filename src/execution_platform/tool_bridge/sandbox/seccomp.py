"""The system calls that are possible inside, as a program for the kernel's classic BPF.

Theory of operation
-------------------
`data/syscalls.toml` lists by name and number what is allowed, and what is refused on purpose. The program loads the number of
the call and walks down the ranges of numbers that have the same answer, from the highest: two instructions for each range, no
jump longer than one. What is in neither list gets ENOSYS, as from a kernel that does not have it, so that programs fall back to
older calls and calls of newer kernels are refused until somebody has looked at them. A few calls are judged by an argument
first. A call by another architecture's convention ends the process: the numbers would mean something else.

The program is data: it has no loop, reads nothing but the call's number, architecture and arguments, and the kernel checks it.

Sources: seccomp(2) and linux/filter.h, linux/seccomp.h, linux/audit.h, 2026-11.
"""

import errno
import struct
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Final, Literal, NamedTuple, cast

Machine = Literal["x86_64", "aarch64"]
MACHINES: Final[Mapping[str, Machine]] = {"x86_64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
"""By what `uname` says."""
_COLUMN: Final[Mapping[Machine, int]] = {"x86_64": 0, "aarch64": 1}
_AUDIT: Final[Mapping[Machine, int]] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
_ERRNO: Final = 0x00050000
REFUSE: Final = _ERRNO | errno.EPERM
UNKNOWN: Final = _ERRNO | errno.ENOSYS
NO_FAMILY: Final = _ERRNO | errno.EAFNOSUPPORT

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16

NAMESPACES: Final = 0x7E020000
"""Flags of clone(2) that make a namespace."""
FAMILIES: Final = (1, 2, 10)
"""Unix, IPv4, IPv6: all within the sandbox's own network. Not among them: AF_VSOCK, which knows no network namespaces, AF_ALG,
AF_NETLINK, AF_PACKET."""
TERMINAL: Final = (0x5412, 0x541C, 0x5423)
"""TIOCSTI, TIOCLINUX and TIOCSETD: input and line disciplines of the terminal."""
PERSONALITIES: Final = (0, 0xFFFFFFFF)
"""Linux as usual, and the question which one it is."""


class Instruction(NamedTuple):
    """One step: `yes` and `no` are how many instructions to skip."""

    code: int
    value: int
    yes: int = 0
    no: int = 0

    def packed(self) -> bytes:
        """As the kernel reads it."""
        return struct.pack("=HBBI", self.code, self.yes, self.no, self.value)


class Rule(NamedTuple):
    """A call that is judged by the low half of one argument."""

    test: int
    values: tuple[int, ...]
    met: int
    """The answer when one of the values is met."""
    otherwise: int
    argument: int = 0


_RULES: Final[Mapping[str, Rule]] = {
    "clone": Rule(_ANY_BIT, (NAMESPACES,), REFUSE, ALLOW),
    "socket": Rule(_EQUAL, FAMILIES, ALLOW, NO_FAMILY),
    "socketpair": Rule(_EQUAL, FAMILIES, ALLOW, NO_FAMILY),
    "ioctl": Rule(_EQUAL, TERMINAL, REFUSE, ALLOW, argument=1),
    "personality": Rule(_EQUAL, PERSONALITIES, ALLOW, REFUSE),
    # Its flags are in memory, where a filter cannot look; the C library then falls back to clone.
    "clone3": Rule(_EQUAL, (), UNKNOWN, UNKNOWN),
}


@cache
def system_calls(machine: Machine) -> Mapping[str, Mapping[str, int]]:
    """`allowed`, `judged` and `denied`: the numbers of calls by name."""
    text = files("execution_platform.tool_bridge.sandbox").joinpath("data/syscalls.toml").read_text(encoding="utf-8")
    tables = cast("Mapping[str, Mapping[str, list[int]]]", tomllib.loads(text))
    column = _COLUMN[machine]
    return {
        table: {name: numbers[column] for name, numbers in rows.items() if numbers[column] >= 0}
        for table, rows in tables.items()
    }


@cache
def program(machine: Machine) -> bytes:
    """The filter, as `bwrap --seccomp` takes it."""
    return b"".join(instruction.packed() for instruction in instructions(machine))


def instructions(machine: Machine) -> Iterator[Instruction]:
    """The filter, step by step."""
    calls = system_calls(machine)
    yield Instruction(_LOAD, _ARCHITECTURE)
    yield Instruction(_EQUAL, _AUDIT[machine], yes=1)
    yield Instruction(_RETURN, KILL)
    yield Instruction(_LOAD, _NUMBER)
    for name, number in calls["judged"].items():
        judged = list(_judged(_RULES[name]))
        yield Instruction(_EQUAL, number, no=len(judged))
        yield from judged
    answers = dict.fromkeys(calls["allowed"].values(), ALLOW) | dict.fromkeys(calls["denied"].values(), REFUSE)
    for start, answer in reversed(list(_ranges(answers))):
        if start:
            yield Instruction(_AT_LEAST, start, no=1)
        yield Instruction(_RETURN, answer)


def _judged(rule: Rule) -> Iterator[Instruction]:
    """The answer by an argument; every way through it returns."""
    yield Instruction(_LOAD, _ARGUMENTS + 8 * rule.argument)
    for value in rule.values:
        yield Instruction(rule.test, value, no=1)
        yield Instruction(_RETURN, rule.met)
    yield Instruction(_RETURN, rule.otherwise)


def _ranges(answers: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """The first number of each run of numbers with one answer; the last run has no end."""
    every = [(number, answers.get(number, UNKNOWN)) for number in range(max(answers) + 2)]
    for answer, run in groupby(every, key=lambda pair: pair[1]):
        yield next(run)[0], answer
