"""Replication as tapes of writes and sightings: lag, delay, and Azure's bound beside them.

A tape's steps: ``w3`` the canary 3 is written, ``p3`` the primary shows it, ``s3`` the secondary shows it;
each step takes ten seconds, canary N of a tape is written at its step's time. A capital letter (``W3``,
``S3``) is the other vantage's writer.
"""

from datetime import timedelta
from functools import cache

import pytest

from probe.core.canary import SEQUENCE_LIMIT, Stamp
from probe.core.replication import (
    LEDGER_LIMIT,
    Delay,
    Ledger,
    RecoveryPoint,
    Sync,
    SyncStatus,
    recovery_point,
    replication,
)
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
            ledger = ledger.after_write(value)
        elif act in "pPsS":
            location = PRIMARY if act in "pP" else SECONDARY
            when = at(number * STEP)
            ledger, more = ledger.after_sighting(location, value, at=when, since=since)
            delays += more
            since = when if location is SECONDARY else since
    return ledger, delays, stamps


@cache
def three_days_of_writes() -> Ledger:
    """Return the ledger after a write a minute, none of which the secondary has shown."""
    ledger = Ledger()
    for minute in range(3 * 24 * 60):
        ledger = ledger.after_write(stamped(minute + 1, minute * 60))
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

    assert ledger.lag(at(100)) == (None if lag is None else s(lag)), why


def test_a_clock_behind_the_writers_makes_no_negative_lag():
    ledger, _, _ = play("w1")

    assert ledger.lag(at(-60)) == timedelta(0)


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
    ledger = Ledger().after_write(stamped(1, written=60))
    _, (delay,) = ledger.after_sighting(SECONDARY, stamped(1, written=60), at=at(0), since=None)

    assert (delay.delay, delay.error) == (timedelta(0), timedelta(0))


def test_a_last_reading_after_this_one_bounds_nothing():
    """Another tick's: it ended later and was saved sooner. What it did not see may still have been there."""
    ledger = Ledger().after_write(stamped(1))
    _, (delay,) = ledger.after_sighting(SECONDARY, stamped(1), at=at(20), since=at(30))

    assert (delay.delay, delay.error) == (s(20), s(20))


def test_two_writes_of_one_sequence_both_arrive_by_one_sighting():
    """Two ticks at once may number alike; neither write is left behind for ever."""
    ledger = Ledger().after_write(stamped(8, 0))
    ledger = ledger.after_write(stamped(8, 5))
    ledger, delays = ledger.after_sighting(SECONDARY, stamped(8, 5), at=at(10), since=None)

    assert (ledger.unseen, len(delays)) == ((), 2)


@pytest.mark.parametrize(
    ("tape", "following"),
    [("", 1), ("w3", 4), ("w3 p7", 8), ("w3 s9", 10), ("w9 p7 s5", 10), ("P20", 21)],
    ids=["first", "after-written", "after-shown", "after-secondary", "after-highest", "after-another-writer"],
)
def test_a_sequence_never_repeats(tape, following):
    ledger, _, _ = play(tape)

    assert ledger.next_sequence() == following


def test_each_locations_floor_is_the_newest_it_has_shown():
    ledger, _, stamps = play("w1 p1 w2 p2 s1 p1")

    assert ledger.shown(PRIMARY) == stamps["here2"]
    assert ledger.shown(SECONDARY) == stamps["here1"]


def test_the_ledger_is_bounded_and_keeps_the_oldest_and_the_newest_unseen():
    """Days without replication: the lag stays honest, and the next arrivals are still measured."""
    ledger = three_days_of_writes()

    assert len(ledger.unseen) == LEDGER_LIMIT
    assert (ledger.unseen[0].sequence, ledger.unseen[-1].sequence) == (1, 3 * 24 * 60)
    assert ledger.lag(at(3 * 24 * 3600)) == timedelta(days=3)


@pytest.mark.parametrize("arrived", [100, 1000, 2000, 4000])
def test_a_partial_catch_up_after_days_leaves_a_lag_near_the_truth(arrived):
    """The ledger keeps a sample of 4320 writes; what it says must not jump to its younger end."""
    seen = stamped(arrived, (arrived - 1) * 60)
    ledger, _ = three_days_of_writes().after_sighting(SECONDARY, seen, at=at(4320 * 60), since=None)

    truth = timedelta(minutes=4320 - arrived)
    assert truth - timedelta(minutes=4320 / LEDGER_LIMIT * 3) <= ledger.lag(at(4320 * 60)) <= truth


def test_unseen_writes_stand_in_the_order_of_time_whoever_wrote_them():
    ledger = Ledger()
    for value in (stamped(2, 20), stamped(1, 30, "there"), stamped(1, 10)):
        ledger = ledger.after_write(value)

    assert [each.written_at for each in ledger.unseen] == [at(10), at(20), at(30)]
    assert ledger.newest == stamped(1, 30, "there")


def known(sync: Sync | None, *, at_: float = 0, point: RecoveryPoint | None = None, **more):
    """Return what is known after stats at a time, on top of the recovery point that was known before."""
    found = recovery_point(point, sync, at(at_))
    more.setdefault("ledger", Ledger())
    return replication(sync=sync, point=found, lag=more.pop("lag", None), now=at(at_), rpo=RPO, **more), found


@pytest.mark.parametrize(
    ("age", "lag", "within"),
    [
        pytest.param(None, 0, None, id="only-ours: nobody can say"),
        pytest.param(30, None, True, id="only-azures"),
        pytest.param(900, 0, True, id="at-the-rpo"),
        pytest.param(900.001, 0, False, id="azures-beyond"),
        pytest.param(10, 1000, True, id="ours-beyond: our canary does not stand for the rest"),
    ],
)
def test_the_rpo_is_held_to_the_recovery_point_alone(age, lag, within):
    sync = None if age is None else Sync(status=SyncStatus.LIVE, last_sync_time=at(1000 - age))
    found, _ = known(sync, at_=1000, lag=None if lag is None else s(lag))

    assert found.recovery_point_age == (None if age is None else s(age))
    assert found.within_rpo is within


def test_a_recovery_point_a_little_ahead_of_us_has_no_negative_age():
    found, _ = known(Sync(status=SyncStatus.LIVE, last_sync_time=at(5)))

    assert (found.recovery_point_age, found.within_rpo) == (timedelta(0), True)


def test_a_clock_that_is_an_hour_behind_knows_no_age_and_says_why():
    """0 would say that nothing can be lost, whatever the secondary lags."""
    found, _ = known(Sync(status=SyncStatus.LIVE, last_sync_time=at(3600)))

    assert (found.recovery_point, found.recovery_point_age, found.within_rpo) == (None, None, None)
    assert found.last_sync_time == at(3600)
    assert found.reason == "the last sync time is 1 h ahead of this machine's clock, which is behind"


@pytest.mark.parametrize("status", [None, SyncStatus.BOOTSTRAP, SyncStatus.UNAVAILABLE, SyncStatus.LIVE])
def test_the_age_of_the_recovery_point_grows_while_it_cannot_be_renewed(status):
    _, point = known(Sync(status=SyncStatus.LIVE, last_sync_time=at(0)), at_=5)
    later, kept = known(Sync(status=status) if status else None, at_=600, point=point)

    assert kept == point
    assert (later.recovery_point, later.recovery_point_age) == (at(0), s(600))


@pytest.mark.parametrize("status", [SyncStatus.BOOTSTRAP, SyncStatus.UNAVAILABLE, SyncStatus.LIVE])
def test_a_recovery_point_that_was_never_told_is_unknown_and_not_0(status):
    found, point = known(Sync(status=status))

    assert (point, found.recovery_point, found.recovery_point_age, found.within_rpo) == (None,) * 4


def test_azures_latest_word_takes_the_place_of_an_earlier_one_though_it_says_less():
    """A failover, or a new replication, may set the last sync time back; it is what holds now."""
    _, point = known(Sync(status=SyncStatus.LIVE, last_sync_time=at(50)), at_=60)
    later, _ = known(Sync(status=SyncStatus.LIVE, last_sync_time=at(40)), at_=120, point=point)

    assert later.recovery_point == at(40)


def test_the_word_of_an_older_tick_that_is_folded_later_does_not_count():
    _, point = known(Sync(status=SyncStatus.LIVE, last_sync_time=at(50)), at_=60)
    _, kept = known(Sync(status=SyncStatus.LIVE, last_sync_time=at(10)), at_=30, point=point)

    assert kept == point


def test_the_newest_canary_of_the_secondary_is_evidence_with_its_age_when_it_was_first_seen_there():
    ledger, _, _ = play("w1 s1 s1")
    found, _ = known(None, at_=100, ledger=ledger)

    assert (found.secondary_sequence, found.secondary_delay) == (1, s(10))


@pytest.mark.parametrize("where", [PRIMARY, SECONDARY])
def test_a_made_up_sequence_uses_up_no_numbers(where):
    """One answer with the highest sequence of all must neither be a floor nor end the numbering."""
    ledger, _, _ = play("w1 p1 s1")
    poisoned, _ = ledger.after_sighting(where, stamped(SEQUENCE_LIMIT), at=at(60), since=None)

    assert poisoned == ledger
    assert poisoned.next_sequence() == 2
    assert ledger.next_sequence(stamped(SEQUENCE_LIMIT)) == 2


def test_what_we_wrote_is_seen_however_high_a_sequence_it_went_on_from():
    """Else the secondary would be behind for ever."""
    ledger, _, _ = play("w1 s1")
    high = stamped(ledger.next_sequence(stamped(SEQUENCE_LIMIT // 2)))
    ledger, _ = ledger.after_write(high).after_sighting(SECONDARY, high, at=at(60), since=None)

    assert ledger.secondary_shown == high
    assert ledger.lag(at(60)) == s(0)
    assert ledger.is_sound
