"""What one gateway process holds: the current snapshot, the connection pool, the log, the metrics."""

import asyncio
import time
import traceback
from collections.abc import Collection

from execution_platform.config.resolve import ProviderConfig
from execution_platform.config.settings import Settings
from execution_platform.exceptions import AuthenticationError, RateLimited
from execution_platform.gateway.access import Access
from execution_platform.gateway.admission import Admission
from execution_platform.gateway.auth import Authenticator, Headers
from execution_platform.gateway.bookkeeping import Bookkeeping
from execution_platform.gateway.budgeting import Budgeting
from execution_platform.gateway.drain import Drain
from execution_platform.gateway.following import Following
from execution_platform.gateway.http import Scope
from execution_platform.gateway.lag import LagSampler
from execution_platform.gateway.lifecycle import Lifecycle
from execution_platform.gateway.peers import Peers
from execution_platform.gateway.people import PeopleAtTheDoor
from execution_platform.gateway.pricing import Pricing
from execution_platform.gateway.probes import Probes
from execution_platform.gateway.pulse import Pulse
from execution_platform.gateway.record import access_record, observe, observe_shadow, shadow_record, watch_admission
from execution_platform.gateway.repeats import Repeats
from execution_platform.gateway.replicas import SharedBoard, watch_link
from execution_platform.gateway.responses import Responses
from execution_platform.gateway.retention import Retention
from execution_platform.gateway.routes import EndpointSpec
from execution_platform.gateway.running import Running
from execution_platform.gateway.siblings import Siblings
from execution_platform.gateway.snapshots import Prepared, SnapshotBuilder
from execution_platform.gateway.standing import Standing
from execution_platform.gateway.switches import Switches
from execution_platform.gateway.tooling import Tooling
from execution_platform.gateway.upstreams import deployment_view, deployments_by_provider, worst_breaker
from execution_platform.identity.pepper import Pepper
from execution_platform.identity.principal import Principal
from execution_platform.limits.failures import FailureLimiter
from execution_platform.limits.limiter import Limiter
from execution_platform.observability.logging import LineLog
from execution_platform.observability.metrics import Metrics
from execution_platform.providers.registry import specs
from execution_platform.replicas.link import LinkChanged, RedisLink
from execution_platform.resilience.board import Key, SharedState
from execution_platform.router.limits import upstream_policies
from execution_platform.runtime.call import Call
from execution_platform.runtime.execute import execute
from execution_platform.runtime.shadow import Shadows
from execution_platform.runtime.snapshot import Snapshot
from execution_platform.tool_bridge.mcp import McpServers

_STREAM_SECONDS = 3600.0
"""A stream that still speaks is cut after this long; silence ends it much earlier."""


class State:
    """The composition of one process. Everything a request reads is behind `snapshot` and `authenticator`."""

    def __init__(self, settings: Settings, *, log: LineLog | None = None) -> None:
        """`log` is used where standard output is somebody else's."""
        self.settings = settings
        self.loop: asyncio.AbstractEventLoop
        """The event loop that serves; looking for the running one costs each request a system call."""
        self.started = False
        """Within the life of the server, where there is an event loop."""
        self.log = LineLog() if log is None else log
        self.metrics = Metrics()
        self.pulse = Pulse()
        self.link = link_for(settings, self._link_changed)
        self.limiter = Limiter(self.link)
        self.failures = FailureLimiter()
        self.builder = SnapshotBuilder(settings, self.limiter)
        self.tooling = Tooling(settings, self.builder.fleet.secret, self._tell, clean=self._without_secrets)
        self.tools = self.tooling.registry
        self.mcp = McpServers(
            settings.workspace_root,
            self.builder.fleet.secret,
            self._tell,
            pepper=lambda: Pepper(settings.key_pepper, settings.master_key, settings.workspace_root).make().reveal(),
            taken=lambda: [tool.name for tool in self.tools.tools()],
            offered=lambda offer: self.tools.offer(offer.tools, offer.absent),
        )
        self.probes = Probes(self.metrics, self._tell)
        self.shadows = Shadows(
            execute, done=self._record_shadow, dropped=self.metrics.experiments.shadows.labels("dropped").inc
        )
        self.snapshot: Snapshot
        self.authenticator: Authenticator
        self.peers: Peers
        self.lifecycle = Lifecycle(
            self.builder, serve=self._serve, ready=self._make_ready, tell=self._tell, metrics=self.metrics
        )
        self.lifecycle.begin()
        self.admission = Admission(self.snapshot.config.limits)
        self.drain = Drain()
        self.worker = 0
        """Which of the processes on one address this is."""
        self.siblings: Siblings | None = None
        self.following = Following(self.lifecycle, tell=self._tell, link=self.link)
        self.metrics.log_dropped.set_function(lambda: self.log.dropped)
        self.lag = LagSampler(self.note_lag)
        watch_admission(self.metrics, self.admission)
        self.builder.board.on_change.append(self._note_breaker)
        self.shared_board: SharedBoard | None = None
        if self.link is not None:
            self.shared_board = SharedBoard(self.link, self.builder.board)
            watch_link(self.metrics, self.link)
        self.bookkeeping = Bookkeeping(settings, self.snapshot.config.ledger, self.log, self.metrics)
        self.books = self.bookkeeping.books
        self.repeats = Repeats(self.bookkeeping, self._note_repeats)
        self.budgeting = Budgeting(
            self.bookkeeping, self.builder.fleet.secret, self.log, self.metrics, redis_down=self._redis_down
        )
        self.budgeting.use(self.snapshot)
        self.access = Access(
            settings, self.bookkeeping, self.budgeting, self.log, self._tenants, redis_down=self._redis_down
        )
        self.pricing = Pricing(self.builder.stored_prices, self.bookkeeping, self.log)
        self._keep_going(settings)
        self.login = PeopleAtTheDoor(self.access.people, lambda: self.snapshot.config.oidc, self.builder.fleet.secret)
        self.started_at = time.time()

    def _keep_going(self, settings: Settings) -> None:
        """What outlives a request: switches, runs, and conversations that are gone on with."""
        self.switches = Switches(self.lifecycle, self.bookkeeping, self._tell)
        self.responses = Responses(self.bookkeeping, lambda: self.snapshot, self._tell)
        self.running = Running(
            settings,
            self.tools,
            lambda: self.snapshot,
            self.bookkeeping,
            self._tell,
            metrics=self.metrics.runs,
            standing=Standing(self.access, lambda: self.authenticator),
        )
        self.retention = Retention(
            self.bookkeeping, {"responses": self.responses.forget, "runs": self.running.forget}, self._tell
        )

    async def start(self, *, take_on: bool = True) -> None:
        """Look for local servers, then serve, listen to changes of the configuration, and take on runs that were left."""
        self.loop = asyncio.get_running_loop()
        self.pulse.start()
        await self.bookkeeping.start()
        self.budgeting.start()
        self.repeats.start()
        self.access.start()
        await self.pricing.start()
        await self.switches.start()
        self.lag.start()
        if self.siblings is not None:
            await self.siblings.start()
        if self.link is not None:
            await self.link.start()
        await self.limiter.start()
        if await self.builder.discover():
            await self.lifecycle.discovered()
        await self.following.start(self.siblings)
        self.lifecycle.start()
        if take_on:
            self.running.start()
        self.retention.start()
        self.mcp.start()
        self.started = True
        self.probes.follow(self.snapshot)
        self.log.event(
            "started", worker=self.worker, config=self.snapshot.version, providers=sorted(self.snapshot.providers)
        )

    async def stop(self) -> None:
        """Close what is open: local models, connections, the log."""
        self.started = False
        self.lag.stop()
        if self.siblings is not None:
            await self.siblings.stop()
        await self.retention.stop()
        await self.switches.stop()
        await self.running.stop()
        await self.following.stop()
        await self.lifecycle.stop()
        await self.mcp.aclose()
        await self.probes.aclose()
        await self.shadows.aclose()
        await self.tooling.aclose()
        await self.pulse.stop()
        await self.access.stop()
        await self.pricing.stop()
        await self.login.stop()
        await self.budgeting.stop()
        await self.repeats.stop()
        await self.limiter.stop()
        if self.shared_board is not None:
            await self.shared_board.stop()
        if self.link is not None:
            await self.link.stop()
        await self.bookkeeping.stop()
        await self.builder.fleet.aclose()
        self.log.event("stopped")
        self.log.close()

    def _make_ready(self, prepared: Prepared) -> None:
        """What takes time and would hold up requests in `_serve`."""
        self.tooling.sandbox_for(prepared.snapshot.config.tools.exec)

    def _serve(self, prepared: Prepared) -> None:
        """Serve new requests by `prepared`; requests under way keep their own. Nothing is awaited in between."""
        self.tooling.use(prepared.snapshot.config.tools)
        self.mcp.use(prepared.snapshot.config.mcp.servers)
        self.snapshot = prepared.snapshot
        self.authenticator = prepared.authenticator
        self.peers = Peers(prepared.snapshot.config.trusted_proxies)
        prepared.snapshot.board.configure(upstream_policies(prepared.snapshot.config))
        self.limiter.configured = prepared.snapshot.limits.replicas
        if self.started:
            self.probes.follow(prepared.snapshot)
            self.budgeting.use(prepared.snapshot)

    def _note_breaker(self, key: Key, state: SharedState, until: float) -> None:
        """A breaker changed: a line for the operator. Cool-downs come by the hundred and are in the metrics."""
        if state != "cooling":
            level = "warning" if state == "open" else "info"
            self.log.event("breaker", level, provider=key.upstream, model=key.model, state=state)

    def _tell(self, name: str, level: str = "info", **fields: object) -> None:
        self.log.event(name, level, **fields)

    def _without_secrets(self, text: str) -> str:
        return self.snapshot.redactor.content(text)

    def _note_repeats(self, name: str, reason: str) -> None:
        self.log.event(name, "error", reason=reason)

    def recognise(self, headers: Headers) -> Principal | None:
        """The caller, as far as memory tells. Raises `PermissionDenied`."""
        return self.authenticator.recognise(headers, self.access.directory)

    async def identify(self, scope: Scope, headers: Headers) -> Principal:
        """The caller whom `recognise` does not know.

        Raises `AuthenticationError`, `PermissionDenied`, `AuthBackendUnavailable`, or `RateLimited` for an address that
        fails too often.
        """
        try:
            return await self.authenticator.authenticate(headers, self.access.directory)
        except AuthenticationError:
            wait = self.failures.note(self.peers.client(scope))
            if wait:
                raise RateLimited(
                    "too many failed authentications from this address", code="too_many_failures", retry_after=wait
                ) from None
            raise

    @property
    def is_open(self) -> bool:
        """Whether callers need no key, as far as is known."""
        return self.authenticator.is_open and not self.access.directory.issued

    def _tenants(self) -> Collection[str]:
        """Tenants that the configuration knows."""
        return {"default", *(key.tenant for key in self.snapshot.config.keys)}

    def _redis_down(self) -> bool:
        return self.link is not None and not self.link.up

    def _link_changed(self, up: bool, error: str | None) -> None:  # noqa: FBT001 - the link's own words
        self.log.event("redis_up" if up else "redis_down", "info" if up else "warning", error=error)

    def deadline_seconds(self, stream: bool) -> float:  # noqa: FBT001 - the request's own flag
        """How long a call may take: `EP_TIMEOUT` for a whole answer, the longer total limit for a stream."""
        return max(self.settings.timeout, _STREAM_SECONDS) if stream else self.settings.timeout

    def provider_views(self) -> dict[str, dict[str, object]]:
        """Each provider: whether it can be called, and the reason when not."""
        views: dict[str, dict[str, object]] = {}
        deployments = deployments_by_provider(self.snapshot)
        for name, given in self.snapshot.config.providers.items():
            provider = self.snapshot.providers.get(name)
            simulated = provider is not None and provider.simulated
            configured = simulated or (provider is not None and name in self.snapshot.live)
            views[name] = {
                "kind": given.kind,
                "sdk": provider is not None,
                "configured": configured,
                "simulated": simulated,
                "breaker": worst_breaker(deployments.get(name, ())),
                "deployments": [deployment_view(view) for view in deployments.get(name, ())],
                "probe": None if (found := self.probes.finding(name)) is None else found.as_json(),
                "models": list(given.models),
                "reason": None if configured else _missing(given),
            }
        return views

    def note_lag(self, late: float, worked: float) -> None:
        """How late the event loop was, and what it worked meanwhile. Turns are short: the rest of the delay stands in line."""
        late = max(late, self.builder.fleet.transport.waited)
        self.metrics.edge.loop_lag.observe(late)
        self.admission.note_lag(late, worked)

    def shared_view(self) -> dict[str, object]:
        """The shared Redis for health pages; nothing where none is configured. Its loss makes no replica unready."""
        if self.link is None:
            return {}
        view = self.link.view
        told: dict[str, object] = {"up": view.up, "replicas": view.replicas}
        if view.error is not None:
            told["error"] = view.error
        return {"redis": told, "rate_limits": self.limiter.mode}

    def not_ready(self) -> str | None:
        """Why no request can be served; None when some can."""
        if self.drain.begun:
            return "the process is being stopped"
        if self.access.directory.lacks_both and not self.snapshot.config.keys:
            return "neither the database nor Redis answers, and the configuration has no keys"
        return None if self.snapshot.default_provider in self.snapshot.providers else "no provider is usable"

    def default_model(self) -> str:
        """A model name for the first request of a newcomer."""
        name = self.snapshot.default_provider or "mock"
        return f"{name}/{self.snapshot.routing.default_model(name)}"

    def record(
        self, scope: Scope, spec: EndpointSpec, call: Call | None, request_id: str, status: int, started: float
    ) -> None:
        """Write the access log line and count the request."""
        seconds = time.perf_counter() - started
        if call is not None:
            observe(self.metrics, call, status, seconds)
            self.bookkeeping.requests.add(call, status, seconds)
        record = access_record(scope, spec, call, request_id, status, seconds)
        if call is None:
            record["config"] = self.snapshot.version
        record["client"] = self.peers.client(scope)
        self.log.write(record)

    def _record_shadow(self, copy: Call, seconds: float) -> None:
        """The same for a copy that is over."""
        self.books.close(copy)
        observe_shadow(self.metrics, copy, seconds)
        self.log.write(shadow_record(copy, seconds))

    def log_failure(self, error: BaseException, request_id: str) -> None:
        """A failure of our own with its stack, for the operator. Nothing of it goes to the caller."""
        clean = self.snapshot.redactor.text
        told = clean(f"{type(error).__name__}: {error}")
        stack = clean("".join(traceback.format_exception(error)))[-8000:]
        self.log.event("internal_error", "error", request_id=request_id, error=told, stack=stack)


def link_for(settings: Settings, changed: LinkChanged) -> RedisLink | None:
    """The link to the Redis of `EP_REDIS_URL`; None without one. Raises `ConfigError`."""
    return None if settings.redis_url is None else RedisLink(settings.redis_url.reveal(), changed=changed)


def _missing(given: ProviderConfig) -> str:
    """What a provider that cannot be called lacks."""
    spec = specs().get(given.kind)
    if spec is None or (spec.local and spec.base_url is None):
        return "not installed"
    if spec.local:
        return "does not answer on its usual port"
    names = " or ".join(spec.key_env)
    return f"no key: set {names}" if names else "no address: set base_url"
