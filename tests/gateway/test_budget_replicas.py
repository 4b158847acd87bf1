"""Two replicas, one budget: real gateway processes over one database, one of them killed half-way. `make money` plays 50 seeds."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from execution_platform.testing import FakeUpstream, Script, Text, Tokens
from gateway.processes import process
from gateway.test_budgets import priced
from money.shared import CENTS, budget, rush, spend


@pytest.mark.parametrize("seed", [1, 2])
def test_two_replicas_never_spend_more_than_there_is(seed: int, postgres_server: Any, tmp_path: Path) -> None:
    """R21, B1: at most a dollar and one request by the upstream's meter, and at least 97 cents usable.

    What the killed replica held for requests that had not reached the upstream stays held until its journal is read.
    """
    found = asyncio.run(spend(seed, tmp_path, postgres_server.new_database()))
    assert found.statuses <= {0, 200, 402, 503}  # 503: a loaded machine sheds
    assert found.asked <= CENTS + 1
    assert found.used >= 0.97
    assert 0.97 <= found.dollars <= 1.01
    # What was answered within the last millisecond of the killed replica is billed by its prompt: a few cents at most.
    assert found.booked == pytest.approx(found.dollars, abs=0.031)


def test_two_processes_share_a_budget_in_one_file(tmp_path: Path) -> None:
    """R21 on SQLite: workers of one machine."""

    async def run() -> None:
        rng = random.Random(7)
        async with FakeUpstream() as upstream:
            upstream.script(Script(Text("ok"), usage=Tokens(input=5, output=10), delay=0.05))
            config = priced({"period": "total", "usd": CENTS / 100})(upstream)
            url = f"sqlite:///{tmp_path / 'shared.db'}"
            for name in "ab":
                (tmp_path / name).mkdir()
            async with (
                process(tmp_path / "a", config, environ={"EP_DATABASE_URL": url}) as first,
                process(tmp_path / "b", config, environ={"EP_DATABASE_URL": url}) as second,
            ):
                await rush([first, second], rng, upstream)
                assert len(upstream.meter) <= CENTS + 1
                assert sum(await budget(second)) >= 0.97

    asyncio.run(run())
