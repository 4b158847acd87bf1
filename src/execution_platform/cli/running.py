"""How `ep run` works: by a gateway, or by the gateway's parts in this process."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from execution_platform import _json
from execution_platform.cli.asking import key_of
from execution_platform.cli.progress import Progress, confirm
from execution_platform.client import AsyncExecutionPlatformClient, RunEvent, RunOptions, RunResult
from execution_platform.client._runs import EventReader, Mode
from execution_platform.config.settings import Settings
from execution_platform.exceptions import ConfigError, RouterError
from execution_platform.gateway.state import State
from execution_platform.identity.principal import Principal
from execution_platform.observability.logging import LineLog
from execution_platform.runtime.agent.limits import NANOS
from execution_platform.runtime.agent.order import Order
from execution_platform.runtime.agent.runs import Runs
from execution_platform.runtime.agent.store import Row, RunStore
from execution_platform.spi.messages import Message
from execution_platform.spi.request import ChatRequest
from execution_platform.spi.tools import ToolDefinition
from execution_platform.spi.usage import Usage
from execution_platform.storage.address import address
from execution_platform.storage.engine import Storage
from execution_platform.tool_bridge.aliases import tool_names
from execution_platform.tool_bridge.approval import Asked as Question
from execution_platform.tool_bridge.approval import Verdict

if TYPE_CHECKING:
    from execution_platform.runtime.agent.active import Active

_HIDDEN = frozenset({"request", "options", "worker", "leased_until", "epoch", "cancel", "cost_nanos"})
T = TypeVar("T")
_LOG = "ep-run.log"
_HERE = Principal("terminal", role="admin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command was asked to do."""

    persona: str
    task: str
    workspace: Path
    mode: Mode | None = None
    model: str | None = None
    steps: int | None = None
    system: str | None = None
    tools: Sequence[str] | None = None
    """Names of tools, in any of their spellings; the persona's unless set."""
    quiet: bool = False


class Watcher(Protocol):
    """Who is told what happens in a run."""

    def show(self, event: RunEvent) -> None:
        """One more event."""
        ...


async def work(settings: Settings, asked: Asked, url: str | None, watcher: Watcher | None = None) -> RunResult:
    """Run it, and show its progress, on the terminal unless there is another watcher. Raises what the run failed with."""
    if not asked.workspace.is_dir():
        raise ConfigError(f"--cwd: there is no directory {asked.workspace}; make it first")
    progress = Progress(quiet=asked.quiet) if watcher is None else watcher
    limits = {} if asked.steps is None else {"steps": asked.steps}
    tools = tool_names(asked.tools)
    if url is not None:
        async with AsyncExecutionPlatformClient(url, api_key=key_of(settings)) as client:
            return await client.run(
                asked.task,
                persona=asked.persona,
                workspace=str(asked.workspace),
                mode=asked.mode,
                options=RunOptions(model=asked.model, system=asked.system, tools=tools, limits=limits),
                on_event=progress.show,
                approve=lambda event: confirm(str(event.data["name"]), event.data["args"], str(event.data["reason"])),
            )
    async with _process(settings, asked.workspace) as runs:
        declared = None if tools is None else tuple(map(ToolDefinition, tools))
        request = ChatRequest((Message("user", asked.task),), asked.model, system=asked.system, tools=declared)
        order = Order(
            request=request,
            principal=_HERE,
            persona=asked.persona,
            workspace=str(asked.workspace),
            mode=asked.mode,
            limits=limits,
        )
        return await _watched(runs, await runs.begin(order, approver=Terminal()), progress)


class Terminal:
    """Asks whoever sits at the terminal."""

    def __init__(self) -> None:
        self._one = asyncio.Lock()

    async def approve(self, asked: Question, reason: str) -> Verdict:
        """Ask, one question at a time."""
        async with self._one:
            allowed = await asyncio.to_thread(confirm, asked.tool, asked.arguments, reason)
        return Verdict("allow") if allowed else Verdict("deny", f"the user refused the call of {asked.tool}")


async def resume(settings: Settings, run_id: str, url: str | None, *, quiet: bool) -> RunResult:
    """Go on with a run, and show its progress. Raises `RouterError` for one that is not there, or done."""
    progress = Progress(quiet=quiet)
    if url is not None:
        async with AsyncExecutionPlatformClient(url, api_key=key_of(settings)) as client:
            return await client.resume(run_id, on_event=progress.show)
    row = await stored_run(settings, run_id)
    options: Any = _json.loads(str(row["options"]))
    async with _process(settings, Path(str(options["workspace"]))) as runs:
        current = await _found(runs.store, run_id)
        open_ = current["status"] in {"running", "waiting"}
        run = await runs.resume(current) if open_ else await runs.again(current)
        if run is None:
            raise RouterError(f"run {run_id} is worked on by another process")
        return await _watched(runs, run, progress)


async def _watched(runs: Runs, run: "Active", progress: Watcher) -> RunResult:
    """Follow a run of this process to its end; an interrupt cancels it."""
    reader = EventReader()
    try:
        async for batch in run.log.follow(0, 3600):
            for number, frame in batch:
                for event in reader.feed(b"id: %d\n%b" % (number, frame)):
                    progress.show(event)
    except asyncio.CancelledError:
        await runs.cancel(run.run_id)
        if run.task is not None:
            await asyncio.gather(run.task, return_exceptions=True)
        raise
    if run.task is not None:
        await run.task
    if run.end is not None and run.end.error is not None:
        raise run.end.error
    return _result(await _found(runs.store, run.run_id))


def _result(row: Row) -> RunResult:
    usage = Usage(row["input_tokens"], row["output_tokens"], row["cost_nanos"] / NANOS)
    return RunResult(
        str(row["id"]), str(row["status"]), str(row["reason"]), str(row["answer"] or ""), int(row["steps"]), usage
    )


@asynccontextmanager
async def _process(settings: Settings, workspace: Path) -> AsyncGenerator[Runs]:
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
        async with _started(state, workspace):
            yield state.running.runs


@asynccontextmanager
async def _started(state: State, workspace: Path) -> AsyncGenerator[None]:
    state.running.roots = (str(workspace),)
    await state.start(take_on=False)
    try:
        yield
    finally:
        await state.stop()


def at_home(settings: Settings) -> Settings:
    """Settings of a program without a server: its files lie below the user's state directory, not where it was called."""
    if "EP_WORKSPACE_ROOT" in settings.environ:
        return settings
    state = settings.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")  # noqa: PTH111 - HOME as the environment has it
    return settings.model_copy(update={"workspace_root": Path(state) / "execution-platform"})


async def stored(settings: Settings) -> list[Mapping[str, Any]]:
    """The runs of this machine's programs."""
    return [_shown(row) for row in await _with_store(settings, lambda store: store.page(None))]


async def stored_run(settings: Settings, run_id: str) -> Mapping[str, Any]:
    """One of them, with everything. Raises `RouterError`."""
    return await _with_store(settings, lambda store: _found(store, run_id))


async def cancel(settings: Settings, run_id: str) -> None:
    """Stop one of them. Raises `RouterError`."""
    if not await _with_store(settings, lambda store: store.order(run_id, {"cancel": True})):
        raise RouterError(f"there is no run {run_id} that could be stopped", code="not_found")


async def _found(store: RunStore, run_id: str) -> Row:
    row = await store.find(run_id, None)
    if row is None:
        raise RouterError(f"there is no run {run_id}; see `ep runs list`", code="not_found")
    return row


async def _with_store(settings: Settings, work: Callable[[RunStore], Awaitable[T]]) -> T:
    settings = at_home(settings)
    storage = Storage(address(settings.database_url, settings.workspace_root))
    try:
        return await work(RunStore(storage))
    finally:
        await storage.close()


def _shown(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _HIDDEN}
