"""The breaker: which location serves the next read, decided from facts about the primary.

Rules kept here:

- The breaker is a value. ``observe`` returns the next value and the events; nothing is changed in place, and
  no clock, socket or randomness is used.
- Every move stands in ``TRANSITIONS``. A pair that is not there is illegal, and changes nothing.
- Only path faults count (``reading.fault_of``); a slow success counts for the rate, not for the run of
  consecutive failures. A denied, missing or corrupt answer is neutral: neither good nor bad.
- Every attempt at the secondary counts for the dwell, served or not: a breaker must not stay open for the
  reason that the secondary fails as well.
- A fact belongs to the epoch in which its attempt was made. Facts of another epoch are counted in the
  totals and move nothing, so that a late result cannot close or reopen a younger state.
- A trip soon after a recovery doubles the dwell as a failed trial does: a primary that flaps passes each
  trial and fails the reads after it.
- Only a trial closes or reopens a half-open breaker; a last resort at the primary does not.
- Forcing is laid over the state: a forced breaker routes as told and goes on counting what it would have
  done; its reads stand for the reads and trials that they replace. A target without a secondary is forced to
  its primary.

Source: the thresholds and the dwell by secondary reads are those of Microsoft's RA-GRS circuit breaker
sample (5 retries, 20 secondary reads); window, minimum samples and slow calls follow resilience4j's terms.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from probe.core.errors import IllegalTransition
from probe.core.reading import Fault, Purpose, Reading
from probe.core.target import Location, Policy

MULTIPLIER_LIMIT = 8
"""The dwell is doubled by each bad trial and early trip, up to this many times its configured length."""
CALM = timedelta(minutes=15)
"""The multiplier falls back to 1 after the breaker has stayed closed for so long."""


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Trigger(StrEnum):
    """What moves the breaker."""

    TRIPPED = "tripped"
    """Too many failed primary attempts in a row, or too high a rate of them."""
    DWELLED = "dwelled"
    """Enough reads from the secondary, or enough time, since it opened."""
    RECOVERED = "recovered"
    """Enough good trials in a row."""
    TRIAL_FAILED = "trial failed"


TRANSITIONS: dict[tuple[State, Trigger], State] = {
    (State.CLOSED, Trigger.TRIPPED): State.OPEN,
    (State.OPEN, Trigger.DWELLED): State.HALF_OPEN,
    (State.HALF_OPEN, Trigger.RECOVERED): State.CLOSED,
    (State.HALF_OPEN, Trigger.TRIAL_FAILED): State.OPEN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """An event: the breaker moved. ``figures`` are the numbers that caused it."""

    from_state: State
    to_state: State
    trigger: Trigger
    reason: str
    at: datetime
    epoch: int
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One attempt of a read, as far as the breaker cares."""

    location: Location
    purpose: Purpose
    at: datetime
    epoch: int
    failed: bool
    slow: bool
    forced: bool = False
    error_type: str | None = None

    @property
    def neutral(self) -> bool:
        """The endpoint answered, but not what was asked for: no outage, and no proof of health."""
        return self.error_type is not None and not self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Counts since the state document was made; they only grow."""

    primary_attempts: int = 0
    primary_failures: int = 0
    secondary_attempts: int = 0
    secondary_failures: int = 0
    transitions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """The breaker's value; ``recent`` has the last primary attempts while closed, ``True`` for a bad one."""

    state: State = State.CLOSED
    since: datetime
    epoch: int = 0
    consecutive_failures: int = 0
    recent: tuple[bool, ...] = ()
    secondary_reads: int = 0
    good_trials: int = 0
    multiplier: int = 1
    totals: Totals = field(default_factory=Totals)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How the next read goes: ``first``, then ``then`` if that fails; ``None`` where there is no other."""

    first: Location
    then: Location | None
    purpose: Purpose
    attempts: int
    """Attempts at ``first``; a trial has one."""
    epoch: int
    forced: bool = False


def fresh(now: datetime) -> Breaker:
    """Return the breaker of a target that was never probed: closed."""
    return Breaker(since=now)


def route(breaker: Breaker, *, policy: Policy, now: datetime, geo: bool = True) -> Route:
    """Return how the next read goes. ``geo`` says that the target has a secondary."""
    if not geo:
        return _route(breaker, Location.PRIMARY, policy.attempts, then=False, forced=True)
    if policy.forced and now < policy.forced.until:
        return _route(breaker, policy.forced.location, policy.attempts, forced=True)
    match breaker.state:
        case State.CLOSED:
            return _route(breaker, Location.PRIMARY, policy.attempts)
        case State.OPEN:
            return _route(breaker, Location.SECONDARY, policy.attempts)
        case State.HALF_OPEN:
            return replace(_route(breaker, Location.PRIMARY, 1), purpose=Purpose.TRIAL)


def _route(
    breaker: Breaker, first: Location, attempts: int, *, then: bool = True, forced: bool = False
) -> Route:
    return Route(
        first=first,
        then=first.other if then else None,
        purpose=Purpose.READ,
        attempts=attempts,
        epoch=breaker.epoch,
        forced=forced,
    )


def fact(reading: Reading, *, route: Route, policy: Policy) -> Fact:
    """Return what the breaker learns from the reading of an attempt of a read."""
    return Fact(
        location=reading.location,
        purpose=reading.purpose,
        at=reading.ended_at,
        epoch=route.epoch,
        forced=route.forced,
        failed=reading.fault is Fault.PATH,
        slow=reading.duration > policy.slow_after,
        error_type=reading.error_type,
    )


def observe(breaker: Breaker, fact: Fact, *, policy: Policy) -> tuple[Breaker, tuple[Transition, ...]]:
    """Return the breaker after a fact, and the transitions that it caused (none or one)."""
    counted = replace(breaker, totals=_counted(breaker.totals, fact))
    if fact.epoch != breaker.epoch:
        return counted, ()
    match counted.state:
        case State.CLOSED:
            return _closed(counted, fact, policy)
        case State.OPEN:
            return _open(counted, fact, policy)
        case State.HALF_OPEN:
            return _half_open(counted, fact, policy)


def elapse(breaker: Breaker, *, policy: Policy, now: datetime) -> tuple[Breaker, tuple[Transition, ...]]:
    """Return the breaker after time alone has passed: the cooldown, and the multiplier's fall back."""
    match breaker.state:
        case State.CLOSED:
            return _calmed(breaker, now), ()
        case State.OPEN:
            return _dwelled(breaker, policy, now)
        case State.HALF_OPEN:
            return breaker, ()


def replay(
    breaker: Breaker, facts: Iterable[Fact], *, policy: Policy
) -> tuple[Breaker, tuple[Transition, ...]]:
    """Return the breaker after facts that were gathered on an older copy of it.

    A fact whose epoch the newer breaker is still in moves it as if it had happened there; the others are
    counted. So neither of two ticks that ran at once loses a count or undoes the other's move. A fact of a
    later epoch was routed after time alone had moved the older copy; time moves this one as well.
    """
    events: tuple[Transition, ...] = ()
    for each in facts:
        if each.epoch > breaker.epoch:
            breaker, more = elapse(breaker, policy=policy, now=each.at)
            events += more
        breaker, more = observe(breaker, each, policy=policy)
        events += more
    return breaker, events


def _counted(totals: Totals, fact: Fact) -> Totals:
    failed = int(fact.failed)
    if fact.location is Location.PRIMARY:
        return replace(
            totals,
            primary_attempts=totals.primary_attempts + 1,
            primary_failures=totals.primary_failures + failed,
        )
    return replace(
        totals,
        secondary_attempts=totals.secondary_attempts + 1,
        secondary_failures=totals.secondary_failures + failed,
    )


def _closed(breaker: Breaker, fact: Fact, policy: Policy) -> tuple[Breaker, tuple[Transition, ...]]:
    if fact.location is Location.SECONDARY or fact.neutral:
        return breaker, ()
    bad = fact.failed or fact.slow
    breaker = replace(
        _calmed(breaker, fact.at),
        consecutive_failures=breaker.consecutive_failures + 1 if fact.failed else 0,
        recent=(*breaker.recent, bad)[-policy.window :],
    )
    if breaker.consecutive_failures >= policy.failure_threshold:
        run = breaker.consecutive_failures
        reason = f"{run} primary attempts failed in a row, the last with {fact.error_type}"
    elif (rate := failure_rate(breaker, policy)) is not None and rate >= policy.failure_rate:
        reason = f"{rate:.0%} of the last {len(breaker.recent)} primary attempts failed or were slow"
    else:
        return breaker, ()
    if breaker.epoch and fact.at - breaker.since < CALM:
        breaker = _doubled(breaker)
    return _move(breaker, Trigger.TRIPPED, reason, fact.at)


def _doubled(breaker: Breaker) -> Breaker:
    return replace(breaker, multiplier=min(breaker.multiplier * 2, MULTIPLIER_LIMIT))


def _calmed(breaker: Breaker, now: datetime) -> Breaker:
    if breaker.multiplier > 1 and now - breaker.since >= CALM:
        return replace(breaker, multiplier=1)
    return breaker


def failure_rate(breaker: Breaker, policy: Policy) -> float | None:
    """Return the share (0 to 1) of bad primary attempts, ``None`` while there are too few samples."""
    if len(breaker.recent) < policy.minimum_samples:
        return None
    return sum(breaker.recent) / len(breaker.recent)


def _open(breaker: Breaker, fact: Fact, policy: Policy) -> tuple[Breaker, tuple[Transition, ...]]:
    if fact.location is Location.PRIMARY and not fact.forced:
        return breaker, ()
    breaker = replace(breaker, secondary_reads=breaker.secondary_reads + 1)
    return _dwelled(breaker, policy, fact.at)


def _dwelled(breaker: Breaker, policy: Policy, now: datetime) -> tuple[Breaker, tuple[Transition, ...]]:
    cooldown = policy.cooldown * breaker.multiplier
    if breaker.secondary_reads >= policy.secondary_reads * breaker.multiplier:
        reason = f"{breaker.secondary_reads} reads have gone to the secondary"
    elif cooldown and now - breaker.since >= cooldown:
        reason = f"{cooldown.total_seconds():g} s have passed since it opened"
    else:
        return breaker, ()
    return _move(breaker, Trigger.DWELLED, reason, now)


def _half_open(breaker: Breaker, fact: Fact, policy: Policy) -> tuple[Breaker, tuple[Transition, ...]]:
    is_trial = fact.purpose is Purpose.TRIAL or fact.forced
    if fact.location is Location.SECONDARY or fact.neutral or not is_trial:
        return breaker, ()
    if fact.failed or fact.slow:
        what = f"failed with {fact.error_type}" if fact.failed else "was slow"
        return _move(_doubled(breaker), Trigger.TRIAL_FAILED, f"the trial {what}", fact.at)
    breaker = replace(breaker, good_trials=breaker.good_trials + 1)
    if breaker.good_trials < policy.success_threshold:
        return breaker, ()
    return _move(breaker, Trigger.RECOVERED, f"{breaker.good_trials} good trials in a row", fact.at)


def _move(
    breaker: Breaker, trigger: Trigger, reason: str, at: datetime
) -> tuple[Breaker, tuple[Transition, ...]]:
    target = destination(breaker.state, trigger)
    event = Transition(
        from_state=breaker.state,
        to_state=target,
        trigger=trigger,
        reason=reason,
        at=at,
        epoch=breaker.epoch + 1,
        figures=_figures(breaker),
    )
    moved = Breaker(
        state=target,
        since=at,
        epoch=breaker.epoch + 1,
        multiplier=breaker.multiplier,
        totals=replace(breaker.totals, transitions=breaker.totals.transitions + 1),
    )
    return moved, (event,)


def destination(state: State, trigger: Trigger) -> State:
    """Return where a trigger moves a state. Raises ``IllegalTransition`` where the table has no such move."""
    try:
        return TRANSITIONS[state, trigger]
    except KeyError:
        raise IllegalTransition(f"{trigger} is no move from {state}") from None


def _figures(breaker: Breaker) -> dict[str, float]:
    return {
        "consecutive_failures": breaker.consecutive_failures,
        "samples": len(breaker.recent),
        "bad_samples": sum(breaker.recent),
        "secondary_reads": breaker.secondary_reads,
        "good_trials": breaker.good_trials,
        "multiplier": breaker.multiplier,
    }


def diagram() -> str:
    """Return the Mermaid state diagram of ``TRANSITIONS``."""
    lines = ["stateDiagram-v2", "    [*] --> closed"]
    name = {State.HALF_OPEN: "half_open"}
    lines += [
        f"    {name.get(a, a)} --> {name.get(b, b)}: {trigger}" for (a, trigger), b in TRANSITIONS.items()
    ]
    lines.insert(1, "    half_open: half-open")
    return "\n".join(lines)
