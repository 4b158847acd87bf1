"""Streams in time: heartbeats, the commit point, deadlines, leaving clients, and many at once."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from execution_platform import _json
from execution_platform.gateway.pulse import Pulse
from execution_platform.testing import (
    BrokenChunk,
    Cut,
    CutInside,
    Drip,
    EndAfter,
    FakeUpstream,
    Inject,
    NoAnswer,
    Raw,
    Script,
    Stall,
    Status,
    StreamError,
    Text,
)
from gateway.watching import Log, metrics, streaming, total, with_pulse
from serving import MODELS, chat_body, serving, three_vendors

CLIENTS = ["openai_chat", "anthropic", "gemini", "native"]
CHAIN = {"personas": {"dev": {"prefer": list(MODELS.values())}}}


def first_of(client: str) -> dict[str, Any]:
    """A persona whose first target speaks the client's dialect, so that bytes pass through, where one does."""
    own = MODELS.get(client)
    return {"personas": {"dev": {"prefer": sorted(MODELS.values(), key=lambda name: name != own)}}}


def impatient(upstream: FakeUpstream, **changes: Any) -> dict[str, Any]:
    config = three_vendors(upstream, **changes)
    for provider in config["providers"].values():
        provider["timeouts"] = {"first_token": 0.8, "idle": 1.6}
    config["retry"] = {"max_attempts": 1}
    return config


class Beats:
    """A stream that wants a heartbeat whenever it was silent."""

    wants_beat = True
    touched = 0.0

    def __init__(self, beat: Callable[[], Awaitable[None]]) -> None:
        self.beat = beat


# Heartbeats


@pytest.mark.parametrize("target", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_silent_stream_is_kept_alive_in_the_clients_dialect(client: str, target: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            await with_pulse(gateway, 0.02)
            gate = upstream.gate("silence")
            upstream.script(Script(Text("one two three"), faults=[Stall(after=1, of="content", gate=gate)]))
            path, body = chat_body(client, "hi", MODELS[target], stream=True)
            beat = {"anthropic": b"event: ping", "gemini": b"\n", "openai_chat": b"\n: ", "native": b"\n: "}[client]
            async with streaming(gateway, path, body) as stream:
                await stream.until(b"one")
                stream.seen = b""
                await stream.until(beat.lstrip(b"\n") or beat)
                gate.release()
                whole = await stream.rest()
            assert b"three" in whole
            assert b'"error"' not in whole

    asyncio.run(run())


def test_a_reader_that_stalls_holds_up_nobody_elses_heartbeat(tmp_path: Path) -> None:
    async def run() -> None:
        beats: list[str] = []
        stuck = asyncio.Event()

        async def never() -> None:
            beats.append("stalled")
            await stuck.wait()

        three = asyncio.Event()

        async def reads() -> None:
            beats.append("reads")
            if beats.count("reads") == 3:
                three.set()

        pulse = Pulse(0.01)
        pulse.start()
        stalled = Beats(never)
        pulse.add(stalled)
        pulse.add(Beats(reads))
        async with asyncio.timeout(5):
            await three.wait()
        assert beats.count("stalled") == 1
        pulse.discard(stalled)
        pulse.add(Beats(never))
        await pulse.stop()

    asyncio.run(run())


def test_no_heartbeat_follows_the_end(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            await with_pulse(gateway, 0.01)
            upstream.script(Script("short"))
            path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"], stream=True)
            for _ in range(5):
                assert (await gateway.post(path, body)).body.rstrip().endswith(b"[DONE]")
            assert not gateway.gateway.state.pulse._streams

    asyncio.run(run())


# The commit point


@pytest.mark.parametrize("target", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
def test_the_head_is_not_sent_before_the_first_content(client: str, target: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            gate = upstream.gate("first")
            upstream.script(Script(Text("one two"), faults=[Stall(after=0, of="content", gate=gate)]))
            path, body = chat_body(client, "hi", MODELS[target], stream=True)
            waiting = asyncio.create_task(gateway.post(path, body))
            await gate.reached()
            # The upstream's head and opening events are here; a round trip through the gateway shows that it has seen them.
            for _ in range(3):
                await gateway.get("/health")
            assert not waiting.done()
            gate.release()
            got = await waiting
            assert (got.status, b"two" in got.body) == (200, True)

    asyncio.run(run())


BEFORE_CONTENT = {
    "refused": Script(Status(500)),
    "error event": Script(Text("never"), faults=[StreamError(after=0, of="content")]),
    "error event at once": Script(Text("never"), faults=[StreamError(after=0)]),
    "cut": Script(Text("never"), faults=[Cut(after=0, of="content")]),
    "reset": Script(Text("never"), faults=[Cut(after=0, of="content", how="rst")]),
    "clean end": Script(Text("never"), faults=[EndAfter(after=0, of="content")]),
    "broken framing": Script(Text("never"), faults=[BrokenChunk(after=0, of="content")]),
    "closed": Script(faults=[NoAnswer("fin")]),
    "silence": Script(Text("never"), faults=[Stall(after=0, of="content")]),
    "no head": Script(faults=[NoAnswer("silence")]),
    "html": Script(Raw(b"<html>no</html>", content_type="text/html")),
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("failure", BEFORE_CONTENT.values(), ids=BEFORE_CONTENT)
def test_a_failure_before_the_first_content_goes_on_to_the_next_target_unseen(
    client: str, failure: Script, tmp_path: Path
) -> None:
    async def run() -> None:
        chain = first_of(client)
        first = chain["personas"]["dev"]["prefer"][0].partition("/")[2]
        async with FakeUpstream() as upstream, serving(tmp_path, impatient(upstream, **chain)) as gateway:
            upstream.script(Script("from the second"))
            upstream.script(failure, model=first)
            path, body = chat_body(client, "hi", "persona/dev", stream=True)
            got = await gateway.post(path, body)
            assert got.status == 200, got.body
            assert b"second" in got.body
            assert b"never" not in got.body
            assert b'"error"' not in got.body
            assert got.header("x-ep-attempts") == "2"
            assert (got.header("x-ep-fallback-from") or "").endswith(first)

    asyncio.run(run())


@pytest.mark.parametrize("target", MODELS)
def test_what_cannot_be_read_before_the_first_content_goes_on_to_the_next_target(target: str, tmp_path: Path) -> None:
    async def run() -> None:
        chain = first_of(target)
        garbage = Script(Text("never"), faults=[Inject(data=b"data: {broken\n\n", after=0)])
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **chain)) as gateway:
            upstream.script(Script("from the second"))
            upstream.script(garbage, model=MODELS[target].partition("/")[2])
            got = await gateway.post(*chat_body("native", "hi", "persona/dev", stream=True))
            assert (got.status, b"second" in got.body, got.header("x-ep-attempts")) == (200, True, "2")

    asyncio.run(run())


# A Gemini upstream's error inside a stream can only be told from half a frame when the stream ends.
@pytest.mark.parametrize("client", ["openai_chat", "anthropic", "native"])
def test_the_upstream_that_failed_is_let_go_before_the_next_one_has_answered(client: str, tmp_path: Path) -> None:
    async def run() -> None:
        chain = first_of(client)
        first = chain["personas"]["dev"]["prefer"][0].partition("/")[2]
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **chain)) as gateway:
            gate = upstream.gate("second")
            upstream.script(Script("from the second", gate=gate))
            fault = StreamError(after=0, of="content", then_end=False)
            upstream.script(Script(Text("never"), faults=[fault, Stall(after=0, of="content")]), model=first)
            waiting = asyncio.create_task(gateway.post(*chat_body(client, "hi", "persona/dev", stream=True)))
            await gate.reached()
            assert (await upstream.wait_closed(0)).end == "client"
            gate.release()
            assert (await waiting).status == 200

    asyncio.run(run())


@pytest.mark.parametrize("client", CLIENTS)
def test_after_the_first_content_nothing_is_tried_again(client: str, tmp_path: Path) -> None:
    async def run() -> None:
        chain = first_of(client)
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **chain)) as gateway:
            log = Log(gateway, tmp_path)
            upstream.script(Script(Text("one two three"), faults=[Cut(after=1, of="content")]))
            got = await gateway.post(*chat_body(client, "hi", "persona/dev", stream=True))
            assert got.status == 200
            assert b"one" in got.body
            assert len(upstream.meter) == 1
            (line,) = await log.requests(1)
            assert (line["status"], line["level"], line["attempts"]) == (200, "warning", 1)
            assert line["error"].startswith("provider_")
            found = await metrics(gateway)
            assert total(found, "ep_requests_total", outcome="error") == 1
            assert total(found, "ep_streams_in_flight") == 0

    asyncio.run(run())


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_when_the_whole_chain_fails_the_last_error_is_told_and_every_try_logged(
    client: str, stream: bool, tmp_path: Path
) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **CHAIN)) as gateway:
            log = Log(gateway, tmp_path)
            upstream.script(Script(Status(500)), model="gpt-4o")
            upstream.script(Script(Status(529)), model="claude-*")
            upstream.script(Script(Status(429, retry_after=3)), model="gemini-*")
            got = await gateway.post(*chat_body(client, "hi", "persona/dev", stream=stream))
            assert got.status == 429, got.body
            assert got.header("retry-after") == "3"
            assert got.header("x-ep-attempts") == "3"
            (line,) = await log.requests(1)
            assert [each.rpartition(" ")[2] for each in line["failed"]] == ["server", "overloaded", "rate_limit"]

    asyncio.run(run())


def test_a_refusal_that_no_other_target_can_mend_ends_the_chain(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **CHAIN)) as gateway:
            upstream.script(Script(Status(400, message="bad tool")), model="gpt-4o")
            got = await gateway.post(*chat_body("openai_chat", "hi", "persona/dev"))
            assert (got.status, len(upstream.meter)) == (400, 1)
            assert "bad tool" in got.json()["error"]["message"]

    asyncio.run(run())


def test_no_more_targets_are_tried_than_allowed(tmp_path: Path) -> None:
    async def run() -> None:
        config = {**CHAIN, "limits": {"attempts": 2}}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **config)) as gateway:
            upstream.script(Status(500))
            got = await gateway.post(*chat_body("openai_chat", "hi", "persona/dev"))
            assert (got.status, got.header("x-ep-attempts"), len(upstream.meter)) == (502, "2", 2)

    asyncio.run(run())


# Deadlines


@pytest.mark.parametrize("target", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_whole_answer_that_takes_too_long_is_504(client: str, target: str, tmp_path: Path) -> None:
    async def run() -> None:
        environ = {"EP_TIMEOUT": "0.8"}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), environ) as gateway:
            upstream.script(Script("late", gate=upstream.gate("never")))
            got = await gateway.post(*chat_body(client, "hi", MODELS[target]))
            assert got.status == 504, got.body
            assert got.json()["error"]["message"]
            assert (await upstream.wait_closed(0)).end == "client"

    asyncio.run(run())


@pytest.mark.parametrize("target", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_stream_that_never_begins_is_504_and_one_that_falls_silent_ends_with_an_error(
    client: str, target: str, tmp_path: Path
) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, impatient(upstream)) as gateway:
            path, body = chat_body(client, "hi", MODELS[target], stream=True)
            upstream.script(Script(Text("never"), faults=[Stall(after=0, of="content")]))
            silent = await gateway.post(path, body)
            assert silent.status == 504, silent.body
            upstream.script(Script(Text("one two"), faults=[Stall(after=1, of="content")]))
            halfway = await gateway.post(path, body)
            assert halfway.status == 200
            assert b"one" in halfway.body
            assert b"error" in halfway.body
            assert b"[DONE]" not in halfway.body
            await upstream.wait_closed(1)

    asyncio.run(run())


@pytest.mark.parametrize("target", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_slow_drip_is_no_failure(client: str, target: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(Script(Text("größe zwei"), faults=[Drip(size=3)]))
            got = await gateway.post(*chat_body(client, "hi", MODELS[target], stream=True))
            assert got.status == 200
            assert "größe".encode() in got.body or b"gr\\u00f6\\u00dfe" in got.body
            assert b"error" not in got.body

    asyncio.run(run())


# Leaving clients


@pytest.mark.parametrize("moment", ["whole", "before content", "in the stream"])
@pytest.mark.parametrize("target", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_that_leaves_closes_the_upstream_at_once(
    client: str, target: str, moment: str, tmp_path: Path
) -> None:
    """T5, R16: streamed or not."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            log = Log(gateway, tmp_path)
            gate = upstream.gate("held")
            fault = Stall(after=1 if moment == "in the stream" else 0, of="content", gate=gate)
            upstream.script(
                Script(Text("one two"), gate=gate) if moment == "whole" else Script(Text("one two"), faults=[fault])
            )
            path, body = chat_body(client, "hi", MODELS[target], stream=moment != "whole")
            if moment == "in the stream":
                async with streaming(gateway, path, body) as stream:
                    await stream.until(b"one")
            else:
                waiting = asyncio.create_task(gateway.post(path, body))
                await gate.reached()
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
            left = asyncio.get_running_loop().time()
            exchange = await upstream.wait_closed(0)
            assert exchange.end == "client"
            assert asyncio.get_running_loop().time() - left < 1
            (line,) = await log.requests(1)
            assert line["status"] == 499
            assert "first_content_ms" in line or moment != "in the stream"
            assert total(await metrics(gateway), "ep_streams_in_flight") == 0

    asyncio.run(run())


def test_fifty_streams_at_once_do_not_mix_even_when_a_third_is_aborted(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            models = list(MODELS.values())

            async def one(number: int) -> None:
                client = CLIENTS[number % len(CLIENTS)]
                mark = f"id-{number:03d}-{number * 7919:06d}"
                path, body = chat_body(client, f"{mark} " * 20, models[number % len(models)], stream=True)
                async with streaming(gateway, path, body) as stream:
                    if number % 3 == 0:
                        await stream.until(mark.encode()[:6])
                        whole = stream.seen
                    else:
                        whole = await stream.rest()
                        assert whole.count(mark.encode()) >= 20
                others = {f"id-{other:03d}-{other * 7919:06d}".encode() for other in range(50) if other != number}
                assert not any(other in whole for other in others)

            await asyncio.gather(*(one(number) for number in range(50)))
            found = await metrics(gateway)
            assert total(found, "ep_streams_in_flight") == 0

    asyncio.run(run())


# The head


def thinking(upstream: FakeUpstream, *, reasoning: bool) -> dict[str, Any]:
    """Two targets, the first of which thinks before it speaks when `reasoning`."""
    config = three_vendors(upstream, personas={"dev": {"prefer": list(MODELS.values())}})
    if reasoning:
        config["providers"]["openai"]["profiles"] = {"*": {"reasoning": True}}
    return config


@pytest.mark.parametrize("target", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
def test_the_head_of_the_last_hope_leaves_before_content_and_a_failure_is_an_event(
    client: str, target: str, tmp_path: Path
) -> None:
    """T3: nobody is left to ask, so the client gets its head and a sign of life."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            await with_pulse(gateway, 0.02)
            for ending in ("answer", "error"):
                gate = upstream.gate(ending)
                faults: list[Any] = [Stall(gate=gate)]
                upstream.script(
                    Script("one two", faults=faults if ending == "answer" else [*faults, StreamError(status=503)])
                )
                path, body = chat_body(client, "hi", MODELS[target], stream=True)
                async with streaming(gateway, path, body) as stream:
                    assert stream.response.status == 200
                    assert "x-ep-provider" not in stream.response.headers
                    assert stream.response.headers["content-type"].startswith("text/event-stream")
                    gate.release()
                    whole = await stream.rest()
                assert (b"two" in whole) == (ending == "answer"), whole
                assert (b"error" in whole) == (ending == "error"), whole

    asyncio.run(run())


@pytest.mark.parametrize("reasoning", [False, True])
def test_the_head_is_held_while_another_target_could_still_answer_unless_the_wait_is_expected(
    reasoning: bool, tmp_path: Path
) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            async with serving(tmp_path, thinking(upstream, reasoning=reasoning)) as gateway:
                await with_pulse(gateway, 0.02)
                gate = upstream.gate("first")
                upstream.script(
                    Script("one", faults=[Stall(gate=gate), StreamError(status=503)]), Script("from the second")
                )
                path, body = chat_body("openai_chat", "hi", "persona/dev", stream=True)
                asked = asyncio.create_task(gateway.http.post(gateway.url + path, json=body).__aenter__())
                done, _ = await asyncio.wait([asked], timeout=0.4)
                assert bool(done) == reasoning
                gate.release()
                response = await asked
                whole = await response.read()
                assert b"second" in whole
                assert b"error" not in whole
                assert len(upstream.meter) == 2
                if reasoning:  # it left before anybody knew
                    assert "x-ep-fallback-from" not in response.headers

    asyncio.run(run())


def test_a_json_array_whose_head_left_early_is_still_one_array(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            await with_pulse(gateway, 0.02)
            for target in MODELS.values():
                for faults, failed in (([], False), ([StreamError(status=503)], True)):
                    gate = upstream.gate(f"{target}{failed}")
                    upstream.script(Script("one two", faults=[Stall(gate=gate), *faults]))
                    path = f"/v1beta/models/{target}:streamGenerateContent"
                    body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
                    async with streaming(gateway, path, body) as stream:
                        assert stream.response.headers["content-type"] == "application/json"
                        gate.release()
                        elements = _json.loads(await stream.rest())
                    assert ("error" in elements[-1]) == failed

    asyncio.run(run())


@pytest.mark.parametrize(
    "fault",
    [Cut(after=2, of="content"), StreamError(status=503, after=2, of="content"), CutInside(after=2, of="content")],
)
@pytest.mark.parametrize("target", MODELS.values())
def test_a_json_array_that_fails_after_content_ends_with_an_error_element(
    fault: Any, target: str, tmp_path: Path
) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            gate = upstream.gate("content has left")
            stall = Stall(after=1, of="content", gate=gate)
            upstream.script(Script(Text("one two three four", chunks=4), faults=[stall, fault]))
            path = f"/v1beta/models/{target}:streamGenerateContent"
            body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
            async with streaming(gateway, path, body) as stream:
                await stream.until(b"one")
                gate.release()
                elements = _json.loads(await stream.rest())
            assert "error" in elements[-1], elements
            assert all("error" not in element for element in elements[:-1])
            assert len(elements) > 1

    asyncio.run(run())
