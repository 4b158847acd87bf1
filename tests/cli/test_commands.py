"""The command line, run as a person or a script would, on real configuration files."""

import json
import os
import pty
import socket
import subprocess
import sys
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from client.scripted import ScriptedServer, plain, sse
from execution_platform.cli.main import app
from execution_platform.cli.outcome import Exit, exit_code
from execution_platform.cli.output import plain as without_controls
from execution_platform.config.display import displayed
from execution_platform.config.secret import Secret
from execution_platform.exceptions import (
    AuthenticationError,
    BudgetExceeded,
    ConfigError,
    ErrorKind,
    ExecutionPlatformError,
    NotConfigured,
    ProtocolError,
    ProviderError,
    RequirementError,
    RouterError,
)

FILE = """\
version: 1
default_provider: mock
providers:
  openai: {{kind: openai, api_key: "${{OPENAI_API_KEY}}", models: [gpt-4o]}}
  near: {{kind: openai_compatible, base_url: "http://127.0.0.1:{port}/v1", models: [m1], free: true}}
personas:
  tester: {{prefer: [mock], requires: [streaming], tools: [fs_read], system: "Test."}}
  lonely: {{prefer: [openai]}}
"""
AREAS = {
    "python",
    "packages",
    "configuration",
    "prices",
    "personas",
    "providers",
    "gateway",
    "workspace",
    "database",
    "sandbox",
}
USAGE = {"input_tokens": 2, "output_tokens": 3, "cost_usd": 0.5}
DONE = b"event: done\ndata: " + json.dumps({"reason": "stop", "usage": USAGE, "provider": "p1", "model": "m1"}).encode()
STREAM = (b'event: token\ndata: {"text":"Hel"}\n\n', b'event: token\ndata: {"text":"lo"}\n\n', DONE + b"\n\n")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def listener():
    """Something that accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield found.getsockname()[1]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of its own and an environment without anybody's settings."""
    for name in list(os.environ):
        if name.startswith("EP_") or name.lower().endswith(("_api_key", "_proxy", "_base_url")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("EP_PORT", str(free_port()))
    monkeypatch.setenv("EP_WORKSPACE_ROOT", str(tmp_path / "work"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def configured(place, listener):
    (place / "platform.yaml").write_text(FILE.format(port=listener))
    return place


def ep(*args, **options):
    return CliRunner().invoke(app, args, **options)


def told(result, code=0):
    assert result.exit_code == code, result.output + result.stderr
    return json.loads(result.stdout)


def test_help_lists_the_commands_and_the_exit_codes():
    result = ep("--help")
    assert result.exit_code == 0
    for command in ("serve", "chat", "personas", "explain", "providers", "config", "doctor"):
        assert command in result.stdout
    assert "4 refused" in result.stdout


def test_help_imports_no_server_no_client_and_no_configuration():
    code = (
        "import sys; sys.argv = ['ep', '--help']\n"
        "from execution_platform.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'uvicorn', 'fastapi', 'aiohttp', 'httpx2', 'pydantic', 'msgspec', 'yaml'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    environ = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False, env=environ)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_version_is_told():
    assert ep("--version").stdout.startswith("execution-platform ")


@pytest.mark.parametrize(
    "args", [("nothing",), ("serve", "--port", "x"), ("serve", "--workers", "0"), ("chat", "--no")]
)
def test_a_wrong_option_is_a_usage_error(args):
    assert ep(*args).exit_code == Exit.USAGE


def test_personas_are_listed_with_who_would_answer(configured):
    rows = {row["name"]: row for row in told(ep("personas", "--json"))["personas"]}
    assert rows["tester"]["target"].startswith("mock/")
    assert (rows["tester"]["requires"], rows["tester"]["tools"]) == (["streaming"], ["fs_read"])
    assert rows["lonely"]["target"] is None
    table = ep("personas").stdout
    assert "tester" in table
    assert "ep explain lonely" in table


def test_providers_are_listed_with_what_they_lack(configured):
    rows = {row["name"]: row for row in told(ep("providers", "--no-discover", "--json"))["providers"]}
    assert (rows["openai"]["state"], rows["near"]["state"], rows["mock"]["default"]) == ("off", "live", True)
    assert rows["openai"]["reason"] == "no key: ${OPENAI_API_KEY} gives none"
    table = ep("providers", "--no-discover").stdout
    assert "mock (default)" in table
    assert "no key: ${OPENAI_API_KEY} gives none" in table


def test_a_key_makes_a_provider_live_and_is_shown_nowhere(configured, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-1234567890")
    monkeypatch.setenv("EP_MASTER_KEY", "canary-master-key")
    rows = {row["name"]: row for row in told(ep("providers", "--no-discover", "--json"))["providers"]}
    assert rows["openai"]["state"] == "live"
    for args in (("providers", "--no-discover"), ("config", "show"), ("config", "show", "--json"), ("personas",)):
        assert "canary" not in ep(*args).output


def test_an_explanation_names_every_candidate_in_order(configured):
    found = told(ep("explain", "tester", "Hello", "--json"))
    assert [(row["provider"], row["kept"], row["order"]) for row in found["candidates"]] == [("mock", True, 1)]
    assert "would be tried" in ep("explain", "tester").stdout


def test_an_explanation_without_any_candidate_ends_with_unreachable(configured):
    result = ep("explain", "lonely")
    assert result.exit_code == Exit.UNREACHABLE
    assert "openai/" in result.stdout


def test_an_unknown_persona_is_a_usage_error_with_the_nearest_name(configured):
    result = ep("explain", "testr")
    assert result.exit_code == Exit.USAGE
    assert "tester" in result.stderr


@pytest.mark.parametrize("item", ["vison", "context_window=long"])
def test_an_unknown_requirement_is_a_usage_error(configured, item):
    result = ep("explain", "tester", "--require", item)
    assert result.exit_code == Exit.USAGE
    assert item.partition("=")[0] in result.stderr


def test_a_requirement_may_have_a_value(configured):
    found = told(ep("explain", "near/m1", "-r", "context_window=1000", "-r", "streaming", "--json"), Exit.UNREACHABLE)
    assert found["requested"]["requires"] == {"context_window": 1000, "streaming": True}


def test_a_sound_file_passes_the_check_with_its_warnings(configured):
    found = told(ep("config", "check", "--json"))
    assert found["ok"] is True
    assert len(found["version"]) == 12
    assert "can be used" in ep("config", "check").stdout


@pytest.mark.parametrize("how", [("--config",), ()])
def test_a_wrong_file_fails_the_check_with_path_line_and_remedy(place, how):
    (place / "bad.yaml").write_text("version: 1\nproviders:\n  openai: {kind: openai, modles: [x]}\n")
    found = told(ep("config", "check", *how, "bad.yaml", "--json"), Exit.USAGE)
    (problem,) = found["problems"]
    assert problem["path"] == "providers.openai.modles"
    assert "models" in problem["remedy"]
    assert problem["line"] == 3
    result = ep("config", "check", "bad.yaml")
    assert result.exit_code == Exit.USAGE
    assert "error: " in result.stdout


@pytest.mark.parametrize("command", ["personas", "providers", "explain", "serve"])
def test_a_file_that_is_missing_is_a_usage_error_of_every_command(place, command):
    result = ep(command, "--config", "nowhere.yaml")
    assert result.exit_code == Exit.USAGE
    assert "nowhere.yaml" in result.stderr


def test_the_schema_of_the_file_is_printed():
    schema = told(ep("config", "schema"))
    assert schema["title"] == "platform.yaml"
    assert "personas" in schema["properties"]


def test_the_configuration_in_force_is_shown_in_full(configured):
    shown = told(ep("config", "show", "--json"))
    assert shown["personas"]["tester"]["chain"] == ["mock"]
    assert shown["providers"]["openai"]["credential"] == "${OPENAI_API_KEY}"
    assert "tester:" in ep("config", "show").stdout


def test_what_is_shown_hides_secrets_and_headers():
    shown = displayed(
        {"headers": {"x-key": "canary"}, "a": Secret("canary"), "b": (Decimal("0.5"), frozenset({"y", "x"}))}
    )
    assert displayed({"x-key": "canary"}, "headers") == {"x-key": "***"}
    assert shown["a"] == "***"
    assert shown["b"] == [0.5, ["x", "y"]]


def checks(result, code):
    return [(each["area"], each["state"], each["message"], each["remedy"]) for each in told(result, code)["checks"]]


def test_the_doctor_finds_a_sound_installation_sound(configured):
    found = checks(ep("doctor", "--no-ask", "--json"), Exit.OK)
    assert {area for area, *_ in found} == AREAS
    assert ("providers", "ok", "near: live", None) in found
    assert any(
        area == "providers" and state == "warn" and "makes its answers up" in message
        for area, state, message, _ in found
    )
    assert all(remedy for _, state, _, remedy in found if state != "ok")
    assert "python: " in ep("doctor", "--no-ask").stdout


def test_the_doctor_names_a_provider_that_does_not_answer(place):
    port = free_port()
    (place / "platform.yaml").write_text(FILE.format(port=port))
    found = checks(ep("doctor", "--no-ask", "--json"), Exit.UNREACHABLE)
    (failure,) = [each for each in found if each[1] == "fail"]
    assert f"near: 127.0.0.1:{port} is not reachable" in failure[2]
    assert "providers.near.base_url" in failure[3]


def test_the_doctor_tells_whether_redis_answers(configured, monkeypatch, redis_server):
    monkeypatch.setenv("EP_REDIS_URL", redis_server.url)
    found = checks(ep("doctor", "--no-ask", "--json"), Exit.OK)
    assert [state for area, state, *_ in found if area == "replicas"] == ["ok"]
    monkeypatch.setenv("EP_REDIS_URL", f"redis://:canary@127.0.0.1:{free_port()}/0")
    told_so = ep("doctor", "--no-ask", "--json")
    found = [(state, message) for area, state, message, _ in checks(told_so, Exit.OK) if area == "replicas"]
    assert found == [("warn", "Redis cannot be used: connection refused or lost")]
    assert "canary" not in told_so.stdout


def test_the_doctor_tells_every_finding_of_a_wrong_file(place):
    (place / "platform.yaml").write_text("version: 1\nprovidrs: {}\nmodles: {}\n")
    found = checks(ep("doctor", "--no-ask", "--json"), Exit.USAGE)
    assert len([each for each in found if each[0] == "configuration" and each[1] == "fail"]) == 2


def test_the_doctor_wants_a_key_where_others_can_reach_the_gateway(configured, monkeypatch):
    monkeypatch.setenv("EP_HOST", "0.0.0.0")
    found = checks(ep("doctor", "--no-ask", "--json"), Exit.FAILED)
    (failure,) = [each for each in found if each[1] == "fail"]
    assert "EP_MASTER_KEY" in failure[3]
    monkeypatch.setenv("EP_MASTER_KEY", "k" * 40)
    assert ("gateway", "ok", "a gateway key is set", None) in checks(ep("doctor", "--no-ask", "--json"), Exit.OK)


def test_the_doctor_sees_that_the_port_is_taken(configured, monkeypatch, listener):
    monkeypatch.setenv("EP_PORT", str(listener))
    found = checks(ep("doctor", "--no-ask", "--json"), Exit.OK)
    assert any(area == "gateway" and state == "warn" and str(listener) in message for area, state, message, _ in found)


def test_the_doctor_sees_a_workspace_that_cannot_be_used(configured, monkeypatch):
    (configured / "file").write_text("")
    monkeypatch.setenv("EP_WORKSPACE_ROOT", str(configured / "file" / "work"))
    found = checks(ep("doctor", "--no-ask", "--json"), Exit.FAILED)
    assert any(area == "workspace" and state == "fail" for area, state, *_ in found)


def test_serving_beyond_this_machine_without_a_key_is_refused(configured):
    result = ep("serve", "--host", "0.0.0.0")
    assert result.exit_code == Exit.USAGE
    assert "EP_MASTER_KEY" in result.stderr


def test_a_chat_in_process_prints_the_answer_and_who_gave_it(configured):
    result = ep("chat", "--persona", "tester", "Say hello")
    assert result.exit_code == 0
    assert "Say hello" in result.stdout
    assert "mock/" in result.stderr


def test_a_chat_for_machines_is_one_object(configured):
    found = told(ep("chat", "-m", "mock", "Say hello", "--json"))
    assert "Say hello" in found["text"]
    assert (found["reason"], found["provider"]) == ("stop", "mock")
    assert found["usage"]["input_tokens"] > 0


def test_a_prompt_may_come_from_a_pipe(configured):
    assert "From a pipe" in ep("chat", "-p", "tester", input="From a pipe\n").stdout


def test_a_chat_with_an_unknown_persona_is_a_usage_error(configured):
    assert ep("chat", "-p", "testr", "Hi").exit_code == Exit.USAGE


def test_a_chat_with_a_provider_that_has_no_key_is_unreachable(configured):
    result = ep("chat", "-p", "lonely", "Hi")
    assert result.exit_code == Exit.UNREACHABLE
    assert "openai/gpt-4o" in result.stderr


@pytest.mark.parametrize("how", ["option", "environment"])
def test_a_chat_goes_through_the_gateway_that_is_named(place, monkeypatch, how):
    with ScriptedServer([sse(*STREAM)]) as server:
        if how == "environment":
            monkeypatch.setenv("EP_GATEWAY_URL", server.url)
        option = ("--url", server.url) if how == "option" else ()
        result = ep("chat", "Hi", "-p", "architect", "-m", "a/b", "--system", "Be brief.", *option)
    assert (result.exit_code, result.stdout) == (0, "Hello\n")
    assert "p1/m1 · 2 + 3 tokens · $0.500000" in result.stderr
    body = server.asked[0].json
    assert (body["persona"], body["model"], body["system"]) == ("architect", "a/b", "Be brief.")


@pytest.mark.parametrize(
    ("answer", "code", "word"),
    [
        (plain({"error": {"message": "not you", "code": "invalid_api_key"}}, "401 X"), Exit.REFUSED, "not you"),
        (plain({"error": {"message": "who?", "code": "persona_not_found"}}, "404 X"), Exit.USAGE, "who?"),
        (plain({"error": {"message": "off", "code": "provider_not_configured"}}, "503 X"), Exit.UNREACHABLE, "off"),
        (sse(*STREAM[:1]), Exit.FAILED, "done"),
        (sse(b'event: error\ndata: {"error":"spent","code":"cost_budget_exceeded"}\n\n'), Exit.REFUSED, "spent"),
    ],
)
def test_a_chat_that_fails_ends_with_the_code_of_its_cause(place, answer, code, word):
    with ScriptedServer([answer]) as server:
        result = ep("chat", "Hi", "--url", server.url)
    assert result.exit_code == code
    assert word in result.stderr


def test_a_gateway_that_does_not_run_is_unreachable(place):
    result = ep("chat", "Hi", "--url", f"http://127.0.0.1:{free_port()}")
    assert result.exit_code == Exit.UNREACHABLE
    assert "ep serve" in result.stderr


def test_an_answer_cannot_drive_the_terminal():
    assert without_controls("a\x1b]0;title\x07b\x9b31m\tc\nd\x7f") == "a]0;titleb31m\tc\nd"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), Exit.USAGE),
        (RouterError("x"), Exit.USAGE),
        (NotConfigured("x"), Exit.UNREACHABLE),
        (ProviderError("x", kind=ErrorKind.CONNECTION), Exit.UNREACHABLE),
        (ProviderError("x", kind=ErrorKind.AUTH), Exit.REFUSED),
        (ProviderError("x", kind=ErrorKind.SERVER), Exit.FAILED),
        (ProtocolError("x", kind=ErrorKind.PROTOCOL), Exit.FAILED),
        (AuthenticationError("x"), Exit.REFUSED),
        (RequirementError("x"), Exit.REFUSED),
        (BudgetExceeded("x"), Exit.REFUSED),
        (ExecutionPlatformError("x"), Exit.FAILED),
    ],
    ids=lambda value: value.__class__.__name__ if isinstance(value, Exception) else str(value),
)
def test_every_error_has_its_exit_code(error, code):
    assert exit_code(error) is code


def test_a_conversation_remembers_what_was_said_until_its_end(place):
    """In a terminal of its own: two questions, then the end of input."""
    with ScriptedServer([sse(*STREAM), sse(*STREAM)]) as server:
        ours, theirs = pty.openpty()
        code = "from execution_platform.cli.main import main; main()"
        environ = {**os.environ, "PYTHONPATH": ":".join(sys.path), "EP_GATEWAY_URL": server.url, "TERM": "dumb"}
        child = subprocess.Popen(
            [sys.executable, "-c", code, "chat"],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
        )
        os.write(ours, b"One\n\nTwo\n\x04")
        out, err = child.communicate(timeout=60)
        os.close(ours)
        os.close(theirs)
    assert (child.returncode, out.count(b"Hello\n")) == (0, 2), err
    assert [(each["role"], each["content"]) for each in server.asked[1].json["messages"]] == [
        ("user", "One"),
        ("assistant", [{"type": "text", "text": "Hello"}]),
        ("user", "Two"),
    ]
