"""The schedule: which NCRONTAB expressions are taken, when they fire, and which time a tick stands for."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe import settings
from probe.lab.functions.timer import Schedule
from tests.ncrontab import REFUSED, TAKEN
from tests.unit.settings_values import load, problem

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(("schedule", "times"), TAKEN)
def test_a_schedule_fires_when_the_host_fires_it(schedule: str, times: list[str]):
    iterator = settings.occurrences(schedule, NEW_YEAR)

    assert [f"{iterator.get_next(datetime):%m-%d %H:%M:%S}" for _ in times] == times


_FIELD = st.one_of(
    st.just("*"),
    st.sampled_from(["*/7", "3", "5-5", "5-2", "1-4", "2/3", "1,3", "4-1/2", "3-3/2"]),
)


@given(st.lists(_FIELD, min_size=6, max_size=6).map(" ".join))
def test_the_probe_and_the_labs_host_agree_though_each_reads_for_itself(schedule: str):
    iterator = settings.occurrences(schedule, NEW_YEAR)
    ours = [iterator.get_next(datetime) for _ in range(3)]

    theirs, reader = [NEW_YEAR], Schedule.parse(schedule)
    for _ in ours:
        theirs.append(reader.following(theirs[-1]))

    assert ours == theirs[1:]


@pytest.mark.parametrize(
    ("schedule", "apart"),
    [
        ("0 * * * * *", 60),
        ("15,45 * * * * *", 30),
        ("0 */7 * * * *", 4 * 60),
        ("10,50 0,30 * * * *", 40),
        ("0 59 * * * *", 3600),
        ("0 0 */5 * * *", 4 * 3600),
        ("0 0 0 * * Mon-Fri", 86400),
        ("0 0 9-9 * * *", 86400),
    ],
)
def test_the_interval_is_the_shortest_time_between_two_ticks(schedule: str, apart: int):
    assert load(PROBE_SCHEDULE=schedule, PROBE_TICK_BUDGET="29").interval == apart * SECOND


@pytest.mark.parametrize("schedule", [each for each in REFUSED if each])
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
