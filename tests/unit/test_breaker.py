"""The breaker as tapes: what happened to each attempt, and the state after it, with the reason for each row.

A tape is read from left to right, a letter an attempt of a read:
``.`` primary good, ``x`` primary failed, ``~`` primary good but slow, ``X`` primary failed and slow,
``d`` primary denied (403), ``m`` missing (404), ``g`` corrupt (digest), ``G`` corrupt and slow,
``s`` secondary good, ``z`` secondary failed, ``l`` primary good as a last resort (a read, no trial),
``L`` failed as one, ``k`` a good check of the primary, ``K`` a failed one, ``w`` a slow one, ``n`` a denied
one.
The states under it: ``c`` closed, ``o`` open, ``h`` half-open.
"""

from dataclasses import replace
from datetime import timedelta

import pytest

from probe.core.breaker import (
    CALM,
    MULTIPLIER_LIMIT,
    TRANSITIONS,
    Breaker,
    Fact,
    State,
    Totals,
    Trigger,
    destination,
    diagram,
)
from probe.core.errors import IllegalTransition
from probe.core.reading import CONTENT_ERRORS, PATH_ERRORS, Purpose
from probe.core.target import Forced, Policy
from tests.unit.core_values import NOON, PRIMARY, SECONDARY, at, reading, s

ERRORS = {
    "x": "503",
    "X": "timeout",
    "L": "503",
    "K": "503",
    "n": "403",
    "z": "503",
    "d": "403",
    "m": "404",
    "g": "digest",
    "G": "digest",
}
LETTERS = {State.CLOSED: "c", State.OPEN: "o", State.HALF_OPEN: "h"}
CHECKS = "kKwn"
DEFAULT = Policy()


def attempt(
    breaker: Breaker, letter: str, policy: Policy = DEFAULT, *, now: float = 0, geo: bool = True
) -> Fact:
    """Return the fact of one attempt, routed by the breaker as it stands."""
    route = breaker.route(policy=policy, now=at(now), geo=geo)
    found = reading(
        SECONDARY if letter in "sz" else PRIMARY,
        ERRORS.get(letter),
        purpose=Purpose.CHECK if letter in CHECKS else Purpose.READ if letter in "szlL" else route.purpose,
        took=policy.slow_after.total_seconds() + 1 if letter in "~XGw" else 0.01,
        started=now,
    )
    return Fact.of(found, policy=policy, epoch=route.epoch, forced=route.forced)


def play(breaker: Breaker, tape: str, policy: Policy = DEFAULT, *, now: float = 0, geo: bool = True):
    """Return the breaker after a tape, the state after each letter, and the events."""
    states, events = "", ()
    for letter in tape:
        breaker, more = breaker.observe(attempt(breaker, letter, policy, now=now, geo=geo), policy=policy)
        states += LETTERS[breaker.state]
        events += more
    return breaker, states, events


def closed(**values) -> Breaker:
    return Breaker(since=NOON, **values)


def opened(**values) -> Breaker:
    return Breaker(state=State.OPEN, since=NOON, epoch=1, **values)


def half_open(**values) -> Breaker:
    return Breaker(state=State.HALF_OPEN, since=NOON, epoch=2, **values)


SMALL = Policy(failure_threshold=99, window=4, minimum_samples=4, failure_rate=0.5)
SHORT = Policy(secondary_reads=2, success_threshold=2)


@pytest.mark.parametrize(
    ("policy", "start", "tape", "states", "why"),
    [
        pytest.param(
            DEFAULT, closed(), "xxxx", "cccc", "four failures are one short of five", id="four-fail"
        ),
        pytest.param(DEFAULT, closed(), "xxxxx", "cccco", "the fifth in a row trips", id="five-fail"),
        pytest.param(DEFAULT, closed(), "xxxx.xxxx", "ccccccccc", "a success ends the run", id="run-broken"),
        pytest.param(
            DEFAULT, closed(), "xxxx~xxxx", "ccccccccc", "a slow success ends the run too", id="slow-breaks"
        ),
        pytest.param(
            DEFAULT, closed(), "xxdxmxgx", "ccccccco", "neutral answers stand aside", id="neutral-aside"
        ),
        pytest.param(
            DEFAULT,
            closed(),
            "xxsxzsx.",
            "cccccccc",
            "the secondary says nothing of the primary",
            id="secondary-aside",
        ),
        pytest.param(
            DEFAULT, closed(), "xxsxzxx", "cccccco", "nor does it break the run", id="secondary-no-break"
        ),
        pytest.param(
            DEFAULT, closed(), "~~~~~~~~~", "c" * 9, "nine samples are one short of ten", id="nine-slow"
        ),
        pytest.param(
            DEFAULT, closed(), "~~~~~~~~~~", "c" * 9 + "o", "slow counts for the rate", id="ten-slow"
        ),
        pytest.param(
            DEFAULT, closed(), "x.x.x.x.x.", "c" * 9 + "o", "half of ten is the rate", id="rate-at-half"
        ),
        pytest.param(
            DEFAULT, closed(), "x.x.x.x...", "c" * 10, "four of ten is below the rate", id="rate-below"
        ),
        pytest.param(
            DEFAULT,
            closed(),
            "x.x.x.x.dmgG",
            "c" * 12,
            "neutral answers are no samples",
            id="neutral-no-sample",
        ),
        pytest.param(SMALL, closed(), "..xx", "ccco", "two bad of four", id="small-window"),
        pytest.param(
            SMALL,
            closed(),
            "x...x...x",
            "c" * 9,
            "the window slides: never two bad in four",
            id="window-slides",
        ),
        pytest.param(
            SMALL,
            closed(),
            "x...x.x",
            "c" * 6 + "o",
            "an old success slides out, the third failure is the second in four",
            id="window-slid",
        ),
        pytest.param(
            DEFAULT, opened(), "s" * 20, "o" * 19 + "h", "twenty reads from the secondary", id="dwell"
        ),
        pytest.param(
            DEFAULT,
            opened(),
            "z" * 20,
            "o" * 19 + "h",
            "failed ones count: it must not stay open since both fail",
            id="dwell-both-down",
        ),
        pytest.param(
            SHORT,
            opened(),
            "LLLLLLs",
            "ooooooo",
            "a last resort at the primary is no dwell",
            id="last-resort",
        ),
        pytest.param(
            SHORT,
            opened(),
            "Lllll",
            "ohhhh",
            "a good one makes it half-open, and closes nothing: only trials do",
            id="last-resort-good",
        ),
        pytest.param(DEFAULT, opened(), "kkkkk", "ooooh", "five good checks in a row", id="checks"),
        pytest.param(
            DEFAULT,
            opened(),
            "kkkkKkkkkwkkkkLkkkk",
            "o" * 19,
            "a bad check, a slow one and a bad last resort begin the count anew",
            id="checks-broken",
        ),
        pytest.param(DEFAULT, opened(), "kknkkk", "oooooh", "a denied check is aside", id="check-aside"),
        pytest.param(DEFAULT, closed(), "K" * 30, "c" * 30, "no check trips it", id="check-trips-not"),
        pytest.param(DEFAULT, half_open(), "kkkkkK", "hhhhhh", "nor is one a trial", id="check-no-trial"),
        pytest.param(
            DEFAULT, half_open(), "..", "hh", "two good trials are one short of three", id="two-good"
        ),
        pytest.param(DEFAULT, half_open(), "...", "hhc", "the third closes it", id="three-good"),
        pytest.param(DEFAULT, half_open(), "..x", "hho", "one bad trial opens it again", id="bad-trial"),
        pytest.param(DEFAULT, half_open(), "..~", "hho", "a slow trial is a bad one", id="slow-trial"),
        pytest.param(
            DEFAULT,
            half_open(),
            ".dmg.szs.",
            "hhhhhhhhc",
            "neutral and secondary neither close nor open it",
            id="neutral-trials",
        ),
        pytest.param(
            DEFAULT,
            half_open(),
            "dmgGdmgG",
            "h" * 8,
            "a missing canary is not a healthy primary",
            id="neutral-never-closes",
        ),
        pytest.param(
            SHORT,
            half_open(),
            "xssss..",
            "oooohhc",
            "open again for the doubled dwell, then trials",
            id="way-back-starts",
        ),
    ],
)
def test_a_tape_moves_the_breaker_as_its_row_says(policy, start, tape, states, why):
    _, seen, _ = play(start, tape, policy)

    assert seen == states, why


def test_a_transition_tells_from_to_reason_time_and_the_figures_that_caused_it():
    _, _, events = play(closed(), "xxxxx", now=7)

    (event,) = events
    assert (event.from_state, event.to_state, event.trigger) == (State.CLOSED, State.OPEN, Trigger.TRIPPED)
    assert event.reason == "5 primary attempts failed in a row, the last with 503"
    assert event.at == at(7.01)
    assert event.epoch == 1
    assert event.figures == {
        "consecutive_failures": 5,
        "samples": 5,
        "bad_samples": 5,
        "secondary_reads": 0,
        "good_trials": 0,
        "multiplier": 1,
    }


@pytest.mark.parametrize(
    ("start", "tape", "reason"),
    [
        pytest.param(
            closed(), "~.~.~.~.~.", "50% of the last 10 primary attempts failed or were slow", id="rate"
        ),
        pytest.param(opened(), "s" * 20, "20 reads have gone to the secondary", id="dwell"),
        pytest.param(opened(), "kkkkk", "5 good checks of the primary in a row", id="seen-well"),
        pytest.param(
            opened(), "zl", "the primary served a read that the secondary did not", id="last-resort-served"
        ),
        pytest.param(half_open(), "...", "3 good trials in a row", id="recovered"),
        pytest.param(half_open(), "X", "the trial failed with timeout", id="trial-failed"),
        pytest.param(half_open(), "~", "the trial was slow", id="trial-slow"),
    ],
)
def test_each_move_gives_its_reason(start, tape, reason):
    _, _, events = play(start, tape)

    assert [each.reason for each in events] == [reason]


def test_a_move_forgets_the_counters_of_the_state_that_it_left():
    breaker, _, _ = play(closed(multiplier=4), "xxxxx", now=7)

    assert replace(breaker, totals=Totals()) == Breaker(
        state=State.OPEN, since=at(7.01), moved_at=at(7.01), epoch=1, multiplier=4
    )


def test_totals_count_every_attempt_and_every_failure():
    breaker, _, _ = play(closed(), "..xdmzs")

    assert breaker.totals == Totals(
        primary_attempts=5, primary_failures=1, secondary_attempts=2, secondary_failures=1
    )


@pytest.mark.parametrize(
    ("bad_trials", "multiplier"), [(1, 2), (2, 4), (3, 8), (4, 8)], ids=["2x", "4x", "8x", "still-8x"]
)
def test_each_bad_trial_doubles_the_dwell_up_to_eight_times(bad_trials, multiplier):
    breaker = half_open()
    for _ in range(bad_trials):
        breaker, states, _ = play(breaker, "x" + "s" * 2 * MULTIPLIER_LIMIT, SHORT)

    assert states.index("h") == SHORT.secondary_reads * multiplier


def test_beside_a_stale_secondary_one_good_check_is_enough():
    """It may be the last tick that found it stale: then the next read is a trial."""
    good, bad = attempt(opened(), "k"), attempt(opened(), "K")
    at_once, (event,) = opened().observe(replace(good, stale=True), policy=DEFAULT)
    checked, _ = opened().observe(good, policy=DEFAULT)
    with_the_next_read, _ = checked.elapse(policy=DEFAULT, now=at(60), stale=True)
    unseen, _ = opened().elapse(policy=DEFAULT, now=at(60), stale=True)
    still_down, _ = opened().observe(replace(bad, stale=True), policy=DEFAULT)

    assert [each.state for each in (at_once, checked, with_the_next_read)] == [
        "half-open",
        "open",
        "half-open",
    ]
    assert event.reason == "1 good checks of the primary in a row, and the secondary is stale"
    assert (unseen.state, still_down.state) == (State.OPEN, State.OPEN)


def test_since_is_when_it_left_closed_through_every_failed_trial():
    breaker, _, _ = play(closed(), "xxxxx", now=60)
    for trial in range(3):
        breaker, states, _ = play(breaker, "k" * 5 + "x", now=120 + trial)
        assert states == "ooooho"

    assert (breaker.since, breaker.moved_at) == (at(60.01), at(122.01))
    healed, _, _ = play(breaker, "kkkkk...", now=180)
    assert (healed.since, healed.moved_at) == (at(180.01), at(180.01))


@pytest.mark.parametrize(
    ("breaker", "reads", "trial_at"),
    [
        pytest.param(closed(), None, None, id="closed"),
        pytest.param(opened(), 20, at(60), id="open"),
        pytest.param(opened(secondary_reads=7), 13, at(60), id="some-read"),
        pytest.param(opened(multiplier=4, secondary_reads=7), 73, at(240), id="longer"),
        pytest.param(opened(moved_at=at(30)), 20, at(90), id="opened-again"),
        pytest.param(opened(secondary_reads=99), 0, at(60), id="the-setting-was-lowered"),
        pytest.param(half_open(), 0, None, id="half-open"),
    ],
)
def test_it_says_what_it_waits_for(breaker, reads, trial_at):
    policy = Policy(cooldown=s(60))

    assert (breaker.reads_until_trial(policy), breaker.trial_at(policy)) == (reads, trial_at)
    assert breaker.trial_at(DEFAULT) is None


def test_the_cooldown_ends_the_dwell_when_it_comes_before_the_reads():
    policy = Policy(cooldown=s(60))
    still, none = opened(secondary_reads=19).elapse(policy=policy, now=at(59.9))
    moved, (event,) = opened().elapse(policy=policy, now=at(60))

    assert (still.state, none) == (State.OPEN, ())
    assert moved.state is State.HALF_OPEN
    assert event.reason == "60 s have passed since it opened"
    assert event.at == at(60)


def test_the_reads_end_the_dwell_when_they_come_before_the_cooldown():
    _, states, _ = play(opened(), "ss", Policy(cooldown=s(60), secondary_reads=2), now=1)

    assert states == "oh"


def test_a_read_from_the_secondary_after_the_cooldown_ends_the_dwell():
    _, states, _ = play(opened(), "s", Policy(cooldown=s(60)), now=61)

    assert states == "h"


def test_the_cooldown_is_doubled_like_the_reads():
    policy = Policy(cooldown=s(60))
    still, _ = opened(multiplier=2).elapse(policy=policy, now=at(119))
    moved, _ = opened(multiplier=2).elapse(policy=policy, now=at(120))

    assert (still.state, moved.state) == (State.OPEN, State.HALF_OPEN)


def test_without_a_cooldown_time_alone_never_ends_the_dwell():
    breaker, events = opened().elapse(policy=DEFAULT, now=at(10**8))

    assert (breaker, events) == (opened(), ())


@pytest.mark.parametrize("start", [closed(), half_open()], ids=["closed", "half-open"])
def test_time_alone_moves_no_other_state(start):
    assert start.elapse(policy=Policy(cooldown=s(1)), now=at(10**8)) == (start, ())


def test_the_multiplier_falls_back_once_it_has_stayed_closed_for_the_calm():
    early, _ = closed(multiplier=8).elapse(policy=DEFAULT, now=NOON + CALM - s(1))
    late, events = closed(multiplier=8).elapse(policy=DEFAULT, now=NOON + CALM)

    assert (early.multiplier, late.multiplier, events) == (8, 1, ())


def test_the_multiplier_falls_back_though_the_probe_slept_through_the_calm():
    """No tick ran for days; the first attempt thereafter is already part of the next outage."""
    days = timedelta(days=2).total_seconds()
    breaker, states, (event,) = play(closed(multiplier=8), "xxxxx", now=days)

    assert (states[-1], breaker.multiplier, event.figures["multiplier"]) == ("o", 1, 1)


def test_an_outage_soon_after_recovery_keeps_the_long_dwell():
    breaker, states, _ = play(closed(multiplier=4), "xxxxx", now=60)

    assert (states[-1], breaker.multiplier) == ("o", 4)


@pytest.mark.parametrize(("beyond", "slow"), [(0, False), (0.000001, True)], ids=["at-the-limit", "beyond"])
def test_an_attempt_is_slow_when_it_takes_longer_than_the_limit(beyond, slow):
    found = reading(PRIMARY, took=DEFAULT.slow_after.total_seconds() + beyond)

    assert Fact.of(found, policy=DEFAULT, epoch=0).slow is slow


@pytest.mark.parametrize("start", [closed(), opened(), half_open()], ids=["closed", "open", "half-open"])
@pytest.mark.parametrize("letter", ["d", "m", "g", "G"])
def test_a_neutral_answer_moves_no_state(start, letter):
    breaker, _, events = play(start, letter * 30)

    assert events == ()
    assert replace(breaker, totals=start.totals) == start
    assert breaker.totals.primary_failures == 0


@pytest.mark.parametrize("error", [*PATH_ERRORS, "408", "429", "500", "503", "504"])
def test_every_path_fault_trips(error):
    fact = replace(attempt(closed(), "."), failed=True, error_type=error)
    breaker, _ = closed().replay([fact] * 5, policy=DEFAULT)

    assert breaker.state is State.OPEN


@pytest.mark.parametrize("error", [*CONTENT_ERRORS, "400", "401", "403", "409", "412"])
def test_no_other_error_is_counted(error):
    fact = Fact.of(reading(PRIMARY, error), policy=DEFAULT, epoch=0)

    assert (fact.failed, fact.neutral) == (False, True)


@pytest.mark.parametrize("epoch", [0, 1, 3], ids=["two-before", "one-before", "one-after"])
@pytest.mark.parametrize("letter", [".", "x", "s", "~"])
def test_a_fact_of_another_epoch_is_counted_and_moves_nothing(epoch, letter):
    start = half_open(good_trials=2)
    late = replace(attempt(start, letter), epoch=epoch)
    breaker, events = start.observe(late, policy=DEFAULT)

    assert events == ()
    assert replace(breaker, totals=start.totals) == start
    assert breaker.totals.primary_attempts + breaker.totals.secondary_attempts == 1


def test_only_trials_close_or_reopen_a_half_open_breaker():
    """Another tick's last resort may carry the same epoch by coincidence; it was no trial."""
    good = replace(attempt(half_open(), "."), purpose=Purpose.READ)
    breaker, events = half_open().replay([good] * 3 + [attempt(half_open(), "L")], policy=DEFAULT)

    assert (breaker.state, breaker.good_trials, events) == (State.HALF_OPEN, 0, ())


@pytest.mark.parametrize(
    ("start", "first", "then", "purpose", "attempts"),
    [
        pytest.param(closed(), PRIMARY, SECONDARY, Purpose.READ, 2, id="closed"),
        pytest.param(opened(), SECONDARY, PRIMARY, Purpose.READ, 2, id="open-with-a-last-resort"),
        pytest.param(half_open(), PRIMARY, SECONDARY, Purpose.TRIAL, 1, id="half-open-tries-once"),
    ],
)
def test_a_read_goes_where_the_state_says(start, first, then, purpose, attempts):
    route = start.route(policy=DEFAULT, now=NOON)

    assert (route.first, route.then, route.purpose, route.attempts) == (first, then, purpose, attempts)
    assert (route.epoch, route.forced) == (start.epoch, False)


@pytest.mark.parametrize("start", [closed(), opened(), half_open()], ids=["closed", "open", "half-open"])
@pytest.mark.parametrize("location", [PRIMARY, SECONDARY])
def test_forcing_overrules_every_state_until_it_expires(start, location):
    policy = Policy(forced=Forced(location=location, until=at(60)))
    during = start.route(policy=policy, now=at(59.9))
    after = start.route(policy=policy, now=at(60))

    assert (during.first, during.then, during.purpose) == (location, location.other, Purpose.READ)
    assert during.forced
    assert after == start.route(policy=DEFAULT, now=at(60))


@pytest.mark.parametrize("start", [closed(), opened(), half_open()], ids=["closed", "open", "half-open"])
def test_a_target_without_a_secondary_is_read_from_its_primary_alone(start):
    policy = Policy(forced=Forced(location=SECONDARY, until=at(60)))
    route = start.route(policy=policy, now=NOON, geo=False)

    assert (route.first, route.then, route.forced, route.attempts) == (PRIMARY, None, True, 2)


def test_a_breaker_forced_to_the_primary_reports_the_whole_cycle_it_would_have_made():
    policy = Policy(forced=Forced(location=PRIMARY, until=at(60)), secondary_reads=2, success_threshold=2)
    _, states, events = play(closed(), "xxxxx" + "xx" + ".." + "..", policy)

    assert states == "cccco" + "oh" + "hc" + "cc"
    assert [each.trigger for each in events] == [Trigger.TRIPPED, Trigger.DWELLED, Trigger.RECOVERED]


def test_a_target_without_a_secondary_cannot_get_stuck_open():
    _, states, _ = play(opened(), "." * 23, geo=False)

    assert states == "o" * 19 + "hhhc"


def test_a_breaker_forced_to_the_secondary_learns_nothing_and_goes_on_where_it_was():
    policy = Policy(forced=Forced(location=SECONDARY, until=at(60)))
    breaker, states, _ = play(half_open(), "ssss", policy)

    assert states == "hhhh"
    assert breaker.route(policy=policy, now=at(60)).purpose is Purpose.TRIAL


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("trigger", Trigger)
def test_a_pair_outside_the_table_is_illegal(state, trigger):
    if (state, trigger) in TRANSITIONS:
        assert destination(state, trigger) is TRANSITIONS[state, trigger]
    else:
        with pytest.raises(IllegalTransition, match=f"{trigger} is no move from {state}"):
            destination(state, trigger)


def test_every_state_can_be_left_and_reached():
    assert {state for state, _ in TRANSITIONS} == set(State) == set(TRANSITIONS.values())
    assert {trigger for _, trigger in TRANSITIONS} == set(Trigger)


def test_the_diagram_has_the_start_and_one_line_for_each_move_of_the_table():
    lines = [each.strip() for each in diagram().splitlines()]

    assert lines == [
        "stateDiagram-v2",
        "half_open: half-open",
        "[*] --> closed",
        "closed --> open: tripped",
        "open --> half_open: dwelled",
        "open --> half_open: seen well",
        "half_open --> closed: recovered",
        "half_open --> open: trial failed",
    ]


def test_replaying_a_ticks_facts_answers_what_the_tick_itself_came_to_after_a_cooldown():
    """The cooldown ended in the tick before its first read; no fact says so, but the trials depend on it."""
    policy = Policy(cooldown=s(60))
    saved = opened()
    local, _ = saved.elapse(policy=policy, now=at(61))
    trials = [attempt(local, ".", policy, now=61)] * 3
    ticked, _ = local.replay(trials, policy=policy)

    replayed, events = saved.replay(trials, policy=policy)

    assert replayed == ticked
    assert replayed.state is State.CLOSED
    assert [each.trigger for each in events] == [Trigger.DWELLED, Trigger.RECOVERED]


def test_a_trip_soon_after_a_recovery_doubles_the_dwell_since_a_flapping_primary_passes_each_trial():
    early = closed(epoch=3, multiplier=2)
    late = closed(epoch=3, multiplier=2)

    soon, _, _ = play(early, "xxxxx", now=60)
    calm, _, _ = play(late, "xxxxx", now=CALM.total_seconds() + 1)

    assert (soon.multiplier, calm.multiplier) == (4, 1)
