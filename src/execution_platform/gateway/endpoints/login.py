"""Login of people at their provider, and their sessions: for management and the console, never for LLM paths."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from execution_platform.exceptions import RateLimited
from execution_platform.gateway.endpoints.keys import told
from execution_platform.gateway.people import BEGUN, COOKIE, cookie_of
from execution_platform.gateway.policy import Caller, GatewayState, RequestId
from execution_platform.identity.oidc import LoginFailed
from execution_platform.identity.people import Person

router = APIRouter(tags=["people"])
_PAGE = 100
_WELCOME = '<!doctype html><meta http-equiv="refresh" content="0;url=/docs"><a href="/docs">Continue</a>'
_PAGE_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'",
    "referrer-policy": "no-referrer",
}


@router.get("/login")
async def login(request: Request, state: GatewayState) -> Response:
    """Go to the provider to log in. 404 when none is configured."""
    provider = state.login.provider()
    wait = state.failures.note(state.peers.client(request.scope))
    if wait:
        raise RateLimited("too many logins from this address", code="too_many_failures", retry_after=wait)
    begun = await state.login.people.begin()
    answer = RedirectResponse(await provider.address(begun), 302, headers={"cache-control": "no-store"})
    # Lax, for it has to come back with a redirect of the provider's.
    answer.set_cookie(BEGUN, begun.state, max_age=600, path="/", secure=True, httponly=True, samesite="lax")
    return answer


@router.get("/login/callback")
async def callback(
    request: Request,
    state: GatewayState,
    code: Annotated[str, Query(max_length=4096)] = "",
    given: Annotated[str, Query(alias="state", max_length=200)] = "",
) -> Response:
    """Back from the provider: the session cookie for who it vouches for. 400 when this is not the login that was begun."""
    provider = state.login.provider()
    own = cookie_of(request.scope, BEGUN)
    begun = None if own is None or own != given else await state.login.people.finish(given)
    if begun is None or not code:
        raise LoginFailed("this login is unknown, used or too old; begin again at /login")
    person = await provider.person(begun, code)
    cookie = await state.login.people.enter(person, provider.config.session_hours)
    # A page and no redirect: the session's cookie goes with what this page asks for, not with what another site sent here.
    answer = Response(_WELCOME, media_type="text/html", headers=_PAGE_HEADERS)
    answer.delete_cookie(BEGUN, path="/", secure=True, httponly=True, samesite="lax")
    seconds = int(provider.config.session_hours * 3600)
    answer.set_cookie(COOKIE, cookie.reveal(), max_age=seconds, path="/", secure=True, httponly=True, samesite="strict")
    return answer


@router.post("/logout", status_code=204)
async def logout(request: Request, state: GatewayState, _: Caller) -> Response:
    """End the session, on every replica."""
    cookie = cookie_of(request.scope)
    if cookie is not None:
        await state.login.people.leave(cookie)
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return answer


@router.get("/v1/session")
def session(principal: Caller) -> dict[str, Any]:
    """Who asks: name, tenant and role."""
    return {"name": principal.name, "tenant": principal.tenant, "role": principal.role}


@router.get("/v1/users")
async def list_users(
    state: GatewayState,
    principal: Caller,
    after: Annotated[str, Query(pattern=r"^([0-9a-f-]{36})?$")] = "",
    limit: Annotated[int, Query(ge=1, le=_PAGE)] = _PAGE,
) -> dict[str, Any]:
    """People who have logged in, in pages; `next` is the `after` of the following one. Others than admins see their tenant's."""
    found = await state.login.people.page(principal.only, after, limit + 1)
    page = found[:limit]
    return {"users": [_shown(person) for person in page], "next": page[-1].id if len(found) > limit else None}


@router.delete("/v1/users/{user_id}", status_code=204)
async def disable_user(user_id: str, state: GatewayState, principal: Caller, request_id: RequestId) -> None:
    """End somebody's sessions and refuse their next login."""
    await state.login.people.disable(principal, user_id, request_id)


def _shown(person: Person) -> dict[str, Any]:
    return {
        "id": person.id,
        "tenant": person.tenant,
        "email": person.email,
        "role": person.role,
        "created_at": told(person.created_at),
        "last_login_at": told(person.last_login_at),
        "disabled_at": told(person.disabled_at),
    }
