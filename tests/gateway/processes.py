"""Gateways in processes of their own, and the proxies in front of them."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

SOURCE = Path(__file__).parents[2] / "src"
MAIN = "from execution_platform.cli.main import main; main()"
START_SECONDS = 60.0


def free_port() -> int:
    """A port nobody listens on just now, below those that the system gives to outgoing connections."""
    while True:
        port = random.randrange(15_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Process:
    """`ep serve` on a port of its own, which stays the same when it is started again."""

    def __init__(self, folder: Path, config: Mapping[str, Any], *options: str, **environ: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        path = folder / f"platform-{self.port}.yaml"
        path.write_text(yaml.safe_dump({"version": 1, **config}, sort_keys=False))
        self.options = ("--config", str(path), *options)
        self.environ = environ
        self.log = folder / f"gateway-{self.port}.log"
        self.errors = folder / f"errors-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self, prepare: Callable[[], None] | None = None) -> None:
        """Start it and wait until it is ready."""
        self.process = started = self._run(prepare)
        async with asyncio.timeout(START_SECONDS):
            while await self.readiness() != 200:
                assert started.poll() is None, self.errors.read_text()
                await asyncio.sleep(0.05)

    def _run(self, prepare: Callable[[], None] | None) -> subprocess.Popen[bytes]:
        plain = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        environ = {**plain, "PYTHONPATH": str(SOURCE), "EP_WORKSPACE_ROOT": str(self.folder), **self.environ}
        arguments = [sys.executable, "-c", MAIN, "serve", "--port", str(self.port), *self.options]
        with self.log.open("ab") as log, self.errors.open("ab") as errors:
            return subprocess.Popen(
                arguments,
                env=environ,
                cwd=self.folder,
                stdout=log,
                stderr=errors,
                preexec_fn=prepare,  # noqa: PLW1509 - it only sets a limit
            )

    async def readiness(self) -> int:
        """The status of the readiness check; 0 when nobody listens."""
        async with aiohttp.ClientSession() as http:
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(f"{self.url}/health/readiness") as response:
                    return response.status
        return 0

    def send(self, sig: signal.Signals) -> None:
        """Send a signal to the process that was started."""
        assert self.process is not None
        self.process.send_signal(sig)

    async def ended(self, seconds: float = 30) -> int:
        """Wait for the end; the exit status."""
        assert self.process is not None
        async with asyncio.timeout(seconds):
            while self.process.poll() is None:
                await asyncio.sleep(0.02)
        return self.process.returncode

    def kill(self) -> None:
        """End it whatever it does."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@asynccontextmanager
async def process(
    folder: Path,
    config: Mapping[str, Any],
    *options: str,
    prepare: Callable[[], None] | None = None,
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[Process]:
    """A started gateway process, killed at the end if it still runs; `prepare` runs in the child before it."""
    made = Process(folder, config, *options, **(environ or {}))
    await made.start(prepare)
    try:
        yield made
    finally:
        made.kill()


HAPROXY = """
global
    maxconn 2000
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    option redispatch
    retries 3
    retry-on conn-failure
frontend edge
    bind 127.0.0.1:{port}
    default_backend replicas
backend replicas
    balance roundrobin
    option httpchk GET /health/readiness
    default-server check inter 200ms fall 1 rise 1
{servers}
"""
NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream replicas {{
{servers}
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://replicas;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_buffering off;
            proxy_read_timeout 60s;
            proxy_next_upstream error timeout http_503 non_idempotent;
        }}
    }}
}}
"""


def command(name: str) -> str:
    """The path of a server's program. A machine without it skips the test, unless it is the one that must have it."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed: make servers")
    return found


def run_balancer(kind: str, folder: Path, port: int, replicas: list[Process]) -> subprocess.Popen[bytes]:
    """Start a proxy in front of `replicas`."""
    path = folder / f"{kind}.conf"
    if kind == "haproxy":
        servers = "\n".join(f"    server r{n} 127.0.0.1:{replica.port}" for n, replica in enumerate(replicas))
        path.write_text(HAPROXY.format(port=port, servers=servers))
        arguments = [command("haproxy"), "-db", "-f", str(path)]
    else:
        servers = "\n".join(
            f"        server 127.0.0.1:{replica.port} max_fails=1 fail_timeout=1s;" for replica in replicas
        )
        path.write_text(NGINX.format(port=port, servers=servers, folder=folder))
        arguments = [command("nginx"), "-c", str(path), "-p", str(folder), "-e", str(folder / "nginx-error.log")]
    with (folder / f"{kind}.log").open("wb") as log:
        return subprocess.Popen(arguments, stdout=log, stderr=log)


@asynccontextmanager
async def balancer(kind: str, folder: Path, replicas: list[Process]) -> AsyncIterator[str]:
    """HAProxy or nginx in front of `replicas`; its address."""
    port = free_port()
    started = run_balancer(kind, folder, port, replicas)
    try:
        async with aiohttp.ClientSession() as http, asyncio.timeout(20):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"http://127.0.0.1:{port}/health/readiness") as response:
                        if response.status == 200:
                            break
                assert started.poll() is None, f"{kind} has ended"
                await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        started.terminate()
        started.wait(20)
