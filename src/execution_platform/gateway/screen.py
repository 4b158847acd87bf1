"""The start-up screen."""

import sys
from collections.abc import Iterable, Sequence

from execution_platform.gateway.state import State

_BOLD, _GREEN, _DIM, _YELLOW = "1", "32", "2", "33"
"""Of ANSI terminals. A library that lays tables out would stay in the memory of the serving process."""


def show_start(state: State) -> None:
    """Which providers are live, and a line to paste. Goes to standard error: standard output is the log."""
    host, port = state.settings.host, state.settings.port
    rows = [
        (name, str(row["kind"]), _painted("live", _GREEN) if row["configured"] else _painted(str(row["reason"]), _DIM))
        for name, row in state.provider_views().items()
    ]
    sys.stderr.writelines(_table(("provider", "kind", "state"), rows))
    sys.stderr.writelines(f"{_painted(str(problem), _YELLOW)}\n" for problem in state.snapshot.problems)
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    body = f'{{"model": "{state.default_model()}", "stream": true, "messages": [{{"role": "user", "content": "What is the capital of France? Answer in one sentence."}}]}}'
    key = "" if state.is_open else ' -H "Authorization: Bearer $EP_MASTER_KEY"'
    sys.stderr.write(
        f"\nListening on {address} (documentation: {address}/docs). Try:\n\n"
        f"curl -N {address}/v1/chat/completions{key} -H 'content-type: application/json' -d '{body}'\n\n"
    )
    sys.stderr.flush()


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Lines of columns, each as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    yield _painted("  ".join(map(str.ljust, head, widths)).rstrip(), _BOLD) + "\n"
    for row in rows:
        # The last column is not filled: its colours have no width.
        yield "  ".join((*map(str.ljust, row[:-1], widths), row[-1])) + "\n"


def _painted(text: str, colour: str) -> str:
    """`text` in a colour, where a terminal shows it."""
    return f"\x1b[{colour}m{text}\x1b[0m" if sys.stderr.isatty() else text
