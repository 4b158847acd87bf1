"""The request log: what is kept of a request, for how long, and who may read it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from execution_platform.storage.schema import request_log
from execution_platform.testing import FakeUpstream, Script, Status
from serving import MODELS, Served, chat_body, serving, three_vendors

KEYS = {
    "keys": [
        {"name": "boss", "key": "key-of-boss", "admin": True},
        {"name": "acme", "key": "key-of-acme", "tenant": "acme"},
        {"name": "umbrella", "key": "key-of-umbrella", "tenant": "umbrella"},
    ]
}
SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz012345"


def key(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer key-of-{name}"}


@asynccontextmanager
async def logged(folder: Path, url: str, **changes: Any) -> AsyncIterator[tuple[Served, FakeUpstream]]:
    async with (
        FakeUpstream() as upstream,
        serving(folder, three_vendors(upstream, **changes), {"EP_DATABASE_URL": url}) as gateway,
    ):
        yield gateway, upstream


def test_a_request_is_logged_with_its_numbers_and_without_its_content(tmp_path: Path, database_url: str) -> None:
    """S2."""

    async def run() -> None:
        async with logged(tmp_path, database_url) as (gateway, upstream):
            path, body = chat_body("openai_chat", "a very private question", MODELS["anthropic"], stream=True)
            await gateway.post(path, body, x_request_id="req_1")
            upstream.script(Script(Status(400)))
            path, body = chat_body("anthropic", "another one", MODELS["openai_chat"])
            await gateway.post(path, body, x_request_id="req_2")
            found = (await gateway.get("/v1/requests")).json()
            second, first = found["requests"]
            assert found["next"] is None
            assert (first["request_id"], first["status"], first["provider"], first["stream"], first["dialect"]) == (
                "req_1",
                200,
                "anthropic",
                True,
                "openai_chat",
            )
            assert first["cost_usd"] > 0
            assert first["output_tokens"] > 0
            assert first["finish"] == "stop"
            assert (second["status"], second["attempts"]) == (400, 1)
            assert second["error"] == "provider_bad_request"
            one = (await gateway.get("/v1/requests/req_1")).json()
            assert (one["request"], one["response"]) == (None, None)
            assert b"private" not in (await gateway.get("/v1/requests/req_1")).body
            assert (await gateway.get("/v1/requests?status=400")).json()["requests"] == [second]
            assert (await gateway.get("/v1/requests?provider=anthropic&model=claude-sonnet-4-5")).json()[
                "requests"
            ] == [first]

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_content_is_kept_for_the_tenant_that_asked_and_secrets_are_not(
    stream: bool, tmp_path: Path, database_url: str
) -> None:
    """S1, S2."""

    async def run() -> None:
        async with logged(tmp_path, database_url, **KEYS, ledger={"content_of": ["acme"]}) as (gateway, _):
            path, body = chat_body("openai_chat", f"remember {SECRET} well", MODELS["openai_chat"], stream=stream)
            for tenant in ("acme", "umbrella"):
                assert (await gateway.post(path, body, x_request_id=tenant, **key(tenant))).status == 200
            kept = (await gateway.get("/v1/requests/acme", **key("acme"))).json()
            assert "remember" in kept["request"]
            assert "echo" in kept["response"]
            assert SECRET not in kept["request"] + kept["response"]
            other = (await gateway.get("/v1/requests/umbrella", **key("umbrella"))).json()
            assert (other["request"], other["response"]) == (None, None)

    asyncio.run(run())


def test_a_tenant_that_asks_at_run_time_has_its_content_and_its_own_days(tmp_path: Path, database_url: str) -> None:
    """S2: opted in and out by the tenant's own settings, redacted; others keep nothing of theirs, and their days."""

    async def run() -> None:
        async with logged(tmp_path, database_url, **KEYS) as (gateway, _):
            path, body = chat_body("openai_chat", f"remember {SECRET} well", MODELS["openai_chat"])
            boss, log = key("boss"), gateway.gateway.state.bookkeeping.requests

            async def ask(name: str, tenant: str) -> dict[str, Any]:
                assert (await gateway.post(path, body, x_request_id=name, **key(tenant))).status == 200
                return (await gateway.get(f"/v1/requests/{name}", **key(tenant))).json()

            wish = {"id": "acme", "store_content": True, "retention_days": 90}
            assert (await gateway.post("/v1/tenants", wish, **boss)).status == 201
            kept = await ask("in", "acme")
            assert "remember" in kept["request"]
            assert SECRET not in kept["request"] + kept["response"]
            assert (await ask("other", "umbrella"))["request"] is None
            change = gateway.http.patch(f"{gateway.url}/v1/tenants/acme", json={"store_content": False}, headers=boss)
            async with change as answer:
                assert answer.status == 200
            assert (await ask("out", "acme"))["request"] is None
            await log.flush()
            async with gateway.gateway.state.bookkeeping.storage.write() as connection:
                old = datetime.now(UTC) - timedelta(days=60)
                await connection.execute(update(request_log).values(timestamp=old))
            assert await log.forget() == 1, "thirty days for who has no time of its own"
            left = (await gateway.get("/v1/requests", **boss)).json()["requests"]
            assert {row["tenant"] for row in left} == {"acme"}

    asyncio.run(run())


def test_a_tenant_reads_its_own_requests_only(tmp_path: Path, database_url: str) -> None:
    """K4: another's request is not found, like one that never was."""

    async def run() -> None:
        async with logged(tmp_path, database_url, **KEYS) as (gateway, _):
            path, body = chat_body("openai_chat", "hello", MODELS["openai_chat"])
            await gateway.post(path, body, x_request_id="theirs", **key("umbrella"))
            await gateway.post(path, body, x_request_id="ours", **key("acme"))
            names = [row["request_id"] for row in (await gateway.get("/v1/requests", **key("acme"))).json()["requests"]]
            assert names == ["ours"]
            assert (await gateway.get("/v1/requests?tenant=umbrella", **key("acme"))).status == 403
            foreign = await gateway.get("/v1/requests/theirs", **key("acme"))
            missing = await gateway.get("/v1/requests/nothing", **key("acme"))
            assert (foreign.status, missing.status) == (404, 404)
            assert foreign.json()["error"]["code"] == missing.json()["error"]["code"]
            every = (await gateway.get("/v1/requests", **key("boss"))).json()["requests"]
            assert len(every) == 2
            assert (await gateway.get("/v1/requests")).status == 401

    asyncio.run(run())


def test_the_log_comes_in_pages(tmp_path: Path, database_url: str) -> None:
    """K10."""

    async def run() -> None:
        async with logged(tmp_path, database_url) as (gateway, _):
            path, body = chat_body("openai_chat", "hello", MODELS["openai_chat"])
            for number in range(7):
                await gateway.post(path, body, x_request_id=f"r{number}")
            seen: list[str] = []
            following = ""
            while True:
                page = (await gateway.get(f"/v1/requests?limit=3{following}")).json()
                seen += [row["request_id"] for row in page["requests"]]
                if page["next"] is None:
                    break
                following = f"&before={page['next']}"
            assert seen == [f"r{number}" for number in reversed(range(7))]
            for wrong in ("limit=101", "limit=1000000000", "limit=0", "before=x", "status=99"):
                assert (await gateway.get(f"/v1/requests?{wrong}")).status == 422

    asyncio.run(run())


def test_what_is_older_than_the_retention_is_forgotten(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with logged(tmp_path, database_url, ledger={"request_days": 10}) as (gateway, _):
            path, body = chat_body("openai_chat", "hello", MODELS["openai_chat"])
            for name in ("old", "young"):
                await gateway.post(path, body, x_request_id=name)
            assert len((await gateway.get("/v1/requests")).json()["requests"]) == 2
            keeping = gateway.gateway.state.bookkeeping
            async with keeping.storage.write() as connection:
                aged = update(request_log).where(request_log.c.request_id == "old")
                await connection.execute(aged.values(timestamp=datetime.now(UTC) - timedelta(days=11)))
            assert await keeping.requests.forget() == 1
            left = (await gateway.get("/v1/requests")).json()["requests"]
            assert [row["request_id"] for row in left] == ["young"]

    asyncio.run(run())


def test_without_a_database_requests_are_served_and_the_newest_are_counted_as_dropped(tmp_path: Path) -> None:
    async def run() -> None:
        async with logged(tmp_path, "postgresql://postgres@127.0.0.1:1/books") as (gateway, _):
            log = gateway.gateway.state.bookkeeping.requests
            path, body = chat_body("openai_chat", "hello", MODELS["openai_chat"])
            assert (await gateway.post(path, body)).status == 200
            log.waiting.extend([{}] * 20_000)
            assert (await gateway.post(path, body)).status == 200
            assert log.dropped == 1
            assert b"ep_request_log_dropped 1.0" in (await gateway.get("/metrics")).body
            log.waiting.clear()

    asyncio.run(run())


def test_the_log_can_be_switched_off(tmp_path: Path) -> None:
    async def run() -> None:
        url = f"sqlite:///{tmp_path / 'books.db'}"
        async with logged(tmp_path, url, ledger={"log_requests": False}) as (gateway, _):
            path, body = chat_body("openai_chat", "hello", MODELS["openai_chat"])
            assert (await gateway.post(path, body)).status == 200
            assert (await gateway.get("/v1/requests")).json()["requests"] == []

    asyncio.run(run())
