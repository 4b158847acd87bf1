"""Health for orchestrators and people, and the metrics."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from execution_platform import __version__, _json
from execution_platform.gateway.policy import Caller, GatewayState
from execution_platform.gateway.upstreams import show_upstreams

router = APIRouter(tags=["health"])


@router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
def root(state: GatewayState) -> dict[str, str]:
    """Where to go from here."""
    return {"name": "execution-platform", "version": __version__, "docs": "/docs", "health": "/health"}


@router.get("/health")
@router.get("/v1/health")
def health(state: GatewayState) -> dict[str, Any]:
    """Liveness and how many providers are ready."""
    configured = [name for name, view in state.provider_views().items() if view["configured"]]
    return {
        "status": "ok",
        "version": __version__,
        "config": state.snapshot.version,
        "providers": {"configured": len(configured), "default": state.snapshot.default_provider},
        **state.shared_view(),
    }


@router.get("/health/liveness")
@router.get("/health/liveliness", include_in_schema=False)
def liveness(state: GatewayState) -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/health/readiness")
def readiness(state: GatewayState) -> Response:
    """Whether requests can be served; 503 with the reason when not."""
    reason = state.not_ready()
    if reason is None:
        return Response(_json.dumps({"status": "ready", **state.shared_view()}), media_type="application/json")
    told = {"status": "not ready", "reason": reason, **state.shared_view()}
    return Response(_json.dumps(told), 503, media_type="application/json")


@router.get("/v1/health/providers")
def providers(state: GatewayState, _: Caller) -> dict[str, Any]:
    """Each provider: whether it can be used, and why not."""
    return {"providers": state.provider_views()}


@router.get("/metrics")
async def metrics(state: GatewayState, _: Caller) -> Response:
    """Prometheus text; where several workers share the address, of all of them."""
    state.bookkeeping.gauge()
    show_upstreams(state.metrics, state.snapshot)
    text = state.metrics.render() if state.siblings is None else await state.siblings.render()
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
