"""Who may do what: keys from every vendor's header, routes without a hole, and a gateway that is open on loopback only."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from execution_platform.config.settings import Settings
from execution_platform.exceptions import ConfigError
from execution_platform.gateway.app import build
from execution_platform.gateway.command import check_address
from execution_platform.gateway.policy import PUBLIC_PATHS
from execution_platform.limits.failures import FailureLimiter
from execution_platform.testing import FakeUpstream
from serving import MODELS, Got, Served, chat_body, serving, three_vendors

KEYS: dict[str, Any] = {
    "keys": [
        {"name": "team", "key": "sk-ep-team-0123456789", "personas": ["architect"], "models": ["openai/gpt-4o"]},
        {"name": "boss", "key": "sk-ep-boss-0123456789", "admin": True},
    ]
}
WAYS = ["authorization", "x-api-key", "x-goog-api-key", "api-key"]


def header(way: str, key: str) -> dict[str, str]:
    return {way: f"Bearer {key}" if way == "authorization" else key}


async def raw(gateway: Served, request: bytes) -> bytes:
    """Bytes as they are, and the whole answer."""
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("client", ["openai_chat", "anthropic", "gemini", "native"])
def test_a_key_is_taken_from_any_vendors_header_on_every_dialect(way: str, client: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **KEYS)) as gateway:
            path, body = chat_body(client, "hi", MODELS["openai_chat"])
            assert (await gateway.post(path, body, **header(way, "sk-ep-team-0123456789"))).status == 200
            assert (await gateway.post(path, body, **header(way, "sk-ep-team-0123456780"))).status == 401
            assert (await gateway.post(path, body)).status == 401

    asyncio.run(run())


def test_every_wrong_key_gets_the_same_answer(tmp_path: Path) -> None:
    wrong = ["x", "sk-ep-team-012345678", "x' OR (SELECT pg_sleep(8)) IS NOT NULL --", "k" * 5000]

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **KEYS)) as gateway:
            path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"])
            got = [await gateway.post(path, body, authorization=f"Bearer {key}", x_request_id="same") for key in wrong]
            got.append(await gateway.post(path, body, authorization="Basic abc", x_request_id="same"))
            assert {answer.status for answer in got} == {401}
            assert len({answer.body for answer in got}) == 1

    asyncio.run(run())


def test_two_keys_in_one_request_are_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **KEYS)) as gateway:
            answer = await raw(
                gateway,
                b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer sk-ep-team-0123456789\r\n"
                b"authorization: Bearer other\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
            )
            assert answer.startswith(b"HTTP/1.1 400")

    asyncio.run(run())


def test_a_key_uses_only_its_models_and_personas(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            personas = {"architect": {"prefer": ["openai/gpt-4o"]}, "dev": {"prefer": ["openai/gpt-4o"]}}
            async with serving(tmp_path, three_vendors(upstream, personas=personas, **KEYS)) as gateway:

                async def ask(model: str) -> Got:
                    path, body = chat_body("openai_chat", "hi", model)
                    return await gateway.post(path, body, authorization="Bearer sk-ep-team-0123456789")

                assert (await ask("openai/gpt-4o")).status == 200
                assert (await ask("persona/architect")).status == 200
                assert (await ask("persona/dev")).status == 403
                assert (await ask("anthropic/claude-sonnet-4-5")).status == 403
                listed = (await gateway.get("/v1/models", authorization="Bearer sk-ep-team-0123456789")).json()
                assert {entry["id"] for entry in listed["data"]} == {"openai/gpt-4o", "persona/architect"}

    asyncio.run(run())


def routes(gateway: Served) -> list[tuple[str, str]]:
    """Every route there is, by asking the application itself."""
    page = gateway.gateway.management._app.openapi()
    return [(method.upper(), path) for path, methods in page["paths"].items() for method in methods]


def test_without_a_key_every_route_but_health_is_401_and_changes_need_an_admin(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **KEYS)) as gateway:
            found = routes(gateway)
            assert len(found) > 20
            for method, path in [*found, ("GET", "/docs"), ("GET", "/openapi.json")]:
                # There are more routes than an address may fail at in a minute.
                gateway.gateway.state.failures = FailureLimiter()
                url = gateway.url + path.replace("{model}", "gemini/x").replace("{name}", "dev")
                gateway.gateway.state.failures = FailureLimiter()  # there are more paths than failures a minute
                async with gateway.http.request(method, url, json={}) as response:
                    assert (response.status == 401) is (path not in PUBLIC_PATHS), (method, path)
            team = {"authorization": "Bearer sk-ep-team-0123456789"}
            async with gateway.http.put(f"{gateway.url}/v1/personas/dev", json={}, headers=team) as response:
                assert response.status == 403
            assert (await gateway.get("/v1/config", **team)).status == 403

    asyncio.run(run())


HOSTS = (b"h/?", b"h/#", b"h%2f", b"localhost/health?", b"localhost@health", b"")
BEHIND = b"\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"


def spellings(method: str, path: str) -> list[bytes]:
    """Requests for a route that a gateway could take for another one, none of them with a key."""
    verb, at = method.encode(), path.replace("{model}", "gemini/x").replace("{", "").replace("}", "").encode()
    first = at[1:2]
    lines = [
        b"/" + at,
        at + b"/",
        b"/." + at,
        b"/%" + first.hex().encode() + at[2:],
        b"/health/..;" + at,
        b"/health/.." + at,
        b"/health/%2e%2e" + at,
        b"/health;" + at,
        at + b"?/health",
        at + b"#/health",
        at + b"%00/health",
        b"http://localhost" + at,
        b"http://localhost/health@localhost" + at,
    ]
    asked = [verb + b" " + line + b" HTTP/1.1\r\nhost: localhost" for line in lines]
    asked += [verb + b" " + at + b" HTTP/1.1\r\nhost: " + host for host in HOSTS]
    asked.append(verb + b" " + at + b" HTTP/1.1\r\nhost: localhost\r\nhost: health")
    asked.append(b"HEAD " + at + b" HTTP/1.1\r\nhost: localhost")
    override = b" /health HTTP/1.1\r\nhost: localhost\r\nx-http-method-override: " + verb
    asked.append(b"POST" + override + b"\r\nx-original-url: " + at + b"\r\nx-rewrite-url: " + at)
    asked.append(b"OPTIONS " + at + b" HTTP/1.1\r\nhost: localhost\r\nx-http-method-override: " + verb)
    return asked


def test_no_spelling_of_a_path_or_host_gets_past_the_key(tmp_path: Path) -> None:
    """E2: every protected route, as proxies and routers have been known to read it differently."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **KEYS)) as gateway:
            found = [(method, path) for method, path in routes(gateway) if path not in PUBLIC_PATHS]
            assert len(found) > 20
            asked = [one + BEHIND for method, path in found for one in spellings(method, path)]
            for start in range(0, len(asked), 50):
                part = asked[start : start + 50]
                for request, answer in zip(
                    part, await asyncio.gather(*(raw(gateway, one) for one in part)), strict=True
                ):
                    assert not answer.startswith(b"HTTP/1.1 2"), (request, answer[:200])
            assert len(upstream.meter) == 0

    asyncio.run(run())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"host": "localhost.evil.example"}, 403),
        ({"host": "localhost:1/?"}, 403),
        ({"host": "localhost"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:3000"}, 200),
    ],
)
def test_an_open_gateway_serves_local_names_and_origins_only(
    headers: dict[str, str], status: int, tmp_path: Path
) -> None:
    """L6, E2: no page in a browser reaches an open gateway by another name."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"])
            assert (await gateway.post(path, body, **headers)).status == status
            assert (await gateway.get("/v1/models", **headers)).status == status

    asyncio.run(run())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com"])
def test_binding_beyond_loopback_without_a_key_is_refused(host: str) -> None:
    """L6: without a key only this machine is served."""
    with pytest.raises(ConfigError, match="EP_MASTER_KEY"):
        check_address(host, has_key=False)
    check_address(host, has_key=True)


def test_the_master_key_opens_everything(tmp_path: Path) -> None:
    async def run() -> None:
        environ = {"EP_MASTER_KEY": "sk-ep-master-9876543210"}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), environ) as gateway:
            assert (await gateway.get("/v1/config")).status == 401
            got = await gateway.get("/v1/config", x_api_key="sk-ep-master-9876543210")
            assert got.status == 200
            assert b"9876543210" not in got.body

    asyncio.run(run())


def test_building_a_gateway_opens_nothing_and_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    build(Settings({"EP_WORKSPACE_ROOT": str(tmp_path)}))
    assert capfd.readouterr().out == ""


def test_cookies_and_forged_identity_headers_change_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **KEYS)) as gateway:
            path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"])
            forged = {
                "cookie": "session=x",
                "x-tenant": "other",
                "baggage": "k=v",
                "openai-organization": "org",
                "x-user": "u",
            }
            async with aiohttp.ClientSession() as http:
                headers = {**forged, "authorization": "Bearer sk-ep-team-0123456789"}
                async with http.post(gateway.url + path, json=body, headers=headers) as response:
                    assert response.status == 200
            sent = {name.lower() for name in upstream.meter[0].headers}
            assert sent.isdisjoint(forged)

    asyncio.run(run())
