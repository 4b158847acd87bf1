"""What was approved, in its file."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evil_mcp import tool
from execution_platform.exceptions import ConfigError
from execution_platform.tool_bridge.mcp.names import skeleton
from execution_platform.tool_bridge.mcp.pins import FILE, Pins, digest

VALUES = st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4), st.lists, max_leaves=8)


@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=6), st.randoms(use_true_random=False))
def test_a_digest_depends_on_every_member_and_not_on_their_order(definition: dict[str, object], random: object) -> None:
    """M8."""
    turned = dict(reversed(definition.items()))
    assert digest(definition) == digest(turned)
    assert digest({**definition, "another member": 1}) != digest(definition)
    del random


def test_what_one_process_approves_another_sees(tmp_path: Path) -> None:
    one, other = Pins(tmp_path), Pins(tmp_path)
    assert other.of("a") is None
    one.judge("a", [tool("echo")])
    assert set(other.of("a") or {}) == {"echo"}
    one.approve("b", {"x": tool("x")})
    assert set(other.of("b") or {}) == {"x"}
    other.forget("a")
    assert one.of("a") is None
    assert set(one.of("b") or {}) == {"x"}


def test_a_server_without_tools_is_known_and_a_tool_that_comes_later_is_not_believed(tmp_path: Path) -> None:
    """M8: nothing is the first listing too."""
    pins = Pins(tmp_path)
    pins.judge("a", [])
    assert pins.judge("a", [tool("echo")]).changed.keys() == {"echo"}


def test_a_damaged_file_is_no_approval(tmp_path: Path) -> None:
    Pins(tmp_path).judge("a", [tool("echo")])
    (tmp_path / FILE).write_text('{"a": [1]}')
    with pytest.raises(ConfigError, match="ep mcp approve"):
        Pins(tmp_path).of("a")


def test_the_file_is_for_the_gateway_alone(tmp_path: Path) -> None:
    Pins(tmp_path).judge("a", [tool("echo")])
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("one", "other"), [("read_file", "read_fi1e"), ("get-sum", "get_sum"), ("modern", "modem"), ("a.Tool", "a.tool")]
)
def test_names_that_look_alike_are_folded_together(one: str, other: str) -> None:
    """M9."""
    assert skeleton(one) == skeleton(other)


def test_a_tool_that_looks_like_one_of_another_server_is_refused(tmp_path: Path) -> None:
    """M9: what was there first stays."""
    judged = Pins(tmp_path).judge("fi1es", [tool("read")], ["files.read"])
    assert judged.refused == {"read": "its name looks like files.read"}
