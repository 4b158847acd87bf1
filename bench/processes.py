"""Child processes of a measurement: started, awaited, read from /proc and ended."""

import http.client
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

_TICK = 1_000_000 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A process that serves HTTP on loopback until the block ends."""

    def __init__(self, name: str, command: Sequence[str], port: int, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.port = port
        self.ready_seconds = 0.0
        self.started_bytes = 0
        """Resident memory at the first answer."""
        self._command = command
        self._env = {**os.environ, **(env or {})}
        self._log = Path(tempfile.gettempdir()) / "-".join(["bench", *name.split(), f"{port}.log"])

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            started = time.perf_counter()
            self._process = subprocess.Popen(
                self._command, env=self._env, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
        try:
            self._await_answer(started + 60)
        except BaseException:
            self._end()
            raise
        self.ready_seconds = time.perf_counter() - started
        self.started_bytes = self.resident_bytes()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._log.unlink(missing_ok=True)

    def _await_answer(self, until: float) -> None:
        while time.perf_counter() < until:
            if self._process.poll() is not None:
                break
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", "/health")
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)
            else:
                return
            finally:
                connection.close()
        tail = self._log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{self.name} did not answer on port {self.port}:\n{tail}")

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def cpu_microseconds(self) -> float:
        """User and system time of the process and its descendants so far."""
        return sum(_cpu(pid) for pid in _tree(self._process.pid))

    def resident_bytes(self) -> int:
        """Resident memory of the process and its descendants."""
        return sum(_resident(pid) for pid in _tree(self._process.pid))


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) * _TICK if fields else 0.0


def _resident(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[21]) * _PAGE if fields else 0


def _tree(root: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += parents.get(pid, [])
    return found
