"""Malformed requests: a clear error in the caller's dialect, never a failure of ours and never a guess."""

import asyncio
import copy
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from execution_platform.testing import FakeUpstream
from serving import MODELS, Served, chat_body, serving, three_vendors

CLIENTS = ["openai_chat", "anthropic", "gemini", "native"]
NONSENSE: list[Any] = [None, True, -1, 1.5, "text", "", [], {}, [None], [[]], {"x": 1}, "\u0000", 10**30]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

RICH: dict[str, dict[str, Any]] = {
    "openai_chat": {
        "model": "MODEL",
        "messages": [
            {"role": "system", "content": "be brief"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "hi"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        ],
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}],
        "tool_choice": "auto",
        "max_tokens": 10,
        "temperature": 0.5,
        "stop": ["x"],
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}},
        "stream_options": {"include_usage": True},
        "stream": True,
    },
    "anthropic": {
        "model": "MODEL",
        "max_tokens": 2048,
        "system": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "hi"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE}},
                ],
            },
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "weather", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "sunny"}]},
        ],
        "tools": [{"name": "weather", "input_schema": SCHEMA}],
        "tool_choice": {"type": "auto"},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "stop_sequences": ["x"],
        "metadata": {"user_id": "u"},
        "stream": False,
    },
    "gemini": {
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "hi"}, {"inlineData": {"mimeType": "image/png", "data": IMAGE}}]},
            {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"output": "sunny"}}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "weather", "parameters": SCHEMA}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
        "generationConfig": {"temperature": 0.5, "maxOutputTokens": 10, "stopSequences": ["x"]},
    },
    "native": {
        "model": "MODEL",
        "system": "be brief",
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho", "name": "a"}],
        "tools": [{"name": "weather", "json_schema": SCHEMA}],
        "tool_choice": "auto",
        "response_format": {"type": "json"},
        "requires": {"tool_calling": "native"},
        "max_tokens": 10,
        "stop": ["x"],
        "stream": False,
    },
}


def mutants(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every path inside a JSON value."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from mutants(inner, (*path, key))


def replaced(body: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(body)
    inner: Any = changed
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return changed


def with_model(client: str, body: dict[str, Any], model: str) -> dict[str, Any]:
    return {**body, "model": model} if body.get("model") == "MODEL" else body


def is_clear(client: str, status: int, body: bytes) -> None:
    """A refusal in the caller's dialect that says something."""
    assert 400 <= status < 500, (status, body)
    answer = json.loads(body)
    assert answer["error"]["message"].strip(), body
    assert "Traceback" not in answer["error"]["message"]
    if client == "anthropic":
        assert answer["type"] == "error"


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("target", MODELS)
def test_any_wrong_type_in_any_field_is_refused_or_served_and_never_our_failure(
    client: str, target: str, tmp_path: Path
) -> None:
    """R40: every member of a rich request in turn, with every kind of nonsense."""
    path, _ = chat_body(client, "hi", MODELS[target])
    rich = with_model(client, RICH[client], MODELS[target])

    async def check(gateway: Served, body: dict[str, Any], where: object) -> None:
        got = await gateway.post(path, body)
        if got.status != 200:
            assert got.status < 500, (where, got.status, got.body)
            is_clear(client, got.status, got.body)

    async def run() -> None:
        async with FakeUpstream(lean=True) as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            for number, where in enumerate(mutants(rich)):
                for value in NONSENSE[number % 2 :: 2]:
                    await check(gateway, replaced(rich, where, value), (where, value))

    asyncio.run(run())


BROKEN = {
    "not json": b"{'a': 1}",
    "half": b'{"messages": [',
    "nothing": b"",
    "not utf-8": b'{"messages": "\xff\xfe"}',
    "a list": b"[]",
    "a number": b"1",
    "duplicate": b'{"model":"cheap","model":"dear","messages":[]}',
    "nested duplicate": b'{"model":"m","messages":[{"role":"user","role":"system","content":"x"}]}',
    "too deep": b'{"messages":' + b"[" * 100 + b"]" * 100 + b"}",
    "very deep": b"[" * 100_000,
    "nan": b'{"temperature": NaN, "messages": []}',
    "infinite": b'{"temperature": 1e999, "messages": []}',
    "surrogate": b'{"model": "\\ud800", "messages": []}',
    "trailing": b'{"messages": []} x',
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_body_that_is_not_usable_json_is_refused_with_the_reason(client: str, broken: bytes, tmp_path: Path) -> None:
    """E15: a policy and a provider could disagree about a name given twice, so no name is."""

    async def run() -> None:
        async with FakeUpstream(lean=True) as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            path, _ = chat_body(client, "hi", MODELS["openai_chat"])
            got = await gateway.post(path, data=broken)
            assert got.status in {400, 422}, (got.status, got.body)
            is_clear(client, got.status, got.body)
            assert len(upstream.meter) == 0

    asyncio.run(run())


@pytest.mark.parametrize("client", CLIENTS)
def test_a_body_over_the_limit_is_413_whether_announced_or_streamed(client: str, tmp_path: Path) -> None:
    """E10: announced or counted while it comes."""

    async def pieces():
        for _ in range(40):
            yield b"x" * 1000

    async def run() -> None:
        async with FakeUpstream() as upstream:
            config = three_vendors(upstream, limits={"body": 20_000})
            async with serving(tmp_path, config) as gateway:
                path, _ = chat_body(client, "hi", MODELS["openai_chat"])
                announced = await gateway.post(path, data=b"x" * 30_000)
                streamed = await gateway.post(path, data=pieces())
                for got in (announced, streamed):
                    assert got.status == 413, got.body
                    is_clear(client, got.status, got.body)

    asyncio.run(run())


@pytest.mark.parametrize("client", CLIENTS)
def test_a_compressed_body_is_415(client: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            path, body = chat_body(client, "hi", MODELS["openai_chat"])
            got = await gateway.post(path, data=gzip.compress(json.dumps(body).encode()), content_encoding="gzip")
            assert got.status == 415
            is_clear(client, got.status, got.body)

    asyncio.run(run())


def free_of_charge(upstream: FakeUpstream) -> dict[str, Any]:
    config = three_vendors(upstream)
    for provider in config["providers"].values():
        provider["free"] = True
    return config


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("model", "nearest"),
    [
        ("openai/gpt-4oo", "gpt-4o"),
        ("opnai/gpt-4o", "openai"),
        ("persona/architekt", "architect"),
        ("gpt-4oo", "gpt-4o"),
    ],
)
def test_an_unknown_name_is_404_with_the_nearest_or_goes_where_it_says(
    client: str, model: str, nearest: str, tmp_path: Path
) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, free_of_charge(upstream)) as gateway:
            path, body = chat_body(client, "hi", model)
            got = await gateway.post(path, body)
            if model.startswith("openai/"):
                # An explicit provider may serve models its listing does not name.
                assert got.status == 200
                assert upstream.meter[0].model == "gpt-4oo"
            else:
                assert got.status == 404, got.body
                assert nearest in got.body.decode()
                is_clear(client, got.status, got.body)

    asyncio.run(run())
