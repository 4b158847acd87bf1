"""The embeddings server of the embedded provider, with its real model."""

import asyncio
import base64
import contextlib
import json
import struct
from collections.abc import Callable

import aiohttp
import pytest

from execution_platform.providers.embedded import EMBEDDINGS_MODEL, EmbeddedModel, embeddings_server
from execution_platform.providers.local.model_server import RefusedError, read_request
from providers.local_server import LocalServer, needs_embeddings, running

DIMENSIONS = 384
Ask = Callable[..., tuple[int, dict]]


@pytest.fixture(scope="module")
def server():
    with contextlib.ExitStack() as life:
        yield life.enter_context(running(embeddings_server(), EMBEDDINGS_MODEL))


@pytest.fixture
def ask(server: LocalServer) -> Ask:
    def post(**body: object) -> tuple[int, dict]:
        async def run():
            async with (
                aiohttp.ClientSession(headers=server.headers) as session,
                session.post(f"{server.base_url}/embeddings", json=body) as response,
            ):
                return response.status, await response.json()

        return asyncio.run(run())

    return post


def likeness(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


@needs_embeddings
def test_words_of_like_meaning_lie_closer_together(ask: Ask):
    status, answer = ask(model=EMBEDDINGS_MODEL, input=["cat", "kitten", "quarterly revenue"])
    cat, kitten, revenue = (entry["embedding"] for entry in answer["data"])
    assert status == 200
    assert [entry["index"] for entry in answer["data"]] == [0, 1, 2]
    assert {len(cat), len(kitten), len(revenue)} == {DIMENSIONS}
    assert likeness(cat, cat) == pytest.approx(1, abs=1e-3)
    assert likeness(cat, kitten) > likeness(cat, revenue) + 0.05
    assert answer["model"] == EMBEDDINGS_MODEL
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 3


@needs_embeddings
def test_base64_holds_the_same_numbers_as_the_list(ask: Ask):
    _, as_floats = ask(input="The same text.")
    _, as_base64 = ask(input="The same text.", encoding_format="base64")
    packed = base64.b64decode(as_base64["data"][0]["embedding"])
    assert list(struct.unpack(f"<{DIMENSIONS}f", packed)) == as_floats["data"][0]["embedding"]


@needs_embeddings
def test_a_question_and_its_passage_are_told_apart_by_input_type_or_model_name(ask: Ask):
    vectors = {
        name: ask(input="Paris is the capital of France.", **how)[1]["data"][0]["embedding"]
        for name, how in {
            "unsaid": {},
            "query": {"input_type": "query"},
            "passage": {"input_type": "passage"},
            "document": {"input_type": "document"},
            "named": {"model": f"{EMBEDDINGS_MODEL}-passage"},
        }.items()
    }
    assert vectors["unsaid"] == vectors["query"] != vectors["passage"]
    assert vectors["passage"] == vectors["document"] == vectors["named"]


@needs_embeddings
def test_a_text_longer_than_the_models_window_is_embedded_whole(ask: Ask):
    long = "The cat sat on the mat. " * 100
    status, answer = ask(input=long)
    _, changed = ask(input=long + "Quarterly revenue rose by ten percent. " * 50)
    assert status == 200
    assert answer["usage"]["prompt_tokens"] > 600
    assert answer["data"][0]["embedding"] != changed["data"][0]["embedding"]


@needs_embeddings
def test_the_server_wants_its_credential_and_survives_what_it_refuses(server: LocalServer):
    async def run():
        url, answers = server.base_url, []
        async with aiohttp.ClientSession() as session:
            attempts = [
                ("POST", "/embeddings", {}, json.dumps({"input": "x"}).encode()),
                ("POST", "/embeddings", {"authorization": "Bearer wrong"}, b"{}"),
                ("GET", "/models", {}, None),
                ("POST", "/embeddings", server.headers, b"{not json"),
                ("POST", "/chat/completions", server.headers, b"{}"),
                ("GET", "/nowhere", server.headers, None),
                ("POST", "/embeddings", {**server.headers, "content-length": "99999999"}, None),
                ("GET", "/models", server.headers, None),
            ]
            for method, path, headers, data in attempts:
                async with session.request(method, url + path, headers=headers, data=data) as response:
                    answers.append((response.status, await response.json()))
            async with session.get(url.removesuffix("/v1") + "/health") as response:
                answers.append((response.status, await response.json()))
        return answers

    answers = asyncio.run(run())
    assert [status for status, _ in answers] == [401, 401, 401, 400, 404, 404, 413, 200, 200]
    assert answers[0][1]["error"]["type"] == "authentication_error"
    assert set(answers[3][1]["error"]) == {"message", "type", "param", "code"}
    assert answers[7][1]["data"][0]["id"] == EMBEDDINGS_MODEL


@needs_embeddings
def test_calls_at_the_same_time_are_all_answered(server: LocalServer):
    texts = [f"sentence number {number}" for number in range(12)]

    async def one(session: aiohttp.ClientSession, text: str) -> list[float]:
        async with session.post(f"{server.base_url}/embeddings", json={"input": text}) as response:
            return (await response.json())["data"][0]["embedding"]

    async def run():
        async with aiohttp.ClientSession(headers=server.headers) as session:
            return await asyncio.gather(*(one(session, text) for text in texts)), await one(session, texts[3])

    vectors, again = asyncio.run(run())
    assert len({tuple(vector) for vector in vectors}) == len(texts)
    assert vectors[3] == again


@needs_embeddings
def test_the_embeddings_process_starts_at_first_use_apart_from_chat():
    async def run():
        async with EmbeddedModel() as model:
            urls = await asyncio.gather(*(model.embeddings_url() for _ in range(20)))
            headers = {"authorization": f"Bearer {model.credential}"}
            async with (
                aiohttp.ClientSession(headers=headers) as session,
                session.post(f"{urls[0]}/embeddings", json={"input": "x"}) as response,
            ):
                return set(urls), response.status, model.status()

    urls, status, (chat, embeddings) = asyncio.run(run())
    assert len(urls) == 1
    assert status == 200
    assert (chat.starts, embeddings.starts) == (0, 1)


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({}, "input", "string or a list of strings"),
        ({"input": None}, "input", "string or a list of strings"),
        ({"input": []}, "input", "not 0"),
        ({"input": ["x"] * 2049}, "input", "not 2049"),
        ({"input": [1, 2, 3]}, "input", "lists of tokens are not served"),
        ({"input": ["x", [1]]}, "input", "lists of tokens are not served"),
        ({"input": "\ud800"}, "input", "not Unicode"),
        ({"input": "x", "encoding_format": "hex"}, "encoding_format", "'hex'"),
        ({"input": "x", "dimensions": 64}, "dimensions", "384 dimensions"),
    ],
)
def test_a_body_that_cannot_be_served_is_refused_with_the_member_at_fault(body: dict, param: str, words: str):
    with pytest.raises(RefusedError, match=words) as raised:
        read_request(json.dumps(body).encode(), DIMENSIONS)
    assert (raised.value.status, raised.value.param) == (400, param)


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"text"', b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(body: bytes):
    with pytest.raises(RefusedError) as raised:
        read_request(body, DIMENSIONS)
    assert raised.value.status == 400
