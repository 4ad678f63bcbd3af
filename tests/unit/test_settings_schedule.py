"""The schedule: which NCRONTAB expressions are taken, when they fire, and which time a tick stands for."""

from datetime import UTC, datetime, timedelta

import pytest

from probe import settings
from tests.unit.settings_values import load, problem

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("schedule", "first", "apart"),
    [
        ("0 * * * * *", "01-01 00:01:00", "0:01:00"),
        ("* * * * *", "01-01 00:01:00", "0:01:00"),
        ("*/30 * * * * *", "01-01 00:00:30", "0:00:30"),
        ("15,45 * * * * *", "01-01 00:00:15", "0:00:30"),
        ("0 5-59/10 * * * *", "01-01 00:05:00", "0:10:00"),
        ("0 0 22-2 * * *", "01-01 01:00:00", "1:00:00"),
        ("0 0 0 * * Mon-Fri", "01-02 00:00:00", "1 day, 0:00:00"),
        ("0 0 0 * February Sunday", "02-01 00:00:00", "7 days, 0:00:00"),
        ("0 0 0 * * 0", "01-04 00:00:00", "7 days, 0:00:00"),
        ("  0  0 9 * JAN *  ", "01-01 09:00:00", "1 day, 0:00:00"),
    ],
)
def test_a_schedule_of_five_or_six_fields_is_taken(schedule: str, first: str, apart: str):
    found = load(PROBE_SCHEDULE=schedule, PROBE_TICK_BUDGET="29")

    assert f"{settings.occurrences(schedule, NEW_YEAR).get_next(datetime):%m-%d %H:%M:%S}" == first
    assert str(found.interval) == apart


def test_a_day_of_the_month_and_a_weekday_must_both_hold():
    """The host's NCRONTAB joins them by "and", where a Unix cron would by "or"."""
    times = settings.occurrences("0 0 0 13 * Fri", NEW_YEAR)

    assert f"{times.get_next(datetime):%Y-%m-%d}" == "2026-02-13"


@pytest.mark.parametrize(
    "schedule",
    [
        "0 * * *",
        "0 * * * * * *",
        "60 * * * * *",
        "-1 * * * * *",
        "0 */0 * * * *",
        "0 0 24 * * *",
        "0 0 0 31 2 *",
        "0 0 0 * * 7",
        "0 0 0 * * Mo",
        "0 0 0 * Foo *",
        "0 0 0 L * *",
        "0 0 0 1W * *",
        "0 0 0 * * 5#2",
        "0 0 0 ? * *",
        "H * * * * *",
        "@hourly",
        "00:05:00",
        "%SCHEDULE%",
        "0 * * * * 1,,2",
        "0 * * * * *; rm",
    ],
)
def test_what_the_host_would_not_understand_is_refused(schedule: str):
    told = problem(PROBE_SCHEDULE=schedule)

    assert told.startswith("PROBE_SCHEDULE: holds ")
    assert told.endswith(
        "Give six fields: second minute hour day month weekday; `0 * * * * *` is each minute."
    )


@pytest.mark.parametrize(
    ("now", "stands_for"),
    [
        (0.0, 0),
        (0.000001, 0),
        (59.5, 60),
        (58.9, 0),
        (-0.4, 0),
        (45.0, 0),
    ],
)
def test_a_timer_stands_for_the_last_time_of_its_schedule_though_it_fires_a_little_early(
    now: float, stands_for: int
):
    at = NEW_YEAR + timedelta(seconds=now)

    assert settings.scheduled_before("0 * * * * *", at, SECOND) == NEW_YEAR + stands_for * SECOND


def test_the_time_that_a_timer_stands_for_is_utc():
    assert settings.scheduled_before("0 * * * * *", NEW_YEAR, SECOND).tzinfo is UTC
