"""Commands in bubblewrap: namespaces of their own, an empty environment, a user without rights, and nothing to reach.

Theory of operation
-------------------
A command sees `/usr` (read-only), `/proc` of its own processes, a `/dev` of six harmless devices, a `/tmp` and a `/dev/shm` of
limited size that are gone afterwards, the workspace as `/workspace`, and a `/etc` of three files that name one user. Its network
has no way out. It has no capability, cannot gain one, cannot make namespaces, and only the system calls of `seccomp` exist.

A gateway that is root drops that first: from a real root a few files of the kernel could be written whatever the namespace
(`/proc/sys/kernel/core_pattern`), and limits of processes do not hold for it. The user differs by tenant. Since that user may not
be able to walk to the workspace, it is bound to `/mnt` in a mount namespace of the starter's own before.

bwrap gets its own environment empty, because it is the first process inside and its environment can be read there, and its
arguments by a descriptor, because they name paths of the machine. All descriptors but 0 to 2 are closed when the command starts.

Its end: the first process of the namespace takes all others with it. `run` returns when that is gone, whatever happened.
"""

import asyncio
import os
import platform
import shutil
import time
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, NoReturn, cast

from execution_platform import _json
from execution_platform.exceptions import SandboxUnavailable, ToolError, ToolTimeout
from execution_platform.tool_bridge.sandbox import seccomp
from execution_platform.tool_bridge.sandbox.capture import Capture
from execution_platform.tool_bridge.sandbox.interfaces import WORKSPACE, Command, Ended, Limits, Outcome
from execution_platform.tool_bridge.sandbox.limits import Watch, has_room, prlimit, stop
from execution_platform.tool_bridge.sandbox.workspace import Survey, survey, user_of
from execution_platform.transport.pipes import write_pipe

REMEDY: Final = (
    "Install bubblewrap 0.8 or later and util-linux (Debian: apt-get install bubblewrap), on a Linux whose kernel lets "
    "unprivileged users make user namespaces."
)
_SYSTEM: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_PRIVATE: Final = ("/usr/src", "/usr/local/src", "/usr/local/etc")
"""Below `/usr`, but where images put applications and their settings."""
_LINKED: Final = ("/etc/alternatives", "/etc/ld.so.cache")
"""What programs of `/usr` are reached by; nothing secret."""
_USER: Final = 1000
_ETC: Final = {
    "/etc/passwd": f"sandbox:x:{_USER}:{_USER}::/tmp:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n".encode(),
    "/etc/group": f"sandbox:x:{_USER}:\nnogroup:x:65534:\n".encode(),
    "/etc/nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files\n",
}
ENVIRONMENT: Final = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",  # noqa: S108 - the sandbox's own, gone with it
    "TMPDIR": "/tmp",  # noqa: S108
    "USER": "sandbox",
    "LOGNAME": "sandbox",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
}
_DROP: Final = (
    "--clear-groups",
    "--inh-caps=-all",
    "--bounding-set=-all",
    "--no-new-privs",
    "--",
)
_BIND: Final = "mount -n --bind . /mnt; "
_SCRIPT: Final = 'exec env -i "$@"'
_CHUNK: Final = 64 * 1024
_GRACE: Final = 0.3
"""Seconds after which a starter that lost its child is ended itself."""
_LAST: Final = 10.0
"""Seconds the first process of a namespace may take to end after its starter."""
_NOT_FOUND: Final = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Where the programs are that start a sandbox."""

    bwrap: str
    prlimit: str
    unshare: str
    setpriv: str


def find_programs() -> Programs:
    """By the PATH of the gateway. Raises `SandboxUnavailable` that names what is missing."""
    names = ("bwrap", "prlimit", "unshare", "setpriv")
    found = {name: shutil.which(name) for name in names}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise SandboxUnavailable(f"commands cannot run here: {', '.join(missing)} not found. {REMEDY}")
    return Programs(**{name: path or "" for name, path in found.items()})


class Bubblewrap:
    """The sandbox. `concurrency` commands run at a time, the others wait for as long as they might run.

    `visible` are directories of the machine that can be read inside besides `/usr`, `private` directories below `/usr` that
    cannot. Raises `SandboxUnavailable` where it cannot work; whether it really holds is for `self_check` to find out.
    """

    unavailable: str | None = None

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        concurrency: int = 4,
        visible: Iterable[str] = (),
        private: Iterable[str] = (),
        programs: Programs | None = None,
    ) -> None:
        machine = seccomp.MACHINES.get(platform.machine())
        if machine is None:
            raise SandboxUnavailable(f"commands cannot run here: no filter for {platform.machine()} machines. {REMEDY}")
        self.limits = limits or Limits()
        self._programs = programs or find_programs()
        self._filter = seccomp.program(machine)
        self._slots = asyncio.Semaphore(concurrency)
        shown = tuple(visible)
        self._view = [*_system(), *_visible(shown), *_hidden((*_PRIVATE, *private)), *_found_by_name(shown)]

    async def run(self, command: Command) -> Outcome:
        """Run it to its end or to the first limit. Raises `SandboxUnavailable`, `ToolError`, `ToolTimeout` for no free place."""
        limits = command.limits or self.limits
        async with self._place(limits):
            user, found = await asyncio.to_thread(_look_at, command)
            run = _Run(limits, command, found)
            with self._descriptors(command, limits, found, mounted=user is not None) as inherited:
                await run.start(self._line(command, limits, user, inherited), inherited)
            return await run.finish()

    @asynccontextmanager
    async def _place(self, limits: Limits) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(limits.seconds):
                await self._slots.acquire()
        except TimeoutError as error:
            raise ToolTimeout("too many commands run at the moment; try again later") from error
        try:
            yield
        finally:
            self._slots.release()

    @contextmanager
    def _descriptors(
        self, command: Command, limits: Limits, found: Survey, *, mounted: bool
    ) -> "Generator[_Inherited]":
        """The descriptors a starter inherits; this process's own are closed at the end."""
        with ExitStack() as stack:

            def kept(data: bytes) -> int:
                descriptor = os.memfd_create("sandbox")
                stack.callback(os.close, descriptor)
                with open(descriptor, "wb", closefd=False) as file:
                    file.write(data)
                os.lseek(descriptor, 0, os.SEEK_SET)
                return descriptor

            written = {path: kept(data) for path, data in {**_ETC, **command.files}.items()}
            told, tells = os.pipe()
            stack.callback(os.close, tells)
            os.set_blocking(told, False)
            program = kept(self._filter)
            arguments = _arguments(command, limits, found, mounted=mounted)
            for path, descriptor in written.items():
                arguments += ["--perms", "0444", "--file", str(descriptor), path]
            arguments += ["--remount-ro", "/dev", "--remount-ro", "/"]
            arguments += ["--seccomp", str(program), "--json-status-fd", str(tells)]
            line = kept("\0".join([*self._view, *arguments]).encode() + b"\0")
            yield _Inherited(line, (*written.values(), program, tells, line), told)

    def _line(self, command: Command, limits: Limits, user: int | None, inherited: "_Inherited") -> list[str]:
        programs = self._programs
        # A directory that is not there is the command's failure, not the sandbox's.
        start = [] if command.folder == "." else ["env", f"--chdir={command.folder}", "--"]
        inside = [*prlimit(programs.prlimit, limits), *start, *command.argv]
        wrapped = [programs.bwrap, "--args", str(inherited.line), "--", *inside]
        if user is None:
            return wrapped
        dropped = [programs.setpriv, f"--reuid={user}", f"--regid={user}", *_DROP, *wrapped]
        script = _SCRIPT if command.workspace is None else _BIND + _SCRIPT
        return [programs.unshare, "--mount", "--propagation", "private", "--", "/bin/sh", "-ec", script, "sh", *dropped]


class _Sight(NamedTuple):
    user: int | None
    found: Survey


@dataclass(frozen=True, slots=True)
class _Inherited:
    line: int
    """The arguments of bwrap."""
    all: tuple[int, ...]
    told: int
    """Where bwrap tells of its child; it is the run that closes it."""


class _Exceeded(Exception):
    """A limit was passed."""


class _Run:
    """One command from its start to its last process."""

    def __init__(self, limits: Limits, command: Command, found: Survey) -> None:
        self._limits = limits
        self._command = command
        self._size = found.size
        self._stdout, self._stderr = Capture(limits.output), Capture(limits.output)
        self._started = time.monotonic()

    async def start(self, line: Sequence[str], inherited: _Inherited) -> None:
        self._told = inherited.told
        try:
            self._process = await asyncio.create_subprocess_exec(
                *line,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={},
                cwd=self._command.workspace or "/",
                pass_fds=inherited.all,
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._told)
            raise SandboxUnavailable(f"commands cannot run here: {error.strerror}. {REMEDY}") from error

    async def finish(self) -> Outcome:
        ended: Ended = "time"
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.seconds):
                    ended = await self._until_a_limit()
        finally:
            status = await asyncio.shield(self._end())
        return self._outcome(ended, status)

    async def _until_a_limit(self) -> Ended:
        self._passed: Ended = "exit"
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._watch())
                pipes = (
                    self._feed(),
                    self._read(self._process.stdout, self._stdout),
                    self._read(self._process.stderr, self._stderr),
                )
                await asyncio.wait([group.create_task(pipe) for pipe in pipes])
                await self._process.wait()
                watch.cancel()
        except* _Exceeded:
            pass
        return self._passed

    def _outcome(self, ended: Ended, status: int | None) -> Outcome:
        stderr = self._stderr.kept
        if ended == "exit" and status is None:
            error = SandboxUnavailable(f"the sandbox did not start. {REMEDY}")
            error.add_note(stderr.decode("utf-8", "replace"))  # for the operator: it may name paths of the machine
            raise error
        if status == 128 + 24:  # SIGXCPU
            ended = "cpu"
        if status == _NOT_FOUND and stderr.startswith(b"prlimit: "):
            stderr = f"{self._command.argv[0]}: not found in the sandbox\n".encode()
        return Outcome(
            ended=ended,
            status=status if ended == "exit" else None,
            stdout=self._stdout.kept,
            stderr=stderr,
            truncated=self._stdout.truncated or self._stderr.truncated,
            seconds=time.monotonic() - self._started,
        )

    async def _watch(self) -> None:
        workspace = self._command.workspace if self._command.writable else None
        watch = Watch(self._process.pid, self._limits, workspace, self._size)
        self._stop_for(await watch.until_passed())

    def _stop_for(self, limit: Ended) -> NoReturn:
        self._passed = limit
        raise _Exceeded

    async def _feed(self) -> None:
        stdin = self._process.stdin
        if stdin is None:
            return
        with suppress(ConnectionError):
            await write_pipe(stdin, self._command.stdin)
        stdin.close()

    async def _read(self, stream: asyncio.StreamReader | None, into: Capture) -> None:
        while stream is not None and (data := await stream.read(_CHUNK)):
            into.add(data)
            if self._stdout.total + self._stderr.total > self._limits.flood:
                self._stop_for("output")

    async def _end(self) -> int | None:
        """Make sure that nothing is left; the exit status of the command if it came to one."""
        try:
            if self._process.returncode is None:
                await self._stop()
            return await self._gone()
        finally:
            os.close(self._told)

    async def _stop(self) -> None:
        with suppress(ProcessLookupError):
            stop(self._process.pid)
        try:
            async with asyncio.timeout(_GRACE):
                await self._collected()
        except TimeoutError:
            with suppress(ProcessLookupError):
                stop(self._process.pid, entirely=True)
            await self._collected()

    async def _collected(self) -> None:
        """Read what is still in the pipes: a process counts as ended when they are."""
        await asyncio.gather(*(_drain(stream) for stream in (self._process.stdout, self._process.stderr)))
        await self._process.wait()

    async def _gone(self) -> int | None:
        """Wait for the first process inside, which outlives its starter by a moment when it had more children."""
        status: int | None = None
        for told in _told(self._told):
            if "exit-code" in told:
                status = told["exit-code"]
            elif "child-pid" in told:
                await _vanished(told["child-pid"])
        return status


async def _drain(stream: asyncio.StreamReader | None) -> None:
    while stream is not None and await stream.read(_CHUNK):
        pass


async def _vanished(process: int) -> None:
    """Wait until a process has ended. Whoever inherits orphans collects it: this process, where it is the first of a container."""
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST):
                await ended.wait()
        with suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG)  # noqa: ASYNC222 - does not wait
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _told(descriptor: int) -> Iterator[dict[str, int]]:
    with suppress(BlockingIOError):
        for line in os.read(descriptor, _CHUNK).splitlines():
            yield cast("dict[str, int]", _json.loads(line))


def _look_at(command: Command) -> _Sight:
    """What has to be known of the workspace first. Raises `ToolError` where nothing can be run."""
    try:
        user = user_of(command.workspace, command.tenant)
        if command.workspace is None:
            return _Sight(user, Survey(0, (), ()))
        found = survey(command.workspace, owner=user, hides=command.hides)
        if command.writable and not has_room(command.workspace):
            raise ToolError("the disk of the workspace is full; no command can write there")
    except OSError as error:
        raise ToolError(f"the workspace cannot be used: {error.strerror}") from error
    return _Sight(user, found)


def _arguments(command: Command, limits: Limits, found: Survey, *, mounted: bool) -> list[str]:
    """What differs from command to command."""
    given = ["--size", str(limits.scratch), "--perms", "0700", "--tmpfs", "/tmp"]  # noqa: S108
    given += ["--size", str(limits.scratch), "--perms", "0700", "--tmpfs", "/dev/shm"]  # noqa: S108
    if command.workspace is None:
        given += ["--size", str(limits.scratch), "--tmpfs", WORKSPACE]
    else:
        source = "/mnt" if mounted else str(command.workspace)
        given += ["--bind" if command.writable else "--ro-bind", source, WORKSPACE]
    for path in found.hidden_files:
        given += ["--ro-bind", "/dev/null", f"{WORKSPACE}/{path}"]
    for path in found.hidden_folders:
        given += ["--size", "4096", "--tmpfs", f"{WORKSPACE}/{path}", "--remount-ro", f"{WORKSPACE}/{path}"]
    return [*given, "--chdir", WORKSPACE]


def _system() -> Iterator[str]:
    yield from ("--unshare-user", "--unshare-all", "--disable-userns", "--assert-userns-disabled")
    yield from ("--die-with-parent", "--new-session", "--hostname", "sandbox", "--cap-drop", "ALL")
    yield from ("--uid", str(_USER), "--gid", str(_USER), "--clearenv")
    for name, value in ENVIRONMENT.items():
        yield from ("--setenv", name, value)
    yield from ("--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev")
    for name in _SYSTEM:
        place = Path("/") / name
        if place.is_symlink():
            yield from ("--symlink", str(place.readlink()), str(place))
        elif place.is_dir():
            yield from ("--ro-bind", str(place), str(place))
    for path in _LINKED:
        yield from ("--ro-bind-try", path, path)


def _visible(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        yield from ("--ro-bind", path, path)


def _found_by_name(paths: Sequence[str]) -> Iterator[str]:
    """Programs of these directories, and of their `bin`, are found by name, after those of the system."""
    if paths:
        folders = (folder for path in paths for folder in (path, f"{path}/bin"))
        yield from ("--setenv", "PATH", ":".join((ENVIRONMENT["PATH"], *folders)))


def _hidden(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        if Path(path).is_dir():
            yield from ("--size", "4096", "--tmpfs", path, "--remount-ro", path)
