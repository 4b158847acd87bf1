"""A program at a terminal of its own: what it asks can be read and answered."""

import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


class Terminal:
    """Runs `command` with a pseudo terminal as its standard input, output and error."""

    def __init__(self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        self._own, theirs = pty.openpty()
        self.said = ""
        """Everything it wrote so far."""
        self._seen = 0
        try:
            self._process = subprocess.Popen(
                command, cwd=cwd, env=dict(env), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
            )
        finally:
            os.close(theirs)

    def until(self, text: str, *, within: float = 60.0) -> str:
        """Wait until it writes `text`; what came up to there since the last time. Raises `TimeoutError`."""
        end = time.monotonic() + within
        while text not in self.said[self._seen :]:
            if not self._read(end - time.monotonic()):
                raise TimeoutError(f"{text!r} did not come; it said:\n{self.said}")
        at = self.said.index(text, self._seen) + len(text)
        before, self._seen = self.said[self._seen : at], at
        return before

    def answer(self, line: str) -> None:
        """Type a line."""
        os.write(self._own, line.encode() + b"\n")

    def ended(self, *, within: float = 60.0) -> int:
        """Wait for its end; its status."""
        end = time.monotonic() + within
        while self._read(end - time.monotonic()):
            pass
        return self._process.wait(max(0.1, end - time.monotonic()))

    def close(self) -> None:
        """End it."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._own)

    def _read(self, seconds: float) -> bool:
        """Take what it writes; False when there is no more, or not in time."""
        ready, _, _ = select.select([self._own], [], [], max(0.0, seconds))
        if not ready:
            return False
        try:
            data = os.read(self._own, 65536)
        except OSError:  # the other side is closed
            return False
        self.said += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)
