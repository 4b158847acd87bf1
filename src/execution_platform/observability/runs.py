"""Metrics of agent runs, and of the tools that models call."""

from prometheus_client import CollectorRegistry, Counter, Gauge

OK = "ok"


class RunMetrics:
    """What runs do. Children are prepared on first use; names of tools are those of the registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        started = Counter("ep_runs_started", "Runs begun, and runs taken up again", ("how",), registry=registry)
        self.begun, self.resumed = started.labels("new"), started.labels("resumed")
        self._finished = Counter(
            "ep_runs_finished", "Runs that are over, by their reason", ("reason",), registry=registry
        )
        self.active = Gauge("ep_runs_active", "Runs this process works on", registry=registry)
        self.steps = Counter("ep_run_steps", "Turns of the agents of runs that are over", registry=registry)
        self.forgotten = Counter("ep_runs_forgotten", "Runs deleted because they are old", registry=registry)
        self._calls = Counter(
            "ep_tool_calls", "Calls of tools by models, by what became of them", ("tool", "outcome"), registry=registry
        )
        self._children: dict[tuple[str, str], Counter] = {}
        self._reasons: dict[str, Counter] = {}

    def finished(self, reason: str, steps: int) -> None:
        """One run is over."""
        child = self._reasons.get(reason)
        if child is None:
            child = self._reasons[reason] = self._finished.labels(reason)
        child.inc()
        self.steps.inc(steps)

    def called(self, tool: str, outcome: str | None) -> None:
        """A call of `tool` was answered; `outcome` is the code of what went wrong."""
        key = (tool, outcome or OK)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._calls.labels(*key)
        child.inc()
