"""`ep serve`: the gateway."""

from pathlib import Path
from typing import Annotated

import typer

from execution_platform.cli.outcome import told
from execution_platform.cli.output import ConfigFile
from execution_platform.cli.snapshot import read_settings


def serve(
    config: ConfigFile = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="EP_HOST or 127.0.0.1")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on.", show_default="EP_PORT or 8000")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the address.")] = 1,
) -> None:
    """Start the gateway."""
    with told():
        from execution_platform.gateway.command import run

        settings = read_settings(config)
        run(settings, config=None if config is None else Path(config), host=host, port=port, workers=workers)
