"""A timer's schedule: when it fires, what is past due, and what its function is told."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from probe.lab.functions.config import HostError
from probe.lab.functions.timer import Schedule, ScheduleStatus, StatusStore, after_run, at_start, payload
from tests.ncrontab import REFUSED, TAKEN

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
EACH_MINUTE = Schedule.parse("0 * * * * *")


@pytest.mark.parametrize(("told", "times"), TAKEN)
def test_a_schedule_fires_as_ncrontab_has_it(told, times):
    schedule, found = Schedule.parse(told), [datetime(2026, 1, 1, tzinfo=UTC)]

    for _ in times:
        found.append(schedule.following(found[-1]))

    assert [f"{each:%m-%d %H:%M:%S}" for each in found[1:]] == times


def test_the_next_occurrence_is_after_the_time_and_not_at_it():
    assert EACH_MINUTE.following(NOON) == NOON + MINUTE
    assert EACH_MINUTE.following(NOON + timedelta(seconds=59.9)) == NOON + MINUTE


@pytest.mark.parametrize("told", REFUSED)
def test_what_ncrontab_does_not_know_is_refused_by_name(told):
    with pytest.raises(HostError, match="NCRONTAB"):
        Schedule.parse(told)


@pytest.mark.parametrize(
    ("told", "monitored"),
    [
        ("0 * * * * *", True),
        ("30 * * * * *", True),
        ("*/5 * * * * *", False),
        ("10,20,45 * * * * *", False),
        ("* 30 * * * *", True),
    ],
)
def test_a_schedule_that_recurs_within_the_minute_is_not_monitored(told, monitored):
    assert Schedule.parse(told).monitored(NOON) is monitored


def test_a_new_timer_is_not_past_due():
    fresh = ScheduleStatus(next=NOON + MINUTE, last_updated=NOON)

    assert at_start(EACH_MINUTE, None, NOON) == (fresh, False)


def test_a_timer_that_missed_its_first_occurrence_is_past_due():
    stored = ScheduleStatus(next=NOON - MINUTE, last_updated=NOON - 2 * MINUTE)

    assert at_start(EACH_MINUTE, stored, NOON) == (stored, True)


def test_occurrences_missed_while_no_host_ran_coalesce_into_one_past_due_run():
    ran = NOON - 10 * MINUTE
    stored = ScheduleStatus(last=ran, next=ran + MINUTE, last_updated=ran)

    status, past_due = at_start(EACH_MINUTE, stored, NOON + timedelta(seconds=1))
    following = after_run(EACH_MINUTE, status, NOON + timedelta(seconds=1), scheduled=False)

    assert past_due
    assert status.next == ran + MINUTE
    assert following.next == NOON + MINUTE


@pytest.mark.parametrize(
    ("told", "following"),
    [
        pytest.param(
            "0 */2 * * * *", NOON + 2 * MINUTE, id="its next occurrence has passed: counted from now"
        ),
        pytest.param("0 5 12 * * *", NOON + 5 * MINUTE, id="it has not: counted from the last run"),
    ],
)
def test_a_changed_schedule_is_not_past_due(told, following):
    ran = NOON - 10 * MINUTE
    stored = ScheduleStatus(last=ran, next=ran + MINUTE, last_updated=ran)

    status, past_due = at_start(Schedule.parse(told), stored, NOON)

    assert (status.next, past_due) == (following, False)


def test_occurrences_missed_while_a_run_lasted_coalesce_into_one():
    """The run of 12:00 ends at 12:03:10, so that of 12:01 begins then, and 12:04 is the next."""
    status = ScheduleStatus(last=NOON, next=NOON + MINUTE, last_updated=NOON)
    began = NOON + timedelta(minutes=3, seconds=10)

    assert after_run(EACH_MINUTE, status, began, scheduled=True).next == NOON + 4 * MINUTE


def test_a_run_that_begins_a_little_early_does_not_occur_twice():
    status = ScheduleStatus(next=NOON)

    following = after_run(EACH_MINUTE, status, NOON - timedelta(milliseconds=3), scheduled=True)

    assert following == ScheduleStatus(last=NOON, next=NOON + MINUTE, last_updated=NOON)


def test_the_payload_is_the_hosts():
    status = ScheduleStatus(last=NOON, next=NOON + MINUTE, last_updated=NOON.replace(microsecond=120_000))

    assert json.loads(payload(status, past_due=True)) == {
        "Schedule": {"AdjustForDST": True},
        "ScheduleStatus": {
            "Last": "2026-11-21T12:00:00+00:00",
            "Next": "2026-11-21T12:01:00+00:00",
            "LastUpdated": "2026-11-21T12:00:00.12+00:00",
        },
        "IsPastDue": True,
    }


def test_a_time_that_has_not_been_is_written_as_dotnet_does():
    told = json.loads(payload(ScheduleStatus(next=NOON), past_due=False))

    assert told["ScheduleStatus"]["Last"] == "0001-01-01T00:00:00"


def test_a_status_is_kept_for_the_next_host(tmp_path):
    status = ScheduleStatus(last=NOON, next=NOON + MINUTE, last_updated=NOON)

    StatusStore(tmp_path / "new").save("tick", status)

    assert StatusStore(tmp_path / "new").load("tick") == status


def test_a_status_that_cannot_be_read_is_told_with_the_remedy(tmp_path):
    (tmp_path / "tick.json").write_text("{")

    with pytest.raises(HostError, match=r"tick\.json cannot be read.*delete it"):
        StatusStore(tmp_path).load("tick")
