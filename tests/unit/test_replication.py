"""Replication as tapes of writes and sightings: lag, delay, and Azure's bound beside them.

A tape's steps: ``w3`` the canary 3 is written, ``p3`` the primary shows it, ``s3`` the secondary shows it;
each step takes ten seconds, canary N of a tape is written at its step's time. A capital letter (``W3``,
``S3``) is the other vantage's writer.
"""

from datetime import timedelta
from functools import cache

import pytest

from probe.core import replication as replications
from probe.core.canary import Stamp
from probe.core.replication import LEDGER_LIMIT, Delay, Ledger, Sync, SyncStatus, replication
from tests.unit.core_values import PRIMARY, SECONDARY, at, s, stamped

RPO = s(900)
STEP = 10


def play(tape: str, ledger: Ledger | None = None) -> tuple[Ledger, list[Delay], dict[str, Stamp]]:
    """Return the ledger after a tape, the delays measured in it, and the stamps that it wrote."""
    ledger, delays, stamps, since = ledger or Ledger(), [], {}, None
    for number, step in enumerate(tape.split()):
        act, sequence = step[0], int(step[1:])
        writer = "there" if act.isupper() else "here"
        value = stamps.setdefault(f"{writer}{sequence}", stamped(sequence, number * STEP, writer))
        if act == "w":
            ledger = replications.written(ledger, value)
        elif act in "pPsS":
            location = PRIMARY if act in "pP" else SECONDARY
            when = at(number * STEP)
            ledger, more = replications.shown(ledger, location, value, at=when, since=since)
            delays += more
            since = when if location is SECONDARY else since
    return ledger, delays, stamps


@cache
def three_days_of_writes() -> Ledger:
    """Return the ledger after a write a minute, none of which the secondary has shown."""
    ledger = Ledger()
    for minute in range(3 * 24 * 60):
        ledger = replications.written(ledger, stamped(minute + 1, minute * 60))
    return ledger


@pytest.mark.parametrize(
    ("tape", "lag", "why"),
    [
        pytest.param("", None, "nothing is known before anything was written or shown", id="nothing"),
        pytest.param("p1", None, "a canary of somebody else on the primary says nothing", id="primary-only"),
        pytest.param("s1", None, "the newest is unknown, so it cannot be behind", id="shown-only"),
        pytest.param("w1", 100, "written and never shown: as old as the write", id="never-shown"),
        pytest.param("w1 p1", 100, "that the primary shows it is no replication", id="primary-shows"),
        pytest.param("w1 s1", 0, "the newest is shown", id="caught-up"),
        pytest.param("w1 s1 w2", 80, "since the oldest that is not shown", id="one-behind"),
        pytest.param("w1 w2 w3 s1", 90, "the second is the oldest not shown", id="two-behind"),
        pytest.param("w1 w2 w3 s2", 80, "a later one covers the earlier", id="one-behind-of-three"),
        pytest.param("w1 w2 w3 s3", 0, "all at once", id="all-at-once"),
        pytest.param("w1 w2 s2 s1", 0, "an older sighting takes nothing back", id="stale-sighting"),
        pytest.param("w2 s2 w1", 0, "an older write arriving late is covered already", id="late-write"),
        pytest.param("s5 w1", 0, "the secondary shows a later canary of this writer", id="state-was-lost"),
        pytest.param("w1 W2 S2", 0, "another vantage's later canary covers ours", id="two-vantages"),
        pytest.param(
            "W9 w1 S9", 90, "its earlier one does not, whatever its number", id="two-behind-by-time"
        ),
    ],
)
def test_lag_is_the_age_of_the_oldest_write_not_shown(tape, lag, why):
    ledger, _, _ = play(tape)

    assert replications.lag(ledger, at(100)) == (None if lag is None else s(lag)), why


def test_a_clock_behind_the_writers_makes_no_negative_lag():
    ledger, _, _ = play("w1")

    assert replications.lag(ledger, at(-60)) == timedelta(0)


@pytest.mark.parametrize(
    ("tape", "delays"),
    [
        pytest.param("w1 s1", [(1, 10, 10)], id="first-reading-of-all"),
        pytest.param("w1 s1 w2 s2", [(1, 10, 10), (2, 10, 10)], id="written-since-the-last-reading"),
        pytest.param("w1 s1 w2 s1 s2", [(1, 10, 10), (2, 20, 10)], id="bounded-by-the-last-reading"),
        pytest.param("w1 w2 w3 s3", [(1, 30, 30), (2, 20, 20), (3, 10, 10)], id="three-at-once"),
        pytest.param("w1 s1 s1 s1", [(1, 10, 10)], id="only-the-first-sighting"),
        pytest.param("w1 p1", [], id="the-primary-is-no-arrival"),
    ],
)
def test_a_delay_is_measured_once_with_its_error_bound(tape, delays):
    _, found, _ = play(tape)

    assert [(each.sequence, each.delay, each.error) for each in found] == [
        (sequence, s(delay), s(error)) for sequence, delay, error in delays
    ]


def test_a_skewed_clock_makes_no_negative_delay():
    ledger = replications.written(Ledger(), stamped(1, written=60))
    _, (delay,) = replications.shown(ledger, SECONDARY, stamped(1, written=60), at=at(0), since=None)

    assert (delay.delay, delay.error) == (timedelta(0), timedelta(0))


def test_a_last_reading_after_this_one_bounds_nothing():
    """Another tick's: it ended later and was saved sooner. What it did not see may still have been there."""
    ledger = replications.written(Ledger(), stamped(1))
    _, (delay,) = replications.shown(ledger, SECONDARY, stamped(1), at=at(20), since=at(30))

    assert (delay.delay, delay.error) == (s(20), s(20))


def test_two_writes_of_one_sequence_both_arrive_by_one_sighting():
    """Two ticks at once may number alike; neither write is left behind for ever."""
    ledger = replications.written(Ledger(), stamped(8, 0))
    ledger = replications.written(ledger, stamped(8, 5))
    ledger, delays = replications.shown(ledger, SECONDARY, stamped(8, 5), at=at(10), since=None)

    assert (ledger.unseen, len(delays)) == ((), 2)


@pytest.mark.parametrize(
    ("tape", "following"),
    [("", 1), ("w3", 4), ("w3 p7", 8), ("w3 s9", 10), ("w9 p7 s5", 10), ("P20", 21)],
    ids=["first", "after-written", "after-shown", "after-secondary", "after-highest", "after-another-writer"],
)
def test_a_sequence_never_repeats(tape, following):
    ledger, _, _ = play(tape)

    assert replications.next_sequence(ledger) == following


def test_each_locations_floor_is_the_newest_it_has_shown():
    ledger, _, stamps = play("w1 p1 w2 p2 s1 p1")

    assert ledger.shown(PRIMARY) == stamps["here2"]
    assert ledger.shown(SECONDARY) == stamps["here1"]


def test_the_ledger_is_bounded_and_keeps_the_oldest_and_the_newest_unseen():
    """Days without replication: the lag stays honest, and the next arrivals are still measured."""
    ledger = three_days_of_writes()

    assert len(ledger.unseen) == LEDGER_LIMIT
    assert (ledger.unseen[0].sequence, ledger.unseen[-1].sequence) == (1, 3 * 24 * 60)
    assert replications.lag(ledger, at(3 * 24 * 3600)) == timedelta(days=3)


@pytest.mark.parametrize("arrived", [100, 1000, 2000, 4000])
def test_a_partial_catch_up_after_days_leaves_a_lag_near_the_truth(arrived):
    """The ledger keeps a sample of 4320 writes; what it says must not jump to its younger end."""
    ledger, _ = replications.shown(
        three_days_of_writes(), SECONDARY, stamped(arrived, (arrived - 1) * 60), at=at(4320 * 60), since=None
    )

    truth = timedelta(minutes=4320 - arrived)
    assert (
        truth - timedelta(minutes=4320 / LEDGER_LIMIT * 3) <= replications.lag(ledger, at(4320 * 60)) <= truth
    )


def test_unseen_writes_stand_in_the_order_of_time_whoever_wrote_them():
    ledger = Ledger()
    for value in (stamped(2, 20), stamped(1, 30, "there"), stamped(1, 10)):
        ledger = replications.written(ledger, value)

    assert [each.written_at for each in ledger.unseen] == [at(10), at(20), at(30)]
    assert ledger.newest == stamped(1, 30, "there")


@pytest.mark.parametrize(
    ("tape", "sync_age", "lag", "age", "within"),
    [
        pytest.param("", None, None, None, None, id="nothing-known"),
        pytest.param("w1 s1", None, 0, None, True, id="only-ours"),
        pytest.param("", 30, None, 30, True, id="only-azures"),
        pytest.param("w1 s1", 900, 0, 900, True, id="at-the-rpo"),
        pytest.param("w1 s1", 900.001, 0, 900.001, False, id="azures-beyond"),
        pytest.param("w1", 10, 1000, 10, False, id="ours-beyond"),
        pytest.param("w1 s1", -60, 0, 0, True, id="a-sync-time-ahead-of-us"),
    ],
)
def test_the_rpo_is_held_when_no_known_figure_exceeds_it(tape, sync_age, lag, age, within):
    now = at(1000)
    sync = None
    if sync_age is not None:
        sync = Sync(status=SyncStatus.LIVE, last_sync_time=now - s(sync_age))
    found = replication(play(tape)[0], sync, now=now, rpo=RPO)

    assert found.lag == (None if lag is None else s(lag))
    assert found.last_sync_age == (None if age is None else s(age))
    assert found.within_rpo is within


@pytest.mark.parametrize("status", [SyncStatus.BOOTSTRAP, SyncStatus.UNAVAILABLE])
def test_a_status_without_a_time_has_no_age(status):
    found = replication(Ledger(), Sync(status=status), now=at(0), rpo=RPO)

    assert (found.status, found.last_sync_time, found.last_sync_age) == (status, None, None)
