"""`ep config`: check the file, print its schema, show what it becomes, compare it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from execution_platform.cli import config_diff
from execution_platform.cli.outcome import Exit, told
from execution_platform.cli.output import ConfigFile, Json, console, print_json
from execution_platform.cli.snapshot import open_snapshot, read_settings

if TYPE_CHECKING:
    from execution_platform.config.problems import Problem

app = typer.Typer(help="Check, describe, show and compare configurations.", no_args_is_help=True)
app.command("diff")(config_diff.diff)


@app.command()
def check(
    path: Annotated[str | None, typer.Argument(help="File to check.", show_default="as the gateway finds it")] = None,
    config: ConfigFile = None,
    *,
    as_json: Json = False,
) -> None:
    """Check the configuration: every finding with its path, line and remedy. Ends with 2 when it cannot be used."""
    from execution_platform.config.files import problems_of
    from execution_platform.exceptions import ConfigError

    version: str | None = None
    try:
        with open_snapshot(read_settings(path or config)) as snapshot:
            found, version = snapshot.problems, snapshot.version
    except ConfigError as error:
        found = problems_of(error)
    failed = version is None
    if as_json:
        print_json({"ok": not failed, "version": version, "problems": [_problem(problem) for problem in found]})
    else:
        _tell(found, version)
    if failed:
        raise typer.Exit(Exit.USAGE)


def _problem(problem: "Problem") -> dict[str, object]:
    return {
        "path": problem.path,
        "message": problem.message,
        "remedy": problem.remedy,
        "gravity": problem.gravity,
        "file": problem.file,
        "line": problem.line,
    }


def _tell(found: "Sequence[Problem]", version: str | None) -> None:
    from rich.text import Text

    out = console()
    for problem in found:
        out.print(Text(f"{problem.gravity}: {problem}", style="red" if problem.gravity == "error" else "yellow"))
    if version is not None:
        warnings = f" with {len(found)} warnings" if found else ""
        out.print(f"The configuration can be used{warnings} (version {version}).")


@app.command()
def schema() -> None:
    """Print the JSON Schema of platform.yaml, for editors."""
    from execution_platform.config.schema import config_schema

    print_json(config_schema())


@app.command()
def show(config: ConfigFile = None, *, as_json: Json = False) -> None:
    """Show the configuration in force: everything inherited and looked up, no secrets."""
    from execution_platform.config.display import displayed

    with told(), open_snapshot(read_settings(config)) as snapshot:
        value = displayed(snapshot.config)
    if as_json:
        print_json(value)
        return
    import yaml

    typer.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), nl=False)
