"""Who works when a command wants an agent: a gateway, or the gateway's parts in this process."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from execution_platform import _json
from execution_platform.cli.asking import ask, key_of
from execution_platform.cli.progress import COMMANDS_REFUSED, is_attended
from execution_platform.client import AsyncExecutionPlatformClient, RunEvent, RunOptions, RunResult
from execution_platform.client._own import given_by
from execution_platform.client._runs import EventReader, read_result
from execution_platform.config.settings import Settings
from execution_platform.config.values import PermissionMode
from execution_platform.exceptions import ConfigError, RouterError
from execution_platform.gateway.state import State
from execution_platform.identity.principal import Principal
from execution_platform.observability.logging import LineLog
from execution_platform.runtime.agent.caller import Answer
from execution_platform.runtime.agent.limits import NANOS
from execution_platform.runtime.agent.order import Order, order_of, own_tools
from execution_platform.runtime.agent.reach import permits_of
from execution_platform.runtime.agent.runs import is_open
from execution_platform.runtime.agent.store import Row, RunStore
from execution_platform.spi.messages import Message
from execution_platform.spi.request import ChatRequest
from execution_platform.spi.tools import ToolDefinition
from execution_platform.spi.usage import Usage
from execution_platform.tool_bridge.aliases import canonical, tool_names
from execution_platform.tool_bridge.approval import Asked as Question
from execution_platform.tool_bridge.approval import Permit, Verdict
from execution_platform.tool_bridge.plugins.exec import NAMES as COMMANDS
from execution_platform.workflow.worker import Asked, Hear, Worker

if TYPE_CHECKING:
    from execution_platform.runtime.agent.active import Active

Confirm = Callable[[str, object, str], bool]
"""Asks whether a call may run: tool, arguments, reason."""
_UNATTENDED = (
    "{} asks at the terminal before each command, and nobody is there to be asked, so none will run; --allow-exec lets commands "
    "run in the sandbox without asking"
)
_SANDBOXED = frozenset({*COMMANDS, "code_format", "agent_task"})
"""Tools that need the sandbox, and the one that may call a persona who has them."""
_LOG = "ep-run.log"
_HERE = Principal("terminal", role="admin")


@asynccontextmanager
async def hands(
    settings: Settings, url: str | None, workspace: Path, confirm: Confirm, *, allow_exec: bool = False
) -> AsyncGenerator[Worker]:
    """Whoever works: the gateway at `url`, else this process, which may then use what is below `workspace`.

    `allow_exec` is the consent of whoever sits here to every command. Raises `ConfigError`.
    """
    if url is not None:
        if allow_exec:
            raise ConfigError(
                "--allow-exec: a gateway runs commands only if its own configuration says tools.exec.enabled: true"
            )
        async with AsyncExecutionPlatformClient(url, api_key=key_of(settings)) as client:
            yield AtGateway(client, settings, url, confirm)
        return
    async with _process(settings, workspace, allow_exec=allow_exec) as state:
        yield InProcess(state, Terminal(confirm))


class AtGateway:
    """A gateway works."""

    def __init__(self, client: AsyncExecutionPlatformClient, settings: Settings, url: str, confirm: Confirm) -> None:
        self._client = client
        self._settings = settings
        self._url = url
        self._confirm = confirm

    async def run(self, asked: Asked, hear: Hear) -> RunResult:
        """See `Worker`."""
        return await self._client.run(
            asked.task,
            persona=asked.persona,
            workspace=str(asked.workspace),
            mode=asked.mode,
            options=RunOptions(
                model=asked.model,
                system=asked.system,
                tools=tool_names(asked.tools),
                own=asked.own,
                limits=asked.limits,
            ),
            on_event=hear,
            approve=lambda event: self._confirm(str(event.data["name"]), event.data["args"], str(event.data["reason"])),
        )

    async def go_on(self, run_id: str, hear: Hear) -> RunResult:
        """See `Worker`. A gateway goes on with its runs by itself, so there may be nothing left but to read the end."""
        row = await self._row(run_id)
        if row["status"] in {"failed", "stopped", "cancelled"}:
            return await self._client.resume(run_id, on_event=hear)
        async for event in self._client.run_events(run_id):
            hear(event)
        return read_result(_json.dumps(await self._row(run_id)))

    async def usage(self, run_id: str) -> Usage:
        """See `Worker`."""
        told = cast("Mapping[str, Any]", (await self._row(run_id))["usage"])
        return Usage(told["input_tokens"], told["output_tokens"], told["cost_usd"])

    async def _row(self, run_id: str) -> Mapping[str, Any]:
        return await asyncio.to_thread(ask, self._settings, self._url, f"/v1/runs/{run_id}")


class InProcess:
    """The gateway's parts work in this process."""

    def __init__(self, state: State, approver: "Terminal") -> None:
        self._state = state
        self._runs = state.running.runs
        self._approver = approver

    async def run(self, asked: Asked, hear: Hear) -> RunResult:
        """See `Worker`."""
        names = tool_names(asked.tools)
        tools = None if names is None else tuple(map(ToolDefinition, names))
        order = Order(
            request=ChatRequest((Message("user", asked.task),), asked.model, system=asked.system, tools=tools),
            principal=_HERE,
            persona=asked.persona,
            workspace=str(asked.workspace),
            mode=asked.mode,
            limits=asked.limits,
            own=own_tools([tool.described() for tool in asked.own]),
        )
        await self._open_sandbox(order)
        refused = [] if is_attended() else self._commands(order)
        if refused:
            hear(RunEvent(0, COMMANDS_REFUSED, {"reason": _UNATTENDED.format(", ".join(refused))}))
        tools_of_theirs = {tool.name: tool for tool in asked.own}

        async def answer(name: str, arguments: Mapping[str, object], _call: str) -> Answer:
            given = await given_by(tools_of_theirs, name, dict(arguments))
            result = given.result
            return Answer(result if isinstance(result, str) else _json.dumps(result).decode(), given.is_error)

        return await self._watched(await self._runs.begin(order, approver=self._approver, answerer=answer), hear)

    async def _open_sandbox(self, order: Order) -> None:
        """Try the sandbox, for a run that could use it: it takes a second."""
        persona = self._state.snapshot.routing.explain(None, order.persona, {}).persona
        given = order.request.tools
        names = (
            tool_names(None if persona is None else persona.tools) if given is None else [tool.name for tool in given]
        )
        if not _SANDBOXED.isdisjoint(map(canonical, names or ())):
            await asyncio.to_thread(self._state.tooling.try_sandbox)
            self._state.tooling.serve_terminal()

    def _commands(self, order: Order) -> list[str]:
        """The tools of a run that would ask before each command."""
        if ask_before_commands not in self._state.running.workshop.hooks:
            return []
        persona = self._state.snapshot.routing.explain(None, order.persona, {}).persona
        asked = None if order.request.tools is None else [tool.name for tool in order.request.tools]
        mode = order.mode or ("default" if persona is None else persona.permission_mode)
        permits = permits_of(self._state.tools, persona, None, asked)
        return [name for name, permit in permits.items() if is_command(permit, mode)]

    async def go_on(self, run_id: str, hear: Hear) -> RunResult:
        """See `Worker`."""
        current = await found_run(self._runs.store, run_id)
        if current["status"] == "done":
            return _result(current)
        await self._open_sandbox(order_of(str(current["request"]), str(current["options"]), str(current["persona"])))
        run = await self._runs.resume(current) if is_open(current) else await self._runs.again(current)
        if run is None:
            raise RouterError(f"run {run_id} is worked on by another process")
        return await self._watched(run, hear)

    async def usage(self, run_id: str) -> Usage:
        """See `Worker`."""
        return _usage(await found_run(self._runs.store, run_id))

    async def _watched(self, run: "Active", hear: Hear) -> RunResult:
        """Follow a run of this process to its end; an interrupt cancels it."""
        reader = EventReader()
        try:
            async for batch in run.log.follow(0, 3600):
                for number, frame in batch:
                    for event in reader.feed(b"id: %d\n%b" % (number, frame)):
                        hear(event)
        except asyncio.CancelledError:
            await self._runs.cancel(run.run_id)
            if run.task is not None:
                await asyncio.gather(run.task, return_exceptions=True)
            raise
        if run.task is not None:
            await run.task
        if run.end is not None and run.end.error is not None:
            raise run.end.error
        return _result(await found_run(self._runs.store, run.run_id))


class Terminal:
    """Asks whoever sits at the terminal."""

    def __init__(self, confirm: Confirm) -> None:
        self._confirm = confirm
        self._one = asyncio.Lock()

    async def approve(self, asked: Question, reason: str) -> Verdict:
        """Ask, one question at a time."""
        async with self._one:
            allowed = await asyncio.to_thread(self._confirm, asked.tool, asked.arguments, reason)
        return Verdict("allow") if allowed else Verdict("deny", f"the user refused the call of {asked.tool}")


def _result(row: Row) -> RunResult:
    return RunResult(
        str(row["id"]), str(row["status"]), str(row["reason"]), str(row["answer"] or ""), int(row["steps"]), _usage(row)
    )


def _usage(row: Row) -> Usage:
    return Usage(row["input_tokens"], row["output_tokens"], row["cost_nanos"] / NANOS)


@asynccontextmanager
async def _process(settings: Settings, workspace: Path, *, allow_exec: bool) -> AsyncGenerator[State]:
    """The parts of a gateway in this process, with nobody listening at a port."""
    settings = at_home(settings)
    root = settings.workspace_root.absolute()
    if root == workspace or workspace in root.parents:
        raise ConfigError(
            f"--cwd: the platform's own files ({root}) lie within {workspace}, where an agent could change them; set "
            "EP_WORKSPACE_ROOT to a folder outside"
        )
    root.mkdir(parents=True, exist_ok=True)
    with (root / _LOG).open("ab", buffering=0) as log:
        state = State(settings, log=LineLog(log.fileno()))
        _ask_for_commands(state, allow_exec=allow_exec)
        async with _started(state, workspace):
            yield state


def _ask_for_commands(state: State, *, allow_exec: bool) -> None:
    """Let each command be asked for unless somebody consented. Raises `ConfigError` for consent to what the configuration forbids.

    Where the configuration does not name them, the levels that the built-in personas have for them are nobody's consent.
    """
    enabled = state.snapshot.config.tools.exec.enabled
    if enabled is False and allow_exec:
        raise ConfigError("--allow-exec: the configuration says tools.exec.enabled: false; change it there")
    if enabled is None and not allow_exec:
        state.running.workshop.hooks = (ask_before_commands,)


def ask_before_commands(asked: Question) -> Verdict | None:
    """A rule of runs at a terminal: each command is shown to whoever sits there."""
    if is_command(asked.permit, asked.mode):
        return Verdict("ask", f"{asked.tool} starts a program in the sandbox")
    return None


def is_command(permit: Permit, mode: PermissionMode) -> bool:
    """Whether a call may start any program; one that only looks, in a workspace it cannot change, may not."""
    return permit.tool.name in COMMANDS and permit.level == "full" and mode != "bypassPermissions"


@asynccontextmanager
async def _started(state: State, workspace: Path) -> AsyncGenerator[None]:
    state.running.roots = (str(workspace),)
    state.running.standing.own = (_HERE,)
    await state.start(take_on=False)
    try:
        yield
    finally:
        await state.stop()


async def found_run(store: RunStore, run_id: str) -> Row:
    """A run of whoever. Raises `RouterError`."""
    row = await store.find(run_id, None)
    if row is None:
        raise RouterError(f"there is no run {run_id}; see `ep runs list`", code="not_found")
    return row


def at_home(settings: Settings) -> Settings:
    """Settings of a program without a server: its files lie below the user's state directory, not where it was called."""
    if "EP_WORKSPACE_ROOT" in settings.environ:
        return settings
    state = Path(settings.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser())
    return settings.model_copy(update={"workspace_root": state / "execution-platform"})
