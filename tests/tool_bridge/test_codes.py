"""What a model is told of a failed call: one table, and nothing is raised that it does not name."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from execution_platform import exceptions
from execution_platform.exceptions import ExecutionPlatformError, PermissionDenied, RouterError, ToolDenied, ToolError
from execution_platform.tool_bridge.codes import CODES, code_of

SOURCE = Path(exceptions.__file__).parent
ROOMS = ("tool_bridge", "runtime/agent", "transport/egress.py")
"""Where tools live, and what they call that has codes of its own."""
ELSEWHERE = {
    "invalid_schema": "a registration fails, which no model sees",
    "mcp_pins_damaged": "the configuration of the operator is at fault, and nothing is called",
    "mcp_not_installed": "the same: a package is missing",
    "too_many_runs": "the run does not begin",
    "run_lost": "the worker has lost the run, so nobody is told",
    "key_revoked": "the run ends, since its owner may not call any more",
    "tool_results_not_kept": "the request is refused before the model is asked",
    "answer_refused": "said to the caller that answers for a tool of its own, not to a model",
    "approval_refused": "said to a person who approves, not to a model",
}
"""Codes of these rooms that are no result of a call."""


@cache
def raised() -> Mapping[str, set[str]]:
    """Every code that these rooms raise → where."""
    found: dict[str, set[str]] = defaultdict(set)
    for room in ROOMS:
        place = SOURCE / room
        for path in (place,) if place.suffix else sorted(place.rglob("*.py")):
            for code in codes(ast.parse(path.read_text(encoding="utf-8"))):
                found[code].add(path.relative_to(SOURCE).as_posix())
    for kind in vars(exceptions).values():
        if isinstance(kind, type) and issubclass(kind, ToolError):
            found[kind.code].add("exceptions.py")
    return found


def codes(tree: ast.Module) -> Iterator[str]:
    """The literal codes of a module: given to an exception, or of a class of exceptions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
            yield str(node.value.value)
        elif isinstance(node, ast.ClassDef):
            for each in node.body:
                target = each.targets[0] if isinstance(each, ast.Assign) else getattr(each, "target", None)
                value = getattr(each, "value", None)
                text = value.value if isinstance(value, ast.Constant) else None
                if isinstance(target, ast.Name) and target.id == "code" and isinstance(text, str):
                    yield text


def test_every_code_that_tools_raise_is_told_to_the_model() -> None:
    unknown = {code: where for code, where in raised().items() if code not in CODES and code not in ELSEWHERE}
    assert not unknown, "add them to tool_bridge/codes.py"


def test_the_table_has_no_code_that_nothing_raises() -> None:
    assert CODES.keys() <= raised().keys()
    assert raised().keys() >= ELSEWHERE.keys()
    assert not CODES.keys() & ELSEWHERE.keys()


def test_no_code_reaches_an_exception_by_a_way_the_test_cannot_read() -> None:
    """Only the guarded way out hands a code on, and its codes are read where they are made."""
    found = {
        path.relative_to(SOURCE).as_posix()
        for path in sorted((SOURCE / "tool_bridge").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.startswith("Tool")
        for keyword in node.keywords
        if keyword.arg == "code" and not isinstance(keyword.value, ast.Constant)
    }
    assert found == {"tool_bridge/web.py"}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ToolDenied("no", code="exfil_blocked"), "exfil_blocked"),
        (ToolDenied("no", code="egress_blocked"), "egress_blocked"),
        (ToolDenied("no", code="path_protected"), "path_protected"),
        (ToolDenied("no", code="of_a_plugin"), "permission_denied"),
        (ToolError("no", code="of_a_plugin"), "tool_error"),
        (PermissionDenied("no"), "permission_denied"),
        (RouterError("no", code="persona_not_found"), "tool_error"),
    ],
)
def test_a_code_outside_the_table_is_told_as_the_nearest_inside(error: ExecutionPlatformError, code: str) -> None:
    assert code_of(error) == code
