"""`FakeUpstream`: a server on loopback that speaks every vendor's dialect, says what a script says, and counts."""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Literal, Self, cast

from execution_platform import _json
from execution_platform.testing.answers import compose
from execution_platform.testing.connection import AtConnect, RawRequest, UpstreamConnection
from execution_platform.testing.control import answer_control
from execution_platform.testing.delivery import Step, plan
from execution_platform.testing.frames import Answer, Dialect, Operation, WireRequest
from execution_platform.testing.gate import Gate
from execution_platform.testing.meter import Exchange, Meter
from execution_platform.testing.routes import Route, find_route, refuse_key, refuse_request
from execution_platform.testing.rules import Match, Predicate, Rule, RuleBook
from execution_platform.testing.script import Reply, Script, ScriptError, Status
from execution_platform.testing.threaded import ThreadedUpstream
from execution_platform.testing.wire_errors import answer_error

DEFAULT_MODELS = ("gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-flash")


class FakeUpstream:
    """A scripted upstream with a meter.

    `async with FakeUpstream() as upstream:` serves on a free port at `upstream.url`; without a script it echoes. With
    `api_key` every other key is refused as the vendor would; `lean` keeps the meter small in load tests. On leaving, a script that could not be played is raised.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        api_key: str = "",
        models: Sequence[str] = DEFAULT_MODELS,
        default: Script | None = None,
        lean: bool = False,
    ) -> None:
        self.meter = Meter(lean=lean)
        self.at_connect: AtConnect = "serve"
        """What happens to sockets accepted from now on."""
        self.problems: list[ScriptError] = []
        self.models = models
        self._api_key = api_key
        self._port = port
        self._rules = RuleBook(default or Script())
        self._gates: dict[str, Gate] = {}
        self._server: asyncio.Server | None = None
        self._connections: set[UpstreamConnection] = set()

    @staticmethod
    def in_thread(
        *, port: int = 0, api_key: str = "", default: Script | None = None
    ) -> ThreadedUpstream["FakeUpstream"]:
        """The same server on a thread of its own, for code without an event loop: `with FakeUpstream.in_thread() as up:`."""
        return ThreadedUpstream(lambda: FakeUpstream(port=port, api_key=api_key, default=default))

    # --- life ---

    async def start(self) -> None:
        """Bind and listen.

        Raises:
            OSError: the port is taken.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: UpstreamConnection(self), "127.0.0.1", self._port, backlog=4096)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and reset every connection that is left."""
        if self._server is not None:
            self._server.close()
        gone = self.meter.when(lambda meter: not meter.connections_open and not self._connections)
        for connection in tuple(self._connections):
            connection.close("rst")
        await gone.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        if error is None and self.problems:
            raise self.problems[0]

    @property
    def port(self) -> int:
        """The port that is served."""
        return self._port

    @property
    def url(self) -> str:
        """The base URL without a path; OpenAI clients want `/v1` behind it."""
        return f"http://127.0.0.1:{self._port}"

    # --- scripting ---

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
        """Answer matching requests with these scripts in turn; the last one stays unless `once`.

        A reply alone stands for a script with nothing else. Rules added later are asked first.
        """
        if not scripts:
            raise ScriptError("script() needs at least one script or reply")
        found = [script if isinstance(script, Script) else Script(script) for script in scripts]
        self._rules.add(Rule(Match(model, path, dialect, operation, when), found, once))

    def clear(self) -> None:
        """Drop all scripts; requests are echoed again."""
        self._rules.clear()

    def gate(self, name: str) -> Gate:
        """The gate of this name, made when it is first asked for."""
        return self._gates.setdefault(name, Gate(name))

    def release(self, name: str) -> None:
        """Open a named gate for good."""
        self.gate(name).release()

    def reset(self) -> None:
        """Drop scripts, gates, problems and the meter's entries; open connections stay."""
        self.clear()
        for gate in self._gates.values():
            gate.release()
        self._gates.clear()
        self.problems.clear()
        self.meter.reset()
        self.at_connect = "serve"

    # --- waiting ---

    async def wait_closed(self, index: int = 0, *, within: float = 5.0) -> Exchange:
        """Wait until the request with this number has come and its answer is over, in whatever way.

        Raises:
            TimeoutError: it is not.
        """
        await self.wait_until(lambda meter: len(meter) > index and meter[index].end is not None, within=within)
        return self.meter[index]

    async def wait_until(self, condition: Callable[[Meter], bool], *, within: float = 5.0) -> None:
        """Wait until the meter fulfils a condition.

        Raises:
            TimeoutError: it does not in time.
        """
        async with asyncio.timeout(within):
            await self.meter.when(condition).wait()

    # --- what connections ask ---

    def opened(self, connection: UpstreamConnection) -> None:
        """Take note of a connection that may have to be closed."""
        self._connections.add(connection)

    def lost(self, connection: UpstreamConnection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        self.meter.changed()

    async def control(self, request: RawRequest) -> bytes:
        """Answer a request to a control path."""
        return await answer_control(self, request)

    def respond(self, exchange: Exchange) -> Sequence[Step]:
        """Decide on the answer of a request that has been entered into the meter."""
        route = find_route(exchange.path, exchange.query, exchange.headers)
        request = _understand(exchange, route)
        if route is None or route.method != exchange.method:
            status = 404 if route is None else 405
            refusal = Status(status, "not_found", f"Invalid URL ({exchange.method} {exchange.path})")
            return _steps(exchange, request, answer_error(request, refusal), Script())
        try:
            body = _body(exchange)
        except ValueError as error:
            return _steps(exchange, request, answer_error(request, Status(400, message=str(error))), Script())
        request.body = body
        request.model = route.model or str(body.get("model") or "")
        request.stream = route.stream or body.get("stream") is True
        exchange.body, exchange.model, exchange.stream = body, request.model, request.stream
        refused = refuse_key(request, self._api_key) if self._api_key else None
        refused = refused or refuse_request(request)
        if refused is not None:
            return _steps(exchange, request, answer_error(request, refused), Script())
        return self._play(exchange, request)

    def _play(self, exchange: Exchange, request: WireRequest) -> Sequence[Step]:
        script = self._rules.pick(request)
        try:
            return _steps(exchange, request, compose(request, script, self.models), script)
        except ValueError as error:
            problem = ScriptError(f"Request {request.index} ({request.dialect} {request.operation}): {error}")
            problem.__cause__ = error
            self.problems.append(problem)
            return _steps(exchange, request, answer_error(request, Status(500, message=str(problem))), Script())


def _steps(exchange: Exchange, request: WireRequest, answer: Answer, script: Script) -> Sequence[Step]:
    exchange.status = answer.status
    return plan(request, answer, script)


def _understand(exchange: Exchange, route: Route | None) -> WireRequest:
    if route is not None:
        exchange.dialect, exchange.operation = route.dialect, route.operation
    found = route or Route("openai_chat", "chat")
    return WireRequest(
        index=exchange.index,
        dialect=found.dialect,
        operation=found.operation,
        model=found.model,
        stream=found.stream,
        variant=found.variant,
        path=exchange.path,
        query=exchange.query,
        headers=exchange.headers,
        body={},
    )


def _body(exchange: Exchange) -> dict[str, object]:
    if not exchange.raw_body and exchange.method == "GET":
        return {}
    value = _json.loads(exchange.raw_body)
    if not isinstance(value, dict):
        raise _json.JsonError("The JSON body of your request is not an object.", reason="not_an_object")
    return cast("dict[str, object]", value)
