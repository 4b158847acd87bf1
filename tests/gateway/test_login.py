"""People log in at their provider: for management, for as long as their session and their role last."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from execution_platform.gateway.people import BEGUN, COOKIE
from execution_platform.testing import FakeUpstream
from gateway.test_keys import ENVIRON, made, send
from identity.provider import SECRET, TestProvider, provider
from serving import Got, Served, chat_body, serving, three_vendors

ORIGIN = "https://gateway.example"


@dataclass
class Answer(Got):
    """With every cookie it sets."""

    cookies: list[str]


@asynccontextmanager
async def at_the_door(folder: Path, **oidc: Any) -> AsyncIterator[tuple[Served, TestProvider]]:
    async with FakeUpstream() as upstream, provider() as theirs:
        config = three_vendors(upstream, oidc=theirs.config(f"{ORIGIN}/login/callback", **oidc))
        async with serving(folder, config, ENVIRON) as gateway:
            yield gateway, theirs


async def call(gateway: Served, method: str, path: str, cookie: str = "", body: Any = None, **headers: str) -> "Answer":
    given = {"cookie": cookie if "=" in cookie else f"{COOKIE}={cookie}"} if cookie else {}
    url = gateway.url + path
    async with gateway.http.request(
        method, url, json=body, headers={**given, **headers}, allow_redirects=False
    ) as response:
        given_cookies = response.headers.getall("set-cookie", [])
        return Answer(response.status, dict(response.headers), await response.read(), given_cookies)


async def back(gateway: Served, theirs: TestProvider, **changed: str) -> "Answer":
    """Log in, up to the answer of the callback."""
    begun = await call(gateway, "GET", "/login")
    assert begun.status == 302, begun.body
    address = begun.header("location") or ""
    assert address.startswith(f"{theirs.url}/authorize?")
    brought = {**theirs.visit(address), **changed}
    browser = (begun.header("set-cookie") or "").partition(";")[0]
    return await call(gateway, "GET", f"/login/callback?code={brought['code']}&state={brought['state']}", browser)


async def logged_in(gateway: Served, theirs: TestProvider) -> str:
    got = await back(gateway, theirs)
    assert got.status == 200, got.body
    cookie = next(value for value in got.cookies if value.startswith(COOKIE))
    for attribute in ("HttpOnly", "Secure", "SameSite=strict", "Path=/"):
        assert attribute in cookie, cookie
    assert "Domain" not in cookie
    assert "sk-" not in cookie
    return cookie.partition("=")[2].partition(";")[0]


def test_a_person_logs_in_manages_and_leaves(tmp_path: Path) -> None:
    """E7, E8."""

    async def run() -> None:
        async with at_the_door(tmp_path) as (gateway, theirs):
            cookie = await logged_in(gateway, theirs)
            who = (await call(gateway, "GET", "/v1/session", cookie)).json()
            assert who == {"name": "ada@example.com", "tenant": "default", "role": "admin"}
            assert (await call(gateway, "GET", "/v1/config", cookie)).status == 200
            made = await call(gateway, "POST", "/v1/keys", cookie, {"name": "x"}, origin=ORIGIN)
            assert made.status == 201, made.body
            for origin in ({}, {"origin": "https://evil.example"}, {"origin": "null"}):
                refused = await call(gateway, "POST", "/v1/keys", cookie, {"name": "x"}, **origin)
                assert refused.status == 403
            path, body = chat_body("native", "hi", "openai/gpt-4o")
            assert (await call(gateway, "POST", path, cookie, body, origin=ORIGIN)).status == 401
            users = (await send(gateway, "GET", "/v1/users")).json()["users"]
            assert [(user["email"], user["role"]) for user in users] == [("ada@example.com", "admin")]
            assert (await call(gateway, "POST", "/logout", cookie, origin=ORIGIN)).status == 204
            assert (await call(gateway, "GET", "/v1/config", cookie)).status == 401

    asyncio.run(run())


def test_a_changed_role_and_a_disabled_person_count_in_a_session_that_lasts(tmp_path: Path) -> None:
    """E7."""

    async def run() -> None:
        async with at_the_door(tmp_path) as (gateway, theirs):
            cookie = await logged_in(gateway, theirs)
            assert (await call(gateway, "GET", "/v1/config", cookie)).status == 200
            theirs.claims = {"groups": ["staff"]}
            again = await logged_in(gateway, theirs)
            assert (await call(gateway, "GET", "/v1/config", cookie)).status == 403
            assert (await call(gateway, "GET", "/v1/session", again)).json()["role"] == "viewer"
            (person,) = (await send(gateway, "GET", "/v1/users")).json()["users"]
            assert (await send(gateway, "DELETE", f"/v1/users/{person['id']}")).status == 204
            assert (await call(gateway, "GET", "/v1/session", again)).status == 401
            assert (await back(gateway, theirs)).status == 403

    asyncio.run(run())


def test_people_of_another_tenant_are_not_there(tmp_path: Path) -> None:
    """K4: neither in lists nor to be disabled, in the words for somebody who does not exist."""

    async def run() -> None:
        async with at_the_door(tmp_path) as (gateway, theirs):
            cookie = await logged_in(gateway, theirs)
            (person,) = (await send(gateway, "GET", "/v1/users")).json()["users"]
            assert (await send(gateway, "POST", "/v1/tenants", {"id": "other"})).status == 201
            owner = (await made(gateway, tenant="other", role="owner"))["key"]
            assert (await send(gateway, "GET", "/v1/users", key=owner)).json()["users"] == []
            refused = await send(gateway, "DELETE", f"/v1/users/{person['id']}", key=owner)
            missing = await send(gateway, "DELETE", f"/v1/users/{UUID(int=1)}", key=owner)
            assert (refused.status, missing.status) == (404, 404)
            assert refused.json()["error"]["message"] == missing.json()["error"]["message"]
            assert (await call(gateway, "GET", "/v1/session", cookie)).status == 200

    asyncio.run(run())


def test_a_login_is_finished_once_and_only_as_it_was_begun(tmp_path: Path) -> None:
    """K11."""

    async def run() -> None:
        async with at_the_door(tmp_path) as (gateway, theirs):
            begun = await call(gateway, "GET", "/login")
            brought = theirs.visit(begun.header("location") or "")
            path = f"/login/callback?code={brought['code']}&state={brought['state']}"
            browser = f"{BEGUN}={brought['state']}"
            asked = theirs.begun[brought["code"]]
            assert (await call(gateway, "GET", path)).status == 400, "another browser began it"
            assert (await call(gateway, "GET", path, browser)).status == 200
            theirs.begun[brought["code"]] = asked  # a provider that would take its code a second time
            assert (await call(gateway, "GET", path, browser)).status == 400, "a state is used once"
            assert theirs.exchanged == 1
            assert (await back(gateway, theirs, state="made-up")).status == 400
            assert (await back(gateway, theirs, code="made-up")).status == 400
            assert theirs.exchanged == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"email_verified": False}, 400),
        ({"email_verified": "true"}, 400),
        ({"email": None}, 400),
        ({"nonce": "another"}, 400),
        ({"iss": "https://evil.example"}, 401),
        ({"aud": "other"}, 401),
        ({"exp": 1}, 401),
        ({"groups": ["nobody"]}, 403),
        ({"groups": "ops"}, 200),
    ],
)
def test_only_a_verified_person_of_the_pinned_issuer_with_a_role_comes_in(
    claims: dict[str, Any], status: int, tmp_path: Path
) -> None:
    """K11, E6."""

    async def run() -> None:
        async with at_the_door(tmp_path) as (gateway, theirs):
            theirs.claims = claims
            got = await back(gateway, theirs)
            assert got.status == status, got.body
            assert bool(got.cookies) == (status == 200)
            assert SECRET.encode() not in got.body

    asyncio.run(run())


def test_a_provider_that_names_itself_otherwise_is_not_believed(tmp_path: Path) -> None:
    """K11."""

    async def run() -> None:
        async with at_the_door(tmp_path) as (gateway, theirs):
            theirs.issuer = "https://evil.example"
            assert (await call(gateway, "GET", "/login")).status == 400

    asyncio.run(run())


def test_without_a_provider_there_is_no_login(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), ENVIRON) as gateway:
            assert (await call(gateway, "GET", "/login")).status == 404
            assert (await call(gateway, "GET", "/v1/config", "made-up")).status == 401

    asyncio.run(run())
