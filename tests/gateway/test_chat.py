"""Chat through the gateway: every client dialect against every upstream dialect, whole and streamed."""

import asyncio
from pathlib import Path

import pytest

from execution_platform.dialects import dialect
from execution_platform.dialects.base import Upstream
from execution_platform.spi.assemble import accumulate
from execution_platform.spi.parts import Origin
from execution_platform.spi.response import ChatResponse, FinishReason
from execution_platform.testing import Call, FakeUpstream, Script, Text, Tokens
from serving import MODELS, Got, chat_body, serving, three_vendors

CLIENTS = ["openai_chat", "anthropic", "gemini", "native"]


def read(client: str, got: Got, *, stream: bool) -> ChatResponse:
    """What a client of that dialect understands."""
    assert got.status == 200, got.body
    wire = dialect(client)
    upstream = Upstream(Origin(dialect=client))
    if not stream:
        return wire.decode_response(got.body, upstream)
    decoder = wire.stream_decoder(upstream)
    return accumulate([*decoder.feed(got.body), *decoder.close()])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("target", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
def test_text_and_usage_arrive_whatever_the_two_dialects(
    client: str, target: str, stream: bool, tmp_path: Path
) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(Script(Text("the quick brown fox", chunks=4), usage=Tokens(input=11, output=4)))
            path, body = chat_body(client, "hello", MODELS[target], stream=stream)
            if client == "openai_chat" and stream:
                body["stream_options"] = {"include_usage": True}
            got = await gateway.post(path, body)
            answer = read(client, got, stream=stream)
            assert answer.text == "the quick brown fox"
            assert answer.finish.reason is FinishReason.STOP
            assert answer.usage is not None
            assert (answer.usage.input_tokens, answer.usage.output_tokens) == (11, 4)
            assert got.header("x-ep-provider") == MODELS[target].split("/")[0]
            assert got.header("x-ep-attempts") == "1"
            exchange = upstream.meter[0]
            assert (exchange.told.input, exchange.told.output) == (11, 4)

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("target", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
def test_parallel_tool_calls_arrive_in_order_with_their_arguments(
    client: str, target: str, stream: bool, tmp_path: Path
) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = {
        "openai_chat": [
            {"type": "function", "function": {"name": "weather", "description": "w", "parameters": schema}}
        ],
        "anthropic": [{"name": "weather", "description": "w", "input_schema": schema}],
        "gemini": [{"functionDeclarations": [{"name": "weather", "description": "w", "parameters": schema}]}],
        "native": [{"name": "weather", "description": "w", "json_schema": schema}],
    }

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(Script([Call("weather", {"city": "Paris"}), Call("weather", {"city": "Rome"})]))
            path, body = chat_body(client, "hello", MODELS[target], stream=stream)
            answer = read(client, await gateway.post(path, {**body, "tools": tools[client]}), stream=stream)
            assert [(call.name, call.arguments.replace(" ", "")) for call in answer.tool_calls] == [
                ("weather", '{"city":"Paris"}'),
                ("weather", '{"city":"Rome"}'),
            ]
            assert answer.finish.reason is FinishReason.TOOL_CALLS

    asyncio.run(run())
