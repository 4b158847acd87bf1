"""Limits of a running command: those the kernel holds each process to, and the watch over all of them together.

The kernel's limits are of single processes, so a command could multiply them by forking. The watch adds up what all its
processes use, as `/proc` tells it, and names the limit that is passed. It also sees the disk, for which there is no limit at all.
"""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from execution_platform.tool_bridge.sandbox.interfaces import Ended, Limits

_PROC: Final = Path("/proc")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_KIB: Final = 1024
_MIB: Final = 1024 * 1024
_GLANCE: Final = 0.1
"""Seconds between two looks at the processes."""
_DISK_STEP: Final = 16 * _MIB
"""The free space has to fall this much before the workspace is measured anew: walking it is work."""
DISK_RESERVE: Final = 256 * _MIB
"""Free space that commands never get."""
_OPEN_FILES: Final = 256
_LOCKED: Final = 8 * _MIB
_RUNNING: Final = frozenset({b"R", b"S", b"D"})
_MOST_LOOKS: Final = 1000
"""At a process that was told to stop: it takes microseconds."""
_CPU_FIELDS: Final = slice(11, 15)
"""utime, stime, cutime, cstime of proc_pid_stat(5), counted after the name."""


def prlimit(program: str, limits: Limits, *, lasting: bool = False) -> list[str]:
    """The command that holds the rest of its line to the kernel's limits, inside; what is `lasting` has any time.

    Inside, because processes are then counted within the sandbox's own user namespace (Linux 5.14 and later; per user
    before). Memory is what a process can write to, not what it reserves: runtimes reserve terabytes.
    """
    return [
        program,
        *([] if lasting else [f"--cpu={limits.cpu_seconds}:{limits.cpu_seconds + 1}"]),
        f"--data={limits.memory}",
        f"--fsize={limits.file_size}",
        f"--nproc={limits.processes}",
        f"--nofile={_OPEN_FILES}",
        f"--memlock={_LOCKED}",
        "--core=0",
        "--msgqueue=0",
        "--",
    ]


class Watch:
    """Looks at a command until it passes a limit."""

    def __init__(
        self, process: int, limits: Limits, workspace: Path | None, size: int, *, glance: float = _GLANCE
    ) -> None:
        """`glance` is how many seconds pass between two looks."""
        self._glance = glance
        self._process = process
        self._limits = limits
        self._workspace = workspace
        self._size = size
        self._most = max(limits.workspace, size)
        self._free = None if workspace is None else _free(workspace)

    async def until_passed(self) -> Ended:
        """Which limit is passed; waits for it."""
        while True:
            await asyncio.sleep(self._glance)
            passed = self._processes() or await self._disk()
            if passed is not None:
                return passed

    def _processes(self) -> Ended | None:
        found = list(descendants(self._process))
        if sum(_cpu(process) for process in found) > self._limits.cpu_seconds:
            return "cpu"
        if sum(_memory(process) for process in found) > self._limits.memory:
            # Pages shared after a fork were counted for each; the exact sum is dearer.
            return "memory" if sum(map(_exact_memory, found)) > self._limits.memory else None
        return None

    async def _disk(self) -> Ended | None:
        if self._workspace is None or self._free is None:
            return None
        free = _free(self._workspace)
        if free < DISK_RESERVE:
            return "disk"
        self._free = max(self._free, free)  # others of this machine delete too
        if free <= self._free - _DISK_STEP:
            self._free = free
            if await asyncio.to_thread(disk_usage, self._workspace) > self._most:
                return "disk"
        return None


def disk_usage(folder: Path) -> int:
    """Bytes that everything in a directory occupies."""
    total = 0
    for _, names, others, descriptor in os.fwalk(folder, follow_symlinks=False):
        for name in names + others:
            with suppress(FileNotFoundError):
                total += os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_blocks * 512
    return total


def has_room(folder: Path) -> bool:
    """Whether a command may write there at all."""
    return _free(folder) >= DISK_RESERVE


def descendants(process: int) -> Iterator[int]:
    """All processes below one, not the one itself. Those that lost their parent are below the first of their namespace."""
    waiting = children(process)
    while waiting:
        current = waiting.pop()
        yield current
        waiting.extend(children(current))


def children(process: int) -> list[int]:
    """The children of one process; none of a process that is gone."""
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for thread in (_PROC / str(process) / "task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, (thread / "children").read_bytes().split())
    return found


def stop(process: int, *, entirely: bool = False) -> None:
    """End everything below a starter of sandboxes; the starter itself when there is nothing below it yet, or if `entirely`.

    The starter is held still meanwhile, so that no child appears unseen. Otherwise it lives on to collect its child, the first
    process of the namespace, whose end takes all others with it. Raises `ProcessLookupError` for one that is gone.
    """
    os.kill(process, signal.SIGSTOP)
    for _ in range(_MOST_LOOKS):
        if _state(process) not in _RUNNING:
            break
        os.sched_yield()
    below = list(descendants(process))
    for child in below:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    os.kill(process, signal.SIGCONT if below and not entirely else signal.SIGKILL)


def _state(process: int) -> bytes:
    with suppress(FileNotFoundError, ProcessLookupError):
        return (_PROC / str(process) / "stat").read_bytes().rpartition(b")")[2].split()[0]
    return b"X"


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _cpu(process: int) -> float:
    """Seconds used by a process and those of its children that it has collected."""
    with suppress(FileNotFoundError, ProcessLookupError):
        fields = (_PROC / str(process) / "stat").read_bytes().rpartition(b")")[2].split()
        return sum(map(int, fields[_CPU_FIELDS])) / _TICKS
    return 0.0


def _memory(process: int) -> int:
    """Bytes that are no file's: its own, and those shared by mapping."""
    return _sum_of(process, "status", (b"RssAnon:", b"RssShmem:"))


def _exact_memory(process: int) -> int:
    """The same with shared pages divided among those who share them; where that may not be read, undivided."""
    try:
        return _sum_of(process, "smaps_rollup", (b"Pss_Anon:", b"Pss_Shmem:"))
    except PermissionError:
        return _memory(process)


def _sum_of(process: int, file: str, names: tuple[bytes, ...]) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):
        lines = (_PROC / str(process) / file).read_bytes().splitlines()
        return sum(int(line.split()[1]) * _KIB for line in lines if line.startswith(names))
    return 0
