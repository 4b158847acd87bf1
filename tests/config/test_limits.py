"""Rate limits of the file and the environment."""

import pytest

from execution_platform.config.files import parse_config
from execution_platform.config.problems import ConfigProblems
from execution_platform.config.resolve import resolve
from execution_platform.config.settings import Settings
from execution_platform.config.values import RateLimit, RateLimits
from execution_platform.providers.registry import specs


def limits(text: str, **environ: str) -> RateLimits:
    return resolve(parse_config("version: 1\n" + text), Settings(environ), specs()).rate_limits


def test_limits_stand_in_one_section_or_with_the_names_themselves() -> None:
    found = limits(
        """
rate_limits:
  replicas: 3
  tenants: {acme: {tokens: 1000}}
  models: {openai/gpt-4o: {requests: 7}}
keys: [{name: team, key: sk-1, rate_limit: {requests: 5, burst: 2}}]
personas:
  base: {abstract: true, rate_limit: {requests: 9}}
  dev: {extends: base, prefer: openai/gpt-4o}
"""
    )
    assert found.replicas == 3
    assert found.keys == {"team": RateLimit(requests=5, burst=2)}
    assert found.tenants == {"acme": RateLimit(tokens=1000)}
    assert found.personas == {"dev": RateLimit(requests=9)}
    assert found.models == {"openai/gpt-4o": RateLimit(requests=7)}


def test_the_environment_gives_every_persona_a_limit() -> None:
    found = limits("", EP_RATE_LIMIT_PER_PERSONA="60")
    assert found.personas == {"*": RateLimit(requests=60)}
    joined = limits(
        "rate_limits: {personas: {'*': {requests: 5, tokens: 7, burst: 2}}}", EP_RATE_LIMIT_PER_PERSONA="60"
    )
    assert joined.personas == {"*": RateLimit(requests=60, tokens=7, burst=2)}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("rate_limits: {personas: {architekt: {requests: 1}}}", "rate_limits.personas.architekt"),
        ("rate_limits: {providers: {opena: {requests: 1}}}", "rate_limits.providers.opena"),
        ("rate_limits: {models: {opena/gpt-4o: {requests: 1}}}", "rate_limits.models.opena"),
        ("rate_limits: {keys: {a: {requests: 0}}}", "rate_limits.keys.a.requests"),
        ("rate_limits: {keys: {a: {request: 1}}}", "rate_limits.keys.a.request"),
        (
            "rate_limits: {keys: {a: {requests: 1}}}\nkeys: [{name: a, key: sk-1, rate_limit: {requests: 2}}]",
            "rate_limits.keys.a",
        ),
    ],
)
def test_what_cannot_be_meant_is_named(text: str, path: str) -> None:
    with pytest.raises(ConfigProblems) as refused:
        limits(text)
    assert path in str(refused.value)
