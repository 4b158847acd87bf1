"""How `ep run` and `ep runs` work: by a gateway, or by the gateway's parts in this process."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from execution_platform import _json
from execution_platform.cli.hands import at_home, found_run, hands
from execution_platform.cli.progress import Progress, confirm
from execution_platform.client import RunResult
from execution_platform.config.settings import Settings
from execution_platform.exceptions import ConfigError, RouterError
from execution_platform.runtime.agent.store import Row, RunStore
from execution_platform.storage.address import address
from execution_platform.storage.engine import Storage
from execution_platform.workflow.worker import Asked, Hear

_HIDDEN = frozenset({"request", "options", "worker", "leased_until", "epoch", "cancel", "cost_nanos"})
T = TypeVar("T")


async def work(settings: Settings, asked: Asked, url: str | None, hear: Hear, *, allow_exec: bool = False) -> RunResult:
    """Run it, and tell `hear` what happens. Raises what the run failed with."""
    if not asked.workspace.is_dir():
        raise ConfigError(f"--cwd: there is no directory {asked.workspace}; make it first")
    async with hands(settings, url, asked.workspace, confirm, allow_exec=allow_exec) as worker:
        return await worker.run(asked, hear)


async def resume(
    settings: Settings, run_id: str, url: str | None, *, quiet: bool, allow_exec: bool = False
) -> RunResult:
    """Go on with a run, and show its progress; its end at once if it is over. Raises `RouterError` for one that is not there."""
    workspace = Path()
    if url is None:
        row = await stored_run(settings, run_id)
        options: Any = _json.loads(str(row["options"]))
        workspace = Path(str(options["workspace"]))
    async with hands(settings, url, workspace, confirm, allow_exec=allow_exec) as worker:
        return await worker.go_on(run_id, Progress(quiet=quiet).show)


async def stored(settings: Settings) -> list[Mapping[str, Any]]:
    """The runs of this machine's programs."""
    return [_shown(row) for row in await _with_store(settings, lambda store: store.page(None))]


async def stored_run(settings: Settings, run_id: str) -> Mapping[str, Any]:
    """One of them, with everything. Raises `RouterError`."""
    return await _with_store(settings, lambda store: found_run(store, run_id))


async def cancel(settings: Settings, run_id: str) -> None:
    """Stop one of them. Raises `RouterError`."""
    if not await _with_store(settings, lambda store: store.order(run_id, {"cancel": True})):
        raise RouterError(f"there is no run {run_id} that could be stopped", code="not_found")


async def _with_store(settings: Settings, work: Callable[[RunStore], Awaitable[T]]) -> T:
    settings = at_home(settings)
    storage = Storage(address(settings.database_url, settings.workspace_root))
    try:
        return await work(RunStore(storage))
    finally:
        await storage.close()


def _shown(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _HIDDEN}
