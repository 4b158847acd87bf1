"""Routes declare who may use them; one that does not keeps the gateway from starting."""

from pathlib import Path

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import Mount

from execution_platform.config.settings import Settings
from execution_platform.gateway.app import build
from execution_platform.gateway.endpoints import health
from execution_platform.gateway.policy import PUBLIC_PATHS, Admin, Caller, Policy, policy_of


def only_route(router: APIRouter) -> APIRoute:
    (route,) = router.routes
    assert isinstance(route, APIRoute)
    return route


def test_the_policy_is_what_the_route_depends_on() -> None:
    callers, admins, nobody = APIRouter(), APIRouter(), APIRouter()

    @callers.get("/x")
    def of_callers(_: Caller) -> None: ...

    @admins.get("/x")
    def of_admins(_: Admin) -> None: ...

    @nobody.get("/x")
    def of_nobody() -> None: ...

    assert policy_of(only_route(callers)) is Policy.CALLER
    assert policy_of(only_route(admins)) is Policy.ADMIN
    with pytest.raises(RuntimeError, match="/x declares no policy"):
        policy_of(only_route(nobody))
    with pytest.raises(TypeError):
        policy_of(Mount("/x", app=APIRouter()))


def test_a_route_without_a_policy_keeps_the_gateway_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_route = APIRouter()

    @open_route.get("/v1/forgotten")
    def forgotten() -> None: ...

    monkeypatch.setattr(health.router, "routes", [*health.router.routes, only_route(open_route)])
    with pytest.raises(RuntimeError, match="/v1/forgotten"):
        build(Settings({"EP_WORKSPACE_ROOT": str(tmp_path)}))


def test_only_health_is_public() -> None:
    assert all(path == "/" or "health" in path for path in PUBLIC_PATHS)
