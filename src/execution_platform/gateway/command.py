"""Starting the gateway: the start-up screen, the refusal of unsafe addresses, the ASGI server."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from rich.console import Console
from rich.table import Table

from execution_platform.config.settings import Settings
from execution_platform.exceptions import ConfigError
from execution_platform.gateway.app import build, steady, with_cors
from execution_platform.gateway.auth import is_loopback
from execution_platform.gateway.state import State

_OPTIONS: dict[str, Any] = {
    "loop": "uvloop",
    "http": "httptools",
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "date_header": True,
    "proxy_headers": False,
    "timeout_keep_alive": 75,
    "lifespan": "on",
}


def check_address(host: str, *, has_key: bool) -> None:
    """Refuse to listen beyond this machine without a gateway key. Raises `ConfigError`."""
    if not has_key and not is_loopback(host):
        raise ConfigError(
            f"host {host} is reachable from other machines and no gateway key is configured: "
            "set EP_MASTER_KEY, or listen on 127.0.0.1"
        )


def run(
    settings: Settings,
    *,
    config: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    workers: int = 1,
) -> None:
    """Serve until a signal comes. Raises `ConfigError` before anything listens."""
    changed: dict[str, object] = {"host": host or settings.host, "port": settings.port if port is None else port}
    if config is not None:
        changed["config"] = config
    settings = settings.model_copy(update=changed)
    gateway = build(settings, steady)
    check_address(settings.host, has_key=not gateway.state.authenticator.is_open)
    if workers > 1:
        _run_workers(settings, workers)
        return
    server = _Server(
        uvicorn.Config(with_cors(gateway), host=settings.host, port=settings.port, **_OPTIONS), gateway.state
    )
    with suppress(KeyboardInterrupt):
        server.run()


class _Server(uvicorn.Server):
    """The server, which shows the start-up screen once it listens: the line to paste works from then on."""

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        super().__init__(config)
        self._state = state

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Listen. Ends the process when the address is taken."""
        await super().startup(sockets)
        if self.started:
            show_start(self._state)


def _run_workers(settings: Settings, workers: int) -> None:
    """Several processes share the address; each builds the gateway from the environment."""
    if settings.config is not None:
        os.environ["EP_CONFIG"] = str(settings.config)
    os.environ["EP_HOST"], os.environ["EP_PORT"] = settings.host, str(settings.port)
    target = "execution_platform.gateway.app:application"
    uvicorn.run(target, factory=True, host=settings.host, port=settings.port, workers=workers, **_OPTIONS)


def show_start(state: State) -> None:
    """Which providers are live, and a line to paste. Goes to standard error: standard output is the log."""
    host, port = state.settings.host, state.settings.port
    console = Console(file=sys.stderr)
    table = Table("provider", "kind", "state", box=None, header_style="bold")
    for name, row in state.provider_views().items():
        table.add_row(name, str(row["kind"]), "[green]live[/]" if row["configured"] else f"[dim]{row['reason']}[/]")
    console.print(table)
    for problem in state.snapshot.problems:
        console.print(f"[yellow]{problem}[/]")
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    body = f'{{"model": "{state.default_model()}", "stream": true, "messages": [{{"role": "user", "content": "What is the capital of France? Answer in one sentence."}}]}}'
    key = "" if state.authenticator.is_open else ' -H "Authorization: Bearer $EP_MASTER_KEY"'
    sys.stderr.write(
        f"\nListening on {address} (documentation: {address}/docs). Try:\n\n"
        f"curl -N {address}/v1/chat/completions{key} -H 'content-type: application/json' -d '{body}'\n\n"
    )
    sys.stderr.flush()
