"""Rows on their way into SQLite, in the form in which they cost the least."""

from collections.abc import Sequence
from typing import Any, NamedTuple

Row = tuple[Any, ...]


class Given(NamedTuple):
    """Rows to be inserted, of anything JSON has. What many rows have in common is given once, in `groups`."""

    columns: tuple[str, ...]
    rows: Sequence[Row]
    """Values of `columns`; before them, where anything is `shared`, the place of the row's group."""
    shared: tuple[str, ...] = ()
    groups: Sequence[Row] = ()
    """Values of `shared`."""
