"""What the headers and the log tell of a request, and what nobody can make them tell."""

import asyncio
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform.gateway.headers import dollars
from execution_platform.testing import FakeUpstream, Raw, Script, Status, Text, Tokens
from gateway.watching import Log, streaming
from serving import MODELS, Got, Served, chat_body, serving, three_vendors

CLIENTS = ["openai_chat", "anthropic", "gemini", "native"]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
ALWAYS = {"x-request-id", "x-ep-attempts", "x-ep-config", "x-ep-overhead-ms", "x-ep-cache"}
LOGGED = {
    "ts", "level", "event", "request_id", "method", "path", "status", "dialect", "duration_ms", "key", "config", "stream",
    "persona", "provider", "model", "passthrough", "attempts", "failed", "tries", "continued", "first_content_ms", "overhead_ms",
    "input_tokens", "output_tokens", "cost_usd", "losses", "trace_id", "error", "client",
}  # fmt: skip


async def raw(gateway: Served, request: bytes) -> bytes:
    """Bytes as they are, and the whole answer."""
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("target", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
def test_every_answer_tells_who_gave_it(client: str, target: str, stream: bool, tmp_path: Path) -> None:
    async def run() -> None:
        personas = {"dev": {"prefer": [MODELS[target]], "system": "Be brief."}}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=personas)) as gateway:
            upstream.script(Script("hello", usage=Tokens(input=1000, output=1000)))
            path, body = chat_body(client, "hi", "persona/dev", stream=stream)
            got = await gateway.post(path, body, x_request_id="mine-1")
            provider, _, model = MODELS[target].partition("/")
            assert got.status == 200, got.body
            assert got.header("x-request-id") == "mine-1"
            assert (got.header("x-ep-provider"), got.header("x-ep-model")) == (provider, model)
            assert got.header("x-ep-persona") == "dev"
            assert got.header("x-ep-attempts") == "1"
            assert got.header("x-ep-cache") == "off"
            assert got.header("x-ep-config") == gateway.gateway.state.snapshot.version
            assert float(got.header("x-ep-overhead-ms") or -1) > 0
            assert (got.header("request-id") == "mine-1") == (client == "anthropic")
            assert (got.header("x-ep-cost-usd") is None) == stream
            if not stream:
                assert float(got.header("x-ep-cost-usd") or 0) > 0.001

    asyncio.run(run())


@pytest.mark.parametrize("client", CLIENTS)
def test_every_refusal_tells_as_much(client: str, tmp_path: Path) -> None:
    async def run() -> None:
        once = {"max_attempts": 1}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, retry=once)) as gateway:
            upstream.script(Status(429, retry_after=7))
            path, body = chat_body(client, "hi", MODELS["anthropic"])
            got = await gateway.post(path, body, x_request_id="mine-2")
            assert got.status == 429
            assert {name.lower() for name in got.headers} >= ALWAYS
            assert got.header("retry-after") == "7"
            assert got.header("x-ep-error") == "provider_rate_limit"
            assert got.header("x-ep-upstream-request-id") not in {None, "mine-2"}
            assert got.header("x-request-id") == "mine-2"
            assert got.header("content-type") == "application/json"
            assert (got.header("request-id") == "mine-2") == (client == "anthropic")
            unknown = await gateway.post(
                chat_body(client, "hi", "nobody/nothing")[0], body | {"model": "nobody/nothing"}
            )
            assert {name.lower() for name in unknown.headers} >= ALWAYS - {"x-ep-attempts"}

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/v1/models", "/health", "/v1/config", "/v1/personas/nobody", "/nowhere"])
def test_management_answers_carry_the_request_id_and_the_version(path: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path, {}) as gateway:
            got = await gateway.get(path, x_request_id="mine-3")
            assert got.header("x-request-id") == "mine-3"
            assert got.header("x-ep-config") == gateway.gateway.state.snapshot.version
            made = await gateway.get(path)
            assert re.fullmatch(r"req_[0-9a-f]{24}", made.header("x-request-id") or "")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("headers", "dialect"),
    [
        ({"anthropic_version": "2023-06-01"}, "anthropic"),
        ({"x_goog_api_key": "k"}, "gemini"),
        ({}, "openai_chat"),
    ],
)
def test_a_listing_and_its_refusals_are_in_the_words_of_who_asks(
    headers: dict[str, str], dialect: str, tmp_path: Path
) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            listing = (await gateway.get("/v1/models", **headers)).json()
            names = {
                "anthropic": lambda: [entry["id"] for entry in listing["data"] if entry["type"] == "model"],
                "gemini": lambda: [entry["name"].removeprefix("models/") for entry in listing["models"]],
                "openai_chat": lambda: [entry["id"] for entry in listing["data"] if entry["object"] == "model"],
            }[dialect]()
            assert {*MODELS.values(), "persona/architect"} <= set(names)
            one = await gateway.get("/v1/models/openai/gpt-4o", **headers)
            assert "openai/gpt-4o" in (one.json().get("id") or one.json()["name"])
            missing = await gateway.get("/v1/models/openai/gpt-0", **headers)
            assert missing.status == 404
            error = missing.json()
            if dialect == "anthropic":
                assert error["type"] == "error"
            if dialect == "gemini":
                assert error["error"]["status"] == "NOT_FOUND"

    asyncio.run(run())


@pytest.mark.parametrize(
    "root", ["/openai/v1", "/openai", "/anthropic/v1", "/genai/v1", "/genai/v1beta", "/v1beta", "/v1"]
)
def test_listings_are_below_every_vendors_root(root: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            assert b"openai/gpt-4o" in (await gateway.get(f"{root}/models")).body
            one = await gateway.get(f"{root}/models/openai/gpt-4o")
            assert one.status == 200, one.body
            assert b"openai/gpt-4o" in one.body

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("target", MODELS)
def test_the_trace_goes_on_with_our_span_as_the_parent_and_baggage_stays_here(
    target: str, stream: bool, tmp_path: Path
) -> None:
    """S6: what callers attach to a trace goes to nobody."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            log = Log(gateway, tmp_path)
            path, body = chat_body("openai_chat", "hi", MODELS[target], stream=stream)
            sent = {"traceparent": f"00-{TRACE}-{SPAN}-01", "baggage": "user=secret", "tracestate": "a=b"}
            await gateway.post(path, body, **sent)
            received = {name.lower(): value for name, value in upstream.meter[0].headers.items()}
            found = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-01", received["traceparent"])
            assert found
            assert found[1] == TRACE
            assert found[2] != SPAN
            assert not {"baggage", "tracestate"} & received.keys()
            assert (await log.requests(1))[0]["trace_id"] == TRACE

    asyncio.run(run())


@pytest.mark.parametrize("given", ["", "00-xyz", f"00-{'0' * 32}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01 "])
def test_a_malformed_trace_is_not_passed_on(given: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"])
            assert (await gateway.post(path, body, traceparent=given)).status == 200
            assert "traceparent" not in upstream.meter[0].headers

    asyncio.run(run())


def test_a_loss_is_told_in_the_header_the_log_and_the_metrics(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            log = Log(gateway, tmp_path)
            for stream in (False, True):
                path, body = chat_body("openai_chat", "hi", MODELS["anthropic"], stream=stream)
                got = await gateway.post(path, {**body, "seed": 7, "logit_bias": {"5": 1}})
                assert got.status == 200
                assert set((got.header("x-ep-loss") or "").split(", ")) == {"knob:seed", "knob:logit_bias"}
            plain = await gateway.post(path, body)
            assert plain.header("x-ep-loss") is None
            lines = await log.requests(3)
            told = [{loss for loss in line.get("losses", ()) if loss.startswith("knob")} for line in lines]
            assert told == [{"knob:logit_bias", "knob:seed"}, {"knob:logit_bias", "knob:seed"}, set()]
            assert b'ep_losses_total{severity="knob"} 4.0' in (await gateway.get("/metrics")).body

    asyncio.run(run())


EVIL = "x\r\nSet-Cookie: a=b\r\n\r\n\x1b[31m{}"


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("model", [EVIL, f"openai/{EVIL}", f"persona/{EVIL}", "openai/\u202e\u0000ü"])
def test_a_model_name_cannot_forge_a_header_or_a_log_line(client: str, model: str, tmp_path: Path) -> None:
    """E17: line ends, terminal escapes and marks of direction, in every dialect."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            log = Log(gateway, tmp_path)
            path, body = chat_body(client, "hi", model)
            if client == "gemini":
                path = path.replace("\r", "%0D").replace("\n", "%0A").replace("\x1b", "%1B").replace("\u0000", "%00")
            got = await gateway.post(path, body)
            assert got.status < 500, got.body
            assert got.header("set-cookie") is None
            assert all(value.isprintable() and value.isascii() for value in got.headers.values())
            (line,) = await log.requests(1)
            assert line["status"] == got.status
            assert "\x1b" not in log.text()

    asyncio.run(run())


def test_a_name_inside_the_body_cannot_forge_the_loss_header(tmp_path: Path) -> None:
    """E17: also where a header repeats a name of the caller's."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            path, body = chat_body("openai_chat", "hi", MODELS["anthropic"])
            got = await gateway.post(path, {**body, EVIL: 1, "ünknown": 2})
            assert got.status == 200, got.body
            assert got.header("set-cookie") is None

    asyncio.run(run())


@pytest.mark.parametrize(
    "answer",
    [
        Status(400, message="no"),
        Raw(json.dumps({"error": {"message": EVIL, "type": EVIL, "code": EVIL, "param": EVIL}}).encode(), status=400),
        Raw(
            json.dumps({"type": "error", "error": {"type": EVIL, "message": EVIL}, "request_id": EVIL}).encode(),
            status=529,
        ),
        Raw(json.dumps({"error": {"code": 400, "status": EVIL, "message": EVIL}}).encode(), status=400),
    ],
    ids=["plain", "openai", "anthropic", "gemini"],
)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("target", MODELS)
def test_an_upstreams_error_cannot_forge_a_header(client: str, target: str, answer: Any, tmp_path: Path) -> None:
    """E17, P6: an upstream is no more trusted than a caller."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(answer)
            path, body = chat_body(client, "hi", MODELS[target])
            got = await gateway.post(path, body)
            assert got.status in {400, 404, 422, 502, 503}, (got.status, got.body)
            assert got.json()["error"]
            assert got.header("set-cookie") is None
            assert all(value.isprintable() for value in got.headers.values())

    asyncio.run(run())


@pytest.mark.parametrize("given", [b"a\x1b[31mb", b"a b", b"x" * 200, b"\xff\xfe", b'","forged":"'])
def test_a_request_id_that_is_no_plain_word_is_replaced(given: bytes, tmp_path: Path) -> None:
    """E17: the id is in the log, in the answer and in the audit trail."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            log = Log(gateway, tmp_path)
            for path in (b"/v1/chat/completions", b"/v1/explain"):
                answer = await raw(
                    gateway,
                    b"POST " + path + b" HTTP/1.1\r\nhost: localhost\r\nx-request-id: " + given
                    + b"\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
                )  # fmt: skip
                head = answer.partition(b"\r\n\r\n")[0]
                assert given not in head
                assert head.count(b"x-request-id: req_") == 1 or answer.startswith(b"HTTP/1.1 400")
            assert all("forged" not in line for line in log.events())

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client", CLIENTS)
def test_the_access_log_is_one_json_object_with_the_documented_members_and_no_content(
    client: str, stream: bool, tmp_path: Path
) -> None:
    async def run() -> None:
        chain = {"dev": {"prefer": ["anthropic/claude-sonnet-4-5", "openai/gpt-4o"], "system": "PERSONA-TEXT"}}
        config = {"personas": chain, "keys": [{"name": "team", "key": "sk-ep-team-0123456789"}]}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **config)) as gateway:
            log = Log(gateway, tmp_path)
            upstream.script(Script(Status(500, message="UPSTREAM-TEXT")), model="claude-*")
            upstream.script(Script(Text("ANSWER-TEXT"), usage=Tokens(input=11, output=4)), model="gpt-4o")
            path, body = chat_body(client, "PROMPT-TEXT", "persona/dev", stream=stream)
            got = await gateway.post(path, body, authorization="Bearer sk-ep-team-0123456789")
            assert b"ANSWER-TEXT" in got.body
            (line,) = await log.requests(1)
            assert set(line) <= LOGGED
            assert line["failed"] == ["anthropic/claude-sonnet-4-5: server"]
            expected = {
                "request_id": got.header("x-request-id"), "method": "POST", "status": 200, "dialect": client,
                "key": "team", "persona": "dev", "provider": "openai", "model": "gpt-4o", "attempts": 2,
                "input_tokens": 11, "output_tokens": 4, "stream": stream, "passthrough": False, "level": "info",
            }  # fmt: skip
            assert {name: line[name] for name in expected} == expected
            assert line["cost_usd"] > 0
            assert ("first_content_ms" in line) == stream
            assert ("overhead_ms" in line) == (not stream)
            assert not re.search("(PROMPT|ANSWER|PERSONA|UPSTREAM)-TEXT", log.text())

    asyncio.run(run())


def test_health_checks_that_succeed_are_not_logged_and_other_management_requests_are(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path, {}) as gateway:
            log = Log(gateway, tmp_path)
            for path in ("/health", "/health/liveness", "/v1/personas/architect", "/nowhere"):
                await gateway.get(path)
            assert [(line["path"], line["status"]) for line in await log.requests(2)] == [
                ("/v1/personas/{name}", 200),
                ("unknown", 404),
            ]

    asyncio.run(run())


def test_a_simulated_answer_says_so_in_its_headers(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path, environ={"EP_PROVIDER": "mock"}) as gateway:
            for client in CLIENTS:
                path, body = chat_body(client, "hi", "anthropic/claude-sonnet-4-5", stream=client == "native")
                got: Got = await gateway.post(path, body)
                assert got.header("x-ep-simulated") == "true", got.body
            async with streaming(gateway, *chat_body("native", "hi", "mock", stream=True)) as stream:
                assert b'"simulated":true' in await stream.rest()

    asyncio.run(run())


@given(st.integers(0, 10**13))
def test_a_cost_is_told_with_eight_places_as_decimals_round_it(nanos: int) -> None:
    assert dollars(nanos) == f"{Decimal(nanos).scaleb(-9):.8f}".encode()
