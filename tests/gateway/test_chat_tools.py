"""Chats whose tools the platform runs, on every path and from every vendor."""

from pathlib import Path
from typing import Any

import pytest

from agent_tools import ReadFile, WriteFile
from execution_platform import _json
from execution_platform.testing import Call, FakeUpstream, Script, Text
from loops import in_loop
from serving import MODELS, Served, chat_body, serving, three_vendors

TEAM = {"dev": {"prefer": ["openai"], "tools": ["read_file", "write_file"], "permission_mode": "acceptEdits"}}


def events(body: bytes) -> list[tuple[str, Any]]:
    """The native events of a stream."""
    found: list[tuple[str, Any]] = []
    for frame in body.decode().split("\n\n"):
        lines = [line for line in frame.splitlines() if not line.startswith(":")]
        if lines:
            found.append((lines[0].removeprefix("event: "), _json.loads(lines[1].removeprefix("data: "))))
    return found


def equip(served: Served) -> tuple[ReadFile, WriteFile]:
    """Two tools in the gateway's registry."""
    read, write = ReadFile(), WriteFile()
    served.gateway.state.tools.register(read)
    served.gateway.state.tools.register(write)
    return read, write


@pytest.mark.parametrize("vendor", ["openai_chat", "anthropic", "gemini"])
@pytest.mark.parametrize("stream", [True, False])
@in_loop
async def test_a_registered_tool_is_run_and_its_result_goes_back_to_the_model(
    tmp_path: Path, vendor: str, stream: bool
) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        read, write = equip(served)
        upstream.script(
            Script(Call("write_file", {"path": "a.txt", "content": "hello"})),
            Script(Call("read_file", {"path": "a.txt"})),
            Script(Text("It says hello.", chunks=1)),
        )
        got = await served.post(
            "/v1/chat",
            {
                "messages": [{"role": "user", "content": "Write hello"}],
                "persona": "dev",
                "model": MODELS[vendor],
                "stream": stream,
            },
        )
        assert got.status == 200, got.body
        assert len(write.calls) == len(read.calls) == 1
        context = write.calls[0][0]
        assert (context.workspace / "a.txt").read_text() == "hello"
        assert len(upstream.meter) == 3
        if stream:
            told = events(got.body)
            names = [name for name, _ in told]
            assert names == [*["tool_call", "tool_result"] * 2, "token", "usage", "done"]
            assert told[1][1]["data"]["result"] == '{"written":5}'
            assert told[3][1]["data"]["result"] == "hello"
            assert told[-1][1]["reason"] == "stop"
        else:
            answer = got.json()
            assert answer["text"] == "It says hello."
            assert [call["name"] for call in answer["tool_calls"]] == ["write_file", "read_file"]


@pytest.mark.parametrize("path", ["openai_chat", "anthropic", "gemini"])
@pytest.mark.parametrize("stream", [True, False])
@in_loop
async def test_a_vendors_caller_sees_the_answer_and_not_the_platforms_calls(
    tmp_path: Path, path: str, stream: bool
) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        _, write = equip(served)
        upstream.script(Script(Call("write_file", {"path": "a.txt", "content": "hello"})), Script("All is written."))
        where, body = chat_body(path, "Write hello", "persona/dev", stream=stream)
        got = await served.post(where, body)
        assert got.status == 200, got.body
        assert len(write.calls) == 1
        assert b"write_file" not in got.body
        assert b"written" in got.body
