"""Calendar windows: they partition time in every zone."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform.ledger.periods import FOREVER, PERIODS, TOTAL, Period, Window, forecast, window

ZONES = sorted(
    name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "posix", "right"))
)
MOMENTS = st.floats(min_value=0, max_value=4_102_444_800, allow_nan=False)


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@given(st.sampled_from(PERIODS), MOMENTS, st.sampled_from(ZONES))
def test_every_moment_lies_in_its_window(period: Period, moment: float, zone: str) -> None:
    assert window(period, moment, ZoneInfo(zone)).holds(moment)


@given(st.sampled_from([period for period in PERIODS if period != "total"]), MOMENTS, st.sampled_from(ZONES))
def test_a_window_ends_where_the_next_begins(period: Period, moment: float, zone: str) -> None:
    """B9: no gap and no overlap, whatever the zone does to its clocks."""
    here = window(period, moment, ZoneInfo(zone))
    following = window(period, here.end, ZoneInfo(zone))
    before = window(period, here.start - 0.001, ZoneInfo(zone))
    assert following.start == here.end
    assert before.end == here.start


@given(st.sampled_from(PERIODS), MOMENTS, st.floats(min_value=0, max_value=1), st.sampled_from(ZONES))
def test_all_moments_of_a_window_agree_on_it(period: Period, moment: float, share: float, zone: str) -> None:
    here = window(period, moment, ZoneInfo(zone))
    end = min(here.end, 4_102_444_800)
    other = here.start + share * (end - here.start) * 0.999
    assert window(period, other, ZoneInfo(zone)) == here


@pytest.mark.parametrize(
    ("moment", "zone", "hours"),
    [
        ("2026-03-29T12:00", "Europe/Berlin", 23),
        ("2026-10-25T12:00", "Europe/Berlin", 25),
        ("2026-07-01T12:00", "Europe/Berlin", 24),
        ("2018-11-04T12:00", "America/Sao_Paulo", 23),  # midnight itself was skipped
        ("2018-02-17T12:00", "America/Sao_Paulo", 25),
        ("2026-10-04T12:00", "Australia/Lord_Howe", 23.5),  # half an hour of daylight saving
    ],
)
def test_days_are_as_long_as_the_zone_makes_them(moment: str, zone: str, hours: float) -> None:
    day = window("daily", at(moment, zone), ZoneInfo(zone))
    assert day.end - day.start == hours * 3600


def test_a_skipped_day_belongs_to_nobody() -> None:
    samoa = ZoneInfo("Pacific/Apia")  # went from 29 to 31 December 2011
    last = window("daily", at("2011-12-29T12:00", "Pacific/Apia"), samoa)
    assert window("daily", last.end, samoa) == window("daily", at("2011-12-31T12:00", "Pacific/Apia"), samoa)


def test_months_begin_at_local_midnight_of_the_first() -> None:
    month = window("monthly", at("2028-02-29T23:59:59", "America/New_York"), ZoneInfo("America/New_York"))
    assert datetime.fromtimestamp(month.start, UTC).isoformat() == "2028-02-01T05:00:00+00:00"
    assert datetime.fromtimestamp(month.end, UTC).isoformat() == "2028-03-01T05:00:00+00:00"


def test_the_total_has_one_window() -> None:
    assert window("total", 0, ZoneInfo("UTC")) == window("total", 9e9, ZoneInfo("UTC")) == TOTAL
    assert TOTAL.end == FOREVER


def test_a_forecast_goes_on_as_so_far() -> None:
    hour = Window(0, 3600)
    assert forecast(500, hour, 1800) == 1000
    assert forecast(500, hour, 10) is None
    assert forecast(500, hour, 9999) == 500
    assert forecast(500, TOTAL, 1800) is None
