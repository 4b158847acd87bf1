"""Searching, describing and formatting source code."""

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from execution_platform.config.written.tools import RawTools, resolve_tools
from execution_platform.exceptions import InvalidToolArguments, SandboxUnavailable, ToolDenied, ToolError
from execution_platform.tool_bridge.sandbox import Bubblewrap, Sandbox
from execution_platform.tool_bridge.sandbox.opening import open_sandbox
from sandboxes import needs_bubblewrap
from tooling import Bench, bench


@pytest.fixture
def tools(tmp_path: Path) -> Bench:
    return bench(tmp_path)


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_matches_come_with_their_place_and_context(tools: Bench, tmp_path: Path) -> None:
    write(tmp_path, src__a_dot_py="one\ndef two():\n    three\n", src__b_dot_txt="def other")
    found = tools.run("code_search", pattern=r"def (\w+)", context=1)
    assert found["results"] == [
        "src/a.py-1-one",
        "src/a.py:2:def two():",
        "src/a.py-3-    three",
        "src/b.txt:1:def other",
    ]
    assert tools.run("code_search", pattern="DEF", glob="*.py", ignore_case=True)["matches"] == 1
    assert tools.run("code_search", pattern="def", output_mode="files_with_matches")["paths"] == [
        "src/a.py",
        "src/b.txt",
    ]
    assert tools.run("code_search", pattern="e", output_mode="count")["counts"] == {"src/a.py": 3, "src/b.txt": 1}
    assert tools.run("code_search", pattern="two()", literal=True, path="src/a.py")["matches"] == 1
    assert tools.run("code_search", pattern="^def", path="src", glob="**/*.txt")["results"] == ["src/b.txt:1:def other"]


def test_a_search_is_capped_and_says_so(tools: Bench, tmp_path: Path) -> None:
    write(tmp_path, **{f"f{number:03}": "hit\n" * 10 for number in range(100)})
    found = tools.run("code_search", pattern="hit", limit=25)
    assert (len(found["results"]), found["truncated"]) == (25, True)
    assert "narrow the pattern" in found["note"]


def test_protected_binary_and_made_files_are_not_searched(tools: Bench, tmp_path: Path) -> None:
    """F7."""
    for name in (".env", ".git/config", "a.pem", "node_modules/x/index.js", "secrets/a"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("canary")
    (tmp_path / "bin").write_bytes(b"\0canary")
    (tmp_path / "out").symlink_to("/etc")
    assert tools.run("code_search", pattern="canary")["matches"] == 0
    assert tools.run("code_search", pattern="canary", path="node_modules")["matches"] == 1
    with pytest.raises(ToolDenied):
        tools.run("code_search", pattern="canary", path=".env")


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*a){20}", "^(([a-z])+.)+[A-Z]([a-z])+$", "(x+x+)+y"])
def test_a_pattern_takes_no_longer_than_its_text_is_long(tools: Bench, tmp_path: Path, pattern: str) -> None:
    """L4: the patterns that ruin others, on 1 MiB in one line; the event loop goes on beside it."""
    (tmp_path / "a.txt").write_text("a" * 1024 * 1024 + "!")
    lags: list[float] = []

    async def run() -> None:
        async def tick() -> None:
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0.005)
                lags.append(time.perf_counter() - before - 0.005)

        ticking = asyncio.create_task(tick())
        started = time.perf_counter()
        await tools.call("code_search", pattern=pattern)
        assert time.perf_counter() - started < 5  # backtracking would take longer than the age of the universe
        ticking.cancel()

    asyncio.run(run())
    assert max(lags, default=0) < 1


@pytest.mark.parametrize(
    "pattern", ["(?=a)b", r"(a)\1", "(?<!a)b", "(((a{900}){900}){900})", "[", "(" * 3000, "x" * 10_240, "", "\ud800"]
)
def test_a_pattern_that_is_not_linear_or_too_long_is_refused(tools: Bench, pattern: str) -> None:
    """L4."""
    started = time.perf_counter()
    with pytest.raises(InvalidToolArguments, match=r"args\.pattern"):
        tools.run("code_search", pattern=pattern)
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    "pattern", ["--pre=touch {p}", "--hostname-bin={p}", "-e", "--", "-f/etc/passwd", "$(touch {p})", "`touch {p}`"]
)
def test_a_pattern_is_never_an_option(tools: Bench, tmp_path: Path, pattern: str) -> None:
    """L7: it is found literally, nothing is started, and no configuration of the workspace counts."""
    touched = tmp_path.parent / f"{tmp_path.name}-touched"
    text = pattern.format(p=touched)
    (tmp_path / "a.txt").write_text(f"say {text} here\n")
    (tmp_path / ".ripgreprc").write_text(f"--pre=touch {touched}\n")
    assert tools.run("code_search", pattern=text, literal=True, glob="*.txt")["matches"] == 1
    for named in ({"glob": text}, {"path": text}):
        try:
            tools.run("code_search", pattern="here", **named)
        except ToolError as error:
            assert error.code in {"not_found", "path_outside_root"}
    assert not touched.exists()


PYTHON = '''import os
from a.b import c as d


class Shape:
    """A shape."""

    def area(self, x):
        if x and os.name:
            return [y for y in x if y]
        elif x == 2:
            return 0
        for _ in x:
            pass
        return 1


async def main():
    def inner():
        while True:
            pass
    return inner
'''
SOURCES: dict[str, tuple[str, list[tuple[str, str, int | None]], int]] = {
    "a.py": (
        PYTHON,
        [("Shape", "class", None), ("Shape.area", "method", 7), ("main", "function", 1), ("main.inner", "method", 2)],
        2,
    ),
    "a.js": (
        "import x from 'y';\nclass A { m(a) { return a ? 1 : 2; } }\nconst f = (a) => a && a.b || 1;\n",
        [("A", "class", None), ("A.m", "method", 2), ("f", "function", 3)],
        1,
    ),
    "a.ts": (
        "import {x} from 'y';\ninterface I { a: number }\nfunction f(a: I): number { if (a) { return 1 } return 2 }\n",
        [("I", "class", None), ("f", "function", 2)],
        1,
    ),
    "a.go": (
        'package m\nimport "fmt"\ntype T struct{}\nfunc (t T) M(a int) int { if a > 1 && a < 3 { return 1 }; return 2 }\n',
        [("T", "class", None), ("M", "method", 3)],
        1,
    ),
    "a.rs": (
        "use std::fs;\nstruct S;\nimpl S { fn m(&self, a: u8) -> u8 { match a { 1 => 2, _ => 3 } } }\n",
        [("S", "class", None), ("S", "class", None), ("S.m", "method", 3)],
        1,
    ),
    "A.java": (
        "import java.util.List;\nclass A { int m(int a) { for (int i = 0; i < a; i++) {} return a; } }\n",
        [("A", "class", None), ("A.m", "method", 2)],
        1,
    ),
}


@pytest.mark.parametrize("name", list(SOURCES))
def test_source_code_is_described(tools: Bench, tmp_path: Path, name: str) -> None:
    pytest.importorskip("tree_sitter")
    source, symbols, imports = SOURCES[name]
    (tmp_path / name).write_text(source)
    found = tools.run("code_analyze", path=name)
    assert [(each["name"], each["kind"], each.get("complexity")) for each in found["symbols"]] == symbols
    assert len(found["imports"]) == imports
    assert "note" not in found


def test_a_folder_is_described_file_by_file(tools: Bench, tmp_path: Path) -> None:
    pytest.importorskip("tree_sitter")
    for name, (source, _, _) in SOURCES.items():
        (tmp_path / name).write_text(source)
    found = tools.run("code_analyze", path=".", symbols=False)
    assert len(found["files"]) == len(SOURCES)
    assert all("symbols" not in each for each in found["files"])


def test_hostile_source_is_described_as_far_as_it_goes(tools: Bench, tmp_path: Path) -> None:
    pytest.importorskip("tree_sitter")
    (tmp_path / "a.py").write_text("(" * 100_000)
    (tmp_path / "b.py").write_text("def f(:\n  ]]] if\x0b class")
    for name in ("a.py", "b.py"):
        assert "no valid code" in tools.run("code_analyze", path=name)["note"]
    with pytest.raises(InvalidToolArguments, match="these endings are"):
        tools.run("code_analyze", path="a.txt" if (tmp_path / "a.txt").write_text("x") else "")


CAT = {"code": {"formatters": {"txt": ["tr", "a-z", "A-Z"], "bad": ["false"], "none": ["no-such-program"]}}}


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    made = Bubblewrap()
    if made.unavailable is not None:
        pytest.skip(made.unavailable)
    return made


def test_a_file_is_formatted_by_a_program_in_the_sandbox(tmp_path: Path, sandbox: Sandbox) -> None:
    tools = bench(tmp_path, CAT, sandbox)
    (tmp_path / "a.txt").write_text("text\n")
    assert tools.run("code_format", path="a.txt", check=True) == {"path": "a.txt", "changed": True, "written": False}
    assert (tmp_path / "a.txt").read_text() == "text\n"
    assert tools.run("code_format", path="a.txt")["written"] is True
    assert (tmp_path / "a.txt").read_text() == "TEXT\n"
    assert tools.run("code_format", path="a.txt")["changed"] is False


@pytest.fixture
def ruff() -> Iterator[str]:
    """A directory that every user can read, with the formatter in it."""
    found = Path(sys.executable).with_name("ruff")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:  # what is below /tmp is not what it is inside
        folder = Path(place)
        folder.chmod(0o755)
        shutil.copy(found, folder / "ruff")
        (folder / "ruff").chmod(0o755)
        yield place


@needs_bubblewrap
def test_python_is_formatted_by_ruff_as_the_configuration_comes(tmp_path: Path, ruff: str) -> None:
    """The command as it is by default, found where an operator has made it visible; settings in the workspace are not followed."""
    config = {"exec": {"enabled": True, "visible": [ruff]}}
    sandbox = open_sandbox(resolve_tools(RawTools.model_validate(config)).exec)
    assert sandbox.unavailable is None, sandbox.unavailable
    tools = bench(tmp_path, config, sandbox)
    (tmp_path / "ruff.toml").write_text('line-length = 20\n[format]\nquote-style = "single"\n')
    (tmp_path / "a.py").write_text("def f( a,b ):\n    return {'a':a, 'b' :b, 'c': 'long enough'}\n")
    assert tools.run("code_format", path="a.py", check=True) == {"path": "a.py", "changed": True, "written": False}
    assert tools.run("code_format", path="a.py") == {"path": "a.py", "changed": True, "written": True}
    assert (tmp_path / "a.py").read_text() == ('def f(a, b):\n    return {"a": a, "b": b, "c": "long enough"}\n')
    assert tools.run("code_format", path="a.py") == {"path": "a.py", "changed": False, "written": False}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.py", "ruff.toml"]
    (tmp_path / "bad.py").write_text("def f(:\n")
    with pytest.raises(ToolError, match="ruff cannot format it"):
        tools.run("code_format", path="bad.py")
    assert (tmp_path / "bad.py").read_text() == "def f(:\n"


@pytest.mark.parametrize("ending", ["bad", "none"])
def test_a_formatter_that_fails_leaves_the_file_as_it_was(tmp_path: Path, sandbox: Sandbox, ending: str) -> None:
    (tmp_path / f"a.{ending}").write_text("text")
    with pytest.raises(ToolError, match="cannot format it"):
        bench(tmp_path, CAT, sandbox).run("code_format", path=f"a.{ending}")
    assert (tmp_path / f"a.{ending}").read_text() == "text"


def test_formatting_needs_a_formatter_a_sandbox_and_the_right_to_write(tools: Bench, tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("x")
    (tmp_path / "a.py").write_text("x")
    with pytest.raises(InvalidToolArguments, match=r"tools\.code\.formatters"):
        tools.run("code_format", path="a.xyz")
    with pytest.raises(SandboxUnavailable):
        tools.run("code_format", path="a.py")
    tools.level = "read_only"
    with pytest.raises(ToolDenied, match="check: true"):
        tools.run("code_format", path="a.py")


def test_the_ends_of_a_line_are_those_of_the_pattern(tools: Bench, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\r\nthree")
    for pattern in ("^two$", r"\Atwo\z", "^two", "two$", r"\btwo\b", "^one$", "^three$", "(?i)TWO$"):
        assert tools.run("code_search", pattern=pattern)["matches"] == 1, pattern
    assert tools.run("code_search", pattern="one.two")["matches"] == 0
    assert tools.run("code_search", pattern=r"one\stwo")["matches"] == 0
