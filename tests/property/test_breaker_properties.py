"""The breaker against a plain model of the same rules, and what holds of it whatever happens."""

from collections import deque
from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from probe.core.breaker import MULTIPLIER_LIMIT, TRANSITIONS, Breaker, State
from probe.core.reading import Purpose
from probe.core.target import Location
from tests.property import strategies
from tests.unit.core_values import NOON, at, s

QUARTER_OF_AN_HOUR = timedelta(minutes=15)


class Model:
    """The rules as one would tell them, with counters and a deque; nothing of it is the breaker's code."""

    def __init__(self, policy, now):
        self.policy = policy
        self.factor = 1
        self.recovered = False
        self.moves = []
        self.primary = self.primary_failed = self.secondary = self.secondary_failed = 0
        self.enter("closed", now)
        self.moves.clear()

    def enter(self, state, now):
        self.moves.append((getattr(self, "state", None), state))
        if "closed" in {getattr(self, "state", "closed"), state}:
            self.since = now
        self.state, self.moved = state, now
        self.in_a_row = self.from_secondary = self.good_trials = self.good_checks = 0
        self.window = deque(maxlen=self.policy.window)

    def count(self, where, what):
        failed = what == "failed"
        if where == "primary":
            self.primary += 1
            self.primary_failed += failed
        else:
            self.secondary += 1
            self.secondary_failed += failed

    def saw(self, where, what, now, *, trial, forced):
        if self.state == "closed" and where == "primary" and what != "neutral":
            self.saw_while_closed(what, now)
        elif self.state == "open" and (where == "secondary" or forced):
            self.from_secondary += 1
            self.time_passed(now)
        elif self.state == "open" and what == "good":
            self.enter("half-open", now)
        elif self.state == "half-open" and where == "primary" and (trial or forced):
            self.saw_a_trial(what, now)
        if self.state == "open" and where == "primary" and what in ("failed", "slow") and not forced:
            self.good_checks = 0

    def saw_while_closed(self, what, now):
        self.forget_old_trouble(now)
        self.in_a_row = self.in_a_row + 1 if what == "failed" else 0
        self.window.append(what in ("failed", "slow"))
        enough = len(self.window) >= self.policy.minimum_samples
        too_many = enough and sum(self.window) / len(self.window) >= self.policy.failure_rate
        if self.in_a_row >= self.policy.failure_threshold or too_many:
            if self.recovered and now - self.since < QUARTER_OF_AN_HOUR:
                self.factor = min(self.factor * 2, 8)
            self.enter("open", now)

    def saw_a_trial(self, what, now):
        if what in ("failed", "slow"):
            self.factor = min(self.factor * 2, 8)
            self.enter("open", now)
        elif what == "good":
            self.good_trials += 1
            if self.good_trials == self.policy.success_threshold:
                self.recovered = True
                self.enter("closed", now)

    def checked(self, what, now, *, stale):
        if self.state == "open" and what in ("failed", "slow"):
            self.good_checks = 0
        elif self.state == "open" and what == "good":
            self.good_checks += 1
            self.time_passed(now, stale=stale)

    def time_passed(self, now, *, stale=False):
        if self.state == "closed":
            self.forget_old_trouble(now)
        if self.state == "open":
            enough_reads = self.from_secondary >= self.policy.secondary_reads * self.factor
            wait = self.policy.cooldown * self.factor
            if enough_reads or (wait and now >= self.moved + wait) or self.good_checks >= (1 if stale else 5):
                self.enter("half-open", now)

    def forget_old_trouble(self, now):
        if now - self.since >= QUARTER_OF_AN_HOUR:
            self.factor = 1


class BreakerMachine(RuleBasedStateMachine):
    """Any attempts in any order, late ones and forced ones among them, with any pauses."""

    @initialize(policy=strategies.policies)
    def start(self, policy):
        self.policy, self.now = policy, NOON
        self.breaker, self.model = Breaker.fresh(NOON), Model(policy, NOON)
        self.events = []

    @rule(
        where=strategies.locations,
        what=strategies.outcomes,
        wait=st.integers(0, 40),
        late=st.sampled_from([0, 0, 0, 0, 1, 2, -1]),
        forced=st.sampled_from([False, False, False, True]),
        last_resort=st.sampled_from([False, False, True]),
    )
    def attempt(self, where, what, wait, late, *, forced, last_resort):
        self.now += s(wait)
        half_open = self.breaker.state is State.HALF_OPEN
        trial = half_open and where is Location.PRIMARY and not (forced or last_resort)
        learned = strategies.fact(
            where,
            what,
            purpose=Purpose.TRIAL if trial else Purpose.READ,
            now=self.now,
            epoch=self.breaker.epoch - late,
            forced=forced,
        )
        self.breaker, events = self.breaker.observe(learned, policy=self.policy)
        self.events += events
        self.model.count(where, what)
        if not late:
            self.model.saw(where, what, self.now, trial=trial, forced=forced)

    @rule(what=strategies.outcomes, times=st.integers(1, 6), stale=st.booleans())
    def checks(self, what, times, stale):
        for _ in range(times):
            learned = strategies.fact(
                Location.PRIMARY,
                what,
                purpose=Purpose.CHECK,
                now=self.now,
                epoch=self.breaker.epoch,
                stale=stale,
            )
            self.breaker, events = self.breaker.observe(learned, policy=self.policy)
            self.events += events
            self.model.checked(what, self.now, stale=stale)

    @rule(what=st.sampled_from(["good", "failed"]), times=st.integers(1, 8))
    def client_reads(self, what, times):
        """As the routing goes, so that deep states are reached often."""
        for _ in range(times):
            route = self.breaker.route(policy=self.policy, now=self.now)
            self.attempt(route.first, what, 1, 0, forced=False, last_resort=False)

    @rule(wait=st.integers(0, 2000))
    def pause(self, wait):
        self.now += s(wait)
        self.breaker, events = self.breaker.elapse(policy=self.policy, now=self.now)
        self.events += events
        self.model.time_passed(self.now)

    @invariant()
    def agrees_with_the_model(self):
        ours, model = self.breaker, self.model
        assert (ours.state, ours.since, ours.multiplier) == (model.state, model.since, model.factor)
        assert (ours.moved_at or ours.since, ours.good_checks) == (model.moved, model.good_checks)
        assert (ours.consecutive_failures, ours.recent) == (model.in_a_row, tuple(model.window))
        assert (ours.secondary_reads, ours.good_trials) == (model.from_secondary, model.good_trials)
        assert [(each.from_state, each.to_state) for each in self.events] == model.moves

    @invariant()
    def counts_everything_once(self):
        totals, model = self.breaker.totals, self.model
        assert (totals.primary_attempts, totals.primary_failures) == (model.primary, model.primary_failed)
        assert (totals.secondary_attempts, totals.secondary_failures) == (
            model.secondary,
            model.secondary_failed,
        )
        assert totals.transitions == self.breaker.epoch == len(self.events)

    @invariant()
    def moves_by_the_table_alone(self):
        assert all(TRANSITIONS[each.from_state, each.trigger] is each.to_state for each in self.events)
        assert [each.epoch for each in self.events] == list(range(1, len(self.events) + 1))
        assert all(each.reason for each in self.events)


TestBreakerMachine = BreakerMachine.TestCase


@given(script=strategies.scripts, policy=strategies.policies, secondary=st.sampled_from(["good", "failed"]))
def test_no_state_is_a_trap(script, policy, secondary):
    """Once the primary is well, a bounded number of reads leads home, whether the secondary serves or not."""
    _, breaker, _ = strategies.client(Breaker.fresh(NOON), script, policy=policy)
    bound = policy.secondary_reads * MULTIPLIER_LIMIT + policy.success_threshold

    _, healed, _ = strategies.client(breaker, [(0, "good", secondary)] * bound, policy=policy, start=1000)

    assert healed.state is State.CLOSED


@given(script=strategies.scripts, policy=strategies.policies)
def test_no_state_is_a_trap_without_a_secondary(script, policy):
    _, breaker, _ = strategies.client(Breaker.fresh(NOON), script, policy=policy)
    bound = policy.secondary_reads * MULTIPLIER_LIMIT + policy.success_threshold

    _, healed, _ = strategies.client(breaker, [(0, "good", "good")] * bound, policy=policy, geo=False)

    assert healed.state is State.CLOSED


@given(script=strategies.scripts, policy=strategies.policies, outage=st.integers(1, 200))
def test_a_dead_primary_is_tried_ever_more_rarely_but_never_given_up(script, policy, outage):
    """After the first trials, no trial comes sooner than the dwell allows, and none is lost for ever."""
    _, breaker, _ = strategies.client(Breaker.fresh(NOON), script, policy=policy)
    facts, _, _ = strategies.client(breaker, [(0, "failed", "good")] * outage, policy=policy, start=10**6)
    trials = [index for index, each in enumerate(facts) if each.purpose is Purpose.TRIAL]

    longest = policy.secondary_reads * MULTIPLIER_LIMIT + 1
    assert all(after - before <= longest for before, after in pairwise(trials))
    assert len(trials) >= (outage - policy.failure_threshold - longest) // longest


@given(
    script=strategies.scripts,
    policy=strategies.policies,
    multiplier=st.sampled_from([1, 8]),
    state=st.sampled_from(State),
)
def test_replaying_a_ticks_facts_answers_what_the_tick_came_to(script, policy, multiplier, state):
    base = Breaker(state=state, since=NOON, epoch=3, multiplier=multiplier)
    facts, local, now = strategies.client(base, script, policy=policy)
    local, _ = local.elapse(policy=policy, now=now)

    replayed, _ = base.replay(facts, policy=policy)
    replayed, _ = replayed.elapse(policy=policy, now=now)

    assert strategies.without_times(replayed) == strategies.without_times(local)


@given(breaker=strategies.breakers_of_any_state, policy=strategies.policies, geo=st.booleans())
def test_every_read_has_another_location_to_go_to_where_there_is_one(breaker, policy, geo):
    route = breaker.route(policy=policy, now=at(0), geo=geo)

    assert route.then is (route.first.other if geo else None)
    assert route.attempts >= 1
