"""What commands print: tables for people, JSON for machines, text that cannot drive the terminal."""

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from decimal import Decimal

    from rich.console import Console

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
ConfigFile = Annotated[
    str | None, typer.Option("--config", "-c", help="Configuration file.", show_default="EP_CONFIG, else platform.yaml")
]
_WIDE = 180
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if code not in (9, 10)}


def console(*, stderr: bool = False) -> "Console":
    """Where tables go; wide where nobody watches, so that nothing is cut for a pipe."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _WIDE, highlight=False)


def print_json(value: object) -> None:
    """`value` as indented JSON on standard output."""
    from execution_platform import _json

    sys.stdout.write(_json.pretty(value) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Rows of plain text under their headings."""
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    console().print(table)


def plain(text: str) -> str:
    """`text` without control characters: what a model or a server wrote must not drive the terminal."""
    return text.translate(_CONTROLS)


def yes(value: object) -> str:
    """A flag as a word."""
    return "yes" if value else "no"


def dollars(amount: "Decimal | float") -> str:
    """Money for people: cents, and more places where cents would hide it."""
    return f"${amount:,.2f}" if amount >= 1 or amount == 0 else f"${amount:.6f}"
