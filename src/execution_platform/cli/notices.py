"""`ep notices`: what became of the messages of alerts, and sending one again that was given up."""

from typing import Annotated, Any

import typer

from execution_platform.cli.asking import Url, ask
from execution_platform.cli.outcome import told
from execution_platform.cli.output import Json, print_json, print_table
from execution_platform.cli.snapshot import read_settings

app = typer.Typer(help="Messages of alerts: what became of them, and sending one again.", no_args_is_help=False)


@app.callback(invoke_without_command=True)
def notices(
    context: typer.Context,
    url: Url = None,
    *,
    fate: Annotated[str | None, typer.Option(help="Only those: waiting, delivered or dead.")] = None,
    as_json: Json = False,
) -> None:
    """List the messages of a running gateway, the newest first."""
    if context.invoked_subcommand is not None:
        return
    with told():
        found = ask(read_settings(None), url, "/v1/notices" + (f"?fate={fate}" if fate else ""))
    if as_json:
        print_json(found)
        return
    rows: list[dict[str, Any]] = found["notices"]
    columns = ("id", "to", "made", "tries", "", "last error")
    print_table("", columns, [(*_cells(row), row["last_error"] or "") for row in rows])


@app.command("redeliver")
def redeliver(notice: Annotated[str, typer.Argument(help="Id, as the list shows it.")], url: Url = None) -> None:
    """Send a message again that was given up."""
    with told():
        ask(read_settings(None), url, f"/v1/notices/{notice}/redeliver", method="POST")
        typer.echo("on its way")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return row["id"], row["endpoint"], row["created_at"], str(row["attempts"]), row["fate"]
