"""The configuration as commands see it: built once, nothing sent, everything closed."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from execution_platform.config.resolve import Resolved
    from execution_platform.config.settings import Settings
    from execution_platform.runtime.snapshot import Snapshot


def read_settings(config: str | None) -> "Settings":
    """The environment with the command's file before EP_CONFIG. Raises `ConfigError`."""
    from execution_platform.config.settings import Settings

    settings = Settings()
    return settings if config is None else settings.model_copy(update={"config": Path(config)})


def open_config(settings: "Settings") -> "Resolved":
    """The checked configuration; no provider is built. Raises `ConfigError`."""
    from execution_platform.config.files import load_config
    from execution_platform.config.resolve import resolve
    from execution_platform.providers.registry import specs

    return resolve(load_config(settings), settings, specs())


@contextmanager
def open_snapshot(settings: "Settings", *, discover: bool = False) -> "Generator[Snapshot]":
    """The snapshot a gateway would serve, local servers included if `discover`. Raises `ConfigError`."""
    from execution_platform.gateway.snapshots import SnapshotBuilder

    builder = SnapshotBuilder(settings)
    with asyncio.Runner() as runner:
        try:
            snapshot = builder.build()
            if discover and runner.run(builder.discover()):
                snapshot = builder.build()
            yield snapshot
        finally:
            runner.run(builder.fleet.aclose())
