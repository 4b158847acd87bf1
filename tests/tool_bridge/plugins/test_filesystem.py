"""The file tools, in a real directory."""

import ctypes
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from execution_platform.exceptions import InvalidToolArguments, TargetNotFound, ToolDenied, ToolError
from execution_platform.tool_bridge.files import LARGEST, FileRules, Files
from tooling import Bench, bench


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A secret beside the workspace."""
    secret = tmp_path / "outside" / "secret.txt"
    secret.parent.mkdir()
    secret.write_text("canary-of-the-outside")
    return secret


@pytest.fixture
def tools(tmp_path: Path) -> Bench:
    (tmp_path / "ws").mkdir()
    return bench(tmp_path / "ws")


@pytest.fixture
def ws(tools: Bench) -> Path:
    return tools.workspace


def test_what_is_written_can_be_read_listed_found_and_deleted(tools: Bench, ws: Path) -> None:
    assert tools.run("fs_write", path="src/app/main.py", content="a\nb\n") == {
        "path": "src/app/main.py",
        "bytes": 4,
        "created": True,
    }
    assert tools.run("fs_write", path="src/app/main.py", content="a\nb\nc\n")["created"] is False
    assert tools.run("fs_read", path="src/app/main.py") == {
        "path": "src/app/main.py",
        "content": "a\nb\nc\n",
        "lines": 3,
        "truncated": False,
    }
    assert [entry["path"] for entry in tools.run("fs_list")["entries"]] == ["src"]
    assert [entry["path"] for entry in tools.run("fs_list", depth=3)["entries"]] == [
        "src",
        "src/app",
        "src/app/main.py",
    ]
    assert tools.run("dir_glob", pattern="*.py")["matches"] == ["src/app/main.py"]
    assert tools.run("fs_stat", path="src/app/main.py")["size"] == 6
    with pytest.raises(InvalidToolArguments, match="recursive: true"):
        tools.run("fs_delete", path="src")
    assert tools.run("fs_delete", path="src", recursive=True)["removed"] == 3
    assert not any(ws.iterdir())


def test_an_absolute_path_inside_the_workspace_works(tools: Bench, ws: Path) -> None:
    tools.run("fs_write", path=str(ws / "a.txt"), content="x")
    assert (ws / "a.txt").read_text() == "x"
    assert tools.run("fs_read", path="/workspace/a.txt")["path"] == "a.txt"


def test_a_long_file_is_read_in_parts_that_join_to_the_whole(tools: Bench, ws: Path) -> None:
    whole = "".join(f"line {number} {'x' * 50}\n" for number in range(5000))
    (ws / "long.txt").write_text(whole)
    parts, offset = list[str](), 1
    while True:
        part = tools.run("fs_read", path="long.txt", offset=offset)
        parts.append(part["content"])
        assert len(part["content"]) <= 64 * 1024
        if not part["truncated"]:
            break
        assert f"go on with offset {part['next_offset']}" in part["note"]
        offset = part["next_offset"]
    assert "".join(parts) == whole
    assert tools.run("fs_read", path="long.txt", offset=2, limit=1)["content"] == f"line 1 {'x' * 50}\n"
    with pytest.raises(InvalidToolArguments, match="has 5000 lines"):
        tools.run("fs_read", path="long.txt", offset=9999)


def test_one_endless_line_is_cut_with_a_note(tools: Bench, ws: Path) -> None:
    (ws / "min.js").write_text("x" * 200_000)
    assert "too long and was cut" in tools.run("fs_read", path="min.js")["note"]


def test_an_edit_replaces_exactly_one_occurrence(tools: Bench, ws: Path) -> None:
    (ws / "a.py").write_bytes(b"one\r\ntwo\r\ntwo\r\n")
    assert tools.run("fs_edit", path="a.py", old="one\r\n", new="1\r\n") == {"path": "a.py", "replaced": 1, "line": 1}
    with pytest.raises(InvalidToolArguments, match=r"occurs 2 times in 'a\.py', first at line 2"):
        tools.run("fs_edit", path="a.py", old="two", new="2")
    assert tools.run("fs_edit", path="a.py", old="two", new="2", replace_all=True)["replaced"] == 2
    assert (ws / "a.py").read_bytes() == b"1\r\n2\r\n2\r\n"
    with pytest.raises(InvalidToolArguments, match=r"does not occur in 'a.py'\. Read the file again"):
        tools.run("fs_edit", path="a.py", old="three", new="3")
    with pytest.raises(InvalidToolArguments, match="with other blanks or line ends"):
        tools.run("fs_edit", path="a.py", old="2\n2", new="3")
    with pytest.raises(InvalidToolArguments, match="nothing would change"):
        tools.run("fs_edit", path="a.py", old="2", new="2")


def test_an_edit_keeps_the_mode_of_the_file(tools: Bench, ws: Path) -> None:
    (ws / "run.sh").write_text("echo a\n")
    (ws / "run.sh").chmod(0o755)
    tools.run("fs_edit", path="run.sh", old="a", new="b")
    assert (ws / "run.sh").stat().st_mode & 0o777 == 0o755


def test_edits_of_one_file_at_the_same_time_are_all_kept(tools: Bench, ws: Path) -> None:
    import asyncio

    (ws / "a").write_text("".join(f"<{number}>\n" for number in range(20)))

    async def all_at_once() -> None:
        await asyncio.gather(*(tools.call("fs_edit", path="a", old=f"<{n}>", new=f"[{n}]") for n in range(20)))

    asyncio.run(all_at_once())
    assert (ws / "a").read_text() == "".join(f"[{number}]\n" for number in range(20))


@pytest.mark.parametrize("path", ["gone.txt", "no/such/file"])
def test_what_is_missing_is_said_with_the_next_step(tools: Bench, path: str) -> None:
    with pytest.raises(TargetNotFound, match="dir_glob or fs_list show what there is"):
        tools.run("fs_read", path=path)


def test_a_binary_file_is_not_shown(tools: Bench, ws: Path) -> None:
    (ws / "a.bin").write_bytes(b"\x89PNG\x00\xff")
    with pytest.raises(InvalidToolArguments, match=r"is binary \(6 bytes\)"):
        tools.run("fs_read", path="a.bin")


def test_no_error_names_a_path_of_the_machine(tools: Bench, ws: Path, tmp_path: Path) -> None:
    (ws / "dir").mkdir()
    for tool, args in (
        ("fs_read", {"path": "dir"}),
        ("fs_read", {"path": "nothing"}),
        ("fs_read", {"path": str(tmp_path / "other")}),
        ("fs_write", {"path": "dir", "content": ""}),
        ("fs_delete", {"path": "."}),
    ):
        with pytest.raises(ToolError) as caught:
            tools.run(tool, **args)
        assert str(tmp_path) not in caught.value.message
        assert len(caught.value.message) > 20


# --- F1: links ---


def plant_file_link(ws: Path, outside: Path) -> str:
    (ws / "link").symlink_to(outside)
    return "link"


def plant_dangling(ws: Path, outside: Path) -> str:
    (ws / "new").symlink_to(outside.parent / "created.txt")
    return "new"


def plant_directory_link(ws: Path, outside: Path) -> str:
    (ws / "dir").symlink_to(outside.parent)
    return "dir/secret.txt"


def plant_link_and_dots(ws: Path, outside: Path) -> str:
    (ws / "sub").mkdir()
    (ws / "dir").symlink_to(ws / "sub")
    return "dir/../../outside/secret.txt"


def plant_chain(ws: Path, outside: Path) -> str:
    (ws / "l0").symlink_to(outside)
    for number in range(1, 41):
        (ws / f"l{number}").symlink_to(ws / f"l{number - 1}")
    return "l40"


def plant_proc(ws: Path, outside: Path) -> str:
    (ws / "root").symlink_to("/proc/self/root")
    return f"root{outside}"


def plant_descriptor(ws: Path, outside: Path) -> str:
    (ws / "fd").symlink_to("/dev/fd/3")
    return "fd"


def plain_dots(ws: Path, outside: Path) -> str:
    return "../outside/secret.txt"


PLANTS: list[Callable[[Path, Path], str]] = [
    plant_file_link,
    plant_dangling,
    plant_directory_link,
    plant_link_and_dots,
    plant_chain,
    plant_proc,
    plant_descriptor,
    plain_dots,
]


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize(
    ("tool", "more"),
    [
        ("fs_read", {}),
        ("fs_write", {"content": "overwritten"}),
        ("fs_edit", {"old": "canary", "new": "x"}),
        ("fs_stat", {}),
        ("fs_list", {}),
        ("dir_glob", {"pattern": "*"}),
    ],
)
def test_no_link_leads_out(
    tools: Bench, ws: Path, outside: Path, plant: Callable[[Path, Path], str], tool: str, more: dict[str, Any]
) -> None:
    """F1: `path_outside_root`, and what is outside stays as it was."""
    path = plant(ws, outside)
    named = {"path": path}
    with pytest.raises(ToolError) as caught:
        tools.run(tool, **named, **more)
    assert caught.value.code == "path_outside_root"
    assert "canary" not in caught.value.message
    assert outside.read_text() == "canary-of-the-outside"
    assert [path.name for path in outside.parent.iterdir()] == ["secret.txt"]


def test_deleting_removes_a_link_and_never_its_target(tools: Bench, ws: Path, outside: Path) -> None:
    """F1."""
    plant_file_link(ws, outside)
    (ws / "tree").mkdir()
    (ws / "tree" / "dir").symlink_to(outside.parent)
    tools.run("fs_delete", path="link")
    tools.run("fs_delete", path="tree", recursive=True)
    assert outside.read_text() == "canary-of-the-outside"
    assert not any(ws.iterdir())


def test_listings_show_links_and_do_not_follow_them(tools: Bench, ws: Path, outside: Path) -> None:
    """F1."""
    (ws / "dir").symlink_to(outside.parent)
    assert [(each["path"], each["type"]) for each in tools.run("fs_list", depth=5)["entries"]] == [("dir", "link")]
    assert tools.run("dir_glob", pattern="**/*")["matches"] == []


ROUNDS = int(os.environ.get("EP_FLIP_ROUNDS", "10000"))


def test_a_directory_that_becomes_a_link_in_between_is_never_followed(ws: Path, outside: Path) -> None:
    """F2: a thread flips a directory and a link to the outside during all reads and writes."""
    (ws / "real").mkdir()
    (ws / "real" / "secret.txt").write_text("inside")
    (ws / "evil").symlink_to(outside.parent)
    (ws / "d").mkdir()
    (ws / "d" / "secret.txt").write_text("inside")
    stop = threading.Event()
    flips = 0

    exchange = ctypes.CDLL(None, use_errno=True).renameat2

    def flip() -> None:
        nonlocal flips
        while not stop.is_set():
            exchange(-100, bytes(ws / "d"), -100, bytes(ws / "evil"), 2)
            flips += 1

    thread = threading.Thread(target=flip)
    thread.start()
    read = written = 0
    try:
        with Files(ws, FileRules()) as files:
            for number in range(ROUNDS):
                try:
                    if number % 10:
                        assert files.load("d/secret.txt").data == b"inside"
                        read += 1
                    else:
                        files.store("d/secret.txt", b"inside")
                        written += 1
                except ToolError as error:
                    assert error.code in {"path_outside_root", "not_found", "tool_error", "invalid_args"}, error
    finally:
        stop.set()
        thread.join()
    assert outside.read_text() == "canary-of-the-outside"
    assert [path.name for path in outside.parent.iterdir()] == ["secret.txt"]
    assert flips > 100
    assert read > 0
    assert written > 0


@pytest.mark.parametrize(
    "path",
    [
        "{ws}-evil/secret.txt",
        "../ws-evil/secret.txt",
        "a/../../ws-evil/secret.txt",
        "a\0b",
        "%2e%2e/ws-evil/secret.txt",
        "..%2fws-evil/secret.txt",
        "..\\ws-evil\\secret.txt",
        "a\nb",
        "cafe\u0301.txt",
        "a\u202eb",
        "/etc/passwd",
        "//etc/passwd",
        "~/../etc/passwd/..",
        "file:///../etc/passwd",
        "\ud800",
        "x" * 5000,
    ],
)
def test_no_spelling_leads_out(tools: Bench, ws: Path, path: str) -> None:
    """F3."""
    evil = ws.parent / "ws-evil"
    evil.mkdir()
    (evil / "secret.txt").write_text("canary")
    for tool, more in (("fs_read", {}), ("fs_write", {"content": "x"})):
        named = {"path": path.format(ws=ws)}
        with pytest.raises(ToolDenied) as caught:
            tools.run(tool, **named, **more)
        assert caught.value.code == "path_outside_root"
    assert (evil / "secret.txt").read_text() == "canary"
    assert not any(ws.iterdir())


def test_names_that_callers_choose_are_no_paths_on_disk(tmp_path: Path) -> None:
    """F4: a tenant or a run called `../../app.db` has a directory of its own, and the file is intact."""
    from execution_platform.tool_bridge.workspaces import workspace

    (tmp_path / "app.db").write_text("intact")
    odd = ["../../app.db", "..", ".", "", "a/b", "a\0b", "ä", "~x", "A" * 100]
    places = {workspace(tmp_path, tenant, name) for tenant in odd for name in odd}
    assert len(places) == len(odd) ** 2
    assert all(place.parent.parent == tmp_path / "tenants" for place in places)
    assert (tmp_path / "app.db").read_text() == "intact"


def test_archives_are_not_unpacked_by_any_tool() -> None:
    """F5: no built-in tool extracts; unpacking is a command in the sandbox, with its limits."""
    source = Path(__file__).parents[3] / "src/execution_platform"
    found = [
        path
        for path in source.rglob("*.py")
        if any(word in path.read_text() for word in ("zipfile", "tarfile", "unpack_archive", "py7zr"))
    ]
    assert found == []


def test_pipes_devices_and_huge_files_are_refused_at_once(tools: Bench, ws: Path) -> None:
    """F6."""
    os.mkfifo(ws / "fifo")
    with (ws / "sparse").open("wb") as sparse:
        sparse.truncate(5 * 1024**3)
    started = time.monotonic()
    with pytest.raises(InvalidToolArguments, match="no regular file"):
        tools.run("fs_read", path="fifo")
    with pytest.raises(InvalidToolArguments, match="no regular file"):
        tools.run("fs_write", path="fifo", content="x")
    with pytest.raises(InvalidToolArguments, match=str(LARGEST)):
        tools.run("fs_read", path="sparse")
    if os.geteuid() == 0:
        os.mknod(ws / "zero", 0o666 | 0o020000, os.makedev(1, 5))
        with pytest.raises(InvalidToolArguments, match="no regular file"):
            tools.run("fs_read", path="zero")
    with pytest.raises(InvalidToolArguments, match="Write it in parts"):
        tools.run("fs_write", path="big", content="x" * (LARGEST + 1))
    assert (
        time.monotonic() - started < 30
    )  # a hang would be stopped by the tool's own limit, which is no ToolError of these


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".env.local",
        "app/.env",
        ".ENV",
        ".git/config",
        "vendor/lib/.git/hooks/pre-commit",
        "server.pem",
        "certs/tls.key",
        "secrets/a.txt",
        "deploy/secrets/b/c.txt",
        "mine/private.dat",
        "./app/./.env",
    ],
)
def test_secrets_in_a_workspace_are_neither_read_nor_changed(tmp_path: Path, path: str) -> None:
    """F7: at no level, under no spelling; each try is told to whoever keeps the log."""
    ws = tmp_path / "ws"
    file = ws / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("canary-of-the-workspace")
    tools = bench(ws, {"protected": ["mine/**"]})
    tries: list[tuple[str, dict[str, object]]] = [
        ("fs_read", {}),
        ("fs_write", {"content": "x"}),
        ("fs_edit", {"old": "canary", "new": "x"}),
        ("fs_stat", {}),
        ("fs_delete", {"recursive": True}),
    ]
    for tool, more in tries:
        with pytest.raises(ToolDenied) as caught:
            tools.run(tool, path=path, **more)
        assert caught.value.code == "path_protected"
    assert len(tools.refused) == len(tries)
    assert file.read_text() == "canary-of-the-workspace"
    assert "canary" not in str(tools.run("fs_list", depth=9))
    top = path.removeprefix("./").split("/")[0]
    if (ws / top).is_dir():
        with pytest.raises(ToolDenied):
            tools.run("fs_delete", path=top, recursive=True)
        assert file.exists()
    assert tools.run("dir_glob", pattern="**/*")["matches"] == []
