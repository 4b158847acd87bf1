"""One alert in the forms its receivers read. Pure: what is stored holds no secret; what needs one is added when it is sent.

Forms: Standard Webhooks (standardwebhooks.com, specification 1.0.0), Slack incoming webhooks, PagerDuty Events API v2
(developer.pagerduty.com, read 2026-10), and a letter.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

from execution_platform import _json
from execution_platform.config.secret import Secret
from execution_platform.config.values import AlertKind
from execution_platform.exceptions import ConfigError
from execution_platform.ledger.budgets import NO_LIMIT, Amount, describe
from execution_platform.ledger.money import to_usd
from execution_platform.ledger.periods import Period

PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"
_PREFIX = "whsec_"
_SHORTEST_SECRET = 24
"""Bytes; the specification asks for 24 to 64."""


class Alert(NamedTuple):
    """Something about a budget that somebody should know."""

    id: str
    kind: str
    """`budget_threshold` or `budget_exhausted`."""
    scope: str
    period: Period
    period_start: int
    spent: Amount
    cap: Amount
    threshold: float
    at: float

    @property
    def summary(self) -> str:
        """One sentence for people."""
        account = describe(self.scope, self.period)
        if self.kind == "budget_exhausted":
            return f"{account[0].upper()}{account[1:]} has no room left: requests are refused."
        parts: list[str] = []
        if self.cap.nanos < NO_LIMIT:
            parts.append(f"${to_usd(self.spent.nanos):.2f} of ${to_usd(self.cap.nanos):.2f}")
        if self.cap.tokens < NO_LIMIT:
            parts.append(f"{self.spent.tokens} of {self.cap.tokens} tokens")
        return f"{account[0].upper()}{account[1:]} has reached {self.threshold:.0%}: {' and '.join(parts)} spent."

    @property
    def facts(self) -> dict[str, Any]:
        """The numbers, for machines. Dollars are decimal text, so that no reader rounds them."""
        return {
            "scope": self.scope,
            "period": self.period,
            "period_start": _time(self.period_start),
            "spent_usd": str(to_usd(self.spent.nanos)),
            "limit_usd": None if self.cap.nanos >= NO_LIMIT else str(to_usd(self.cap.nanos)),
            "spent_tokens": self.spent.tokens,
            "limit_tokens": None if self.cap.tokens >= NO_LIMIT else self.cap.tokens,
            "alert_threshold": self.threshold,
        }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def payload(alert: Alert, shape: AlertKind) -> str:
    """What is stored for a receiver of that kind."""
    content: dict[str, Any]
    match shape:
        case "webhook":
            name = alert.kind.replace("_", ".", 1)
            content = {"type": name, "timestamp": _time(alert.at), "data": {**alert.facts, "message": alert.summary}}
        case "slack":
            content = {"text": alert.summary}
        case "pagerduty":
            content = {
                "event_action": "trigger",
                "dedup_key": _dedup_key(alert.kind, alert.scope, alert.period, alert.period_start),
                "payload": {
                    "summary": alert.summary[:1024],
                    "source": "execution-platform",
                    "severity": "critical" if alert.kind == "budget_exhausted" else "warning",
                    "timestamp": _time(alert.at),
                    "custom_details": alert.facts,
                },
            }
        case "email":
            facts = "\n".join(f"{name}: {value}" for name, value in alert.facts.items())
            content = {"subject": alert.summary, "text": f"{alert.summary}\n\n{facts}\n"}
    return _json.dumps(content).decode()


def resolution(kind: str, scope: str, period: str, period_start: int) -> str:
    """PagerDuty's event that ends an alert."""
    return _json.dumps({"event_action": "resolve", "dedup_key": _dedup_key(kind, scope, period, period_start)}).decode()


def _dedup_key(kind: str, scope: str, period: str, period_start: int) -> str:
    return f"{kind}:{scope}:{period}:{period_start}"


def signed(body: bytes, *, identity: str, at: int, secret: Secret) -> dict[str, str]:
    """The headers of Standard Webhooks. Raises `ConfigError` for a secret that is too short to protect anything."""
    text = secret.reveal()
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX) + "==", validate=False)
    except ValueError:
        raise ConfigError("a webhook secret must be base64, as in whsec_…") from None
    if len(key) < _SHORTEST_SECRET:
        raise ConfigError(f"a webhook secret needs at least {_SHORTEST_SECRET} bytes, in base64: whsec_…")
    digest = hmac.new(key, f"{identity}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def with_routing_key(body: str, key: Secret) -> bytes:
    """A PagerDuty event with the key that says whom to call."""
    event = cast("Mapping[str, object]", _json.loads(body.encode()))
    return _json.dumps({"routing_key": key.reveal(), **event})
