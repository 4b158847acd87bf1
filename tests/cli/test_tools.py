"""`ep tools` against a running gateway."""

import asyncio
import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from execution_platform.cli.main import app
from gateway.processes import Process


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    personas = {"reader": {"prefer": ["mock"], "tools": ["Read", "Write"], "permissions": {"Write": "read_only"}}}
    gateway = Process(tmp_path_factory.mktemp("tools"), {"personas": personas}, EP_PROVIDER="mock")
    try:
        asyncio.run(gateway.start())
        yield gateway.url
    finally:
        gateway.kill()


def ep(url: str, *words: str) -> Result:
    return CliRunner().invoke(app, ["tools", *words], env={"EP_GATEWAY_URL": url})


def test_tools_are_listed_shown_and_called(url: str) -> None:
    listed = ep(url, "list")
    assert listed.exit_code == 0, listed.output
    assert "fs_read" in listed.stdout
    narrow = json.loads(ep(url, "list", "--persona", "reader", "--json").stdout)
    assert [tool["name"] for tool in narrow["tools"]] == ["fs_read", "fs_write"]
    shown = ep(url, "show", "Edit")
    assert "fs_edit" in shown.stdout
    assert "replace_all" in shown.stdout
    written = ep(url, "invoke", "Write", '{"file_path": "a.txt", "content": "hello"}')
    assert json.loads(written.stdout) == {"path": "a.txt", "bytes": 5, "created": True}
    read = json.loads(ep(url, "invoke", "fs_read", '{"path": "a.txt"}', "--json").stdout)
    assert (read["ok"], read["result"]["content"]) == (True, "hello")


def test_what_cannot_be_done_is_said_with_an_exit_code(url: str) -> None:
    cases = [
        (["show", "fs_raed"], 2, "Did you mean fs_read"),
        (["invoke", "fs_read", "{"], 2, "JSON object"),
        (["invoke", "fs_read", '{"path": "gone"}'], 2, "no such file"),
        (["invoke", "fs_write", '{"path": "a", "content": ""}', "--persona", "reader"], 4, "read_only"),
        (["invoke", "fs_read", '{"path": ".env"}'], 4, "protected"),
    ]
    for words, code, text in cases:
        done = ep(url, *words)
        assert text in done.output, (words, done.output)
        assert done.exit_code == code, (words, done.output)
