"""The tools that run programs: `exec_cmd`, `exec_python` and `exec_sandbox`, all of them in the sandbox and nowhere else."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Final, cast

from execution_platform.config.exec import ExecConfig
from execution_platform.config.values import PermissionLevel
from execution_platform.exceptions import ConfigError, InvalidToolArguments, SandboxUnavailable, ToolDenied, ToolError
from execution_platform.tool_bridge.context import ToolContext
from execution_platform.tool_bridge.protocol import SideEffect, ToolProtocol, ToolResult
from execution_platform.tool_bridge.sandbox import Command, Ended, Limits, Outcome, Sandbox, SandboxPolicy
from execution_platform.tool_bridge.sandbox.commands import SimpleCommand, simple_commands
from execution_platform.tool_bridge.sandbox.hidden import HiddenPaths
from execution_platform.tool_bridge.sandbox.inspection import objection
from execution_platform.tool_bridge.sandbox.interfaces import WORKSPACE
from execution_platform.tool_bridge.sandbox.opening import OFF
from execution_platform.tool_bridge.schema import ArgumentCheck, Schema

ANY: Final = "*"
"""In a list of programs: all that are installed."""
NAMES: Final = ("exec_cmd", "exec_python", "exec_sandbox")
_PROGRAM: Final = "/run/program"
_MARGIN: Final = 5.0
_MOST_CODE: Final = 1024 * 1024
_MOST_FILES: Final = 100
_LANGUAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "python": ("python3",),
    "sh": ("sh",),
    "bash": ("bash",),
    "javascript": ("node",),
    "perl": ("perl",),
    "ruby": ("ruby",),
}
_SHELL: Final = 'if command -v bash >/dev/null; then exec bash -c "$0"; else exec sh -c "$0"; fi'
"""Models write for bash, which not every system has."""
_TIMEOUT: Final[Schema] = {
    "type": "integer",
    "minimum": 1,
    "description": "Milliseconds after which it is stopped, if that is less than the limit of this gateway.",
}
_STDIN: Final[Schema] = {"type": "string", "maxLength": _MOST_CODE, "description": "What it reads as its input."}
_CWD: Final[Schema] = {"type": "string", "description": "Directory to start in, relative to the workspace."}
_CODE: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": _MOST_CODE}
_ARGV: Final[Schema] = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 1000}

_COMMAND_ARGS: Final[Schema] = {
    "type": "object",
    "properties": {
        "command": {"type": "string", "minLength": 1, "maxLength": 100_000, "description": "A shell command line."},
        "argv": {**_ARGV, "description": "A program and its arguments."},
        "cwd": _CWD,
        "stdin": _STDIN,
        "timeout": _TIMEOUT,
        "description": {"type": "string", "description": "What it is for, for people who read along."},
        "run_in_background": {"type": "boolean", "description": "Must be false: a command ends before its result."},
    },
    "additionalProperties": False,
}
_PYTHON_ARGS: Final[Schema] = {
    "type": "object",
    "properties": {
        "code": {**_CODE, "description": "The program."},
        "args": {**_ARGV, "minItems": 0, "description": "Its sys.argv[1:]."},
        "stdin": _STDIN,
        "timeout": _TIMEOUT,
    },
    "required": ["code"],
    "additionalProperties": False,
}
_SANDBOX_ARGS: Final[Schema] = {
    "type": "object",
    "properties": {
        "language": {"enum": sorted(_LANGUAGES), "description": "Language of the code."},
        "code": {**_CODE, "description": "The program."},
        "argv": {**_ARGV, "description": "A program and its arguments, instead of language and code."},
        "files": {
            "type": "object",
            "maxProperties": _MOST_FILES,
            "additionalProperties": {"type": "string", "maxLength": _MOST_CODE},
            "description": "Contents of files by their relative path.",
        },
        "stdin": _STDIN,
        "timeout": _TIMEOUT,
    },
    "additionalProperties": False,
}


def exec_tools(config: ExecConfig, sandbox: Sandbox, *, protected: Iterable[str] = ()) -> list[ToolProtocol]:
    """The tools that run programs, as far as there are any: none without a sandbox that works.

    `protected` are more patterns of files that are empty inside. Raises `ConfigError` for a list of programs that is none.
    """
    policy = SandboxPolicy(
        allowed_commands=config.allowed_commands,
        blocked_paths=tuple(protected),
        max_execution_time=config.seconds,
    )
    if not config.enabled or sandbox.unavailable is not None:
        return []
    runner = Runner(sandbox, policy)
    return [ExecCommand(runner), ExecPython(runner), ExecSandbox(runner)]


def why_absent(config: ExecConfig, sandbox: Sandbox) -> Mapping[str, ToolError]:
    """By name of a tool that is not there: what to tell who calls it all the same."""
    reason = sandbox.unavailable if config.enabled else OFF
    return {} if reason is None else {name: SandboxUnavailable(f"tool {name!r}: {reason}") for name in NAMES}


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs the tools' commands by a policy. Raises `ConfigError` for a policy the sandbox cannot keep."""

    sandbox: Sandbox
    policy: SandboxPolicy
    _hides: HiddenPaths = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hides", HiddenPaths(self.policy.blocked_paths))
        if self.policy.network_access:
            raise ConfigError(
                "network_access: commands in the sandbox have no network; the tools http_* fetch for them"
            )

    async def run(self, command: Command, milliseconds: object) -> ToolResult:
        """Run it within the limits, and less if the call says so."""
        limits = command.limits or self.sandbox.limits
        seconds = min(limits.seconds, self.policy.max_execution_time)
        if isinstance(milliseconds, int):
            seconds = min(seconds, milliseconds / 1000)
        limits = replace(limits, seconds=seconds)
        outcome = await self.sandbox.run(replace(command, limits=limits, hides=self._hides))
        return ToolResult(_view(outcome, limits))

    def check(self, level: PermissionLevel, commands: Sequence[SimpleCommand]) -> None:
        """Raises `ToolError` for a program that is not allowed at this level."""
        for command in commands:
            name = command.words[0] if command.words else ""
            problem = objection(command) if level == "read_only" else None
            if problem is None and not self.allows(name):
                problem = (
                    f"{name!r} is not allowed here; these are: {', '.join(self.policy.allowed_commands) or 'none'}"
                )
            if problem is not None:
                raise ToolDenied(f"{problem}. Nothing was run.", param="args.command")

    @property
    def seconds(self) -> float:
        """The longest a call takes: waiting for a free place, running, and being stopped."""
        return 2 * self.sandbox.limits.seconds + _MARGIN

    @property
    def allows_all(self) -> bool:
        """Whether every program may be started."""
        return ANY in self.policy.allowed_commands

    def allows(self, program: str) -> bool:
        """Whether a program may be started, by its bare name."""
        return self.allows_all or program in self.policy.allowed_commands


class _ExecTool(ABC):
    """What the three have in common: their effect, and that they need a workspace to belong to."""

    name: str
    description: str
    parameters: Schema
    side_effect: SideEffect = "exec"
    repeatable = False
    least: PermissionLevel = "full"
    """The lowest permission level that may call it."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.seconds = runner.seconds
        self._check = ArgumentCheck(self.name, self.parameters)

    def validate_args(self, args: Mapping[str, object]) -> None:
        """Refuse arguments that do not fit. Raises `InvalidToolArguments`."""
        self._check(args)

    async def execute(self, args: Mapping[str, object]) -> ToolResult:
        """Not without a workspace. Raises `ToolError`."""
        raise ToolError(
            f"tool {self.name!r} works in a workspace and was called without one; pass a ToolContext",
            code="workspace_missing",
        )

    @abstractmethod
    async def execute_in(self, context: ToolContext, args: Mapping[str, object]) -> ToolResult:
        """Run it there. Raises `ToolError` with what the model should know."""

    def _not_at(self, level: PermissionLevel) -> None:
        if level == "read_only":
            raise ToolDenied(
                f"tool {self.name!r} is not possible at the permission level read_only; exec_cmd runs commands that only look"
            )


class ExecCommand(_ExecTool):
    """Runs a command line by a shell, or a program by its arguments without one."""

    name = "exec_cmd"
    description = (
        "Run a command in the workspace and return its exit_code, stdout and stderr. It runs in a sandbox: /workspace is the "
        "workspace, /tmp is empty and gone afterwards, and there is no network. Give `command`, a shell command line, or "
        "`argv`, a program and its arguments without a shell."
    )
    parameters: Schema = _COMMAND_ARGS
    least: PermissionLevel = "read_only"

    def validate_args(self, args: Mapping[str, object]) -> None:
        """Refuse arguments that do not fit. Raises `InvalidToolArguments`."""
        super().validate_args(args)
        if ("command" in args) == ("argv" in args):
            raise InvalidToolArguments(
                "tool 'exec_cmd': args: needs exactly one of command (a shell command line) and argv (a program and its "
                "arguments, without a shell)",
                param="args.command",
            )
        if args.get("run_in_background"):
            raise InvalidToolArguments(
                "tool 'exec_cmd': args.run_in_background: nothing goes on after a call; leave it out, or do the work in one call",
                param="args.run_in_background",
            )

    async def execute_in(self, context: ToolContext, args: Mapping[str, object]) -> ToolResult:
        """Run it there. Raises `ToolError` with what the model should know."""
        argv = self._argv(context.level, args)
        command = Command(
            argv=argv,
            workspace=context.workspace,
            tenant=context.tenant,
            stdin=_text(args, "stdin").encode(),
            writable=context.level != "read_only",
            folder=_folder(args),
        )
        return await self._runner.run(command, args.get("timeout"))

    def _argv(self, level: PermissionLevel, args: Mapping[str, object]) -> list[str]:
        if "argv" in args:
            argv = [_without_nul(word, "args.argv") for word in cast("list[str]", args["argv"])]
            self._runner.check(level, [SimpleCommand(argv)])
            return argv
        line = _without_nul(_text(args, "command"), "args.command")
        if level == "read_only" or not self._runner.allows_all:
            self._runner.check(level, simple_commands(line))
        return ["sh", "-c", _SHELL, line]


class ExecPython(_ExecTool):
    """Runs a Python program."""

    name = "exec_python"
    description = (
        "Run a Python program in the workspace and return its exit_code, stdout and stderr. Print what you want to see. It "
        "runs in a sandbox without a network; modules of the workspace can be imported, and files written there are kept."
    )
    parameters: Schema = _PYTHON_ARGS

    async def execute_in(self, context: ToolContext, args: Mapping[str, object]) -> ToolResult:
        """Run it there. Raises `ToolError` with what the model should know."""
        self._not_at(context.level)
        self._runner.check(context.level, [SimpleCommand(["python3"])])
        more = [_without_nul(word, "args.args") for word in cast("list[str]", args.get("args", []))]
        path = f"{_PROGRAM}.py"
        command = Command(
            argv=["env", f"PYTHONPATH={WORKSPACE}", "python3", path, *more],
            workspace=context.workspace,
            tenant=context.tenant,
            stdin=_text(args, "stdin").encode(),
            files={path: _text(args, "code").encode("utf-8", "replace")},
        )
        return await self._runner.run(command, args.get("timeout"))


class ExecSandbox(_ExecTool):
    """Runs a program with files of its own, in an empty directory."""

    name = "exec_sandbox"
    description = (
        "Run a program in an empty directory that is gone afterwards: nothing of the workspace can be seen or changed. Give "
        "`language` and `code`, or `argv`, and the `files` it needs by name. Returns exit_code, stdout and stderr."
    )
    parameters: Schema = _SANDBOX_ARGS

    def validate_args(self, args: Mapping[str, object]) -> None:
        """Refuse arguments that do not fit. Raises `InvalidToolArguments`."""
        super().validate_args(args)
        given = {"language", "code", "argv"} & args.keys()
        if given not in ({"language", "code"}, {"argv"}):
            raise InvalidToolArguments(
                "tool 'exec_sandbox': args: needs language and code, or argv instead of both", param="args.code"
            )

    async def execute_in(self, context: ToolContext, args: Mapping[str, object]) -> ToolResult:
        """Run it there. Raises `ToolError` with what the model should know."""
        self._not_at(context.level)
        files = {
            f"{WORKSPACE}/{_relative(path, 'args.files')}": text.encode("utf-8", "replace")
            for path, text in cast("Mapping[str, str]", args.get("files", {})).items()
        }
        if "argv" in args:
            argv = [_without_nul(word, "args.argv") for word in cast("list[str]", args["argv"])]
        else:
            argv = [*_LANGUAGES[_text(args, "language")], _PROGRAM]
            files[_PROGRAM] = _text(args, "code").encode("utf-8", "replace")
        self._runner.check(context.level, [SimpleCommand(argv)])
        command = Command(argv=argv, tenant=context.tenant, stdin=_text(args, "stdin").encode(), files=files)
        return await self._runner.run(command, args.get("timeout"))


def _view(outcome: Outcome, limits: Limits) -> dict[str, object]:
    view: dict[str, object] = {
        "exit_code": outcome.status,
        "stdout": outcome.stdout.decode("utf-8", "replace"),
        "stderr": outcome.stderr.decode("utf-8", "replace"),
        "truncated": outcome.truncated,
        "timed_out": outcome.ended == "time",
        "seconds": round(outcome.seconds, 3),
    }
    if outcome.ended != "exit":
        view["stopped"] = _reason(outcome.ended, limits)
    return view


def _reason(ended: Ended, limits: Limits) -> str:
    mib = 1024 * 1024
    match ended:
        case "time":
            return f"It did not end within {limits.seconds:g} seconds and was stopped."
        case "cpu":
            return f"It was stopped: it used more than {limits.cpu_seconds} seconds of processor time."
        case "memory":
            return f"It was stopped: it used more than {limits.memory // mib} MiB of memory."
        case "output":
            return f"It was stopped: it wrote more than {limits.flood // mib} MiB of output. Write to a file, or less."
        case "disk":
            return f"It was stopped: the workspace may hold {limits.workspace // mib} MiB. Remove what is not needed."
        case "exit":
            return "It ended by itself."


def _text(args: Mapping[str, object], name: str) -> str:
    return cast("str", args.get(name, ""))


def _folder(args: Mapping[str, object]) -> str:
    given = _text(args, "cwd") or "."
    inside = PurePosixPath(given)
    if inside.is_relative_to(WORKSPACE):
        inside = inside.relative_to(WORKSPACE)
    return "." if str(inside) == "." else _relative(str(inside), "args.cwd")


def _relative(path: str, param: str) -> str:
    """A path below the workspace. Raises `InvalidToolArguments` for any other."""
    parts = PurePosixPath(_without_nul(path, param))
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise InvalidToolArguments(f"{param}: {path!r} must be a path below the workspace, without ..", param=param)
    return str(parts)


def _without_nul(text: str, param: str) -> str:
    if "\0" in text:
        raise InvalidToolArguments(f"{param}: must not contain a NUL character", param=param)
    return text.encode("utf-8", "replace").decode()
