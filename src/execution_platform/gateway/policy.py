"""Who may use a management route. The policy is attached to the route; a route without one does not start."""

from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from execution_platform.exceptions import PermissionDenied
from execution_platform.gateway.http import read_headers
from execution_platform.gateway.state import State
from execution_platform.runtime.call import Principal

PUBLIC_PATHS = frozenset({"/", "/health", "/v1/health", "/health/liveness", "/health/liveliness", "/health/readiness"})
"""The only routes that answer without a principal: what orchestrators and humans try first."""


def state_of(request: Request) -> State:
    """The process state behind a request."""
    state: State = request.app.state.gateway
    return state


def caller(request: Request) -> Principal:
    """The authenticated caller. Raises `AuthenticationError`."""
    return state_of(request).authenticator.authenticate(read_headers(request.scope))


def admin(request: Request) -> Principal:
    """The authenticated caller, if it is an admin. Raises `PermissionDenied`."""
    principal = caller(request)
    if not principal.admin:
        raise PermissionDenied("this needs an admin key")
    return principal


Caller = Annotated[Principal, Depends(caller)]
Admin = Annotated[Principal, Depends(admin)]
GatewayState = Annotated[State, Depends(state_of)]


class Policy(StrEnum):
    """The kinds of access."""

    PUBLIC = "public"
    CALLER = "caller"
    ADMIN = "admin"


def policy_of(route: BaseRoute) -> Policy:
    """The policy a route declares by depending on `caller` or `admin`. Raises `RuntimeError` when it has none, `TypeError` for what can have none."""
    if not isinstance(route, APIRoute):
        raise TypeError(f"{route!r} is no route that can declare a policy")
    calls = {dependency.call for dependency in route.dependant.dependencies}
    if admin in calls:
        return Policy.ADMIN
    if caller in calls:
        return Policy.CALLER
    if route.path in PUBLIC_PATHS:
        return Policy.PUBLIC
    raise RuntimeError(f"route {route.path} declares no policy")
