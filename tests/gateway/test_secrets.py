"""What must never leave the house: keys, whatever goes wrong; and where requests never go, whatever they say."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from execution_platform.testing import (
    Cut,
    FakeUpstream,
    Inject,
    NoAnswer,
    Raw,
    RawSocket,
    Script,
    Status,
    StreamError,
    Text,
)
from gateway.watching import Log
from serving import MODELS, chat_body, serving, three_vendors

CLIENTS = ["openai_chat", "anthropic", "gemini", "native"]
CANARIES = {
    "openai": "sk-openai-canary-1",
    "anthropic": "sk-ant-canary-22",
    "gemini": "AIza-canary-333333333",
    "header": "header-canary-4444",
    "master": "sk-ep-master-canary-55",
    "team": "team-canary-666666",
}
LEAKS = " and ".join(CANARIES.values()) + " https://x.example/v1?key=AIza-canary-333333333 Bearer sk-openai-canary-1"
BODY = json.dumps({"error": {"message": LEAKS, "type": LEAKS, "code": LEAKS, "param": LEAKS, "status": LEAKS}}).encode()
ECHO = json.dumps({"type": "error", "error": {"type": "api_error", "message": LEAKS}, "request_id": LEAKS}).encode()

FAILURES: dict[str, Script] = {
    "400 echoes the headers": Script(Raw(BODY, status=400)),
    "401 echoes the key": Script(Raw(BODY, status=401)),
    "403 echoes the key": Script(Raw(BODY, status=403)),
    "404 echoes the url": Script(Raw(BODY, status=404)),
    "413": Script(Raw(BODY, status=413)),
    "422": Script(Raw(BODY, status=422)),
    "429": Script(Raw(BODY, status=429)),
    "500": Script(Raw(BODY, status=500)),
    "529 in anthropic's words": Script(Raw(ECHO, status=529)),
    "400 in anthropic's words": Script(Raw(ECHO, status=400)),
    "an html page": Script(Raw(f"<html><pre>{LEAKS}</pre></html>".encode(), status=502, content_type="text/html")),
    "plain text": Script(Raw(LEAKS.encode(), status=400, content_type="text/plain")),
    "a list": Script(Raw(json.dumps([{"error": {"message": LEAKS, "code": 400, "status": "X"}}]).encode(), status=400)),
    "html in a 200": Script(Raw(f"<html>{LEAKS}</html>".encode())),
    "an error in a 200": Script(Raw(BODY)),
    "broken json in a 200": Script(Raw(b'{"choices": ["' + LEAKS.encode())),
    "an error in the stream": Script(Text("one two"), faults=[StreamError(message=LEAKS, after=1, of="content")]),
    "an error before content": Script(Text("one two"), faults=[StreamError(message=LEAKS, after=0)]),
    "no http": Script(RawSocket(LEAKS.encode())),
    "a broken header": Script(RawSocket(b"HTTP/1.1 200 OK\r\n" + LEAKS.encode() + b"\r\n\r\n")),
    "a redirect": Script(Raw(BODY, status=307), headers={"location": f"http://127.0.0.1:1/{LEAKS}"}),
    "headers that tell": Script(Status(500), headers={"request-id": LEAKS[:80], "x-request-id": LEAKS[:80]}),
    "a cut": Script(Text("one two"), faults=[Cut(after=1, of="content")]),
    "nothing": Script(faults=[NoAnswer("rst")]),
    "garbage": Script(Text("one two"), faults=[Inject(data=b"event: error\ndata: " + BODY + b"\n\n", after=1)]),
}


def config(upstream: FakeUpstream) -> dict[str, Any]:
    made = three_vendors(upstream, keys=[{"name": "team", "key": CANARIES["team"], "admin": True}])
    for provider in made["providers"].values():
        provider["headers"] = {"x-private": "${CANARY_HEADER}"}
    return made


ENVIRON = {"EP_MASTER_KEY": CANARIES["master"], "CANARY_HEADER": CANARIES["header"]}


def check(where: str, text: str) -> None:
    for name, canary in CANARIES.items():
        assert canary not in text, (where, name, text[max(0, text.find(canary) - 200) :][:400])


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_no_key_is_told_whatever_goes_wrong(failure: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """P5, S1: an upstream that repeats headers, keys and addresses, in everything that leaves the gateway."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, config(upstream), ENVIRON) as gateway:
            log = Log(gateway, tmp_path)
            upstream.script(failure)
            master = {"authorization": f"Bearer {CANARIES['master']}"}
            for client in CLIENTS:
                for model in MODELS.values():
                    for stream in (False, True):
                        path, body = chat_body(client, "hi", model, stream=stream)
                        got = await gateway.post(path, body, **master)
                        assert got.status != 500, got.body
                        check(f"{client} {model} {stream}", got.body.decode("utf-8", "replace") + str(got.headers))
            assert all(exchange.headers["x-private"] == CANARIES["header"] for exchange in upstream.meter.exchanges)
            for path in (
                "/metrics",
                "/v1/config",
                "/v1/health/providers",
                "/v1/personas",
                "/v1/models",
                "/openapi.json",
            ):
                check(path, (await gateway.get(path, **master)).body.decode())
            check("log", log.text())
        check("output", "".join(capfd.readouterr()))

    asyncio.run(run())


def test_a_failure_of_our_own_is_logged_without_keys_and_told_without_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, config(upstream), ENVIRON) as gateway:
            log = Log(gateway, tmp_path)
            provider = gateway.gateway.state.snapshot.providers["openai"]

            async def broken(*_: object, **__: object) -> None:
                raise ZeroDivisionError(LEAKS)

            monkeypatch.setattr(provider, "send", broken)
            for client in CLIENTS:
                path, body = chat_body(client, "hi", MODELS["openai_chat"])
                got = await gateway.post(path, body, x_api_key=CANARIES["team"], x_request_id="mine")
                assert got.status == 500
                assert b"mine" in got.body
                assert b"ZeroDivision" not in got.body
                check(client, got.body.decode())
            told = log.events("internal_error")
            assert len(told) == len(CLIENTS)
            assert all("ZeroDivisionError" in line["stack"] and line["request_id"] == "mine" for line in told)
            check("log", log.text())

    asyncio.run(run())


def test_configuration_and_settings_do_not_show_their_secrets(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, config(upstream), ENVIRON) as gateway:
            state = gateway.gateway.state
            for value in (
                state.settings,
                state.snapshot.config,
                state.snapshot,
                state.builder,
                state.snapshot.redactor,
            ):
                check(type(value).__name__, f"{value!r} {value!s}")
            provider = state.snapshot.providers["openai"]
            check("provider", repr(vars(provider)))
            with pytest.raises(TypeError):
                json.dumps(state.settings.master_key)

    asyncio.run(run())


# Where requests go


@asynccontextmanager
async def canary() -> AsyncIterator[tuple[str, list[int]]]:
    """An address that nobody must ever connect to."""
    accepted: list[int] = []

    def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(1)
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield f"http://127.0.0.1:{port}/", accepted


RICH: dict[str, dict[str, Any]] = {
    "openai_chat": {
        "messages": [
            {"role": "system", "content": "s", "name": "n"},
            {"role": "user", "content": [{"type": "text", "text": "t"}, {"type": "image_url", "image_url": {"url": "u"}}]},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}],
        "response_format": {"type": "text"}, "user": "u", "metadata": {"a": "b"}, "service_tier": "auto", "stop": ["x"],
    },
    "anthropic": {
        "system": [{"type": "text", "text": "s"}],
        "messages": [
            {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "u"}}, {"type": "text", "text": "t"}]}
        ],
        "max_tokens": 9, "metadata": {"user_id": "u"}, "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "mcp_servers": [{"type": "url", "url": "u", "name": "n"}], "container": "c",
    },
    "gemini": {
        "contents": [{"role": "user", "parts": [{"text": "t"}, {"fileData": {"fileUri": "u", "mimeType": "image/png"}}]}],
        "systemInstruction": {"parts": [{"text": "s"}]}, "generationConfig": {"responseMimeType": "text/plain"},
        "cachedContent": "c", "labels": {"a": "b"},
    },
    "native": {
        "messages": [{"role": "user", "content": "t", "name": "n"}], "system": "s", "provider": "openai",
        "workspace": "w", "metadata": {"a": "b"}, "tools": [{"name": "f", "json_schema": {"type": "object"}}],
        "provider_options": {"openai": {"x": "y"}}, "stream": False,
    },
}  # fmt: skip
UNKNOWN = (
    "base_url",
    "api_base",
    "url",
    "endpoint",
    "host",
    "proxy",
    "api_key",
    "custom_host",
    "extra_body",
    "webhook",
)
HEADERS = [
    "x-portkey-custom-host", "x-base-url", "x-api-base", "x-upstream", "x-forwarded-host", "x-forwarded-for",
    "x-forwarded-proto", "x-original-url", "x-rewrite-url", "forwarded", "x-real-ip", "x-target", "x-destination",
    "x-proxy", "proxy", "x-openai-base-url", "openai-base-url", "openai-organization", "openai-project", "helicone-target-url",
    "x-goog-user-project", "x-goog-request-params", "anthropic-base-url", "x-endpoint", "x-url", "x-host", "x-callback-url",
    "x-webhook", "referer", "via", "x-forwarded-server", "x-http-host-override", "x-azure-endpoint", "api-base", "base-url",
    "x-provider-url", "x-litellm-api-base", "x-vertex-endpoint", "x-aws-endpoint", "location", "content-location", "link",
    "x-ep-provider", "x-ep-model", "x-ep-base-url", "x-ep-upstream", "x-ep-config", "x-mcp-server", "mcp-server",
    "x-otlp-endpoint", "tracestate", "baggage", "x-b3-traceid", "traceparent", "x-stainless-base", "from", "x-wap-profile",
    "true-client-ip", "x-client-ip", "cf-connecting-ip", "anthropic-beta", "anthropic-version",
]  # fmt: skip


def places(value: Any, put: str) -> Iterator[Any]:
    """`value` with `put` in the place of each string of it in turn, and as an unknown member of each object."""
    if isinstance(value, dict):
        for name in UNKNOWN:
            yield {**value, name: put}
        for name, inner in value.items():
            yield from ({**value, name: changed} for changed in places(inner, put))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from ([*value[:at], changed, *value[at + 1 :]] for changed in places(inner, put))
    elif isinstance(value, str):
        yield put


@pytest.mark.parametrize("client", CLIENTS)
def test_no_part_of_a_body_chooses_where_a_request_goes(client: str, tmp_path: Path) -> None:
    """P1: an address in every string and in unknown members, at every depth."""

    async def run() -> None:
        async with canary() as (url, accepted), FakeUpstream(lean=True) as upstream:
            async with serving(tmp_path, three_vendors(upstream, loss_policy="lenient")) as gateway:
                for number, body in enumerate(places(RICH[client], url)):
                    model = list(MODELS.values())[number % 3]
                    path, plain = chat_body(client, "hi", model)
                    sent = {**body, **({"model": model} if "model" in plain else {})}
                    got = await gateway.post(path, sent)
                    assert got.status < 500, (sent, got.body)
                for model in (url, f"openai/{url}", f"{url}openai/gpt-4o", f"gemini/../../{url}"):
                    for target in (url.rstrip("/"), model):
                        got = await gateway.post(
                            chat_body(client, "hi", target.replace("#", ""))[0], sent | {"model": model}
                        )
                        assert got.status < 500, got.body
            assert len(upstream.meter) > 20
            assert accepted == []

    asyncio.run(run())


def test_no_header_chooses_where_a_request_goes_and_only_listed_ones_go_on(tmp_path: Path) -> None:
    """P1, P8: what other gateways let a header do."""

    async def run() -> None:
        async with canary() as (url, accepted), FakeUpstream() as upstream:
            async with serving(tmp_path, three_vendors(upstream)) as gateway:
                assert len(HEADERS) >= 60
                for client in CLIENTS:
                    for model in MODELS.values():
                        path, body = chat_body(client, "hi", model)
                        got = await gateway.post(path, body, **dict.fromkeys(HEADERS, url))
                        assert got.status < 500, got.body
                for exchange in upstream.meter.exchanges:
                    passed = {name for name, value in exchange.headers.items() if value == url}
                    assert passed <= {"anthropic-beta", "anthropic-version"}, passed
                    assert not passed or exchange.dialect == "anthropic"
            assert accepted == []

    asyncio.run(run())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", MODELS)
def test_a_redirect_is_not_followed_and_no_key_goes_there(target: str, status: int, tmp_path: Path) -> None:
    """P1, P7: neither the body nor the key nor a cookie goes elsewhere."""

    async def run() -> None:
        async with canary() as (url, accepted), FakeUpstream() as upstream:
            async with serving(tmp_path, three_vendors(upstream)) as gateway:
                headers = {"location": f"{url}v1/chat/completions", "set-cookie": "a=b"}
                upstream.script(Script(Raw(b"{}", status=status), headers=headers))
                for stream in (False, True):
                    got = await gateway.post(*chat_body("openai_chat", "hi", MODELS[target], stream=stream))
                    assert got.status == 502, got.body
                    assert "redirect" in got.json()["error"]["message"]
                    assert (got.header("location"), got.header("set-cookie")) == (None, None)
                upstream.clear()
                await gateway.post(*chat_body("openai_chat", "hi", MODELS[target]))
                assert "cookie" not in upstream.meter[2].headers
            assert accepted == []

    asyncio.run(run())


def test_a_proxy_in_the_environment_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P7, H6: whatever the machine's environment says."""

    async def run() -> None:
        async with canary() as (url, accepted), FakeUpstream() as upstream:
            for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, url)
            async with serving(tmp_path, three_vendors(upstream)) as gateway:
                got = await gateway.post(*chat_body("openai_chat", "hi", MODELS["openai_chat"]))
                assert got.status == 200
            assert accepted == []

    asyncio.run(run())


@pytest.mark.parametrize(
    "literal", ["os.environ/OPENAI_API_KEY", "${OPENAI_API_KEY}", "vault://secret/x#y", "file:///etc/passwd"]
)
def test_references_in_user_data_stay_what_they_are(literal: str, tmp_path: Path) -> None:
    """P2: what would be a reference in the configuration is text in a request."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            for client in CLIENTS:
                for model in MODELS.values():
                    await gateway.post(*chat_body(client, literal, model))
                    assert literal in upstream.meter.exchanges[-1].raw_body.decode()

    asyncio.run(run())


@pytest.mark.parametrize(
    "model", ["../../api/pull", "%2e%2e%2fapi%2fpull", "..%2f..%2fapi/pull", "x?key=1#y", "a/../../b"]
)
def test_a_model_name_does_not_change_the_path_of_the_upstream(model: str, tmp_path: Path) -> None:
    """P9: dots, slashes and their escapes stay within the one part of the path."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            for provider in ("openai", "anthropic", "gemini"):
                got = await gateway.post(*chat_body("openai_chat", "hi", f"{provider}/{model}"))
                assert got.status < 500, got.body
            for exchange in upstream.meter.exchanges:
                path = exchange.path
                assert path in {"/v1/chat/completions", "/v1/messages"} or (
                    path.startswith("/v1beta/models/") and ".." not in path.replace("%2F", "/").split("/")
                ), path

    asyncio.run(run())
