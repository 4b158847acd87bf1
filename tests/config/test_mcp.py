"""The section `mcp` of the configuration."""

from typing import Any

import pytest
from pydantic import ValidationError

from execution_platform.config.mcp import McpAddress, McpProgram
from execution_platform.config.problems import Problem
from execution_platform.config.written.mcp import RESERVED, RawMcp, resolve_mcp


def servers(**given: Any) -> RawMcp:
    return RawMcp.model_validate({"servers": given})


def test_a_server_is_a_program_or_an_address() -> None:
    found = resolve_mcp(servers(a={"command": "x"}, b={"url": "https://x.example"}), "127.0.0.1", []).servers
    assert isinstance(found["a"].place, McpProgram)
    assert isinstance(found["b"].place, McpAddress)
    assert (found["a"].side_effect, found["b"].side_effect) == ("exec", "network")
    assert (found["a"].seconds, found["a"].result) == (60, 1024 * 1024)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"command": "x", "url": "https://x.example"},
        {"url": "ftp://x.example"},
        {"url": "https://x.example", "args": ["-x"]},
        {"command": "x", "headers": {"a": "b"}},
        {"command": "x", "read": ["/"]},
        {"command": "x", "oauth": {"issuer": "https://i.example"}},
        {"url": "https://x.example", "oauth": {"issuer": "http://i.example"}},
        {"url": "https://x.example", "oauth": {"issuer": "javascript:1"}},
        {"url": "https://x.example", "oauth": {"issuer": "https://i.example", "client_secret": "s"}},
        {"url": "https://x.example", "oauth": {"issuer": "https://i.example", "grant": "client_credentials"}},
        {
            "url": "https://x.example",
            "oauth": {"issuer": "https://i.example"},
            "headers": {"Authorization": "Bearer x"},
        },
    ],
)
def test_a_definition_that_means_two_things_or_none_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        servers(a=given)


@pytest.mark.parametrize("name", [*sorted(RESERVED), "Files", "a.b", "", "1x", "x" * 33, "f\u0456les"])
def test_names_of_the_platforms_own_and_odd_ones_are_no_servers(name: str) -> None:
    """M9."""
    with pytest.raises(ValidationError):
        servers(**{name: {"command": "x"}})


@pytest.mark.parametrize(
    ("given", "host", "offered"),
    [
        ({}, "127.0.0.1", True),
        ({}, "0.0.0.0", False),
        ({"hosts": ["x.example"]}, "0.0.0.0", True),
        ({"offer": False}, "127.0.0.1", False),
    ],
)
def test_the_tools_are_offered_where_the_names_of_the_gateway_are_known(
    given: dict[str, Any], host: str, offered: bool
) -> None:
    """M7."""
    problems: list[Problem] = []
    assert resolve_mcp(RawMcp.model_validate(given), host, problems).offer is offered
    assert problems == []


def test_secrets_are_known_as_such() -> None:
    found = resolve_mcp(
        servers(
            a={"command": "x", "env": {"T": "canary-1"}},
            b={"url": "https://x.example", "headers": {"a": "canary-2"}},
            c={
                "url": "https://x.example",
                "oauth": {"issuer": "https://i.example", "client_id": "c", "client_secret": "canary-3"},
            },
        ),
        "127.0.0.1",
        [],
    )
    literals = [ref.literal for server in found.servers.values() for ref in server.secrets]
    assert [each.reveal() for each in literals if each is not None] == ["canary-1", "canary-2", "canary-3"]
    assert "canary" not in repr(found)
