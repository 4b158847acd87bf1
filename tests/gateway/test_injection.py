"""No text of a caller or a provider becomes an event of its own in a stream."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from execution_platform.testing import Call, FakeUpstream, Raw, Script, StreamError, Text
from serving import MODELS, chat_body, serving, three_vendors

CLIENTS = ["openai_chat", "anthropic", "gemini", "native"]
FORGED = "forged-event"
ATTACKS = [
    f"a\n\nevent: {FORGED}\ndata: {{}}\n\n",
    f"a\r\n\r\nevent: {FORGED}\r\ndata: {{}}\r\n\r\n",
    f"a\r\revent: {FORGED}\rdata: {{}}\r\r",
    f"a\u2028event: {FORGED}\u2029data: {{}}\x0b\x0c\x85",
    f"a\n\nid: {FORGED}\nretry: 1\n: {FORGED}\n\n",
    f"a\x00\n\nevent: {FORGED}\n\ndata: [DONE]\n\n",
]


def events(stream: bytes) -> list[tuple[str, str]]:
    """Name and data of each event, as the specification of server-sent events has it (WHATWG HTML 9.2.6, 2026-10)."""
    found: list[tuple[str, str]] = []
    name, data = "message", list[str]()
    for line in re.split(r"\r\n|\r|\n", stream.decode()):
        field, _, value = line.partition(":")
        if not line:
            if data:
                found.append((name, "\n".join(data)))
            name, data = "message", []
        elif field == "event":
            name = value.removeprefix(" ")
        elif field == "data":
            data.append(value.removeprefix(" "))
        else:
            assert field in {"", "id", "retry"}, line
            assert FORGED not in value or not field, line
    return found


def ends(stream: bytes) -> int:
    """How often a stream says that it is over."""
    return sum(data == "[DONE]" or name in {"done", "message_stop"} for name, data in events(stream))


def check(stream: bytes, plain: bytes) -> None:
    """The events of `stream` are of the kinds that a harmless answer has, and each holds one JSON value."""
    kinds = {name for name, _ in events(plain)} | {"error"}
    for name, data in events(stream):
        assert name in kinds, (name, stream)
        assert data == "[DONE]" or isinstance(json.loads(data), dict), (name, data)
    assert ends(stream) <= ends(plain)


@pytest.mark.parametrize("target", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
def test_line_ends_in_a_text_make_no_event(client: str, target: str, tmp_path: Path) -> None:
    """T1: in answers, names and arguments of calls, model names and errors, converted or passed through."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:

            async def answer(*scripts: Script) -> bytes:
                upstream.clear()
                upstream.script(*scripts)
                got = await gateway.post(*chat_body(client, "hi", MODELS[target], stream=True))
                return got.body if got.status == 200 else b""

            call, whole = await answer(Script(Call("f", {"a": "b"}))), await answer(Script(Text("one two")))
            assert call
            for attack in ATTACKS:
                said = await answer(Script(Text(attack, chunks=1)))
                check(said, whole)
                assert FORGED in said.decode()
                check(await answer(Script(Call("f", {"a": attack}, id=attack))), call)
                cut = await answer(Script(Text("one two"), faults=[StreamError(message=attack, after=1, of="content")]))
                check(cut, whole)

    asyncio.run(run())


@pytest.mark.parametrize("client", CLIENTS)
def test_line_ends_in_a_name_or_an_error_make_no_event(client: str, tmp_path: Path) -> None:
    """T1: also where the stream never begins."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            for attack in ATTACKS:
                upstream.script(Raw(json.dumps({"error": {"message": attack, "type": attack}}).encode(), status=400))
                for model in (attack, MODELS["openai_chat"]):
                    safe = model.replace("\r", "%0D").replace("\n", "%0A").replace("\x00", "%00")
                    path, body = chat_body(client, "hi", safe if client == "gemini" else model, stream=True)
                    got = await gateway.post(path, body)
                    assert got.status >= 400
                    assert json.loads(got.body)["error"]

    asyncio.run(run())
