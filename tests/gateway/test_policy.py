"""Every path has a row in `roles.toml`, and the gateway does what the file says."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import APIRouter
from starlette.routing import Mount

from execution_platform.config.settings import Settings
from execution_platform.gateway.app import build
from execution_platform.gateway.endpoints import health
from execution_platform.gateway.matrix import ANY, matrix
from execution_platform.gateway.policy import PUBLIC_PATHS, check_rows
from execution_platform.gateway.routes import Routes
from execution_platform.identity.principal import ROLES
from execution_platform.identity.scope import ROUTE_CLASSES
from execution_platform.limits.failures import FailureLimiter
from execution_platform.testing import FakeUpstream
from gateway.test_keys import ENVIRON, bearer, made
from serving import Served, serving, three_vendors


def test_a_route_without_a_row_keeps_the_gateway_from_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """E3."""
    forgotten = APIRouter()

    @forgotten.get("/v1/forgotten")
    def handler() -> None: ...

    monkeypatch.setattr(health.router, "routes", [*health.router.routes, *forgotten.routes])
    with pytest.raises(RuntimeError, match="GET /v1/forgotten has no row"):
        build(Settings({"EP_WORKSPACE_ROOT": str(tmp_path)}))


def test_a_row_without_a_route_keeps_the_gateway_from_starting() -> None:
    with pytest.raises(RuntimeError, match="which does not exist"):
        check_rows([], ())
    with pytest.raises(TypeError):
        check_rows([Mount("/x", app=APIRouter())], ())


def test_only_health_and_login_are_public() -> None:
    assert all(path == "/" or "health" in path or path.startswith("/login") for path in PUBLIC_PATHS)
    assert all(not row.roles for row in matrix().values() if row.is_public)


def test_every_role_below_may_do_no_more_than_an_admin() -> None:
    for name, row in matrix().items():
        if not row.is_public:
            assert "admin" in row.roles, name
            if "member" in row.roles:
                assert "owner" in row.roles, name


def paths() -> Iterator[tuple[str, str, str]]:
    """Row, method and a path that exists, for every row and every spelling of an LLM path."""
    llm = {f"POST {path}": f"POST {spec.path}" for path, spec in Routes().exact.items()}
    for name in {**{name: name for name in matrix()}, **llm}:
        method, _, path = name.partition(" ")
        filled = re.sub(r"\{[a-z_]*(:path)?\}", "nothing", path)
        yield llm.get(name, name), method, filled


async def status(gateway: Served, method: str, path: str, key: str | None) -> tuple[int, str]:
    """The answer to an empty body: whoever may come in gets further than the door."""
    given = {} if key is None else bearer(key)
    async with gateway.http.request(method, gateway.url + path, data=b"", headers=given) as response:
        return response.status, response.headers.get("x-ep-error", "")


def test_every_role_meets_every_path_as_the_file_says(tmp_path: Path) -> None:
    """K6, E3: generated from the routes there are; any difference fails."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), ENVIRON) as gateway:
            keys = {role: (await made(gateway, name=role, role=role))["key"] for role in ROLES}
            seen = 0
            for name, method, path in paths():
                row = matrix()[name]
                gateway.gateway.state.failures = FailureLimiter()  # there are more paths than failures a minute
                anonymous, _ = await status(gateway, method, path, None)
                assert (anonymous == 401) is not row.is_public, (name, path)
                for role, key in keys.items():
                    if row.is_public:
                        continue
                    got, error = await status(gateway, method, path, key)
                    assert (error == "role_refused") is (role not in row.roles), (name, path, role, got)
                    assert got not in {401, 500}, (name, path, role)
                    seen += 1
            assert seen > 250

    asyncio.run(run())


@pytest.mark.parametrize("kind", ROUTE_CLASSES)
def test_a_key_for_one_kind_of_paths_meets_every_path_as_the_file_says(kind: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream), ENVIRON) as gateway:
            key = (await made(gateway, name=kind, role="admin", routes=[kind]))["key"]
            for name, method, path in paths():
                row = matrix()[name]
                if row.is_public:
                    continue
                _, error = await status(gateway, method, path, key)
                assert (error == "route_refused") is (row.kind not in {kind, ANY}), (name, path, kind)

    asyncio.run(run())
