"""The access log line and the counters of one request."""

from execution_platform.gateway.admission import Admission, Priority
from execution_platform.gateway.http import Scope
from execution_platform.gateway.routes import EndpointSpec
from execution_platform.observability.logging import now
from execution_platform.observability.metrics import Metrics, Route
from execution_platform.runtime.call import Call

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
    outcome = call.outcome
    record["key"] = call.principal.name
    record["config"] = call.snapshot.version
    record["stream"] = call.peek.stream
    if call.route is not None and call.route.persona is not None:
        record["persona"] = call.route.persona.name
    if outcome.target is not None:
        record["provider"] = outcome.target.provider
        record["model"] = outcome.target.model
        record["passthrough"] = outcome.passthrough
    record["attempts"] = outcome.attempts
    if outcome.failures:
        record["failed"] = [f"{failure.target}: {failure.error.kind.value}" for failure in outcome.failures]
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
        record["cost_usd"] = float(outcome.cost.usd)
    if outcome.losses:
        record["losses"] = [f"{loss.severity}:{loss.path}" for loss in outcome.losses]
    if call.trace is not None:
        record["trace_id"] = call.trace.trace_id


def watch_admission(metrics: Metrics, admission: Admission) -> None:
    """Let a scrape read the gate's own numbers: a request counts them once."""
    metrics.in_flight.set_function(lambda: admission.in_flight)
    metrics.allowed.set_function(lambda: admission.allowed)
    metrics.streams.set_function(lambda: admission.streams)
    admission.on_refused = tuple(metrics.shed.labels(priority.name.lower()).inc for priority in Priority)


def observe(metrics: Metrics, call: Call, status: int, seconds: float) -> None:
    """Add one request to the counters. Names that are not in the configuration count as `other`."""
    outcome = call.outcome
    target = outcome.target
    persona = call.route.persona.name if call.route is not None and call.route.persona is not None else ""
    if target is None:
        route = Route(call.dialect.name, "", "", persona)
    else:
        model = target.model if call.snapshot.lists(target) else _OTHER
        route = Route(call.dialect.name, target.provider, model, persona)
    children = metrics.route(route)
    (children.failed if outcome.error is not None or status != 200 else children.ok).inc()
    children.duration.observe(seconds)
    if outcome.first_content is not None:
        children.first_chunk.observe(outcome.first_content - call.started)
    if not call.peek.stream:
        children.overhead.observe(seconds - outcome.upstream_seconds)
    usage = outcome.usage
    if usage is not None:
        children.input_tokens.inc(usage.prompt_tokens)
        children.output_tokens.inc(usage.completion_tokens)
    for failure in outcome.failures:
        metrics.attempts_failed.labels(failure.target.provider, failure.error.kind.value).inc()
    for loss in outcome.losses:
        metrics.losses.labels(loss.severity).inc()
