"""The start-up screen."""

import sys

from rich.console import Console
from rich.table import Table

from execution_platform.gateway.state import State


def show_start(state: State) -> None:
    """Which providers are live, and a line to paste. Goes to standard error: standard output is the log."""
    host, port = state.settings.host, state.settings.port
    console = Console(file=sys.stderr)
    table = Table("provider", "kind", "state", box=None, header_style="bold")
    for name, row in state.provider_views().items():
        table.add_row(name, str(row["kind"]), "[green]live[/]" if row["configured"] else f"[dim]{row['reason']}[/]")
    console.print(table)
    for problem in state.snapshot.problems:
        console.print(f"[yellow]{problem}[/]")
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    body = f'{{"model": "{state.default_model()}", "stream": true, "messages": [{{"role": "user", "content": "What is the capital of France? Answer in one sentence."}}]}}'
    key = "" if state.is_open else ' -H "Authorization: Bearer $EP_MASTER_KEY"'
    sys.stderr.write(
        f"\nListening on {address} (documentation: {address}/docs). Try:\n\n"
        f"curl -N {address}/v1/chat/completions{key} -H 'content-type: application/json' -d '{body}'\n\n"
    )
    sys.stderr.flush()
