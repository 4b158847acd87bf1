"""The real sandbox for tests, a workspace beside a canary, and a sandbox that stops nothing."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from execution_platform.tool_bridge.sandbox import Bubblewrap, Command, Limits, Outcome

needs_bubblewrap = pytest.mark.skipif(
    shutil.which("bwrap") is None and not os.environ.get("CI"), reason="bubblewrap is not installed: make servers"
)
MIB = 1024 * 1024
CANARY = "sk-canary-7f3d1c9ab2e84d60"
"""What nobody inside may ever see."""


@dataclass
class Box:
    """A sandbox, a workspace, and a file outside with the canary in it."""

    place: Path
    limits: Limits = field(default_factory=Limits)
    concurrency: int = 4
    tenant: str = "default"

    def __post_init__(self) -> None:
        self.sandbox = Bubblewrap(self.limits, concurrency=self.concurrency)
        self.workspace = self.place / "workspace"
        self.workspace.mkdir(exist_ok=True)
        self.secret = self.place / "secret"
        self.secret.write_text(CANARY)

    async def run(self, *argv: str, **options: object) -> Outcome:
        """Run a program."""
        given: dict[str, object] = {"workspace": self.workspace, "tenant": self.tenant, **options}
        return await self.sandbox.run(Command(argv=argv, **given))  # type: ignore[arg-type]

    async def sh(self, script: str, **options: object) -> Outcome:
        """Run a shell script."""
        return await self.run("sh", "-c", script, **options)

    async def python(self, code: str, files: Mapping[str, bytes] | None = None, **options: object) -> Outcome:
        """Run a Python program."""
        return await self.run(
            "python3", "/run/try.py", files={"/run/try.py": code.encode(), **(files or {})}, **options
        )


class HostSandbox:
    """Runs commands on the machine itself: what a check has to find out."""

    unavailable: str | None = None
    limits = Limits()

    async def run(self, command: Command) -> Outcome:
        """Run it, stop it after its time."""
        limits = command.limits or self.limits
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *command.argv,
            cwd=command.workspace,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(limits.seconds):
                stdout, stderr = await process.communicate()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()
            stdout, stderr = b"", b""
        return Outcome(
            ended="exit",
            status=process.returncode,
            stdout=stdout,
            stderr=stderr,
            truncated=False,
            seconds=time.monotonic() - started,
        )


def running(argument: str) -> list[int]:
    """The processes of this machine that have `argument` on their command line."""
    found: list[int] = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if argument.encode() in file.read_bytes():
                found.append(int(file.parent.name))
        except OSError:
            continue
    return found


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def mounts() -> int:
    """How many mounts this process sees."""
    return len(Path("/proc/self/mountinfo").read_text().splitlines())
