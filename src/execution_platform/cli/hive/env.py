"""`ep hive env`: puts the doors in the way of the vendor's agent."""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from execution_platform.cli.outcome import told
from execution_platform.cli.output import Json, print_json

app = typer.Typer(help="Doors for programs that call the `claude` command or `claude_code_sdk`.", no_args_is_help=True)
DOORS = Path(__file__).parent / "doors"
_COMMAND = """#!/bin/sh
# Starts the Execution Platform in place of the vendor's agent, whatever Python the caller has.
exec {python} -m execution_platform.cli.hive "$@"
"""


@app.callback()
def doors() -> None:
    """The group; its commands do the work."""


@app.command("env")
def env(
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="Where the command is written.", show_default="below the state directory"),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Write the `claude` command, and print what to put into the environment: `eval "$(ep hive env)"`."""
    with told():
        place = _folder() if folder is None else folder.absolute()
        place.mkdir(parents=True, exist_ok=True)
        command = place / "claude"
        command.write_text(_COMMAND.format(python=shlex.quote(sys.executable)))
        command.chmod(0o755)
        values = {
            name: _before(value, os.environ.get(name)) for name, value in (("PATH", place), ("PYTHONPATH", DOORS))
        }
        if as_json:
            print_json(values)
            return
        for name, value in values.items():
            typer.echo(f"export {name}={shlex.quote(value)}")


def _folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local/state") / "execution-platform" / "hive"


def _before(place: Path, given: str | None) -> str:
    """A search path that finds `place` first."""
    rest = [each for each in (given or "").split(os.pathsep) if each and each != str(place)]
    return os.pathsep.join([str(place), *rest])
