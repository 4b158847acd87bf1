"""`ep prices`: what holds, setting and taking away, what has no price."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from execution_platform.cli.main import app
from execution_platform.cli.outcome import Exit

FILE = """\
version: 1
providers:
  openai: {api_key: sk-test-0123456789, models: [gpt-4o, gpt-nonsense], prices: {mine: {input: 1, output: 2}}}
personas: {}
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a configuration."""
    monkeypatch.setenv("EP_WORKSPACE_ROOT", str(tmp_path / "work"))
    monkeypatch.delenv("EP_DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "platform.yaml").write_text(FILE)
    return tmp_path


def ep(*args: str) -> Result:
    return CliRunner().invoke(app, ["prices", *args])


def shown(model: str, *args: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(ep("show", model, *args).stdout)
    return found


def test_the_list_names_rates_and_authority() -> None:
    found = ep("list", "--provider", "openai", "--json")
    rows = {row["model"]: row for row in json.loads(found.stdout)["prices"]}
    assert rows["gpt-4o"]["source"] == "list"
    assert (rows["mine"]["source"], rows["mine"]["input"]) == ("file", 1)
    assert rows["gpt-nonsense"]["source"] == "none"
    table = ep("list", "--provider", "openai").stdout
    assert "openai/gpt-4o" in table
    assert "no price" in table


def test_a_price_is_set_shown_and_taken_away() -> None:
    assert ep("show", "openai/gpt-nonsense").exit_code == Exit.REFUSED
    done = ep("set", "openai/gpt-nonsense", "input=3", "output=15", "cache_read=0.3", "--from", "2026-11-01")
    assert done.exit_code == 0, done.output
    assert "from 2026-11-01 on" in done.stdout
    row = shown("openai/gpt-nonsense", "--at", "2026-11-05")
    assert (row["source"], row["input"], row["cache_read"]) == ("table", 3, 0.3)
    assert ep("show", "openai/gpt-nonsense", "--at", "2026-10-31").exit_code == Exit.REFUSED
    assert ep("unset", "openai/gpt-nonsense").exit_code == 0
    assert ep("unset", "openai/gpt-nonsense").exit_code == Exit.USAGE


def test_the_check_names_what_has_no_price_until_it_has_one() -> None:
    found = ep("check")
    assert found.exit_code == Exit.REFUSED
    assert "openai/gpt-nonsense has no price: set its price with `ep prices set openai/gpt-nonsense`" in found.stdout
    assert json.loads(ep("check", "--json").stdout)["unpriced"][0]["model"] == "gpt-nonsense"
    assert ep("set", "openai/gpt-nonsense", "--free").exit_code == 0
    found = ep("check")
    assert (found.exit_code, found.stdout) == (0, "every configured model has a price\n")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("set", "openai/m", "input=3"), "needs input and output"),
        (("set", "openai/m", "input=cheap", "output=1"), "'input=cheap' is no rate; write input=3"),
        (("set", "openai/m", "inputs=1", "output=1"), "inputs"),
        (("set", "openai/m", "input=1", "output=1", "--from", "soon"), "'soon' is no day"),
        (("set", "opnai/m", "input=1", "output=1"), "openai"),
        (("set", "gpt-4o", "input=1", "output=1"), "write provider/model"),
    ],
)
def test_what_is_no_price_is_refused_and_named(args: tuple[str, ...], says: str) -> None:
    found = ep(*args)
    assert found.exit_code == Exit.USAGE
    assert says in found.stderr


def test_the_doctor_names_models_without_a_price() -> None:
    found = CliRunner().invoke(app, ["doctor", "--json"])
    checks = [check for check in json.loads(found.stdout)["checks"] if check["area"] == "prices"]
    assert [check["state"] for check in checks] == ["warn"]
    assert "openai/gpt-nonsense" in checks[0]["message"]
