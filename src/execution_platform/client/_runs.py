"""Runs as clients see them, without any I/O: orders as requests, and what a run tells as events."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from execution_platform import _json
from execution_platform.client._core import Core, HttpRequest, Object, read_object
from execution_platform.dialects.native import decode_event
from execution_platform.exceptions import ErrorKind, ExecutionPlatformError, ProtocolError
from execution_platform.spi.usage import Usage

Mode = Literal["default", "acceptEdits", "plan", "bypassPermissions"]
RECONNECTS = 60
"""How often in a row a broken stream of events is taken up again, a second apart: a gateway that restarts goes on with its runs."""
RECONNECT_SECONDS = 1.0

EVENTS_OF_EPOCH = 1_000_000
"""Each time a run is taken up again its events are numbered on from the next multiple."""


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Something that happened in a run. `id` rises; `event` and `data` are as docs/reference/runs.md lists them."""

    id: int
    event: str
    data: Object


Approve = Callable[[RunEvent], bool]
"""Whether the call of an `approval_required` event may run."""
OnEvent = Callable[[RunEvent], None]


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended. `reason` is `stop` when the agent was done, else the name of the limit that stopped it."""

    id: str
    status: str
    reason: str
    text: str
    steps: int
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTool:
    """A function of this program as a tool of a run: the agent calls it, and it runs here."""

    name: str
    """None of the platform's tools."""
    description: str
    parameters: Object
    """JSON Schema of the arguments, an object."""
    run: Callable[[Object], object]
    """Gets the arguments; gives a text or JSON, or an awaitable of that. What it raises is told to the agent."""

    def described(self) -> Object:
        """What the gateway has to know of it."""
        return {"name": self.name, "description": self.description, "parameters": self.parameters}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What a run may be told beside its task."""

    model: str | None = None
    system: str | None = None
    tools: Sequence[str] | None = None
    """Names of the platform's tools; the persona's unless set."""
    own: Sequence[OwnTool] = ()
    """Tools of this program, besides."""
    limits: Mapping[str, float] = field(default_factory=dict[str, float])
    """`steps`, `depth`, `fan_out`, `seconds`, `tokens`, `cost_usd`, below those of the gateway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWishes:
    """Everything of a run but its task."""

    persona: str | None = None
    workspace: str | None = None
    mode: Mode | None = None
    options: RunOptions = field(default_factory=RunOptions)


def begin(core: Core, task: str, wishes: RunWishes) -> HttpRequest:
    """`POST /v1/runs`."""
    options = wishes.options
    body: Object = {
        "task": task,
        "persona": wishes.persona or core.persona,
        "workspace": wishes.workspace,
        "mode": wishes.mode,
        "model": options.model,
        "system": options.system,
        "tools": None if options.tools is None else list(options.tools),
        "caller_tools": [tool.described() for tool in options.own] or None,
        "limits": dict(options.limits) or None,
    }
    return core.post("/v1/runs", _json.dumps({name: value for name, value in body.items() if value is not None}))


def follow(core: Core, run_id: str, after: int) -> HttpRequest:
    """`GET /v1/runs/{id}/events`."""
    return core.get(f"/v1/runs/{run_id}/events", {"after": str(after)})


def decide(core: Core, run_id: str, event: RunEvent, *, allow: bool) -> HttpRequest:
    """`POST /v1/runs/{id}/approve`."""
    told = {"call": event.data["call"], "token": event.data["token"], "decision": "allow" if allow else "deny"}
    return core.post(f"/v1/runs/{run_id}/approve", _json.dumps(told))


def answer(core: Core, run_id: str, event: RunEvent, result: object, *, is_error: bool) -> HttpRequest:
    """`POST /v1/runs/{id}/answer`."""
    told = {"call": event.data["call"], "token": event.data["token"], "result": result, "is_error": is_error}
    return core.post(f"/v1/runs/{run_id}/answer", _json.dumps(told))


def act(core: Core, run_id: str, action: str) -> HttpRequest:
    """`POST /v1/runs/{id}/cancel` and the like."""
    return core.post(f"/v1/runs/{run_id}/{action}", b"{}")


def find(core: Core, run_id: str) -> HttpRequest:
    """`GET /v1/runs/{id}`."""
    return core.get(f"/v1/runs/{run_id}")


def read_id(body: bytes) -> str:
    """The id of a new run. Raises `ProtocolError`."""
    found = read_object(body).get("id")
    if not isinstance(found, str):
        raise ProtocolError("the gateway's answer names no run", kind=ErrorKind.PROTOCOL)
    return found


def read_result(body: bytes) -> RunResult:
    """A run that is over. Raises what it failed with."""
    wire = read_object(body)
    usage = cast("Object", wire.get("usage") or {})
    reason, error = str(wire.get("reason") or ""), wire.get("error")
    if isinstance(error, str) and error:
        code, _, message = error.partition(": ")
        raise _failure(code, message)
    return RunResult(
        str(wire.get("id")),
        str(wire.get("status")),
        reason,
        str(wire.get("answer") or ""),
        cast("int", wire.get("steps") or 0),
        Usage(
            cast("int | None", usage.get("input_tokens")),
            cast("int | None", usage.get("output_tokens")),
            cast("float | None", usage.get("cost_usd")),
        ),
    )


def _failure(code: str, message: str) -> ExecutionPlatformError:
    return decode_event({"error": message, "code": code, "retryable": False})


class EventReader:
    """The bytes of a run's stream as events."""

    def __init__(self, after: int = 0) -> None:
        self.last = after
        """The number of the newest event."""
        self.over = False
        """The run has ended: nothing follows."""
        self._held = b""

    def feed(self, data: bytes) -> list[RunEvent]:
        """The events that `data` completes. Raises `ProtocolError`."""
        *frames, self._held = (self._held + data).split(b"\n\n")
        return [event for frame in frames if (event := self._read(frame)) is not None]

    def again(self) -> None:
        """The connection broke: half an event comes once more."""
        self._held = b""

    def _read(self, frame: bytes) -> RunEvent | None:
        members = dict(line.split(b": ", 1) for line in frame.splitlines() if line and not line.startswith(b":"))
        if not members:
            return None
        try:
            number, name, data = int(members[b"id"]), members[b"event"].decode(), _json.loads(members[b"data"])
        except (KeyError, ValueError) as error:
            raise ProtocolError(f"an event of a run cannot be read ({error})", kind=ErrorKind.PROTOCOL) from error
        self.last = number
        self.over = self.over or name in {"done", "error"}
        return RunEvent(number, name, cast("Object", data) if isinstance(data, dict) else {})
