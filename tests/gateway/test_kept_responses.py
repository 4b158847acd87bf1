"""Conversations that go on by `previous_response_id`: kept by the gateway for who wants that, at every provider, for one tenant alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from execution_platform import _json
from execution_platform.storage.schema import responses
from execution_platform.testing import Call, Cut, FakeUpstream, Script, Status, Text, Thinking
from loops import in_loop
from serving import MODELS, Got, Served, serving, three_vendors

KEYS: dict[str, Any] = {
    "keys": [
        {"name": "boss", "key": "key-of-boss", "admin": True},
        {"name": "acme", "key": "key-of-acme", "tenant": "acme"},
        {"name": "acme-2", "key": "key-of-acme-2", "tenant": "acme"},
        {"name": "umbrella", "key": "key-of-umbrella", "tenant": "umbrella"},
        {"name": "private", "key": "key-of-private", "tenant": "private"},
    ],
    "responses": {"keep_for": ["umbrella"]},
    "ledger": {"content_of": ["acme"]},
}
SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz012345"
UPSTREAMS = list(MODELS.values())


def key(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer key-of-{name}"}


@asynccontextmanager
async def keeping(folder: Path, url: str, **changes: Any) -> AsyncIterator[tuple[Served, FakeUpstream]]:
    async with FakeUpstream() as upstream:
        config = three_vendors(upstream, **{**KEYS, **changes})
        config["providers"]["openai"]["models"] = ["gpt-4o", "gpt-5.1"]
        async with serving(folder, config, {"EP_DATABASE_URL": url}) as gateway:
            yield gateway, upstream


async def ask(gateway: Served, text: Any, who: str = "acme", model: str = UPSTREAMS[0], **more: Any) -> Got:
    return await gateway.post("/v1/responses", {"model": model, "input": text, **more}, **key(who))


def whole(got: Got) -> dict[str, Any]:
    """The response of an answer, streamed or not."""
    assert got.status == 200, got.body
    if (got.header("content-type") or "").startswith("application/json"):
        return got.json()
    [last] = [frame for frame in got.body.decode().split("\n\n") if frame.startswith("event: response.completed")]
    return _json.loads(last.partition("data: ")[2])["response"]  # type: ignore[index, no-any-return]


def sent(upstream: FakeUpstream, number: int = -1) -> str:
    """What an upstream was sent."""
    return upstream.meter[len(upstream.meter) + number].raw_body.decode()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", UPSTREAMS)
def test_a_conversation_goes_on_at_every_provider(model: str, stream: bool, tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with keeping(tmp_path, database_url) as (gateway, upstream):
            upstream.script(Script(Text("Nice to meet you")), Script(Text("Anna")), Script(Text("You are welcome")))
            first = whole(await ask(gateway, "I am Anna", model=model, stream=stream, instructions="Be kind."))
            assert (first["store"], first["previous_response_id"]) == (True, None)
            second = whole(
                await ask(gateway, "Who am I?", model=model, stream=stream, previous_response_id=first["id"])
            )
            assert (second["store"], second["previous_response_id"]) == (True, first["id"])
            assert second["id"] != first["id"]
            for word in ("I am Anna", "Nice to meet you", "Who am I?"):
                assert word in sent(upstream)
            assert "Be kind." not in sent(upstream), "instructions are of one turn"
            third = whole(await ask(gateway, "Thanks", model=model, stream=stream, previous_response_id=second["id"]))
            told = sent(upstream)
            places = [told.index(word) for word in ("I am Anna", "Nice to meet", "Who am I?", "Thanks")]
            assert places == sorted(places)
            assert first["id"] not in told
            kept = (await gateway.get(f"/v1/responses/{third['id']}", **key("acme"))).json()
            assert kept == third

    asyncio.run(run())


@in_loop
async def test_a_conversation_moves_to_another_provider_with_its_calls(tmp_path: Path) -> None:
    tool = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
    async with keeping(
        tmp_path, f"sqlite:///{tmp_path / 'b.db'}", models={"any": {"targets": [{"model": each} for each in UPSTREAMS]}}
    ) as (
        gateway,
        upstream,
    ):
        upstream.script(Script(Call("weather", {})))
        first = whole(await ask(gateway, "Weather in Rome?", model="any", tools=[tool]))
        [call] = [item for item in first["output"] if item["type"] == "function_call"]
        upstream.script(Script(Status(500)), Script(Text("It is sunny")))
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
        got = await ask(gateway, [result], model="any", tools=[tool], previous_response_id=first["id"])
        second = whole(got)
        assert got.header("x-ep-provider") == "anthropic"
        assert "Weather in Rome?" in sent(upstream)
        assert "tool_use" in sent(upstream)
        assert "tool_result" in sent(upstream)
        upstream.script(Script(Text("Yes")))
        whole(await ask(gateway, "Sure?", model=UPSTREAMS[2], tools=[tool], previous_response_id=second["id"]))
        assert "It is sunny" in sent(upstream)


@in_loop
async def test_thoughts_come_back_to_their_provider_sealed(tmp_path: Path) -> None:
    """No provider keeps anything: `store` is off upstream, and the thoughts travel with their token."""
    async with keeping(tmp_path, f"sqlite:///{tmp_path / 'b.db'}") as (gateway, upstream):
        for model, token in (("openai/gpt-5.1", "encrypted_content"), (UPSTREAMS[1], "signature")):
            upstream.script(Script([Thinking("let me see", signature="c2VhbGVk"), Text("four")]), Script(Text("yes")))
            first = whole(await ask(gateway, "2+2", model=model, reasoning={"effort": "low"}))
            assert '"store":true' not in sent(upstream)
            whole(await ask(gateway, "sure?", model=model, previous_response_id=first["id"], store=True))
            assert token in sent(upstream)
            assert "c2VhbGVk" in sent(upstream)
            if model.startswith("openai"):
                assert '"store":false' in sent(upstream)


@in_loop
async def test_a_passed_through_request_keeps_nothing_at_the_provider(tmp_path: Path) -> None:
    """K4: an id at a provider is of the operator's account, so it neither leaves nor comes in."""
    async with keeping(tmp_path, f"sqlite:///{tmp_path / 'b.db'}") as (gateway, upstream):
        for given in ({}, {"store": True}, {"store": False}):
            got = await ask(gateway, "hi", "private", **given)
            assert '"store":false' in sent(upstream).replace(" ", "")
            assert whole(got)["store"] is False
        assert "encrypted_content" not in sent(upstream), "the model does not think"
        await ask(gateway, "hi", "private", model="openai/gpt-5.1")
        assert "reasoning.encrypted_content" in sent(upstream)
        await ask(gateway, "hi", "private", model="openai/gpt-5.1", store=False)
        assert "encrypted_content" not in sent(upstream), "who keeps its own state says what it needs"


@in_loop
async def test_a_tenant_without_stored_content_is_told_so(tmp_path: Path) -> None:
    """S2: nothing is kept of who has not asked for it."""
    async with keeping(tmp_path, f"sqlite:///{tmp_path / 'b.db'}") as (gateway, upstream):
        for model in UPSTREAMS:
            got = await ask(gateway, "a private question", "private", model=model, store=True)
            assert whole(got)["store"] is False
            calls = len(upstream.meter)
            refused = await ask(gateway, "and now?", "private", model=model, previous_response_id=whole(got)["id"])
            assert refused.status == 400
            error = refused.json()["error"]
            assert (error["code"], error["param"]) == ("responses_not_kept", "previous_response_id")
            assert "responses.keep_for" in error["message"]
            assert "store_content" in error["message"]
            assert len(upstream.meter) == calls
            assert (await gateway.get(f"/v1/responses/{whole(got)['id']}", **key("private"))).status == 404


@in_loop
async def test_who_says_no_has_nothing_kept(tmp_path: Path) -> None:
    async with keeping(tmp_path, f"sqlite:///{tmp_path / 'b.db'}") as (gateway, _):
        one = whole(await ask(gateway, "hi", store=False))
        assert one["store"] is False
        assert (await ask(gateway, "and?", previous_response_id=one["id"])).status == 404
        kept = whole(await ask(gateway, "hi"))
        other = whole(await ask(gateway, "and?", previous_response_id=kept["id"], store=False))
        assert other["store"] is False


def test_a_response_is_its_tenants_and_its_makers(tmp_path: Path, database_url: str) -> None:
    """K4: another tenant's response is not found: not to continue, to see, to list or to delete; nor another member's."""

    async def run() -> None:
        async with keeping(tmp_path, database_url) as (gateway, upstream):
            mine = whole(await ask(gateway, "our secret plan"))["id"]
            owners: dict[str, dict[str, str]] = {}
            for tenant in ("acme", "umbrella"):
                issued = await gateway.post("/v1/keys", {"name": "o", "tenant": tenant, "role": "owner"}, **key("boss"))
                owners[tenant] = {"authorization": f"Bearer {issued.json()['key']}"}
            assert (await gateway.get(f"/v1/responses/{mine}", **owners["acme"])).status == 200
            assert (await gateway.get(f"/v1/responses/{mine}", **owners["umbrella"])).status == 404
            body = {"model": UPSTREAMS[0], "input": "go on", "previous_response_id": mine}
            assert (await gateway.post("/v1/responses", body, **owners["umbrella"])).status == 404
            for who in ("umbrella", "acme-2"):
                calls = len(upstream.meter)
                got = await ask(gateway, "go on", who, previous_response_id=mine)
                missing = await ask(gateway, "go on", who, previous_response_id="resp_none")
                assert (got.status, missing.status) == (404, 404)
                for odd in ("resp_\x00", "ü" * 8, "r" * 5000):
                    assert (await ask(gateway, "go on", who, previous_response_id=odd)).status == 404
                assert (await gateway.get("/v1/responses/a%00b", **key(who))).status == 404
                assert got.json()["error"]["code"] == missing.json()["error"]["code"]
                assert len(upstream.meter) == calls
                for path in ("", "/input_items"):
                    assert (await gateway.get(f"/v1/responses/{mine}{path}", **key(who))).status == 404
                assert (await gateway.post(f"/v1/responses/{mine}/cancel", **key(who))).status == 404
                async with gateway.http.delete(f"{gateway.url}/v1/responses/{mine}", headers=key(who)) as answer:
                    assert answer.status == 404
            assert (await gateway.get(f"/v1/responses/{mine}", **key("boss"))).status == 200
            assert (await gateway.get(f"/v1/responses/{mine}", **key("acme"))).status == 200
            assert (await ask(gateway, "go on", "umbrella")).json()["store"] is True

    asyncio.run(run())


def test_items_are_listed_and_a_response_is_deleted(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with keeping(tmp_path, database_url) as (gateway, upstream):
            upstream.script(Script(Text("one")), Script(Text("two")))
            first = whole(await ask(gateway, "first"))["id"]
            again = [{"role": "user", "content": "second"}]
            second = whole(await ask(gateway, again, previous_response_id=first))["id"]
            path = f"/v1/responses/{second}/input_items"
            page = (await gateway.get(f"{path}?order=asc", **key("acme"))).json()
            texts = [item["content"][0]["text"] for item in page["data"]]
            assert texts == ["first", "one", "second"]
            assert page["has_more"] is False
            newest = (await gateway.get(f"{path}?limit=2", **key("acme"))).json()
            assert [item["content"][0]["text"] for item in newest["data"]] == ["second", "one"]
            assert newest["has_more"] is True
            rest = (await gateway.get(f"{path}?after={newest['last_id']}", **key("acme"))).json()
            assert [item["content"][0]["text"] for item in rest["data"]] == ["first"]
            assert (await gateway.get(f"{path}?after=nothing", **key("acme"))).status == 400
            got = await gateway.post(f"/v1/responses/{second}/cancel", **key("acme"))
            assert got.status == 400
            async with gateway.http.delete(f"{gateway.url}/openai/v1/responses/{first}", headers=key("acme")) as gone:
                assert _json.loads(await gone.read()) == {"id": first, "object": "response", "deleted": True}
            assert (await gateway.get(f"/v1/responses/{first}", **key("acme"))).status == 404
            broken = await ask(gateway, "go on", previous_response_id=second)
            assert broken.status == 404, "a conversation without its beginning is another one"

    asyncio.run(run())


def test_what_is_kept_is_redacted_and_forgotten_in_time(tmp_path: Path, database_url: str) -> None:
    """S1, S2."""

    async def run() -> None:
        async with keeping(tmp_path, database_url) as (gateway, upstream):
            upstream.script(Script(Text(f"I shall remember {SECRET}")), Script(Text("ok")), Script(Text("ok")))
            ours = whole(await ask(gateway, f"remember {SECRET}"))["id"]
            theirs = whole(await ask(gateway, "hello", "umbrella"))["id"]
            for path in ("", "/input_items"):
                got = await gateway.get(f"/v1/responses/{ours}{path}", **key("acme"))
                assert b"remember ***" in got.body
                assert SECRET.encode() not in got.body
            wish = {"id": "acme", "store_content": True, "retention_days": 2}
            assert (await gateway.post("/v1/tenants", wish, **key("boss"))).status == 201
            state = gateway.gateway.state
            await state.bookkeeping.requests.learn()
            async with state.bookkeeping.storage.write() as connection:
                await connection.execute(update(responses).values(created_at=datetime.now(UTC) - timedelta(days=3)))
            assert (await gateway.get(f"/v1/responses/{ours}", **key("acme"))).status == 404
            assert (await ask(gateway, "go on", previous_response_id=ours)).status == 404
            assert (await gateway.get(f"/v1/responses/{theirs}", **key("umbrella"))).status == 200
            assert await state.responses.forget() == 1
            async with state.bookkeeping.storage.write() as connection:
                await connection.execute(update(responses).values(created_at=datetime.now(UTC) - timedelta(days=31)))
            assert await state.responses.forget() == 1

    asyncio.run(run())


@in_loop
async def test_a_token_that_nobody_can_read_is_kept_as_it_is(tmp_path: Path) -> None:
    """A sealed thought may look like a key by chance; one changed byte and its provider takes it no more."""
    async with keeping(tmp_path, f"sqlite:///{tmp_path / 'b.db'}") as (gateway, upstream):
        picture = "data:image/png;base64,AIzaAIzaAIzaAIzaAIzaAIzaAIzaAIza"
        upstream.script(Script([Thinking("hm", signature=SECRET), Text("ok")]), Script(Text("ok")))
        content = [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": picture}]
        first = whole(await ask(gateway, [{"role": "user", "content": content}], model="openai/gpt-5.1"))
        whole(await ask(gateway, "go on", model="openai/gpt-5.1", previous_response_id=first["id"]))
        assert SECRET in sent(upstream)
        assert picture in sent(upstream)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"previous_response_id": 3}, "previous_response_id"),
    ],
)
@in_loop
async def test_state_that_nobody_keeps_is_refused_by_name(more: dict[str, Any], param: str, tmp_path: Path) -> None:
    async with keeping(tmp_path, f"sqlite:///{tmp_path / 'b.db'}") as (gateway, upstream):
        for who in ("acme", "private"):
            got = (
                await ask(gateway, **{"text": "hi", "who": who, **more})
                if "input" not in more
                else (await gateway.post("/v1/responses", {"model": UPSTREAMS[0], **more}, **key(who)))
            )
            assert (got.status, got.json()["error"]["param"]) == (400, param)
            assert len(upstream.meter) == 0


@in_loop
async def test_a_conversation_that_has_grown_too_large_is_refused(tmp_path: Path) -> None:
    async with keeping(tmp_path, f"sqlite:///{tmp_path / 'b.db'}", limits={"body": 4096}) as (gateway, upstream):
        upstream.script(Script(Text("a" * 2000)), Script(Text("b" * 2000)))
        first = whole(await ask(gateway, "one"))["id"]
        second = whole(await ask(gateway, "two", previous_response_id=first))["id"]
        got = await ask(gateway, "three", previous_response_id=second)
        assert got.status == 413
        assert "limits.body" in got.json()["error"]["message"]


@in_loop
async def test_an_answer_that_cannot_be_kept_says_so(tmp_path: Path) -> None:
    async with keeping(tmp_path, "postgresql://postgres@127.0.0.1:1/books") as (gateway, _):
        for stream in (False, True):
            assert whole(await ask(gateway, "hi", stream=stream))["store"] is False
        assert (await ask(gateway, "hi", previous_response_id="resp_1")).status == 503


@in_loop
async def test_an_answer_that_breaks_off_is_not_kept(tmp_path: Path) -> None:
    async with keeping(tmp_path, f"sqlite:///{tmp_path / 'b.db'}") as (gateway, upstream):
        upstream.script(Script(Text("half of it", chunks=3), faults=[Cut(after=2, of="content")]))
        got = await ask(gateway, "hi", stream=True)
        assert b"response.completed" not in got.body
        [named] = {
            _json.loads(frame.partition("data: ")[2])["response"]["id"]  # type: ignore[index]
            for frame in got.body.decode().split("\n\n")
            if frame.startswith("event: response.created")
        }
        assert (await gateway.get(f"/v1/responses/{named}", **key("acme"))).status == 404


@in_loop
async def test_tokens_of_a_whole_conversation_are_counted(tmp_path: Path) -> None:
    async with keeping(tmp_path, f"sqlite:///{tmp_path / 'b.db'}") as (gateway, _):
        first = whole(await ask(gateway, "one two three " * 50))["id"]
        body = {"model": UPSTREAMS[0], "input": "hi"}
        short = await gateway.post("/v1/responses/input_tokens", body, **key("acme"))
        long = await gateway.post("/v1/responses/input_tokens", {**body, "previous_response_id": first}, **key("acme"))
        assert long.json()["input_tokens"] > short.json()["input_tokens"] + 100
