"""Starting the gateway: the refusal of unsafe addresses, then one process or several."""

import sys
from pathlib import Path

from execution_platform.config.settings import Settings
from execution_platform.exceptions import ConfigError
from execution_platform.gateway.app import build, steady
from execution_platform.gateway.auth import is_loopback
from execution_platform.gateway.process import harden
from execution_platform.gateway.screen import show_start
from execution_platform.gateway.server import EdgeServer
from execution_platform.gateway.workers import run_workers


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
    harden()
    if workers > 1:
        sys.exit(run_workers(settings, workers))
    EdgeServer(gateway, announce=show_start).run()
