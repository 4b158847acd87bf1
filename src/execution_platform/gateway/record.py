"""The access log line and the counters of one request."""

from execution_platform.exceptions import ErrorKind
from execution_platform.gateway.admission import Admission, Priority
from execution_platform.gateway.http import Scope
from execution_platform.gateway.routes import EndpointSpec
from execution_platform.ledger.money import NANOS
from execution_platform.observability.logging import now
from execution_platform.observability.metrics import Metrics
from execution_platform.observability.served import RouteMetrics
from execution_platform.router.chain import Run
from execution_platform.runtime.call import Call

_OK = 200
"""A number: a member of an enumeration costs a call each time it is named."""
_CALLERS_OWN = frozenset({ErrorKind.BUDGET, ErrorKind.RATE_LIMIT})
_OTHER = "other"


def access_record(
    scope: Scope, spec: EndpointSpec, call: Call | None, request_id: str, status: int, seconds: float
) -> dict[str, object]:
    """One request as a JSON object. It holds names, numbers and codes; never content."""
    record: dict[str, object] = {
        "ts": now(),
        "level": "info",
        "event": "request",
        "request_id": request_id,
        "method": scope["method"],
        "path": spec.path,
        "status": status,
        "dialect": spec.dialect.name,
        "duration_ms": round(seconds * 1000, 2),
    }
    if call is None:
        return record
    outcome, route, target = call.outcome, call.route, call.outcome.target
    record["key"] = call.principal.name
    if call.principal.key_id:
        record["key_id"] = call.principal.key_id
    record["config"] = call.snapshot.version
    record["stream"] = call.peek.stream
    if route is not None and route.persona is not None:
        record["persona"] = route.persona.name
    if target is not None:
        record["provider"] = target.provider
        record["model"] = target.model
        record["passthrough"] = outcome.passthrough
    arm = call.arm
    if arm is not None:
        record["arm"] = arm
    run = outcome.run
    tried = outcome.tried
    record["attempts"] = len(tried)
    if run is not None and run.detours:
        record["failed"] = [f"{detour.target}: {detour.reason}" for detour in run.detours]
    if len(tried) > 1:
        record["tries"] = [f"{attempt.target}: {attempt.why} {attempt.status}" for attempt in tried]
    if outcome.continued:
        record["continued"] = outcome.continued
    _add_numbers(record, call, seconds)
    if outcome.error is not None:
        record["level"] = "warning"
        record["error"] = outcome.error.code
    return record


def _add_numbers(record: dict[str, object], call: Call, seconds: float) -> None:
    outcome = call.outcome
    if outcome.first_content is not None:
        record["first_content_ms"] = round((outcome.first_content - call.started) * 1000, 2)
    if not call.peek.stream:
        record["overhead_ms"] = round((seconds - outcome.upstream_seconds) * 1000, 3)
    usage = outcome.usage
    if usage is not None:
        record["input_tokens"] = usage.input_tokens
        record["output_tokens"] = usage.output_tokens
    if outcome.cost is not None:
        record["cost_usd"] = outcome.cost.nanos / NANOS
    if outcome.losses:
        record["losses"] = [f"{loss.severity}:{loss.path}" for loss in outcome.losses]
    if call.trace is not None:
        record["trace_id"] = call.trace.trace_id


def watch_admission(metrics: Metrics, admission: Admission) -> None:
    """Let a scrape read the gate's own numbers: a request counts them once."""
    metrics.edge.in_flight.set_function(lambda: admission.in_flight)
    metrics.edge.allowed.set_function(lambda: admission.allowed)
    metrics.edge.streams.set_function(lambda: admission.streams)
    admission.on_refused = tuple(metrics.edge.shed.labels(priority.name.lower()).inc for priority in Priority)


def observe(metrics: Metrics, call: Call, status: int, seconds: float) -> None:
    """Add one request to the counters. Names that are not in the configuration count as `other`."""
    outcome = call.outcome
    served = _served(metrics, call)
    is_ok = outcome.error is None and status == _OK
    if is_ok:
        served.ok += 1
    else:
        served.failed += 1
    served.duration.observe(seconds)
    if outcome.first_content is not None:
        served.first_chunk.observe(outcome.first_content - call.started)
    if not call.peek.stream:
        served.overhead.observe(seconds - outcome.upstream_seconds)
    usage = outcome.usage
    if usage is not None:
        served.input_tokens += usage.input_tokens or 0
        served.output_tokens += usage.output_tokens or 0
    if call.arm is not None:
        _observe_arm(metrics, call, seconds, failed=not is_ok)
    if outcome.run is not None and (outcome.run.detours or len(outcome.run.tried) > 1):
        _count_tries(metrics, outcome.run)
    for loss in outcome.losses:
        metrics.losses.labels(loss.severity).inc()


def _served(metrics: Metrics, call: Call) -> RouteMetrics:
    """The numbers a request adds to."""
    target, served, dialect = call.outcome.target, metrics.served, call.dialect.name
    persona = call.route.persona.name if call.route is not None and call.route.persona is not None else ""
    if target is None:
        return served.route((dialect, "", "", persona))
    known = served.known((dialect, target.provider, target.model, persona))
    if known is not None:
        return known
    model = target.model if call.snapshot.lists(target) else _OTHER
    return served.route((dialect, target.provider, model, persona))


def _count_tries(metrics: Metrics, run: Run) -> None:
    """Retries, failovers, hedges and continuations by the reason that led to them."""
    reason = ""
    for attempt in run.tried:
        provider = attempt.target.provider
        if attempt.why == "retry":
            metrics.upstreams.retries.labels(provider, reason).inc()
        elif attempt.why == "hedge":
            metrics.upstreams.hedges.labels(provider, "won" if attempt is run.winner else "lost").inc()
        elif attempt.why == "continuation":
            metrics.upstreams.continuations.labels(provider).inc()
        if attempt.error is not None:
            reason = attempt.error.kind.value
            metrics.upstreams.failed.labels(provider, reason).inc()
    fallback = run.fallback(run.winner.target) if run.winner is not None else None
    if fallback is not None:
        metrics.upstreams.failovers.labels(fallback.target.provider, fallback.reason).inc()


def _observe_arm(metrics: Metrics, call: Call, seconds: float, *, failed: bool) -> None:
    outcome = call.outcome
    if not outcome.attempts and outcome.error is not None and outcome.error.kind in _CALLERS_OWN:
        return  # no arm was asked: what its caller may not spend tells nothing about it
    target = outcome.target or (call.route.targets[0] if call.route is not None else None)
    if target is None:
        return
    children = metrics.experiments.arm(target.via or "", target.arm or "")
    (children.failed if failed else children.ok).inc()
    children.duration.observe(seconds)
    if outcome.first_content is not None:
        children.first_chunk.observe(outcome.first_content - call.started)
    if outcome.cost is not None:
        children.cost.inc(outcome.cost.nanos / NANOS)


def shadow_record(copy: Call, seconds: float) -> dict[str, object]:
    """A copy as a JSON object. Like the line of a request it holds no content."""
    record: dict[str, object] = {
        "ts": now(),
        "level": "info",
        "event": "shadow",
        "request_id": copy.id,
        "shadow_of": copy.shadow_of,
        "config": copy.snapshot.version,
        "duration_ms": round(seconds * 1000, 2),
    }
    if copy.route is not None:
        target = copy.route.targets[0]
        record["provider"], record["model"] = target.provider, target.model
    _add_numbers(record, copy, seconds)
    if copy.outcome.error is not None:
        record["level"], record["error"] = "warning", copy.outcome.error.code
    return record


def observe_shadow(metrics: Metrics, copy: Call, seconds: float) -> None:
    """Add one copy to the counters, which are not those of requests."""
    metrics.experiments.shadows.labels("ok" if copy.outcome.error is None else "error").inc()
    if copy.route is None:
        return
    target = copy.route.targets[0]
    metrics.experiments.shadow_seconds.labels(target.provider, target.model).observe(seconds)
    usage = copy.outcome.usage
    if usage is not None:
        metrics.experiments.shadow_tokens.labels(target.provider, target.model, "input").inc(usage.prompt_tokens)
        metrics.experiments.shadow_tokens.labels(target.provider, target.model, "output").inc(usage.completion_tokens)
