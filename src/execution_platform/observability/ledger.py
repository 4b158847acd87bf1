"""Metrics of the books."""

from prometheus_client import CollectorRegistry, Gauge


class LedgerMetrics:
    """The books of the process. Set when they are read, from what the ledger counts itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, told: str) -> Gauge:
            return Gauge(name, told, registry=registry)

        self.delivered = gauge("ep_ledger_events_delivered", "Cost events stored in the database since the start")
        self.failures = gauge("ep_ledger_delivery_failures", "Batches the database did not take since the start")
        self.blocked_seconds = gauge(
            "ep_ledger_blocked_seconds", "How long the database has taken nothing; 0 if it does"
        )
        self.lag_bytes = gauge("ep_ledger_lag_bytes", "Bytes of the journal that are not delivered")
        self.journal_bytes = gauge("ep_ledger_journal_bytes", "Bytes of the journal on disk")
        self.journal_full = gauge("ep_ledger_journal_full", "1 while the journal takes no new calls")
        self.open_tries = gauge("ep_ledger_open_tries", "Tries at providers that have not ended")
        self.drift = gauge("ep_ledger_drift_ratio", "How far sums and events of two days are apart; 0 when equal")
        self.requests_dropped = gauge("ep_request_log_dropped", "Requests the request log could not take")
        self.refused = gauge("ep_ledger_refused", "Tries refused because the journal could not record them")
