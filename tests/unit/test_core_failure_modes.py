"""The ways in which breakers and probers are known to fail, a test each: the core on long or unlucky tapes.

In a tick the probe's own reader makes five reads, with what the two locations answer in that minute.
"""

from dataclasses import replace
from datetime import timedelta

import pytest

from probe.core import canary, verdict
from probe.core.breaker import MULTIPLIER_LIMIT, Breaker, Fact, State
from probe.core.reading import Purpose
from probe.core.record import TRANSITIONS_LIMIT, Sighting, TargetRecord, TickFacts, fold
from probe.core.replication import LEDGER_LIMIT, Ledger, Replication
from probe.core.target import Location, Policy
from tests.unit.client_values import Client, at_once
from tests.unit.core_values import BODY, NOON, PRIMARY, SECONDARY, at, read, reading, stamped

DEFAULT = Policy()
MINUTE = 60


def tick(record: TargetRecord, minute: int, *, policy=DEFAULT, fresh="good", **answers):
    """Play a tick, ``fresh`` being what its first attempt at the primary meets; returns record and reads."""
    asked = []

    def meets(location, purpose, now):
        first = location is PRIMARY and PRIMARY not in asked
        asked.append(location)
        down = answers.get(location) == "failed" or (first and fresh == "failed")
        return replace(reading(location, "503" if down else None, purpose=purpose), started_at=now)

    client = Client(meets=meets, now=at(minute * MINUTE))
    reader = client.begin(record.breaker, policy=policy)
    reads = [at_once(reader.read()) for _ in range(policy.reads)]
    facts = TickFacts(attempts=reader.facts, finished_at=client.now)
    folded = fold(record, facts, policy=policy, geo=True)
    assert folded.record.breaker == reader.breaker
    return folded.record, reads


def ticks(record: TargetRecord, minutes: range, **answers):
    """Play ticks; returns the record and who served each read, a letter each: P, S, or ``-`` for nobody."""
    served = ""
    for minute in minutes:
        record, reads = tick(record, minute, **answers)
        served += "".join({PRIMARY: "P", SECONDARY: "S", None: "-"}[each.served_by] for each in reads)
    return record, served


def test_one_good_trial_is_no_recovery_and_one_failure_after_it_is_no_outage():
    """A breaker that closes on the first success floods what has barely come back, and flaps."""
    half_open = replace(TargetRecord.fresh(NOON), breaker=Breaker(state=State.HALF_OPEN, since=NOON, epoch=2))
    one_read = replace(DEFAULT, reads=1)
    after_one, _ = tick(half_open, 0, policy=one_read)
    closed, _ = ticks(half_open, range(3), policy=one_read)
    after_failure, served = ticks(closed, range(3, 4), fresh="failed", policy=one_read)

    assert [each.breaker.state for each in (after_one, closed, after_failure)] == [
        State.HALF_OPEN,
        State.CLOSED,
        State.CLOSED,
    ]
    assert served == "P"


@pytest.mark.parametrize("attempts", [1, 2, 10])
def test_however_many_probe_in_step_a_trial_is_one_attempt(attempts):
    half_open = Breaker(state=State.HALF_OPEN, since=NOON)
    route = half_open.route(policy=replace(DEFAULT, attempts=attempts), now=NOON)

    assert (route.purpose, route.attempts) == (Purpose.TRIAL, 1)


def test_when_it_opened_is_not_overwritten_by_another_tick_that_saw_the_same_outage():
    base = TargetRecord.fresh(NOON)
    first, _ = tick(base, 0, primary="failed")
    late = [
        Fact.of(reading(PRIMARY, "503", started=50), policy=DEFAULT, epoch=base.breaker.epoch)
        for _ in range(5)
    ]
    both = fold(first, TickFacts(attempts=late, finished_at=at(55)), policy=DEFAULT, geo=True)

    assert first.breaker.state is State.OPEN
    assert (both.record.breaker.since, both.record.breaker.epoch) == (first.breaker.since, 1)
    assert both.record.breaker.totals.primary_failures == first.breaker.totals.primary_failures + 5


def test_late_good_trials_of_an_old_epoch_do_not_close_a_younger_half_open_state():
    old = Breaker(state=State.HALF_OPEN, since=NOON, epoch=2)
    late = Fact.of(reading(PRIMARY, purpose=Purpose.TRIAL), policy=DEFAULT, epoch=old.epoch)
    young = replace(old, epoch=4)

    assert young.replay([late] * 3, policy=DEFAULT)[0].state is State.HALF_OPEN


def test_no_time_that_is_remembered_depends_on_this_process():
    """A monotonic clock's reading means nothing after a restart: all are aware, and in UTC."""
    record, _ = ticks(TargetRecord.fresh(NOON), range(2), primary="failed")

    times = [record.breaker.since, *(each.at for each in record.transitions)]
    assert all(each.utcoffset() == timedelta(0) for each in times)


def test_no_read_is_lost_from_the_outage_to_the_way_back():
    record, before = ticks(TargetRecord.fresh(NOON), range(2))
    record, during = ticks(record, range(2, 12), primary="failed")
    record, after = ticks(record, range(12, 60))

    assert set(before) == {"P"}
    assert set(during) == {"S"}
    assert set(after) == {"S", "P"}
    assert "PS" not in after
    assert record.breaker.state is State.CLOSED


def test_an_outage_is_routed_around_within_its_first_tick():
    record, _ = tick(TargetRecord.fresh(NOON), 0, primary="failed")

    assert record.breaker.state is State.OPEN


def test_a_primary_that_fails_on_fresh_connections_alone_is_told_but_never_left():
    """One attempt in six fails for hours: below the rate, served all the same, and the endpoint degraded."""
    record, served = ticks(TargetRecord.fresh(NOON), range(240), fresh="failed")

    assert set(served) == {"P"}
    assert (record.breaker.state, record.transitions) == (State.CLOSED, ())


def test_a_primary_that_comes_back_while_the_secondary_is_down_serves_and_soon_closes():
    """The breaker is open towards a dead secondary: the primary is the last resort, failed reads dwell."""
    record, _ = ticks(TargetRecord.fresh(NOON), range(1), primary="failed")
    record, served = ticks(record, range(1, 4), secondary="failed")

    assert set(served) == {"P"}
    assert record.breaker.state is State.CLOSED


def test_both_down_for_days_stays_bounded_and_comes_home():
    policy = replace(DEFAULT, reads=1)
    down = {"primary": "failed", "secondary": "failed"}
    record, served = ticks(TargetRecord.fresh(NOON), range(2 * 24 * 60), policy=policy, **down)

    assert set(served) == {"-"}
    assert len(record.transitions) == TRANSITIONS_LIMIT
    assert record.breaker.multiplier == MULTIPLIER_LIMIT
    assert len(record.breaker.recent) <= DEFAULT.window

    record, served = ticks(record, range(2880, 2900), secondary="failed")
    assert set(served) == {"P"}
    assert record.breaker.state is State.CLOSED


def test_replication_dead_for_days_keeps_an_honest_lag_in_a_bounded_ledger():
    record = TargetRecord.fresh(NOON)
    for minute in range(2 * 24 * 60):
        now = minute * MINUTE
        found = TickFacts(
            written=stamped(record.ledger.next_sequence(), now),
            shown=[Sighting(location=SECONDARY, stamp=stamped(1), at=at(now))],
            finished_at=at(now),
        )
        record = fold(record, found, policy=DEFAULT, geo=True).record

    assert len(record.ledger.unseen) == LEDGER_LIMIT
    assert record.ledger.lag(at(2880 * MINUTE)) == timedelta(minutes=2879)


def test_an_account_failover_that_loses_writes_is_told_once_and_then_outnumbered():
    """The primary shows canary 4 after 7 was written: a rollback; the next write is above both."""
    ledger = replace(Ledger(newest=stamped(7, 420)), primary_shown=stamped(7, 420))
    _, lost = canary.verify(
        body=BODY,
        metadata=canary.encode(stamped(4, 240)),
        content_md5=None,
        floor=ledger.shown(PRIMARY),
        stamped=True,
    )
    next_sequence = ledger.next_sequence()
    after = stamped(next_sequence, 480)
    ledger = ledger.after_write(after)
    _, healed = canary.verify(
        body=BODY,
        metadata=canary.encode(after),
        content_md5=None,
        floor=ledger.shown(PRIMARY),
        stamped=True,
    )

    assert (lost, next_sequence, healed) == ("rollback", 8, None)


def test_the_tick_of_an_account_failover_says_corrupt_and_absent_at_once():
    """The primary's rollback lasts until the next write, the lost secondary stays."""

    def judged(primary_error):
        gone = [reading(SECONDARY, "dns")]
        primary = [reading(PRIMARY, primary_error)]
        return verdict.judge(
            verdict.Evidence(
                primary=primary,
                secondary=gone,
                reads=[read(*primary, *gone) if primary_error else read(*primary)],
                ledger=Ledger(),
                replication=Replication(),
                policy=DEFAULT,
                now=NOON,
            )
        )

    first, next_tick = judged("rollback"), judged(None)
    assert (first.primary.verdict, first.secondary.verdict) == ("corrupt", "absent")
    assert (next_tick.primary.verdict, next_tick.secondary.verdict) == ("healthy", "absent")


def vantages(offset: float, *, minutes: int, replicated_after: float):
    """Two vantages write one blob, half a minute apart; the other's clock is ``offset`` seconds ahead.

    Returns the first one's lag at the end of each of its ticks; writes take ``replicated_after`` seconds.
    """
    ledger, blob, lags = Ledger(), [], []
    for minute in range(minutes):
        now = minute * MINUTE
        mine = stamped(ledger.next_sequence(), now)
        blob.append((now, mine))
        ledger = ledger.after_write(mine)
        arrived = [each for when, each in blob if when + replicated_after <= now]
        for location, shown in ((PRIMARY, mine), *((SECONDARY, each) for each in arrived[-1:])):
            ledger, _ = ledger.after_sighting(location, shown, at=at(now), since=None)
        lags.append(ledger.lag(at(now)))
        blob.append((now + 30, stamped(mine.sequence + 1, now + 30 + offset, "there")))
    return [each.total_seconds() for each in lags]


def test_two_vantages_writing_one_blob_see_the_same_lag_as_one():
    assert max(vantages(0, minutes=30, replicated_after=100)) <= 120 + MINUTE


def test_a_vantage_whose_clock_is_behind_makes_the_other_see_more_lag_but_bounded():
    assert max(vantages(-45, minutes=30, replicated_after=100)) <= 120 + 2 * MINUTE


def test_another_vantages_canary_is_no_rollback():
    _, error = canary.verify(
        body=BODY,
        metadata=canary.encode(stamped(3, writer="there")),
        content_md5=None,
        floor=stamped(9),
        stamped=True,
    )

    assert error is None


@pytest.mark.parametrize("location", Location)
def test_a_denied_canary_is_told_but_routes_nothing_away_for_ever(location):
    """A revoked grant on one side for a day: no outage, no transition."""
    record = TargetRecord.fresh(NOON)
    denied = [Fact.of(reading(location, "403"), policy=DEFAULT, epoch=record.breaker.epoch)]
    found = fold(record, TickFacts(attempts=denied * 7200, finished_at=at(86400)), policy=DEFAULT, geo=True)

    assert found.transitions == ()
