"""`python -m guards [ROW ...]`: take each guard away in a copy of the tree, and see its test fail.

A test that passes without the guard it is there for proves nothing, and neither does one that fails with it: so all tests are
run once with every guard in its place. The copies are the only thing that is changed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Literal

from guards.table import ROOT, Guard, guards

Verdict = Literal["noticed", "not noticed", "skipped", "broken"]
_COPIED = ("src", "tests", "docs", "examples", "bench", "changes", "pyproject.toml", "README.md", "Makefile")
_SECONDS = 240
_FAILED = re.compile(r"^FAILED ", re.MULTILINE)
_PASSED = re.compile(r"\b[0-9]+ passed\b")
_SECONDS_OF_ALL = 1800


def copied(folder: Path) -> Path:
    """A copy of the tree, without environments and caches."""
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy2(source, folder / name)
    return folder


def tried(tests: Sequence[str], tree: Path, *, seconds: float) -> tuple[int, str]:
    """The exit code of pytest and the end of its output. Every run has a folder of its own for what tests write."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    paths = os.pathsep.join((str(tree / "src"), str(tree / "tests")))
    with tempfile.TemporaryDirectory(prefix="guards-", ignore_cleanup_errors=True) as base:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--basetemp", f"{base}/t", *tests],
            cwd=tree,
            env={**environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "CI": "true"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
    return done.returncode, done.stdout.decode(errors="replace")


def without(guard: Guard, tree: Path) -> tuple[Verdict, str]:
    """What the guard's test says of a tree without it."""
    file = tree / guard.file
    source = file.read_text(encoding="utf-8")
    file.write_text(guard.removed_from(source), encoding="utf-8")
    try:
        code, output = tried([guard.test, "-x"], tree, seconds=_SECONDS)
    except subprocess.TimeoutExpired:
        return "noticed", f"no end within {_SECONDS} s"
    finally:
        file.write_text(source, encoding="utf-8")
    if code == 0:
        return "skipped" if _PASSED.search(output) is None else "not noticed", output
    return ("noticed", output) if code == 1 and _FAILED.search(output) else ("broken", output)


def judged(chosen: Sequence[Guard], workers: int) -> Iterator[tuple[Guard, Verdict, str]]:
    """Each guard with its verdict, several at a time, in their order."""
    with tempfile.TemporaryDirectory(prefix="guards-trees-") as folder:
        trees: SimpleQueue[Path] = SimpleQueue()
        for number in range(workers):
            trees.put(copied(Path(folder) / str(number)))

        def one(guard: Guard) -> tuple[Guard, Verdict, str]:
            tree = trees.get()
            try:
                return guard, *without(guard, tree)
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(one, chosen)


def sound(chosen: Sequence[Guard]) -> bool:
    """Whether the tests pass with every guard in its place."""
    with tempfile.TemporaryDirectory(prefix="guards-tree-") as folder:
        code, output = tried(sorted({guard.test for guard in chosen}), copied(Path(folder)), seconds=_SECONDS_OF_ALL)
    if code != 0:
        print(f"{output[-6000:]}\nThese tests fail with every guard in its place")
    return code == 0


def main() -> int:
    """0 when every guard is missed by its test."""
    parser = argparse.ArgumentParser(prog="python -m guards", description=__doc__)
    parser.add_argument("rows", nargs="*", help="ids of rows (K4), or how they begin (K); all unless given")
    parser.add_argument("-n", type=int, default=2, dest="workers", help="so many at a time")
    parser.add_argument("--show", action="store_true", help="print the output of what was not noticed")
    parser.add_argument(
        "--unproven", action="store_true", help="do not run the tests with every guard in its place first"
    )
    given = parser.parse_args()
    chosen = [
        guard
        for guard in guards()
        if not given.rows
        or any(row == each or row.rstrip("0123456789") == each for row in guard.rows for each in given.rows)
    ]
    if not given.unproven and not sound(chosen):
        return 1
    bad = 0
    for guard, verdict, output in judged(chosen, given.workers):
        print(f"{verdict:<12} {guard.name} [{guard.test.removeprefix('tests/')}]", flush=True)
        if verdict != "noticed":
            bad += 1
            if given.show or verdict == "broken":
                print(output[-3000:])
    print(f"{len(chosen) - bad} of {len(chosen)} guards are missed by their tests when they are gone")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
