"""The ledger against a plain account of one writer's writes, and its bounds whatever the order."""

from datetime import timedelta
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from probe.core import replication
from probe.core.replication import Ledger
from probe.core.target import Location
from tests.property import strategies
from tests.unit.core_values import PRIMARY, SECONDARY, at, stamped

steps = st.lists(
    st.tuples(st.sampled_from(["write", "primary", "secondary"]), st.integers(0, 30)), max_size=30
)
any_order = st.lists(st.tuples(st.sampled_from(["write", *Location]), strategies.stamps), max_size=30)


def seen(ledger, location, stamp, now=0.0):
    return ledger.after_sighting(location, stamp, at=at(now), since=None)


@given(steps=steps)
def test_lag_is_the_age_of_the_oldest_write_that_was_not_shown(steps):
    """One writer, ten seconds a step; ``number`` picks which of its writes a location shows."""
    ledger, written, highest, delayed = Ledger(), {}, 0, []
    for step, (act, number) in enumerate(steps):
        now = step * 10
        if act == "write":
            sequence = ledger.next_sequence()
            written[sequence] = now
            ledger = ledger.after_write(stamped(sequence, now))
        elif written:
            sequence = 1 + number % len(written)
            location = PRIMARY if act == "primary" else SECONDARY
            ledger, delays = seen(ledger, location, stamped(sequence, written[sequence]), now)
            delayed += [each.sequence for each in delays]
            highest = max(highest, sequence) if act == "secondary" else highest

    now = len(steps) * 10
    behind = [now - when for sequence, when in written.items() if sequence > highest]
    expected = max(behind) if behind else 0 if highest else None
    assert ledger.lag(at(now)) == (None if expected is None else timedelta(seconds=expected))
    assert list(written) == list(range(1, len(written) + 1))
    assert delayed == [sequence for sequence in written if sequence <= highest]


@given(history=any_order)
def test_the_ledger_is_bounded_and_never_forgets_the_oldest_unseen_whoever_writes(history):
    with patch.object(replication, "LEDGER_LIMIT", 3):
        ledger, owed, kept = Ledger(), set(), set()
        for act, stamp in history:
            if act == "write":
                shown = ledger.secondary_shown
                owed |= {stamp} if not (shown and shown.covers(stamp)) else set()
                ledger = ledger.after_write(stamp)
            else:
                before = ledger.secondary_shown
                ledger, _ = seen(ledger, act, stamp)
                if ledger.secondary_shown is not before:  # from here on, the oldest of those that it kept
                    owed = {each for each in owed & kept if not stamp.covers(each)}
            kept = set(ledger.unseen)
            assert len(ledger.unseen) <= 3
            assert set(ledger.unseen) <= owed
            oldest = min((each.written_at for each in owed), default=None)
            assert (ledger.unseen[0].written_at if ledger.unseen else None) == oldest


@given(history=any_order, now=strategies.times)
def test_no_lag_and_no_delay_is_negative_and_lag_is_known_once_anything_is(history, now):
    ledger, wrote, showed = Ledger(), False, False
    for act, stamp in history:
        if act == "write":
            ledger, wrote = ledger.after_write(stamp), True
        else:
            ledger, delays = ledger.after_sighting(act, stamp, at=now, since=stamp.written_at)
            showed = showed or act is SECONDARY
            assert all(timedelta(0) <= each.error <= each.delay for each in delays)

    lag = ledger.lag(now)
    assert (lag is not None) == wrote
    assert lag is None or lag >= timedelta(0)


@given(history=any_order)
def test_a_sequence_never_repeats_and_a_floor_never_sinks(history):
    ledger = Ledger()
    for act, stamp in history:
        floors = {each: ledger.shown(each) for each in Location}
        if act == "write":
            ledger = ledger.after_write(stamp)
        else:
            ledger, _ = seen(ledger, act, stamp)
        for location, floor in floors.items():
            assert floor is None or ledger.shown(location).covers(floor)
        known = filter(None, (ledger.newest, ledger.primary_shown, ledger.secondary_shown))
        assert all(ledger.next_sequence() > each.sequence for each in known)
