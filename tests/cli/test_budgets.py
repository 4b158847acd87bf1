"""`ep budgets`: set, shown and removed in the gateway's database."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from execution_platform.cli.main import app


def test_budgets_are_set_shown_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EP_WORKSPACE_ROOT", str(tmp_path))
    run = CliRunner()
    made = run.invoke(app, ["budgets", "set", "--team", "web", "--period", "monthly", "--usd", "12.50"])
    assert made.exit_code == 0, made.output
    identity = made.output.partition("(")[2].partition(")")[0]
    shown = json.loads(run.invoke(app, ["budgets", "--json"]).stdout)["budgets"]
    assert [(row["scope"], row["period"], row["limit_usd"], row["spent_usd"]) for row in shown] == [
        ("team:web", "monthly", 12.5, 0)
    ]
    assert "team:web" in run.invoke(app, ["budgets"]).stdout
    assert run.invoke(app, ["budgets", "remove", identity]).exit_code == 0
    assert json.loads(run.invoke(app, ["budgets", "--json"]).stdout) == {"budgets": []}
    assert run.invoke(app, ["budgets", "remove", identity]).exit_code == 2


@pytest.mark.parametrize("options", [["--usd", "much"], [], ["--usd", "1", "--team", "a", "--key", "b"]])
def test_a_budget_that_makes_no_sense_is_refused(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EP_WORKSPACE_ROOT", str(tmp_path))
    assert CliRunner().invoke(app, ["budgets", "set", "--period", "daily", *options]).exit_code == 2
