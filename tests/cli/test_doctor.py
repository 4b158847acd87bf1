"""`ep doctor` on broken installations: each line names what is wrong and what to do about it."""

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from child import ChildGateway
from execution_platform.cli import examine_stores
from execution_platform.cli.finding import Finding
from execution_platform.cli.main import app
from execution_platform.cli.outcome import Exit
from execution_platform.config.settings import Settings
from execution_platform.testing import FakeUpstream
from execution_platform.testing.certificates import Authority
from servers import Postgres

FILE = """\
version: 1
providers:
  near: {{kind: openai_compatible, base_url: "{url}/v1", api_key: {key}, models: [{models}], free: true}}
personas:
  tester: {{prefer: [near]}}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("EP_") or name.lower().endswith(("_api_key", "_proxy", "_base_url")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("EP_WORKSPACE_ROOT", str(tmp_path / "work"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def write(place: Path, url: str, *, key: str = "sk-right", models: str = "gpt-4o") -> None:
    (place / "platform.yaml").write_text(FILE.format(url=url, key=key, models=models))


def faults(area: str, *args: str) -> list[tuple[str, str, str]]:
    """State, message and remedy of the lines of an area that are not well."""
    result = CliRunner().invoke(app, ["doctor", "--json", *args])
    return [
        (each["state"], each["message"], each["remedy"] or "")
        for each in json.loads(result.stdout)["checks"]
        if each["area"] == area and each["state"] != "ok"
    ]


def code(*args: str) -> int:
    return CliRunner().invoke(app, ["doctor", *args]).exit_code


def test_a_refused_key_is_named_with_the_place_to_correct_it(place: Path) -> None:
    with FakeUpstream.in_thread(api_key="sk-right") as upstream:
        write(place, upstream.upstream.url, key="sk-wrong-canary")
        ((state, message, remedy),) = faults("providers")
        assert (state, message) == ("fail", "near: the key is refused (auth)")
        assert "providers.near.api_key" in remedy
        assert "canary" not in message + remedy
        assert code() == Exit.UNREACHABLE
        assert faults("providers", "--no-ask") == []
        write(place, upstream.upstream.url)
        assert faults("providers") == []


def test_a_model_that_a_provider_does_not_list_is_named(place: Path) -> None:
    with FakeUpstream.in_thread() as upstream:
        listed = upstream.upstream.models[0]
        write(place, upstream.upstream.url, models=f"{listed}, gtp-4o")
        ((state, message, _),) = faults("providers")
    assert (state, message) == ("warn", "near: does not list gtp-4o")


@contextmanager
def tls_server(context: ssl.SSLContext) -> Iterator[int]:
    """Shakes hands, or tries to, with whoever connects."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    peer, _ = listener.accept()
                    with suppress(OSError), context.wrap_socket(peer, server_side=True):
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_an_expired_certificate_is_named(place: Path) -> None:
    """R28."""
    authority = Authority(place)
    environ = {**os.environ, "SSL_CERT_FILE": str(authority.path), "PYTHONPATH": ":".join(sys.path)}
    with tls_server(authority.server(flaw="expired")) as port:
        write(place, f"https://127.0.0.1:{port}")
        # A process of its own, since authorities are read once for each process.
        program = "from execution_platform.cli.main import main; main()"
        done = subprocess.run([sys.executable, "-c", program, "doctor"], capture_output=True, check=False, env=environ)
    assert done.returncode == Exit.UNREACHABLE
    (fault,) = [line for line in done.stdout.decode().splitlines() if line.startswith("fail")]
    assert "the TLS certificate is not accepted (certificate has expired)" in fault
    assert b"Renew" in done.stdout


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://host/name", "begins with mysql"),
        ("postgresql://host", "names no host or no database"),
        (f"postgresql://ep:canary@127.0.0.1:{free_port()}/ep", "does not answer: ConnectionRefusedError"),
    ],
    ids=["another kind", "no database", "nobody there"],
)
def test_a_database_that_cannot_be_used_is_named(
    place: Path, monkeypatch: pytest.MonkeyPatch, url: str, message: str
) -> None:
    monkeypatch.setenv("EP_DATABASE_URL", url)
    ((state, said, remedy),) = faults("database", "--no-ask")
    assert state == "fail"
    assert message in said
    assert "EP_DATABASE_URL" in remedy
    assert "canary" not in said + remedy
    assert code("--no-ask") == Exit.FAILED


def test_a_database_that_answers_is_well(
    place: Path, monkeypatch: pytest.MonkeyPatch, postgres_server: Postgres
) -> None:
    monkeypatch.setenv("EP_DATABASE_URL", postgres_server.new_database())
    assert faults("database", "--no-ask") == []
    assert faults("clock", "--no-ask") == []


def test_a_clock_that_differs_from_the_databases_is_told(
    place: Path, monkeypatch: pytest.MonkeyPatch, postgres_server: Postgres
) -> None:
    """R13."""
    monkeypatch.setenv("EP_DATABASE_URL", postgres_server.new_database())
    now = examine_stores.time.time
    monkeypatch.setattr(examine_stores.time, "time", lambda: now() - 300)
    ((state, message, remedy),) = faults("clock", "--no-ask")
    assert state == "warn"
    assert "300 s behind the database's" in message
    assert "NTP" in remedy


def test_an_address_of_redis_that_is_none_does_not_hide_the_rest(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EP_REDIS_URL", "http://127.0.0.1:1")
    ((state, _, remedy),) = faults("replicas", "--no-ask")
    assert (state, "EP_REDIS_URL" in remedy) == ("fail", True)
    assert any(each["area"] == "workspace" for each in json.loads(run_json())["checks"])


def run_json() -> str:
    return CliRunner().invoke(app, ["doctor", "--no-ask", "--json"]).stdout


def test_a_wrong_file_does_not_hide_the_rest(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "platform.yaml").write_text("version: 1\npersonas:\n  a: {prefer: [openai\n")
    monkeypatch.setenv("EP_DATABASE_URL", "mysql://host/name")
    ((_, message, remedy),) = faults("configuration", "--no-ask")
    assert message.startswith("platform.yaml: is not valid YAML")
    assert "begins in line 3" in remedy
    assert len(faults("database", "--no-ask")) == 1
    assert code("--no-ask") == Exit.USAGE


def test_a_model_without_a_price_is_named_with_the_ways_to_give_it_one(place: Path) -> None:
    write(place, "http://127.0.0.1:1")
    path = place / "platform.yaml"
    path.write_text(path.read_text().replace(", free: true", "").replace("gpt-4o", "zz-1"))
    ((state, message, remedy),) = faults("prices", "--no-ask")
    assert state == "warn"
    assert message.startswith("near/zz-1 has no price")
    assert "providers.near.prices" in remedy


def test_personas_that_nobody_can_answer_are_told(place: Path) -> None:
    ((state, message, remedy),) = faults("personas", "--no-ask")
    assert state == "warn"
    assert "architect" in message
    assert "ep explain architect" in remedy


def test_a_workspace_on_a_full_disk_is_told_before_a_request_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R12."""

    def found(free: int) -> Finding:
        usage = type("Usage", (), {"free": free})
        monkeypatch.setattr(examine_stores.shutil, "disk_usage", lambda _: usage)
        (finding,) = examine_stores.workspace(Settings({"EP_WORKSPACE_ROOT": str(tmp_path)}))
        return finding

    assert [found(room * 1024 * 1024).state for room in (1, 100, 1000)] == ["fail", "warn", "ok"]
    assert "Free 280 MiB" in (found(0).remedy or "")


def test_a_port_with_a_gateway_is_well_and_one_with_a_stranger_is_told(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ChildGateway({"providers": {"mock": {"kind": "mock"}}}, environ={"EP_PROVIDER": "mock"}) as gateway:
        monkeypatch.setenv("EP_PORT", str(gateway.port))
        assert faults("gateway") == []
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        monkeypatch.setenv("EP_PORT", str(port))
        ((state, message, remedy),) = faults("gateway")
        assert (state, message) == ("warn", f"port {port} on 127.0.0.1: Address already in use")
        assert f"EP_PORT={port % 65535 + 1}" in remedy


def test_a_reference_that_gives_no_key_is_named_as_it_is_written(place: Path) -> None:
    (place / "platform.yaml").write_text('version: 1\nproviders: {openai: {kind: openai, api_key: "${MY_OWN_KEY}"}}\n')
    found = faults("providers")
    assert ("warn", "openai: no key: ${MY_OWN_KEY} gives none", "Set it, or remove providers.openai.") in found


def test_the_doctor_leaves_nothing_behind(place: Path) -> None:
    assert code("--no-ask") == Exit.OK
    assert list(place.iterdir()) == []
