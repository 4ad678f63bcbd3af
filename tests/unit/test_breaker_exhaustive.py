"""The breaker, exhaustively: every value that any sequence of steps can lead to, under a small policy.

Values are gathered breadth first until no new one comes, so sequences of every length are covered. That ends,
since what decides nothing is left out of a value: its totals, which epoch it is, and by how much it is older
than the longest time that anything waits for; a clock may be a quarter of an hour behind, no matter how often
it jumps. What must hold of a move is asserted as it happens, what must hold of a value of each that was
reached. ``tests/long/test_breaker_mutants.py`` shows that each of these can fail.

It stands on the facts that a client can make; where attempts come from, and what they cost, is for the tapes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache

import pytest

from probe.core.breaker import MULTIPLIER_LIMIT, TRANSITIONS, Breaker, Fact, State, Totals, Transition
from probe.core.reading import Purpose
from probe.core.target import Forced, Location, Policy
from tests.amounts import amount
from tests.unit.core_values import NOON, PRIMARY, SECONDARY, s

pytestmark = pytest.mark.long
DEPTH = amount(6, 9)
POLICY = Policy(
    failure_threshold=2, window=2, minimum_samples=2, secondary_reads=1, success_threshold=2, cooldown=s(60)
)
WITHOUT_COOLDOWN = replace(POLICY, cooldown=timedelta(0))
LONGEST = POLICY.secondary_reads * MULTIPLIER_LIMIT
JUMPS = [timedelta(0), timedelta(minutes=1), timedelta(days=365), -timedelta(days=365)]
STEPS = [timedelta(seconds=60), timedelta(minutes=16), -timedelta(minutes=16)]
"""How far the clock jumps in a step: a cooldown, more than the calm, and back. Multiples keep ages few."""
OLD = timedelta(minutes=16)
"""Longer than the calm and the longest cooldown: whatever is older is alike."""


@dataclass(frozen=True)
class Node:
    """A value as it is at noon, and the good trials in a row that a client has counted."""

    breaker: Breaker
    trials: int = 0


def fact(
    location: Location, purpose: Purpose, outcome: str, *, forced: bool = False, stale: bool = False
) -> Fact:
    return Fact(
        location=location,
        purpose=purpose,
        at=NOON,
        epoch=0,
        failed=outcome == "failed",
        slow=outcome == "slow",
        forced=forced,
        stale=stale,
        error_type={"failed": "503", "neutral": "404"}.get(outcome),
    )


GOOD, BAD = fact(PRIMARY, Purpose.READ, "good"), fact(PRIMARY, Purpose.READ, "failed")
TRIAL = fact(PRIMARY, Purpose.TRIAL, "good")
FROM_SECONDARY = fact(SECONDARY, Purpose.READ, "good")
LOST = fact(SECONDARY, Purpose.READ, "failed")
FACTS = [
    GOOD,
    BAD,
    fact(PRIMARY, Purpose.READ, "slow"),
    fact(PRIMARY, Purpose.READ, "neutral"),
    TRIAL,
    fact(PRIMARY, Purpose.TRIAL, "failed"),
    FROM_SECONDARY,
    LOST,
    fact(PRIMARY, Purpose.CHECK, "good"),
    fact(PRIMARY, Purpose.CHECK, "failed"),
    fact(PRIMARY, Purpose.CHECK, "good", stale=True),
]


def seen(breaker: Breaker, what: Fact, now: datetime, policy: Policy = POLICY):
    return breaker.observe(replace(what, at=now, epoch=breaker.epoch), policy=policy)


def steps(node: Node) -> Iterator[tuple[Fact | None, timedelta, Breaker, tuple[Transition, ...]]]:
    """Return what each fact, made at noon, and each jump of the clock, both ways, lead to."""
    for each in FACTS:
        yield each, timedelta(0), *seen(node.breaker, each, NOON)
    for jump in STEPS:
        yield None, jump, *node.breaker.elapse(policy=POLICY, now=NOON + jump)


def plain(breaker: Breaker, now: datetime) -> Breaker:
    """Return the value as if it were noon, without what decides nothing."""
    when = breaker.since if breaker.state is State.CLOSED else breaker.moved_at or breaker.since
    age = min(max(now - when, -OLD), OLD)
    if breaker.state is State.HALF_OPEN:
        age = timedelta(0)
    return replace(breaker, since=NOON - age, moved_at=None, totals=Totals(), epoch=min(breaker.epoch, 1))


def check_move(
    node: Node, what: Fact | None, after: Breaker, events: tuple[Transition, ...], trials: int
) -> None:
    before = node.breaker
    assert len(events) <= 1
    assert after.multiplier <= MULTIPLIER_LIMIT, "the dwell is bounded"
    assert after.secondary_reads <= LONGEST, "and it ends"
    if not events:
        assert (after.state, after.since, after.moved_at) == (before.state, before.since, before.moved_at)
        return
    (event,) = events
    assert TRANSITIONS[event.from_state, event.trigger] is event.to_state is after.state is not before.state
    assert event.epoch == after.epoch == before.epoch + 1
    assert (after.since == before.since) or State.CLOSED in {before.state, after.state}
    if after.state is State.CLOSED:
        assert trials == POLICY.success_threshold, "it closed without the trials"
    if what is None:
        assert before.state is State.OPEN, "time alone, or a clock that jumps, only ever brings a trial"


@cache
def reached() -> tuple[Node, ...]:
    """Return every value that any sequence of steps can lead to; each move on the way is checked."""
    known, edge = {}, {Node(Breaker.fresh(NOON)): None}
    while edge:
        known |= edge
        found = {}
        for node in edge:
            for what, jump, after, events in steps(node):
                good = what == TRIAL and node.breaker.state is State.HALF_OPEN
                trials = node.trials + 1 if good else node.trials
                check_move(node, what, after, events, trials)
                found[Node(plain(after, NOON + jump), 0 if events else trials)] = None
        edge = {each: None for each in found if each not in known}
    return tuple(known)


def test_every_move_is_in_the_table_and_none_closes_without_the_trials():
    assert {each.breaker.state for each in reached()} == set(State)
    assert {each.breaker.multiplier for each in reached()} == {1, 2, 4, 8}


@pytest.mark.parametrize("jump", JUMPS, ids=["no jump", "a minute", "a year on", "a year back"])
@pytest.mark.parametrize("what", [FROM_SECONDARY, LOST], ids=["served", "lost"])
def test_an_open_breaker_comes_to_a_trial_within_its_dwell_whatever_the_clock_does(jump, what):
    """With just the reads that it names, though they are lost, the clock jumps, and no cooldown runs."""
    for node in reached():
        breaker, moves = node.breaker, 0
        if breaker.state is not State.OPEN:
            continue
        reads = breaker.reads_until_trial(WITHOUT_COOLDOWN)
        assert 0 <= reads <= LONGEST
        for _ in range(reads):
            assert breaker.state is State.OPEN
            breaker, events = seen(breaker, what, NOON + jump, WITHOUT_COOLDOWN)
            moves += len(events)
        assert (breaker.state, moves) == (State.HALF_OPEN, 1)


@pytest.mark.parametrize("jump", [JUMPS[0], JUMPS[-1]], ids=["no jump", "a year back"])
def test_a_well_primary_is_come_home_to_from_every_value_and_then_stayed_with(jump):
    for node in reached():
        breaker, now, moves = node.breaker, NOON + jump, 0
        for _ in range(LONGEST + POLICY.success_threshold + POLICY.window):
            breaker, timed = breaker.elapse(policy=POLICY, now=now)
            route = breaker.route(policy=POLICY, now=now)
            what = replace(GOOD if route.first is PRIMARY else FROM_SECONDARY, purpose=route.purpose)
            breaker, events = seen(breaker, what, now)
            moves += len(timed) + len(events)
            if (
                breaker.state is State.CLOSED
                and len(breaker.recent) == POLICY.window
                and not any(breaker.recent)
            ):
                break
        assert breaker.state is State.CLOSED
        assert moves <= 3, "at most: it trips by what it had seen, tries, closes"


def test_time_alone_brings_a_trial_at_the_time_that_is_told():
    for node in reached():
        trial_at = node.breaker.trial_at(POLICY)
        assert (trial_at is not None) == (node.breaker.state is State.OPEN)
        if trial_at:
            before, _ = node.breaker.elapse(policy=POLICY, now=trial_at - timedelta(microseconds=1))
            after, _ = node.breaker.elapse(policy=POLICY, now=trial_at)
            assert (before.state, after.state) == (State.OPEN, State.HALF_OPEN)


def test_a_late_fact_moves_nothing():
    for node in reached():
        for each in FACTS:
            for epoch in (node.breaker.epoch - 1, node.breaker.epoch + 1):
                late = replace(each, at=NOON, epoch=epoch)
                after, events = node.breaker.observe(late, policy=POLICY)
                assert (replace(after, totals=node.breaker.totals), events) == (node.breaker, ())


def test_a_clock_that_jumps_moves_it_once_at_most():
    for node in reached():
        for jump in JUMPS:
            once, first = node.breaker.elapse(policy=POLICY, now=NOON + jump)
            again, second = once.elapse(policy=POLICY, now=NOON + jump)
            assert (len(first) <= 1, again, second) == (True, once, ())
            assert first == () or node.breaker.state is State.OPEN


@pytest.mark.parametrize("location", Location)
def test_a_forced_mode_routes_until_it_expires_and_leaves_the_value_to_itself(location):
    for node in reached():
        until = NOON + timedelta(minutes=1)
        forced = replace(POLICY, forced=Forced(location=location, until=until))
        during = node.breaker.route(policy=forced, now=until - timedelta(microseconds=1))
        assert (during.first, during.forced) == (location, True)
        for jump in JUMPS[:3]:
            after = node.breaker.route(policy=forced, now=until + jump)
            assert after == node.breaker.route(policy=POLICY, now=until + jump)
