"""Kept responses: look at one and at what it was made of, and forget it. What a caller may not see is not found (K4)."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from execution_platform.dialects.openai_responses.kept import context, listed
from execution_platform.dialects.take import Object
from execution_platform.exceptions import InvalidRequest
from execution_platform.gateway.policy import Caller, GatewayState
from execution_platform.gateway.responses import Responses
from execution_platform.gateway.state import State
from execution_platform.identity.principal import Principal
from execution_platform.responses.store import Kept, Reader, not_kept

router = APIRouter(tags=["responses"])
_PAGE = 100
_ID = "response_id"


@router.get("/v1/responses/{response_id}")
@router.get("/openai/v1/responses/{response_id}", include_in_schema=False)
@router.get("/openai/responses/{response_id}", include_in_schema=False)
async def get_response(
    response_id: str,
    state: GatewayState,
    principal: Caller,
    stream: Annotated[bool, Query(description="Only of responses in the background, which there are none of.")] = False,  # noqa: FBT002 - a query parameter
) -> Object:
    """One kept response. 404 when it is not kept, or another's."""
    if stream:
        raise InvalidRequest("stream: the response is complete; leave it out", param="stream")
    return (await _found(state, principal, response_id)).turn.response


@router.delete("/v1/responses/{response_id}")
@router.delete("/openai/v1/responses/{response_id}", include_in_schema=False)
@router.delete("/openai/responses/{response_id}", include_in_schema=False)
async def delete_response(response_id: str, state: GatewayState, principal: Caller) -> dict[str, Any]:
    """Forget one response. Turns behind it cannot be continued any more."""
    kept = state.responses
    if not await kept.store.delete(response_id, kept.reader(principal)):
        raise not_kept(response_id, _ID)
    return {"id": response_id, "object": "response", "deleted": True}


@router.get("/v1/responses/{response_id}/input_items")
@router.get("/openai/v1/responses/{response_id}/input_items", include_in_schema=False)
@router.get("/openai/responses/{response_id}/input_items", include_in_schema=False)
async def input_items(
    response_id: str,
    state: GatewayState,
    principal: Caller,
    *,
    limit: Annotated[int, Query(ge=1, le=_PAGE)] = 20,
    order: Literal["asc", "desc"] = "desc",
    after: Annotated[str | None, Query(description="The id of the last item that is known.")] = None,
) -> dict[str, Any]:
    """What a response was made of, the conversation before it included; the newest first unless ordered otherwise."""
    items = await _input(state.responses, await _found(state, principal, response_id))
    if order == "desc":
        items.reverse()
    if after is not None:
        place = next((number for number, item in enumerate(items) if item["id"] == after), None)
        if place is None:
            raise InvalidRequest("after: there is no such item in this response", param="after")
        items = items[place + 1 :]
    shown = items[:limit]
    ends = {"first_id": shown[0]["id"], "last_id": shown[-1]["id"]} if shown else {"first_id": None, "last_id": None}
    return {"object": "list", "data": shown, **ends, "has_more": len(items) > limit}


@router.post("/v1/responses/{response_id}/cancel")
@router.post("/openai/v1/responses/{response_id}/cancel", include_in_schema=False)
@router.post("/openai/responses/{response_id}/cancel", include_in_schema=False)
async def cancel_response(response_id: str, state: GatewayState, principal: Caller) -> Object:
    """400: only a response in the background can be cancelled, and there are none. Who closes its connection cancels its response."""
    await _found(state, principal, response_id)
    raise InvalidRequest(
        f"response {response_id} is complete: only responses in the background can be cancelled", param=_ID
    )


async def _found(state: State, principal: Principal, response_id: str) -> Kept:
    """A response that the caller may see. Raises `RouterError`."""
    kept = state.responses
    found = await kept.store.find(response_id, kept.reader(principal))
    if found is None:
        raise not_kept(response_id, _ID)
    return found


async def _input(responses: Responses, kept: Kept) -> list[Object]:
    """Everything the model was given, as far as it is still kept."""
    before: list[Object] = []
    if kept.previous_id is not None:
        reader = Reader(kept.tenant, None, responses.keep_time(kept.tenant))
        before = context(await responses.store.chain(kept.previous_id, reader, _ID))
    return listed([*before, *kept.turn.input], kept.id)
