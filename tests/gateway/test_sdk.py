"""The SDK against the real gateway: what a program written with it gets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from execution_platform.client import AsyncExecutionPlatformClient, ExecutionPlatformClient, GatewayClient
from execution_platform.exceptions import (
    AuthenticationError,
    ErrorKind,
    ExecutionPlatformError,
    NotConfigured,
    ProviderError,
    RequirementError,
    RouterError,
    UnprocessableRequest,
)
from execution_platform.spi import ChatRequest, FinishReason, Message, ToolDefinition
from execution_platform.testing import Call, Cut, FakeUpstream, Script, Status, Text, Tokens, Vectors
from serving import MODELS, Served, serving, three_vendors

WEATHER = ToolDefinition("weather", "the weather", {"type": "object", "properties": {"city": {"type": "string"}}})
PERSONAS = {"dev": {"prefer": [MODELS["anthropic"], MODELS["openai_chat"]], "system": "Be brief."}}


class Blocking:
    """The blocking client with the asynchronous one's face."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.client = ExecutionPlatformClient(*args, **options)

    async def chat(self, *args: Any, **options: Any) -> Any:
        return await asyncio.to_thread(lambda: self.client.chat(*args, **options))

    async def chunks(self, *args: Any, **options: Any) -> list[Any]:
        return await asyncio.to_thread(lambda: list(self.client.stream(*args, **options)))

    async def embed(self, *args: Any, **options: Any) -> Any:
        return await asyncio.to_thread(lambda: self.client.embed(*args, **options))

    async def close(self) -> None:
        self.client.close()


class Asynchronous:
    """The asynchronous client, with chunks as a list."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.client = AsyncExecutionPlatformClient(*args, **options)

    async def chat(self, *args: Any, **options: Any) -> Any:
        return await self.client.chat(*args, **options)

    async def chunks(self, *args: Any, **options: Any) -> list[Any]:
        return [chunk async for chunk in self.client.stream(*args, **options)]

    async def embed(self, *args: Any, **options: Any) -> Any:
        return await self.client.embed(*args, **options)

    async def close(self) -> None:
        await self.client.close()


both = pytest.mark.parametrize("make", [Blocking, Asynchronous], ids=["sync", "async"])


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@asynccontextmanager
async def talking(
    folder: Path, make: Callable[..., Any], persona: str | None = "dev", **options: Any
) -> AsyncIterator[tuple[FakeUpstream, Served, Any]]:
    """An upstream, a gateway and a client of it."""
    async with FakeUpstream() as upstream, serving(folder, three_vendors(upstream, personas=PERSONAS)) as gateway:
        client = make(gateway.url, persona, **options)
        try:
            yield upstream, gateway, client
        finally:
            await client.close()


@both
def test_text_usage_and_cost_of_a_whole_answer(make: Any, tmp_path: Path) -> None:
    async def run() -> None:
        async with talking(tmp_path, make) as (upstream, _, client):
            upstream.script(Script("the quick fox", usage=Tokens(input=1000, output=500)))
            answer = await client.chat("hello", max_tokens=50)
            assert answer.text == "the quick fox"
            assert answer.finish.reason is FinishReason.STOP
            assert (answer.usage.input_tokens, answer.usage.output_tokens) == (1000, 500)
            assert answer.usage.cost_usd > 0.001
            assert "Be brief." in upstream.meter[0].raw_body.decode()
            assert upstream.meter[0].body["max_tokens"] == 50

    asyncio.run(run())


@both
def test_text_arrives_in_pieces_with_usage_at_the_end(make: Any, tmp_path: Path) -> None:
    async def run() -> None:
        async with talking(tmp_path, make) as (upstream, _, client):
            upstream.script(Script(Text("one two three", chunks=3), usage=Tokens(input=11, output=4)))
            chunks = await client.chunks("hello")
            pieces = [chunk.delta_text for chunk in chunks if chunk.delta_text]
            assert "".join(pieces) == "one two three"
            assert len(pieces) == 3
            assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == [FinishReason.STOP]
            usage = next(chunk.usage for chunk in chunks if chunk.usage)
            assert (usage.input_tokens, usage.output_tokens) == (11, 4)

    asyncio.run(run())


@both
def test_a_tool_call_and_its_result_make_a_conversation(make: Any, tmp_path: Path) -> None:
    async def run() -> None:
        async with talking(tmp_path, make, None, provider_override="openai") as (upstream, _, client):
            upstream.script(Script(Call("weather", {"city": "Paris"}, id="call_7")), Script("sunny"))
            first = await client.chat("weather in Paris?", tools=[WEATHER], model="gpt-4o")
            (call,) = first.tool_calls
            assert (call.name, call.call_id) == ("weather", "call_7")
            assert first.finish.reason is FinishReason.TOOL_CALLS
            turns = [
                Message("user", "weather in Paris?"),
                first.message,
                Message("tool", "20 degrees", tool_call_id=call.call_id),
            ]
            second = await client.chat(ChatRequest(turns, "gpt-4o", tools=[WEATHER]))
            assert second.text == "sunny"
            sent = upstream.meter[1].body["messages"]
            assert [turn["role"] for turn in sent] == ["user", "assistant", "tool"]
            assert sent[2]["tool_call_id"] == "call_7"

    asyncio.run(run())


@both
def test_a_streamed_tool_call_is_whole(make: Any, tmp_path: Path) -> None:
    async def run() -> None:
        async with talking(tmp_path, make) as (upstream, _, client):
            upstream.script(Script([Text("let me see"), Call("weather", {"city": "Rome"})]))
            chunks = await client.chunks("weather?", tools=[WEATHER])
            (call,) = [chunk.tool_call for chunk in chunks if chunk.tool_call]
            assert (call.name, call.arguments) == ("weather", '{"city":"Rome"}')

    asyncio.run(run())


@both
@pytest.mark.parametrize(
    ("asked", "expected", "kind"),
    [
        ({"model": "openai/gpt-4-turbo", "status": 404}, ProviderError, ErrorKind.NOT_FOUND),
        ({"model": "nobody/x"}, RouterError, ErrorKind.NOT_FOUND),
        ({"model": "groq/x"}, NotConfigured, ErrorKind.UNAVAILABLE),
        ({"model": "openai/gpt-4o", "status": 429}, ProviderError, ErrorKind.RATE_LIMIT),
        ({"model": "openai/gpt-4o", "status": 500}, ProviderError, ErrorKind.SERVER),
        ({"model": "openai/gpt-4o", "status": 529}, ProviderError, ErrorKind.OVERLOADED),
        ({"model": "openai/gpt-4o", "temperature": 99.0, "status": 400}, ProviderError, ErrorKind.BAD_REQUEST),
    ],
    ids=lambda value: str(value.get("model", "")) + str(value.get("status", "")) if isinstance(value, dict) else None,
)
def test_errors_are_the_same_exceptions_as_in_the_gateway(
    make: Any, asked: dict[str, Any], expected: type[Exception], kind: ErrorKind, tmp_path: Path
) -> None:
    status = asked.pop("status", None) if "status" in (asked := dict(asked)) else None

    async def run() -> None:
        async with talking(tmp_path, make, None) as (upstream, _, client):
            if status is not None:
                upstream.script(Status(status, retry_after=5 if status == 429 else None))
            for ask in (client.chat, client.chunks):
                with pytest.raises(expected) as caught:
                    await ask("hello", **asked)
                error = caught.value
                assert isinstance(error, ExecutionPlatformError)
                assert error.kind is kind
                if status == 429:
                    assert error.retry_after == 5

    asyncio.run(run())


@both
def test_a_requirement_that_is_not_met_and_a_request_that_is_none(make: Any, tmp_path: Path) -> None:
    async def run() -> None:
        async with talking(tmp_path, make, None) as (_, _, client):
            hello = (Message("user", "hello"),)
            with pytest.raises(RequirementError, match="logprobs"):
                await client.chat(ChatRequest(hello, MODELS["anthropic"], requires=["logprobs"]))
            with pytest.raises(UnprocessableRequest):
                await client.chat(ChatRequest(()))

    asyncio.run(run())


@both
def test_a_stream_that_breaks_raises_after_what_had_come(make: Any, tmp_path: Path) -> None:
    async def run() -> None:
        async with talking(tmp_path, make) as (upstream, _, client):
            upstream.script(Script(Text("one two three"), faults=[Cut(after=1, of="content")]))
            with pytest.raises(ProviderError):
                await client.chunks("hello")

    asyncio.run(run())


@both
def test_a_wrong_key_is_told_and_the_right_one_works(make: Any, tmp_path: Path) -> None:
    async def run() -> None:
        environ = {"EP_MASTER_KEY": "sk-ep-master-9876543210"}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), environ) as gateway:
            for key, works in (("sk-ep-master-9876543210", True), ("wrong", False), (None, False)):
                client = make(gateway.url, api_key=key)
                try:
                    if works:
                        assert (await client.chat("hello", model=MODELS["gemini"])).text
                    else:
                        with pytest.raises(AuthenticationError):
                            await client.chat("hello", model=MODELS["gemini"])
                finally:
                    await client.close()

    asyncio.run(run())


@both
def test_embeddings_come_back_in_order(make: Any, tmp_path: Path) -> None:
    async def run() -> None:
        async with talking(tmp_path, make, None) as (upstream, _, client):
            upstream.script(Script(Vectors([[1.0, 0.5], [0.25, -1.0]])), operation="embeddings")
            answer = await client.embed(["a", "b"], "openai/text-embedding-3-small")
            assert [list(vector) for vector in answer.vectors] == [[1.0, 0.5], [0.25, -1.0]]
            with pytest.raises(RequirementError):
                await client.embed(["a"], MODELS["anthropic"])

    asyncio.run(run())


def test_leaving_a_stream_early_ends_it_at_the_upstream(tmp_path: Path) -> None:
    async def run() -> None:
        async with talking(tmp_path, Asynchronous) as (upstream, _, client):
            gate = upstream.gate("pace")
            upstream.script(Script(Text("one two three"), pace_gate=gate))
            gate.step(5)
            stream = client.client.stream("hello")
            async for chunk in stream:
                if chunk.delta_text:
                    break
            await stream.aclose()
            assert (await upstream.wait_closed(0)).end == "client"

    asyncio.run(run())


def test_the_client_of_raw_events_sees_the_published_ones(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=PERSONAS)) as gateway:
            upstream.script(Script([Text("let me see"), Call("weather", {"city": "Rome"})]))
            tools = [{"name": "weather", "json_schema": {"type": "object"}}]
            async with GatewayClient(gateway.url) as client:
                messages = [{"role": "user", "content": "weather?"}]
                events = [event async for event in client.stream_chat(messages, persona_id="dev", tools=tools)]
                names = list(dict.fromkeys(event["event"] for event in events))
                assert names == ["token", "tool_call", "usage", "done"]
                (call,) = [event["data"] for event in events if event["event"] == "tool_call"]
                assert call["type"] == "tool_call"
                assert (call["data"]["name"], call["data"]["args"]) == ("weather", {"city": "Rome"})
                done = events[-1]["data"]
                assert (done["provider"], done["model"]) == ("anthropic", "claude-sonnet-4-5")
                upstream.script(Script(Text("one two"), faults=[Cut(after=1, of="content")]))
                with pytest.raises(ProviderError):
                    [event async for event in client.stream_chat(messages, provider="openai")]
                capabilities = await client.capabilities()
                assert capabilities["provider"] == "openai"
                vectors = await client.embeddings(["a"], "openai/text-embedding-3-small")
                assert vectors["data"]

    asyncio.run(run())
