"""The life of the configuration: reloaded, refused, switched and rolled back while requests are served.

Every change goes the same way, one at a time: read, check aside in a thread, compare with what a gateway must never lose, and
only then swap. A change that fails anywhere leaves everything as it was, is told in the log and the metrics, and makes
`ep_config_stale` 1 until the files are in service again.

A rollback holds until somebody reloads, or until the files say something new: who writes a new configuration knows of the
incident; a file that is merely touched, or synchronised once more, does not bring the bad version back.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace

from execution_platform.config.display import differences, displayed
from execution_platform.config.files import Sources, problems_of, read_sources, source_files
from execution_platform.config.known import known
from execution_platform.exceptions import ConfigError, RouterError, UnprocessableRequest
from execution_platform.gateway.auth import is_loopback
from execution_platform.gateway.snapshots import Overlays, Prepared, SnapshotBuilder
from execution_platform.gateway.versions import Cause, Version, Versions
from execution_platform.gateway.watch import FileWatch
from execution_platform.observability.logging import Tell
from execution_platform.observability.metrics import Metrics

_MOST_PROBLEMS = 20
CURRENT = "current"
"""In a comparison: the version in force."""
FILES = "file"
"""In a comparison: the files as they are now, whether or not they could be served."""


class Lifecycle:
    """Changes the configuration of one process.

    `serve` puts a prepared one before all new requests. `ready` does before, in a thread, what `serve` would have to wait for.
    """

    def __init__(
        self,
        builder: SnapshotBuilder,
        *,
        serve: Callable[[Prepared], None],
        ready: Callable[[Prepared], None],
        tell: Tell,
        metrics: Metrics,
    ) -> None:
        self.versions = Versions()
        self._builder = builder
        self._serve = serve
        self._ready = ready
        self._tell = tell
        self._metrics = metrics
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._before_hangup: signal.Handlers | None = None
        """What SIGHUP did before it came here."""
        self._served: Prepared | None = None
        self._read = Sources()
        """What the files said when they were last readable."""
        self._pinned = False
        """A rollback is in force, to other files than there are now."""
        self._refused: str | None = None
        """Why the last reload was refused."""

    # --- life ---

    def begin(self) -> None:
        """The first configuration. Raises `ConfigError`."""
        # What the files look like is noted before they are read, so that no later change is missed.
        self._watched = FileWatch(source_files(self._builder.settings), lambda: self._reload_quietly(FILES))
        self._read = read_sources(self._builder.settings)
        self._take(self._builder.prepare(self._read), self._read, {}, cause="start")

    def start(self) -> None:
        """Listen to the files and to SIGHUP, if nobody else does."""
        loop = asyncio.get_running_loop()
        if self._builder.settings.config_watch:
            self._spawn(self._watch())
        # Raised outside the main thread, where signals do not come.
        with suppress(ValueError, RuntimeError):
            before = signal.getsignal(signal.SIGHUP)
            if before in {signal.SIG_DFL, signal.SIG_IGN}:
                loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self._reload_quietly("signal")))
                self._before_hangup = signal.Handlers(before)

    async def stop(self) -> None:
        """Listen no more."""
        if self._before_hangup is not None:
            asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
            signal.signal(signal.SIGHUP, self._before_hangup)
            self._before_hangup = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def discovered(self) -> None:
        """Local servers were found: the same configuration with them. Raises `ConfigError`."""
        async with self._lock:
            version = self.versions.current
            prepared = await self._prepare(version.sources, version.personas)
            self._take(prepared, version.sources, version.personas, cause="discovery")

    # --- changes ---

    async def reload(self, cause: Cause = "api", by: str | None = None) -> bool:
        """Read the files again and serve them; whether anything changed. Raises `UnprocessableRequest`, and then nothing has."""
        async with self._lock:
            try:
                changed = await self._reload(cause, by)
            except ConfigError as error:
                self._refuse(error, cause, by)
                raise self._unusable(error) from error
            self._metrics.config.reload.labels("applied" if changed else "unchanged").inc()
            self._tell_state()
            return changed

    async def rollback(self, name: str, by: str | None = None) -> Version:
        """Serve an earlier version again. Raises `RouterError` when it is not kept, `UnprocessableRequest` when it cannot be served any more."""
        async with self._lock:
            version = self.versions.find(name)
            try:
                prepared = await self._prepare(version.sources, version.personas)
                self._guard(prepared)
            except ConfigError as error:
                raise self._unusable(error) from error
            self._take(prepared, version.sources, version.personas, cause="rollback", by=by)
            self._pinned = version.sources.merged != self._read.merged
            self._metrics.config.reload.labels("rolled_back").inc()
            self._tell_state()
            return self.versions.current

    async def take_over(self, sources: Sources, personas: Overlays, *, cause: Cause, by: str | None) -> None:
        """Serve what another worker of this address serves. Raises `UnprocessableRequest`, and then nothing has changed."""
        async with self._lock:
            try:
                prepared = await self._prepare(sources, personas)
                self._guard(prepared)
            except ConfigError as error:
                raise self._unusable(error) from error
            self._take(prepared, sources, personas, cause=cause, by=by)
            self._pinned = sources.merged != self._read.merged
            self._tell_state()

    async def switch_persona(self, name: str, persona: Mapping[str, object], by: str | None = None) -> None:
        """Change a persona for all requests from now on; it stays changed over reloads. Raises `UnprocessableRequest`, and then nothing has."""
        async with self._lock:
            await self._with_personas({**self.versions.current.personas, name: persona}, name, by)

    async def forget_persona(self, name: str, by: str | None = None) -> None:
        """Take a switch back: the files' persona counts again. Raises `RouterError` when it was not switched."""
        async with self._lock:
            personas = dict(self.versions.current.personas)
            if personas.pop(name, None) is None:
                raise RouterError(f"persona {name!r} was not switched at run time", code="persona_not_found")
            await self._with_personas(personas, name, by)

    async def take_personas(self, personas: Overlays) -> None:
        """Serve what was switched on any replica, all of it and nothing else. Raises `UnprocessableRequest`, and then nothing has changed."""
        async with self._lock:
            if personas != self.versions.current.personas:
                await self._with_personas(personas, ", ".join(sorted(personas)), None)

    async def _with_personas(self, personas: Overlays, name: str, by: str | None) -> None:
        sources = self.versions.current.sources
        try:
            prepared = await self._prepare(sources, personas)
        except ConfigError as error:
            raise self._unusable(error) from error
        self._take(prepared, sources, personas, cause="persona", by=by)
        self._tell("persona_switched", persona=name, config=self.versions.current.name, by=by)

    # --- questions ---

    @property
    def pinned(self) -> bool:
        """Whether a rollback is in force, to something else than the files say."""
        return self._pinned

    @property
    def stale(self) -> str | None:
        """Why the files are not what is served; None when they are."""
        if self._refused is not None:
            return f"the last reload was refused: {self._refused}"
        if self._pinned:
            return f"rolled back to {self.versions.current.name}; a reload or a new content of the files ends it"
        return None

    async def shown(self, name: str) -> object:
        """A version as plain data without secrets. Raises `RouterError`."""
        return displayed(await self._config(name))

    async def diff(self, before: str | None, after: str | None) -> dict[str, object]:
        """Two versions compared, by default the one in force with the files as they are now. Raises `RouterError`, `UnprocessableRequest`."""
        in_force = self.versions.current.name
        one, other = (in_force if name == CURRENT else name for name in (before or CURRENT, after or FILES))
        found = differences(await self._config(one), await self._config(other))
        return {"from": one, "to": other, "changes": [difference.as_json() for difference in found]}

    async def _config(self, name: str) -> object:
        if name != FILES:
            return self.versions.find(name).config if name != CURRENT else self.versions.current.config
        try:
            sources = await asyncio.to_thread(read_sources, self._builder.settings)
            prepared = await self._prepare(sources, self.versions.current.personas)
        except ConfigError as error:
            raise self._unusable(error) from error
        return prepared.snapshot.config

    # --- the way of every change ---

    async def _reload(self, cause: Cause, by: str | None) -> bool:
        sources = await asyncio.to_thread(read_sources, self._builder.settings)
        self._check_presence(sources)
        current = self.versions.current
        known_content = sources.merged == self._read.merged
        self._read = sources
        if cause == FILES and known_content and (self._pinned or self._refused is None):
            return False
        prepared = await self._prepare(sources, current.personas, fresh=True)
        self._guard(prepared)
        self._builder.fleet.forget_secrets()
        changed = self._take(prepared, sources, current.personas, cause=cause, by=by)
        self._pinned, self._refused = False, None
        return changed

    async def _prepare(self, sources: Sources, personas: Overlays, *, fresh: bool = False) -> Prepared:
        prepared = await asyncio.to_thread(self._builder.prepare, sources, personas, fresh=fresh)
        await asyncio.to_thread(self._ready, prepared)
        return prepared

    def _take(
        self, prepared: Prepared, sources: Sources, personas: Overlays, *, cause: Cause, by: str | None = None
    ) -> bool:
        """Swap; whether the configuration is another one. The keys' values are taken in any case."""
        config = prepared.snapshot.config
        before = None if self._served is None else self.versions.current.name
        name = self.versions.name(config)
        self._builder.adopt(prepared)
        self._served = replace(prepared, snapshot=replace(prepared.snapshot, version=name))
        self._serve(self._served)
        if name == before:
            return False
        self.versions.add(config, sources, personas, cause=cause, by=by)
        if before is not None:
            self._tell("config_changed", config=name, before=before, cause=cause, by=by)
        return True

    def _check_presence(self, sources: Sources) -> None:
        """A file that is gone or empty is a file being written, or an accident; it is never a wish to run without one."""
        if self.versions.current.sources.main is None and self._read.main is None:
            return
        if sources.main is None:
            raise ConfigError("the configuration file is gone; restart the gateway to run without one")
        if not sources.merged:
            raise ConfigError("the configuration file is empty; restart the gateway to run without a configuration")

    def _guard(self, prepared: Prepared) -> None:
        """What no change of a running gateway may take away. Raises `ConfigError`."""
        settings, snapshot = self._builder.settings, prepared.snapshot
        if prepared.authenticator.is_open and not is_loopback(settings.host):
            raise ConfigError(
                f"the configuration has no gateway key, and {settings.host} is reachable from other machines: keep one"
            )
        always = frozenset(known().always_available)
        if self._served is not None and self._served.snapshot.live - always and not snapshot.live - always:
            raise ConfigError(
                "the configuration leaves no provider that can be called; restart the gateway to run without any"
            )

    def _unusable(self, error: ConfigError) -> UnprocessableRequest:
        return UnprocessableRequest(self._without_folders(error.message), code=error.code)

    def _without_folders(self, text: str) -> str:
        """`text` without where the files lie on this machine."""
        for folder in {str(file.parent) for file in source_files(self._builder.settings)} - {"."}:
            text = text.replace(f"{folder}/", "")
        return text

    def _refuse(self, error: ConfigError, cause: Cause, by: str | None) -> None:
        problems = [self._without_folders(str(problem)) for problem in problems_of(error)][:_MOST_PROBLEMS]
        self._refused = problems[0]
        self._metrics.config.reload.labels("refused").inc()
        self._tell("config_refused", "error", config=self.versions.current.name, cause=cause, by=by, problems=problems)
        self._tell_state()

    def _tell_state(self) -> None:
        self._metrics.config.stale.set(0 if self.stale is None else 1)

    # --- the files ---

    async def _watch(self) -> None:
        try:
            await self._watched.run()
        except OSError as error:
            self._tell("config_watch_failed", "error", error=error.strerror or "the folder cannot be watched")

    async def _reload_quietly(self, cause: Cause) -> None:
        """A reload nobody waits for: `reload` has told what there is to tell."""
        with suppress(UnprocessableRequest):
            await self.reload(cause)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
