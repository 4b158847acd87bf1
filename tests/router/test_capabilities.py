"""What providers offer, and the check of requirements against it."""

import pytest

from execution_platform.exceptions import InvalidRequest, RequirementError, RouterError
from execution_platform.providers.registry import specs
from execution_platform.router.capabilities import PROVIDER_CAPABILITIES, ensure_requirements
from execution_platform.spi import CAPABILITIES


def test_every_kind_of_provider_has_every_capability() -> None:
    assert set(PROVIDER_CAPABILITIES) == set(specs())
    assert len(PROVIDER_CAPABILITIES) == len(specs())
    for offered in PROVIDER_CAPABILITIES.values():
        assert tuple(offered) == CAPABILITIES


def test_a_model_and_an_alias_are_looked_up_too() -> None:
    assert PROVIDER_CAPABILITIES["anthropic"]["tool_calling"] == "native"
    assert PROVIDER_CAPABILITIES["claude"] == PROVIDER_CAPABILITIES["anthropic"]
    assert PROVIDER_CAPABILITIES["openai/gpt-3.5-turbo"]["vision"] is False
    assert "nobody" not in PROVIDER_CAPABILITIES


def test_what_a_provider_offers_passes() -> None:
    ensure_requirements("openai")
    ensure_requirements("anthropic", {"tool_calling": "native", "streaming": True, "json_mode": False})
    ensure_requirements("openai/gpt-4o", ["vision"])


def test_everything_it_lacks_is_told() -> None:
    with pytest.raises(RequirementError, match=r"embedded: .*vision") as caught:
        ensure_requirements("embedded", {"vision": True, "context_window": 1_000_000})
    assert "context_window" in caught.value.message
    assert caught.value.status == 412


def test_unknown_names_are_refused() -> None:
    with pytest.raises(RouterError, match=r"Did you mean anthropic\?"):
        ensure_requirements("antropic", ["vision"])
    with pytest.raises(InvalidRequest, match=r"requires\.visoin"):
        ensure_requirements("openai", ["visoin"])
