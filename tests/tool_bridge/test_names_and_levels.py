"""Other names of tools, permission levels, patterns of paths and results."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform import _json
from execution_platform.config.values import PersonaConfig
from execution_platform.exceptions import InvalidToolArguments, ToolDenied
from execution_platform.tool_bridge import FunctionTool
from execution_platform.tool_bridge.aliases import aliases, canonical, from_platform, to_platform, tool_names
from execution_platform.tool_bridge.builtin import BuiltinTool, Nature
from execution_platform.tool_bridge.context import ToolContext
from execution_platform.tool_bridge.globs import Glob
from execution_platform.tool_bridge.permissions import LEVELS, check_level, level_of
from execution_platform.tool_bridge.protected import ProtectedPaths
from execution_platform.tool_bridge.protocol import SideEffect
from execution_platform.tool_bridge.results import normalised


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ("Read,Write Edit", ("fs_read", "fs_write", "fs_edit")),
        ("read, write,\tbash", ("fs_read", "fs_write", "exec_cmd")),
        (["Glob", "grep", "fs_read,Read"], ("dir_glob", "code_search", "fs_read")),
        (
            "mcp://files/read WebFetch websearch todowrite todoWrite",
            ("files.read", "http_fetch", "web_search", "todo_write"),
        ),
        ("", ()),
        ([], ()),
        (None, None),
    ],
)
def test_a_list_of_tools_is_read_in_every_spelling(given: object, ours: object) -> None:
    assert tool_names(given) == ours  # type: ignore[arg-type]


def test_a_call_by_another_name_gets_our_arguments_and_back() -> None:
    call = to_platform("Edit", {"file_path": "/w/a", "old_string": "x", "new_string": "y", "replace_all": True})
    assert call == ("fs_edit", {"path": "/w/a", "old": "x", "new": "y", "replace_all": True})
    assert from_platform("Edit", "fs_edit", call.args)["old_string"] == "x"
    assert to_platform("Write", {"path": "b", "content": ""}) == ("fs_write", {"path": "b", "content": ""})
    assert to_platform("mcp://a/b", {"file_path": "x"}) == ("a.b", {"file_path": "x"})
    assert from_platform("Read", "fs_write", {"path": "x"}) == {"path": "x"}


@pytest.mark.parametrize("name", list(aliases()))
def test_renaming_is_reversible(name: str) -> None:
    alias = aliases()[name]
    args = dict.fromkeys(alias.arguments, 1)
    tool, ours = to_platform(name, args)
    assert from_platform(name, tool, ours) == args
    assert canonical(name.lower()) == tool


async def nothing(context: ToolContext) -> None:
    """Does nothing."""


@pytest.mark.parametrize(
    ("effect", "allowed"),
    [
        ("read", ["read_only", "write", "full"]),
        ("write", ["write", "full"]),
        ("network", ["write", "full"]),
        ("exec", ["full"]),
    ],
)
def test_a_level_allows_what_its_side_effects_allow(effect: SideEffect, allowed: list[str]) -> None:
    tool = BuiltinTool(nothing, Nature(side_effect=effect, repeatable=True), name="t")
    found: list[str] = []
    for level in LEVELS:
        try:
            check_level(tool, level)
        except ToolDenied as error:
            assert f"it is {level} here" in error.message
        else:
            found.append(level)
    assert found == allowed


def test_a_tool_that_does_not_say_what_it_does_needs_everything() -> None:
    with pytest.raises(ToolDenied):
        check_level(FunctionTool(lambda: 1, name="t", description="d", parameters={"type": "object"}), "write")


def test_a_persona_limits_a_tool_in_either_spelling_and_the_strictest_counts() -> None:
    persona = PersonaConfig(name="p", permissions={"Bash": "read_only", "exec_cmd": "full", "Write": "none"})
    assert level_of(persona, "exec_cmd") == "read_only"
    assert level_of(persona, "fs_write") == "none"
    assert level_of(persona, "fs_read") == "full"
    assert level_of(None, "fs_read") == "full"


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("**/*.py", ["a.py", "a/b/c.py"], ["a.pyc", "py"]),
        ("src/*.{ts,tsx}", ["src/a.ts", "src/b.tsx"], ["src/x/a.ts", "a.ts"]),
        ("a/**/b", ["a/b", "a/x/y/b"], ["a/x", "b"]),
        ("[ab]?.txt", ["ax.txt"], ["cx.txt", "a.txt"]),
        ("**", ["a", "a/b"], []),
        ("a/**", ["a", "a/b/c"], ["b"]),
    ],
)
def test_patterns(pattern: str, yes: list[str], no: list[str]) -> None:
    glob = Glob(pattern)
    assert [path for path in (*yes, *no) if glob.matches(path)] == yes


def test_hostile_patterns_end() -> None:
    """L4: no pattern of paths takes more than linear time."""
    path = "/".join(["a" * 50] * 50)
    assert not Glob("/".join(["**", "*a*a*a*a*a*b"] * 25)).matches(path)
    for pattern in ("{a,b}" * 20, "x" * 2000, ""):
        with pytest.raises(InvalidToolArguments):
            Glob(pattern)


def test_protection_holds_in_every_directory() -> None:
    paths = ProtectedPaths(("policy/*.yaml",))
    for path in (
        ".env",
        "a/.env.x",
        ".git",
        ".git/HEAD",
        "x/.git/y",
        "a.pem",
        "secrets",
        "a/secrets/b",
        "policy/x.yaml",
    ):
        assert paths.protects(path), path
    for path in (
        "env",
        "a.env",
        "gitx",
        ".github/workflows/a.yml",
        ".gitignore",
        "pem",
        "keys/a",
        "secretsx/a",
        "policy.yaml",
    ):
        assert paths.protects(path) is None, path


@dataclass
class Point:
    x: int
    at: datetime


def test_any_result_becomes_json() -> None:
    found = normalised(
        {
            1: Point(1, datetime(2026, 1, 1, tzinfo=UTC)),
            "d": Decimal("1.10"),
            "s": {3},
            "b": b"text",
            "raw": b"\xff",
            "p": PurePosixPath("a/b"),
            "nan": float("nan"),
            "half": "\ud800",
            "self": object,
        }
    )
    assert _json.loads(_json.dumps(found)) == found
    assert isinstance(found, dict)
    assert found["1"] == {"x": 1, "at": "2026-01-01T00:00:00+00:00"}
    assert (found["d"], found["b"], found["raw"], found["nan"]) == ("1.10", "text", {"base64": "/w=="}, "nan")


def test_a_value_within_itself_ends() -> None:
    round_trip: list[object] = []
    round_trip.append(round_trip)
    assert "nested too deeply" in str(normalised(round_trip))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    ),
    st.integers(min_value=300, max_value=2000),
)
def test_no_result_is_longer_than_it_may_be(value: object, longest: int) -> None:
    found = normalised(value, longest=longest)
    # A cut text is encoded once more, which may write a quote in two bytes, or a control character in six.
    assert len(_json.dumps(found)) <= 6 * longest + 2


def test_a_long_text_says_how_to_get_the_rest() -> None:
    found = normalised({"stdout": "x" * 200_000, "status": 0})
    assert isinstance(found, dict)
    assert found["status"] == 0
    assert "[truncated: 200000 bytes in all" in found["stdout"]
    assert len(_json.dumps(found)) <= 64 * 1024
