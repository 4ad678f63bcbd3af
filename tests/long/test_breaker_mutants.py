"""Each invariant of the breaker's exhaustive test can fail: a breaker that breaks it is caught by that test.

A mutant is one method of ``Breaker`` with a piece of its source replaced. Too long for the gate, since each
mutant has all its values found anew.
"""

import inspect
import textwrap

import pytest

from probe.core import breaker
from probe.core.breaker import Breaker
from probe.core.target import Location
from tests.unit import test_breaker_exhaustive as exhaustive
from tests.unit.test_breaker_exhaustive import JUMPS, LOST

MUTANTS = {
    "a read that was lost is no dwell": (
        "_open",
        "if fact.location is Location.SECONDARY or fact.forced:",
        "if (fact.location is Location.SECONDARY and not fact.failed) or fact.forced:",
        lambda: exhaustive.test_an_open_breaker_comes_to_a_trial_within_its_dwell_whatever_the_clock_does(
            JUMPS[0], LOST
        ),
    ),
    "the dwell waits for a clock that is behind": (
        "_dwelled",
        "if self.reads_until_trial(policy) == 0:",
        "if self.reads_until_trial(policy) == 0 and now >= (self.moved_at or self.since):",
        lambda: exhaustive.test_an_open_breaker_comes_to_a_trial_within_its_dwell_whatever_the_clock_does(
            JUMPS[-1], LOST
        ),
    ),
    "any good answer is a trial": (
        "_half_open",
        "or not is_trial",
        "",
        exhaustive.test_every_move_is_in_the_table_and_none_closes_without_the_trials,
    ),
    "one good trial less is enough": (
        "_half_open",
        "breaker.good_trials < policy.success_threshold",
        "breaker.good_trials < policy.success_threshold - 1",
        exhaustive.test_every_move_is_in_the_table_and_none_closes_without_the_trials,
    ),
    "the dwell doubles without end": (
        "_doubled",
        "min(self.multiplier * 2, MULTIPLIER_LIMIT)",
        "self.multiplier * 2",
        exhaustive.test_every_move_is_in_the_table_and_none_closes_without_the_trials,
    ),
    "a forced mode never expires": (
        "route",
        "policy.forced and now < policy.forced.until",
        "policy.forced",
        lambda: exhaustive.test_a_forced_mode_routes_until_it_expires_and_leaves_the_value_to_itself(
            Location.SECONDARY
        ),
    ),
    "a late fact counts": (
        "_uncounted",
        "if fact.epoch != self.epoch:",
        "if False:",
        exhaustive.test_a_late_fact_moves_nothing,
    ),
    "the cooldown runs the other way as well": (
        "_dwelled",
        "now >= trial_at",
        "abs(now - (self.moved_at or self.since)) >= policy.cooldown",
        exhaustive.test_time_alone_brings_a_trial_at_the_time_that_is_told,
    ),
    "time alone closes": (
        "elapse",
        "return self, ()",
        "return self._move(Trigger.RECOVERED, 'it is late', now)",
        exhaustive.test_a_clock_that_jumps_moves_it_once_at_most,
    ),
    "a recovered primary is left for what it did before": (
        "_move",
        "multiplier=self.multiplier,",
        "multiplier=self.multiplier, recent=self.recent, consecutive_failures=1,",
        lambda: exhaustive.test_a_well_primary_is_come_home_to_from_every_value_and_then_stayed_with(
            JUMPS[0]
        ),
    ),
}


@pytest.fixture(autouse=True)
def anew():
    """Find the values anew, before and after."""
    exhaustive.reached.cache_clear()
    yield
    exhaustive.reached.cache_clear()


@pytest.mark.parametrize("name", MUTANTS)
def test_a_breaker_that_breaks_an_invariant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch):
    method, old, new, test = MUTANTS[name]
    source = textwrap.dedent(inspect.getsource(getattr(Breaker, method)))
    assert source.count(old) == 1, "the mutant still has something to change"
    made: dict[str, object] = {}
    exec(source.replace(old, new), vars(breaker) | {}, made)  # noqa: S102 - our own source
    monkeypatch.setattr(Breaker, method, made[method])

    with pytest.raises(AssertionError):
        test()
