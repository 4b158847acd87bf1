"""Tenants see nothing of each other, inputs are what they say they are, and every change leaves its entry."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

import servers
from execution_platform.storage.schema import audit_log, budgets, gateway_keys, tenants
from execution_platform.testing import FakeUpstream
from gateway.test_keys import ENVIRON, MASTER, ask, bearer, made, send
from serving import Got, Served, chat_body, serving, three_vendors


async def two_tenants(gateway: Served) -> dict[str, dict[str, Any]]:
    """An owner's key of each of two tenants."""
    for tenant in ("a", "b"):
        assert (
            await send(gateway, "POST", "/v1/tenants", {"id": tenant, "display_name": f"{tenant} Ltd"})
        ).status == 201
    return {tenant: await made(gateway, tenant=tenant, role="owner") for tenant in ("a", "b")}


def same(got: Got, other: Got) -> bool:
    """Whether two answers are alike but for the names in the question."""

    def bare(answer: Got) -> tuple[int, bytes]:
        return answer.status, re.sub(rb"req_[0-9a-f]+|[a-z2-7]{15}|missing", b"", answer.body)

    return bare(got) == bare(other)


def test_what_belongs_to_another_tenant_is_answered_as_what_does_not_exist(tmp_path: Path) -> None:
    """K4."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), ENVIRON) as gateway:
            keys = await two_tenants(gateway)
            theirs, mine = keys["a"], keys["b"]["key"]
            asked = (await ask(gateway, theirs["key"])).header("x-request-id")
            seen = (await send(gateway, "GET", f"/v1/requests/{asked}", key=theirs["key"])).status
            assert seen == 200
            changes = (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None))
            for method, body in changes:
                one = await send(gateway, method, f"/v1/keys/{theirs['id']}", body, mine)
                other = await send(gateway, method, f"/v1/keys/{'a' * 15}", body, mine)
                assert one.status == 404
                assert same(one, other), (one.body, other.body)
            rotated = await send(gateway, "POST", f"/v1/keys/{theirs['id']}/rotate", None, mine)
            assert rotated.status == 404
            tenant = await send(gateway, "GET", "/v1/tenants/a", key=mine)
            assert tenant.status == 404
            assert same(tenant, await send(gateway, "GET", "/v1/tenants/missing", key=mine))
            request = await send(gateway, "GET", f"/v1/requests/{asked}", key=mine)
            assert request.status == 404
            assert [key["tenant"] for key in (await send(gateway, "GET", "/v1/keys", key=mine)).json()["keys"]] == ["b"]
            assert [each["id"] for each in (await send(gateway, "GET", "/v1/tenants", key=mine)).json()["tenants"]] == [
                "b"
            ]
            assert (await send(gateway, "GET", "/v1/requests", key=mine)).json()["requests"] == []
            trail = (await send(gateway, "GET", "/v1/audit", key=mine)).json()["entries"]
            assert {entry["tenant"] for entry in trail} == {"b"}
            costs = (await send(gateway, "GET", "/v1/costs", key=mine)).json()
            assert costs["by_tenant"] == {}
            assert (await send(gateway, "GET", "/v1/costs", key=theirs["key"])).json()["requests"] == 1
            assert (await ask(gateway, theirs["key"])).status == 200, "nothing of it was touched"

    asyncio.run(run())


def test_the_tenant_comes_from_the_key_and_from_nowhere_else(tmp_path: Path) -> None:
    """E16."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), ENVIRON) as gateway:
            keys = await two_tenants(gateway)
            path, body = chat_body("openai_chat", "hi", "openai/gpt-4o")
            forged = {"x-tenant": "b", "x-ep-tenant": "b", "x-user": "boss", "x-internal-role": "admin"}
            got = await gateway.post(
                path, {**body, "user": "b", "metadata": {"tenant": "b"}}, **bearer(keys["a"]["key"]), **forged
            )
            assert got.status == 200
            logged = (await send(gateway, "GET", "/v1/requests")).json()["requests"]
            assert [(each["tenant"], each["key_id"]) for each in logged] == [("a", keys["a"]["id"])]

    asyncio.run(run())


WRITABLE: list[tuple[str, str, dict[str, Any], Any]] = [
    ("POST", "/v1/keys", {"name": "x"}, gateway_keys),
    ("PATCH", "/v1/keys/{key}", {}, gateway_keys),
    ("POST", "/v1/keys/{key}/rotate", {}, gateway_keys),
    ("POST", "/v1/tenants", {"id": "c"}, tenants),
    ("PATCH", "/v1/tenants/a", {}, tenants),
    ("POST", "/v1/budgets", {"period": "daily", "usd": 1, "tenant": "a"}, budgets),
    ("POST", "/v1/budgets/approve", {"scope": "tenant:a", "period": "daily", "usd": 1}, budgets),
]
FIELDS = {
    ("POST", "/v1/keys"): {"name", "tenant", "team", "role", "loss_policy", "expires_at"},
    ("PATCH", "/v1/keys/{key}"): {"name", "team", "expires_at"},
    ("POST", "/v1/tenants"): {"id", "display_name", "store_content", "retention_days"},
    ("PATCH", "/v1/tenants/a"): {"display_name", "store_content", "retention_days"},
    ("POST", "/v1/budgets"): {
        "tenant",
        "period",
        "persona",
        "alert_threshold",
        "time_zone",
        "on_breach",
        "downgrade_to",
    },
    ("POST", "/v1/budgets/approve"): {"scope", "period"},
}
"""Columns that are fields of the input, too."""


def test_no_column_is_a_field_that_was_not_meant_to_be(tmp_path: Path) -> None:
    """K2: generated from the tables there are."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), ENVIRON) as gateway:
            keys = await two_tenants(gateway)
            before = (await send(gateway, "GET", f"/v1/keys/{keys['a']['id']}")).json()
            tried = 0
            for method, path, body, table in WRITABLE:
                url = path.replace("{key}", keys["a"]["id"])
                columns = {column.name for column in [*table.c, *audit_log.c]} | {
                    "admin",
                    "spend",
                    "is_admin",
                    "key",
                    "secret",
                }
                for column in sorted(columns - FIELDS.get((method, path), set())):
                    got = await send(gateway, method, url, {**body, column: "x"})
                    assert got.status == 422, (method, path, column, got.body)
                    tried += 1
            assert tried > 100
            assert (await send(gateway, "GET", f"/v1/keys/{keys['a']['id']}")).json() == before

    asyncio.run(run())


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/personas/architect", {"prefer": ["openai/gpt-4o"], "callbacks": "os.system"}),
        ("PUT", "/v1/personas/architect", {"prefer": ["openai/gpt-4o"], "logo": "/etc/passwd"}),
        ("PUT", "/v1/personas/architect", {"prefer": ["openai/gpt-4o"], "env": {"PATH": "/tmp"}}),
        ("POST", "/v1/keys", {"name": "x", "callbacks": "os.system"}),
        ("POST", "/v1/tenants", {"id": "x", "settings": {"plugin": "os"}}),
        ("POST", "/v1/config/rollback", {"version": "x", "file": "/etc/passwd"}),
    ],
)
def test_no_admin_writes_code_files_or_environment(method: str, path: str, body: Any, tmp_path: Path) -> None:
    """K1."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), ENVIRON) as gateway:
            assert (await send(gateway, method, path, body)).status == 422
            member = (await made(gateway))["key"]
            assert (await send(gateway, method, path, body, member)).status == 403

    asyncio.run(run())


def test_no_get_shows_a_secret(tmp_path: Path) -> None:
    """K5."""

    async def run() -> None:
        async with FakeUpstream() as upstream:
            config = three_vendors(upstream)
            config["providers"]["openai"]["headers"] = {"x-team": "canary-of-a-header"}
            async with serving(tmp_path, config, ENVIRON) as gateway:
                await crawl(gateway)

    async def crawl(gateway: Served) -> None:
        key = await made(gateway)
        rotated = (await send(gateway, "POST", f"/v1/keys/{key['id']}/rotate")).json()
        await ask(gateway, rotated["key"])
        page = gateway.gateway.management._app.openapi()
        canaries = [
            MASTER,
            key["key"][-30:],
            rotated["key"][-30:],
            "sk-openai-canary-1",
            "sk-ant-canary-22",
            "AIza-canary-333333333",
            "canary-of-a-header",
        ]
        for path, methods in page["paths"].items():
            if "get" in methods:
                url = path.replace("{key_id}", key["id"]).replace("{name}", "architect").replace("{version}", "current")
                got = await send(gateway, "GET", url)
                assert got.status != 500, path
                for canary in canaries:
                    assert canary.encode() not in got.body, (path, canary)

    asyncio.run(run())


def test_an_ended_tenant_takes_its_keys_with_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), ENVIRON) as gateway:
            keys = await two_tenants(gateway)
            assert (await send(gateway, "POST", "/v1/tenants", {"id": "a"})).status == 409
            assert (await send(gateway, "DELETE", "/v1/tenants/a")).status == 204
            assert (await ask(gateway, keys["a"]["key"])).status == 401
            assert (await ask(gateway, keys["b"]["key"])).status == 200
            assert (await send(gateway, "POST", "/v1/keys", {"name": "x", "tenant": "a"})).status == 409
            assert (await send(gateway, "GET", "/v1/tenants/a")).json()["disabled_at"] is not None
            assert (await send(gateway, "DELETE", "/v1/tenants/missing")).status == 404

    asyncio.run(run())


def test_every_change_is_in_the_trail(tmp_path: Path) -> None:
    """K13."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), ENVIRON) as gateway:
            key = await made(gateway)
            persona = {"prefer": ["openai/gpt-4o"]}
            before = (await send(gateway, "GET", "/v1/config")).json()["version"]
            assert (await send(gateway, "PUT", "/v1/personas/late", persona, MASTER)).status == 200
            assert (await send(gateway, "DELETE", "/v1/personas/late")).status == 200
            assert (await send(gateway, "POST", "/v1/config/rollback", {"version": before})).status == 200
            budget = (await send(gateway, "POST", "/v1/budgets", {"tenant": "x", "period": "daily", "usd": 1})).json()
            assert (await send(gateway, "DELETE", f"/v1/budgets/{budget['id']}")).status == 204
            await send(gateway, "DELETE", f"/v1/keys/{key['id']}")
            entries = (await send(gateway, "GET", "/v1/audit?limit=50")).json()["entries"]
            assert [entry["action"] for entry in reversed(entries)] == [
                "key.create",
                "persona.switch",
                "persona.forget",
                "config.rollback",
                "budget.set",
                "budget.remove",
                "key.revoke",
            ]
            assert all(entry["actor"] == "master" and entry["request_id"].startswith("req_") for entry in entries)
            assert (await send(gateway, "GET", "/v1/audit/verify")).json() == {"ok": True, "entries": 7, "broken": None}

    asyncio.run(run())


def test_a_revocation_is_in_force_on_the_other_replica_within_two_seconds(
    tmp_path: Path, postgres_server: servers.Postgres
) -> None:
    """K8: without Redis, over PostgreSQL alone."""
    environ = {**ENVIRON, "EP_DATABASE_URL": postgres_server.new_database()}
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()

    async def run() -> None:
        async with FakeUpstream() as upstream:
            config = three_vendors(upstream)
            async with serving(folders[0], config, environ) as one, serving(folders[1], config, environ) as other:
                key = await made(one)
                assert (await ask(other, key["key"])).status == 200, "it serves there at once"
                assert (await send(one, "DELETE", f"/v1/keys/{key['id']}")).status == 204
                assert (await ask(one, key["key"])).status == 401
                async with asyncio.timeout(2):
                    while (await ask(other, key["key"])).status == 200:
                        await asyncio.sleep(0.01)

    asyncio.run(run())


def test_a_database_that_is_away_is_no_wrong_key(tmp_path: Path) -> None:
    """E14."""

    async def run(server: servers.Postgres) -> None:
        environ = {**ENVIRON, "EP_DATABASE_URL": server.new_database()}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), environ) as gateway:
            known, unknown = await made(gateway), await made(gateway)
            assert (await ask(gateway, known["key"])).status == 200
            server.stop()
            assert (await ask(gateway, known["key"])).status == 200
            refused = await ask(gateway, unknown["key"])
            assert (refused.status, refused.json()["error"]["code"]) == (503, "auth_backend_unavailable")
            assert refused.header("retry-after") is not None
            assert (await ask(gateway, "sk-ep-nonsense")).status == 401
            server.start()
            assert (await ask(gateway, unknown["key"])).status == 200

    try:
        with servers.postgres() as server:
            asyncio.run(run(server))
    except servers.MissingServer as error:
        pytest.skip(str(error))
