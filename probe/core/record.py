"""The record: what is remembered of a target between ticks, and how a tick's facts are folded onto it.

Rules kept here: folding is the only way that a record changes, and folding a tick's facts onto a record that
another tick saved meanwhile loses neither's; every collection is bounded; a time from the future is clamped
to now and counted, so that one bad clock cannot stop the ticks that follow. What a tick saw is judged by what
it knew when it looked; who else wrote is judged by the newest record, which knows our other ticks' writes.
"""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, Self

from probe.core.breaker import Breaker, Fact, Transition
from probe.core.canary import EPOCH, Stamp, unmarked
from probe.core.event import Event, EventKind
from probe.core.incident import Incident, Standing, incident_after
from probe.core.look import Loss, is_of_other_state, is_ours
from probe.core.reading import Read
from probe.core.replication import Delay, Ledger, RecoveryPoint, Sync, recovery_point
from probe.core.report import upgraded
from probe.core.sums import Tally
from probe.core.target import Location, Policy
from probe.core.times import time_text
from probe.core.verdict import EndpointJudgement, Judgement, RedundancyJudgement, TargetJudgement

SCHEMA = 2
OLDEST = 1
"""The oldest schema of a document that is still read."""
HISTORY_LIMIT = 60
TRANSITIONS_LIMIT = 50
EVENTS_LIMIT = 50
SAVED_LIMIT = 16
"""The most ticks that may be saved between a tick's save and its finding out what became of that."""
SKEW_ALLOWED = timedelta(seconds=5)
"""A saved time that is ahead of now by no more is another machine's clock, not a wrong one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One tick in the history of a target, for the status page; durations in seconds.

    ``last_sync_age`` is the age of the recovery point; ``primary_error`` and ``secondary_error`` are the
    ``error.type`` that the verdicts rest on.
    """

    at: datetime
    verdict: str
    primary: str
    secondary: str | None
    primary_error: str | None = None
    secondary_error: str | None = None
    redundancy: str | None = None
    served_primary: int
    served_secondary: int
    served_none: int
    worst_read: float | None
    lag: float | None
    last_sync_age: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A location showed a stamp at a time."""

    location: Location
    stamp: Stamp
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRecord:
    """What is remembered of one target. ``last`` is its part of the last tick's report, as JSON values.

    ``standings`` are the verdicts that hold, of ``target``, ``primary``, ``secondary`` and ``redundancy``.
    ``unsent`` are the sums of ticks that wait to be sent, ``None`` before the first tick.
    """

    breaker: Breaker
    ledger: Ledger
    secondary_seen_at: datetime | None = None
    recovery: RecoveryPoint | None = None
    standings: dict[str, Standing] = field(default_factory=dict)
    incident: Incident | None = None
    events: tuple[Event, ...] = ()
    transitions: tuple[Transition, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    last: dict[str, Any] | None = None
    unsent: Tally | None = None

    @classmethod
    def fresh(cls, now: datetime) -> Self:
        """Return the record of a target that was never probed."""
        return cls(breaker=Breaker.fresh(now), ledger=Ledger())


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A tick that is in the document: the time it was scheduled for, and the token of who ran it."""

    slot: datetime
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRecord:
    """One shard's document. ``clamped`` counts the times from the future that were met in it.

    ``identity`` marks the canaries that ticks on this document write. ``saved`` are its last ticks, the
    youngest last. ``lost`` counts by backend the rows of telemetry that did not arrive, until a backend is
    told of them.
    """

    schema: int = SCHEMA
    last_scheduled_at: datetime | None = None
    last_completed_at: datetime | None = None
    ticks: int = 0
    identity: str = ""
    saved: tuple[Saved, ...] = ()
    clamped: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    targets: dict[str, TargetRecord]

    def has_run(self, slot: datetime) -> bool:
        """Return whether a tick of this or a later time has run.

        After a clock was set back nothing is later than the clock (``clamped``), but the last two ticks have
        run all the same. No more than two: a clock that was set back by an hour stops no ticks for an hour.
        """
        if self.last_scheduled_at and slot <= self.last_scheduled_at:
            return True
        return any(each.slot == slot for each in self.saved[-2:])

    def saver_of(self, slot: datetime) -> str | None:
        """Return who ran the tick of this time, where that is known."""
        return next((each.by for each in self.saved if each.slot == slot), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TickFacts:
    """What one tick found out about one target, in the order it happened.

    ``looked`` is what the locations showed before the write, ``shown`` what they showed after it. ``gone``
    says what was missing at the primary that had been there. ``tried`` is the sequence that was sent,
    ``written`` its stamp once it was acknowledged, ``etag`` the tag of the version that is there now.
    ``lag_at`` is when the secondary was looked at last for the lag, where that was not before the write.
    ``older`` are canaries that are older than what their location had shown; ``foreign`` is the tag of a
    version at the primary that is not ours to replace.
    """

    attempts: Sequence[Fact] = ()
    writer: str = "-"
    looked: Sequence[Sighting] = ()
    gone: str | None = None
    loss: Loss | None = None
    tried: int = 0
    written: Stamp | None = None
    etag: str | None = None
    shown: Sequence[Sighting] = ()
    older: Sequence[Sighting] = ()
    foreign: str | None = None
    lag_at: datetime | None = None
    sync: Sync | None = None
    finished_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """A record after a tick's facts, and what they caused on it. ``lag`` is what the look observed."""

    record: TargetRecord
    transitions: tuple[Transition, ...]
    delays: tuple[Delay, ...]
    events: tuple[Event, ...] = ()
    lag: timedelta | None = None


def fold(record: TargetRecord, facts: TickFacts, *, policy: Policy, geo: bool) -> Folded:
    """Return the record after a tick's facts, with what they cause on it."""
    breaker, moved = record.breaker.replay(facts.attempts, policy=policy)
    breaker, elapsed = breaker.elapse(policy=policy, now=facts.finished_at)
    transitions = moved + elapsed
    ledger, events = _looked(record.ledger, facts)
    ledger, seen_at, delays, lag = _ledger(ledger, record.secondary_seen_at, facts)
    if not geo:  # there may have been a secondary; what it showed must not pass for replication today
        ledger, seen_at, lag = replace(ledger, unseen=(), secondary_shown=None), None, None
    folded = replace(
        record,
        breaker=breaker,
        ledger=ledger,
        secondary_seen_at=seen_at,
        recovery=recovery_point(record.recovery, facts.sync, facts.finished_at) if geo else None,
        transitions=(record.transitions + transitions)[-TRANSITIONS_LIMIT:],
        events=(record.events + events)[-EVENTS_LIMIT:],
    )
    return Folded(record=folded, transitions=transitions, delays=delays, events=events, lag=lag)


def _ledger(
    ledger: Ledger, seen_at: datetime | None, facts: TickFacts
) -> tuple[Ledger, datetime | None, tuple[Delay, ...], timedelta | None]:
    ledger, seen_at, delays = _sighted(ledger, seen_at, facts.looked)
    seen = any(each.location is Location.SECONDARY for each in facts.looked)
    lag = _lag(ledger, facts, facts.looked[-1].at if facts.looked else facts.finished_at, seen=seen)
    if facts.written:
        ledger = ledger.after_write(facts.written, facts.etag)
    ledger = replace(ledger, tried=max(ledger.tried, facts.tried), etag=facts.etag or ledger.etag)
    ledger, seen_at, more = _sighted(ledger, seen_at, facts.shown)
    for each in facts.older:
        ledger = ledger.after_older(each.location, each.stamp, at=each.at)
    if facts.lag_at:
        lag = _lag(ledger, facts, facts.lag_at, seen=True)
    return ledger, seen_at, delays + more, lag


def _sighted(
    ledger: Ledger, seen_at: datetime | None, sightings: Sequence[Sighting]
) -> tuple[Ledger, datetime | None, tuple[Delay, ...]]:
    delays: tuple[Delay, ...] = ()
    for each in sightings:
        ledger, more = ledger.after_sighting(each.location, each.stamp, at=each.at, since=seen_at)
        delays += more
        if each.location is Location.SECONDARY:
            seen_at = max(seen_at, each.at) if seen_at else each.at
    return ledger, seen_at, delays


def _lag(ledger: Ledger, facts: TickFacts, at: datetime, *, seen: bool) -> timedelta | None:
    """Return the lag at a look. That nothing is owed says nothing while no write arrives or no look does."""
    found = ledger.lag(at)
    if found == timedelta(0) and not (seen and facts.written):
        return None
    return found


def _looked(ledger: Ledger, facts: TickFacts) -> tuple[Ledger, tuple[Event, ...]]:
    """Return the ledger after the look at the primary, and what it tells of others."""
    events = []
    there = next((each for each in facts.looked if each.location is Location.PRIMARY), None)
    if facts.gone and not ledger.gone:
        events.append(Event(kind=EventKind.CANARY_GONE, at=facts.finished_at, reason=facts.gone))
        ledger = replace(ledger, gone=True)
    if facts.loss:
        events.append(_lost(facts.loss, facts.finished_at))
        ledger = ledger.after_loss(facts.loss.there)
    if there:
        ledger, told = _writer_seen(replace(ledger, gone=False), facts, there)
        events += told
    if facts.etag:
        ledger = replace(ledger, foreign=None, foreign_since=None)
    elif facts.foreign and facts.foreign != ledger.foreign:  # a look that failed says nothing of it
        ledger = replace(ledger, foreign=facts.foreign, foreign_since=facts.finished_at)
    return ledger, tuple(events)


def _lost(loss: Loss, at: datetime) -> Event:
    return Event(
        kind=EventKind.FAILOVER_WITH_LOSS,
        at=at,
        reason=f"the primary has lost {loss.writes} acknowledged writes, "
        f"made from {loss.from_:%H:%M:%S} to {loss.to:%H:%M:%S} UTC: the account failed over",
        details={
            "lost_writes": loss.writes,
            "lost_from": time_text(loss.from_),
            "lost_to": time_text(loss.to),
        },
    )


def _writer_seen(ledger: Ledger, facts: TickFacts, seen: Sighting) -> tuple[Ledger, list[Event]]:
    """Judge whose canary the primary showed, and tell of each other writer once."""
    stamp, ours, told = seen.stamp, facts.writer, None
    if not is_ours(stamp, ours):
        told = f"{stamp.writer!r} writes the blob that this probe ({ours!r}) would write"
    elif not ledger.believes(stamp):
        told = f"a canary in this probe's own name ({ours!r}) says what no probe writes"
    elif is_of_other_state(stamp, ours) and not ledger.is_empty:
        told = f"{stamp.writer!r} writes it as well: a probe of the same name with a state of its own"
    elif ledger.stranger and unmarked(ledger.stranger) != unmarked(ours):
        return replace(ledger, stranger=None), []
    if told is None or ledger.stranger == stamp.writer:
        return ledger, []
    return replace(ledger, stranger=stamp.writer), [_stranger(told, stamp, seen.at)]


def _stranger(reason: str, stamp: Stamp, at: datetime) -> Event:
    return Event(kind=EventKind.SECOND_WRITER, at=at, reason=reason, details={"writer": stamp.writer})


@dataclass(frozen=True, slots=True, kw_only=True)
class Concluded:
    """A record after a tick's verdicts, the verdicts with since when they hold, and the events of that."""

    record: TargetRecord
    judgement: Judgement
    events: tuple[Event, ...]


def conclude(
    record: TargetRecord,
    judgement: Judgement,
    *,
    reads: Sequence[Read],
    recovery_point_age: timedelta | None,
    began_at: datetime,
) -> Concluded:
    """Return the record after a tick's verdicts: since when they hold, and the incident that they make."""
    incident, closed = incident_after(
        record.incident,
        judgement.target,
        reads=reads,
        recovery_point_age=recovery_point_age,
        began_at=began_at,
    )
    events = (closed,) if closed else ()
    standings = _standings(record.standings, judgement, began_at)
    return Concluded(
        record=replace(
            record,
            standings=standings,
            incident=incident,
            events=(record.events + events)[-EVENTS_LIMIT:],
        ),
        judgement=_since(judgement, standings),
        events=events,
    )


def _standings(known: dict[str, Standing], judgement: Judgement, at: datetime) -> dict[str, Standing]:
    judged: dict[str, TargetJudgement | EndpointJudgement | RedundancyJudgement | None] = {
        "target": judgement.target,
        "primary": judgement.primary,
        "secondary": judgement.secondary,
        "redundancy": judgement.redundancy,
    }
    return {
        name: known[name].after(each.verdict, at)
        if name in known
        else Standing(verdict=each.verdict, since=at)
        for name, each in judged.items()
        if each
    }


def _since(judgement: Judgement, standings: dict[str, Standing]) -> Judgement:
    secondary, redundancy = judgement.secondary, judgement.redundancy
    return replace(
        judgement,
        target=replace(judgement.target, since=standings["target"].since),
        primary=replace(judgement.primary, since=standings["primary"].since),
        secondary=secondary and replace(secondary, since=standings["secondary"].since),
        redundancy=redundancy and replace(redundancy, since=standings["redundancy"].since),
    )


def remember(record: TargetRecord, entry: HistoryEntry, last: dict[str, Any]) -> TargetRecord:
    """Return the record with the tick added to its history, in the order of time."""
    history = list(record.history)
    insort(history, entry, key=attrgetter("at"))
    latest = history[-1] is entry or record.last is None
    return replace(record, history=tuple(history[-HISTORY_LIMIT:]), last=last if latest else record.last)


def halved(record: ShardRecord) -> ShardRecord:
    """Return the record with the older half of what it tells of each target left out.

    Where there is nothing more to leave out, the half of the targets goes that was probed longest ago: those
    that are in the settings no longer.
    """
    smaller = {name: _halved(each) for name, each in record.targets.items()}
    if smaller == record.targets:
        newest = sorted(smaller, key=lambda name: smaller[name].breaker.since, reverse=True)
        newest.sort(key=lambda name: max((each.at for each in smaller[name].history), default=EPOCH))
        smaller = {name: smaller[name] for name in newest[(len(newest) + 1) // 2 :]}
    return replace(record, targets=smaller)


def _halved(record: TargetRecord) -> TargetRecord:
    def newer[T](each: tuple[T, ...]) -> tuple[T, ...]:
        return each[len(each) // 2 :]

    last, unseen = record.last, record.ledger.unseen
    if last and last.get("reads"):
        reads = [{**each, "attempts": []} for each in last["reads"]]
        last = {**last, "reads": reads}
    return replace(
        record,
        ledger=replace(record.ledger, unseen=(*unseen[:1], *unseen[1:-1:2], *unseen[1:][-1:])),
        events=newer(record.events),
        transitions=newer(record.transitions),
        history=newer(record.history),
        last=last,
    )


def carried_over(record: ShardRecord) -> ShardRecord:
    """Return the record of an earlier schema as one of this: the last reports get what they did not say."""
    targets = {name: replace(each, last=upgraded(each.last)) for name, each in record.targets.items()}
    return replace(record, schema=SCHEMA, targets=targets)


def clamped(record: ShardRecord, now: datetime) -> ShardRecord:
    """Return the record with every time from the future counted, and set to now or forgotten."""
    clamp = _Clamp(now)
    targets = {name: _clamped(each, clamp) for name, each in record.targets.items()}
    own = clamp.within(record, "last_scheduled_at", "last_completed_at")
    if not clamp.count:
        return record
    scheduled = record.last_scheduled_at if own.last_scheduled_at == record.last_scheduled_at else None
    return replace(own, targets=targets, last_scheduled_at=scheduled, clamped=own.clamped + clamp.count)


class _Clamp:
    """Sets times from the future to now, and counts them; where there is none, as always, nothing is made."""

    def __init__(self, now: datetime) -> None:
        self._now, self._latest = now, now + SKEW_ALLOWED
        self.count = 0

    def time(self, at: datetime) -> datetime:
        """Return a time clamped."""
        self.count += at > self._latest
        return self._now if at > self._latest else at

    def within[T](self, value: T, *names: str) -> T:
        """Return a dataclass with these of its fields clamped, and ``None`` as it is."""
        late = [name for name in names if (at := getattr(value, name, None)) and at > self._latest]
        self.count += len(late)
        return replace(value, **dict.fromkeys(late, self._now)) if late else value  # type: ignore[type-var]

    def each[T](self, values: tuple[T, ...], name: str) -> tuple[T, ...]:
        """Return values with this field of each clamped."""
        if not values or max(map(attrgetter(name), values)) <= self._latest:
            return values
        return tuple(self.within(each, name) for each in values)


def _recovery(point: RecoveryPoint | None, clamp: _Clamp) -> RecoveryPoint | None:
    """Return a recovery point; one from the future is none, since nobody told the time it would be set to."""
    kept = clamp.within(point, "at", "told_at")
    return kept if point and kept and kept.at == point.at else None


def _clamped(record: TargetRecord, clamp: _Clamp) -> TargetRecord:
    before, ledger = clamp.count, record.ledger
    within: dict[str, Any] = {
        name: clamp.within(getattr(ledger, name), "written_at")
        for name in ("newest", "primary_shown", "secondary_shown", "kept")
    }
    within["unseen"] = clamp.each(ledger.unseen, "written_at")
    within["older_since"] = {each: clamp.time(since) for each, since in ledger.older_since.items()}
    ledger = clamp.within(ledger, "secondary_shown_at", "foreign_since")
    found: dict[str, Any] = {
        "breaker": clamp.within(record.breaker, "since", "moved_at"),
        "recovery": _recovery(record.recovery, clamp),
        "standings": {name: clamp.within(each, "since") for name, each in record.standings.items()},
        "incident": clamp.within(record.incident, "began_at"),
        "events": clamp.each(record.events, "at"),
        "unsent": clamp.within(record.unsent, "since"),
        "transitions": clamp.each(record.transitions, "at"),
        "history": clamp.each(record.history, "at"),
    }
    own = clamp.within(record, "secondary_seen_at")
    if clamp.count == before:
        return record
    return replace(own, ledger=replace(ledger, **within), **found)
