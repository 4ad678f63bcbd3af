"""Folding and clamping, whatever two ticks saw at once and whatever clocks they had."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from probe.core.breaker import MULTIPLIER_LIMIT, TRANSITIONS, State
from probe.core.record import (
    HISTORY_LIMIT,
    SKEW_ALLOWED,
    Sighting,
    TargetRecord,
    TickFacts,
    clamped,
    fold,
    remember,
)
from probe.core.target import Location
from tests.property import strategies
from tests.unit.core_values import NOON, s

shown = st.lists(
    st.builds(Sighting, location=strategies.locations, stamp=strategies.stamps, at=strategies.times),
    max_size=4,
)
written = st.none() | strategies.stamps


def times_in(value) -> Iterator[datetime]:
    """Yield every time anywhere in a value, of fields that are yet to be invented too."""
    if isinstance(value, datetime):
        yield value
    elif is_dataclass(value):
        for each in fields(value):
            yield from times_in(getattr(value, each.name))
    elif isinstance(value, dict):
        yield from times_in(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for each in value:
            yield from times_in(each)


@given(
    base=strategies.target_records,
    one=strategies.scripts,
    other=strategies.scripts,
    policy=strategies.policies,
    late=st.integers(0, 300),
    one_write=written,
    other_write=written,
    one_shown=shown,
    other_shown=shown,
)
def test_two_ticks_at_once_lose_no_count_and_no_transition(
    base, one, other, policy, late, one_write, other_write, one_shown, other_shown
):
    """Both ran on the same record; the second to save folds its facts onto what the first saved."""
    base = replace(base, transitions=())
    first, _, first_end = strategies.client(base.breaker, one, policy=policy)
    second, _, second_end = strategies.client(base.breaker, other, policy=policy, start=late)
    saved = fold(
        base,
        TickFacts(attempts=first, written=one_write, shown=one_shown, finished_at=first_end),
        policy=policy,
        geo=True,
    )
    both = fold(
        saved.record,
        TickFacts(attempts=second, written=other_write, shown=other_shown, finished_at=second_end),
        policy=policy,
        geo=True,
    )

    everything, totals = [*first, *second], both.record.breaker.totals
    primary = [each for each in everything if each.location is Location.PRIMARY]
    events = saved.transitions + both.transitions
    assert totals.primary_attempts == len(primary)
    assert totals.primary_failures == sum(each.failed for each in primary)
    assert totals.primary_attempts + totals.secondary_attempts == len(everything)
    assert totals.primary_failures + totals.secondary_failures == sum(each.failed for each in everything)
    assert totals.transitions == both.record.breaker.epoch - base.breaker.epoch == len(events)
    assert both.record.transitions == events
    state = base.breaker.state
    for each in events:
        assert each.from_state is state
        state = TRANSITIONS[state, each.trigger]
    assert state is both.record.breaker.state
    delayed = [each.sequence for each in saved.delays + both.delays]
    owed = [*base.ledger.unseen, *filter(None, (one_write, other_write))]
    assert len(delayed) <= len(owed)


@given(
    facts=st.lists(st.tuples(strategies.locations, strategies.outcomes, st.integers(0, 9)), max_size=20),
    base=strategies.breakers_of_any_state,
    policy=strategies.policies,
)
def test_facts_of_any_epoch_in_any_order_are_counted_once_and_never_raise(facts, base, policy):
    found = [strategies.fact(location, what, epoch=epoch, now=base.since) for location, what, epoch in facts]
    breaker, events = base.replay(found, policy=policy)

    assert breaker.totals.primary_attempts + breaker.totals.secondary_attempts == len(found)
    assert breaker.epoch == base.epoch + len(events)


@given(record=strategies.shard_records)
def test_after_clamping_no_time_is_in_the_future_and_each_was_counted(record):
    ahead = [each for each in times_in(record) if each > NOON + SKEW_ALLOWED]
    found = clamped(record, NOON)

    assert all(each <= NOON + SKEW_ALLOWED for each in times_in(found))
    assert found.clamped == record.clamped + len(ahead)
    assert clamped(found, NOON) is found


@given(record=strategies.shard_records, policy=strategies.policies, script=strategies.scripts)
def test_one_bad_clock_cannot_stop_the_ticks_after_it(record, policy, script):
    """Whatever was saved: the next tick is not stale, and an open breaker with a cooldown gets its trial."""
    policy = replace(policy, cooldown=s(60))
    found = clamped(record, NOON)
    stale_until = found.last_scheduled_at

    assert stale_until is None or stale_until <= NOON + SKEW_ALLOWED
    for target in found.targets.values():
        facts, _, now = strategies.client(target.breaker, script, policy=policy)
        folded = fold(target, TickFacts(attempts=facts, finished_at=now), policy=policy, geo=True)
        rested, _ = folded.record.breaker.elapse(
            policy=policy, now=now + SKEW_ALLOWED + s(60 * MULTIPLIER_LIMIT)
        )
        assert rested.state is not State.OPEN


@given(entries=st.lists(strategies.entries, max_size=80))
def test_history_keeps_the_youngest_in_order_whatever_order_they_come_in(entries):
    record = TargetRecord.fresh(NOON)
    for number, each in enumerate(entries):
        record = remember(record, each, {"number": number})

    times = sorted(each.at for each in entries)
    assert [each.at for each in record.history] == times[-HISTORY_LIMIT:]
    assert record.last is None or entries[record.last["number"]].at == times[-1]
