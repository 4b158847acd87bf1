"""Agent runs on the server: begin one, follow it, approve its calls, move it to another model, stop it, go on with it.

A member of a tenant has its own runs; who owns the tenant sees all of its runs, and an admin those of all. What a caller may not see
is not found (K4). Only the owner of a run approves its calls (A4).
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from execution_platform import _json
from execution_platform.config.values import PermissionMode
from execution_platform.dialects import dialect
from execution_platform.exceptions import InvalidRequest, RouterError, UnprocessableRequest
from execution_platform.gateway.policy import Caller, GatewayState
from execution_platform.gateway.state import State
from execution_platform.identity.principal import Principal
from execution_platform.ledger.money import NANOS
from execution_platform.runtime.agent.caller import Answer
from execution_platform.runtime.agent.log import numbered
from execution_platform.runtime.agent.order import Order, own_tools
from execution_platform.runtime.agent.runs import Runs, is_open
from execution_platform.runtime.agent.store import Row
from execution_platform.spi.tools import ToolDefinition
from execution_platform.tool_bridge.aliases import aliases

router = APIRouter(prefix="/v1/runs", tags=["runs"])
_BEAT_SECONDS = 15.0
_LONGEST_ANSWER = 512 * 1024
_POLL_SECONDS = 0.5
_BEAT = b": keep-alive\n\n"
_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}
_SHOWN = ("id", "tenant", "persona", "status", "reason", "model", "steps", "answer", "error", "epoch")


class RunLimits(BaseModel):
    """Limits of one run. They may be lower than those of the configuration, never higher."""

    model_config = ConfigDict(extra="forbid")

    steps: int | None = Field(default=None, ge=1, description="Turns of one agent.")
    depth: int | None = Field(default=None, ge=1, description="Agents below one another, the first included.")
    fan_out: int | None = Field(default=None, ge=1, description="Calls of one turn.")
    seconds: float | None = Field(default=None, gt=0, description="Wall time, without waiting for approvals.")
    tokens: int | None = Field(default=None, ge=1, description="Tokens of all turns.")
    cost_usd: float | None = Field(default=None, gt=0, description="US dollars of all turns.")


class CallerTool(BaseModel):
    """A tool that the caller runs itself."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$", description="Its name, none of the platform's.")
    description: str = Field(default="", max_length=8192, description="What the model reads of it.")
    parameters: dict[str, Any] | None = Field(default=None, description="JSON Schema of its arguments, an object.")


class NewRun(BaseModel):
    """A task for an agent: a text, or a whole conversation."""

    model_config = ConfigDict(extra="forbid")

    persona: str | None = Field(default=None, description="Who works on it.")
    task: str | None = Field(default=None, description="What is to be done.")
    messages: list[dict[str, Any]] | None = Field(default=None, description="A conversation, as on /v1/chat.")
    model: str | None = Field(default=None, description="Model; the persona's own choice unless set.")
    system: str | None = Field(default=None, description="System text.")
    tools: list[Any] | None = Field(default=None, description="Tools, as on /v1/chat; the persona's unless set.")
    caller_tools: list[CallerTool] = Field(
        default_factory=list[CallerTool],
        max_length=64,
        description="Tools of the caller: the run tells caller_call, waits for the answer, and goes on.",
    )
    max_tokens: int | None = Field(default=None, ge=1, description="Output tokens of one turn.")
    workspace: str | None = Field(default=None, description="Directory to work in; one of its own unless set.")
    mode: PermissionMode | None = Field(default=None, description="What may be done without asking.")
    limits: RunLimits = Field(default_factory=RunLimits, description="Limits below the configured ones.")


class Decision(BaseModel):
    """What the owner says to a call."""

    model_config = ConfigDict(extra="forbid")

    call: str = Field(description="The call, as the event approval_required names it.")
    token: str = Field(description="The token of that event: it stands for this call with these arguments.")
    decision: Literal["allow", "deny"] = Field(description="Whether it may run.")


class CallerAnswer(BaseModel):
    """What a tool of the caller gave."""

    model_config = ConfigDict(extra="forbid")

    call: str = Field(description="The call, as the event caller_call names it.")
    token: str = Field(description="The token of that event.")
    result: Any = Field(description="What the tool gave: a text, or JSON.")
    is_error: bool = Field(default=False, description="Whether it failed; then the result says how.")


class Move(BaseModel):
    """Where the next turns go."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1, description="provider/model, an alias or a logical model.")


@router.post("", status_code=201)
async def begin_run(state: GatewayState, principal: Caller, asked: NewRun) -> dict[str, Any]:
    """Begin a run; it goes on whether or not anybody follows it. 404 for an unknown persona, 403 for a workspace outside."""
    order = _order(state, principal, asked)
    run = await runs_of(state).begin(order)
    row = await runs_of(state).store.find(run.run_id, principal.tenant)
    return _view(row or {})


@router.get("")
async def list_runs(
    state: GatewayState,
    principal: Caller,
    *,
    status: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """The caller's runs, the newest first; those of the tenant for its owner."""
    owner = principal.subject if principal.role in {"member", "viewer"} else None
    rows = await runs_of(state).store.page(principal.only, owner=owner, status=status, limit=limit)
    return {"runs": [_view(row) for row in rows]}


@router.get("/{run_id}")
async def get_run(run_id: str, state: GatewayState, principal: Caller) -> dict[str, Any]:
    """How a run stands."""
    return _view(await _seen(state, principal, run_id))


@router.get("/{run_id}/events")
async def run_events(
    run_id: str,
    state: GatewayState,
    principal: Caller,
    after: Annotated[int, Query(ge=0, description="Number of the last event that is known.")] = 0,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """What a run tells, from the beginning or behind a known event, until it is over: the native stream with numbered events."""
    row = await _seen(state, principal, run_id)
    known = int(last_event_id) if last_event_id is not None and last_event_id.isdecimal() else after
    stream = _events(runs_of(state), row, known)
    return StreamingResponse(stream, media_type="text/event-stream", headers=_HEADERS)


@router.post("/{run_id}/cancel")
async def cancel_run(run_id: str, state: GatewayState, principal: Caller) -> dict[str, Any]:
    """Stop a run: the model's answer is closed and running tools are ended. A run that is over stays as it is."""
    await _seen(state, principal, run_id)
    return {"id": run_id, "cancelled": await runs_of(state).cancel(run_id)}


@router.post("/{run_id}/approve")
async def approve_call(run_id: str, state: GatewayState, principal: Caller, said: Decision) -> dict[str, Any]:
    """Allow or deny a call that waits. 403 for a token that is used, too old, of another call or for another owner."""
    row = await _seen(state, principal, run_id)
    await runs_of(state).decide(row, said.call, said.token, said.decision, principal.subject)
    return {"id": run_id, "call": said.call, "decision": said.decision}


@router.post("/{run_id}/answer")
async def answer_call(run_id: str, state: GatewayState, principal: Caller, said: CallerAnswer) -> dict[str, Any]:
    """Give a run what a tool of the caller gave. 403 for a token that is used, too old, of another call or for another owner."""
    row = await _seen(state, principal, run_id)
    text = said.result if isinstance(said.result, str) else _json.dumps(said.result).decode()
    if len(text) > _LONGEST_ANSWER:
        raise UnprocessableRequest(f"result: longer than {_LONGEST_ANSWER} characters; shorten it", param="result")
    await runs_of(state).answer(row, said.call, said.token, Answer(text, said.is_error), principal.subject)
    return {"id": run_id, "call": said.call, "answered": True}


@router.post("/{run_id}/move")
async def move_run(run_id: str, state: GatewayState, principal: Caller, to: Move) -> dict[str, Any]:
    """Let the next turns of a run go to another model. What only the first provider can read stays behind, and that is told."""
    await _seen(state, principal, run_id)
    return {"id": run_id, "moved": await runs_of(state).move(run_id, to.model)}


@router.post("/{run_id}/resume")
async def resume_run(run_id: str, state: GatewayState, principal: Caller) -> dict[str, Any]:
    """Go on with a run that failed or was stopped, from the last turn that is written down."""
    row = await _seen(state, principal, run_id)
    await runs_of(state).again(row)
    return _view(await _seen(state, principal, run_id))


def runs_of(state: State) -> Runs:
    """The runs of this process."""
    return state.running.runs


def _order(state: State, principal: Principal, asked: NewRun) -> Order:
    if (asked.task is None) == (asked.messages is None):
        raise UnprocessableRequest("task: give either task, a text, or messages, a conversation", param="task")
    body: dict[str, object] = {"messages": asked.messages or [{"role": "user", "content": asked.task}]}
    for name in ("model", "system", "tools", "max_tokens"):
        value = getattr(asked, name)
        if value is not None:
            body[name] = value
    request = dialect("native").decode_request(_json.dumps(body))
    if asked.persona is None and asked.model is None:
        raise InvalidRequest("persona: name the persona that works on it, or a model", param="persona")
    route = state.snapshot.routing.route(asked.model, asked.persona, {})
    persona = "" if route.persona is None else route.persona.name
    limits = {name: value for name, value in asked.limits.model_dump().items() if value is not None}
    return Order(
        request=request,
        principal=principal,
        persona=persona,
        workspace=asked.workspace,
        mode=asked.mode,
        limits=limits,
        own=_own(state, asked.caller_tools),
    )


def _own(state: State, tools: Sequence[CallerTool]) -> tuple[ToolDefinition, ...]:
    """The caller's tools. Raises `UnprocessableRequest` for names that are taken."""
    names = [tool.name for tool in tools]
    taken = {tool.name for tool in state.tools.tools()} | aliases().keys()
    for place, name in enumerate(names):
        if name in taken or names.index(name) != place:
            raise UnprocessableRequest(
                f"caller_tools.{place}.name: {name} is the name of another tool; give this one another name",
                param="caller_tools",
            )
    return own_tools([tool.model_dump() for tool in tools])


async def _seen(state: State, principal: Principal, run_id: str) -> Row:
    """A run the caller may see. Raises `RouterError`."""
    row = await runs_of(state).store.find(run_id, principal.only)
    own = row is not None and (principal.role in {"admin", "owner"} or row["owner"] == principal.subject)
    if row is None or not own:
        raise RouterError(f"there is no run {run_id}", code="not_found")
    return row


def _view(row: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: row.get(name) for name in _SHOWN}
    usage = {"input_tokens": row["input_tokens"], "output_tokens": row["output_tokens"]}
    moments = {name: _moment(row.get(name)) for name in ("created_at", "updated_at", "finished_at")}
    options = _json.loads(row["options"])
    told = {name: options.get(name) for name in ("workspace", "mode", "limits")} if isinstance(options, dict) else {}  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - JSON of ours
    return {**shown, "usage": {**usage, "cost_usd": row["cost_nanos"] / NANOS}, **told, **moments}


def _moment(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


async def _events(runs: Runs, row: Row, after: int) -> AsyncGenerator[bytes]:
    """Numbered frames: those of the database, then those of the run as it works, here or elsewhere."""
    run_id = str(row["id"])
    while True:
        run = runs.active(run_id)
        if run is None or after + 1 < run.log.first:
            found = [event for frames in await runs.store.frames(run_id, after) for event in numbered(frames, after)]
            if found:
                after = found[-1][0]
                yield _numbered(found)
        if run is not None:
            async for batch in run.log.follow(after, _BEAT_SECONDS):
                if batch:
                    after = batch[-1][0]
                yield _numbered(batch) if batch else _BEAT
            return
        current = await runs.store.find(run_id, None)
        if current is None or not is_open(current):
            rest = [event for frames in await runs.store.frames(run_id, after) for event in numbered(frames, after)]
            if rest:
                yield _numbered(rest)
            return
        yield _BEAT
        await asyncio.sleep(_POLL_SECONDS)


def _numbered(events: Sequence[tuple[int, bytes]]) -> bytes:
    return b"".join(b"id: %d\n%b" % (number, frame) for number, frame in events)
