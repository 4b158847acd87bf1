"""The rows of `roles.toml` put before the management routes. A route without a row does not start."""

from collections.abc import Iterable
from typing import Annotated

from fastapi import Depends, Request
from starlette.routing import BaseRoute, Route

from execution_platform.exceptions import AuthenticationError
from execution_platform.gateway.matrix import access_of, matrix, permit
from execution_platform.gateway.state import State
from execution_platform.identity.principal import Principal

PUBLIC_PATHS = frozenset(name.partition(" ")[2] for name, row in matrix().items() if row.is_public)
"""The only routes that answer without a principal: what orchestrators and humans try first."""

PRINCIPAL = "ep.principal"
"""Where the edge puts the caller into the scope of a request."""


def state_of(request: Request) -> State:
    """The process state behind a request."""
    state: State = request.app.state.gateway
    return state


def caller(request: Request) -> Principal:
    """The authenticated caller. Raises `AuthenticationError`."""
    principal: Principal | None = request.scope.get(PRINCIPAL)
    if principal is None:
        raise AuthenticationError("this path needs a gateway key")
    return principal


def admit(request: Request) -> None:
    """Hold the route that was found to its row. Raises `AuthenticationError`, `PermissionDenied`."""
    route: Route = request.scope["route"]
    access = access_of(request.method, route.path)
    if not access.is_public:
        permit(caller(request), access)


def request_id(request: Request) -> str:
    """The id of a request, for the audit trail."""
    found: str = request.scope.get("ep.request_id", "")
    return found


Caller = Annotated[Principal, Depends(caller)]
GatewayState = Annotated[State, Depends(state_of)]
RequestId = Annotated[str, Depends(request_id)]


def check_rows(routes: Iterable[BaseRoute], others: Iterable[str]) -> None:
    """Hold the file to the routes there are; `others` are rows of LLM paths. Raises `RuntimeError`, `TypeError`."""
    found = set(others)
    for route in routes:
        if not isinstance(route, Route):
            raise TypeError(f"{route!r} is no route that can have a row")
        for method in route.methods or ():
            access_of(method, route.path)
            found.add(f"{method} {route.path}")
    stale = sorted(matrix().keys() - found)
    if stale:
        raise RuntimeError(f"roles.toml has a row for {stale[0]}, which does not exist")
