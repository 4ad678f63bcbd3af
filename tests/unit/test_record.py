"""What is remembered between ticks: folding, two ticks at once, bounds, and clocks that are wrong."""

from dataclasses import replace
from datetime import timedelta

import pytest

from probe.core.breaker import Breaker, Fact, State, Totals, Transition, Trigger
from probe.core.reading import Purpose
from probe.core.record import (
    HISTORY_LIMIT,
    SKEW_ALLOWED,
    TRANSITIONS_LIMIT,
    Folded,
    HistoryEntry,
    ShardRecord,
    Sighting,
    TargetRecord,
    TickFacts,
    clamped,
    remember,
)
from probe.core.record import fold as fold_onto
from probe.core.replication import Ledger, RecoveryPoint
from probe.core.target import Location, Policy
from tests.unit.core_values import NOON, PRIMARY, SECONDARY, at, s, stamped

DEFAULT = Policy()


def failed(epoch: int = 0, location: Location = PRIMARY, seconds: float = 0) -> Fact:
    return Fact(
        location=location,
        purpose=Purpose.READ,
        at=at(seconds),
        epoch=epoch,
        failed=True,
        slow=False,
        error_type="503",
    )


def facts(*attempts: Fact, written=None, shown=(), finished: float = 1) -> TickFacts:
    return TickFacts(attempts=attempts, written=written, shown=shown, finished_at=at(finished))


def fold(record: TargetRecord, found: TickFacts, *, geo: bool = True, policy: Policy = DEFAULT):
    return fold_onto(record, found, policy=policy, geo=geo)


def moment(seconds: float) -> HistoryEntry:
    return HistoryEntry(
        at=at(seconds), verdict="ok", primary="healthy", secondary="healthy", served_primary=5,
        served_secondary=0, served_none=0, worst_read=0.1, lag=0.0, last_sync_age=None,
    )  # fmt: skip


def test_a_stored_record_says_its_schema():
    """Raise it when what was stored before can no longer be read as it is."""
    assert ShardRecord(targets={}).schema == 2


def test_a_new_record_has_counted_nothing_and_knows_no_tick():
    new = ShardRecord(targets={})

    assert (new.ticks, new.clamped, new.last_scheduled_at, new.last_completed_at) == (0, 0, None, None)


def test_a_tick_without_facts_changes_nothing():
    record = TargetRecord.fresh(NOON)

    assert fold(record, facts()) == Folded(record=record, transitions=(), delays=())


def test_a_tick_whose_fifth_failure_trips_remembers_the_transition():
    folded = fold(TargetRecord.fresh(NOON), facts(*[failed()] * 5))

    assert folded.record.breaker.state is State.OPEN
    assert [each.trigger for each in folded.transitions] == [Trigger.TRIPPED]
    assert folded.record.transitions == folded.transitions


def test_the_end_of_a_tick_is_time_too():
    """The cooldown ends with no read to notice it."""
    record = replace(TargetRecord.fresh(NOON), breaker=Breaker(state=State.OPEN, since=NOON, epoch=1))
    folded = fold(record, facts(finished=60), policy=Policy(cooldown=s(60)))

    assert folded.record.breaker.state is State.HALF_OPEN
    assert [each.at for each in folded.transitions] == [at(60)]


def test_two_ticks_at_once_both_tripping_make_one_transition_and_lose_no_count():
    base = TargetRecord.fresh(NOON)
    tick = facts(*[failed()] * 5, failed(epoch=1, location=SECONDARY))
    first = fold(base, tick)
    second = fold(first.record, tick)

    assert (len(first.transitions), second.transitions) == (1, ())
    assert second.record.breaker.totals == Totals(
        primary_attempts=10, primary_failures=10, secondary_attempts=2, secondary_failures=2, transitions=1
    )
    assert second.record.breaker.secondary_reads == 2


def test_two_ticks_at_once_may_trip_together_where_neither_did_alone():
    first = fold(TargetRecord.fresh(NOON), facts(*[failed()] * 3))
    second = fold(first.record, facts(*[failed()] * 2))

    assert (first.transitions, len(second.transitions)) == ((), 1)


def test_a_delay_is_told_by_one_of_two_ticks_at_once():
    base = replace(TargetRecord.fresh(NOON), ledger=Ledger().after_write(stamped(1)))
    tick = facts(shown=[Sighting(location=SECONDARY, stamp=stamped(1), at=at(10))])
    first = fold(base, tick)
    second = fold(first.record, tick)

    assert ([each.sequence for each in first.delays], second.delays) == ([1], ())


def test_two_ticks_at_once_keep_both_writes():
    base = TargetRecord.fresh(NOON)
    later = fold(base, facts(written=stamped(1, 10))).record
    both = fold(later, facts(written=stamped(1, 0))).record

    assert [each.written_at for each in both.ledger.unseen] == [at(0), at(10)]


def test_the_last_reading_of_the_secondary_never_goes_back():
    """A tick that read it earlier may save later."""
    first = fold(
        TargetRecord.fresh(NOON), facts(shown=[Sighting(location=SECONDARY, stamp=stamped(1), at=at(30))])
    )
    second = fold(first.record, facts(shown=[Sighting(location=SECONDARY, stamp=stamped(1), at=at(20))]))

    assert second.record.secondary_seen_at == at(30)


def test_the_primary_showing_its_canary_is_no_reading_of_the_secondary():
    folded = fold(
        TargetRecord.fresh(NOON), facts(shown=[Sighting(location=PRIMARY, stamp=stamped(1), at=at(1))])
    )

    assert folded.record.secondary_seen_at is None
    assert folded.record.ledger.primary_shown == stamped(1)


def test_a_target_that_lost_its_secondary_in_the_settings_has_no_lag():
    before = fold(
        TargetRecord.fresh(NOON),
        facts(written=stamped(1), shown=[Sighting(location=SECONDARY, stamp=stamped(1), at=at(1))]),
    )
    after = fold(before.record, facts(written=stamped(2, 60), finished=61), geo=False)

    assert before.record.ledger.lag(at(61)) == timedelta(0)
    assert after.record.ledger.lag(at(61)) is None
    assert after.record.secondary_seen_at is None
    assert after.record.ledger.next_sequence() == 3


def test_the_remembered_transitions_are_bounded_to_the_youngest():
    (sample,) = fold(TargetRecord.fresh(NOON), facts(*[failed()] * 5)).transitions
    old = tuple(replace(sample, epoch=number) for number in range(TRANSITIONS_LIMIT))
    record = replace(TargetRecord.fresh(NOON), transitions=old)
    folded = fold(record, facts(*[failed()] * 5))

    assert len(folded.record.transitions) == TRANSITIONS_LIMIT
    assert folded.record.transitions[-1] == folded.transitions[0]
    assert folded.record.transitions[0].epoch == 1


def test_history_is_bounded_and_in_the_order_of_time():
    record = TargetRecord.fresh(NOON)
    for seconds in [*range(0, 60 * HISTORY_LIMIT, 60), 30]:
        record = remember(record, moment(seconds), {"at": seconds})

    times = [each.at for each in record.history]
    assert len(times) == HISTORY_LIMIT
    assert times == sorted(times)
    assert times[0] == at(30)


def test_a_tick_that_saves_late_does_not_replace_the_last_report():
    record = remember(TargetRecord.fresh(NOON), moment(60), {"tick": "young"})
    record = remember(record, moment(0), {"tick": "old"})

    assert record.last == {"tick": "young"}


def test_of_two_ticks_at_one_time_the_later_to_save_is_the_last():
    record = remember(TargetRecord.fresh(NOON), moment(0), {"tick": "first"})
    record = remember(record, moment(0), {"tick": "second"})

    assert record.last == {"tick": "second"}


def test_the_first_tick_is_the_last_report():
    assert remember(TargetRecord.fresh(NOON), moment(0), {"tick": 1}).last == {"tick": 1}


FUTURE = 3600.0
SKEWED = ShardRecord(
    last_scheduled_at=at(FUTURE),
    last_completed_at=at(FUTURE),
    clamped=2,
    targets={
        "orders": TargetRecord(
            breaker=Breaker(state=State.OPEN, since=at(FUTURE), epoch=1),
            ledger=Ledger(
                newest=stamped(2, FUTURE),
                unseen=(stamped(1, -60), stamped(2, FUTURE)),
                primary_shown=stamped(2, FUTURE),
                secondary_shown=stamped(0, FUTURE),
            ),
            secondary_seen_at=at(FUTURE),
            transitions=(
                Transition(
                    from_state=State.CLOSED, to_state=State.OPEN, trigger=Trigger.TRIPPED, reason="r",
                    at=at(FUTURE), epoch=1,
                ),
            ),
            history=(moment(-60), moment(FUTURE)),
        )
    },
)  # fmt: skip


def test_every_time_from_the_future_is_set_to_now_and_counted():
    found = clamped(SKEWED, NOON)
    target = found.targets["orders"]

    assert found.clamped == 2 + 10
    assert (found.last_scheduled_at, found.last_completed_at) == (None, NOON)
    assert target.breaker.since == NOON
    assert target.ledger.newest == target.ledger.primary_shown == stamped(2)
    assert target.ledger.secondary_shown == stamped(0)
    assert target.ledger.unseen == (stamped(1, -60), stamped(2))
    assert target.secondary_seen_at == NOON
    assert [each.at for each in target.transitions] == [NOON]
    assert [each.at for each in target.history] == [at(-60), NOON]


@pytest.mark.parametrize("ahead", [0.0, SKEW_ALLOWED.total_seconds()], ids=["now", "as-far-as-allowed"])
def test_another_machines_clock_is_not_a_wrong_one(ahead):
    record = ShardRecord(last_scheduled_at=at(ahead), targets={"orders": TargetRecord.fresh(at(ahead))})

    assert clamped(record, NOON) is record


def test_a_time_just_beyond_the_allowance_is_clamped():
    record = ShardRecord(
        targets={"orders": TargetRecord.fresh(NOON + SKEW_ALLOWED + timedelta(microseconds=1))}
    )

    assert clamped(record, NOON).targets["orders"].breaker.since == NOON


def test_a_recovery_point_from_the_future_is_forgotten_and_counted():
    """Set to now, it would say that every write until now is on the secondary, which nobody told."""
    told = RecoveryPoint(at=at(FUTURE), told_at=NOON)
    found = clamped(ShardRecord(targets={"orders": replace(TargetRecord.fresh(NOON), recovery=told)}), NOON)

    assert found.targets["orders"].recovery is None
    assert found.clamped == 1


def test_one_bad_clock_does_not_stop_the_cooldown_of_the_ticks_after_it():
    """A tick dated a year ahead opened the breaker; the next tick's clock is right."""
    policy = Policy(cooldown=s(60))
    bad = fold(TargetRecord.fresh(NOON), facts(*[failed(seconds=31e6)] * 5, finished=31e6), policy=policy)
    found = clamped(ShardRecord(last_scheduled_at=at(31e6), targets={"orders": bad.record}), NOON)
    next_tick = fold(found.targets["orders"], facts(finished=60), policy=policy)

    assert found.last_scheduled_at is None
    assert next_tick.record.breaker.state is State.HALF_OPEN
