"""The gateway as a process of its own, started from this tree: what a test can kill, stop, starve and read the books of."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from execution_platform import _json

SOURCE = Path(__file__).parent.parent / "src"
_OWN = Path(__file__).parent.parent / ".venv" / "bin" / "python"
_PYTHON = str(_OWN) if _OWN.exists() else sys.executable
"""The gateway's own environment, also when the test runs in that of the vendors' SDKs."""
_SERVE = (_PYTHON, "-c", "from execution_platform.cli.main import main; main()", "serve")
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR")


class ChildGateway:
    """`ep serve` on a free port of loopback, with nothing of this process's environment but what `environ` gives.

    Entering waits until it answers. Leaving ends it with SIGTERM, after ten seconds with SIGKILL.
    """

    def __init__(
        self, config: Mapping[str, Any], *, environ: Mapping[str, str] | None = None, options: tuple[str, ...] = ()
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ep-child-")
        self.folder = Path(self._folder.name)
        self.config_path = self.folder / "platform.yaml"
        self.write(config)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self.environ |= {"PYTHONPATH": str(SOURCE), "EP_WORKSPACE_ROOT": str(self.folder)} | dict(environ or {})
        self._options = options
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, config: Mapping[str, Any]) -> None:
        """Replace the configuration file, whole, as an editor does."""
        fresh = self.folder / "platform.new"
        whole = {"version": 1, "drain": {"accept_seconds": 0}, **config}  # no load balancer has to be waited for
        fresh.write_text(yaml.safe_dump(whole, sort_keys=False))
        fresh.rename(self.config_path)

    def start(self, *, within: float = 30.0) -> None:
        """Start the process and wait until it answers."""
        with (self.folder / "out.log").open("ab") as out, (self.folder / "err.log").open("ab") as err:
            self.process = subprocess.Popen(
                [*_SERVE, "--config", str(self.config_path), "--port", str(self.port), *self._options],
                env=self.environ,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        until = time.monotonic() + within
        while self.process.poll() is None and time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"{self.url}/health/liveness", timeout=5):
                    return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.02)
        said = self.said()
        self.end()
        raise RuntimeError(f"the gateway did not answer:\n{said}")

    def end(self) -> int | None:
        """End the process; its status."""
        if self.process is None:
            return None
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return self.process.returncode

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._folder.cleanup()

    @property
    def pid(self) -> int:
        """The process id."""
        if self.process is None:
            raise RuntimeError("the gateway is not started")
        return self.process.pid

    def wait(self, within: float = 10.0) -> int:
        """Wait until the process has ended by itself; its status."""
        if self.process is None:
            raise RuntimeError("the gateway is not started")
        return self.process.wait(within)

    def said(self) -> str:
        """The end of what it wrote to its standard error."""
        path = self.folder / "err.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    def log(self, event: str | None = None) -> list[dict[str, Any]]:
        """The lines of its log, or those of one event."""
        path = self.folder / "out.log"
        lines = path.read_bytes().splitlines() if path.exists() else []
        records: list[Any] = [_json.loads(line) for line in lines if line.startswith(b"{") and line.endswith(b"}")]
        return [record for record in records if event is None or record.get("event") == event]

    def get(self, path: str, key: str | None = None) -> bytes:
        """The body of a GET."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        with urllib.request.urlopen(urllib.request.Request(self.url + path, headers=headers), timeout=10) as answer:
            return answer.read()
