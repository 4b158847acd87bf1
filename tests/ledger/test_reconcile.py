"""Our books against a provider's export."""

from datetime import date

import pytest

from execution_platform.exceptions import InvalidRequest
from execution_platform.ledger.reconcile import Used, compare, read_export

DAY = date(2026, 3, 1)


def test_an_export_is_read_by_the_names_of_its_columns() -> None:
    text = "\ufeffusage_date_utc,model_version,usage_input_tokens_no_cache,usage_input_tokens_cache_read,usage_output_tokens\n"
    text += (
        '2026-03-01,claude-sonnet-4-5-20250929,"1,000",200,50\n2026-03-01T10:00:00Z,claude-sonnet-4-5-20250929,1,0,1\n'
    )
    assert read_export(text) == {(DAY, "claude-sonnet-4-5-20250929"): Used(1201, 51)}
    costs = "start_time,line_item,amount\n1772323200,gpt-4o,$0.25\n1772323200,,9\n"
    assert read_export(costs) == {(DAY, "gpt-4o"): Used(nanos=250_000_000)}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("model,input_tokens\n", "column for the day"),
        ("day,tokens\n", "column for the model"),
        ("", "none"),
        ("day,model,cost\nsoon,m,1\n", "line 2"),
        ("day,model,cost\n2026-03-01,m,much\n", "line 2"),
        ("day,model,input_tokens\n2026-03-01,m,many\n", "line 2"),
    ],
)
def test_an_export_that_cannot_be_read_is_refused_by_place(text: str, problem: str) -> None:
    with pytest.raises(InvalidRequest, match=problem):
        read_export(text)


@pytest.mark.parametrize(
    ("ours", "theirs", "reason"),
    [
        (Used(1000, 100, 10**6, 3), Used(1000, 100, 10**6, 3), ""),
        (Used(1000, 100, 10**6), Used(1001, 100, 10**6), ""),
        (Used(1000, 100, 10**6), Used(1000, 100, None), ""),
        (Used(), Used(1, 1, 1), "did not pass"),
        (Used(1, 1, 1), Used(), "not in the export"),
        (Used(1000, 100, 10**6), Used(2000, 100, 10**6), "they count more"),
        (Used(2000, 100, 10**6), Used(1000, 100, 10**6), "we count more"),
        (Used(1000, 100, 10**6), Used(1000, 100, 5 * 10**5), "at 0.500 of our price: batches"),
        (Used(1000, 100, 10**6), Used(1000, 100, 8 * 10**5), "at 0.800 of our price: a discount"),
        (Used(1000, 100, 0), Used(1000, 100, 8 * 10**5), "no price for them: set it with `ep prices set`"),
    ],
)
def test_a_difference_has_its_likely_reason(ours: Used, theirs: Used, reason: str) -> None:
    mine = {(DAY, "m"): ours} if ours != Used() else {}
    other = {(DAY, "m"): theirs} if theirs != Used() else {}
    (line,) = compare(mine, other)
    assert reason in line.reason
    assert bool(reason) == bool(line.reason)


def test_a_dated_name_of_a_model_is_the_model_that_was_asked_for() -> None:
    (line,) = compare({(DAY, "gpt-4o"): Used(1, 1)}, {(DAY, "gpt-4o-2024-08-06"): Used(1, 1)})
    assert (line.model, line.reason) == ("gpt-4o", "")


def test_two_dated_names_of_one_model_are_added_up() -> None:
    theirs = {(DAY, "gpt-4o-2024-08-06"): Used(600, 60), (DAY, "gpt-4o-2024-11-20"): Used(400, 40)}
    (line,) = compare({(DAY, "gpt-4o"): Used(1000, 100)}, theirs)
    assert (line.theirs, line.reason) == (Used(1000, 100), "")


def test_days_that_begin_at_another_hour_are_recognised_by_their_neighbours() -> None:
    following = date(2026, 3, 2)
    ours = {(DAY, "m"): Used(1000, 100, 1000), (following, "m"): Used(500, 50, 500), (following, "n"): Used(5, 5)}
    theirs = {(DAY, "m"): Used(800, 80, 800), (following, "m"): Used(700, 70, 700), (following, "n"): Used(9, 9)}
    first, second, other = compare(ours, theirs)
    assert "another hour" in first.reason
    assert "another hour" in second.reason
    assert "they count more" in other.reason
