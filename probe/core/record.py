"""The record: what is remembered of a target between ticks, and how a tick's facts are folded onto it.

Rules kept here: folding is the only way that a record changes, and folding a tick's facts onto a record that
another tick saved meanwhile loses neither's; every collection is bounded; a time from the future is clamped
to now and counted, so that one bad clock cannot stop the ticks that follow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from probe.core import replication as replications
from probe.core.breaker import Breaker, Fact, Transition
from probe.core.canary import Stamp
from probe.core.replication import Delay, Ledger
from probe.core.target import Location, Policy

SCHEMA = 1
HISTORY_LIMIT = 60
TRANSITIONS_LIMIT = 50
SKEW_ALLOWED = timedelta(seconds=5)
"""A saved time that is ahead of now by no more is another machine's clock, not a wrong one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One tick in the history of a target, for the status page; durations in seconds."""

    at: datetime
    verdict: str
    primary: str
    secondary: str | None
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
    """What is remembered of one target. ``last`` is its part of the last tick's report, as JSON values."""

    breaker: Breaker
    ledger: Ledger
    secondary_seen_at: datetime | None = None
    transitions: tuple[Transition, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    last: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRecord:
    """One shard's document. ``clamped`` counts the times from the future that were met in it."""

    schema: int = SCHEMA
    last_scheduled_at: datetime | None = None
    last_completed_at: datetime | None = None
    ticks: int = 0
    clamped: int = 0
    targets: dict[str, TargetRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class TickFacts:
    """What one tick found out about one target, in the order it happened."""

    attempts: Sequence[Fact] = ()
    written: Stamp | None = None
    shown: Sequence[Sighting] = ()
    finished_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    record: TargetRecord
    transitions: tuple[Transition, ...]
    delays: tuple[Delay, ...]


def fresh(now: datetime) -> TargetRecord:
    """Return the record of a target that was never probed."""
    return TargetRecord(breaker=Breaker.fresh(now), ledger=Ledger())


def fold(record: TargetRecord, facts: TickFacts, *, policy: Policy, geo: bool) -> Folded:
    """Return the record after a tick's facts, with the transitions and delays that they cause on it."""
    value, events = record.breaker.replay(facts.attempts, policy=policy)
    value, elapsed = value.elapse(policy=policy, now=facts.finished_at)
    ledger, seen_at, delays = _ledger(record, facts, geo=geo)
    transitions = events + elapsed
    folded = replace(
        record,
        breaker=value,
        ledger=ledger,
        secondary_seen_at=seen_at,
        transitions=(record.transitions + transitions)[-TRANSITIONS_LIMIT:],
    )
    return Folded(record=folded, transitions=transitions, delays=delays)


def _ledger(
    record: TargetRecord, facts: TickFacts, *, geo: bool
) -> tuple[Ledger, datetime | None, tuple[Delay, ...]]:
    ledger, seen_at = record.ledger, record.secondary_seen_at
    delays: tuple[Delay, ...] = ()
    if facts.written:
        ledger = replications.written(ledger, facts.written)
    for each in facts.shown:
        ledger, more = replications.shown(ledger, each.location, each.stamp, at=each.at, since=seen_at)
        delays += more
        if each.location is Location.SECONDARY:
            seen_at = max(seen_at, each.at) if seen_at else each.at
    if not geo:  # there may have been a secondary; what it showed must not pass for replication today
        return replace(ledger, unseen=(), secondary_shown=None), None, delays
    return ledger, seen_at, delays


def remember(record: TargetRecord, moment: HistoryEntry, last: dict[str, Any]) -> TargetRecord:
    """Return the record with the tick added to its history, in the order of time."""
    history = sorted((*record.history, moment), key=lambda each: each.at)[-HISTORY_LIMIT:]
    latest = history[-1] is moment or record.last is None
    return replace(record, history=tuple(history), last=last if latest else record.last)


def clamped(record: ShardRecord, now: datetime) -> ShardRecord:
    """Return the record with every time from the future set to now, and counted."""
    count = 0

    def clamp(at: datetime) -> datetime:
        nonlocal count
        if at <= now + SKEW_ALLOWED:
            return at
        count += 1
        return now

    targets = {name: _clamped(each, clamp) for name, each in record.targets.items()}
    scheduled = record.last_scheduled_at
    if scheduled and clamp(scheduled) != scheduled:
        scheduled = None
    completed = record.last_completed_at and clamp(record.last_completed_at)
    if not count:
        return record
    return replace(
        record,
        targets=targets,
        last_scheduled_at=scheduled,
        last_completed_at=completed,
        clamped=record.clamped + count,
    )


def _clamped(record: TargetRecord, clamp: Callable[[datetime], datetime]) -> TargetRecord:
    def stamped(stamp: Stamp | None) -> Stamp | None:
        return stamp and replace(stamp, written_at=clamp(stamp.written_at))

    breaker, ledger = record.breaker, record.ledger
    return replace(
        record,
        breaker=replace(
            breaker, since=clamp(breaker.since), moved_at=breaker.moved_at and clamp(breaker.moved_at)
        ),
        ledger=replace(
            ledger,
            newest=stamped(ledger.newest),
            primary_shown=stamped(ledger.primary_shown),
            secondary_shown=stamped(ledger.secondary_shown),
            unseen=tuple(replace(each, written_at=clamp(each.written_at)) for each in ledger.unseen),
        ),
        secondary_seen_at=record.secondary_seen_at and clamp(record.secondary_seen_at),
        transitions=tuple(replace(each, at=clamp(each.at)) for each in record.transitions),
        history=tuple(replace(each, at=clamp(each.at)) for each in record.history),
    )
