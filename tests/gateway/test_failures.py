"""What goes wrong upstream, as the client sees it: the right status, its own dialect, never a fake answer."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from execution_platform.testing import (
    CutInside,
    CutInsideCharacter,
    EndAfter,
    FakeUpstream,
    Raw,
    Script,
    Status,
    StreamError,
    Text,
)
from serving import MODELS, chat_body, serving, three_vendors

CLIENTS = ["openai_chat", "anthropic", "gemini", "native"]
CHAIN = {"personas": {"dev": {"prefer": list(MODELS.values())}}}


def error_of(client: str, answer: Any) -> Any:
    assert isinstance(answer, dict), answer
    assert isinstance(answer["error"], dict)
    if client == "anthropic":
        assert answer["type"] == "error"
    if client == "gemini":
        assert {"code", "message", "status"} <= set(answer["error"])
    return answer["error"]


@pytest.mark.parametrize("target", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("status", "expected"), [(400, 400), (401, 502), (404, 404), (429, 429), (500, 502), (503, 503), (529, 503)]
)
def test_a_refusal_keeps_its_meaning_and_speaks_the_clients_dialect(
    client: str, target: str, status: int, expected: int, tmp_path: Path
) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(Script(Status(status)))
            path, body = chat_body(client, "hello", MODELS[target])
            got = await gateway.post(path, body)
            assert got.status == expected
            assert error_of(client, got.json())["message"]
            assert b"canary" not in got.body

    asyncio.run(run())


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_next_target_of_a_persona_answers_when_the_first_fails(client: str, stream: bool, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **CHAIN)) as gateway:
            upstream.script(Script(Status(500)), model="gpt-4o")
            upstream.script(Script(Text("from the second")), model="claude-*")
            path, body = chat_body(client, "hello", "persona/dev", stream=stream)
            got = await gateway.post(path, body)
            assert got.status == 200, got.body
            assert b"second" in got.body
            assert got.header("x-ep-provider") == "anthropic"
            assert got.header("x-ep-attempts") == "2"
            assert got.header("x-ep-persona") == "dev"

    asyncio.run(run())


@pytest.mark.parametrize("target", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    "fault",
    [
        EndAfter(2, of="content"),
        CutInside(2, of="content"),
        CutInsideCharacter(2, of="content"),
        StreamError(after=2, of="content"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_stream_that_breaks_after_content_ends_with_an_error_and_never_cleanly(
    client: str, target: str, fault: Any, tmp_path: Path
) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(Script(Text("eins zwei drei vier fünf sechs", chunks=6), faults=[fault]))
            path, body = chat_body(client, "hello", MODELS[target], stream=True)
            got = await gateway.post(path, body)
            if got.status >= 500:
                # Content and failure came in one read: nothing had left, so the failure is the answer.
                error_of(client, got.json())
                return
            assert got.status == 200
            assert b"eins" in got.body
            assert b'"error"' in got.body or b"event: error" in got.body
            assert b"[DONE]" not in got.body
            assert b"message_stop" not in got.body
            assert b"event: done" not in got.body

    asyncio.run(run())


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    "reply",
    [
        Raw(b"<html><body>Bad gateway</body></html>"),
        Raw(b"\x00\xff garbage"),
        Raw(b""),
        Raw(b'{"error": {"message": "no"}}'),
    ],
    ids=["html", "garbage", "nothing", "error-in-200"],
)
def test_an_upstream_that_answers_nonsense_is_a_gateway_error(
    client: str, stream: bool, reply: Raw, tmp_path: Path
) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(Script(reply))
            for model in MODELS.values():
                path, body = chat_body(client, "hello", model, stream=stream)
                got = await gateway.post(path, body)
                assert got.status in {502, 503, 504}, (model, got.body)
                error_of(client, got.json())

    asyncio.run(run())


@pytest.mark.parametrize("client", CLIENTS)
def test_nobody_at_the_address_is_502_and_names_the_provider_not_the_address(client: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            config = three_vendors(upstream)
        async with serving(tmp_path, config) as gateway:
            path, body = chat_body(client, "hello", MODELS["anthropic"])
            got = await gateway.post(path, body)
            assert got.status == 502
            assert b"canary" not in got.body

    asyncio.run(run())


def test_a_client_that_leaves_closes_the_upstream(tmp_path: Path) -> None:
    """T5, R16: nobody waits for it, so nobody pays for it any longer."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(Script(Text("never"), gate="hold"))
            path, body = chat_body("openai_chat", "hello", MODELS["anthropic"])
            waiting = asyncio.create_task(gateway.post(path, body))
            await upstream.wait_until(lambda meter: len(meter) == 1)
            waiting.cancel()
            await upstream.wait_closed(0)
            assert upstream.meter[0].end == "client"

    asyncio.run(run())
