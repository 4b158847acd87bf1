"""The agent runs of one gateway process, put together."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from execution_platform.config.settings import Settings
from execution_platform.gateway.bookkeeping import Bookkeeping
from execution_platform.gateway.standing import Standing
from execution_platform.identity.pepper import Pepper
from execution_platform.observability.runs import RunMetrics
from execution_platform.runtime.agent.limits import Limits
from execution_platform.runtime.agent.runs import Runs
from execution_platform.runtime.agent.store import RunStore
from execution_platform.runtime.agent.workshop import Workshop
from execution_platform.runtime.agent.workspace import Workspaces
from execution_platform.runtime.snapshot import Snapshot
from execution_platform.tool_bridge.delegate import AgentTask
from execution_platform.tool_bridge.registry import ToolRegistry

if TYPE_CHECKING:
    from execution_platform.config.runs import RunsConfig


class Running:
    """What the gateway's runs need of it. Making one opens nothing."""

    def __init__(
        self,
        settings: Settings,
        registry: ToolRegistry,
        snapshot: Callable[[], Snapshot],
        bookkeeping: Bookkeeping,
        tell: Callable[..., None],
        *,
        metrics: RunMetrics,
        standing: Standing,
    ) -> None:
        self._settings = settings
        self._snapshot = snapshot
        self._bookkeeping = bookkeeping
        self.roots: tuple[str, ...] = ()
        """Directories that may be named as a workspace beside those of the configuration."""
        self.standing = standing
        registry.register(AgentTask())
        pepper = Pepper(settings.key_pepper, settings.master_key, settings.workspace_root)
        self.workshop = Workshop(
            registry=registry,
            snapshot=snapshot,
            books=bookkeeping.books,
            workspaces=self._workspaces,
            limits=self._limits,
            standing=standing.of,
            metrics=metrics,
            turn_seconds=settings.timeout,
        )
        self.runs = Runs(
            self.workshop,
            RunStore(bookkeeping.storage),
            lambda: pepper.make().reveal(),
            most=lambda: self._config.concurrent,
            tell=tell,
        )

    def start(self) -> None:
        """Go on with what was left, if a database is there that could hold something."""
        storage = self._bookkeeping.storage
        path: Path | None = storage.address.path
        self.runs.start(look=storage.is_postgresql or (path is not None and path.exists()))

    async def stop(self) -> None:
        """Leave the runs to the next process."""
        await self.runs.stop()

    async def forget(self) -> int:
        """Delete runs that have been over for long, with their directories; how many. Raises `DatabaseUnavailable`."""
        keep, days = timedelta(days=self._config.keep_days), self._bookkeeping.requests.wishes.days
        gone = await self.runs.forget(keep, but=days)
        for tenant, most in days.items():
            gone += await self.runs.forget(min(keep, timedelta(days=most)), of=tenant)
        await self.runs.sweep(keep, days)
        return gone

    @property
    def _config(self) -> "RunsConfig":
        return self._snapshot().config.runs

    def _limits(self) -> Limits:
        given = self._config
        return Limits(
            steps=given.steps,
            depth=given.depth,
            fan_out=given.fan_out,
            seconds=given.seconds,
            tokens=given.tokens,
            cost_usd=given.cost_usd,
        )

    def _workspaces(self) -> Workspaces:
        return Workspaces(self._settings.workspace_root, (*self._config.workspace_roots, *self.roots))
