"""The failpoints of the source: found in its text, so that a test can prove that each of them was passed."""

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "execution_platform"


def declared(*rooms: str) -> dict[str, list[str]]:
    """Every name given to `hit` or `reach` below these rooms (all of them if none is named), and where."""
    found: dict[str, list[str]] = {}
    for room in rooms or ("",):
        for module in sorted((SOURCE / room).rglob("*.py")):
            for name, line in _names(ast.parse(module.read_text())):
                found.setdefault(name, []).append(f"{module.relative_to(SOURCE)}:{line}")
    return found


def passed(log: Path) -> set[str]:
    """The names a process started with `FAILPOINT_HITS=log` has passed."""
    return set(log.read_text().split()) if log.exists() else set()


def _names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in {"hit", "reach"} and isinstance(node.args[0].value, str):
            yield node.args[0].value, node.lineno
