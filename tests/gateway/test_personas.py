"""Personas over HTTP: looked at, switched at run time, and preferred or not by the rules of precedence."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from execution_platform.testing import FakeUpstream, Script, Text
from gateway.watching import streaming
from serving import MODELS, Got, Served, chat_body, serving, three_vendors

CLIENTS = ["openai_chat", "anthropic", "gemini", "native"]
OPENAI, ANTHROPIC, GEMINI = MODELS.values()
KEYS: dict[str, Any] = {
    "keys": [
        {"name": "team", "key": "sk-ep-team-0123456789", "personas": ["dev"]},
        {"name": "boss", "key": "sk-ep-boss-0123456789", "admin": True},
    ]
}
TEAM, BOSS = {"x_api_key": "sk-ep-team-0123456789"}, {"x_api_key": "sk-ep-boss-0123456789"}


async def put(gateway: Served, name: str, body: Any, **headers: str) -> Got:
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    async with gateway.http.put(f"{gateway.url}/v1/personas/{name}", json=body, headers=sent) as response:
        return Got(response.status, dict(response.headers), await response.read())


async def answered_by(gateway: Served, path: str, body: dict[str, Any], **headers: str) -> str:
    got = await gateway.post(path, body, **headers)
    assert got.status == 200, got.body
    return f"{got.header('x-ep-provider')}/{got.header('x-ep-model')}"


def test_a_persona_shows_its_chain_and_why_each_member_is_kept_or_dropped(tmp_path: Path) -> None:
    async def run() -> None:
        personas = {
            "dev": {"prefer": [ANTHROPIC, "groq/llama-3.3-70b-versatile"], "requires": ["vision"], "system": "Be."}
        }
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=personas)) as gateway:
            shown = (await gateway.get("/v1/personas/dev")).json()
            assert shown["prefer"] == [ANTHROPIC, "groq/llama-3.3-70b-versatile"]
            assert shown["requires"] == {"vision": True}
            first, second = shown["candidates"]
            assert (first["target"], first["kept"]) == (ANTHROPIC, True)
            assert not second["kept"]
            assert second["reason"]
            listed = (await gateway.get("/v1/personas")).json()["personas"]
            assert {"dev", "architect"} <= {each["name"] for each in listed}
            missing = await gateway.get("/v1/personas/dew")
            assert missing.status == 404
            assert "dev" in missing.json()["error"]["message"]

    asyncio.run(run())


def test_a_switch_counts_for_the_next_request_while_a_running_stream_keeps_its_own(tmp_path: Path) -> None:
    async def run() -> None:
        personas = {"dev": {"prefer": [OPENAI]}}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=personas)) as gateway:
            gate = upstream.gate("pace")
            upstream.script(Script(Text("one two three"), pace_gate=gate), model="gpt-4o")
            gate.step(3)
            path, body = chat_body("openai_chat", "hi", "persona/dev", stream=True)
            async with streaming(gateway, path, body) as stream:
                await stream.until(b"one")
                before = stream.response.headers["x-ep-config"]
                switched = await put(gateway, "dev", {"prefer": [ANTHROPIC]})
                assert switched.status == 200, switched.body
                assert switched.json()["prefer"] == [ANTHROPIC]
                again = await gateway.post(*chat_body("openai_chat", "hi", "persona/dev"))
                assert again.header("x-ep-provider") == "anthropic"
                assert again.header("x-ep-config") not in {None, before}
                gate.release()
                assert b"three" in await stream.rest()
                assert stream.response.headers["x-ep-provider"] == "openai"

    asyncio.run(run())


def test_a_new_persona_can_be_made_and_one_more_switch_adds_to_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            made = await put(gateway, "fresh", {"prefer": [GEMINI], "system": "Speak French."})
            assert made.status == 200, made.body
            path, body = chat_body("openai_chat", "hi", "persona/fresh")
            assert await answered_by(gateway, path, body) == GEMINI
            assert "Speak French." in upstream.meter[0].raw_body.decode()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("persona", "words"),
    [
        ({"prefer": ["openai/gpt-4oo"], "requires": {"context_window": 10**9}}, ("personas.dev", "context_window")),
        ({"prefer": ["nobody/x"]}, ("personas.dev.prefer.0", "nobody")),
        ({"prefer": ["mock/mock-1"], "requires": ["visoin"]}, ("personas.dev.requires", "visoin", "vision")),
        ({"prefr": [OPENAI]}, ("personas.dev", "prefr", "prefer")),
        ({"prefer": 7}, ("personas.dev.prefer",)),
        ({"prefer": [OPENAI], "temperature": "hot"}, ("personas.dev.temperature",)),
        ({"extends": "nobody"}, ("personas.dev", "nobody")),
        ({"prefer": [OPENAI], "provider": "openai"}, ("prefer", "provider")),
    ],
)
def test_an_unusable_persona_is_refused_with_path_and_problem_and_changes_nothing(
    persona: dict[str, Any], words: tuple[str, ...], tmp_path: Path
) -> None:
    async def run() -> None:
        config = three_vendors_with_dev
        async with FakeUpstream() as upstream, serving(tmp_path, config(upstream)) as gateway:
            before = (await gateway.get("/v1/personas/dev")).body
            version = gateway.gateway.state.snapshot.version
            refused = await put(gateway, "dev", persona)
            assert refused.status == 422, refused.body
            message = refused.json()["error"]["message"]
            for word in words:
                assert word in message, message
            assert (await gateway.get("/v1/personas/dev")).body == before
            assert gateway.gateway.state.snapshot.version == version
            # A change that is refused does not stay in the way of the next one.
            assert (await put(gateway, "dev", {"prefer": [ANTHROPIC]})).status == 200

    asyncio.run(run())


def three_vendors_with_dev(upstream: FakeUpstream) -> dict[str, Any]:
    return three_vendors(upstream, personas={"dev": {"prefer": [OPENAI]}})


def test_a_refused_change_leaves_an_earlier_one_in_force(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors_with_dev(upstream)) as gateway:
            assert (await put(gateway, "dev", {"prefer": [ANTHROPIC]})).status == 200
            assert (await put(gateway, "dev", {"prefer": 7})).status == 422
            assert (await put(gateway, "other", {"prefer": [GEMINI]})).status == 200
            assert (await gateway.get("/v1/personas/dev")).json()["prefer"] == [ANTHROPIC]

    asyncio.run(run())


def test_a_key_sees_and_changes_only_what_it_may(tmp_path: Path) -> None:
    async def run() -> None:
        personas = {"dev": {"prefer": [OPENAI]}, "ops": {"prefer": [OPENAI]}}
        async with FakeUpstream() as upstream:
            async with serving(tmp_path, three_vendors(upstream, personas=personas, **KEYS)) as gateway:
                listed = (await gateway.get("/v1/personas", **TEAM)).json()["personas"]
                assert [each["name"] for each in listed] == ["dev"]
                assert (await gateway.get("/v1/personas/dev", **TEAM)).status == 200
                assert (await gateway.get("/v1/personas/ops", **TEAM)).status == 403
                assert (await put(gateway, "dev", {"prefer": [GEMINI]}, **TEAM)).status == 403
                assert (await put(gateway, "dev", {"prefer": [GEMINI]}, **BOSS)).status == 200

    asyncio.run(run())


def test_a_persona_does_not_open_models_the_key_may_not_use(tmp_path: Path) -> None:
    keys = [{"name": "team", "key": "sk-ep-team-0123456789", "personas": ["dev"], "models": [OPENAI, "quick"]}]
    models = {"quick": {"targets": [{"model": GEMINI}]}, "slow": {"targets": [{"model": GEMINI}]}}

    async def run() -> None:
        personas = {"dev": {"prefer": [ANTHROPIC]}}
        async with FakeUpstream() as upstream:
            config = three_vendors(upstream, personas=personas, keys=keys, models=models)
            async with serving(tmp_path, config) as gateway:

                async def ask(model: str, **headers: str) -> int:
                    path, body = chat_body("openai_chat", "hi", model)
                    return (await gateway.post(path, body, **headers, **TEAM)).status

                assert await ask("persona/dev") == 200
                assert await ask(GEMINI) == 403
                assert await ask(GEMINI, x_ep_persona="dev") == 403
                assert await ask("quick") == 200
                assert await ask("slow") == 403
                listed = (await gateway.get("/v1/models", **TEAM)).json()["data"]
                assert {each["id"] for each in listed} == {OPENAI, "persona/dev", "quick"}

    asyncio.run(run())


# Precedence: explicit provider/model > persona > logical model > default provider.


LAYERS: dict[str, Any] = {
    "default_provider": "gemini",
    "personas": {"dev": {"prefer": [ANTHROPIC]}},
    "models": {"quick": {"targets": [{"model": OPENAI}]}},
    "aliases": {"mini": OPENAI, "the-dev": "persona/dev"},
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("model", "persona", "expected"),
    [
        (GEMINI, "dev", GEMINI),
        (GEMINI.replace("/", ":"), "dev", GEMINI),
        ("openai", "dev", "openai/gpt-4o"),
        ("quick", "dev", ANTHROPIC),
        ("gpt-4o", "dev", ANTHROPIC),
        ("quick", None, OPENAI),
        ("mini", None, OPENAI),
        ("the-dev", None, ANTHROPIC),
        ("gpt-4o", None, OPENAI),
        ("persona/dev", None, ANTHROPIC),
        ("auto", None, GEMINI),
        ("auto", "dev", ANTHROPIC),
    ],
)
def test_the_precedence_of_names(client: str, model: str, persona: str | None, expected: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **LAYERS)) as gateway:
            headers = {"x_ep_persona": persona} if persona else {}
            assert await answered_by(gateway, *chat_body(client, "hi", model), **headers) == expected

    asyncio.run(run())


def test_native_requests_name_the_persona_in_the_query_or_the_body(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **LAYERS)) as gateway:
            body = {"messages": [{"role": "user", "content": "hi"}], "stream": False}
            assert await answered_by(gateway, "/v1/chat", body) == GEMINI
            assert await answered_by(gateway, "/v1/chat?personaId=dev", body) == ANTHROPIC
            assert await answered_by(gateway, "/chat?persona=dev", body) == ANTHROPIC
            assert await answered_by(gateway, "/v1/chat", {**body, "personaId": "dev"}) == ANTHROPIC
            assert await answered_by(gateway, "/v1/chat?personaId=dev&provider=openai", body) == OPENAI
            assert await answered_by(gateway, "/v1/chat", {**body, "provider": "openai", "model": "gpt-4o"}) == OPENAI
            unknown = await gateway.post("/v1/chat?personaId=nobody", body)
            assert (unknown.status, unknown.json()["error"]["code"]) == (404, "persona_not_found")

    asyncio.run(run())


def test_requirements_of_a_native_request_choose_or_refuse(tmp_path: Path) -> None:
    async def run() -> None:
        personas = {"dev": {"prefer": [ANTHROPIC, OPENAI]}}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, personas=personas)) as gateway:
            body = {"messages": [{"role": "user", "content": "hi"}], "stream": False, "requires": ["logprobs"]}
            assert await answered_by(gateway, "/v1/chat?personaId=dev", body) == OPENAI
            refused = await gateway.post("/v1/chat", {**body, "model": ANTHROPIC})
            assert refused.status == 412
            assert "logprobs" in refused.json()["error"]["message"]
            unknown = await gateway.post("/v1/chat", {**body, "requires": ["logprob"]})
            assert unknown.status in {400, 422}
            assert "logprobs" in unknown.json()["error"]["message"]

    asyncio.run(run())


# Logical models


def logical(strategy: str, *weights: int) -> dict[str, Any]:
    members = [OPENAI, ANTHROPIC, GEMINI]
    targets = [{"model": name, "weight": weight} for name, weight in zip(members, weights or (1, 1, 1), strict=True)]
    return {"models": {"pool": {"targets": targets, "strategy": strategy}}}


async def explained(gateway: Served, **body: Any) -> list[str]:
    got = await gateway.post("/v1/explain", body)
    assert got.status == 200, got.body
    rows = [row for row in got.json()["candidates"] if row["kept"]]
    assert [row["order"] for row in rows] == list(range(1, len(rows) + 1))
    return [f"{row['provider']}/{row['model']}" for row in rows]


def test_priority_keeps_the_order_and_falls_back(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            config = three_vendors(upstream, **logical("priority"))
            config["models"]["pool"]["targets"][0]["priority"] = 9
            async with serving(tmp_path, config) as gateway:
                assert await explained(gateway, model="pool") == [ANTHROPIC, GEMINI, OPENAI]
                assert await answered_by(gateway, *chat_body("openai_chat", "hi", "pool")) == ANTHROPIC

    asyncio.run(run())


def test_weighted_gives_weight_zero_only_what_the_others_cannot_take(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            async with serving(tmp_path, three_vendors(upstream, **logical("weighted", 3, 1, 0))) as gateway:
                firsts = [(await explained(gateway, model="pool"))[0] for _ in range(60)]
                assert set(firsts) == {OPENAI, ANTHROPIC}
                assert firsts.count(OPENAI) > firsts.count(ANTHROPIC)

    asyncio.run(run())


def test_lowest_cost_takes_the_cheapest_first(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            config = three_vendors(upstream, **logical("lowest_cost"))
            config["providers"]["anthropic"]["prices"] = {"claude-sonnet-4-5": {"input": 0.01, "output": 0.02}}
            async with serving(tmp_path, config) as gateway:
                order = await explained(gateway, model="pool")
                assert order[0] == ANTHROPIC
                assert await answered_by(gateway, *chat_body("openai_chat", "hi", "pool")) == ANTHROPIC

    asyncio.run(run())


def test_least_latency_tries_the_unseen_and_then_keeps_to_the_quickest(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            async with serving(tmp_path, three_vendors(upstream, **logical("least_latency"))) as gateway:
                for target in (OPENAI, GEMINI):
                    upstream.script(Script("slow", delay=0.05), model=target.partition("/")[2])
                path, body = chat_body("openai_chat", "hi", "pool")
                seen = [await answered_by(gateway, path, body) for _ in range(3)]
                assert set(seen) == {OPENAI, ANTHROPIC, GEMINI}
                assert await answered_by(gateway, path, body) == ANTHROPIC

    asyncio.run(run())
