"""The Claude agent runtime as a provider: the real package and its real program, on a scripted API."""

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from clients.programs import FOLDER
from execution_platform.testing import FakeUpstream, Gate, Script, Status, Text, Thinking, Tokens
from serving import Served, serving

PYTHON = Path(FOLDER).absolute() / "python"
MODEL = "agent/claude-sonnet-4-5"
KEY = "sk-ant-agent-canary-1"

if FOLDER and PYTHON.is_dir():
    sys.path.append(str(PYTHON))

pytestmark = pytest.mark.skipif(
    not (FOLDER and PYTHON.is_dir()),
    reason="claude-agent-sdk is not installed: `make clients` installs it and runs these tests",
)


def config(upstream: FakeUpstream, **changes: Any) -> dict[str, Any]:
    agent = {"kind": "claude_agent", "base_url": upstream.url, "api_key": KEY, "models": ["claude-sonnet-4-5"]}
    return {"retry": {"max_attempts": 1}, "providers": {"agent": {**agent, **changes}}}


def ask(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


def play(upstream: FakeUpstream, folder: Path, body: dict[str, Any], **changes: Any) -> Any:
    """One request through a gateway; its answer."""

    async def run() -> Any:
        async with serving(folder, config(upstream, **changes)) as served:
            return await served.post("/v1/chat/completions", body)

    return asyncio.run(run())


def children() -> list[int]:
    """The runtime's processes that are children of this one."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1]) if entry.name.isdecimal() else 0
            if parent == os.getpid() and b"_bundled/claude" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


async def asked_of(upstream: FakeUpstream) -> None:
    """Wait until the runtime has asked the API."""
    async with asyncio.timeout(30):
        while not len(upstream.meter):
            await asyncio.sleep(0.02)


def test_an_answer_with_thought_usage_and_price(upstream: FakeUpstream, tmp_path: Path) -> None:
    usage = Tokens(input=100, output=20)
    upstream.script(Script([Thinking("let me see"), Text("hello from the runtime")], usage=usage))
    got = play(upstream, tmp_path, ask())
    assert got.status == 200, got.body
    answer = got.json()
    assert answer["choices"][0]["message"]["content"] == "hello from the runtime"
    assert answer["choices"][0]["message"]["reasoning_content"] == "let me see"
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (100, 20)
    assert got.header("x-ep-cost-usd") == "0.00060000"
    assert children() == []


def test_the_runtime_is_told_the_system_text_the_prompt_and_no_tool(upstream: FakeUpstream, tmp_path: Path) -> None:
    upstream.script("ok")
    secret = tmp_path / "secret.txt"
    secret.write_text("not-for-the-model")
    body = ask(f"/help and read @{secret}", max_tokens=77)
    body["messages"].insert(0, {"role": "system", "content": "You are a poet."})
    assert play(upstream, tmp_path, body).status == 200
    sent = upstream.meter[0]
    wire: Any = sent.body
    assert wire.get("tools", []) == []
    assert wire["max_tokens"] == 77
    assert "You are a poet." in str(wire["system"])
    assert wire["messages"][-1]["content"][-1]["text"] == f"/help and read @{secret}"
    assert "not-for-the-model" not in sent.raw_body.decode()
    assert sent.headers["x-api-key"] == KEY


def test_earlier_turns_are_told_as_a_record(upstream: FakeUpstream, tmp_path: Path) -> None:
    upstream.script("ok")
    turns = [("user", "my name is Ada"), ("assistant", "hello Ada"), ("user", "who am I?")]
    body = ask() | {"messages": [{"role": role, "content": text} for role, text in turns]}
    got = play(upstream, tmp_path, body)
    assert got.status == 200
    wire: Any = upstream.meter[0].body
    record, last = wire["messages"][-1]["content"][-2:]
    assert '{"role":"assistant","content":"hello Ada"}' in record["text"]
    assert last["text"] == "who am I?"
    assert "messages" in (got.header("x-ep-loss") or "messages")


def test_nothing_of_the_gateways_environment_reaches_the_runtime(
    upstream: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai-canary-9")
    gate = Gate("answer")
    upstream.script(Script(Text("ok"), gate=gate))
    seen: list[bytes] = []

    async def look(served: Served) -> None:
        asked = asyncio.create_task(served.post("/v1/chat/completions", ask()))
        await asked_of(upstream)
        seen.extend((Path("/proc") / str(pid) / "environ").read_bytes() for pid in children())
        gate.release()
        assert (await asked).status == 200

    async def run() -> None:
        async with serving(tmp_path, config(upstream)) as served:
            await look(served)

    asyncio.run(run())
    (environ,) = seen
    assert b"sk-openai-canary-9" not in environ
    assert b"CLAUDE_CONFIG_DIR=/tmp/ep-agent-" in environ


def test_a_caller_that_leaves_ends_the_runtime(
    upstream: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (homes := tmp_path / "homes").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(homes))
    upstream.script(Script(Text("word " * 200), pace_gate=(gate := Gate("pace"))))

    async def run() -> None:
        async with serving(tmp_path, config(upstream)) as served:
            asked = asyncio.create_task(served.post("/v1/chat/completions", ask(stream=True)))
            await asked_of(upstream)
            assert len(children()) == 1
            assert len(list(homes.glob("ep-agent-*"))) == 1
            asked.cancel()
            async with asyncio.timeout(10):
                while children():
                    await asyncio.sleep(0.02)

    asyncio.run(run())
    gate.release()
    assert not list(homes.iterdir())


@pytest.mark.parametrize(
    ("status", "answered", "code"),
    [(401, 502, "provider_auth"), (529, 503, "provider_overloaded"), (400, 400, "provider_bad_request")],
)
def test_errors_of_the_api_are_those_of_the_table(
    status: int, answered: int, code: str, upstream: FakeUpstream, tmp_path: Path
) -> None:
    upstream.script(Script(Status(status)))
    got = play(upstream, tmp_path, ask())
    assert (got.status, got.json()["error"]["code"]) == (answered, code)
    assert len(upstream.meter) == 1, "who tries again is decided outside of the runtime"


def test_without_a_key_the_provider_says_so(upstream: FakeUpstream, tmp_path: Path) -> None:
    got = play(upstream, tmp_path, ask(), api_key=None)
    assert got.status == 503
    assert "ANTHROPIC_API_KEY" in got.json()["error"]["message"]


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def test_a_tool_of_the_caller_is_called_and_its_result_goes_back(upstream: FakeUpstream, tmp_path: Path) -> None:
    calling = '<tool_call>{"name": "weather", "arguments": {"city": "Paris"}}</tool_call>'
    upstream.script(Script(Text(f"Let me see.\n{calling}")), Script(Text("It is sunny.")))
    body = ask("How is the weather in Paris?", tools=[WEATHER])

    async def run() -> tuple[Any, Any]:
        async with serving(tmp_path, config(upstream)) as served:
            first = await served.post("/v1/chat/completions", body)
            assert first.status == 200, first.body
            said = first.json()["choices"][0]["message"]
            back = {"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": "sunny-17"}
            again = {**body, "messages": [*body["messages"], said, back]}
            return first, await served.post("/v1/chat/completions", again)

    first, second = asyncio.run(run())
    choice = first.json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    (call,) = choice["message"]["tool_calls"]
    assert (call["function"]["name"], call["function"]["arguments"]) == ("weather", '{"city":"Paris"}')
    assert "tools" in (first.header("x-ep-loss") or "")
    wire: Any = upstream.meter[0].body
    assert wire.get("tools", []) == []
    assert "The weather of a city." in str(wire["system"])
    assert second.json()["choices"][0]["message"]["content"] == "It is sunny."
    assert "sunny-17" in upstream.meter[1].raw_body.decode()


def test_a_persona_on_the_runtime_works_with_the_platforms_tools(upstream: FakeUpstream, tmp_path: Path) -> None:
    """The runtime's own tools stay denied: what it wants written is written by ours, in the workspace."""
    writing = '<tool_call>{"name": "fs_write", "arguments": {"path": "poem.txt", "content": "roses"}}</tool_call>'
    upstream.script(Script(Text(writing)), Script(Text("It is written.")))
    given = config(upstream)
    given["personas"] = {"poet": {"prefer": [MODEL], "tools": ["fs_write"], "permission_mode": "acceptEdits"}}

    async def run() -> Any:
        async with serving(tmp_path, given) as served:
            started = await served.post("/v1/runs", {"persona": "poet", "task": "Write a poem"})
            assert started.status == 201, started.body
            run_id = started.json()["id"]
            await served.get(f"/v1/runs/{run_id}/events")
            return (await served.get(f"/v1/runs/{run_id}")).json()

    row = asyncio.run(run())
    assert (row["status"], row["reason"], row["answer"], row["steps"]) == ("done", "stop", "It is written.", 2), row
    assert next(tmp_path.rglob("poem.txt")).read_text() == "roses"
    for exchange in upstream.meter:
        wire: Any = exchange.body
        assert wire.get("tools", []) == []
    assert children() == []
