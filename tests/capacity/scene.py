"""What every measurement stands on: an upstream process, a gateway process before it, and a look at the gateway from outside."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from child import ChildGateway
from execution_platform import _json

_PAGE = os.sysconf("SC_PAGE_SIZE")
_HERE = Path(__file__).parent
MIB = 1024 * 1024


@dataclass(frozen=True)
class Scale:
    """How much is done: in full, or a share of it, to see that the measurements themselves work."""

    share: float = 1.0

    def count(self, full: int) -> int:
        """Of so many."""
        return max(5, int(full * self.share))

    def seconds(self, full: float) -> float:
        """Of so long."""
        return max(1.0, full * self.share)


@dataclass(frozen=True)
class Row:
    """One number beside what was promised."""

    promise: str
    what: str
    got: str
    promised: str
    is_kept: bool


@dataclass
class Scene:
    """One gateway and its upstream."""

    gateway: ChildGateway
    upstream_url: str
    scale: Scale

    @property
    def url(self) -> str:
        """Where the gateway is."""
        return self.gateway.url

    def stats(self) -> dict[str, int]:
        """What the upstream has seen."""
        found: dict[str, int] = _get(f"{self.upstream_url}/stats")[1]
        return found

    def resident(self) -> int:
        """Bytes of memory the gateway holds."""
        return int(Path(f"/proc/{self.gateway.pid}/statm").read_text().split()[1]) * _PAGE

    def descriptors(self) -> int:
        """Files and sockets it has open."""
        return _entries(f"/proc/{self.gateway.pid}/fd")

    def threads(self) -> int:
        """Threads it has."""
        return _entries(f"/proc/{self.gateway.pid}/task")

    def ready(self) -> int:
        """The status of its readiness; 0 when it takes no connection."""
        return _get(f"{self.url}/health/readiness")[0]

    def post(self, path: str) -> int:
        """The status of a management request."""
        return _get(f"{self.url}{path}", b"{}")[0]


def _entries(folder: str) -> int:
    return sum(1 for _ in Path(folder).iterdir())


def _get(url: str, data: bytes | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, _json.loads(answer.read())
    except urllib.error.HTTPError as error:
        error.close()
        return error.code, None
    except OSError:
        return 0, None


def config(upstream: str, **more: Any) -> dict[str, Any]:
    """A gateway before one upstream, under three names: `openai`, `other` and `anthropic`; the model `fast` is the first's."""
    provider = {"base_url": f"{upstream}/v1", "api_key": "key", "free": True}
    return {
        "providers": {
            "openai": {"kind": "openai", **provider, "concurrency": 4000},
            "other": {"kind": "openai", **provider, "models": ["gpt-4o"]},
            "anthropic": {"kind": "anthropic", **provider, "base_url": upstream, "concurrency": 4000},
        },
        "models": {
            "fast": {"targets": [{"model": "openai/gpt-4o"}]},
            "translated": {"targets": [{"model": "anthropic/claude-sonnet-4-5"}]},
        },
        **more,
    }


@contextlib.contextmanager
def upstream_process() -> Iterator[str]:
    """An upstream of its own; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (_HERE.parents[1] / "src", _HERE.parent)))}
    process = subprocess.Popen(
        [sys.executable, "-m", "capacity.upstream", str(port)], env=environ, stdin=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 10
        while _get(f"{url}/stats")[0] != 200:
            if time.monotonic() > until or process.poll() is not None:
                raise RuntimeError("the upstream does not answer")
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def scene(scale: Scale, **more: Any) -> Iterator[Scene]:
    """A gateway with this configuration, and its upstream."""
    with upstream_process() as upstream, ChildGateway(config(upstream, **more)) as gateway:
        yield Scene(gateway, upstream, scale)
