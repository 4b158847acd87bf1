"""`ep budgets`: set, shown and removed in the gateway's database."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from execution_platform.cli.main import app
from execution_platform.storage.address import FILE


def trail(workspace: Path) -> list[str]:
    """The actions in the audit trail."""
    with closing(sqlite3.connect(workspace / FILE)) as connection:
        return [action for (action,) in connection.execute("SELECT action FROM audit_log ORDER BY position")]


def test_budgets_are_set_shown_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EP_WORKSPACE_ROOT", str(tmp_path))
    run = CliRunner()
    made = run.invoke(app, ["budgets", "set", "--team", "web", "--period", "monthly", "--usd", "12.50", "--json"])
    assert made.exit_code == 0, made.output
    identity = json.loads(made.stdout)["id"]
    shown = json.loads(run.invoke(app, ["budgets", "--json"]).stdout)["budgets"]
    assert [(row["scope"], row["period"], row["limit_usd"], row["spent_usd"]) for row in shown] == [
        ("team:web", "monthly", 12.5, 0)
    ]
    assert "team:web" in run.invoke(app, ["budgets"]).stdout
    more = ["budgets", "approve", "team:web", "--period", "monthly", "--usd", "2", "--json"]
    assert json.loads(run.invoke(app, more).stdout)["limit_usd"] == 14.5
    assert run.invoke(app, [*more[:4], "daily", "--usd", "2"]).exit_code == 2
    assert run.invoke(app, more[:5]).exit_code == 2
    assert run.invoke(app, ["budgets", "remove", identity]).exit_code == 0
    assert trail(tmp_path) == ["budget.set", "budget.approve", "budget.remove"]
    assert json.loads(run.invoke(app, ["budgets", "--json"]).stdout) == {"budgets": []}
    assert run.invoke(app, ["budgets", "remove", identity]).exit_code == 2


@pytest.mark.parametrize("options", [["--usd", "much"], [], ["--usd", "1", "--team", "a", "--key", "b"]])
def test_a_budget_that_makes_no_sense_is_refused(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EP_WORKSPACE_ROOT", str(tmp_path))
    assert CliRunner().invoke(app, ["budgets", "set", "--period", "daily", *options]).exit_code == 2
