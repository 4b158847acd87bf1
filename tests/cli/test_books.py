"""`ep costs` and `ep db`, on a real database."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete
from typer.testing import CliRunner, Result

from execution_platform.cli.costs import dollars, sparkline
from execution_platform.cli.main import app
from execution_platform.cli.outcome import Exit
from execution_platform.ledger.store import EventStore
from execution_platform.storage.migrations import HEAD
from execution_platform.storage.schema import cost_events
from ledger.entries import event
from storage.opened import opened


def ep(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


@pytest.fixture
def database(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EP_DATABASE_URL", database_url)
    return database_url


def put(url: str, *events: Any) -> None:
    async def run() -> None:
        async with opened(url) as storage:
            await EventStore(storage).apply(events)

    asyncio.run(run())


def now() -> int:
    return int(datetime.now(UTC).timestamp()) * 10**9


def test_the_database_is_made_and_described(database: str) -> None:
    assert json.loads(ep("db", "status", "--json").stdout)["state"] == "empty"
    assert json.loads(ep("db", "upgrade", "--json").stdout)["did"] == "made"
    assert "nothing to do" in ep("db", "upgrade").stdout
    put(database, event(1))
    found = json.loads(ep("db", "status", "--json").stdout)
    assert (found["schema"], found["state"], found["rows"]["cost_events"]) == (HEAD, "current", 1)
    assert "cost_events: 1 rows" in ep("db", "status").stdout


def test_a_database_that_is_away_is_unreachable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EP_DATABASE_URL", "postgresql://postgres:hunter22@127.0.0.1:1/books")
    for words in (("db", "status"), ("db", "upgrade"), ("costs",)):
        got = ep(*words)
        assert got.exit_code == Exit.UNREACHABLE
        assert "does not answer" in got.output
        assert "hunter22" not in got.output


def test_spending_is_shown_by_what_was_asked_for(database: str) -> None:
    put(
        database,
        event(1, at=now(), nanos=2 * 10**9, persona="architect", tenant="acme"),
        event(2, at=now(), nanos=10**9, tenant="umbrella"),
    )
    shown = ep("costs").stdout
    assert "gpt-4o" in shown
    assert "$3.00" in shown
    assert "█" in shown
    told = json.loads(ep("costs", "--by", "persona", "--json").stdout)
    assert [(row["persona"], row["cost_usd"]) for row in told["rows"]] == [("architect", 2), ("none", 1)]
    assert told["rows"][0]["last_days_usd"][-1] == 2
    assert json.loads(ep("costs", "--tenant", "acme", "--period", "daily", "--json").stdout)["total"]["cost_usd"] == 2
    assert ep("costs", "--by", "secret").exit_code == Exit.USAGE


def test_the_books_are_compared_with_an_export(database: str, tmp_path: Path) -> None:
    put(database, event(1, at=now(), nanos=10**9))
    today = datetime.now(UTC).date().isoformat()
    export = tmp_path / "export.csv"
    export.write_text(
        f"date,model,input_tokens,output_tokens,cost_usd\n{today},gpt-4o,10,5,1.0\n{today},gpt-4.1,7,7,2\n"
    )
    told = json.loads(ep("costs", "reconcile", str(export), "--provider", "openai", "--json").stdout)
    assert [(row["model"], row["reason"] is None) for row in told["rows"]] == [("gpt-4.1", False), ("gpt-4o", True)]
    assert not told["agree"]
    assert "did not pass the gateway" in ep("costs", "reconcile", str(export), "--provider", "openai").stdout
    export.write_text("nothing\n")
    assert ep("costs", "reconcile", str(export), "--provider", "openai").exit_code == Exit.USAGE


@pytest.mark.parametrize(
    ("values", "line"), [([], ""), ([0, 0], ""), ([1, 2], "▅█"), ([0, 1], " █"), ([1, 1000], "▁█")]
)
def test_a_sparkline_has_its_highest_bar_at_full_height(values: list[float], line: str) -> None:
    assert sparkline(values) == line


@pytest.mark.parametrize(("amount", "text"), [(0, "$0.00"), (1234.5, "$1,234.50"), (0.00012, "$0.000120")])
def test_money_is_not_rounded_to_nothing(amount: float, text: str) -> None:
    assert dollars(amount) == text


def test_sums_that_are_not_what_the_events_add_up_to_are_found(database: str) -> None:
    """R37."""
    put(database, event(1, nanos=10**9), event(2, nanos=10**9))
    same = ep("db", "check", "--json")
    assert (same.exit_code, json.loads(same.stdout)["equal"]) == (0, True)

    async def lose_a_row() -> None:
        async with opened(database) as storage, storage.write() as connection:
            await connection.execute(delete(cost_events).where(cost_events.c.request_id == "req_2"))

    asyncio.run(lose_a_row())
    found = ep("db", "check")
    assert found.exit_code == Exit.FAILED
    assert "DIFFERENT" in found.stdout
