"""A workspace before a command gets it."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform.exceptions import ToolError
from execution_platform.tool_bridge.sandbox import workspace as module
from execution_platform.tool_bridge.sandbox.capture import Capture
from execution_platform.tool_bridge.sandbox.hidden import HiddenPaths
from execution_platform.tool_bridge.sandbox.workspace import survey, user_of, user_of_tenant

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def test_a_survey_adds_up_and_finds_what_is_hidden(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(8192))
    (tmp_path / "secrets" / "deep").mkdir(parents=True)
    (tmp_path / "secrets" / "deep" / "x.pem").write_text("x")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "server.key").write_text("x")
    found = survey(tmp_path, hides=HiddenPaths())
    assert found.size >= 8192
    assert (found.hidden_files, found.hidden_folders) == (("sub/server.key",), ("secrets",))


@root
def test_what_is_roots_is_handed_over_and_nothing_else(tmp_path: Path) -> None:
    """X9: links are not followed, and a file with a second name somewhere else stays root's."""
    workspace, outside = tmp_path / "workspace", tmp_path / "outside"
    (workspace / "sub").mkdir(parents=True)
    outside.mkdir()
    for path in (
        workspace / "own",
        workspace / "sub" / "own",
        outside / "target",
        outside / "twice",
        workspace / "others",
    ):
        path.write_text("x")
    (workspace / "link").symlink_to(outside / "target")
    (workspace / "folder").symlink_to(outside)
    (workspace / "twice").hardlink_to(outside / "twice")
    os.chown(workspace / "others", 1234, 1234)
    found = survey(workspace, owner=5678)
    given = {path.name: path.lstat().st_uid for path in workspace.iterdir()}
    assert given == {"sub": 5678, "own": 5678, "link": 5678, "folder": 5678, "twice": 0, "others": 1234}
    assert (workspace.stat().st_uid, (workspace / "sub" / "own").stat().st_uid) == (5678, 5678)
    assert {path.stat().st_uid for path in (outside, *outside.iterdir())} == {0}
    assert found.hidden_files == ()


@root
def test_a_workspace_of_a_person_is_used_as_that_person(tmp_path: Path) -> None:
    os.chown(tmp_path, 1234, 1234)
    assert user_of(tmp_path, "a") == 1234
    assert user_of(None, "a") == user_of_tenant("a")


@given(st.text(), st.text())
def test_users_of_tenants_are_out_of_the_way_of_all_others(a: str, b: str) -> None:
    assert user_of_tenant(a) == user_of_tenant(a)
    assert 1_900_000_000 <= user_of_tenant(a) < 1_900_000_000 + (1 << 24)
    if a == b:
        assert user_of_tenant(a) == user_of_tenant(b)


def test_a_container_with_few_users_gives_one_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_mapped", lambda user: user < 65536)
    assert 20_000 <= user_of_tenant("a") < 60_000


def test_too_many_entries_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ENTRIES", 3)
    for number in range(4):
        (tmp_path / str(number)).touch()
    with pytest.raises(ToolError, match="more than 3 entries"):
        survey(tmp_path)


def test_too_many_protected_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_HIDDEN", 1)
    for number in range(2):
        (tmp_path / f"{number}.pem").touch()
    with pytest.raises(ToolError, match="protected files"):
        survey(tmp_path, hides=HiddenPaths())


@pytest.mark.parametrize(
    ("path", "hidden"),
    [
        (".env", True),
        ("a/.ENV.local", True),
        ("a/b/c.pem", True),
        ("secrets", True),
        ("a/secrets", True),
        ("a/environment", False),
        (".git", False),
        (".git/config", False),
        ("a/keys/x", True),
        ("keys/x", False),
    ],
)
def test_protected_paths_are_hidden_but_gits(path: str, hidden: bool) -> None:
    assert HiddenPaths(["a/keys/*"])(path) is hidden


@given(st.lists(st.binary(max_size=40)), st.integers(1, 50))
def test_a_capture_keeps_both_ends(pieces: list[bytes], most: int) -> None:
    capture = Capture(most)
    for piece in pieces:
        capture.add(piece)
    whole, half = b"".join(pieces), max(most // 2, 1)
    assert capture.total == len(whole)
    assert capture.truncated == (len(whole) > 2 * half)
    assert capture.kept.startswith(whole[:half])
    if capture.truncated:
        assert capture.kept.endswith(whole[-half:])
        assert f"{len(whole) - 2 * half:,} bytes left out".encode() in capture.kept
    else:
        assert capture.kept == whole
