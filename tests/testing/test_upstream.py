"""Scripting, the meter, life and death of the server, and the control paths."""

import asyncio
import json
import subprocess
import sys
import threading
import urllib.request

import pytest

from execution_platform.testing import (
    Exchange,
    FakeUpstream,
    Gate,
    Meter,
    Script,
    ScriptError,
    Stall,
    Status,
    Text,
    Thinking,
    Tokens,
    script_from_json,
)
from execution_platform.testing.frames import Frame
from testing.raw_client import (
    ANTHROPIC,
    ANTHROPIC_PATH,
    OPENAI_PATH,
    STREAMS,
    UNARY,
    anthropic,
    openai,
    parse,
    request_bytes,
    send,
)


def content(received):
    return received.json()["choices"][0]["message"]["content"]


def test_scripts_are_played_in_turn_and_the_last_one_stays():
    async def run():
        async with FakeUpstream() as upstream:
            upstream.script(Status(429), "second", Text("third"))
            return [await send(upstream, OPENAI_PATH, openai()) for _ in range(4)]

    first, *others = asyncio.run(run())
    assert first.status == 429
    assert [content(other) for other in others] == ["second", "third", "third"]


def test_scripts_for_once_give_way_to_older_rules():
    async def run():
        async with FakeUpstream() as upstream:
            upstream.script("old")
            upstream.script("new", once=True)
            return [content(await send(upstream, OPENAI_PATH, openai())) for _ in range(2)]

    assert asyncio.run(run()) == ["new", "old"]


def test_rules_match_by_model_path_dialect_operation_and_predicate():
    async def run():
        async with FakeUpstream() as upstream:
            upstream.script("by dialect", dialect="openai_chat")
            upstream.script("by model", model="gpt-5*")
            upstream.script("by path", path="/openai/*")
            upstream.script("by body", when=lambda request: request.body.get("seed") == 7)
            upstream.script(Status(500), operation="embeddings")
            bodies = [openai(), openai(model="gpt-5-mini"), openai(seed=7)]
            texts = [content(await send(upstream, OPENAI_PATH, body)) for body in bodies]
            texts.append(content(await send(upstream, "/openai/v1/chat/completions", openai())))
            other = await send(upstream, ANTHROPIC_PATH, anthropic(), ANTHROPIC)
            failed = await send(upstream, "/v1/embeddings", {"model": "e", "input": "x"})
            return texts, other.json()["content"][0]["text"], failed.status

    texts, other, failed = asyncio.run(run())
    assert texts == ["by dialect", "by model", "by body", "by path"]
    assert other == "echo: say hi"
    assert failed == 500


def test_the_meter_knows_what_was_asked():
    async def run():
        async with FakeUpstream() as upstream:
            await send(upstream, OPENAI_PATH + "?a=1", openai(seed=3), {"X-Trace": "t"})
            return await upstream.wait_closed(0)

    record = asyncio.run(run())
    assert (record.dialect, record.operation, record.model, record.stream) == (
        "openai_chat",
        "chat",
        "gpt-4o-mini",
        False,
    )
    assert (record.path, record.query, record.headers["x-trace"]) == (OPENAI_PATH, {"a": "1"}, "t")
    assert record.body["seed"] == 3
    assert record.connection.opened_at <= record.received_at <= record.first_byte_at <= record.closed_at


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("table", [STREAMS, UNARY])
def test_the_meter_tells_the_same_usage_in_every_dialect(name, table):
    async def run():
        async with FakeUpstream() as upstream:
            usage = Tokens(input=100, output=70, cached=30, reasoning=5)
            upstream.script(Script([Thinking("a"), Text("b c d")], usage=usage))
            path, body, headers = table[name]
            options = (
                {"stream_options": {"include_usage": True}} if body.get("stream") and name == "openai_chat" else {}
            )
            received = await send(upstream, path, body | options, headers)
            return received, await upstream.wait_closed(0), upstream.meter.totals()

    received, record, totals = asyncio.run(run())
    told = record.told
    assert (told.input, told.output, told.cached, told.reasoning) == (100, 70, 30, 5)
    assert record.tokens_sent == 70
    assert record.bytes_sent == len(received.raw)
    assert (totals["requests"], totals["input"], totals["output"], totals["tokens_sent"]) == (1, 100, 70, 70)


def test_usage_that_was_not_asked_for_was_sent_but_not_told():
    async def run():
        async with FakeUpstream() as upstream:
            await send(upstream, OPENAI_PATH, openai(stream=True))
            return await upstream.wait_closed(0)

    record = asyncio.run(run())
    assert record.told.output is None
    assert record.tokens_sent == 3


def test_one_connection_serves_many_requests_one_after_the_other():
    async def run():
        async with FakeUpstream() as upstream:
            upstream.script("one", "two", "three")
            reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
            writer.write(request_bytes(OPENAI_PATH, openai(), keep=True) * 2 + request_bytes(OPENAI_PATH, openai()))
            raw = await reader.read()
            writer.close()
            await upstream.wait_until(lambda meter: meter.connections_open == 0)
            return raw, upstream.meter

    raw, meter = asyncio.run(run())
    replies = [parse(b"HTTP/1.1 " + part) for part in raw.split(b"HTTP/1.1 ")[1:]]
    assert [content(reply) for reply in replies] == ["one", "two", "three"]
    assert (len(meter), len(meter.connections), meter.connections[0].requests) == (3, 1, 3)
    assert meter.connections[0].closed_by == "server"


def test_a_request_waits_for_the_one_before_it_on_the_same_connection():
    async def run():
        gate = Gate()
        async with FakeUpstream() as upstream:
            upstream.script(Script("one", gate=gate), "two")
            reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
            writer.write(request_bytes(OPENAI_PATH, openai(), keep=True) + request_bytes(OPENAI_PATH, openai()))
            await gate.reached()
            assert len(upstream.meter) == 1
            gate.release()
            raw = await reader.read()
            writer.close()
            return raw

    assert asyncio.run(run()).count(b"HTTP/1.1 200") == 2


def test_a_client_may_ask_before_it_sends_its_body():
    async def run():
        async with FakeUpstream() as upstream:
            return await send(upstream, OPENAI_PATH, openai(), {"expect": "100-continue"})

    assert asyncio.run(run()).raw.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


def test_what_is_not_http_is_refused():
    async def run():
        async with FakeUpstream() as upstream:
            reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
            writer.write(b"\x16\x03\x01 not http\r\n\r\n")
            raw = await reader.read()
            writer.close()
            return raw

    assert asyncio.run(run()).startswith(b"HTTP/1.1 400 ")


def test_headers_of_a_script_replace_those_of_the_vendor():
    async def run():
        async with FakeUpstream() as upstream:
            upstream.script(Script("x", headers={"Request-Id": "mine", "server": ""}, close=True))
            return await send(upstream, ANTHROPIC_PATH, anthropic(), ANTHROPIC)

    received = asyncio.run(run())
    assert received.headers["request-id"] == "mine"
    assert received.headers["connection"] == "close"


def test_leaving_resets_open_streams():
    async def run():
        async with FakeUpstream() as upstream:
            upstream.script(Script("x", faults=[Stall(0)]))
            pending = asyncio.create_task(send(upstream, OPENAI_PATH, openai()))
            await upstream.wait_until(lambda meter: len(meter) == 1)
        return await pending, upstream.meter[0]

    received, record = asyncio.run(run())
    assert received.was_reset
    assert (record.end, record.connection.closed_by) == ("server", "server")


def test_leaving_raises_a_script_that_failed():
    async def run():
        async with FakeUpstream() as upstream:
            upstream.script(Status(400, "no_such_kind"))
            failed = await send(upstream, OPENAI_PATH, openai())
            assert failed.status == 500
            assert "no_such_kind" in failed.json()["error"]["message"]

    with pytest.raises(ScriptError, match="no_such_kind"):
        asyncio.run(run())


def test_waiting_for_what_does_not_happen_ends():
    async def run():
        async with FakeUpstream() as upstream:
            await upstream.wait_closed(0, within=0.01)

    with pytest.raises(TimeoutError):
        asyncio.run(run())


def test_hundreds_of_streams_at_once_are_all_complete():
    async def run():
        async with FakeUpstream() as upstream:
            upstream.script(Text("word " * 50))
            received = await asyncio.gather(*(send(upstream, *STREAMS["openai_chat"]) for _ in range(300)))
            await upstream.wait_until(lambda meter: meter.connections_open == 0)
            return received, upstream.meter

    received, meter = asyncio.run(run())
    assert all(one.is_whole for one in received)
    assert {record.end for record in meter.exchanges} == {"complete"}
    assert meter.totals()["tokens_sent"] == 15_000


def test_a_large_answer_is_held_back_when_the_client_does_not_read():
    async def run():
        async with FakeUpstream() as upstream:
            upstream.script(Text("x" * 40_000_000, chunks=40))
            reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
            writer.write(request_bytes(OPENAI_PATH, openai(stream=True)))
            await reader.readexactly(100)
            writer.transport.abort()
            return await upstream.wait_closed(0)

    record = asyncio.run(run())
    assert record.end == "client"
    assert 0 < record.events_sent < 40


def call(url, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url + path, data), timeout=10) as response:
        return json.loads(response.read())


def test_what_a_client_that_has_left_does_not_take_is_not_counted(caplog):
    async def run():
        async with FakeUpstream() as upstream:
            upstream.script(Text("word " * 50))
            _, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
            writer.write(request_bytes(OPENAI_PATH, openai(stream=True)))
            writer.transport.abort()
            return await upstream.wait_closed(0)

    record = asyncio.run(run())
    assert record.end == "client"
    assert record.tokens_sent < 50
    assert caplog.records == []


def test_a_lean_meter_keeps_numbers_only():
    async def run():
        async with FakeUpstream(lean=True) as upstream:
            await send(upstream, OPENAI_PATH, openai())
            return await upstream.wait_closed(0)

    record = asyncio.run(run())
    assert (record.raw_body, record.body, record.headers) == (b"", None, {})
    assert record.told.output == 3


def test_the_server_can_live_on_a_thread():
    with FakeUpstream.in_thread() as hosted:
        hosted.upstream.script("from the thread")
        body = call(hosted.upstream.url, OPENAI_PATH, openai())
        record = hosted.wait_closed(0)
        with pytest.raises(TimeoutError):
            hosted.wait_until(lambda meter: len(meter) == 2, within=0.01)
    assert body["choices"][0]["message"]["content"] == "from the thread"
    assert record.end == "complete"


def test_who_has_an_answer_finds_it_in_the_meter(monkeypatch: pytest.MonkeyPatch):
    """The bytes are out before they are entered; the meter is not read between the two."""
    arrived, count = threading.Event(), Exchange.count

    def count_late(self: Exchange, data: bytes, frame: Frame | None, *, is_event: bool) -> None:
        assert frame is None or arrived.wait(10), "the answer did not come"
        count(self, data, frame, is_event=is_event)

    monkeypatch.setattr(Exchange, "count", count_late)
    with FakeUpstream.in_thread() as hosted:
        call(hosted.upstream.url, OPENAI_PATH, openai())
        arrived.set()
        assert hosted.upstream.meter[0].told.output
        assert hosted.upstream.meter.totals()["bytes_sent"]


def test_a_port_that_is_taken_is_an_error_of_the_thread_that_asked():
    with FakeUpstream.in_thread() as hosted, pytest.raises(OSError, match="in use"):
        FakeUpstream.in_thread(port=hosted.upstream.port).__enter__()


def test_control_paths_script_meter_release_and_reset():
    with FakeUpstream.in_thread() as hosted:
        url = hosted.upstream.url
        script = {"reply": [{"type": "text", "text": "a b c"}], "faults": [{"type": "stall", "gate": "g", "after": 1}]}
        assert call(url, "/__script", {"scripts": [script], "model": "gpt-*"}) == {"scripts": 1}
        assert call(url, "/__release", {"gate": "g"}) == {"gate": "g"}
        answered = call(url, OPENAI_PATH, openai())
        assert answered["choices"][0]["message"]["content"] == "a b c"
        meter = call(url, "/__meter?closed=0")
        assert meter["totals"]["requests"] == 1
        assert meter["exchanges"][0]["told"]["output"] == 3
        assert meter["exchanges"][0]["end"] == "complete"
        assert call(url, "/__gate/g?arrived=1") == {"arrived": 1, "open": True}
        assert call(url, "/__reset", {}) == {}
        assert call(url, "/__meter")["exchanges"] == []
        assert "echo" in call(url, OPENAI_PATH, openai())["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("path", "body", "problem"),
    [
        ("/__script", {"scripts": [{"reply": {"type": "txt"}}]}, "Invalid value 'txt'"),
        ("/__script", {"scripts": [], "modell": 1}, "modell"),
        ("/__connect", {"mode": "maybe"}, "maybe"),
        ("/__release", {}, "gate"),
        ("/__nothing", {}, "no control path"),
    ],
)
def test_a_wrong_control_request_is_told_what_is_wrong(path, body, problem):
    async def run():
        async with FakeUpstream() as upstream:
            return await send(upstream, path, body), len(upstream.meter.connections)

    received, connections = asyncio.run(run())
    assert received.status in {400, 404}
    assert problem in received.json()["error"]
    assert connections == 0


def test_a_script_reads_the_same_from_json_and_from_python():
    gates = {}
    value = {
        "reply": [{"type": "thinking", "text": "a"}, {"type": "call", "name": "f", "arguments": {"x": 1}}],
        "usage": {"input": 3, "cached": 2},
        "finish": "length",
        "pace_gate": "p",
    }
    script = script_from_json(value, lambda name: gates.setdefault(name, Gate(name)))
    assert script.parts()[0] == Thinking("a")
    assert script.usage == Tokens(input=3, cached=2)
    assert script.pace_gate is gates["p"]
    assert script_from_json("hi", Gate).parts() == (Text("hi"),)
    assert script_from_json({"type": "status", "status": 429}, Gate).reply == Status(429)
    with pytest.raises(ScriptError, match=r"\$\.usage\.input"):
        script_from_json({"usage": {"input": "many"}}, Gate)
    with pytest.raises(ScriptError, match="unknown field `fault`"):
        script_from_json({"fault": []}, Gate)


def test_the_module_serves_other_processes(tmp_path):
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"scripts": ["from the file"]}))
    command = [sys.executable, "-m", "execution_platform.testing", "--port", "0", "--script", str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().strip()
        body = call(url, OPENAI_PATH, openai())
        process.terminate()
        assert process.wait(10) == 0
    assert body["choices"][0]["message"]["content"] == "from the file"


def test_the_module_refuses_a_script_it_cannot_read(tmp_path):
    script = tmp_path / "script.json"
    script.write_text('{"scripts": [{"reply": {"type": "txt"}}]}')
    command = [sys.executable, "-m", "execution_platform.testing", "--script", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert "Invalid value 'txt'" in done.stderr


def test_a_gate_lets_pass_as_many_as_it_is_told():
    async def run():
        gate = Gate()
        waiting = [asyncio.create_task(gate.wait()) for _ in range(3)]
        await gate.reached(3)
        gate.step(2)
        done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < 2:
            more, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            done |= more
        assert len(pending) == 1
        gate.release()
        await asyncio.wait(pending)
        return gate.is_open

    assert asyncio.run(run())


def test_a_watcher_opens_at_once_when_its_condition_already_holds():
    assert Meter().when(lambda meter: len(meter) == 0).is_open
