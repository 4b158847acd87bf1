"""Real PostgreSQL and Redis servers for tests: on a loopback port, in a temporary folder, ended by process id.

Both can be stopped, frozen, resumed and started again at the same address, because that is what the tests are about.
PostgreSQL refuses to run as root, so as root it runs as the user `postgres` of the Debian package.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_READY_SECONDS = 20.0
_POSTGRES_PLACES = "/usr/lib/postgresql/*/bin"


class MissingServer(RuntimeError):
    """The server's package is not installed."""


def free_port() -> int:
    """A loopback port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A child process that serves a port."""

    command: Sequence[str]
    port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until it accepts connections."""
        give_up = time.monotonic() + _READY_SECONDS
        while not self.accepts():
            if self.process is None or self.process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"{self.command[0]} did not start:\n{(self.folder / 'server.log').read_text()}")
            time.sleep(0.02)

    def accepts(self) -> bool:
        """Whether it takes connections and answers."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, by default in order; clients are cut off."""
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
        self.process.wait(_READY_SECONDS)
        self.process = None

    def freeze(self) -> None:
        """Stop scheduling it: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """The end of `freeze`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        # PostgreSQL's backends are sessions of their own, so its process group is not all of it.
        for pid in self._pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _pids(self) -> list[int]:
        if self.process is None:
            return []
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *(int(child) for child in children)]


@dataclass
class Postgres(Server):
    """A PostgreSQL cluster of its own."""

    user: str = "postgres"
    made: int = 0

    def accepts(self) -> bool:
        """Whether it answers; it also accepts connections while it starts, and refuses them then."""
        ready = Path(self.command_path("pg_isready"))
        asked = [str(ready), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(asked, check=False, timeout=10).returncode == 0

    def command_path(self, name: str) -> str:
        """A program of the same installation."""
        return str(_postgres_bin() / name)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it at once (a fast shutdown): sessions are cut off, nothing is lost."""
        super().stop(how)

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        self.made += 1
        name = f"test_{os.getpid()}_{self.made}"
        self.execute(f"CREATE DATABASE {name}")
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/{name}"

    def execute(self, statement: str, database: str = "postgres") -> str:
        """Run one statement with psql; its output, unadorned."""
        asked = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port)]
        asked[0] = self.command_path("psql")
        done = subprocess.run(
            [*asked, "-U", self.user, "-d", database, "-c", statement], check=True, capture_output=True, timeout=60
        )
        return done.stdout.decode().strip()


@dataclass
class Redis(Server):
    """A Redis server without persistence."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"


def _postgres_bin() -> Path:
    for place in sorted(Path("/").glob(_POSTGRES_PLACES.lstrip("/")), reverse=True):
        if (place / "initdb").exists():
            return place
    found = shutil.which("initdb")
    if found is None:
        raise MissingServer("PostgreSQL is not installed: apt-get install postgresql")
    return Path(found).resolve().parent


def _as_postgres(command: Sequence[str]) -> list[str]:
    if os.geteuid() != 0:
        return list(command)
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL. Raises `MissingServer`."""
    programs = _postgres_bin()
    with tempfile.TemporaryDirectory(prefix="ep-pg-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        data = folder / "data"
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        init = [str(programs / "initdb"), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync", "-D", str(data)]
        subprocess.run(_as_postgres(init), check=True, capture_output=True, timeout=60, cwd=folder)
        port = free_port()
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)]
        tuned = ["-c", "fsync=off", "-c", "max_connections=200", "-c", "log_min_messages=fatal"]
        server = Postgres(_as_postgres([*command, *tuned]), port, folder)
        server.start()
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)


@contextmanager
def redis() -> Iterator[Redis]:
    """A running Redis. Raises `MissingServer`."""
    program = shutil.which("redis-server")
    if program is None:
        raise MissingServer("Redis is not installed: apt-get install redis-server")
    with tempfile.TemporaryDirectory(prefix="ep-redis-", ignore_cleanup_errors=True) as made:
        port = free_port()
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        server = Redis([*command, "--dir", made], port, Path(made))
        server.start()
        try:
            yield server
        finally:
            server.stop()
