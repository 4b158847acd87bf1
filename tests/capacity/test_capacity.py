"""A little of each measurement whose verdict is no matter of speed: what is to be 0 is 0 on a slow machine, too."""

from collections.abc import Callable, Iterator

import pytest

from capacity.rates import leavers, reloads
from capacity.scene import Row, Scale
from capacity.streams import crowd, drain
from capacity.tools import tools
from sandboxes import needs_bubblewrap


@pytest.mark.parametrize(
    ("measure", "share", "rows"),
    [(drain, 0.05, [0, 2]), (crowd, 0.02, [0]), (leavers, 0.1, []), (reloads, 0.05, [0, 1])],
)
def test_nothing_fails_is_dropped_or_stays_behind(
    measure: Callable[[Scale], Iterator[Row]], share: float, rows: list[int]
) -> None:
    """R2, R16, R17, R20: at a small scale; `make load` does it in full."""
    found = list(measure(Scale(share)))
    assert found
    assert [found[number] for number in rows if not found[number].is_kept] == []


@needs_bubblewrap
def test_fifty_calls_and_many_runs_at_once_all_come_to_their_end() -> None:
    """A call that fails raises; whether they were quick is for `make load` to say."""
    *_, runs = tools(Scale(0.05))
    assert runs.is_kept, runs
