"""A server that is a program: how it is started, and its lines.

The SDK starts programs with the HOME, PATH and USER of its own process, reads lines of any length and shows what they write to
their standard error. A server of somebody else gets none of that: its environment is what the operator wrote, a line is
bounded, standard error is thrown away, and unless the operator said otherwise it runs in namespaces of its own, sees `/usr` and
the directories it was given, and has no network. The filter of system calls is that of the tools' sandbox; the limits are of memory,
processes and files, with room for interpreters such as node, and none of time: a server lives for as long as it is used.
"""

import asyncio
import os
import platform
import shutil
import signal
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from execution_platform.config.mcp import McpProgram
from execution_platform.exceptions import ToolError
from execution_platform.tool_bridge.mcp.sight import check_sight
from execution_platform.tool_bridge.sandbox import seccomp
from execution_platform.tool_bridge.sandbox.interfaces import WORKSPACE, Limits
from execution_platform.tool_bridge.sandbox.limits import Watch, prlimit
from execution_platform.tool_bridge.sandbox.workspace import survey, user_of
from execution_platform.transport.pipes import write_pipe

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.client._transport import TransportStreams
    from mcp.shared.message import SessionMessage

_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
_HOME: Final = "/tmp"  # noqa: S108 - its own, gone with it
_ETC: Final = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/ssl", "/etc/passwd", "/etc/group", "/etc/localtime")
_NET: Final = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf")
_SYSTEM: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_BIND: Final = 'mount -n --bind . /mnt; exec "$@"'
_PLACE: Final = "{workspace}"
_CHUNK: Final = 64 * 1024
_PROCESSES: Final = 256
_FILE_SIZE: Final = 1024 * 1024 * 1024
_CPU_SECONDS: Final = 10**9
_GLANCE: Final = 1.0
_GRACE: Final = 1.0
"""Seconds a program has to end after its input has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One start of a program."""

    program: McpProgram
    env: Mapping[str, str]
    """The values behind `program.env`."""
    workspace: Path | None
    """Where it works, if it sees a workspace."""
    tenant: str
    most: int
    """Bytes of the longest line that is read."""


def command_line(start: Start, filter_: int) -> list[str]:
    """The whole command; the filter of system calls is read from that descriptor.

    Raises `ToolError` where the program or the sandbox is missing.
    """
    program = start.program
    found = shutil.which(program.command)
    if found is None:
        raise ToolError(f"the program {Path(program.command).name!r} of this MCP server is not installed")
    place = WORKSPACE if program.sandbox else str(start.workspace or _HOME)
    own = [found, *(each.replace(_PLACE, place) for each in program.args)]
    if not program.sandbox:
        return own
    programs = [shutil.which(name) for name in ("bwrap", "setpriv", "unshare", "prlimit")]
    if None in programs:
        raise ToolError(
            "this MCP server runs in a sandbox, and bubblewrap or util-linux is not installed (Debian: apt-get install "
            "bubblewrap); its operator may also set sandbox: false for it"
        )
    bwrap, setpriv, unshare, held = (str(each) for each in programs)
    user = user_of(start.workspace, start.tenant)
    check_sight(program, found, user)
    inside = ["--seccomp", str(filter_), "--", *prlimit(held, limits_of(program), lasting=True), *own]
    if user is None:
        return [bwrap, *_view(program, start.workspace), *inside]
    # A gateway that is root gives that up first. Who it becomes may not be able to walk to the workspace, hence /mnt.
    drop = [setpriv, f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs", "--", bwrap]
    if start.workspace is None:
        return [*drop, *_view(program, None), *inside]
    survey(start.workspace, owner=user)
    line = [*drop, *_view(program, Path("/mnt")), *inside]
    return [unshare, "--mount", "--propagation", "private", "--", "/bin/sh", "-ec", _BIND, "sh", *line]


def limits_of(program: McpProgram) -> Limits:
    """What it may use. Threads count as processes, and node has a dozen of them."""
    return Limits(memory=program.memory, processes=_PROCESSES, file_size=_FILE_SIZE, cpu_seconds=_CPU_SECONDS)


def _view(program: McpProgram, workspace: Path | None) -> Iterator[str]:
    """What it sees, as arguments of bubblewrap."""
    yield from ("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "server")
    if program.network:
        yield "--share-net"
    yield from ("--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp")  # noqa: S108
    for name in _SYSTEM:
        place = Path("/") / name
        if place.is_symlink():
            yield from ("--symlink", str(place.readlink()), str(place))
        elif place.is_dir():
            yield from ("--ro-bind", str(place), str(place))
    for path in (*_ETC, *(_NET if program.network else ())):
        yield from ("--ro-bind-try", path, path)
    for path in program.read:
        yield from ("--ro-bind", path, path)
    for path in program.write:
        yield from ("--bind", path, path)
    if workspace is not None:
        yield from ("--bind" if program.workspace == "write" else "--ro-bind", str(workspace), WORKSPACE)
        yield from ("--chdir", WORKSPACE)
    elif program.workspace != "none":
        yield from ("--tmpfs", WORKSPACE, "--chdir", WORKSPACE)


def _environment(start: Start) -> dict[str, str]:
    """Nothing of the gateway's own."""
    return {"PATH": _PATH, "HOME": _HOME, "LANG": "C.UTF-8", **start.env}


@asynccontextmanager
async def program_transport(start: Start) -> "AsyncGenerator[TransportStreams]":
    """The streams of a program that is started here and ended with its last process. Raises `ToolError`."""
    import anyio
    from mcp.shared.message import SessionMessage

    with _filter() as filter_:
        line = await asyncio.to_thread(command_line, start, filter_)
        process = await _started(line, start, filter_)
    received: tuple[
        MemoryObjectSendStream[SessionMessage | Exception], MemoryObjectReceiveStream[SessionMessage | Exception]
    ]
    received = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    sent = anyio.create_memory_object_stream[SessionMessage](0)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_read, process, received[0])
            tasks.start_soon(_write, process, sent[1], received[0])
            if start.program.sandbox:
                tasks.start_soon(_watched, process, start.program)
            try:
                yield received[1], sent[0]
            finally:
                tasks.cancel_scope.cancel()
    finally:
        for stream in (*received, *sent):
            stream.close()
        await asyncio.shield(_end(process))


@contextmanager
def _filter() -> Generator[int]:
    """A descriptor with the filter of system calls. Raises `ToolError` on a machine that there is none for."""
    machine = seccomp.MACHINES.get(platform.machine())
    if machine is None:
        raise ToolError(f"this MCP server cannot be started: there is no filter for {platform.machine()} machines")
    descriptor = os.memfd_create("filter")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(seccomp.program(machine))
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


async def _started(line: Sequence[str], start: Start, filter_: int) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *line,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=_environment(start),
            cwd=start.workspace or "/",
            limit=start.most,
            start_new_session=True,
            pass_fds=(filter_,) if start.program.sandbox else (),
        )
    except OSError as error:
        raise ToolError(f"this MCP server could not be started: {error.strerror}") from error


async def _watched(process: asyncio.subprocess.Process, program: McpProgram) -> None:
    """End a program whose processes together pass its memory: the kernel counts each by itself."""
    await Watch(process.pid, limits_of(program), None, 0, glance=_GLANCE).until_passed()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def _read(
    process: asyncio.subprocess.Process, into: "MemoryObjectSendStream[SessionMessage | Exception]"
) -> None:
    """Lines to messages, until the program ends, or writes a line that is too long."""
    import anyio
    from mcp.shared.message import SessionMessage
    from mcp_types import jsonrpc_message_adapter

    stdout = process.stdout
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, ValueError):
        while stdout is not None and (line := await stdout.readline()):
            if not line.strip():
                continue
            message: SessionMessage | Exception
            try:
                message = SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
            except ValueError as error:
                message = error
            await into.send(message)
    into.close()


async def _write(
    process: asyncio.subprocess.Process,
    source: "MemoryObjectReceiveStream[SessionMessage]",
    into: "MemoryObjectSendStream[SessionMessage | Exception]",
) -> None:
    stdin = process.stdin
    with suppress(ConnectionError):
        async for given in source:
            if stdin is None:
                return
            await write_pipe(stdin, given.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
    into.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    """End its input, then the program, then everything in its session."""
    if process.stdin is not None:
        process.stdin.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(_GRACE):
            await process.wait()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    # The pipe counts as open until its end was read; who left the session may hold it.
    with suppress(TimeoutError):
        async with asyncio.timeout(_GRACE):
            while process.stdout is not None and await process.stdout.read(_CHUNK):
                pass
    await process.wait()
