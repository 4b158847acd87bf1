"""Rate limits at the gateway: who is refused, in which words, with which headers; and the limiter of failed keys."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from execution_platform.gateway.ratelimits import _duration
from execution_platform.testing import FakeUpstream, Script, Status, Text, Tokens
from loops import in_loop
from serving import MODELS, Got, Served, chat_body, serving, three_vendors

CLIENTS = ["openai_chat", "anthropic", "gemini", "native"]
HELLO = Script(Text("Hello"), usage=Tokens(12, 3))


@asynccontextmanager
async def answering(script: Script) -> AsyncIterator[FakeUpstream]:
    """An upstream that answers every chat with `script`."""
    async with FakeUpstream() as upstream:
        upstream.script(script)
        yield upstream


async def ask(gateway: Served, client: str, *, model: str = MODELS["openai_chat"], **headers: str) -> Got:
    path, body = chat_body(client, "Hi", model)
    return await gateway.post(path, body, **headers)


@pytest.mark.parametrize("client", CLIENTS)
@in_loop
async def test_over_the_limit_is_429_in_the_callers_dialect(tmp_path: Path, client: str) -> None:
    async with answering(HELLO) as upstream:
        config = three_vendors(upstream, rate_limits={"keys": {"*": {"requests": 2}}})
        async with serving(tmp_path, config) as gateway:
            assert [(await ask(gateway, client)).status for _ in range(2)] == [200, 200]
            refused = await ask(gateway, client)
            assert refused.status == 429
            assert refused.header("x-ep-error") == "rate_limit_exceeded"
            assert 55 <= int(refused.header("retry-after") or 0) <= 61
            assert 0 < int(refused.header("retry-after-ms") or 0) <= 61_000
            assert len(upstream.meter) == 2
            error = refused.json()["error"]
            if client == "gemini":
                assert error["status"] == "RESOURCE_EXHAUSTED"
                delays = [each["retryDelay"] for each in error["details"] if "retryDelay" in each]
                assert len(delays) == 1
                assert 50 < float(delays[0].removesuffix("s")) <= 61
            elif client == "anthropic":
                assert error["type"] == "rate_limit_error"
            else:
                assert error["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.02, b"20ms"), (1.5, b"1.5s"), (59.94, b"59.9s"), (59.96, b"1m0s"), (60, b"1m0s"), (360, b"6m0s")],
)
def test_a_duration_is_written_as_openai_does(seconds: float, written: bytes) -> None:
    assert _duration(seconds) == written


@in_loop
async def test_answers_say_what_is_left_as_openai_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(HELLO) as upstream:
        limit = {"requests": 10, "tokens": 50_000}
        async with serving(tmp_path, three_vendors(upstream, rate_limits={"keys": {"*": limit}})) as gateway:
            # The reset of a whole minute is told only while no time passes.
            monkeypatch.setattr(gateway.gateway.state.snapshot.limits.limiter, "_clock", lambda: 1000.0)
            first, second = await ask(gateway, "openai_chat"), await ask(gateway, "native")
            assert [got.header("x-ratelimit-limit-requests") for got in (first, second)] == ["10", "10"]
            assert [got.header("x-ratelimit-remaining-requests") for got in (first, second)] == ["9", "8"]
            assert (first.header("x-ratelimit-reset-requests") or "").startswith("1m")
            assert first.header("x-ratelimit-limit-tokens") == "50000"
            # What the first answer really used is known when the second begins.
            assert 48_900 < int(second.header("x-ratelimit-remaining-tokens") or 0) < 50_000 - 15
            assert first.header("x-ep-ratelimit-mode") is None


@in_loop
async def test_answers_say_what_is_left_as_anthropic_does(tmp_path: Path) -> None:
    async with answering(HELLO) as upstream:
        limit = {"requests": 10, "tokens": 50_000}
        async with serving(tmp_path, three_vendors(upstream, rate_limits={"keys": {"*": limit}})) as gateway:
            got = await ask(gateway, "anthropic")
            assert got.header("anthropic-ratelimit-requests-limit") == "10"
            assert got.header("anthropic-ratelimit-requests-remaining") == "9"
            assert got.header("anthropic-ratelimit-tokens-limit") == "50000"
            reset = datetime.fromisoformat(got.header("anthropic-ratelimit-requests-reset") or "")
            assert 50 < (reset - datetime.now(UTC)).total_seconds() < 63
            assert got.header("x-ratelimit-limit-requests") is None


@in_loop
async def test_without_limits_there_are_no_such_headers(tmp_path: Path) -> None:
    async with answering(HELLO) as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
        got = await ask(gateway, "openai_chat")
        assert not [name for name in got.headers if "ratelimit" in name.lower()]


@in_loop
async def test_each_persona_has_the_limit_of_the_environment(tmp_path: Path) -> None:
    async with answering(HELLO) as upstream:
        personas = {name: {"prefer": [MODELS["openai_chat"]]} for name in ("one", "two")}
        environ = {"EP_RATE_LIMIT_PER_PERSONA": "1"}
        async with serving(tmp_path, three_vendors(upstream, personas=personas), environ) as gateway:
            assert (await ask(gateway, "openai_chat", model="persona/one")).status == 200
            assert (await ask(gateway, "openai_chat", model="persona/one")).status == 429
            assert (await ask(gateway, "openai_chat", model="persona/two")).status == 200
            assert (await ask(gateway, "openai_chat")).status == 200


@in_loop
async def test_tokens_of_a_persona_are_limited_and_corrected_by_what_was_used(tmp_path: Path) -> None:
    async with answering(Script(Text("Hello"), usage=Tokens(900, 100))) as upstream:
        personas = {"one": {"prefer": [MODELS["openai_chat"]], "rate_limit": {"tokens": 3000}}}
        async with serving(tmp_path, three_vendors(upstream, personas=personas)) as gateway:
            got = [await ask(gateway, "openai_chat", model="persona/one") for _ in range(4)]
            # An estimate of a thousand and a few tokens for each; the third would be over 3,000 by it.
            assert [each.status for each in got] == [200, 200, 429, 429]
            assert got[1].header("x-ratelimit-limit-tokens") == "3000"


@in_loop
async def test_a_key_and_its_tenant_are_limited_apart(tmp_path: Path) -> None:
    async with answering(HELLO) as upstream:
        keys = [
            {"name": "a", "key": "sk-a", "tenant": "acme", "rate_limit": {"requests": 2}},
            {"name": "b", "key": "sk-b", "tenant": "acme"},
            {"name": "c", "key": "sk-c"},
        ]
        config = three_vendors(upstream, keys=keys, rate_limits={"tenants": {"acme": {"requests": 3}}})
        async with serving(tmp_path, config) as gateway:
            assert [(await ask(gateway, "openai_chat", x_api_key="sk-a")).status for _ in range(3)] == [200, 200, 429]
            assert [(await ask(gateway, "openai_chat", x_api_key="sk-b")).status for _ in range(2)] == [200, 429]
            assert (await ask(gateway, "openai_chat", x_api_key="sk-c")).status == 200


@pytest.mark.parametrize(
    "scope", [{"providers": {"openai": {"requests": 1}}}, {"models": {MODELS["openai_chat"]: {"requests": 1}}}]
)
@in_loop
async def test_a_target_at_its_limit_leads_to_the_next_one(tmp_path: Path, scope: dict[str, Any]) -> None:
    async with answering(HELLO) as upstream:
        models = {"fast": {"targets": [{"model": MODELS["openai_chat"]}, {"model": MODELS["anthropic"]}]}}
        async with serving(tmp_path, three_vendors(upstream, models=models, rate_limits=scope)) as gateway:
            first, second = (
                await ask(gateway, "openai_chat", model="fast"),
                await ask(gateway, "openai_chat", model="fast"),
            )
            assert [got.header("x-ep-provider") for got in (first, second)] == ["openai", "anthropic"]
            assert second.header("x-ep-fallback-reason") == "rate_limit"
            alone = await ask(gateway, "openai_chat")
            assert alone.status == 429
            assert alone.header("x-ep-error") == "rate_limit_exceeded"


@in_loop
async def test_a_failed_target_gives_its_tokens_back(tmp_path: Path) -> None:
    async with answering(Script(Status(400))) as upstream:
        config = three_vendors(upstream, rate_limits={"models": {MODELS["openai_chat"]: {"tokens": 1500}}})
        async with serving(tmp_path, config) as gateway:
            got = [await ask(gateway, "openai_chat") for _ in range(4)]
            assert [each.status for each in got] == [400] * 4


@in_loop
async def test_counting_tokens_is_not_limited(tmp_path: Path) -> None:
    async with answering(HELLO) as upstream:
        config = three_vendors(upstream, rate_limits={"keys": {"*": {"requests": 1}}})
        async with serving(tmp_path, config) as gateway:
            body = {"model": MODELS["openai_chat"], "messages": [{"role": "user", "content": "Hi"}]}
            got = [await gateway.post("/v1/messages/count_tokens", body) for _ in range(3)]
            assert [each.status for each in got] == [200] * 3


@in_loop
async def test_a_hundred_wrong_keys_a_minute_and_the_address_is_told_to_wait(tmp_path: Path) -> None:
    """E13: 100 failures a minute and address, then 429; the answers before are the same byte for byte; a right key is served."""
    async with answering(HELLO) as upstream:
        config = three_vendors(upstream, keys=[{"name": "a", "key": "sk-right"}])
        async with serving(tmp_path, config) as gateway:
            got = [await ask(gateway, "openai_chat", x_api_key=f"sk-{number}") for number in range(60)]
            got += [await gateway.get("/v1/models", x_api_key=f"sk-{number}") for number in range(60)]
            assert [each.status for each in got[:100]] == [401] * 100
            assert {each.status for each in got[104:]} == {429}
            assert got[-1].header("x-ep-error") == "too_many_failures"
            assert int(got[-1].header("retry-after") or 0) >= 1
            assert len({_without_id(each) for each in got[:60]}) == 1
            assert (await ask(gateway, "openai_chat", x_api_key="sk-right")).status == 200


@in_loop
async def test_behind_a_trusted_proxy_the_address_is_the_clients(tmp_path: Path) -> None:
    async with answering(HELLO) as upstream:
        config = three_vendors(upstream, keys=[{"name": "a", "key": "sk-right"}], trusted_proxies=["127.0.0.1"])
        async with serving(tmp_path, config) as gateway:
            guesser = {"x_api_key": "sk-wrong", "x_forwarded_for": "203.0.113.7"}
            got = [await ask(gateway, "openai_chat", **guesser) for _ in range(105)]
            assert got[-1].status == 429
            other = {"x_api_key": "sk-wrong", "x_forwarded_for": "203.0.113.8"}
            assert (await ask(gateway, "openai_chat", **other)).status == 401


@pytest.mark.parametrize("client", CLIENTS)
@in_loop
async def test_streams_are_limited_and_settled_as_whole_answers_are(tmp_path: Path, client: str) -> None:
    async with answering(HELLO) as upstream:
        config = three_vendors(upstream, rate_limits={"keys": {"*": {"requests": 3, "tokens": 2600}}})
        async with serving(tmp_path, config) as gateway:
            path, body = chat_body(client, "Hi", MODELS["openai_chat"], stream=True)
            # By estimates alone two would fit; each is corrected to 15 tokens when it has ended.
            got = [await gateway.post(path, body) for _ in range(4)]
            assert [each.status for each in got] == [200, 200, 200, 429]
            if client in {"openai_chat", "native"}:
                assert got[2].header("x-ratelimit-remaining-requests") == "0"


def _without_id(got: Got) -> bytes:
    return got.body.replace((got.header("x-request-id") or "").encode(), b"")
