"""What every sandbox has to stop, tried for real: a suite that any implementation of `Sandbox` can be put through.

Each attempt runs a shell script inside and looks, from outside or at what the script printed, whether it got where it must not get.
The quick ones are run whenever a gateway starts; a sandbox that fails one of them is not used.
"""

import asyncio
import os
import secrets
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from execution_platform.exceptions import ToolError
from execution_platform.tool_bridge.sandbox.interfaces import Command, Limits, Outcome, Sandbox
from execution_platform.tool_bridge.sandbox.null import NoSandbox

_MIB: Final = 1024 * 1024
_TELLING: Final = 12
"""Characters from which on a value of the environment is no coincidence."""
_FEW_PROCESSES: Final = 10
_MOST_DESCRIPTORS: Final = 4
"""stdin, stdout, stderr, and the directory that is being listed."""
_MIN_LINES: Final = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One attempt: whether the sandbox held, and what was seen if not."""

    name: str
    holds: bool
    seen: str = ""


class Trial:
    """What an attempt works with: the sandbox, a workspace, and canaries outside."""

    def __init__(self, sandbox: Sandbox, workspace: Path, outside: Path, port: int) -> None:
        self.workspace = workspace
        self.outside = outside
        self.secret = outside / "canary"
        self.canary = secrets.token_hex(16)
        self.port = port
        self.connections = 0
        self._sandbox = sandbox
        self.secret.write_text(self.canary)

    async def sh(self, script: str, limits: Limits | None = None, **values: object) -> Outcome:
        """Run a script in the workspace; its variables are `values`."""
        return await self.run(script, limits=limits, writable=True, values=values)

    async def run(
        self, script: str, *, limits: Limits | None = None, writable: bool, values: dict[str, object]
    ) -> Outcome:
        """The same, in a workspace to read only unless `writable`."""
        given = [f"{name}={value}" for name, value in values.items()]
        argv = ["env", *given, "sh", "-c", script]
        limits = limits or replace(self._sandbox.limits, seconds=10)
        return await self._sandbox.run(
            Command(argv=argv, workspace=self.workspace, limits=limits, writable=writable, tenant="self-check")
        )


Attempt = Callable[[Trial], Awaitable[str]]
"""Tries it; what it got, empty when it got nothing."""


async def reads_files_outside(trial: Trial) -> str:
    """A file of the gateway is read by its path."""
    places = 'cat "$secret" "/workspace/..$secret" "/proc/1/root$secret" "/proc/1/cwd/$secret"; ln -s "$secret" link; cat link'
    outcome = await trial.sh(places, secret=trial.secret)
    return "a file outside" if trial.canary.encode() in outcome.stdout else ""


async def writes_files_outside(trial: Trial) -> str:
    """Files are made beside the workspace and among the system's."""
    made = [
        trial.outside / "made",
        *(Path(folder) / f"made-{trial.canary}" for folder in ("/usr", "/etc", "/var", "/")),
    ]
    await trial.sh("; ".join(f"echo x > '{path}'" for path in made))
    return ", ".join(str(path.parent) for path in made if path.exists())


async def writes_read_only_workspaces(trial: Trial) -> str:
    """A workspace to read is written."""
    await trial.run("echo x > made; mkdir folder; rm given", writable=False, values={})
    return ", ".join(name for name in ("made", "folder") if (trial.workspace / name).exists())


async def sees_the_environment(trial: Trial) -> str:
    """A value of the gateway's environment is read, from its own or from another process's."""
    outcome = await trial.sh("env; cat /proc/*/environ; cat /proc/*/cmdline")
    leaked = [
        name
        for name, value in os.environ.items()
        if name not in {"PATH", "LANG"} and len(value) >= _TELLING and value.encode() in outcome.stdout
    ]
    return ", ".join(leaked)


async def sees_processes(trial: Trial) -> str:
    """Processes of the machine are listed."""
    outcome = await trial.sh("for p in /proc/[0-9]*; do echo $p; done")
    count = len(outcome.stdout.split())
    return "" if 0 < count < _FEW_PROCESSES else f"{count} processes"


async def inherits_descriptors(trial: Trial) -> str:
    """A descriptor of the gateway is still open."""
    outcome = await trial.sh("ls /proc/self/fd")
    found = outcome.stdout.split()
    return "" if 0 < len(found) <= _MOST_DESCRIPTORS else f"descriptors {found}"


async def reaches_the_network(trial: Trial) -> str:
    """A port of the machine is reached, or an interface is there besides the loopback."""
    script = (
        "command -v bash >/dev/null && bash -c 'exec 3<>/dev/tcp/127.0.0.1/'$port; "
        "command -v python3 >/dev/null && python3 -c \"import socket; socket.create_connection(('127.0.0.1', $port), 1)\"; "
        "cat /proc/net/dev"
    )
    outcome = await trial.sh(script, port=trial.port)
    interfaces = [line.partition(b":")[0].strip() for line in outcome.stdout.splitlines()[_MIN_LINES:]]
    if trial.connections:
        return "a port of the machine"
    return "" if set(interfaces) <= {b"lo"} and outcome.stdout else f"interfaces {interfaces}"


async def has_privileges(trial: Trial) -> str:
    """It has capabilities, may gain them, or may call what it likes."""
    outcome = await trial.sh("cat /proc/self/status")
    fields = dict(line.split(":\t", 1) for line in outcome.stdout.decode().splitlines() if ":\t" in line)
    wanted = {"CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}
    return ", ".join(f"{name} {fields.get(name)}" for name, value in wanted.items() if fields.get(name) != value)


async def makes_namespaces(trial: Trial) -> str:
    """It makes a user namespace, in which it would be root."""
    outcome = await trial.sh("unshare --user true && echo made; unshare --user --map-root-user --net true && echo made")
    return "a user namespace" if b"made" in outcome.stdout else ""


async def changes_the_kernel(trial: Trial) -> str:
    """A setting of the kernel can be written."""
    outcome = await trial.sh(
        "for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /sys/kernel/uevent_helper; do test -w $f && echo $f; done"
    )
    return outcome.stdout.decode()


async def runs_on_after_its_time(trial: Trial) -> str:
    """It does not end at its time limit."""
    limits = replace(Limits(), seconds=0.5)
    outcome = await trial.sh("sleep 3600", limits)
    return "" if outcome.ended == "time" else f"ended by {outcome.ended}"


async def leaves_processes(trial: Trial) -> str:
    """A process of its own session goes on after the command."""
    mark = f"3600.{int(trial.canary[:7], 16)}"
    await trial.sh("setsid sleep $mark & sleep 0.05", mark=mark)
    return "a process" if await asyncio.to_thread(_runs, mark) else ""


async def leaves_files_in_tmp(trial: Trial) -> str:
    """What one command left in /tmp or /dev/shm is there for the next."""
    await trial.sh("echo x > /tmp/left; echo x > /dev/shm/left; true")
    outcome = await trial.sh("cat /tmp/left /dev/shm/left; ls -A /tmp /dev/shm")
    return "files" if b"left" in outcome.stdout or b"x" in outcome.stdout else ""


async def takes_too_much_memory(trial: Trial) -> str:
    """It takes more memory than it may."""
    limits = replace(Limits(), memory=64 * _MIB, seconds=10)
    outcome = await trial.sh("head -c 400000000 /dev/zero | tail -c 399999999 | wc -c", limits)
    return "400 MB" if outcome.stdout.strip() == b"399999999" else ""


async def starts_too_many_processes(trial: Trial) -> str:
    """It has more processes than it may."""
    limits = replace(Limits(), processes=16, seconds=10)
    script = "i=0; while [ $i -lt 64 ]; do sleep 5 & i=$((i+1)); done; set -- /proc/[0-9]*; echo $#"
    outcome = await trial.sh(script, limits)
    count = int(outcome.stdout or b"0")
    return "" if count <= limits.processes else f"{count} processes"


async def writes_too_much_output(trial: Trial) -> str:
    """It floods its output."""
    limits = replace(Limits(), output=4096, flood=_MIB, seconds=10)
    outcome = await trial.sh("yes", limits)
    kept = len(outcome.stdout)
    return "" if outcome.ended == "output" and kept < 2 * limits.output else f"{outcome.ended}, {kept} bytes kept"


async def writes_too_large_files(trial: Trial) -> str:
    """It makes a file that is larger than it may."""
    limits = replace(Limits(), file_size=_MIB, seconds=10)
    await trial.sh("head -c 20000000 /dev/zero > large", limits)
    size = (trial.workspace / "large").stat().st_size
    return "" if size <= limits.file_size else f"{size} bytes"


async def fills_tmp(trial: Trial) -> str:
    """It stores more in /tmp than it may."""
    limits = replace(Limits(), scratch=_MIB, seconds=10)
    outcome = await trial.sh("head -c 20000000 /dev/zero > /tmp/large; cat /tmp/large | wc -c", limits)
    size = int(outcome.stdout or b"0")
    return "" if size <= limits.scratch else f"{size} bytes"


QUICK: Final[tuple[Attempt, ...]] = (
    reads_files_outside,
    writes_files_outside,
    writes_read_only_workspaces,
    sees_the_environment,
    sees_processes,
    inherits_descriptors,
    reaches_the_network,
    has_privileges,
    makes_namespaces,
    changes_the_kernel,
    runs_on_after_its_time,
    leaves_processes,
)
"""Tried whenever a gateway starts."""
ATTEMPTS: Final[tuple[Attempt, ...]] = (
    *QUICK,
    leaves_files_in_tmp,
    takes_too_much_memory,
    starts_too_many_processes,
    writes_too_much_output,
    writes_too_large_files,
    fills_tmp,
)


async def check_sandbox(
    sandbox: Sandbox, *, attempts: tuple[Attempt, ...] = ATTEMPTS, folder: Path | None = None
) -> list[Finding]:
    """Try everything in a temporary directory (below `folder`), and that an honest command works. Raises nothing."""
    try:
        honest = await _works(sandbox, folder)
    except ToolError as error:
        return [Finding("runs_commands", holds=False, seen=error.message)]
    if not honest.holds:
        return [honest]
    return [honest, *await asyncio.gather(*(_try(sandbox, attempt, folder) for attempt in attempts))]


async def probed(sandbox: Sandbox, *, folder: Path | None = None) -> Sandbox:
    """The sandbox, or, when it does not hold, one that runs nothing and says why."""
    failed = [found for found in await check_sandbox(sandbox, attempts=QUICK, folder=folder) if not found.holds]
    if not failed:
        return sandbox
    return NoSandbox("; ".join(f"{found.name.replace('_', ' ')}: {found.seen}" for found in failed))


async def _works(sandbox: Sandbox, folder: Path | None) -> Finding:
    async with _trial(sandbox, folder) as trial:
        outcome = await trial.sh("cat given && echo done > made")
        made = trial.workspace / "made"
        well = outcome.succeeded and outcome.stdout == b"honest" and made.exists() and made.read_text() == "done\n"
        return Finding("runs_commands", holds=well, seen="" if well else outcome.stderr.decode("utf-8", "replace"))


async def _try(sandbox: Sandbox, attempt: Attempt, folder: Path | None) -> Finding:
    try:
        async with _trial(sandbox, folder) as trial:
            seen = await attempt(trial)
    except (ToolError, OSError) as error:
        seen = f"it could not be tried ({type(error).__name__})"
    return Finding(attempt.__name__, holds=not seen, seen=seen)


@asynccontextmanager
async def _trial(sandbox: Sandbox, folder: Path | None) -> AsyncGenerator[Trial]:
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as place:
        workspace, outside = Path(place) / "workspace", Path(place) / "outside"
        workspace.mkdir()
        outside.mkdir()
        (workspace / "given").write_text("honest")
        trials: list[Trial] = []

        def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()
            for trial in trials:
                trial.connections += 1

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        async with server:
            trials.append(Trial(sandbox, workspace, outside, server.sockets[0].getsockname()[1]))
            yield trials[0]


def _runs(argument: str) -> bool:
    """Whether a process of the machine has that among its arguments."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if argument.encode() in file.read_bytes():
                return True
        except OSError:
            continue
    return False
