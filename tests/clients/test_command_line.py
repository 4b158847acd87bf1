"""Each vendor's own client on the models of the others, through a real gateway, in a fresh home."""

from pathlib import Path
from typing import Any

import pytest

from clients.programs import MADE, PROGRAMS, SHELL_CALLS, installed
from execution_platform.testing import Call, FakeUpstream, Script, Status, Text, Thinking, Tokens
from serving import MODELS

SIGNATURE = "c2lnbmVkIGJ5IHRoZSBtb2RlbA=="
PAIRS = [
    ("claude", "gemini"),
    ("claude", "openai_chat"),
    ("codex", "gemini"),
    ("codex", "anthropic"),
    ("gemini", "anthropic"),
    ("gemini", "openai_chat"),
    ("opencode", "gemini"),
    ("opencode", "anthropic"),
]


@pytest.fixture(params=PAIRS, ids="-on-".join)
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    client, dialect = request.param
    if not installed(client):
        pytest.skip(f"{client} is not installed: `make clients` installs it and runs these tests")
    return client, dialect


def is_title(request: Any) -> bool:
    """Whether opencode asks for a title of the conversation, which it does beside the first turn."""
    return not request.body.get("tools")


def play(upstream: FakeUpstream, client: str, *scripts: Script) -> None:
    upstream.script(*scripts)
    if client == "opencode":
        upstream.script(Script(Text("A title")), when=is_title)


def turns(upstream: FakeUpstream, client: str) -> list[Any]:
    """The requests of the conversation, without those for titles."""
    chats = [exchange for exchange in upstream.meter.exchanges if exchange.operation == "chat"]
    return [each for each in chats if client != "opencode" or not is_title(each)]


def folders(tmp_path: Path) -> tuple[Path, Path]:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    return home, work


def test_one_turn_is_answered(pair: tuple[str, str], gateway: str, upstream: FakeUpstream, tmp_path: Path) -> None:
    client, dialect = pair
    play(upstream, client, Script([Thinking("let me see"), Text("hello from afar")]))
    ended = PROGRAMS[client](gateway, MODELS[dialect]).run(*folders(tmp_path), "Say hello")
    assert ended.returncode == 0, ended.stderr
    assert "hello from afar" in ended.stdout
    (turn,) = turns(upstream, client)
    assert turn.dialect == dialect
    assert turn.end == "complete"
    assert b"Say hello" in turn.raw_body


def test_a_tool_is_run_and_its_result_goes_back(
    pair: tuple[str, str], gateway: str, upstream: FakeUpstream, tmp_path: Path
) -> None:
    client, dialect = pair
    call = SHELL_CALLS[client]
    play(
        upstream,
        client,
        Script(
            [Text("I make it."), Thinking("let me see", signature=SIGNATURE), call], usage=Tokens(input=100, output=20)
        ),
        Script(Text("all is done"), usage=Tokens(input=120, output=5, cached=50)),
    )
    home, work = folders(tmp_path)
    ended = PROGRAMS[client](gateway, MODELS[dialect]).run(home, work, "Make a file")
    assert ended.returncode == 0, ended.stderr
    assert "all is done" in ended.stdout
    assert (work / "made.txt").read_text().strip() == MADE
    first, second = turns(upstream, client)
    assert call.name.encode() in first.raw_body
    assert MADE.encode() in second.raw_body
    # What the provider signed comes back to it, also from clients that keep no signature. OpenAI's chat signs nothing.
    assert dialect == "openai_chat" or SIGNATURE.encode() in second.raw_body


def test_claude_code_writes_a_file(gateway: str, upstream: FakeUpstream, tmp_path: Path) -> None:
    if not installed("claude"):
        pytest.skip("claude is not installed: `make clients` installs it and runs these tests")
    home, work = folders(tmp_path)
    target = work / "poem.txt"
    write = Call("Write", {"file_path": str(target), "content": "roses\n"})
    upstream.script(Script(write), Script(Text("written")))
    ended = PROGRAMS["claude"](gateway, MODELS["gemini"]).run(home, work, "Write a poem")
    assert ended.returncode == 0, ended.stderr
    assert target.read_text() == "roses\n"


def test_a_refused_request_is_told_in_the_clients_own_words(
    pair: tuple[str, str], gateway: str, upstream: FakeUpstream, tmp_path: Path
) -> None:
    client, dialect = pair
    if client not in ("claude", "codex"):
        pytest.skip(f"{client} waits and tries again on its own for minutes")
    upstream.script(Script(Status(400, message="the model has no such ability")))
    ended = PROGRAMS[client](gateway, MODELS[dialect]).run(*folders(tmp_path), "Say hello")
    assert ended.returncode != 0
    assert "no such ability" in ended.stdout + ended.stderr
