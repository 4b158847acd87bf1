"""Thinking budgets of other dialects as levels of effort: near, and never the opposite of what was asked."""

import pytest

from execution_platform import _json
from execution_platform.dialects.openai_chat import DIALECT
from execution_platform.spi import ChatRequest, Message, ModelProfile, Reasoning, ToolDefinition

LEVELS = ("none", "low", "medium", "high")


def effort_for(reasoning: Reasoning, *levels: str) -> object:
    profile = ModelProfile(reasoning=True, effort_levels=levels or LEVELS)
    encoded = DIALECT.encode_request(ChatRequest([Message("user", "hi")], "m", reasoning=reasoning), profile)
    return _json.loads(encoded.body).get("reasoning_effort")


@pytest.mark.parametrize(
    ("budget", "effort"), [(0, "none"), (1, "low"), (300, "low"), (2048, "low"), (9000, "medium"), (60000, "high")]
)
def test_a_wish_to_think_never_becomes_none(budget: int, effort: str) -> None:
    assert effort_for(Reasoning(budget_tokens=budget)) == effort


def test_a_budget_left_to_the_model_asks_for_no_level() -> None:
    assert effort_for(Reasoning(budget_tokens=-1)) is None


def test_a_model_that_always_thinks_is_asked_for_its_least() -> None:
    assert effort_for(Reasoning(budget_tokens=0), "low", "high") == "low"


@pytest.mark.parametrize("tier", ["none", "prompted", "simulated"])
def test_tools_for_a_model_that_calls_none_are_a_loss_of_content(tier: str) -> None:
    request = ChatRequest([Message("user", "hi")], "m", tools=[ToolDefinition("f")])
    encoded = DIALECT.encode_request(request, ModelProfile(tool_calling=tier))  # type: ignore[arg-type]
    assert [(loss.path, loss.severity) for loss in encoded.losses] == [("tools", "content")]
