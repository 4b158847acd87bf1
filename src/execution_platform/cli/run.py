"""`ep run`: an agent works on a task in a directory, and `ep runs`: what became of it.

Through a gateway if one is named (`--url` or EP_GATEWAY_URL); else the gateway's own parts work in this process, with the same
journal: a run that was interrupted goes on with `ep runs resume`.
"""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from execution_platform.cli.asking import Running, ask
from execution_platform.cli.outcome import Exit, told
from execution_platform.cli.output import ConfigFile, Json, print_json, print_table
from execution_platform.cli.snapshot import read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from execution_platform.client import RunResult
    from execution_platform.config.settings import Settings

app = typer.Typer(help="Agent runs: list, show, cancel, resume.", no_args_is_help=True)
Mode = Literal["default", "acceptEdits", "plan", "bypassPermissions"]
AllowExec = Annotated[bool, typer.Option("--allow-exec", help="Let commands run in the sandbox without asking.")]
_STOPPED = frozenset({"stopped", "cancelled"})


def run(  # noqa: PLR0913 - each is an option
    persona: Annotated[str, typer.Argument(help="Who works on it.")],
    task: Annotated[str, typer.Argument(help="What is to be done.")],
    cwd: Annotated[Path, typer.Option("--cwd", "-C", help="Directory to work in.")] = Path(),
    mode: Annotated[
        Mode | None, typer.Option(help="What may be done without asking.", show_default="the persona's")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model that works.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Most turns.")] = None,
    url: Running = None,
    config: ConfigFile = None,
    *,
    allow_exec: AllowExec = False,
    as_json: Json = False,
) -> None:
    """Let an agent work on a task, and watch it.

    Exit codes: 0 done, 1 failed, 4 stopped by a limit, 130 interrupted.
    """
    from execution_platform.cli.progress import Progress
    from execution_platform.cli.running import work
    from execution_platform.workflow.worker import Asked

    with told():
        asked = Asked(
            persona=persona,
            task=task,
            workspace=cwd.absolute(),
            mode=mode,
            model=model,
            limits={} if steps is None else {"steps": steps},
        )
        hear = Progress(quiet=as_json).show
        result = asyncio.run(work(read_settings(config), asked, url, hear, allow_exec=allow_exec))
        _tell(result, as_json=as_json)


def _tell(result: "RunResult", *, as_json: bool) -> None:
    usage = result.usage
    if as_json:
        print_json(
            {
                "id": result.id,
                "status": result.status,
                "reason": result.reason,
                "text": result.text,
                "steps": result.steps,
                "usage": {
                    "input_tokens": usage.input_tokens,
                    "output_tokens": usage.output_tokens,
                    "cost_usd": usage.cost_usd,
                },
            }
        )
    else:
        cost = "" if usage.cost_usd is None else f" · ${usage.cost_usd:.6f}"
        tokens = f"{usage.prompt_tokens} + {usage.completion_tokens} tokens"
        sys.stderr.write(f"{result.id} {result.status} ({result.reason}) · {result.steps} turns · {tokens}{cost}\n")
    if result.status in _STOPPED:
        raise typer.Exit(Exit.INTERRUPTED if result.reason == "cancelled" else Exit.REFUSED)
    if result.status != "done":
        raise typer.Exit(Exit.FAILED)


@app.command("list")
def list_runs(url: Running = None, config: ConfigFile = None, *, as_json: Json = False) -> None:
    """Runs, the newest first."""
    with told():
        rows = _rows(read_settings(config), url)
        if as_json:
            print_json(rows)
            return
        columns = ("run", "persona", "status", "reason", "turns", "begun")
        cells = ("id", "persona", "status", "reason", "steps", "created_at")
        print_table("Runs", columns, ([str(row.get(cell) or "") for cell in cells] for row in rows))


@app.command("show")
def show_run(
    run_id: Annotated[str, typer.Argument(help="The run.")],
    url: Running = None,
    config: ConfigFile = None,
    *,
    as_json: Json = False,
) -> None:
    """How a run stands, and its answer."""
    with told():
        row = _row(read_settings(config), url, run_id)
        if as_json:
            print_json(row)
            return
        print_table(run_id, ("", ""), ([name, str(value)] for name, value in row.items() if value is not None))


@app.command("cancel")
def cancel_run(
    run_id: Annotated[str, typer.Argument(help="The run.")], url: Running = None, config: ConfigFile = None
) -> None:
    """Stop a run."""
    from execution_platform.cli.running import cancel

    with told():
        settings = read_settings(config)
        if url is not None:
            ask(settings, url, f"/v1/runs/{run_id}/cancel", method="POST", body={})
        else:
            asyncio.run(cancel(settings, run_id))
        typer.echo(f"{run_id} is cancelled")


@app.command("resume")
def resume_run(
    run_id: Annotated[str, typer.Argument(help="The run.")],
    url: Running = None,
    config: ConfigFile = None,
    *,
    allow_exec: AllowExec = False,
    as_json: Json = False,
) -> None:
    """Go on with a run that was interrupted, failed or was stopped, from its last complete turn, and watch it."""
    from execution_platform.cli.running import resume

    with told():
        settings = read_settings(config)
        _tell(asyncio.run(resume(settings, run_id, url, quiet=as_json, allow_exec=allow_exec)), as_json=as_json)


def _rows(settings: "Settings", url: str | None) -> "list[Mapping[str, Any]]":
    from execution_platform.cli.running import stored

    if url is not None:
        return ask(settings, url, "/v1/runs")["runs"]
    return asyncio.run(stored(settings))


def _row(settings: "Settings", url: str | None, run_id: str) -> "Mapping[str, Any]":
    from execution_platform.cli.running import stored_run

    if url is not None:
        return ask(settings, url, f"/v1/runs/{run_id}")
    return asyncio.run(stored_run(settings, run_id))
