"""A model without tool calls uses tools all the same, on every path; the real small model too."""

from pathlib import Path
from typing import Any

import pytest

from agent_tools import ReadFile, WriteFile
from execution_platform.testing import FakeUpstream, Script, Text
from gateway.test_chat_tools import events
from loops import in_loop
from providers.local_server import needs_chat
from serving import serving, three_vendors

CALL = '<tool_call>{"name": "write_file", "arguments": {"path": "a.txt", "content": "hi"}}</tool_call>'
ANSWER = '{"answer": null, "calls": [{"name": "write_file", "arguments": {"path": "a.txt", "content": "hi"}}]}'
WEATHER: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}}
TEAM = {"dev": {"prefer": ["openai"], "tools": ["write_file", "read_file"], "permission_mode": "acceptEdits"}}


def config(upstream: FakeUpstream, tier: str) -> dict[str, Any]:
    """A provider whose model has no tool calls."""
    given = three_vendors(upstream, personas=TEAM)
    given["providers"]["openai"]["profiles"] = {"*": {"tool_calling": tier}}
    return given


@pytest.mark.parametrize(("tier", "said"), [("prompted", CALL), ("simulated", ANSWER)])
@in_loop
async def test_a_run_on_a_model_without_tool_calls_runs_tools(tmp_path: Path, tier: str, said: str) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, config(upstream, tier)) as served:
        write = WriteFile()
        served.gateway.state.tools.register(write)
        served.gateway.state.tools.register(ReadFile())
        done = "done" if tier == "prompted" else '{"answer": "done", "calls": []}'
        upstream.script(Script(Text(said)), Script(Text(done, chunks=1)))
        got = await served.post("/v1/chat", {"persona": "dev", "messages": [{"role": "user", "content": "Write"}]})
        assert got.status == 200, got.body
        told = events(got.body)
        assert [name for name, _ in told] == ["tool_call", "tool_result", "token", "usage", "done"]
        assert len(write.calls) == 1
        body = upstream.meter[1].body
        assert isinstance(body, dict)
        assert "tools" not in body
        assert "tool_result" in str(body["messages"])
        assert "knob:tools" in (got.header("x-ep-loss") or "")


@pytest.mark.parametrize("stream", [True, False])
@in_loop
async def test_a_callers_own_tool_is_called_by_a_model_that_cannot(tmp_path: Path, stream: bool) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, config(upstream, "prompted")) as served:
        upstream.script(Script(Text('<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>')))
        body = {
            "model": "openai/gpt-4o",
            "messages": [{"role": "user", "content": "Weather?"}],
            "tools": [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}],
            "stream": stream,
        }
        got = await served.post("/v1/chat/completions", body)
        assert got.status == 200, got.body
        assert b'"weather"' in got.body
        assert b"tool_calls" in got.body
        assert b"<tool_call>" not in got.body


@needs_chat
@pytest.mark.xdist_group("model")
@in_loop
async def test_the_embedded_model_answers_a_run_with_tools_or_ends_it_by_a_name(tmp_path: Path) -> None:
    team = {"dev": {"prefer": ["embedded"], "tools": ["read_file"], "max_tokens": 48}}
    async with serving(tmp_path, {"personas": team, "runs": {"steps": 2, "seconds": 100}}) as served:
        served.gateway.state.tools.register(ReadFile())
        body = {"persona": "dev", "messages": [{"role": "user", "content": "Read the file a.txt with the tool."}]}
        got = await served.post("/v1/chat", body)
        assert got.status == 200, got.body
        name, done = events(got.body)[-1]
        assert name == "done", got.body
        assert done["stop_reason"] in {"stop", "length", "step_limit", "repeated_call", "time_limit"}
