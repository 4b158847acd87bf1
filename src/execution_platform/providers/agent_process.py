"""The Claude agent runtime as a child process: what it is started with, and the pipe to it.

Theory of operation. The runtime (the program inside the package `claude-agent-sdk`) reads and writes one JSON object a
line. Every run gets a home folder of its own, which is removed after it, an environment of named variables only, no
tool, no settings, no session on disk. It leads a process group, which is killed when the run is over, however that was:
it has nothing to save. `AgentProcess` has the methods of `claude_agent_sdk.Transport`, which the SDK calls instead of
starting a child with this process's whole environment.

Source: claude-agent-sdk 0.2.186, `Transport`, `SubprocessCLITransport` (read 2026-11).
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from execution_platform import _json
from execution_platform.exceptions import ErrorKind, ProviderError
from execution_platform.providers.local.packages import package_folder

PACKAGE = "claude_agent_sdk"
REMEDY = "install it with: pip install 'execution-platform[claude-agent]'"
_PASSED_ON = ("LANG", "LC_ALL", "TZ", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE")
_LONGEST_LINE = 64 * 1024 * 1024
_STDERR_SHOWN = 4096
_ALWAYS = (
    "--output-format=stream-json",
    "--input-format=stream-json",
    "--verbose",
    "--include-partial-messages",
    "--tools=",
    "--permission-mode=dontAsk",
    "--setting-sources=",
    "--strict-mcp-config",
    "--no-session-persistence",
    "--max-turns=1",
)


def program() -> Path | None:
    """The runtime's program, or None when the package is not installed; nothing is imported."""
    folder = package_folder(PACKAGE)
    file = None if folder is None else folder / "_bundled" / "claude"
    return file if file is not None and file.is_file() else None


def environment(
    home: Path, key: str, base_url: str, max_tokens: int | None, outer: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The child's whole environment: a named few of `outer` (default: this process's), its key and its address."""
    source = os.environ if outer is None else outer
    own = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "TMPDIR": str(home),
        "CLAUDE_CONFIG_DIR": str(home / ".claude"),
        "ANTHROPIC_API_KEY": key,
        "ANTHROPIC_BASE_URL": base_url,
        "CLAUDE_CODE_ENTRYPOINT": "sdk-py",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        # Who retries, and how often, is decided in one place: outside.
        "CLAUDE_CODE_MAX_RETRIES": "0",
        "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",
        "CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS": "1",
    }
    if max_tokens is not None:
        own["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = str(max_tokens)
    return {name: source[name] for name in _PASSED_ON if name in source} | own


class AgentProcess:
    """One run of the runtime, with the methods the SDK asks of a transport. Used by one event loop."""

    def __init__(self, cli: Path, arguments: Sequence[str], environ: Mapping[str, str], home: Path) -> None:
        self._command = (str(cli), *_ALWAYS, *arguments)
        self._environ = dict(environ)
        self._home = home
        self._process: asyncio.subprocess.Process | None = None

    async def connect(self) -> None:
        """Start the child. Raises `ProviderError` of kind `connection` when it cannot be started."""
        try:
            with (self._home / "stderr").open("wb") as stderr:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=stderr,
                    env=self._environ,
                    cwd=self._home,
                    start_new_session=True,
                    limit=_LONGEST_LINE,
                )
        except OSError as error:
            message = f"the agent runtime cannot be started: {error.strerror}"
            raise ProviderError(message, kind=ErrorKind.CONNECTION, never_sent=True) from error

    @property
    def pid(self) -> int | None:
        """Process id, None before the start."""
        return None if self._process is None else self._process.pid

    def is_ready(self) -> bool:
        """Whether the child runs."""
        return self._process is not None and self._process.returncode is None

    async def write(self, data: str) -> None:
        """One line to the child."""
        if self._process is None or self._process.stdin is None or self._process.stdin.is_closing():
            raise ProviderError("the agent runtime is not running", kind=ErrorKind.CONNECTION)
        self._process.stdin.write(data.encode())
        await self._process.stdin.drain()

    async def end_input(self) -> None:
        """Nothing more is said to the child."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    async def read_messages(self) -> AsyncIterator[dict[str, object]]:
        """What the child says, until it ends. Lines that are no JSON object are none of its messages."""
        if self._process is None or self._process.stdout is None:
            return
        while line := await self._process.stdout.readline():
            with contextlib.suppress(_json.JsonError):
                value = _json.loads(line)
                if isinstance(value, dict):
                    yield cast("dict[str, object]", value)

    async def close(self) -> None:
        """Kill the child and whatever it has started, and wait for its end."""
        process = self._process
        if process is None:
            return
        self.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()

    def kill(self) -> None:
        """Kill the child's process group, without waiting."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def said(self) -> bytes:
        """The end of what it wrote to its standard error, for the operator's log."""
        path = self._home / "stderr"
        return path.read_bytes()[-_STDERR_SHOWN:] if path.exists() else b""
