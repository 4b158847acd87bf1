"""Issued keys through the API: made once, narrowed, rotated, revoked, and never wider than who makes them."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from execution_platform.testing import FakeUpstream
from serving import MODELS, Got, Served, chat_body, serving, three_vendors

MASTER = "master-key-of-the-tests-0123456789"
ENVIRON = {"EP_MASTER_KEY": MASTER}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def send(gateway: Served, method: str, path: str, body: object = None, key: str = MASTER) -> Got:
    async with gateway.http.request(method, gateway.url + path, json=body, headers=bearer(key)) as response:
        return Got(response.status, dict(response.headers), await response.read())


async def made(gateway: Served, key: str = MASTER, /, **fields: Any) -> dict[str, Any]:
    got = await send(gateway, "POST", "/v1/keys", {"name": "web", **fields}, key)
    assert got.status == 201, got.body
    found: dict[str, Any] = got.json()
    return found


async def ask(gateway: Served, key: str, model: str = MODELS["openai_chat"]) -> Got:
    path, body = chat_body("openai_chat", "hi", model)
    return await gateway.post(path, body, **bearer(key))


def test_an_issued_key_is_shown_once_and_serves_until_it_is_revoked(tmp_path: Path) -> None:
    """K5."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), ENVIRON) as gateway:
            key = await made(gateway, models=["openai"])
            assert key["key"].startswith(f"sk-ep-{key['id']}-")
            assert (await ask(gateway, key["key"])).status == 200
            assert (await ask(gateway, key["key"], MODELS["anthropic"])).status == 403
            listed = await send(gateway, "GET", "/v1/keys")
            one = await send(gateway, "GET", f"/v1/keys/{key['id']}")
            secret = key["key"].rpartition("-")[2].encode()
            assert secret not in listed.body + one.body
            assert "key" not in one.json()
            assert (await send(gateway, "DELETE", f"/v1/keys/{key['id']}")).status == 204
            refused = await ask(gateway, key["key"])
            assert refused.status == 401
            assert (await send(gateway, "GET", f"/v1/keys/{key['id']}")).json()["state"] == "revoked"

    asyncio.run(run())


def test_a_rotated_key_overlaps_with_the_one_before(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), ENVIRON) as gateway:
            first = await made(gateway)
            path = f"/v1/keys/{first['id']}/rotate"
            second = (await send(gateway, "POST", path)).json()
            assert second["id"] == first["id"]
            assert [(await ask(gateway, each["key"])).status for each in (first, second)] == [200, 200]
            third = (await send(gateway, "POST", path, {"overlap_seconds": 0})).json()
            statuses = [(await ask(gateway, each["key"])).status for each in (first, second, third)]
            assert statuses == [401, 401, 200]

    asyncio.run(run())


def test_a_key_that_expires_is_refused_from_then_on(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), ENVIRON) as gateway:
            past = await send(gateway, "POST", "/v1/keys", {"name": "x", "expires_at": "2020-01-01T00:00:00Z"})
            assert (past.status, past.json()["error"]["param"]) == (422, "expires_at")
            key = await made(gateway, expires_at="2999-01-01T00:00:00+02:00")
            assert key["expires_at"] == "2998-12-31T22:00:00Z"
            assert (await ask(gateway, key["key"])).status == 200

    asyncio.run(run())


@pytest.mark.parametrize(
    ("wider", "dimension"),
    [
        ({"models": ["anthropic"]}, "models"),
        ({"models": None}, "models"),
        ({"personas": ["architect"]}, "personas"),
        ({"routes": None}, "routes"),
        ({"budgets": {"daily": 6}}, "budgets"),
        ({"budgets": None}, "budgets"),
        ({"expires_at": None}, "expires"),
        ({"role": "admin"}, "role"),
        ({"tenant": "other"}, "tenant"),
    ],
)
def test_no_key_makes_a_wider_one(wider: Mapping[str, Any], dimension: str, tmp_path: Path) -> None:
    """K3."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), ENVIRON) as gateway:
            owner = await made(
                gateway,
                role="owner",
                models=["openai"],
                personas=[],
                routes=["chat", "manage"],
                budgets={"daily": 5},
                expires_at="2999-01-01T00:00:00Z",
            )
            refused = await send(gateway, "POST", "/v1/keys", {"name": "child", **wider}, owner["key"])
            assert (refused.status, refused.json()["error"]["code"]) == (403, "scope_exceeded")
            assert dimension in refused.json()["error"]["message"]
            child = await made(gateway, owner["key"], models=["openai/gpt-4o"], budgets={"daily": 2})
            assert child["parent_id"] == owner["id"]
            assert child["routes"] == ["chat", "manage"]
            if dimension not in {"role", "tenant"}:
                changed = await send(gateway, "PATCH", f"/v1/keys/{child['id']}", wider, owner["key"])
                assert changed.status == 403
                by_admin = await send(gateway, "PATCH", f"/v1/keys/{child['id']}", wider)
                assert by_admin.status == 403, "a key stays within its parent, whoever changes it"

    asyncio.run(run())


def test_a_parent_is_not_narrowed_below_its_children_and_takes_them_with_it(tmp_path: Path) -> None:
    """K3."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), ENVIRON) as gateway:
            owner = await made(gateway, role="owner")
            child = await made(gateway, owner["key"], models=["openai"])
            path = f"/v1/keys/{owner['id']}"
            narrowed = await send(gateway, "PATCH", path, {"models": ["gemini"]})
            assert (narrowed.status, narrowed.json()["error"]["code"]) == (409, "conflict")
            assert (await send(gateway, "PATCH", path, {"models": ["openai"]})).status == 200
            assert (await send(gateway, "DELETE", path)).status == 204
            assert (await ask(gateway, child["key"])).status == 401

    asyncio.run(run())


def test_a_key_is_limited_to_its_kinds_of_paths(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), ENVIRON) as gateway:
            only = await made(gateway, role="admin", routes=["embeddings"])
            refused = await ask(gateway, only["key"])
            assert (refused.status, refused.json()["error"]["code"]) == (403, "route_refused")
            assert (await send(gateway, "GET", "/v1/config", key=only["key"])).status == 403
            assert (await send(gateway, "GET", "/v1/models", key=only["key"])).status == 200

    asyncio.run(run())


def test_the_budget_of_a_key_binds_from_its_first_request(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), ENVIRON) as gateway:
            poor = await made(gateway, budgets={"monthly": 0.000001})
            refused = await ask(gateway, poor["key"])
            assert refused.status == 402, refused.body
            rules = (await send(gateway, "GET", "/v1/budgets")).json()["rules"]
            stored = [(rule["scope"], rule["period"]) for rule in rules if rule["source"] == "api"]
            assert stored == [(f"key:{poor['id']}", "monthly")]
            changed = await send(gateway, "PATCH", f"/v1/keys/{poor['id']}", {"budgets": {"daily": 10}})
            assert changed.json()["budgets"] == {"daily": 10}
            assert (await ask(gateway, poor["key"])).status == 200

    asyncio.run(run())


def test_the_first_key_closes_an_open_gateway_and_must_be_able_to_manage_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"])
            assert (await gateway.post(path, body)).status == 200
            locked_out = await gateway.post("/v1/keys", {"name": "web"})
            assert (locked_out.status, locked_out.json()["error"]["param"]) == (409, "role")
            boss = (await gateway.post("/v1/keys", {"name": "boss", "role": "admin"})).json()
            assert (await gateway.post(path, body)).status == 401
            assert (await ask(gateway, boss["key"])).status == 200
            await made(gateway, boss["key"])

        # It stays closed over restarts, also after its last key is gone.
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            assert (await gateway.post(path, body)).status == 401
            assert (await send(gateway, "DELETE", f"/v1/keys/{boss['id']}", key=boss["key"])).status == 204
            assert (await gateway.post(path, body)).status == 401

    asyncio.run(run())


def test_lists_come_in_pages(tmp_path: Path) -> None:
    """K10."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), ENVIRON) as gateway:
            ids = {(await made(gateway, name=f"k{number}"))["id"] for number in range(5)}
            seen: list[str] = []
            after = ""
            while True:
                page = (await send(gateway, "GET", f"/v1/keys?limit=2&after={after}")).json()
                seen += [key["id"] for key in page["keys"]]
                if page["next"] is None:
                    break
                after = page["next"]
            assert seen == sorted(ids)
            for wrong in ("limit=101", "limit=0", "limit=1000000000", f"after={'%25' * 100}"):
                assert (await send(gateway, "GET", f"/v1/keys?{wrong}")).status == 422

    asyncio.run(run())
