"""Starting the gateway: the refusal of unsafe addresses, then one process or several."""

import sys
from pathlib import Path

from execution_platform.config.settings import Settings
from execution_platform.exceptions import ConfigError
from execution_platform.gateway.app import build, steady
from execution_platform.gateway.auth import Authenticator, is_loopback
from execution_platform.gateway.listening import obstacle, refusal
from execution_platform.gateway.process import harden
from execution_platform.gateway.screen import show_start
from execution_platform.gateway.server import STARTUP_FAILED, EdgeServer
from execution_platform.gateway.workers import run_workers

_SHORTEST = 16
"""Characters of a master key that strangers may try."""
_EXAMPLES = (
    "admin", "change-me", "changeme", "change_me", "default", "dev", "example", "key", "master", "master-key", "password",
    "secret", "sk-1234", "sk-12345", "sk-123456", "sk-ep-change-me", "sk-test", "test", "token", "your-key", "your-master-key",
    "replace-with-a-long-random-value", "sk-ep-replace-me", "0123456789abcdef",
)  # fmt: skip
_MAKE = "make one with `openssl rand -hex 32`"


def check_address(host: str, *, has_key: bool) -> None:
    """Refuse to listen beyond this machine without a gateway key. Raises `ConfigError`."""
    if not has_key and not is_loopback(host):
        raise ConfigError(
            f"host {host} is reachable from other machines and no gateway key is configured: "
            "set EP_MASTER_KEY, or listen on 127.0.0.1"
        )


def check_secrets(host: str, settings: Settings, authenticator: Authenticator) -> None:
    """Refuse to listen beyond this machine with a key that others guess. Raises `ConfigError`."""
    if is_loopback(host):
        return
    if any(authenticator.takes(key) for key in _EXAMPLES):
        raise ConfigError(
            f"a gateway key is one that examples use, and {host} is reachable from other machines: {_MAKE}"
        )
    master = settings.master_key
    if master is not None and len(master.reveal()) < _SHORTEST:
        raise ConfigError(
            f"EP_MASTER_KEY has fewer than {_SHORTEST} characters, and {host} is reachable from other machines: {_MAKE}"
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
    check_secrets(settings.host, settings, gateway.state.authenticator)
    harden()
    if workers > 1:
        sys.exit(run_workers(settings, workers))
    taken = obstacle(settings.host, settings.port)
    if taken is not None:
        sys.stderr.write(refusal(settings.host, settings.port, taken))
        sys.exit(STARTUP_FAILED)
    EdgeServer(gateway, announce=show_start).run()
