"""The column of the Claude agent runtime in the scenario matrix, played by the real package and its real program."""

from typing import Any

import pytest

from clients.test_claude_agent import pytestmark as installed
from conformance.test_matrix import BY_ID, SCENARIOS, played

pytestmark = installed
_TEXT = "the codec above the provider carries it, and tests of the gateway show that (test_claude_agent, test_tiers)"
_RECORD = "the loss stands at `messages` as a whole, where the judge expects that of one message"
_RUNTIME = "the runtime says less than the API it asks, so the judge finds neither the kind nor a reason in its words"
EXEMPT = {
    "tool_call": _TEXT,
    "parallel_calls": _TEXT,
    "one_call_at_a_time": _TEXT,
    "forced_tool": _TEXT,
    "tool_result": _TEXT,
    "parallel_results": _TEXT,
    "tool_error": _TEXT,
    "thinking_replay": _TEXT,
    "mid_system": _RECORD,
    "multi_turn": _RECORD,
    "max_tokens": _RUNTIME,
    "unknown_model": _RUNTIME,
    "rate_limit": _RUNTIME,
    "context_length": _RUNTIME,
    "error_in_stream": _RUNTIME,
}
"""Cells that the judge of the matrix cannot confirm, and why."""
CASES = [pytest.param(scenario, way, id=f"{scenario.id}-{way}") for scenario in SCENARIOS for way in scenario.ways]


@pytest.mark.parametrize(("scenario", "way"), CASES)
def test_the_runtime_does_what_the_matrix_says(scenario: Any, way: Any) -> None:
    """A cell that is exempt is still exempt: one that holds by now loses its reason."""
    found = played("claude_agent", scenario, way)
    assert bool(found) == (scenario.id in EXEMPT), found


def test_what_is_exempt_is_a_scenario() -> None:
    assert EXEMPT.keys() <= BY_ID.keys()
