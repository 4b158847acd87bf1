"""What a phase made is looked at."""

import os
from pathlib import Path

from execution_platform.tool_bridge.sandbox import Bubblewrap, Limits, Sandbox
from execution_platform.workflow.checks import Checked, Checker
from execution_platform.workflow.values import Check, Contains, HasFile, MatchesSchema, Succeeds
from loops import in_loop
from sandboxes import needs_bubblewrap
from working import nowhere

SCHEMA = {"type": "object", "required": ["verdict"], "properties": {"verdict": {"const": "accept"}}}


async def found(folder: Path, check: Check, answer: str = "") -> str | None:
    checked: Checked = await Checker(folder, nowhere).check(check, answer)
    return checked.problem


@in_loop
async def test_an_answer_contains_every_text(tmp_path: Path) -> None:
    check = Contains(("one", "two"))
    assert await found(tmp_path, check, "one and two") is None
    assert await found(tmp_path, check, "one") == "the answer does not contain 'two'"


@in_loop
async def test_json_stands_alone_or_in_a_fenced_block(tmp_path: Path) -> None:
    check = MatchesSchema(SCHEMA)
    assert await found(tmp_path, check, '{"verdict": "accept"}') is None
    assert await found(tmp_path, check, 'Here:\n```json\n{"verdict": "accept"}\n```\nDone.') is None
    assert "not JSON" in str(await found(tmp_path, check, "I accept."))
    assert ".verdict" in str(await found(tmp_path, check, '{"verdict": "reject"}'))
    assert "verdict" in str(await found(tmp_path, check, "{}"))


@in_loop
async def test_a_file_is_there_and_not_empty(tmp_path: Path) -> None:
    (tmp_path / "full").write_text("x")
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert await found(tmp_path, HasFile("full")) is None
    assert await found(tmp_path, HasFile("empty")) == "empty is empty"
    assert "no such file" in str(await found(tmp_path, HasFile("none")))
    assert await found(tmp_path, HasFile("folder")) == "folder is not a file"
    assert await found(tmp_path, HasFile("pipe")) == "pipe is not a file"


@in_loop
async def test_a_link_out_of_the_workspace_is_no_file_of_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "link").symlink_to(tmp_path / "secret")
    assert "symbolic link" in str(await found(tmp_path / "work", HasFile("link")))


@in_loop
async def test_without_a_sandbox_a_command_fails_its_check(tmp_path: Path) -> None:
    assert await found(tmp_path, Succeeds(argv=("true",))) == "there is none here"


@needs_bubblewrap
@in_loop
async def test_a_command_runs_in_the_sandbox(tmp_path: Path) -> None:
    sandbox = Bubblewrap(Limits())

    async def opened() -> Sandbox:
        return sandbox

    checker = Checker(tmp_path, opened)

    async def run(*argv: str, writable: bool = False, seconds: float | None = None) -> str | None:
        return (await checker.check(Succeeds(argv=argv, writable=writable, seconds=seconds), "")).problem

    (tmp_path / ".env").write_text("KEY=secret")
    assert await run("true") is None
    assert await run("sh", "-c", "echo broken >&2; exit 3") == "sh ended with 3: broken"
    assert await run("sh", "-c", "! echo x > made") is None
    assert await run("sh", "-c", "echo x > made", writable=True) is None
    assert (tmp_path / "made").exists()
    assert await run("sh", "-c", "test ! -s .env") is None
    assert await run("sleep", "60", seconds=0.2) == "sleep was stopped at its limit of time"


def test_a_check_says_what_it_is() -> None:
    checks: list[Check] = [Contains(("a",)), MatchesSchema({}), HasFile("f"), Succeeds(argv=("make", "test"))]
    assert [str(each) for each in checks] == ["contains 'a'", "is JSON of its schema", "has file f", "runs make test"]
