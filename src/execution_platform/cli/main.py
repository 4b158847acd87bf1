"""`ep`: the table of commands. Each command imports what it needs when it runs, so that help is quick."""

from typing import Annotated

import typer

from execution_platform import __version__
from execution_platform.cli import (
    budgets,
    chat,
    config,
    costs,
    db,
    doctor,
    explain,
    keys,
    mcp,
    notices,
    personas,
    prices,
    providers,
    run,
    serve,
    tools,
    workflow,
)
from execution_platform.cli.hive import env as hive_env

app = typer.Typer(
    name="ep",
    help="One gateway and one SDK in front of every LLM provider, chosen by persona.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 unreachable or not configured, 4 refused.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("chat")(chat.chat)
app.command("run")(run.run)
app.command("personas")(personas.personas)
app.command("explain")(explain.explain)
app.command("providers")(providers.providers)
app.command("doctor")(doctor.doctor)
app.add_typer(budgets.app, name="budgets")
app.add_typer(config.app, name="config")
app.add_typer(costs.app, name="costs")
app.add_typer(db.app, name="db")
app.add_typer(hive_env.app, name="hive")
app.add_typer(keys.app, name="keys")
app.add_typer(mcp.app, name="mcp")
app.add_typer(notices.app, name="notices")
app.add_typer(prices.app, name="prices")
app.add_typer(run.app, name="runs")
app.add_typer(tools.app, name="tools")
app.add_typer(workflow.app, name="workflow")


def _show_version(value: bool) -> None:  # noqa: FBT001 - the callback's signature is typer's
    if value:
        typer.echo(f"execution-platform {__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """One gateway and one SDK in front of every LLM provider, chosen by persona."""
    del version


def main() -> None:
    """Run the command line."""
    app()
