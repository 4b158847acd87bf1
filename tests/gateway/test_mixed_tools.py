"""The platform's tools and the caller's own in one answer, on the vendors' paths: no result is lost between two requests."""

from pathlib import Path
from typing import Any

import pytest

from execution_platform import _json
from execution_platform.dialects import dialect
from execution_platform.exceptions import InvalidRequest
from execution_platform.runtime.agent.aside import Asides
from execution_platform.testing import Call, FakeUpstream, Script, Text
from gateway.test_chat_tools import equip
from loops import in_loop
from serving import MODELS, Served, serving, three_vendors

SCHEMA = {"type": "object", "properties": {"question": {"type": "string"}}, "required": ["question"]}
PATHS = ("openai_chat", "anthropic", "gemini")
TEAM = {
    vendor: {
        "prefer": [MODELS[vendor]],
        "tools": ["read_file", "write_file"],
        "permission_mode": "bypassPermissions",
    }
    for vendor in PATHS
}
ASK = Call("ask_user", {"question": "Which colour?"})
READ = Call("read_file", {"path": "notes.txt"})


class Client:
    """A caller of one vendor's path with a tool of its own, which sends back what it got, as the vendors' SDKs do."""

    def __init__(self, served: Served, path: str, persona: str) -> None:
        self._served = served
        self._path = path
        self._model = f"persona/{persona}"
        self.history: list[Any] = []

    async def say(self, text: str) -> Any:
        """The user speaks; the call of the caller's own tool, or None."""
        part = {"parts": [{"text": text}]} if self._path == "gemini" else {"content": text}
        self.history.append({"role": "user", **part})
        return await self.send()

    async def answer(self, call: Any, text: str) -> Any:
        """The caller has run its tool."""
        self.note(call, text)
        return await self.send()

    def note(self, call: Any, text: str) -> None:
        """The result goes into the history."""
        if self._path == "openai_chat":
            self.history.append({"role": "tool", "tool_call_id": call["id"], "content": text})
        elif self._path == "anthropic":
            result = {"type": "tool_result", "tool_use_id": call["id"], "content": text}
            self.history.append({"role": "user", "content": [result]})
        else:
            back = {"name": "ask_user", "response": {"output": text}, "id": call["id"]}
            self.history.append({"role": "user", "parts": [{"functionResponse": back}]})

    async def send(self) -> Any:
        """Ask; the answer goes into the history."""
        where, body = self.request()
        got = await self._served.post(where, body)
        assert got.status == 200, got.body
        assert b"read_file" not in got.body
        whole = got.json()
        if self._path == "openai_chat":
            said = whole["choices"][0]["message"]
            calls = [{"id": each["id"], **each["function"]} for each in said.get("tool_calls") or ()]
            said = {name: said[name] for name in ("role", "content", "tool_calls") if said.get(name)}
        elif self._path == "anthropic":
            said = {"role": "assistant", "content": whole["content"]}
            calls = [each for each in whole["content"] if each["type"] == "tool_use"]
        else:
            said = whole["candidates"][0]["content"]
            calls = [each["functionCall"] for each in said["parts"] if "functionCall" in each]
        self.history.append(said)
        assert len(calls) <= 1
        return calls[0] if calls else None

    def request(self) -> tuple[str, dict[str, Any]]:
        """The next request: one tool with a schema, one of the platform's that is only named."""
        if self._path == "gemini":
            tools = [{"functionDeclarations": [{"name": "ask_user", "parameters": SCHEMA}, {"name": "read_file"}]}]
            return f"/v1beta/models/{self._model}:generateContent", {"contents": self.history, "tools": tools}
        if self._path == "anthropic":
            own = {"name": "ask_user", "input_schema": SCHEMA}
            bare = {"name": "read_file", "input_schema": {"type": "object", "properties": {}}}
            return "/v1/messages", self._body([own, bare]) | {"max_tokens": 500}
        own = {"type": "function", "function": {"name": "ask_user", "parameters": SCHEMA}}
        bare = {"type": "function", "function": {"name": "read_file"}}
        return "/v1/chat/completions", self._body([own, bare])

    def _body(self, tools: list[Any]) -> dict[str, Any]:
        return {"model": self._model, "messages": self.history, "tools": tools}


def notes(folder: Path) -> None:
    """A file whose content no caller sees."""
    shared = folder / "tenants" / "default" / "shared"
    shared.mkdir(parents=True)
    (shared / "notes.txt").write_text("the notes say blue-42")


@pytest.mark.parametrize("vendor", PATHS)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("turns", ["one turn", "one after the other", "the caller's first"])
@in_loop
async def test_what_the_platforms_tools_found_is_there_when_the_caller_comes_back(
    tmp_path: Path, path: str, vendor: str, turns: str
) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        equip(served)
        notes(tmp_path)
        first = {
            "one turn": [Script([Text("Let me see.", chunks=1), READ, ASK])],
            "one after the other": [Script(READ), Script([Text("Hm.", chunks=1), ASK])],
            "the caller's first": [Script([ASK, READ])],
        }[turns]
        upstream.script(*first, Script("It is blue."), Script("Yes, blue."))
        client = Client(served, path, vendor)
        call = await client.say("Which colour is it?")
        assert call is not None
        assert await client.answer(call, "take green-7") is None
        await client.say("Sure?")
        for request in upstream.meter[-2:]:
            sent = str(request.body)
            assert "the notes say blue-42" in sent
            assert "take green-7" in sent
            assert "epw_" not in sent
            assert sent.count("Let me see.") + sent.count("Hm.") == (0 if turns == "the caller's first" else 1)


@pytest.mark.parametrize("path", PATHS)
@in_loop
async def test_results_that_are_gone_are_refused_and_not_forgotten(tmp_path: Path, path: str) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        equip(served)
        notes(tmp_path)
        upstream.script(Script([READ, ASK]), Script("never"))
        client = Client(served, path, "openai_chat")
        call = await client.say("Which colour is it?")
        served.gateway.state.running.workshop.asides = Asides()
        client.note(call, "green")
        got = await served.post(*client.request())
        assert got.status == 400
        assert got.header("x-ep-error") == "tool_results_not_kept"
        assert b"are not kept here" in got.body
        assert len(upstream.meter) == 1


@in_loop
async def test_a_tool_that_nobody_has_is_not_shown_to_the_caller(tmp_path: Path) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        equip(served)
        upstream.script(Script(Call("invented", {})), Script("Sorry."))
        assert await Client(served, "openai_chat", "openai_chat").say("Go") is None
        assert "not_found" in str(upstream.meter[1].body)


@in_loop
async def test_where_the_platform_did_nothing_ids_stay_as_they_are(tmp_path: Path) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        equip(served)
        upstream.script(Script(Call("ask_user", {"question": "?"}, "call_own")), Script("Thanks."))
        client = Client(served, "openai_chat", "openai_chat")
        call = await client.say("Go")
        assert call["id"] == "call_own"
        assert await client.answer(call, "green") is None


@in_loop
async def test_a_stream_ends_with_the_callers_call_under_an_id_that_leads_back(tmp_path: Path) -> None:
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        equip(served)
        notes(tmp_path)
        upstream.script(Script([Text("Hm.", chunks=2), ASK, READ]), Script("It is blue."))
        client = Client(served, "openai_chat", "anthropic")
        client.history.append({"role": "user", "content": "Which colour?"})
        where, body = client.request()
        got = await served.post(where, {**body, "stream": True})
        frames: list[Any] = [
            _json.loads(line.removeprefix("data: ")) for line in got.body.decode().splitlines() if "{" in line
        ]
        deltas = [choice["delta"] for frame in frames for choice in frame["choices"]]
        (call,) = [each for delta in deltas for each in delta.get("tool_calls") or () if each.get("id")]
        arguments = "".join(each["function"]["arguments"] for delta in deltas for each in delta.get("tool_calls") or ())
        assert call["id"].startswith("epw_")
        assert arguments == '{"question":"Which colour?"}'
        assert "".join(delta.get("content") or "" for delta in deltas) == "Hm."
        called = {"id": call["id"], "type": "function", "function": {"name": "ask_user", "arguments": arguments}}
        client.history.append({"role": "assistant", "content": "Hm.", "tool_calls": [called]})
        assert await client.answer(call, "green") is None
        assert "blue-42" in str(upstream.meter[1].body)


@in_loop
async def test_what_an_answer_has_seen_is_seen_by_the_next_one(tmp_path: Path) -> None:
    """H4: private data behind a call of the caller's own counts after the caller has come back."""
    async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=TEAM)) as served:
        equip(served)
        notes(tmp_path)
        upstream.script(Script([READ, ASK]), Script("Blue."))
        client = Client(served, "openai_chat", "openai_chat")
        await client.say("Which colour is it?")
        request = dialect("openai_chat").decode_request(_json.dumps(client.request()[1]))
        unfolded = served.gateway.state.running.workshop.asides.unfold("default", request)
        assert unfolded.seen.private
        with pytest.raises(InvalidRequest):
            served.gateway.state.running.workshop.asides.unfold("another", request)
