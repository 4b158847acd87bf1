"""What one gateway process holds: the current snapshot, the connection pool, the log, the metrics."""

import time
import traceback
from collections.abc import Mapping

from execution_platform.config.resolve import ProviderConfig
from execution_platform.config.settings import Settings
from execution_platform.exceptions import ConfigError, UnprocessableRequest
from execution_platform.gateway.auth import Authenticator
from execution_platform.gateway.bookkeeping import Bookkeeping
from execution_platform.gateway.http import Scope
from execution_platform.gateway.pulse import Pulse
from execution_platform.gateway.record import access_record, observe
from execution_platform.gateway.routes import EndpointSpec
from execution_platform.gateway.snapshots import SnapshotBuilder, authenticator_for
from execution_platform.observability.logging import LineLog
from execution_platform.observability.metrics import Metrics
from execution_platform.providers.registry import specs
from execution_platform.runtime.call import Call
from execution_platform.runtime.snapshot import Snapshot
from execution_platform.tool_bridge import ToolRegistry

_STREAM_SECONDS = 3600.0
"""A stream that still speaks is cut after this long; silence ends it much earlier."""


class State:
    """The composition of one process. Everything a request reads is behind `snapshot` and `authenticator`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.log = LineLog()
        self.metrics = Metrics()
        self.pulse = Pulse()
        self.tools = ToolRegistry()
        self.builder = SnapshotBuilder(settings)
        self.snapshot: Snapshot = self.builder.build()
        self.authenticator: Authenticator = authenticator_for(self.builder, self.snapshot.config)
        self.bookkeeping = Bookkeeping(settings, self.snapshot.config.ledger, self.log, self.metrics)
        self.books = self.bookkeeping.books
        self.started_at = time.time()

    async def start(self) -> None:
        """Look for local servers, then serve."""
        self.pulse.start()
        await self.bookkeeping.start()
        found = await self.builder.discover()
        if found:
            self.swap(self.builder.build())
        self.log.event("started", config=self.snapshot.version, providers=sorted(self.snapshot.providers))

    async def stop(self) -> None:
        """Close what is open: local models, connections, the log."""
        await self.pulse.stop()
        await self.bookkeeping.stop()
        await self.builder.fleet.aclose()
        self.log.event("stopped")
        self.log.close()

    def swap(self, snapshot: Snapshot) -> None:
        """Serve new requests by `snapshot`; requests under way keep theirs."""
        self.snapshot = snapshot
        self.authenticator = authenticator_for(self.builder, snapshot.config)

    def deadline_seconds(self, stream: bool) -> float:  # noqa: FBT001 - the request's own flag
        """How long a call may take: `EP_TIMEOUT` for a whole answer, the longer total limit for a stream."""
        return max(self.settings.timeout, _STREAM_SECONDS) if stream else self.settings.timeout

    def switch_persona(self, name: str, persona: Mapping[str, object]) -> None:
        """Change a persona for all requests from now on. Raises `UnprocessableRequest` and changes nothing when it is not usable."""
        try:
            snapshot = self.builder.with_persona(name, persona)
        except ConfigError as error:
            raise UnprocessableRequest(error.message, code=error.code) from error
        self.swap(snapshot)
        self.log.event("persona_switched", persona=name, config=snapshot.version)

    def provider_views(self) -> dict[str, dict[str, object]]:
        """Each provider: whether it can be called, and the reason when not."""
        views: dict[str, dict[str, object]] = {}
        for name, given in self.snapshot.config.providers.items():
            provider = self.snapshot.providers.get(name)
            simulated = provider is not None and provider.simulated
            configured = simulated or (provider is not None and name in self.snapshot.live)
            views[name] = {
                "kind": given.kind,
                "sdk": provider is not None,
                "configured": configured,
                "simulated": simulated,
                "breaker": "closed",
                "models": list(given.models),
                "reason": None if configured else _missing(given),
            }
        return views

    def not_ready(self) -> str | None:
        """Why no request can be served; None when some can."""
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
        self.log.write(access_record(scope, spec, call, request_id, status, seconds))

    def log_failure(self, error: BaseException, request_id: str) -> None:
        """A failure of our own with its stack, for the operator. Nothing of it goes to the caller."""
        clean = self.snapshot.redactor.text
        told = clean(f"{type(error).__name__}: {error}")
        stack = clean("".join(traceback.format_exception(error)))[-8000:]
        self.log.event("internal_error", "error", request_id=request_id, error=told, stack=stack)


def _missing(given: ProviderConfig) -> str:
    """What a provider that cannot be called lacks."""
    spec = specs().get(given.kind)
    if spec is None or (spec.local and spec.base_url is None):
        return "not installed"
    if spec.local:
        return "does not answer on its usual port"
    names = " or ".join(spec.key_env)
    return f"no key: set {names}" if names else "no address: set base_url"
