"""`ep doctor`: what is configured, reachable and missing, with one line of remedy each."""

from typing import Annotated

import typer

from execution_platform.cli.outcome import Exit
from execution_platform.cli.output import ConfigFile, Json, console, print_json

_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(
    config: ConfigFile = None,
    *,
    ask: Annotated[bool, typer.Option(help="Ask live providers for their models, which tells a refused key.")] = True,
    as_json: Json = False,
) -> None:
    """Examine this installation. Ends with 2 for the configuration, 3 for unreachable providers, 1 for anything else."""
    from execution_platform.cli.examine import examine

    findings = examine(config, ask=ask)
    if as_json:
        print_json({"ok": all(each.state != "fail" for each in findings), "checks": [each.view() for each in findings]})
    else:
        from rich.text import Text

        out = console()
        for each in findings:
            out.print(Text.assemble((f"{each.state:<5}", _STYLES[each.state]), f"{each.area}: {each.message}"))
            if each.remedy:
                out.print(Text(f"       {each.remedy}", style="dim"))
    failed = {each.area for each in findings if each.state == "fail"}
    if failed:
        usage, unreachable = "configuration" in failed, "providers" in failed
        raise typer.Exit(Exit.USAGE if usage else Exit.UNREACHABLE if unreachable else Exit.FAILED)
