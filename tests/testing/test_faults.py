"""What every fault does to the bytes, the connection and the meter."""

import asyncio
import json

import pytest

from execution_platform.testing import (
    BrokenChunk,
    ContentType,
    Cut,
    CutHeaders,
    CutInside,
    CutInsideCharacter,
    Drip,
    EndAfter,
    FakeUpstream,
    Gate,
    Inject,
    NoAnswer,
    NoTerminator,
    Raw,
    RawSocket,
    Script,
    ScriptError,
    Sse,
    Stall,
    StreamError,
    Text,
)
from testing.raw_client import (
    ANTHROPIC_PATH,
    GEMINI_ARRAY,
    OPENAI_PATH,
    STREAMS,
    UNARY,
    anthropic,
    gemini,
    openai,
    request_bytes,
    send,
)

FIVE = Text("one two three four five")


def play(fault, name="openai_chat", reply=FIVE, table=STREAMS, **members):
    """One request against a script with one fault: what was received, and the meter's record."""

    async def run():
        async with FakeUpstream() as upstream:
            upstream.script(Script(reply, faults=[fault], **members))
            received = await send(upstream, *table[name])
            return received, await upstream.wait_closed(0)

    return asyncio.run(run())


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_cut_leaves_the_body_open_behind_the_last_whole_event(name, how):
    received, record = play(Cut(2, "content", how), name)
    assert not received.is_whole
    assert received.was_reset is (how == "rst")
    assert record.end == "server"
    assert record.tokens_sent == 2
    if how == "fin":
        assert b"two" in received.body
        assert b"three" not in received.body


@pytest.mark.parametrize("name", STREAMS)
def test_a_cut_inside_an_event_leaves_half_of_it(name):
    received, record = play(CutInside(1, "content"), name)
    assert received.body.rstrip()[-1:] != b"}"
    assert not received.is_whole
    assert (record.end, record.tokens_sent) == ("server", 1)


def test_a_cut_inside_keeps_as_many_bytes_as_told():
    received, _ = play(CutInside(0, keep=7))
    assert received.body == b"data: {"


def test_a_unary_answer_can_be_cut_in_its_body():
    received, record = play(CutInside(), table=UNARY)
    assert not received.is_whole
    assert len(received.body) == int(received.headers["content-length"]) // 2
    assert record.tokens_sent == 0


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("how", ["fin", "end"])
def test_half_a_character_is_sent(name, how):
    received, record = play(CutInsideCharacter(how=how), name, reply=Text("plain grün"))
    with pytest.raises(UnicodeDecodeError, match="unexpected end of data"):
        received.body.decode()
    assert received.is_whole is (how == "end")
    assert record.end == ("incomplete" if how == "end" else "server")


def test_half_a_character_needs_a_character():
    with pytest.raises(ScriptError, match="multi-byte"):
        play(CutInsideCharacter())


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_can_end_in_order_without_its_terminator(name):
    received, record = play(NoTerminator(), name)
    assert received.is_whole
    assert record.end == "incomplete"
    assert not any(mark in received.body for mark in (b"[DONE]", b"message_stop", b"finishReason"))


def test_a_stream_can_end_in_order_after_some_events():
    received, record = play(EndAfter(2))
    assert received.is_whole
    assert len(received.events()) == 2
    assert record.end == "incomplete"


@pytest.mark.parametrize("name", STREAMS)
def test_an_error_can_come_inside_the_stream(name):
    received, record = play(StreamError(529, after=2, of="content", message="too much"), name)
    last = received.body.decode().replace("\r\n", "\n").strip().split("\n\n")[-1]
    assert received.status == 200
    assert record.end == "incomplete"
    if name == "gemini":
        assert not last.startswith("data:")
        assert json.loads(last)["error"]["message"] == "too much"
    else:
        assert received.events()[-1]["error"]["message"] == "too much"
    assert last.startswith("event: error\n") is (name == "anthropic")


def test_an_error_inside_a_json_array_is_its_last_member():
    received, _ = play(StreamError(500, after=2), "array", table={"array": (GEMINI_ARRAY, gemini(), {})})
    assert received.json()[-1]["error"]["code"] == 500
    assert len(received.json()) == 3


def test_a_stream_can_go_on_after_an_error():
    received, _ = play(StreamError(500, after=2, then_end=False))
    assert "error" in received.events()[2]
    assert received.events()[-1] == "[DONE]"


def test_broken_framing_is_no_chunk():
    received, record = play(BrokenChunk(2))
    assert b"not-a-size" in received.raw
    assert not received.is_whole
    assert record.end == "server"


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_request_can_stay_without_any_byte(how):
    received, record = play(NoAnswer(how))
    assert received.raw == b""
    assert received.was_reset is (how == "rst")
    assert record.first_byte_at is None


def test_headers_can_be_cut():
    received, _ = play(CutHeaders())
    assert received.raw.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\n\r\n" not in received.raw


def test_silence_lasts_until_the_client_leaves():
    async def run():
        async with FakeUpstream() as upstream:
            upstream.script(Script("x", faults=[NoAnswer()]))
            _, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
            writer.write(request_bytes(OPENAI_PATH, openai()))
            await upstream.wait_until(lambda meter: len(meter) == 1)
            assert upstream.meter.requests_open == 1
            writer.close()
            return await upstream.wait_closed(0)

    record = asyncio.run(run())
    assert (record.end, record.bytes_sent, record.connection.closed_by) == ("client", 0, "client")


def test_a_stall_lasts_until_its_gate_opens():
    async def run():
        gate = Gate()
        async with FakeUpstream() as upstream:
            upstream.script(Script(FIVE, faults=[Stall(2, "content", gate)]))
            asking = asyncio.create_task(send(upstream, *STREAMS["openai_chat"]))
            await gate.reached()
            assert upstream.meter[0].tokens_sent == 2
            assert upstream.meter[0].end is None
            gate.release()
            received = await asking
            return received, await upstream.wait_closed(0)

    received, record = asyncio.run(run())
    assert received.events()[-1] == "[DONE]"
    assert (record.end, record.tokens_sent) == ("complete", 5)


def test_a_client_that_leaves_a_stalled_stream_is_seen():
    async def run():
        async with FakeUpstream() as upstream:
            gate = upstream.gate("here")
            upstream.script(Script(FIVE, faults=[Stall(3, "content", gate)]))
            path, body, headers = STREAMS["anthropic"]
            _, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
            writer.write(request_bytes(path, body, headers))
            await gate.reached()
            writer.close()
            return await upstream.wait_closed(0)

    record = asyncio.run(run())
    assert (record.end, record.tokens_sent, record.told.output) == ("client", 3, 1)


def test_a_script_can_wait_before_its_first_byte_and_before_every_event():
    async def run():
        start, pace = Gate(), Gate()
        async with FakeUpstream() as upstream:
            upstream.script(Script(FIVE, gate=start, pace_gate=pace))
            asking = asyncio.create_task(send(upstream, *STREAMS["openai_chat"]))
            await start.reached()
            assert upstream.meter[0].first_byte_at is None
            start.release()
            pace.step(3)
            await pace.reached(4)
            assert upstream.meter[0].events_sent == 3
            pace.release()
            return await asking

    assert asyncio.run(run()).is_whole


@pytest.mark.parametrize("name", STREAMS)
def test_a_dripped_body_is_the_same_body(name):
    whole, _ = play(Drip(100_000), name)
    dripped, record = play(Drip(3), name)
    assert dripped.raw == whole.raw
    assert (record.tokens_sent, record.end) == (5, "complete")


def test_bytes_can_be_put_between_events():
    received, _ = play(Inject(b": keep alive\n\n", after=1))
    assert received.body.count(b"\n\n: keep alive\n\ndata: ") == 1
    assert len(received.events()) == 8


def test_the_content_type_can_lie_or_be_missing():
    assert play(ContentType("text/html"))[0].headers["content-type"] == "text/html"
    assert "content-type" not in play(ContentType(""))[0].headers


@pytest.mark.parametrize(
    ("style", "sample"),
    [
        (Sse(newline="\r\n"), b"event: message_start\r\ndata: {"),
        (Sse(newline="\r"), b"event: message_start\rdata: {"),
        (Sse(space=False), b"event:message_start\ndata:{"),
        (Sse(bom=True), b"\xef\xbb\xbfevent: message_start\n"),
        (Sse(retry=True, event_id=True), b"id: 0\nretry: 3000\nevent: message_start\n"),
        (Sse(multiline=True), b'data: {"type":"message_start",\ndata: "message"'),
    ],
)
def test_events_can_be_written_in_every_legal_form(style, sample):
    received, _ = play(style, "anthropic")
    assert received.body.startswith(sample) or sample in received.body
    assert received.is_whole


def test_any_bytes_can_be_the_answer():
    html, _ = play(Inject(), reply=Raw(b"<html>502</html>", status=502, content_type="text/html"))
    assert (html.status, html.body) == (502, b"<html>502</html>")
    garbage, _ = play(Inject(), reply=RawSocket(b"\x00\xffnot http"))
    assert garbage.raw == b"\x00\xffnot http"


def test_a_fault_behind_the_end_is_a_problem_of_the_script():
    with pytest.raises(ScriptError, match="has 8 such events"):
        play(Cut(99))


@pytest.mark.parametrize("mode", ["fin", "rst"])
def test_connections_can_be_ended_before_any_request(mode):
    async def run():
        async with FakeUpstream() as upstream:
            upstream.at_connect = mode
            received = await send(upstream, ANTHROPIC_PATH, anthropic())
            return received, len(upstream.meter)

    received, count = asyncio.run(run())
    assert (received.raw, count) == (b"", 0)


def test_connections_can_be_left_unread():
    async def run():
        async with FakeUpstream() as upstream:
            upstream.at_connect = "ignore"
            reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
            writer.write(request_bytes(OPENAI_PATH, openai()))
            await upstream.wait_until(lambda meter: meter.connections_open == 1)
            reading = asyncio.create_task(reader.read())
            await asyncio.sleep(0)
            assert not reading.done()
            assert len(upstream.meter) == 0
        with pytest.raises(ConnectionResetError):
            await reading
        writer.close()

    asyncio.run(run())
