"""The page trust.md: every threat and promise of _trust.toml with the tests that name it.

A test names an id in a docstring or a comment, a scenario of tests/chaos in its `promises`. Names and values of the
code do not count, since `T1` and `L20` are ordinary words there.
"""

import ast
import io
import re
import tokenize
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

HERE = Path(__file__).parent
TESTS = HERE.parents[1] / "tests"
NOT_PROVEN = "not proven"

_ID = re.compile(r"\b[A-Z][0-9]{1,2}c?\b")


def sections() -> Mapping[str, Mapping[str, str]]:
    """Heading of a section → id → what it is."""
    return tomllib.loads((HERE / "_trust.toml").read_text(encoding="utf-8"))


def prose(source: str) -> Iterator[str]:
    """The docstrings, comments and `promises` of a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
        elif isinstance(node, ast.keyword) and node.arg == "promises" and isinstance(node.value, ast.Constant):
            yield str(node.value.value)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def proofs(tests: Path = TESTS) -> Mapping[str, list[str]]:
    """Id → the files below `tests` that name it, in order."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(tests.rglob("*.py")):
        named = {name for text in prose(path.read_text(encoding="utf-8")) for name in _ID.findall(text)}
        for name in named:
            found[name].append(path.relative_to(tests).as_posix())
    return found


def page() -> str:
    """One table for each section, and how many rows of each have a test."""
    found = proofs()
    parts: list[str] = []
    for heading, rows in sections().items():
        proven = sum(name in found for name in rows)
        parts += [f"## {heading[0].upper()}{heading[1:]}", "", f"{proven} of {len(rows)} have a test.", ""]
        parts += ["| id | | tests |", "|---|---|---|"]
        for name, text in rows.items():
            links = ", ".join(f"[{path}](../../tests/{path})" for path in found.get(name, ()))
            parts.append(f"| {name} | {text.replace('|', chr(92) + '|')} | {links or NOT_PROVEN} |")
        parts.append("")
    return "\n".join(parts).rstrip()
