"""The SDK against a server that sends exactly the bytes of the test."""

import asyncio
import base64
import json
import socket
import struct
import subprocess
import sys

import pytest

import execution_platform.client as package
from client.scripted import ScriptedServer, plain, sse
from execution_platform.client import AsyncExecutionPlatformClient, ExecutionPlatformClient, GatewayClient
from execution_platform.exceptions import (
    AuthenticationError,
    BudgetExceeded,
    ConfigError,
    ErrorKind,
    ProtocolError,
    ProviderError,
    RateLimited,
    RequirementError,
    RouterError,
    UnprocessableRequest,
)
from execution_platform.spi import ChatRequest, FinishReason, Message, TextPart, ToolCall, ToolDefinition, Usage

USAGE = {"input_tokens": 2, "output_tokens": 3, "cost_usd": 0.5}
WHOLE = {
    "id": "r1",
    "model": "m1",
    "provider": "p1",
    "text": "Hello",
    "tool_calls": [{"id": "c1", "name": "f", "args": {"a": 1}}],
    "reason": "tool_calls",
    "usage": USAGE,
}
STREAM = (
    b": keep-alive\n\n",
    b'event: thinking\ndata: {"text":"hm"}\n\n',
    b'event: token\ndata: {"text":"Hel"}\n\nevent: tok',
    b'en\ndata: {"text":"l\xc3',
    b'\xb6"}\n\n',
    b'event: tool_call\ndata: {"type":"tool_call","data":{"id":"c1","name":"f","args":{"a":1}}}\n\n',
    b"event: usage\ndata: " + json.dumps({**USAGE, "provider": "p1", "model": "m1"}).encode() + b"\n\n",
    b"event: done\ndata: " + json.dumps({"reason": "tool_calls", "usage": USAGE, "provider": "p1"}).encode() + b"\n\n",
)
ERROR = b'event: error\ndata: {"error":"spent","code":"token_budget_exceeded","retryable":false}\n\n'


def failure(status, code, message="no"):
    body = {"error": {"message": message, "type": "x", "param": "messages", "code": code, "raised_by": "gateway"}}
    return plain(body, f"{status} X", retry_after="3")


@pytest.fixture(autouse=True)
def _no_key(monkeypatch):
    monkeypatch.delenv("EP_API_KEY", raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


class Blocking:
    """The blocking client behind the asynchronous one's face, so that one test serves both."""

    def __init__(self, *args, **kwargs):
        self.client = ExecutionPlatformClient(*args, **kwargs)

    async def chat(self, *args, **kwargs):
        return await asyncio.to_thread(self.client.chat, *args, **kwargs)

    async def chunks(self, *args, **kwargs):
        return await asyncio.to_thread(lambda: list(self.client.stream(*args, **kwargs)))

    async def embed(self, *args, **kwargs):
        return await asyncio.to_thread(self.client.embed, *args, **kwargs)

    async def tools(self):
        return await asyncio.to_thread(self.client.tools)

    async def close(self):
        self.client.close()


class Asynchronous(AsyncExecutionPlatformClient):
    async def chunks(self, *args, **kwargs):
        return [chunk async for chunk in self.stream(*args, **kwargs)]


def run(make, script, use, **options):
    """What `use(client)` gives, and the requests the server saw."""

    async def inside(url):
        client = make(url, **options)
        try:
            return await use(client)
        finally:
            await client.close()

    with ScriptedServer(script) as server:
        return asyncio.run(inside(server.url)), server.asked


both = pytest.mark.parametrize("make", [Blocking, Asynchronous])


@both
def test_a_whole_answer_is_asked_for_and_read(make):
    answer, (asked,) = run(
        make, [plain(WHOLE)], lambda client: client.chat("Hi"), persona="architect", provider_override="p1"
    )
    assert answer.text == "Hello"
    assert (answer.id, answer.model, answer.usage, answer.finish.reason) == (
        "r1",
        "m1",
        Usage(2, 3, 0.5),
        FinishReason.TOOL_CALLS,
    )
    assert answer.tool_calls[0].arguments == '{"a":1}'
    assert answer.extra == {"provider": "p1"}
    assert (asked.method, asked.path) == ("POST", "/v1/chat")
    assert asked.query == {"provider": ["p1"], "personaId": ["architect"]}
    assert asked.json == {"messages": [{"role": "user", "content": "Hi"}], "stream": False}
    assert asked.headers["accept"] == "application/json"
    assert "authorization" not in asked.headers


@both
def test_a_stream_is_asked_for_and_read_in_chunks(make):
    chunks, (asked,) = run(make, [sse(*STREAM)], lambda client: client.chunks("Hi"))
    assert "".join(chunk.delta_text or "" for chunk in chunks) == "Hellö"
    assert [chunk.thinking for chunk in chunks if chunk.thinking] == ["hm"]
    assert [chunk.tool_call for chunk in chunks if chunk.tool_call] == [ToolCall("c1", "f", '{"a":1}')]
    assert [chunk.usage for chunk in chunks if chunk.usage] == [Usage(2, 3, 0.5)]
    assert chunks[-1].finish_reason is FinishReason.TOOL_CALLS
    assert asked.json["stream"] is True
    assert asked.headers["accept"] == "text/event-stream"


@both
def test_wishes_of_a_call_win_over_the_request(make):
    prompt = ChatRequest([Message("user", "Hi")], "old", persona="mine", temperature=0.1, seed=4)
    wishes = {
        "model": "new",
        "system": "Be brief.",
        "tools": ["fs_read", ToolDefinition("g")],
        "max_tokens": 9,
        "temperature": 0.0,
    }
    _, (asked,) = run(make, [plain(WHOLE)], lambda client: client.chat(prompt, **wishes), persona="other")
    assert asked.json == {
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Hi"}],
        "model": "new",
        "persona": "mine",
        "temperature": 0.0,
        "max_tokens": 9,
        "seed": 4,
        "tools": [{"name": "fs_read"}, {"name": "g"}],
        "stream": False,
    }
    assert asked.query == {}


@both
def test_an_answer_continues_a_conversation(make):
    signed = {
        **WHOLE,
        "message": {"role": "assistant", "content": [{"type": "text", "text": "x", "signature": "ep1.nonsense"}]},
    }

    async def twice(client):
        first = await client.chat("Hi")
        return await client.chat([Message("user", "Hi"), first.message, Message("user", "Go on")])

    _, asked = run(make, [plain(signed), plain(WHOLE)], twice)
    assert [message["role"] for message in asked[1].json["messages"]] == ["user", "assistant", "user"]
    assert asked[1].json["messages"][1]["content"][0]["signature"].startswith("ep1.")


@both
def test_the_key_is_sent_as_a_bearer_token(make):
    _, (asked,) = run(make, [plain(WHOLE)], lambda client: client.chat("Hi"), api_key="k1")
    assert asked.headers["authorization"] == "Bearer k1"


@both
def test_the_key_of_the_environment_serves_when_none_is_given(make, monkeypatch):
    monkeypatch.setenv("EP_API_KEY", "k2")
    _, (asked,) = run(make, [plain(WHOLE)], lambda client: client.chat("Hi"))
    assert asked.headers["authorization"] == "Bearer k2"


@both
@pytest.mark.parametrize("how", ["chat", "chunks"])
@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, "invalid_api_key", AuthenticationError),
        (404, "model_not_found", RouterError),
        (412, "requirement_not_met", RequirementError),
        (422, "invalid_request", UnprocessableRequest),
        (429, "cost_budget_exceeded", BudgetExceeded),
        (429, "rate_limit_exceeded", RateLimited),
        (502, "provider_server", ProviderError),
    ],
)
def test_a_refusal_becomes_the_exception_it_stands_for(make, how, status, code, expected):
    with pytest.raises(expected, match="no") as caught:
        run(make, [failure(status, code)], lambda client: getattr(client, how)("Hi"))
    assert type(caught.value) is expected
    assert (caught.value.code, caught.value.param, caught.value.retry_after) == (code, "messages", 3)


@both
@pytest.mark.parametrize("how", ["chat", "chunks"])
def test_the_error_page_of_a_proxy_is_a_failure_of_a_provider(make, how):
    page = plain(b"<html>Bad Gateway</html>", "502 Bad Gateway", "text/html")
    with pytest.raises(ProviderError, match="502"):
        run(make, [page], lambda client: getattr(client, how)("Hi"))


@both
def test_an_error_event_is_raised(make):
    with pytest.raises(BudgetExceeded, match="spent") as caught:
        run(make, [sse(*STREAM[:2], ERROR)], lambda client: client.chunks("Hi"))
    assert caught.value.code == "token_budget_exceeded"


@both
@pytest.mark.parametrize("end", range(len(STREAM)))
def test_a_stream_without_done_is_a_failure_however_cleanly_it_ends(make, end):
    with pytest.raises(ProtocolError, match="done"):
        run(make, [sse(*STREAM[:end])], lambda client: client.chunks("Hi"))


@both
def test_a_connection_that_breaks_in_the_middle_is_a_failure(make):
    with pytest.raises(ProviderError, match="before the answer was complete") as caught:
        run(make, [sse(*STREAM[:3], complete=False)], lambda client: client.chunks("Hi"))
    assert caught.value.kind is ErrorKind.CONNECTION


@both
def test_an_answer_in_one_piece_can_be_streamed(make):
    chunks, _ = run(make, [plain(WHOLE)], lambda client: client.chunks("Hi"))
    assert "".join(chunk.delta_text or "" for chunk in chunks) == "Hello"
    assert chunks[-1].finish_reason is FinishReason.TOOL_CALLS


@both
@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b""])
def test_an_answer_that_is_none_is_a_protocol_error(make, body):
    with pytest.raises(ProtocolError):
        run(make, [plain(body)], lambda client: client.chat("Hi"))


def _closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@both
@pytest.mark.parametrize("how", ["chat", "chunks"])
def test_a_gateway_that_does_not_run_is_told_with_its_address(make, how):
    url = f"http://127.0.0.1:{_closed_port()}"

    async def use():
        client = make(url)
        try:
            await getattr(client, how)("Hi")
        finally:
            await client.close()

    with pytest.raises(ProviderError, match=f"cannot reach {url}.*ep serve") as caught:
        asyncio.run(use())
    assert caught.value.kind is ErrorKind.CONNECTION


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://x", "http://"])
def test_an_address_that_is_none_is_refused_at_once(url):
    for make in (ExecutionPlatformClient, AsyncExecutionPlatformClient, GatewayClient):
        with pytest.raises(ConfigError, match="base_url"):
            make(url)


@both
def test_vectors_come_in_the_order_of_the_inputs(make):
    packed = base64.b64encode(struct.pack("<2f", 0.5, 1.0)).decode()
    body = {
        "data": [{"index": 1, "embedding": packed}, {"index": 0, "embedding": [1.0, 2.0]}],
        "model": "e",
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }
    answer, (asked,) = run(make, [plain(body)], lambda client: client.embed(["a", "b"], "openai/e", dimensions=2))
    assert answer.vectors == [[1.0, 2.0], [0.5, 1.0]]
    assert (answer.model, answer.usage.input_tokens) == ("e", 4)
    assert (asked.path, asked.json) == ("/v1/embeddings", {"input": ["a", "b"], "model": "openai/e", "dimensions": 2})


@both
@pytest.mark.parametrize(
    "body", [{}, {"data": [{}]}, {"data": [{"embedding": "%"}]}, {"data": [3]}, {"data": [{"embedding": "AAA="}]}]
)
def test_vectors_that_are_none_are_a_protocol_error(make, body):
    with pytest.raises(ProtocolError):
        run(make, [plain(body)], lambda client: client.embed("a"))


@both
def test_tools_are_listed_for_the_persona(make):
    listing = {
        "tools": [{"name": "f", "description": "d", "parameters": {"type": "object"}, "supported_providers": ["p"]}]
    }
    tools, (asked,) = run(make, [plain(listing)], lambda client: client.tools(), persona="architect")
    assert tools == [ToolDefinition("f", "d", {"type": "object"}, extra={"supported_providers": ["p"]})]
    assert (asked.method, asked.path, asked.query) == ("GET", "/v1/tools/list", {"persona": ["architect"]})


@both
@pytest.mark.parametrize("listing", [{}, {"tools": [{}]}, {"tools": ["f"]}])
def test_a_listing_without_tools_is_a_protocol_error(make, listing):
    with pytest.raises(ProtocolError):
        run(make, [plain(listing)], lambda client: client.tools())


def test_clients_close_at_the_end_of_their_block_and_may_be_used_again():
    with ScriptedServer([plain(WHOLE), plain(WHOLE)]) as server:
        with ExecutionPlatformClient(server.url + "/v1/") as client:
            assert client.chat("Hi").text == "Hello"
        assert client.chat("Hi").text == "Hello"
        client.close()
    assert [asked.path for asked in server.asked] == ["/v1/chat", "/v1/chat"]


def test_leaving_a_stream_early_closes_the_connection():
    with ScriptedServer([sse(*STREAM, complete=False)]) as server, ExecutionPlatformClient(server.url) as client:
        stream = client.stream("Hi")
        assert next(stream).thinking == "hm"
        stream.close()
        with pytest.raises(StopIteration):
            next(stream)


def test_one_chat_object_serves_for_chunks_events_and_the_whole():
    async def use(client):
        chat = client.chat("Hi")
        texts = [chunk.delta_text async for chunk in chat if chunk.delta_text]
        events = [event async for event in chat.events()]
        return texts, events, await chat

    (texts, events, whole), asked = run(Asynchronous, [sse(*STREAM), sse(*STREAM), plain(WHOLE)], use)
    assert texts == ["Hel", "lö"]
    assert type(events[0]).__name__ == "Started"
    assert whole.message.parts[0] == TextPart("Hello")
    assert [request.json["stream"] for request in asked] == [True, True, False]


async def gather(stream):
    return [event async for event in stream]


def test_raw_events_are_handed_on_as_they_are():
    def use(client):
        return gather(
            client.stream_chat(
                [{"role": "user", "content": "Hi"}, Message("assistant", "Yes?")],
                provider="p1",
                persona_id="architect",
                requires={"tool_calling": "native"},
                tools=[{"name": "fs_write"}],
                response_format=None,
            )
        )

    events, (asked,) = run(GatewayClient, [sse(*STREAM, b"event: later\ndata: [1]\n\n")], use)
    assert [event["event"] for event in events] == ["thinking", "token", "token", "tool_call", "usage", "done", "later"]
    assert events[3]["data"] == {"type": "tool_call", "data": {"id": "c1", "name": "f", "args": {"a": 1}}}
    assert asked.query == {"provider": ["p1"], "personaId": ["architect"]}
    assert asked.json == {
        "tools": [{"name": "fs_write"}],
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}],
        "stream": True,
        "requires": {"tool_calling": "native"},
    }


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (sse(*STREAM[:4]), ProtocolError),
        (sse(ERROR), BudgetExceeded),
        (sse(b"event: error\ndata: 3\n\n"), ProviderError),
        (sse(b"event: token\ndata: nonsense\n\n"), ProtocolError),
        (failure(412, "requirement_not_met"), RequirementError),
        (sse(*STREAM[:3], complete=False), ProviderError),
    ],
)
def test_raw_events_end_in_done_or_in_an_exception(script, expected):
    with pytest.raises(expected):
        run(GatewayClient, [script], lambda client: gather(client.stream_chat([{"role": "user", "content": "Hi"}])))


def test_the_other_paths_of_the_gateway_give_their_json():
    async def use(client):
        async with client:
            return [
                await client.embeddings("a", "e"),
                await client.invoke_tool("fs_read", {"path": "a"}),
                await client.invoke_tool("todo_write"),
                await client.capabilities("openai"),
            ]

    answers, asked = run(GatewayClient, [plain({"n": number}) for number in range(4)], use, api_key="k")
    assert answers == [{"n": 0}, {"n": 1}, {"n": 2}, {"n": 3}]
    assert [(each.method, each.path) for each in asked] == [
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/tools/invoke"),
        ("POST", "/v1/tools/invoke"),
        ("GET", "/v1/capabilities"),
    ]
    assert [each.json for each in asked[:3]] == [
        {"input": "a", "model": "e"},
        {"name": "fs_read", "args": {"path": "a"}},
        {"name": "todo_write", "args": {}},
    ]
    assert asked[3].query == {"provider": ["openai"]}
    assert {each.headers["authorization"] for each in asked} == {"Bearer k"}


def test_the_library_can_be_replaced_at_the_attribute(monkeypatch):
    seen = {}

    class Patched(package.httpx.AsyncClient):
        def __init__(self, **options):
            seen.update(options)
            super().__init__(
                transport=package.httpx.MockTransport(lambda _: package.httpx.Response(200, json={"n": 1})), **options
            )

    monkeypatch.setattr("execution_platform.client.httpx.AsyncClient", Patched)

    async def use():
        client = GatewayClient("http://anywhere.test")
        answer = await client.capabilities()
        await client.close()
        return answer

    assert asyncio.run(use()) == {"n": 1}
    assert seen["timeout"] == (10.0, None, None, None)


def test_a_connection_has_ten_seconds_and_an_answer_all_the_time_it_takes():
    with ExecutionPlatformClient("http://127.0.0.1:9") as client:
        timeout = client._http().timeout
    assert (timeout.connect, timeout.read, timeout.write, timeout.pool) == (10.0, None, None, None)


def test_an_unknown_attribute_of_the_package_is_refused():
    with pytest.raises(AttributeError, match="nothing"):
        _ = package.nothing


def test_importing_the_clients_loads_no_http_library_and_prints_nothing():
    code = "import sys, execution_platform.client; sys.exit(any(name in sys.modules for name in ('httpx2', 'aiohttp', 'pydantic')))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
