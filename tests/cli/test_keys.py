"""`ep keys` against a running gateway."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from execution_platform.cli.main import app
from execution_platform.cli.outcome import Exit
from gateway.processes import Process

MASTER = "master-key-of-the-tests-0123456789"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("keys")
    gateway = Process(folder, {}, EP_PROVIDER="mock", EP_MASTER_KEY=MASTER)
    try:
        asyncio.run(gateway.start())
        yield gateway.url
    finally:
        gateway.kill()


def ep(url: str, *words: str, key: str = MASTER) -> Result:
    return CliRunner().invoke(app, ["keys", *words], env={"EP_GATEWAY_URL": url, "EP_API_KEY": key})


def made(url: str, *words: str) -> dict[str, object]:
    done = ep(url, "create", *words, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_key_is_alone_on_standard_output(url: str) -> None:
    done = ep(url, "create", "web", "--monthly-usd", "50", "--team", "web")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("sk-ep-")
    assert done.stdout.count("\n") == 1
    assert "$50 monthly" in done.stderr


def test_a_key_is_listed_shown_changed_rotated_and_revoked(url: str) -> None:
    key = made(url, "site", "-m", "openai", "-m", "gemini", "--route", "chat")
    identity = str(key["id"])
    listed = ep(url, "list")
    assert identity in listed.stdout
    assert "models gemini, openai; routes chat" in listed.stdout
    assert str(key["key"])[-20:] not in listed.stdout
    shown = ep(url, "show", identity)
    assert "gemini, openai" in shown.stdout
    assert ep(url, "change", identity, "--name", "blog", "--daily-usd", "2").exit_code == 0
    changed = json.loads(ep(url, "show", identity, "--json").stdout)
    assert (changed["name"], changed["budgets"], changed["models"]) == ("blog", {"daily": 2}, ["gemini", "openai"])
    rotated = ep(url, "rotate", identity, "--overlap", "0")
    assert rotated.stdout.startswith(f"sk-ep-{identity}-")
    assert rotated.stdout.strip() != key["key"]
    assert ep(url, "revoke", identity).exit_code == 0
    assert identity not in ep(url, "list").stdout
    assert identity in ep(url, "list", "--all").stdout


def test_the_trail_is_shown_and_verified(url: str) -> None:
    made(url, "traced")
    assert "key.create" in ep(url, "audit").stdout
    verified = ep(url, "audit", "--verify")
    assert (verified.exit_code, "whole" in verified.stdout) == (0, True)


@pytest.mark.parametrize(
    ("words", "key", "code"),
    [
        (("list",), "wrong", Exit.REFUSED),
        (("show", "nothing"), MASTER, Exit.USAGE),
        (("create", "x", "--role", "king"), MASTER, Exit.USAGE),
        (("create", "x", "--route", "nowhere"), MASTER, Exit.USAGE),
        (("create", "x", "--tenant", "nobody"), MASTER, Exit.USAGE),
    ],
)
def test_refusals_end_with_their_codes(words: tuple[str, ...], key: str, code: Exit, url: str) -> None:
    done = ep(url, *words, key=key)
    assert done.exit_code == code, done.output
    assert done.stderr.startswith("ep: the gateway at")


def test_without_a_gateway_the_command_says_how_to_reach_one(tmp_path: Path) -> None:
    done = ep("http://127.0.0.1:1", "list")
    assert done.exit_code == Exit.UNREACHABLE
    assert done.stdout == ""
