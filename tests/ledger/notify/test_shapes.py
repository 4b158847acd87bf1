"""Alerts in the forms of their receivers."""

import base64
import json
import random

import pytest

from execution_platform.config.secret import Secret
from execution_platform.exceptions import ConfigError
from execution_platform.ledger.budgets import NO_LIMIT, Amount
from execution_platform.ledger.notify.sender import pause_after
from execution_platform.ledger.notify.shapes import Alert, payload, signed, with_routing_key

ALERT = Alert(
    "id", "budget_threshold", "team:web", "daily", 0, Amount(800_000_000, 5), Amount(10**9, NO_LIMIT), 0.8, 7.0
)


def test_pagerduty_gets_one_incident_per_period_and_the_key_only_on_the_way() -> None:
    stored = payload(ALERT, "pagerduty")
    assert "routing_key" not in stored
    event = json.loads(with_routing_key(stored, Secret("R0UT1NG")))
    assert event["routing_key"] == "R0UT1NG"
    assert event["dedup_key"] == "budget_threshold:team:web:daily:0"
    assert event["payload"]["severity"] == "warning"
    assert event["payload"]["custom_details"]["spent_usd"] == "0.8"


def test_slack_gets_one_sentence() -> None:
    assert json.loads(payload(ALERT, "slack")) == {
        "text": "The daily budget of team web has reached 80%: $0.80 of $1.00 spent."
    }


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_" + base64.b64encode(b"short").decode()])
def test_a_secret_that_protects_nothing_signs_nothing(secret: str) -> None:
    """B5."""
    with pytest.raises(ConfigError):
        signed(b"{}", identity="m", at=0, secret=Secret(secret))


def test_pauses_grow_and_have_an_end() -> None:
    rng = random.Random(1)
    pauses = [pause_after(failures, rng) for failures in range(1, 9)]
    assert all(later > earlier for earlier, later in zip(pauses, pauses[1:], strict=False) if earlier < 10_000)
    assert max(pauses) <= 6 * 3600
