"""Whether a phase has made what it was to make: its answer and its files are looked at, not its word."""

import asyncio
import os
import re
import stat
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from execution_platform import _json
from execution_platform.exceptions import ToolError
from execution_platform.tool_bridge.beneath import Beneath
from execution_platform.tool_bridge.sandbox import Command, Sandbox
from execution_platform.tool_bridge.sandbox.hidden import HiddenPaths
from execution_platform.tool_bridge.schema import compiled
from execution_platform.workflow.values import Check, Contains, HasFile, MatchesSchema

_FENCED = re.compile(r"^```(?:json|JSON)?[ \t]*\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)
_SHOWN = 400
"""Characters of a command's output that are told."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One check and what it found; no problem is success."""

    check: str
    problem: str | None = None


class Checker:
    """Checks what is in one workspace."""

    def __init__(
        self, workspace: Path, sandbox: Callable[[], Awaitable[Sandbox]], *, protected: Iterable[str] = ()
    ) -> None:
        """`sandbox` opens the place where commands run; `protected` are more patterns of files that are empty for them."""
        self._workspace = workspace
        self._sandbox = sandbox
        self._hides = HiddenPaths(protected)

    async def check(self, check: Check, answer: str) -> Checked:
        """Look, and say what is wrong."""
        if isinstance(check, Contains):
            missing = [text for text in check.texts if text not in answer]
            problem = f"the answer does not contain {missing[0]!r}" if missing else None
        elif isinstance(check, MatchesSchema):
            problem = _not_of(check, answer)
        elif isinstance(check, HasFile):
            problem = await asyncio.to_thread(self._no_file, check.path)
        else:
            problem = await self._command(
                Command(argv=check.argv, workspace=self._workspace, writable=check.writable, hides=self._hides),
                check.seconds,
            )
        return Checked(str(check), problem)

    def _no_file(self, path: str) -> str | None:
        try:
            with Beneath(self._workspace) as root:
                opened = root.open(path, os.O_RDONLY)
                try:
                    found = os.fstat(opened)
                finally:
                    os.close(opened)
        except ToolError as error:
            return error.message
        if not stat.S_ISREG(found.st_mode):
            return f"{path} is not a file"
        return None if found.st_size else f"{path} is empty"

    async def _command(self, command: Command, seconds: float | None) -> str | None:
        try:
            sandbox = await self._sandbox()
            if seconds is not None:
                command = replace(command, limits=replace(sandbox.limits, seconds=seconds))
            outcome = await sandbox.run(command)
        except ToolError as error:
            return error.message
        if outcome.succeeded:
            return None
        how = (
            f"ended with {outcome.status}"
            if outcome.ended == "exit"
            else f"was stopped at its limit of {outcome.ended}"
        )
        told = (outcome.stderr or outcome.stdout).decode("utf-8", "replace").strip()
        return f"{command.argv[0]} {how}" + (
            f": …{told[-_SHOWN:]}" if len(told) > _SHOWN else f": {told}" if told else ""
        )


def _not_of(check: MatchesSchema, answer: str) -> str | None:
    try:
        value = _json.loads(_json_text(answer).encode("utf-8", "replace"))
    except _json.JsonError:
        return "the answer is not JSON, alone or in one fenced block"
    error = next(iter(compiled(check.schema, "the schema").iter_errors(value)), None)
    if error is None:
        return None
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path)
    return f"the answer's JSON{f' at {path}' if path else ''}: {error.message}"


def _json_text(answer: str) -> str:
    """The answer, or what its last fenced block holds."""
    blocks = _FENCED.findall(answer)
    return str(blocks[-1]) if blocks else answer
