"""`ep workflow`: several phases, each by the persona and the model a configuration names, and what they took.

Phases are agent runs like those of `ep run`: by a gateway if one is named (`--url` or EP_GATEWAY_URL), else by the gateway's own parts in
this process. The gateway's configuration file is named by EP_CONFIG; `--config` names configurations of the workflow.
"""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from execution_platform.cli.asking import Running
from execution_platform.cli.outcome import Exit, told
from execution_platform.cli.output import Json, plain, print_json, print_table
from execution_platform.cli.snapshot import read_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execution_platform.workflow.report import Report

app = typer.Typer(help="Workflows of several phases and personas.", no_args_is_help=True)
File = Annotated[Path, typer.Argument(help="The workflow's file.", show_default=False)]
Id = Annotated[str, typer.Argument(help="The workflow, as `ep workflow list` names it.", show_default=False)]
ReportFile = Annotated[Path | None, typer.Option("--report", help="File for the report in Markdown.")]


@app.command("run")
def run_workflow(
    file: File,
    configurations: Annotated[
        list[str] | None,
        typer.Option(
            "--config", help="Configuration of the workflow; may be repeated.", show_default="the phases as written"
        ),
    ] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", "-i", help="NAME=VALUE, or NAME=@FILE; may be repeated.")
    ] = None,
    cwd: Annotated[
        Path,
        typer.Option("--cwd", "-C", help="Directory to work in; with several configurations one below it for each."),
    ] = Path(),
    report: ReportFile = None,
    url: Running = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every configuration of the workflow.")] = False,
    as_json: Json = False,
) -> None:
    """Carry out a workflow in each of the configurations, one after the other, and compare what they took.

    Exit codes: 0 every phase has succeeded, 1 one has not, 2 the file or an input is wrong, 130 interrupted.
    """
    from execution_platform.cli.workflows import Wanted, begin

    with told():
        wanted = Wanted(
            file=file,
            configurations=tuple(configurations or ()),
            every=every,
            inputs=tuple(inputs or ()),
            cwd=cwd.absolute(),
            url=url,
        )
        _tell(asyncio.run(begin(read_settings(None), wanted, quiet=as_json)), report, as_json=as_json)


@app.command("resume")
def resume_workflow(workflow_id: Id, report: ReportFile = None, *, as_json: Json = False) -> None:
    """Go on with a workflow that was interrupted or failed. What has succeeded is not done again.

    Exit codes: as of `ep workflow run`.
    """
    from execution_platform.cli.workflows import go_on

    with told():
        _tell(asyncio.run(go_on(read_settings(None), workflow_id, quiet=as_json)), report, as_json=as_json)


@app.command("list")
def list_workflows(*, as_json: Json = False) -> None:
    """Workflows that were begun on this machine, the newest first."""
    from execution_platform.cli.workflows import listed

    with told():
        rows = listed(read_settings(None))
        if as_json:
            print_json(rows)
            return
        columns = ("id", "workflow", "status", "configurations", "begun")
        print_table("Workflows", columns, ([str(row[name]) for name in columns] for row in rows))


@app.command("show")
def show_workflow(
    workflow_id: Id,
    report: ReportFile = None,
    phase: Annotated[str | None, typer.Option(help="Print what this phase answered, and nothing else.")] = None,
    configuration: Annotated[
        str | None, typer.Option("--config", help="Configuration whose answer is printed.", show_default="the first")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """How a workflow stands, and what it took."""
    from execution_platform.cli.workflows import answer, shown

    with told():
        found = shown(read_settings(None), workflow_id)
        if phase is not None:
            typer.echo(plain(answer(found, phase, configuration)))
        else:
            _show(found, report, as_json=as_json)


@app.command("check")
def check_workflow(file: File, *, as_json: Json = False) -> None:
    """Check a workflow's file: every finding with its path, line and remedy. Ends with 2 when it cannot be used."""
    from execution_platform.cli.workflows import checked

    with told():
        found = checked(read_settings(None), file)
        if as_json:
            print_json(found)
            return
        columns = ("configuration", "phase", "needs", "persona", "model", "checks")
        rows = ([str(row[name]) for name in columns] for row in found["phases"])
        print_table(str(found["name"]), columns, rows)


@app.command("schema")
def show_schema() -> None:
    """Print the JSON Schema of a workflow's file, for editors."""
    from execution_platform.workflow.schema import workflow_schema

    print_json(workflow_schema())


def _tell(found: "Report", file: Path | None, *, as_json: bool) -> None:
    _show(found, file, as_json=as_json)
    if found.status != "done":
        if not as_json:
            sys.stderr.write(f"ep: not every phase has succeeded; go on with `ep workflow resume {found.id}`\n")
        raise typer.Exit(Exit.FAILED)


def _show(found: "Report", file: Path | None, *, as_json: bool) -> None:
    from execution_platform.cli.workflows import write_report

    if file is not None:
        write_report(file, found)
    if as_json:
        print_json(found)
        return
    columns = ("configuration", "status", "phases", "seconds", "input", "output", "USD")
    print_table(f"{found.workflow} {found.id}", columns, _rows(found))
    for each in found.configurations:
        for phase in each.phases:
            if phase.problem is not None:
                typer.echo(plain(f"{each.configuration}: {phase.phase}: {phase.status}: {phase.problem}"))


def _rows(found: "Report") -> "list[Sequence[str]]":
    rows: list[Sequence[str]] = []
    for each in found.configurations:
        done = sum(phase.status == "done" for phase in each.phases)
        rows.append(
            (
                each.configuration,
                each.status,
                f"{done}/{len(each.phases)}",
                f"{each.seconds:.1f}",
                str(each.input_tokens),
                str(each.output_tokens),
                f"{each.cost_usd:.6f}",
            )
        )
        rows += [
            (
                f"  {phase.phase}",
                phase.status,
                "",
                f"{phase.seconds:.1f}",
                str(phase.input_tokens),
                str(phase.output_tokens),
                f"{phase.cost_usd:.6f}",
            )
            for phase in each.phases
        ]
    return rows
