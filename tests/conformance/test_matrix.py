"""Every kind of provider against every scenario: what the matrix claims is what happens, told at both ends of the wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from execution_platform.catalog.profiles import resolve_profile
from execution_platform.config.secret import literal_secret, resolve_secret
from execution_platform.config.values import ProviderConfig
from execution_platform.providers.base import Exchange, Provider
from execution_platform.providers.embedded import available
from execution_platform.providers.registry import specs
from execution_platform.providers.wiring import StaticEndpoint, Wiring, build_provider, wire
from execution_platform.testing import Call, FakeUpstream, Script, Text
from execution_platform.testing.conformance import (
    SCENARIOS,
    Attempt,
    Cell,
    MatrixError,
    Scenario,
    Subject,
    capability_table,
    columns,
    examine,
    judge,
    markdown_table,
    read_column,
)
from execution_platform.transport.http import HttpTransport

BASE = {"openai_chat": "/v1", "anthropic": "", "gemini": "/v1beta", "": ""}
AGENTS = {"claude_agent"}
"""Kinds whose wire is a program's and not a model's: that program plays their columns, in tests/clients."""
BY_ID = {scenario.id: scenario for scenario in SCENARIOS}
CASES = [
    pytest.param(kind, scenario, way, id=f"{kind}-{scenario.id}-{way}")
    for kind in columns()
    if kind not in AGENTS
    for scenario in SCENARIOS
    for way in scenario.ways
]
LIVE = [
    pytest.param(scenario, way, id=f"{scenario.id}-{way}")
    for scenario in SCENARIOS
    for way in scenario.ways
    if scenario.live is not None and columns()["embedded"].cells[scenario.id].state != "refused"
]


@asynccontextmanager
async def provider_of(kind: str, upstream: FakeUpstream, **changes: Any) -> AsyncIterator[Provider]:
    """The provider as the fleet builds it, at the fake upstream; `embedded` by its wire, without its model."""
    spec = specs()[kind]
    transport = HttpTransport()
    wiring = Wiring(transport, lambda reference: resolve_secret(reference, {}))
    base_url = upstream.url + ("" if kind == "azure_openai" else BASE[spec.dialect])
    credential = literal_secret("sk-test") if spec.needs_key else None
    config = ProviderConfig(name=kind, kind=kind, base_url=base_url, credential=credential, **changes)
    if kind == "embedded":
        provider: Provider = wire(config, spec, StaticEndpoint(config, spec, wiring), wiring)
    else:
        provider = build_provider(config, wiring)
    try:
        yield provider
    finally:
        await provider.aclose()
        await transport.aclose()


def exchange_with(kind: str, scenario: Scenario) -> Exchange:
    model = columns()[kind].model_for(scenario)
    return Exchange(model, resolve_profile(kind, kind, model))


def subject_of(kind: str, provider: Provider, scenario: Scenario) -> Subject[Exchange]:
    return Subject(provider, exchange_with(kind, scenario), specs()[kind].dialect or None)


def played(kind: str, scenario: Scenario, way: Any, cell: Cell | None = None, **changes: Any) -> list[str]:
    """What contradicts the cell of the matrix, or another one."""
    column = columns()[kind]
    if cell is not None:
        column = replace(column, cells={**column.cells, scenario.id: cell})

    async def run() -> list[str]:
        async with FakeUpstream() as upstream, provider_of(kind, upstream, **changes) as provider:
            return await examine(scenario, column, subject_of(kind, provider, scenario), upstream, way=way)

    return asyncio.run(run())


@pytest.mark.parametrize(("kind", "scenario", "way"), CASES)
def test_a_provider_does_what_the_matrix_says(kind: str, scenario: Scenario, way: Any) -> None:
    assert played(kind, scenario, way) == []


@pytest.mark.parametrize("scenario", [BY_ID["tool_call"], BY_ID["embeddings"], BY_ID["rate_limit"]], ids=lambda s: s.id)
def test_the_deployments_of_azure_do_the_same_below_their_own_path(scenario: Scenario) -> None:
    assert played("azure_openai", scenario, "whole", api_version="2025-04-01-preview") == []


def test_every_kind_of_the_registry_has_a_column_and_every_column_a_kind() -> None:
    assert set(columns()) == set(specs())


def test_there_are_thirty_scenarios_at_least_and_no_two_of_a_name() -> None:
    assert len(BY_ID) == len(SCENARIOS) >= 30


def test_every_scenario_that_a_provider_cannot_carry_says_where_its_loss_would_stand() -> None:
    open_to_loss = {
        name
        for kind, column in columns().items()
        for name, cell in column.cells.items()
        if cell.state in {"simulated", "unsupported"} and specs()[kind].dialect and BY_ID[name].operation == "chat"
    }
    assert [name for name in sorted(open_to_loss) if not BY_ID[name].about] == ["parallel_calls"]


# The matrix is watched in its turn: a claim that does not hold is found


@pytest.mark.parametrize(
    ("kind", "scenario_id", "claim"),
    [
        ("openai", "seed", Cell("unsupported", "a false claim")),
        ("openai", "plain_text", Cell("simulated", "a false claim")),
        ("openai", "token_count", Cell("supported")),
        ("anthropic", "seed", Cell("supported")),
        ("anthropic", "json_mode", Cell("supported")),
        ("anthropic", "audio", Cell("supported")),
        ("anthropic", "audio", Cell("simulated", "a false claim")),
        ("gemini", "image_url", Cell("supported")),
        ("mock", "plain_text", Cell("supported")),
        ("mock", "embeddings", Cell("simulated", "a false claim")),
    ],
)
def test_a_false_claim_is_found(kind: str, scenario_id: str, claim: Cell) -> None:
    assert played(kind, BY_ID[scenario_id], "whole", claim) != []


@pytest.mark.parametrize("kind", ["openai", "anthropic", "gemini"])
@pytest.mark.parametrize(
    ("scenario_id", "reply", "problem"),
    [
        ("plain_text", Script(Text("Something else.")), "text is"),
        ("tool_call", Script(Call("get_weather", {"city": "Rome"})), "tool calls"),
        ("max_tokens", Script("one two three"), "finish reason"),
        ("cached_usage", Script("Hello."), "cache_read_tokens"),
        ("rate_limit", Script("Hello."), "no error"),
    ],
)
def test_another_answer_than_the_expected_one_is_found(
    kind: str, scenario_id: str, reply: Script, problem: str
) -> None:
    scenario = BY_ID[scenario_id]
    expected = replace(scenario, reply=reply)
    assert any(problem in sentence for sentence in played(kind, expected, "whole"))


def test_what_was_not_sent_is_found_although_the_answer_is_perfect() -> None:
    scenario = replace(BY_ID["temperature"], sent={"openai_chat": {"temperature": 0.75}})
    assert played("openai", scenario, "whole") == ["sent: temperature is 0.25, expected 0.75"]


def test_a_loss_nobody_wrote_down_is_found() -> None:
    scenario = replace(BY_ID["plain_text"], request=replace(BY_ID["plain_text"].request, seed=7))
    assert any("seed" in sentence for sentence in played("anthropic", scenario, "whole"))


def test_silence_about_something_unsupported_is_found() -> None:
    silent = Attempt()
    subject: Any = Subject(None, None, "openai_chat")  # type: ignore[arg-type]
    found = judge(BY_ID["seed"], Cell("unsupported", "no seed"), silent, subject)
    assert found == ["unsupported (no seed), and nothing tells the caller: no error, losses []"]


# The table


def table_with(**changes: Any) -> dict[str, Any]:
    return {"models": {"chat": "m"}, "supported": [*BY_ID], **changes}


def test_a_blank_cell_is_refused() -> None:
    with pytest.raises(MatrixError, match=r"mine: blank cells \['seed'\]"):
        read_column("mine", table_with(supported=[name for name in BY_ID if name != "seed"]))


def test_a_cell_that_is_written_twice_is_refused() -> None:
    with pytest.raises(MatrixError, match="seed is both supported and unsupported"):
        read_column("mine", table_with(unsupported={"seed": "no seed"}))


def test_a_cell_of_no_scenario_is_refused() -> None:
    with pytest.raises(MatrixError, match=r"cells of no scenario \['sed'\]"):
        read_column("mine", table_with(unsupported={"sed": "a slip"}))


def test_a_cell_that_is_no_plain_yes_needs_its_reason() -> None:
    names = [name for name in BY_ID if name != "seed"]
    with pytest.raises(MatrixError, match="seed is unsupported without a reason"):
        read_column("mine", table_with(supported=names, unsupported={"seed": " "}))


def test_the_capability_page_has_a_line_for_every_scenario_and_every_reason() -> None:
    page = markdown_table()
    rows = capability_table()
    assert len(rows) == len(SCENARIOS)
    assert page.splitlines()[0].count("|") == len(columns()) + 2
    for row in rows:
        assert f"| {row.scenario.title} | " in page
        assert all(cell.why in page for cell in row.cells.values())


# The real model


@pytest.fixture(scope="module")
def model_provider() -> Any:
    if not available().chat or not available().embeddings:
        pytest.skip("the embedded models are not installed")
    loop = asyncio.new_event_loop()
    transport = HttpTransport()
    wiring = Wiring(transport, lambda reference: resolve_secret(reference, {}))
    provider = build_provider(ProviderConfig(name="embedded", kind="embedded"), wiring)
    yield loop, provider
    loop.run_until_complete(provider.aclose())
    loop.run_until_complete(transport.aclose())
    loop.close()


@pytest.mark.xdist_group("model")
@pytest.mark.parametrize(("scenario", "way"), LIVE)
def test_the_embedded_model_does_what_the_matrix_says(scenario: Scenario, way: Any, model_provider: Any) -> None:
    loop, provider = model_provider

    async def run() -> list[str]:
        async with FakeUpstream() as upstream:
            subject = Subject(provider, exchange_with("embedded", scenario), "openai_chat", live=True)
            problems = await examine(scenario, columns()["embedded"], subject, upstream, way=way)
            assert len(upstream.meter) == 0
            return problems

    assert loop.run_until_complete(run()) == []
