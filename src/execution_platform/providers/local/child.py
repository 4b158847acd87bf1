"""One child process that serves a model: how it is started, found, watched and ended.

Theory of operation. The parent starts `model_server.py` with pipes on all three streams. Down stdin goes one line, the
credential (command lines and environments can be read from outside, a pipe cannot), and then nothing: the open pipe is
the child's licence to live, and its end, however the parent ended, ends the child. Up stdout comes one line, the URL
the child listens on; the child binds port 0 itself, so no other process can take the port in between. Up stderr comes
the model's log, of which the last few kilobytes are kept to explain a death.
The child gets a named set of environment variables and no others, so that no provider's key reaches it.
"""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from execution_platform.exceptions import ErrorKind, ProviderError
from execution_platform.exceptions import TimeoutError as ProviderTimeout
from execution_platform.transport.pipes import write_pipe

PROVIDER = "embedded"

_FOLDERS = re.compile(r"(?<![\w.:/])/(?:[^\s/:'\"|]+/)+")
"""Absolute paths up to the file's name: a caller learns what failed, and nothing of the machine."""
_PROGRAM = Path(__file__).with_name("model_server.py")
_PASSED_ON = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TMPDIR",
    "TZ",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "SYSTEMROOT",
    "TEMP",
)
_LOG_KEPT = 4096
_LOG_LINES_SHOWN = 6
_HEALTH_PAUSE = 0.05
_GRACE = 3.0


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """What to serve, and how long it may take to become ready."""

    name: str
    """For messages: "chat model"."""
    arguments: tuple[str, ...]
    """Of `model_server.py`."""
    threads: int = 1
    start_timeout: float = 60.0


def command(spec: ServerSpec) -> list[str]:
    """The command line of the child.

    The program is run by its path and isolated (`-I`), so that neither the environment nor the current folder adds
    code to it and the gateway's own packages are not imported; it finds the model's packages where this process does.
    """
    places = [str(Path(place).absolute()) for place in sys.path if place]
    return [sys.executable, "-I", str(_PROGRAM), *spec.arguments, "--packages", os.pathsep.join(places)]


def environment(spec: ServerSpec, outer: Mapping[str, str] | None = None) -> dict[str, str]:
    """The child's whole environment: a named few of `outer` (default: this process's) and the thread limits."""
    source = os.environ if outer is None else outer
    kept = {name: source[name] for name in _PASSED_ON if name in source}
    # OpenMP's threads would otherwise spin between calls and take the gateway's processor.
    return kept | {"OMP_NUM_THREADS": str(spec.threads), "OMP_WAIT_POLICY": "passive", "PYTHONUTF8": "1"}


class Child:
    """A running child. Made by `start_child`, used by one event loop."""

    def __init__(self, spec: ServerSpec, process: asyncio.subprocess.Process) -> None:
        self._spec = spec
        self._process = process
        self._log = bytearray()
        self._log_reader = asyncio.create_task(self._keep_log())
        self.base_url = ""
        """Of the OpenAI dialect: ends in `/v1`."""

    @property
    def pid(self) -> int:
        """Process id, also after the end."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process has not ended, as far as the event loop has heard."""
        return self._process.returncode is None

    async def become_ready(self, credential: str) -> None:
        """Hand over the credential, learn the URL, and wait until it answers.

        Raises:
            ProviderError: of kind `connection` if the process ends first.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise ProviderError("the child process has no pipes", kind=ErrorKind.CONNECTION, provider=PROVIDER)
        # Whether it has ended is seen by what it does not announce.
        with contextlib.suppress(ConnectionError):
            await write_pipe(stdin, f"{credential}\n".encode())
        announced = (await stdout.readline()).decode().strip()
        if not announced:
            await self._process.wait()
            raise await self.obituary()
        while not await _is_healthy(announced):
            if not self.alive:
                raise await self.obituary()
            await asyncio.sleep(_HEALTH_PAUSE)
        self.base_url = f"{announced}/v1"

    async def obituary(self) -> ProviderError:
        """The error that tells how the process ended, with the last lines it wrote."""
        await self._log_reader
        return ProviderError(
            f"The local {self._spec.name} ended {_ending(self._process.returncode)}. {self.last_words()} "
            f"Run `ep doctor` to check the installation, or configure another provider.",
            kind=ErrorKind.CONNECTION,
            provider=PROVIDER,
            never_sent=True,
        )

    def last_words(self) -> str:
        """The last lines of the log, on one line."""
        lines = [line.strip() for line in self._log.decode(errors="replace").splitlines() if line.strip()]
        if not lines:
            return "It wrote no log."
        return "Its log ends: " + _FOLDERS.sub("", " | ".join(lines[-_LOG_LINES_SHOWN:]))

    async def stop(self) -> None:
        """End the process: close its pipe, ask, then kill. Returns when it is gone; may be called again."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self.alive:
            _signal(self._process.terminate)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE):
                    await self._process.wait()
        if self.alive:
            _signal(self._process.kill)
        await self._process.wait()
        await self._log_reader

    async def _keep_log(self) -> None:
        stream = self._process.stderr
        while stream is not None and (data := await stream.read(_LOG_KEPT)):
            self._log += data
            del self._log[:-_LOG_KEPT]


async def start_child(spec: ServerSpec, credential: str) -> Child:
    """Start a child and return when it answers; on any failure, and on cancellation, no process is left.

    Raises:
        ProviderError: of kind `connection`, if the process cannot be started or ends before it answers.
        TimeoutError: if it does not answer within `spec.start_timeout` seconds.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command(spec),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(spec),
            # Ctrl-C in a terminal reaches the whole group; the gateway must be able to finish its streams first.
            start_new_session=True,
        )
    except OSError as error:
        message = f"The local {spec.name} cannot be started with {sys.executable}: {error}."
        raise ProviderError(message, kind=ErrorKind.CONNECTION, provider=PROVIDER, never_sent=True) from error
    child = Child(spec, process)
    try:
        async with asyncio.timeout(spec.start_timeout):
            await child.become_ready(credential)
    except TimeoutError as error:
        await child.stop()
        raise ProviderTimeout(
            f"The local {spec.name} did not answer within {spec.start_timeout:g} s. {child.last_words()} "
            f"On a slow disk allow it more time, or configure another provider.",
            kind=ErrorKind.TIMEOUT,
            provider=PROVIDER,
            never_sent=True,
        ) from error
    finally:
        if not child.base_url:
            await child.stop()
    return child


async def _is_healthy(url: str) -> bool:
    """Whether `GET /health` of a loopback URL answers 200."""
    address = urlsplit(url)
    try:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
    except OSError:
        return False
    try:
        writer.write(f"GET /health HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: close\r\n\r\n".encode())
        return b" 200 " in await reader.readline()
    except OSError:
        return False
    finally:
        writer.close()


def _signal(send: Callable[[], None]) -> None:
    with contextlib.suppress(ProcessLookupError):
        send()


def _ending(returncode: int | None) -> str:
    if returncode is not None and returncode < 0:
        return f"by signal {-returncode}"
    return f"with status {returncode}"
