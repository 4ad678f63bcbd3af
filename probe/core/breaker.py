"""The breaker: which location serves the next read, decided from facts about the primary.

Rules kept here:

- The breaker is a value. ``Breaker.observe`` returns the next value and the events; nothing is changed in
  place, and no clock, socket or randomness is used.
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
- What is seen of the primary outside the route, by a check or as a last resort, may bring the trials sooner,
  never put them off: the breaker gates no measurement, and a measurement gates no breaker.
- Forcing is laid over the state: a forced breaker routes as told and goes on counting what it would have
  done; its reads stand for the reads and trials that they replace. A target without a secondary is forced to
  its primary.

Source: the thresholds and the dwell by secondary reads are those of Microsoft's RA-GRS circuit breaker
sample (5 retries, 20 secondary reads); window, minimum samples and slow calls follow resilience4j's terms.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from probe.core.errors import IllegalTransition
from probe.core.reading import Fault, Purpose, Reading
from probe.core.target import Location, Policy

MULTIPLIER_LIMIT = 8
"""The dwell is doubled by each bad trial and early trip, up to this many times its configured length."""
GOOD_CHECKS = 5
"""So many good checks in a row end the dwell, however long it has been made; a stale secondary needs one.

With a tick a minute a healed primary is tried within five minutes. Fewer would be met by chance by a primary
that flaps: ``tests/faults/test_routing_back.py`` has the figures.
"""
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
    SEEN_WELL = "seen well"
    """The primary served outside the route: enough checks in a row, or a read that the secondary lost."""
    RECOVERED = "recovered"
    """Enough good trials in a row."""
    TRIAL_FAILED = "trial failed"


TRANSITIONS: dict[tuple[State, Trigger], State] = {
    (State.CLOSED, Trigger.TRIPPED): State.OPEN,
    (State.OPEN, Trigger.DWELLED): State.HALF_OPEN,
    (State.OPEN, Trigger.SEEN_WELL): State.HALF_OPEN,
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
class Route:
    """How the next read goes: ``first``, then ``then`` if that fails; ``None`` where there is no other."""

    first: Location
    then: Location | None
    purpose: Purpose
    attempts: int
    """Attempts at ``first``; a trial has one."""
    epoch: int
    forced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One attempt of a read, or a check of the primary, as far as the breaker cares.

    ``stale``: when it was made, the secondary was known to be further behind than the RPO allows.
    """

    location: Location
    purpose: Purpose
    at: datetime
    epoch: int
    failed: bool
    slow: bool
    forced: bool = False
    stale: bool = False
    error_type: str | None = None

    @classmethod
    def of(
        cls, reading: Reading, *, policy: Policy, epoch: int, forced: bool = False, stale: bool = False
    ) -> Self:
        """Return what the breaker learns from the reading of an attempt that was made in an epoch."""
        return cls(
            location=reading.location,
            purpose=reading.purpose,
            at=reading.ended_at,
            epoch=epoch,
            forced=forced,
            stale=stale,
            failed=reading.fault is Fault.PATH,
            slow=reading.duration > policy.slow_after,
            error_type=reading.error_type,
        )

    @property
    def neutral(self) -> bool:
        """The endpoint answered, but not what was asked for: no outage, and no proof of health."""
        return self.error_type is not None and not self.failed

    @property
    def bad(self) -> bool:
        """A failure, or a success so slow that no client should be sent there."""
        return self.failed or self.slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Counts since the state document was made; they only grow."""

    primary_attempts: int = 0
    primary_failures: int = 0
    secondary_attempts: int = 0
    secondary_failures: int = 0
    transitions: int = 0

    def counting(self, facts: Iterable[Fact]) -> Self:
        """Return the totals with these attempts; a check is none of a read."""
        counted = [each for each in facts if each.purpose is not Purpose.CHECK]
        primary = [each.failed for each in counted if each.location is Location.PRIMARY]
        secondary = [each.failed for each in counted if each.location is Location.SECONDARY]
        return type(self)(
            primary_attempts=self.primary_attempts + len(primary),
            primary_failures=self.primary_failures + sum(primary),
            secondary_attempts=self.secondary_attempts + len(secondary),
            secondary_failures=self.secondary_failures + sum(secondary),
            transitions=self.transitions,
        )


type Moved = tuple[Breaker, tuple[Transition, ...]]
"""The breaker after something happened, and the transitions that it caused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """The breaker's value; ``recent`` has the last primary attempts while closed, ``True`` for a bad one.

    ``since``: while closed, when it closed; else when it left closed, whatever trials have failed since.
    ``moved_at``: when it last moved; ``None`` when it never did, or when that is ``since``.
    ``good_checks``: the good checks of the primary in a row since it opened.
    """

    state: State = State.CLOSED
    since: datetime
    moved_at: datetime | None = None
    epoch: int = 0
    consecutive_failures: int = 0
    recent: tuple[bool, ...] = ()
    secondary_reads: int = 0
    good_checks: int = 0
    good_trials: int = 0
    multiplier: int = 1
    totals: Totals = field(default_factory=Totals)

    @classmethod
    def fresh(cls, now: datetime) -> Self:
        """Return the breaker of a target that was never probed: closed."""
        return cls(since=now)

    @property
    def is_sound(self) -> bool:
        """Return whether this can have come of facts: a saved breaker may have been written by anybody."""
        return 1 <= self.multiplier <= MULTIPLIER_LIMIT

    def route(self, *, policy: Policy, now: datetime, geo: bool = True) -> Route:
        """Return how the next read goes. ``geo`` says that the target has a secondary."""
        if not geo:
            return self._route(Location.PRIMARY, policy.attempts, then=False, forced=True)
        if policy.forced and now < policy.forced.until:
            return self._route(policy.forced.location, policy.attempts, forced=True)
        match self.state:
            case State.CLOSED:
                return self._route(Location.PRIMARY, policy.attempts)
            case State.OPEN:
                return self._route(Location.SECONDARY, policy.attempts)
            case State.HALF_OPEN:
                return replace(self._route(Location.PRIMARY, 1), purpose=Purpose.TRIAL)

    def _route(self, first: Location, attempts: int, *, then: bool = True, forced: bool = False) -> Route:
        return Route(
            first=first,
            then=first.other if then else None,
            purpose=Purpose.READ,
            attempts=attempts,
            epoch=self.epoch,
            forced=forced,
        )

    def observe(self, fact: Fact, *, policy: Policy) -> Moved:
        """Return the breaker after a fact, and the transitions that it caused (none or one)."""
        breaker, events = self._uncounted(fact, policy)
        return breaker._counting((fact,)), events

    def _counting(self, facts: Iterable[Fact]) -> Self:
        return replace(self, totals=self.totals.counting(facts))

    def _uncounted(self, fact: Fact, policy: Policy) -> Moved:
        """Return what ``observe`` does, with the fact in no total yet."""
        if fact.epoch != self.epoch:
            return self, ()
        match self.state:
            case State.CLOSED:
                return self._closed(fact, policy)
            case State.OPEN:
                return self._open(fact, policy)
            case State.HALF_OPEN:
                return self._half_open(fact, policy)

    def elapse(self, *, policy: Policy, now: datetime, stale: bool = False) -> Moved:
        """Return the breaker after time alone has passed: the cooldown, and the multiplier's fall back.

        ``stale``: by now the secondary is further behind than the RPO allows.
        """
        match self.state:
            case State.CLOSED:
                return self._calmed(now), ()
            case State.OPEN:
                return self._dwelled(policy, now, stale=stale)
            case State.HALF_OPEN:
                return self, ()

    def replay(self, facts: Sequence[Fact], *, policy: Policy) -> Moved:
        """Return the breaker after facts that were gathered on an older copy of it.

        A fact whose epoch the newer breaker is still in moves it as if it had happened there; the others
        are counted. So neither of two ticks that ran at once loses a count or undoes the other's move. A
        fact of a later epoch was routed after time alone had moved the older copy; time moves this one as
        well.
        """
        breaker: Breaker = self
        events: tuple[Transition, ...] = ()
        for each in facts:
            if each.epoch > breaker.epoch:
                breaker, more = breaker.elapse(policy=policy, now=each.at, stale=each.stale)
                events += more
            breaker, more = breaker._uncounted(each, policy)
            events += more
        return breaker._counting(facts), events

    def reads_until_trial(self, policy: Policy) -> int | None:
        """Return how many more reads from the secondary bring a trial; ``None`` while closed.

        It comes sooner when the primary is seen well, or at ``trial_at``.
        """
        match self.state:
            case State.CLOSED:
                return None
            case State.OPEN:
                return max(policy.secondary_reads * self.multiplier - self.secondary_reads, 0)
            case State.HALF_OPEN:
                return 0

    def trial_at(self, policy: Policy) -> datetime | None:
        """Return when the cooldown brings a trial; ``None`` where none is set, and while not open."""
        if self.state is not State.OPEN or not policy.cooldown:
            return None
        return (self.moved_at or self.since) + policy.cooldown * self.multiplier

    def failure_rate(self, policy: Policy) -> float | None:
        """Return the share (0 to 1) of bad primary attempts, ``None`` while there are too few samples."""
        if len(self.recent) < policy.minimum_samples:
            return None
        return sum(self.recent) / len(self.recent)

    def _closed(self, fact: Fact, policy: Policy) -> Moved:
        if fact.location is Location.SECONDARY or fact.purpose is Purpose.CHECK or fact.neutral:
            return self, ()
        failures = self.consecutive_failures + 1 if fact.failed else 0
        recent = (*self.recent, fact.bad)[-policy.window :]
        breaker = self._calmed(fact.at)
        if (failures, recent) != (self.consecutive_failures, self.recent):  # else one more good one of many
            breaker = replace(breaker, consecutive_failures=failures, recent=recent)
        if breaker.consecutive_failures >= policy.failure_threshold:
            run = breaker.consecutive_failures
            reason = f"{run} primary attempts failed in a row, the last with {fact.error_type}"
        elif (rate := breaker.failure_rate(policy)) is not None and rate >= policy.failure_rate:
            reason = f"{rate:.0%} of the last {len(breaker.recent)} primary attempts failed or were slow"
        else:
            return breaker, ()
        if breaker.epoch and fact.at - breaker.since < CALM:
            breaker = breaker._doubled()
        return breaker._move(Trigger.TRIPPED, reason, fact.at)

    def _open(self, fact: Fact, policy: Policy) -> Moved:
        if fact.location is Location.SECONDARY or fact.forced:
            breaker = replace(self, secondary_reads=self.secondary_reads + 1)
        elif fact.neutral:
            return self, ()
        elif fact.bad:
            return replace(self, good_checks=0), ()
        elif fact.purpose is Purpose.CHECK:
            breaker = replace(self, good_checks=self.good_checks + 1)
        else:
            reason = "the primary served a read that the secondary did not"
            return self._move(Trigger.SEEN_WELL, reason, fact.at)
        return breaker._dwelled(policy, fact.at, stale=fact.stale)

    def _half_open(self, fact: Fact, policy: Policy) -> Moved:
        is_trial = fact.purpose is Purpose.TRIAL or fact.forced
        if fact.location is Location.SECONDARY or fact.neutral or not is_trial:
            return self, ()
        if fact.bad:
            what = f"failed with {fact.error_type}" if fact.failed else "was slow"
            return self._doubled()._move(Trigger.TRIAL_FAILED, f"the trial {what}", fact.at)
        breaker = replace(self, good_trials=self.good_trials + 1)
        if breaker.good_trials < policy.success_threshold:
            return breaker, ()
        return breaker._move(Trigger.RECOVERED, f"{breaker.good_trials} good trials in a row", fact.at)

    def _dwelled(self, policy: Policy, now: datetime, *, stale: bool) -> Moved:
        trial_at = self.trial_at(policy)
        if self.reads_until_trial(policy) == 0:
            reason = f"{self.secondary_reads} reads have gone to the secondary"
        elif trial_at and now >= trial_at:
            reason = f"{policy.cooldown.total_seconds() * self.multiplier:g} s have passed since it opened"
        elif self.good_checks >= GOOD_CHECKS or (stale and self.good_checks):
            reason = f"{self.good_checks} good checks of the primary in a row"
            if stale:
                reason += ", and the secondary is stale"
            return self._move(Trigger.SEEN_WELL, reason, now)
        else:
            return self, ()
        return self._move(Trigger.DWELLED, reason, now)

    def _calmed(self, now: datetime) -> Self:
        if self.multiplier > 1 and now - self.since >= CALM:
            return replace(self, multiplier=1)
        return self

    def _doubled(self) -> Self:
        return replace(self, multiplier=min(self.multiplier * 2, MULTIPLIER_LIMIT))

    def _move(self, trigger: Trigger, reason: str, at: datetime) -> Moved:
        target = destination(self.state, trigger)
        event = Transition(
            from_state=self.state,
            to_state=target,
            trigger=trigger,
            reason=reason,
            at=at,
            epoch=self.epoch + 1,
            figures=self._figures(),
        )
        moved = Breaker(
            state=target,
            since=at if State.CLOSED in {self.state, target} else self.since,
            moved_at=at,
            epoch=self.epoch + 1,
            multiplier=self.multiplier,
            totals=replace(self.totals, transitions=self.totals.transitions + 1),
        )
        return moved, (event,)

    def _figures(self) -> dict[str, float]:
        return {
            "consecutive_failures": self.consecutive_failures,
            "samples": len(self.recent),
            "bad_samples": sum(self.recent),
            "secondary_reads": self.secondary_reads,
            "good_trials": self.good_trials,
            "multiplier": self.multiplier,
        }


def destination(state: State, trigger: Trigger) -> State:
    """Return where a trigger moves a state. Raises ``IllegalTransition`` where the table has no such move."""
    try:
        return TRANSITIONS[state, trigger]
    except KeyError:
        raise IllegalTransition(f"{trigger} is no move from {state}") from None


def diagram() -> str:
    """Return the Mermaid state diagram of ``TRANSITIONS``."""
    lines = ["stateDiagram-v2", "    [*] --> closed"]
    name = {State.HALF_OPEN: "half_open"}
    lines += [
        f"    {name.get(a, a)} --> {name.get(b, b)}: {trigger}" for (a, trigger), b in TRANSITIONS.items()
    ]
    lines.insert(1, "    half_open: half-open")
    return "\n".join(lines)
