"""The management API: everything that is not an LLM path, on FastAPI, with `/docs` for both.

Every route is held to its row in `roles.toml` before its handler runs; a route without one is an error at start.
"""

from collections.abc import Awaitable, Callable

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from execution_platform import __version__, _json
from execution_platform.exceptions import (
    ErrorKind,
    ExecutionPlatformError,
    InvalidRequest,
    RouterError,
    UnprocessableRequest,
)
from execution_platform.gateway.docs import PAGE_HEADERS, page
from execution_platform.gateway.edge import Edge
from execution_platform.gateway.endpoints import (
    audit,
    budgets,
    capabilities,
    configuration,
    costs,
    explain,
    health,
    keys,
    login,
    mcp,
    models,
    notices,
    personas,
    prices,
    requests,
    responses,
    runs,
    tenants,
    tools,
)
from execution_platform.gateway.errors import InternalError, error_body, error_headers
from execution_platform.gateway.http import Receive, Scope, Send
from execution_platform.gateway.listing import dialect_of
from execution_platform.gateway.openapi import with_llm_paths
from execution_platform.gateway.policy import admit, check_rows
from execution_platform.gateway.routes import Routes
from execution_platform.gateway.state import State

App = Callable[[Scope, Receive, Send], Awaitable[None]]
MODULES = (
    audit,
    budgets,
    capabilities,
    configuration,
    costs,
    explain,
    health,
    keys,
    login,
    mcp,
    models,
    notices,
    personas,
    prices,
    requests,
    responses,
    runs,
    tenants,
    tools,
)
"""The routers of the management API."""
_STATUS_KINDS = {404: ErrorKind.NOT_FOUND, 405: ErrorKind.NOT_FOUND}


def management_api(state: State, routes: Routes) -> App:
    """The application for everything but LLM paths."""
    api = FastAPI(
        title="Execution Platform",
        version=__version__,
        summary="One gateway in front of every LLM provider, chosen by persona.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    api.state.gateway = state
    for module in MODULES:
        api.include_router(module.router, dependencies=[Depends(admit)])
    _handle_errors(api)
    api.add_api_route("/docs", _docs(api), dependencies=[Depends(admit)], include_in_schema=False)
    api.add_api_route("/openapi.json", _openapi(api), dependencies=[Depends(admit)], include_in_schema=False)
    own = [route for route in api.routes if isinstance(route, APIRoute)]
    included = [route for module in MODULES for route in module.router.routes]
    check_rows([*own, *included], (f"POST {spec.path}" for spec in routes.specs()))
    api.openapi = with_llm_paths(api, routes)  # type: ignore[method-assign] # FastAPI's documented way to extend it
    return Edge(api, state)


def _docs(api: FastAPI) -> Callable[[], Awaitable[Response]]:
    """The handler of `/docs`."""

    async def docs() -> Response:
        return Response(page(api.openapi()), media_type="text/html; charset=utf-8", headers=PAGE_HEADERS)

    return docs


def _openapi(api: FastAPI) -> Callable[[], Awaitable[Response]]:
    """The handler of `/openapi.json`."""

    async def openapi() -> Response:
        return Response(_json.dumps(api.openapi()), media_type="application/json")

    return openapi


def _handle_errors(api: FastAPI) -> None:
    """Every error in the OpenAI shape, which the native API uses."""

    async def ours(request: Request, error: Exception) -> Response:
        if not isinstance(error, ExecutionPlatformError):
            error = InternalError("the gateway failed; the cause is in its log")
        return _response(request, error, error.status)

    async def invalid(request: Request, error: Exception) -> Response:
        message, param = "the request is not valid", None
        if isinstance(error, RequestValidationError):
            first = error.errors()[0]
            param = ".".join(str(step) for step in first["loc"] if step != "body")
            message = f"{param or 'body'}: {first['msg']}"
        return _response(request, UnprocessableRequest(message, param=param), 422)

    async def plain(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        if status == 404:
            return _response(
                request, RouterError(f"there is nothing at {request.url.path}; see /docs", code="not_found"), 404
            )
        return _response(request, InvalidRequest(str(getattr(error, "detail", "the request failed"))), status)

    api.add_exception_handler(ExecutionPlatformError, ours)
    # Starlette raises it once more behind this answer, so that the edge can log it.
    api.add_exception_handler(Exception, ours)
    api.add_exception_handler(RequestValidationError, invalid)
    api.add_exception_handler(HTTPException, plain)


def _response(request: Request, error: ExecutionPlatformError, status: int) -> Response:
    state: State = request.app.state.gateway
    request_id: str = request.scope.get("ep.request_id", "")
    body = error_body(error, dialect_of(request.scope), request_id, state.snapshot.redactor)
    response = Response(body, status)
    for name, value in error_headers(error):
        response.headers[name.decode()] = value.decode()
    return response
