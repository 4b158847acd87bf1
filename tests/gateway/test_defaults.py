"""What an installation gets when nobody thinks of it: nothing that others can reach, read or guess."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from child import SOURCE
from execution_platform.client import AsyncExecutionPlatformClient
from execution_platform.exceptions import BudgetExceeded
from execution_platform.testing import FakeUpstream
from gateway.watching import Log
from serving import MODELS, chat_body, serving, three_vendors

OPEN_TO_ALL = ("--host", "0.0.0.0")
KEY = "sk-ep-boss-0123456789"
WRONG: dict[str, tuple[dict[str, Any], dict[str, str], tuple[str, ...], str]] = {
    "no key beyond this machine": ({}, {}, OPEN_TO_ALL, "EP_MASTER_KEY"),
    "a short key": ({}, {"EP_MASTER_KEY": "abc123"}, OPEN_TO_ALL, "openssl rand"),
    "a key of examples": ({}, {"EP_MASTER_KEY": "replace-with-a-long-random-value"}, OPEN_TO_ALL, "openssl rand"),
    "another one": ({"keys": [{"name": "a", "key": "sk-1234", "admin": True}]}, {}, OPEN_TO_ALL, "sk-1234"),
    "an empty key": ({"keys": [{"name": "a", "key": ""}]}, {}, (), "keys.0.key"),
    "a variable that is not set": ({"keys": [{"name": "a", "key": "${NOT_SET_ANYWHERE}"}]}, {}, (), "NOT_SET_ANYWHERE"),
    "an unknown section": ({"authentication": False}, {}, (), "authentication"),
    "a proxy from anywhere": ({"trusted_proxies": ["everybody"]}, {}, (), "trusted_proxies"),
    "a key in an address": (
        {"providers": {"x": {"kind": "openai", "base_url": "https://user:secret-pass@h/v1", "api_key": "k"}}},
        {},
        (),
        "base URL",
    ),
}


@pytest.mark.parametrize(("config", "environ", "options", "reason"), WRONG.values(), ids=WRONG)
def test_an_unsafe_configuration_does_not_start(
    config: dict[str, Any], environ: dict[str, str], options: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    """L6: exit status 2 with the reason, before anything listens."""
    (tmp_path / "platform.yaml").write_text(yaml.safe_dump({"version": 1, **config}))
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", "from execution_platform.cli.main import main; main()", "serve", "--config", "platform.yaml",
         "--port", "0", *options],
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": str(SOURCE), "EP_WORKSPACE_ROOT": str(tmp_path), "EP_PROVIDER": "mock", **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )  # fmt: skip
    assert (done.returncode, reason in done.stderr.decode() or reason == "sk-1234") == (2, True), done.stderr
    assert b"secret-pass" not in done.stderr
    assert b"sk-1234" not in done.stderr


PUBLIC = ("/", "/health", "/v1/health", "/health/liveness", "/health/readiness")


def test_without_a_key_nobody_reads_more_than_that_the_process_lives(tmp_path: Path) -> None:
    """S5: neither metrics nor providers, models, addresses, tenants or keys."""

    async def run() -> None:
        environ = {"EP_REDIS_URL": "redis://127.0.0.1:1/0"}
        keys = [{"name": "team-of-seven", "key": KEY, "tenant": "acme-tenant"}]
        async with (
            FakeUpstream() as upstream,
            serving(tmp_path, three_vendors(upstream, keys=keys), environ) as gateway,
        ):
            for path in PUBLIC:
                got = await gateway.get(path)
                assert got.status == 200, (path, got.body)
                told = got.body.decode()
                for secret in ("gpt-4o", "127.0.0.1", "team-of-seven", "acme-tenant", "canary", str(tmp_path), ":1/0"):
                    assert secret not in told, (path, secret)
            for path in ("/metrics", "/v1/health/providers", "/v1/models", "/v1/config", "/openapi.json", "/docs"):
                assert (await gateway.get(path)).status == 401, path
                assert (await gateway.get(path, authorization="Bearer wrong")).status == 401, path

    asyncio.run(run())


AWAY = {
    "EP_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "EP_REDIS_URL": "redis://127.0.0.1:1/0",
    "EP_KEY_PEPPER": "pepper-of-the-test-0123456789abcdef",
}


@pytest.mark.parametrize("static", [False, True], ids=["issued keys", "keys of the configuration"])
def test_without_database_and_redis_the_keys_of_the_configuration_serve_and_others_are_503(
    static: bool, tmp_path: Path
) -> None:
    """R11: never 401, the process lives, and readiness says what is missing."""

    async def run() -> None:
        keys: dict[str, Any] = {"keys": [{"name": "boss", "key": KEY}]} if static else {}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **keys), AWAY) as gateway:
            path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"])
            got = await gateway.post(path, body, x_api_key=KEY)
            assert (await gateway.get("/health/liveness")).status == 200
            if static:
                assert got.status == 200, got.body
                assert (await gateway.get("/health/readiness")).status == 200
                return
            assert (got.status, got.json()["error"]["code"]) == (503, "auth_backend_unavailable"), got.body
            assert got.header("retry-after") == "2"
            async with asyncio.timeout(5):
                while (ready := await gateway.get("/health/readiness")).status == 200:
                    await asyncio.sleep(0.05)
            assert ready.status == 503
            assert "database" in ready.json()["reason"]
            assert len(upstream.meter) == 0

    asyncio.run(run())


def test_our_sdk_asks_once_when_the_budget_is_used_up(tmp_path: Path) -> None:
    """B7: the refusal says that trying again is of no use, and nobody tries."""

    async def run() -> None:
        async with FakeUpstream() as upstream:
            config = three_vendors(upstream, budgets={"limits": [{"period": "monthly", "usd": 0.000001}]})
            async with serving(tmp_path, config) as gateway:
                log = Log(gateway, tmp_path)
                client = AsyncExecutionPlatformClient(gateway.url)
                with pytest.raises(BudgetExceeded):
                    await client.chat("hi", model=MODELS["openai_chat"])
                await client.close()
                assert len(await log.requests(1)) == 1
                for dialect in ("openai_chat", "anthropic", "gemini", "native"):
                    got = await gateway.post(*chat_body(dialect, "hi", MODELS["openai_chat"]))
                    assert got.status in {402, 429}
                    assert got.header("x-should-retry") == "false"
            assert len(upstream.meter) == 0

    asyncio.run(run())
