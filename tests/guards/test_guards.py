"""The table of guards fits the code: every guard is there once, and its test exists. `make guards` sees the tests fail."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from guards.table import ROOT, Guard, guards

ALL = list(guards())
TRUST = ROOT / "docs" / "reference" / "_trust.toml"
ASKED = re.compile(r"[KBFHDXAM][0-9]+|R(1|9|1[0-3]|2[1-3]|3[678])")
"""Rows whose guards are removed."""
NOTHING_TO_REMOVE = {
    "M12": "the protocol's client offers no sampling: there is no line to take away",
}


@pytest.mark.parametrize("guard", ALL, ids=lambda guard: guard.name)
def test_a_guard_is_there_once_and_can_be_taken_away(guard: Guard) -> None:
    source = (ROOT / guard.file).read_text(encoding="utf-8")
    without = guard.removed_from(source)
    assert without != source
    if guard.file.suffix == ".py":
        ast.parse(without)


@pytest.mark.parametrize("guard", ALL, ids=lambda guard: guard.name)
def test_its_test_exists(guard: Guard) -> None:
    path, _, name = guard.test.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert not name or name in names


def test_every_row_that_is_asked_for_has_a_guard_or_says_why_not() -> None:
    rows = {row for section in tomllib.loads(TRUST.read_text(encoding="utf-8")).values() for row in section}
    guarded = {row for guard in ALL for row in guard.rows}
    assert guarded <= rows
    assert {row for row in rows if ASKED.fullmatch(row)} - guarded == NOTHING_TO_REMOVE.keys()


def test_a_text_that_is_there_twice_is_no_guard(tmp_path: Path) -> None:
    guard = Guard(rows=("K1",), what="x", file=Path("x.py"), edits=(("a", "b"),), test="tests/x.py")
    assert guard.removed_from("a") == "b"
    for source in ("", "aa"):
        with pytest.raises(ValueError, match="times, not once"):
            guard.removed_from(source)
