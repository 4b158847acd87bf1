"""Prometheus metrics. Labels come from configuration values only; anything else counts as `other`.

What every request adds to is in `served.py`; for the rest children are prepared once per label set.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from execution_platform.observability.edge import ConfigMetrics, EdgeMetrics, SharedMetrics
from execution_platform.observability.experiments import ExperimentMetrics
from execution_platform.observability.ledger import LedgerMetrics
from execution_platform.observability.runs import RunMetrics
from execution_platform.observability.served import SECONDS, Served
from execution_platform.observability.upstreams import ProbeMetrics, UpstreamMetrics


class Metrics:
    """All metrics of one gateway, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.served = Served()
        registry.register(self.served)
        self.upstreams = UpstreamMetrics(registry)
        self.losses = Counter("ep_losses", "Things a translation could not carry", ("severity",), registry=registry)
        self.budget_refused = Counter(
            "ep_budget_refused", "Requests a budget had no room for", ("scope", "period"), registry=registry
        )
        self.budget_alerts = Counter(
            "ep_budget_alerts", "Alerts of budgets by kind", ("kind", "scope", "period"), registry=registry
        )
        self.notices = Counter(
            "ep_alert_messages", "Messages to alert channels by outcome", ("channel", "outcome"), registry=registry
        )
        self.refused = Counter("ep_refused", "Requests refused by the gateway", ("code",), registry=registry)
        self.edge = EdgeMetrics(registry)
        self.shared = SharedMetrics(registry)
        self.config = ConfigMetrics(registry)
        self.ledger = LedgerMetrics(registry)
        self.experiments = ExperimentMetrics(registry, SECONDS)
        self.runs = RunMetrics(registry)
        self.probes = ProbeMetrics(registry, SECONDS)
        self.log_dropped = Gauge("ep_log_lines_dropped", "Log lines nobody read in time", registry=registry)

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self.registry)
