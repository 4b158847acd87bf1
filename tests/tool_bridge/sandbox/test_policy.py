"""The policy of a sandbox, as a value."""

from typing import Any

import pytest

from execution_platform.exceptions import ConfigError
from execution_platform.tool_bridge.sandbox import SandboxPolicy


def test_the_default_allows_nothing() -> None:
    policy = SandboxPolicy()
    assert policy == SandboxPolicy((), (), 30, network_access=False)
    assert hash(policy) == hash(SandboxPolicy())


def test_lists_become_values() -> None:
    policy = SandboxPolicy(allowed_commands=["git", "ls"], blocked_paths=[".env*"])  # type: ignore[arg-type]
    assert policy.allowed_commands == ("git", "ls")
    assert policy.blocked_paths == (".env*",)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"allowed_commands": "git"}, "allowed_commands: must be a list"),
        ({"allowed_commands": 3}, "allowed_commands: must be a list"),
        ({"allowed_commands": ["git status"]}, "not the name of a program"),
        ({"allowed_commands": ["/bin/sh"]}, "not the name of a program"),
        ({"allowed_commands": ["ls;rm"]}, "not the name of a program"),
        ({"blocked_paths": [""]}, "blocked_paths: every entry"),
        ({"max_execution_time": 0}, "max_execution_time"),
        ({"max_execution_time": float("nan")}, "max_execution_time"),
    ],
)
def test_what_could_not_be_enforced_is_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        SandboxPolicy(**given)
