"""The control paths, for tests in another process: scripts in, meter out, all JSON.

| path | |
|---|---|
| `POST /__script` | `{"scripts": [...], "model"?, "path"?, "dialect"?, "operation"?, "once"?}` or one script |
| `GET /__meter` | `{"exchanges", "totals", "connections_open", "problems"}`; `?closed=N&within=S` waits for exchange N to end |
| `GET /__gate/NAME` | `?arrived=N&within=S` waits until N have come to the gate |
| `POST /__release` | `{"gate": NAME, "passes"?: N}`: open for good, or let N through |
| `POST /__connect` | `{"mode": "serve", "fin", "rst" or "ignore"}`: what happens to new sockets |
| `POST /__reset` | drop scripts, gates and entries |

Control requests are not in the meter, nor are sockets that bring nothing else.
"""

from collections.abc import Callable
from typing import Literal, Protocol, cast

import msgspec

from execution_platform import _json
from execution_platform.testing.connection import AtConnect, RawRequest
from execution_platform.testing.frames import Dialect, Operation
from execution_platform.testing.gate import Gate
from execution_platform.testing.meter import Exchange, Meter
from execution_platform.testing.rules import Predicate
from execution_platform.testing.script import Reply, Script, ScriptError, script_from_json

_Result = tuple[int, object]


class Controlled(Protocol):
    """The part of an upstream that the control paths reach."""

    meter: Meter
    at_connect: AtConnect
    problems: list[ScriptError]

    def script(
        self,
        *scripts: Script | Reply,
        model: str | None = None,
        path: str | None = None,
        dialect: Dialect | None = None,
        operation: Operation | Literal["any"] = "chat",
        when: Predicate | None = None,
        once: bool = False,
    ) -> None:
        """Add a rule."""
        ...

    def gate(self, name: str) -> Gate:
        """The gate of this name."""
        ...

    def reset(self) -> None:
        """Drop scripts, gates and entries."""
        ...

    async def wait_closed(self, index: int = 0, *, within: float = 5.0) -> Exchange:
        """Wait until an exchange is over."""
        ...


class ScriptOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /__script`."""

    scripts: list[object]
    model: str | None = None
    path: str | None = None
    dialect: Dialect | None = None
    operation: Operation | Literal["any"] = "chat"
    once: bool = False


class ReleaseOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /__release`."""

    gate: str
    passes: int | None = None


class ConnectOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /__connect`."""

    mode: AtConnect


async def answer_control(upstream: Controlled, request: RawRequest) -> bytes:
    """Carry out a control request and write the whole HTTP response."""
    try:
        status, result = await _dispatch(upstream, request)
    except TimeoutError:
        status, result = 504, {"error": "it did not happen in time"}
    except ValueError as error:
        status, result = 400, {"error": str(error)}
    body = _json.dumps(result)
    head = f"HTTP/1.1 {status} Control\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def add_scripts(upstream: Controlled, value: object) -> int:
    """Add the scripts of decoded JSON, as `POST /__script` and `--script` take it; tells how many.

    Raises:
        ValueError: with the path and the problem.
    """
    found: object = value
    if not isinstance(value, dict) or "scripts" not in value:
        found = {"scripts": cast("object", value) if isinstance(value, list) else [cast("object", value)]}
    order = msgspec.convert(found, ScriptOrder)
    scripts = [script_from_json(script, upstream.gate) for script in order.scripts]
    upstream.script(
        *scripts,
        model=order.model,
        path=order.path,
        dialect=order.dialect,
        operation=order.operation,
        once=order.once,
    )
    return len(scripts)


async def _dispatch(upstream: Controlled, request: RawRequest) -> _Result:
    path = request.path()
    if path == "/__meter" and request.method == "GET":
        return await _meter(upstream, request.query())
    if path.startswith("/__gate/") and request.method == "GET":
        query = request.query()
        gate = upstream.gate(path.removeprefix("/__gate/"))
        await gate.reached(int(query.get("arrived", "1")), within=float(query.get("within", "5")))
        return 200, {"arrived": gate.arrived, "open": gate.is_open}
    orders: dict[str, Callable[[Controlled, bytes], _Result]] = {
        "/__script": _script,
        "/__release": _release,
        "/__connect": _connect,
        "/__reset": _reset,
    }
    if request.method != "POST" or path not in orders:
        return 404, {"error": f"no control path {request.method} {path}; POST knows {', '.join(orders)}"}
    return orders[path](upstream, request.body)


def _script(upstream: Controlled, body: bytes) -> _Result:
    return 200, {"scripts": add_scripts(upstream, _json.loads(body))}


def _release(upstream: Controlled, body: bytes) -> _Result:
    order = msgspec.convert(_json.loads(body), ReleaseOrder)
    gate = upstream.gate(order.gate)
    if order.passes is None:
        gate.release()
    else:
        gate.step(order.passes)
    return 200, {"gate": order.gate}


def _connect(upstream: Controlled, body: bytes) -> _Result:
    upstream.at_connect = msgspec.convert(_json.loads(body), ConnectOrder).mode
    return 200, {"mode": upstream.at_connect}


def _reset(upstream: Controlled, body: bytes) -> _Result:
    del body
    upstream.reset()
    return 200, {}


async def _meter(upstream: Controlled, query: dict[str, str]) -> _Result:
    if "closed" in query:
        await upstream.wait_closed(int(query["closed"]), within=float(query.get("within", "5")))
    meter = upstream.meter
    return 200, {
        "exchanges": [exchange.to_json() for exchange in meter.exchanges],
        "totals": cast("object", meter.totals()),
        "connections_open": meter.connections_open,
        "problems": [str(problem) for problem in upstream.problems],
    }
