"""The gateway as a process: its start screen, the line to paste, several workers, and an orderly end."""

import asyncio
import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from execution_platform.config.settings import Settings
from execution_platform.exceptions import ConfigError
from execution_platform.gateway.app import build
from execution_platform.gateway.command import run
from execution_platform.gateway.screen import show_start
from execution_platform.testing import FakeUpstream
from serving import serving, three_vendors

SOURCE = Path(__file__).parents[2] / "src"
MAIN = "from execution_platform.cli.main import main; main()"


@contextlib.contextmanager
def served(folder: Path, *options: str, **environ: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`ep serve` in a process of its own, on a free port, once it listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    plain = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "serve", "--port", str(port), *options],
        env={**plain, "PYTHONPATH": str(SOURCE), "EP_WORKSPACE_ROOT": str(folder), "COLUMNS": "200", **environ},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, port
    finally:
        process.kill()
        process.communicate()


def screen(process: subprocess.Popen[str]) -> str:
    """What is said at the start, up to the line to paste."""
    said = ""
    assert process.stderr is not None
    while "curl" not in said.rpartition("\n\n")[0] or not said.endswith("\n\n"):
        line = process.stderr.readline()
        assert line, said
        said += line
    return said


def test_the_start_screen_tells_who_is_live_and_its_line_streams_an_answer(tmp_path: Path) -> None:
    with served(tmp_path, EP_PROVIDER="mock") as (process, port):
        said = screen(process)
        assert re.search(r"^\s*openai\s+openai\s+live", said, re.MULTILINE)
        line = shlex.split(next(line for line in said.splitlines() if line.startswith("curl")))
        assert line[2] == f"http://127.0.0.1:{port}/v1/chat/completions"
        body = line[line.index("-d") + 1].encode()
        request = urllib.request.Request(line[2], body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.read().rstrip().endswith(b"data: [DONE]")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
        lines = [json.loads(line) for line in out.splitlines()]
        assert [line["event"] for line in lines] == ["started", "request", "stopped"]


def test_several_workers_share_the_address_and_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        yaml.safe_dump({"version": 1, "default_provider": "mock", "personas": {"mine": {"prefer": ["mock"]}}})
    )
    with served(tmp_path, "--workers", "2", "--config", str(path)) as (process, port):
        url = f"http://127.0.0.1:{port}/v1/personas/mine"
        assert process.stdout is not None
        assert "started" in process.stdout.readline()
        for _ in range(4):
            with urllib.request.urlopen(url, timeout=20) as answer:
                assert json.load(answer)["name"] == "mine"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def test_the_line_to_paste_uses_the_key_and_the_address_it_was_given(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def started() -> None:
        async with FakeUpstream() as upstream:
            environ = {"EP_MASTER_KEY": "sk-ep-master-9876543210"}
            personas = {"dev": {"prefer": ["anthropic", "openai"], "requires": ["logprobs"]}}
            async with serving(tmp_path, three_vendors(upstream, personas=personas), environ) as gateway:
                state = gateway.gateway.state
                state.settings = state.settings.model_copy(update={"host": "::1", "port": 8000})
                show_start(state)

    asyncio.run(started())
    said = capfd.readouterr().err
    assert "http://[::1]:8000/v1/chat/completions" in said
    assert "$EP_MASTER_KEY" in said
    assert "9876543210" not in said
    assert "openai/gpt-4o" in said
    assert "logprobs" in said
    assert re.search(r"groq\s+groq\s+no key: set GROQ_API_KEY", said)


def test_an_address_beyond_this_machine_is_refused_before_anything_listens(tmp_path: Path) -> None:
    """L6: the command ends with a reason."""
    settings = Settings({"EP_WORKSPACE_ROOT": str(tmp_path)})
    with pytest.raises(ConfigError, match="EP_MASTER_KEY"):
        run(settings, host="0.0.0.0", port=0)
    broken = tmp_path / "broken.yaml"
    broken.write_text("version: 1\nprovders: {}\n")
    with pytest.raises(ConfigError, match="providers"):
        run(settings, config=broken)


def test_the_application_is_made_once_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import execution_platform.gateway.app as module
    import execution_platform.gateway.router as older

    monkeypatch.setenv("EP_WORKSPACE_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    module.application.cache_clear()
    try:
        made = module.app
        assert module.app is made
        assert older.app is made
        for place in (module, older):
            with pytest.raises(AttributeError):
                place.nothing
    finally:
        module.application.cache_clear()


def test_a_browser_of_a_named_origin_may_ask_beforehand(tmp_path: Path) -> None:
    import execution_platform.gateway.app as module

    async def asked() -> None:
        environ = {"EP_WORKSPACE_ROOT": str(tmp_path), "CORS_ALLOWED_ORIGINS": "https://app.example"}
        app = module.with_cors(build(Settings(environ)))
        for origin, allowed in (("https://app.example", True), ("https://evil.example", False)):
            sent: list[dict[str, object]] = []
            headers = [
                (b"origin", origin.encode()),
                (b"access-control-request-method", b"POST"),
                (b"host", b"localhost"),
            ]
            scope = {"type": "http", "method": "OPTIONS", "path": "/v1/chat", "query_string": b"", "headers": headers}

            async def send(message: dict[str, object], kept: list[dict[str, object]] = sent) -> None:
                kept.append(message)

            async def receive() -> dict[str, object]:
                return {"type": "http.request", "body": b""}

            await app(scope, receive, send)
            names = dict(sent[0]["headers"])
            assert (names.get(b"access-control-allow-origin") == origin.encode()) == allowed
            assert b"access-control-allow-credentials" not in names

    asyncio.run(asked())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_that_is_taken_is_told_with_what_to_do(tmp_path: Path, workers: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with served(tmp_path, "--port", port, "--workers", str(workers), EP_PROVIDER="mock") as (process, _):
            _, told = process.communicate(timeout=20)
            assert process.returncode == 3
            assert told.startswith(f"cannot listen on 127.0.0.1 port {port}: Address already in use. Stop what listens")
