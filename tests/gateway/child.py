"""A gateway as a process of its own, to be killed."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

SOURCE = Path(__file__).parents[2] / "src"
MAIN = "from execution_platform.cli.main import main; main()"


@dataclass
class Child:
    """A gateway process that listens."""

    process: subprocess.Popen[bytes]
    url: str
    http: aiohttp.ClientSession

    def kill(self) -> None:
        """`kill -9`."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


def _start(
    folder: Path, config: Mapping[str, Any], options: Sequence[str], environ: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], int]:
    path = folder / "platform.yaml"
    path.write_text(yaml.safe_dump({"version": 1, **config}, sort_keys=False))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    plain = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    given = {"PYTHONPATH": str(SOURCE), "EP_WORKSPACE_ROOT": str(folder), "EP_CONFIG": str(path), **environ}
    with (folder / "child.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, "serve", "--port", str(port), *options],
            env={**plain, **given},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    return process, port


@asynccontextmanager
async def child(folder: Path, config: Mapping[str, Any], *options: str, **environ: str) -> AsyncIterator[Child]:
    """`ep serve` for `config`, with its workspace in `folder`; killed at the end unless it was before."""
    process, port = _start(folder, config, options, environ)
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession(auto_decompress=False) as http:
            async with asyncio.timeout(30):
                while not await _answers(http, url):
                    assert process.poll() is None, (folder / "child.log").read_text()
                    await asyncio.sleep(0.05)
            yield Child(process, url, http)
    finally:
        process.kill()
        process.wait(10)


async def _answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(f"{url}/health/liveness") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False
