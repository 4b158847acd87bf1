"""Servers that want a login: tokens are for them alone, of the issuer that was configured, and kept as secrets."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from aiohttp import web

from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.tool_bridge.mcp.issuer import LoginFailed
from execution_platform.tool_bridge.mcp.redirect import loopback
from issuer import MACHINE, Guarded, Issuer, browse, guarded, issuing, query
from loops import in_loop
from mcp_bench import Bench, bench


def machine(issuer: Issuer, **more: Any) -> dict[str, Any]:
    client, secret = MACHINE
    return {
        "issuer": issuer.url,
        "grant": "client_credentials",
        "client_id": client,
        "client_secret": secret,
        "internal": True,
        **more,
    }


def person(issuer: Issuer, **more: Any) -> dict[str, Any]:
    return {"issuer": issuer.url, "internal": True, **more}


def configured(there: Guarded, login: dict[str, Any]) -> dict[str, Any]:
    return {"site": {"url": there.url, "internal": True, "oauth": login}}


async def failure(it: Bench, show: Callable[[str], Awaitable[None]] | None = None) -> ExecutionPlatformError:
    server = it.servers.server("site")
    with pytest.raises(ExecutionPlatformError) as failed:
        await (server.look() if show is None else server.log_in(show))
    return failed.value


async def agree(address: str) -> None:
    await browse(address)


async def never(address: str) -> None:
    pytest.fail(f"somebody was sent to {address}")


@in_loop
async def test_a_machine_logs_in_by_itself_with_tokens_for_this_server_alone(tmp_path: Path) -> None:
    """M13, M10: the token is asked for the server's address, and its secret goes to the issuer alone."""
    async with issuing() as issuer, guarded(issuer) as there:
        async with bench(tmp_path, configured(there, machine(issuer))) as it:
            assert it.names == {"site.whoami"}, it.told
            assert "logged in" in str(await it.call("site.whoami"))
            await it.call("site.whoami", tenant="other")
        [asked] = [form for path, form in issuer.asked if path == "/token"]
        assert asked["resource"] == there.url
        assert (asked["client_id"], asked["client_secret"]) == MACHINE
        [token] = issuer.tokens
        assert {each for each in there.seen if each is not None} == {f"Bearer {token}"}


@in_loop
async def test_a_token_that_was_taken_back_is_asked_for_again(tmp_path: Path) -> None:
    async with issuing() as issuer, guarded(issuer) as there:
        async with bench(tmp_path, configured(there, machine(issuer))) as it:
            issuer.revoke()
            assert "logged in" in str(await it.call("site.whoami"))
        assert issuer.paths.count("/token") == 2


@in_loop
async def test_a_person_logs_in_once_and_the_login_is_renewed(tmp_path: Path) -> None:
    """M13: PKCE, resource and state on the way; the refresh token goes to the issuer and never to the server."""
    async with issuing() as issuer, guarded(issuer) as there:
        config = configured(there, person(issuer))
        shown: list[str] = []

        async def show(address: str) -> None:
            shown.append(address)
            page = await browse(address)
            assert (page.status_code, "logged in" in page.text) == (200, True)
            assert "frame-ancestors 'none'" in page.headers["content-security-policy"]

        issuer.seconds = 0
        async with bench(tmp_path, config) as it:
            assert it.names == set()
            assert dict(it.told)["mcp_server_failed"]["code"] == "mcp_login_needed"
            assert "ep mcp login site" in str(dict(it.told)["mcp_server_failed"]["reason"])
            assert there.seen == []
            await it.servers.server("site").log_in(show)
        assert query(shown[0])["code_challenge_method"] == "S256"
        assert query(shown[0])["resource"] == there.url
        refreshed = issuer.paths.count("/token")
        async with bench(tmp_path, config) as it:
            assert "logged in" in str(await it.call("site.whoami"))
        assert issuer.paths.count("/token") > refreshed
        assert {form["grant_type"] for path, form in issuer.asked if path == "/token"} == {
            "authorization_code",
            "refresh_token",
        }
        assert set(there.paths) <= {"/mcp", "/.well-known/oauth-protected-resource/mcp"}


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "registration_endpoint"])
@pytest.mark.parametrize(
    "endpoint",
    ["a:$(touch pwn)", "file:///etc/passwd", "javascript:1", "http://127.0.0.1:1/x", "https://x.example/$(id)"],
)
@in_loop
async def test_an_endpoint_that_is_no_https_address_ends_the_login(tmp_path: Path, name: str, endpoint: str) -> None:
    """M2: it is neither shown nor asked nor opened."""
    async with issuing() as issuer, guarded(issuer) as there:
        issuer.changes[name] = endpoint
        async with bench(tmp_path, configured(there, person(issuer))) as it:
            assert (await failure(it, never)).code == "invalid_authorization_endpoint"
        async with bench(tmp_path, configured(there, machine(issuer))) as it:
            assert (await failure(it)).code == "invalid_authorization_endpoint"
        assert set(issuer.paths) == {"/.well-known/oauth-authorization-server"}


@in_loop
async def test_an_issuer_that_the_operator_did_not_name_is_not_asked(tmp_path: Path) -> None:
    """M4, M13: what a server says of who issues its tokens cannot lead the secret away."""
    async with issuing() as issuer, issuing() as evil, guarded(issuer, names=evil.url) as there:
        async with bench(tmp_path, configured(there, machine(issuer))) as it:
            assert (await failure(it)).code == "mcp_login_failed"
        async with bench(tmp_path, configured(there, person(issuer))) as it:
            assert (await failure(it, never)).code == "mcp_login_failed"
        assert (issuer.asked, evil.asked) == ([], [])


@in_loop
async def test_metadata_of_another_issuer_is_not_believed(tmp_path: Path) -> None:
    async with issuing() as issuer, issuing() as evil, guarded(issuer) as there:
        issuer.changes |= {"issuer": evil.url, "token_endpoint": f"{evil.url}/token"}
        async with bench(tmp_path, configured(there, machine(issuer))) as it:
            assert (await failure(it)).code == "mcp_login_failed"
        assert evil.asked == []


@in_loop
async def test_a_place_inside_that_a_server_names_is_not_fetched(tmp_path: Path) -> None:
    """M4: the address of the metadata passes the guarded way out as every other."""

    async def refuse(request: web.Request) -> web.Response:
        told = 'Bearer resource_metadata="http://169.254.169.254/latest"'
        return web.Response(status=401, headers={"www-authenticate": told} if request.method == "POST" else {})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with issuing() as issuer:
            there = Guarded(f"http://127.0.0.1:{runner.addresses[0][1]}/mcp")
            async with bench(tmp_path, configured(there, machine(issuer))) as it:
                assert (await failure(it)).code == "egress_blocked"
            assert issuer.asked == []
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("changes", [{"code_challenge_methods_supported": ["plain"]}, {"registration_endpoint": ""}])
@in_loop
async def test_an_issuer_without_what_a_safe_login_needs_is_told_of(tmp_path: Path, changes: dict[str, Any]) -> None:
    """M13: no PKCE, no login; and nothing is sent to a place at the server that the SDK would guess."""
    async with issuing() as issuer, guarded(issuer) as there:
        kept = issuer.metadata()
        issuer.changes |= changes
        del kept["registration_endpoint"]
        if "registration_endpoint" in changes:
            issuer.metadata = lambda: kept
        async with bench(tmp_path, configured(there, person(issuer))) as it:
            assert (await failure(it, never)).code == "mcp_login_failed"
        assert "/register" not in there.paths


@in_loop
async def test_a_wrong_secret_is_told_without_it(tmp_path: Path) -> None:
    """M13: neither the error nor what the SDK logs, which would go to standard error, holds it."""
    logged: list[logging.LogRecord] = []
    listener = logging.Handler()
    listener.emit = logged.append
    logging.getLogger().addHandler(listener)
    async with issuing() as issuer, guarded(issuer) as there:
        login = machine(issuer, client_secret="canary-of-a-secret")
        async with bench(tmp_path, configured(there, login)) as it:
            error = await failure(it)
            assert (error.code, "canary" in error.message) == ("mcp_login_failed", False)
    logging.getLogger().removeHandler(listener)
    assert [each.name for each in logged if each.name.startswith("mcp.client.auth")] == []


@in_loop
async def test_each_server_gets_the_token_that_is_for_it(tmp_path: Path) -> None:
    """M10, M13: two servers of one issuer never see each other's tokens."""
    async with issuing() as issuer, guarded(issuer) as one, guarded(issuer) as other:
        servers = {
            name: {"url": there.url, "internal": True, "oauth": machine(issuer)}
            for name, there in (("one", one), ("other", other))
        }
        async with bench(tmp_path, servers) as it:
            await it.call("one.whoami")
            await it.call("other.whoami")
        assert not {each for each in one.seen if each} & {each for each in other.seen if each}
        assert {each.resource for each in issuer.tokens.values()} == {one.url, other.url}


@in_loop
async def test_a_login_is_sealed_and_for_what_it_was_done_for(tmp_path: Path) -> None:
    """M13: the file holds no token that can be read, and nothing but what was configured at the login may use it."""
    async with issuing() as issuer, guarded(issuer) as there, guarded(issuer) as other:
        async with bench(tmp_path, configured(there, person(issuer))) as it:
            await it.servers.server("site").log_in(agree)
        kept = tmp_path / "mcp/logins/site.login"
        assert kept.stat().st_mode & 0o777 == 0o600
        assert not any(each.encode() in kept.read_bytes() for each in (*issuer.tokens, *issuer.refresh, issuer.url))
        async with bench(tmp_path, configured(other, person(issuer))) as it:
            assert (await failure(it)).code == "mcp_login_needed"
        assert other.seen == []
        kept.write_bytes(kept.read_bytes()[:-8] + b"AAAAAAA=")
        async with bench(tmp_path, configured(there, person(issuer))) as it:
            assert (await failure(it)).code == "mcp_login_needed"
            assert it.servers.server("site").log_out()
            assert not it.servers.server("site").log_out()


@in_loop
async def test_processes_that_renew_a_login_at_once_renew_it_once(tmp_path: Path) -> None:
    """M13: an issuer that gives each refresh token once is not asked with a spent one."""
    async with issuing() as issuer, guarded(issuer) as there:
        config = configured(there, person(issuer))
        async with bench(tmp_path, config) as one, bench(tmp_path, config) as two:
            await one.servers.server("site").log_in(agree)
            await asyncio.gather(*(it.servers.server("site").look() for it in (one, two)))
            issuer.revoke()
            before = issuer.paths.count("/token")
            await asyncio.gather(*(it.servers.server("site").look() for it in (one, two)))
            assert issuer.paths.count("/token") == before + 1
            issuer.revoke()
            issuer.refresh.clear()
            assert (await failure(one)).code == "mcp_login_needed"


@in_loop
async def test_a_configured_client_is_not_registered_and_asks_for_the_configured_scope(tmp_path: Path) -> None:
    async with issuing() as issuer, guarded(issuer) as there:
        async with loopback(0) as free:
            port = int(free.uri.rpartition(":")[2].partition("/")[0])
        issuer.clients["known"] = {"redirect_uris": [f"http://127.0.0.1:{port}/callback"]}
        login = person(issuer, client_id="known", redirect_port=port, scope="use and-more")
        async with bench(tmp_path, configured(there, login)) as it:
            await it.servers.server("site").log_in(agree)
            assert await it.servers.server("site").look()
        assert "/register" not in issuer.paths
        assert next(form for path, form in issuer.asked if path == "/authorize")["scope"] == "use and-more"


@in_loop
async def test_a_server_that_wants_no_login_is_told_as_that(tmp_path: Path) -> None:
    async with issuing() as issuer, issuing() as plain:
        there = Guarded(f"{plain.url}/nothing")
        async with bench(tmp_path, configured(there, person(issuer))) as it:
            assert "404 without a login" in (await failure(it, never)).message


async def get(url: str, **query: str) -> int:
    async with httpx2.AsyncClient(trust_env=False) as client:
        return (await client.get(url, params=query)).status_code


@in_loop
async def test_the_browser_comes_back_once_to_exactly_one_path_with_the_state_that_was_given_out() -> None:
    """M13: a slash too many, another state and a replay are 400, and none of them ends the login."""
    async with loopback(0, seconds=30) as back:
        assert await get(back.uri, code="early", state="") == 400
        back.expect("the-state")
        assert await get(f"{back.uri}/", code="x", state="the-state") == 400
        assert await get(back.uri.replace("callback", "%63allback"), code="x", state="the-state") == 400
        assert await get(back.uri, code="x", state="another") == 400
        assert await get(back.uri, code="x") == 400
        assert await get(back.uri, code="right", state="the-state") == 200
        assert await get(back.uri, code="again", state="the-state") == 400
        assert (await back.answer()).code == "right"


@in_loop
async def test_a_person_who_refuses_or_never_comes_ends_the_login() -> None:
    """M13."""
    async with loopback(0, seconds=30) as back:
        back.expect("s")
        assert await get(back.uri, error="access_denied", state="s") == 200
        with pytest.raises(LoginFailed, match="access_denied"):
            await back.answer()
    async with loopback(0, seconds=0.01) as back:
        with pytest.raises(LoginFailed, match="nobody logged in"):
            await back.answer()
