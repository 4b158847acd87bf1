"""What a real llama.cpp server answers: the facts that the `llama_cpp` and `embedded` profiles rest on."""

import asyncio
import json
from collections.abc import Callable

import aiohttp
import pytest

from execution_platform.providers.embedded import chat_server
from execution_platform.providers.local.child import ServerSpec
from loops import until
from providers.local_server import LocalServer, chunks, frames, llama_cpp_server, running

__all__ = ["llama_cpp_server"]

FRANCE = {"role": "user", "content": "What is the capital of France? Answer in one sentence."}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
Ask = Callable[..., tuple[int, dict]]


@pytest.fixture
def ask(llama_cpp_server: LocalServer) -> Ask:
    def post(path: str = "/chat/completions", **body: object) -> tuple[int, dict]:
        async def run():
            async with (
                aiohttp.ClientSession(headers=llama_cpp_server.headers) as session,
                session.post(llama_cpp_server.base_url + path, json=body) as response,
            ):
                return response.status, await response.json()

        return asyncio.run(run())

    return post


def test_the_model_knows_the_capital_of_france_and_counts_its_tokens(ask: Ask):
    status, answer = ask(messages=[FRANCE], temperature=0)
    choice, usage = answer["choices"][0], answer["usage"]
    assert status == 200
    assert "Paris" in choice["message"]["content"]
    assert choice["finish_reason"] == "stop"
    assert usage["prompt_tokens"] > 10
    assert 0 < usage["completion_tokens"] < 30
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert "timings" in answer


def test_a_repeated_prompt_is_read_from_the_cache(ask: Ask):
    first = ask(messages=[FRANCE], max_tokens=2)[1]["usage"]
    second = ask(messages=[FRANCE], max_tokens=2)[1]["usage"]
    assert second["prompt_tokens"] == first["prompt_tokens"]
    assert second["prompt_tokens_details"]["cached_tokens"] == second["prompt_tokens"] - 1


def test_a_stream_starts_with_a_role_and_ends_with_reason_usage_and_terminator(llama_cpp_server: LocalServer):
    async def run():
        body = {"messages": [FRANCE], "temperature": 0, "stream": True, "stream_options": {"include_usage": True}}
        async with (
            aiohttp.ClientSession(headers=llama_cpp_server.headers) as session,
            session.post(f"{llama_cpp_server.base_url}/chat/completions", json=body) as response,
        ):
            return response.content_type, [data async for data in frames(response)]

    content_type, data = asyncio.run(run())
    received = [json.loads(each) for each in data[:-1]]
    deltas = [chunk["choices"][0]["delta"] for chunk in received if chunk["choices"]]
    assert content_type == "text/event-stream"
    assert data[-1] == "[DONE]"
    assert deltas[0] == {"role": "assistant", "content": None}
    assert deltas[-1] == {}
    assert "Paris" in "".join(delta.get("content") or "" for delta in deltas)
    assert received[-2]["choices"][0]["finish_reason"] == "stop"
    assert received[-1]["choices"] == []
    assert received[-1]["usage"]["completion_tokens"] > 0
    assert not any("usage" in chunk for chunk in received[:-1])


def test_a_json_schema_binds_the_answer(ask: Ask):
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "population_known": {"type": "boolean"}},
        "required": ["city", "population_known"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
    status, answer = ask(messages=[FRANCE], temperature=0, max_tokens=80, response_format=form)
    value = json.loads(answer["choices"][0]["message"]["content"])
    assert status == 200
    assert set(value) == {"city", "population_known"}
    assert isinstance(value["population_known"], bool)


def test_two_conversations_are_answered_at_once(llama_cpp_server: LocalServer):
    order: list[str] = []

    async def converse(session: aiohttp.ClientSession, name: str) -> str:
        body = {"messages": [{"role": "user", "content": f"Tell me about {name}."}], "stream": True, "max_tokens": 60}
        body |= {"ignore_eos": True, "temperature": 0}
        text = ""
        async with session.post(f"{llama_cpp_server.base_url}/chat/completions", json=body) as response:
            async for chunk in chunks(response):
                order.append(name)
                text += chunk["choices"][0]["delta"].get("content") or ""
        return text

    async def run():
        async with aiohttp.ClientSession(headers=llama_cpp_server.headers) as session:
            return await asyncio.gather(converse(session, "cats"), converse(session, "ships"))

    cats, ships = asyncio.run(run())
    last = len(order) - 1 - order[::-1].index(order[0])
    other = "ships" if order[0] == "cats" else "cats"
    assert cats
    assert ships
    assert order[:last].count(other) > 10


def test_a_client_that_leaves_mid_stream_frees_its_place(llama_cpp_server: LocalServer):
    root = llama_cpp_server.base_url.removesuffix("/v1")

    async def busy(session: aiohttp.ClientSession) -> int:
        async with session.get(f"{root}/slots") as response:
            return sum(slot["is_processing"] for slot in await response.json())

    async def run():
        body = {"messages": [FRANCE], "stream": True, "max_tokens": 6000, "ignore_eos": True}
        async with aiohttp.ClientSession(headers=llama_cpp_server.headers) as session:

            async def idle() -> bool:
                return await busy(session) == 0

            response = await session.post(f"{llama_cpp_server.base_url}/chat/completions", json=body)
            received = chunks(response)
            await anext(received)
            content = (await anext(received))["choices"][0]["delta"]["content"]
            while_streaming = await busy(session)
            response.close()
            await received.aclose()
            await until(idle, within=30)
            after = {"messages": [FRANCE], "max_tokens": 3}
            async with session.post(f"{llama_cpp_server.base_url}/chat/completions", json=after) as answer:
                return content, while_streaming, answer.status

    content, while_streaming, status = asyncio.run(run())
    assert content
    assert while_streaming == 1
    assert status == 200


def test_a_prompt_that_does_not_fit_is_an_error_of_its_own_type_with_both_numbers(ask: Ask):
    messages = [{"role": "user", "content": "word " * 9000}]
    for stream in (False, True):
        status, answer = ask(messages=messages, stream=stream)
        assert status == 400
        assert answer["error"]["type"] == "exceed_context_size_error"
        assert answer["error"]["n_ctx"] == 8192
        assert answer["error"]["n_prompt_tokens"] > 9000
        assert answer["error"]["code"] == 400


def test_an_answer_stops_at_the_end_of_the_context_with_reason_length(llama_cpp_server: LocalServer):
    whole = chat_server()
    small = [*whole.arguments, "--context", "256", "--conversations", "1"]
    body = {"messages": [FRANCE], "ignore_eos": True, "max_tokens": 4000}

    async def run(server: LocalServer):
        async with (
            aiohttp.ClientSession(headers=server.headers) as session,
            session.post(f"{server.base_url}/chat/completions", json=body) as response,
        ):
            return response.status, await response.json()

    with running(ServerSpec(whole.name, tuple(small))) as server:
        assert server.pid != llama_cpp_server.pid
        status, answer = asyncio.run(run(server))
    assert status == 200
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["total_tokens"] == 256


@pytest.mark.parametrize("choice", ["auto", "required", "none", {"type": "function", "function": {"name": "weather"}}])
def test_tools_are_accepted_and_never_called(ask: Ask, choice: object):
    status, answer = ask(messages=[FRANCE], tools=[TOOL], tool_choice=choice, max_tokens=12, temperature=0)
    message = answer["choices"][0]["message"]
    assert status == 200
    assert "tool_calls" not in message
    assert message["content"]


def test_embeddings_are_not_served_by_the_chat_server(ask: Ask):
    status, answer = ask("/embeddings", input="x")
    assert status == 501
    assert answer["error"]["type"] == "not_supported_error"


def test_errors_have_a_numeric_code_and_no_param(ask: Ask):
    refused = [
        ask(),
        ask(messages="x"),
        ask(messages=[FRANCE], temperature="hot"),
        ask(messages=[FRANCE], response_format={"type": "bogus"}),
        ask(messages=[FRANCE], n=3),
    ]
    assert [status for status, _ in refused] == [400] * 5
    assert all(set(answer["error"]) == {"code", "message", "type"} for _, answer in refused)
    assert {answer["error"]["code"] for _, answer in refused} == {400}
    assert {answer["error"]["type"] for _, answer in refused} == {"invalid_request_error"}


def test_several_choices_are_reported_with_the_usage_of_one(ask: Ask):
    status, answer = ask(messages=[FRANCE], n=2, max_tokens=5, ignore_eos=True)
    assert status == 200
    assert len(answer["choices"]) == 2
    assert answer["usage"]["completion_tokens"] == 5


def test_the_answer_names_the_servers_model_whatever_was_asked_for(ask: Ask, llama_cpp_server: LocalServer):
    assert ask(model="gpt-4o", messages=[FRANCE], max_tokens=1)[1]["model"] == llama_cpp_server.model


def test_a_page_of_another_origin_gets_no_permission(llama_cpp_server: LocalServer):
    async def run():
        headers = {**llama_cpp_server.headers, "origin": "http://elsewhere.example"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"{llama_cpp_server.base_url}/models") as response,
        ):
            return response.headers.get("access-control-allow-origin", "")

    assert asyncio.run(run()) == ""
