"""Status: what the saved state says of every target, for people and for heartbeat monitors.

Rules kept here: it reads the saved state and measures nothing, so that any instance can answer; a shard whose
document cannot be read is told, and does not hide the others; what is shown from memory is called that.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from probe.core.brief import Brief
from probe.core.errors import StateError
from probe.core.record import HistoryEntry, ShardRecord, TargetRecord
from probe.core.report import (
    breaker_document,
    event_document,
    forced_document,
    incident_document,
    transition_document,
)
from probe.core.target import Target, maintenance_end
from probe.core.times import time_text
from probe.ports import StateStore
from probe.tick import Known

log = logging.getLogger("probe")

SCHEMA = 2


class Health(StrEnum):
    """Whether ticks run, and whether that is known; the worst of all shards, in this order from the best."""

    FRESH = "fresh"
    """Every shard has completed a tick lately."""
    UNSAVED = "unsaved"
    """Ticks run, as this instance knows, and nothing can be saved or read."""
    UNKNOWN = "unknown"
    """The saved state cannot be read, and this instance has seen no tick lately."""
    STALE = "stale"
    """The saved state can be read, and no tick was completed lately."""

    @property
    def runs(self) -> bool:
        """Return whether ticks are known to run."""
        return self in (type(self).FRESH, type(self).UNSAVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What the status is made from: the fleet as it is set, and the rhythm by which it is fresh."""

    shards: Sequence[Sequence[Target]]
    vantage: str
    interval: timedelta
    budget: timedelta

    @property
    def patience(self) -> timedelta:
        """Return how old the last completed tick may be: a missed tick is forgiven, two are not."""
        return 2 * self.interval + self.budget


@dataclass(slots=True, kw_only=True)
class Memory:
    """What this process knows beside the store, by shard, for when that cannot be read.

    ``ticks`` is what its own ticks know, ``read`` what it read last; ``unreadable_since`` is when it first
    could not. The functions run on several instances, so a memory may be empty while ticks run elsewhere.
    """

    ticks: Mapping[int, Known] = field(default_factory=dict)
    read: dict[int, ShardRecord | Brief] = field(default_factory=dict)
    unreadable_since: dict[int, datetime] = field(default_factory=dict)

    async def shard(self, store: StateStore, number: int, now: datetime) -> "Seen":
        """Return a shard as it is saved, or as it is remembered where that is all there is."""

        async def load() -> ShardRecord | None:
            return (await store.load(number)).record

        return await self._seen(load, number, now)

    async def brief(self, store: StateStore, number: int, now: datetime) -> "Seen":
        """Return the same with no more of it than a headline needs."""
        return await self._seen(lambda: store.glance(number), number, now)

    async def _seen(
        self, load: Callable[[], Awaitable[ShardRecord | Brief | None]], number: int, now: datetime
    ) -> "Seen":
        known = self.ticks.get(number)
        try:
            record = await load()
        except StateError as error:
            # The health says no more than a word, and may be all that runs on this instance.
            log.error("the state of shard %d cannot be read: %s", number, error)  # noqa: TRY400 - no bug of ours
            since = self.unreadable_since.setdefault(number, now)
            if known and known.unsaved_since:
                since = min(since, known.unsaved_since)
            return Seen(record=self._remembered(number), since=since, error=str(error))
        self.unreadable_since.pop(number, None)
        self._keep(number, record)
        if known and known.unsaved_since and _newer(known.record, record):
            error_text = "what the last ticks found could not be saved"
            return Seen(record=known.record, since=known.unsaved_since, error=error_text, readable=True)
        return Seen(record=record)

    def _keep(self, number: int, record: ShardRecord | Brief | None) -> None:
        """Keep what was read last, but no brief in the place of a record that says the same and more."""
        before = self.read.get(number)
        if record is not None and (isinstance(record, ShardRecord) or _newer(record, before)):
            self.read[number] = record

    def _remembered(self, number: int) -> ShardRecord | Brief | None:
        known, read = self.ticks.get(number), self.read.get(number)
        if known is None or (read is not None and _newer(read, known.record)):
            return read
        return known.record


def _newer(one: ShardRecord | Brief, other: ShardRecord | Brief | None) -> bool:
    if other is None or other.last_completed_at is None:
        return True
    return one.last_completed_at is not None and one.last_completed_at > other.last_completed_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A shard's record or its brief, and what kept it from being the saved one: ``error`` since ``since``."""

    record: ShardRecord | Brief | None
    since: datetime | None = None
    error: str | None = None
    readable: bool = False

    @property
    def source(self) -> str:
        """Return where the record is from: ``saved``, ``memory``, or ``none`` where there is none."""
        if self.error is None:
            return "saved"
        return "memory" if self.record else "none"

    def told(self) -> str | None:
        """Return what is wrong with the saved state, in a sentence."""
        if self.error is None or self.since is None:
            return None
        what = "nothing saved" if self.readable else "saved state unreadable"
        rest = "last known from memory" if self.record else "nothing is known in this process"
        return f"{what} since {self.since:%Y-%m-%d %H:%M:%S} UTC ({self.error}); {rest}"

    def health(self, page: Page, now: datetime) -> Health:
        """Return whether the shard's ticks run, as far as it is known."""
        completed = self.record.last_completed_at if self.record else None
        lately = completed is not None and now - completed <= page.patience
        if self.error is None:
            return Health.FRESH if lately else Health.STALE
        return Health.UNSAVED if lately else Health.UNKNOWN


async def document(
    store: StateStore, page: Page, memory: Memory, now: datetime, *, only: str | None = None
) -> dict[str, Any]:
    """Return the status as JSON values, schema 2: ``shards`` and ``targets``, the newest tick of each.

    With ``only``, that of one target and its shard; of no shard, where there is no target of that name.
    """
    named = [
        number
        for number, targets in enumerate(page.shards)
        if only is None or any(each.name == only for each in targets)
    ]
    seen = await asyncio.gather(*(memory.shard(store, each, now) for each in named))
    return _document(dict(zip(named, seen, strict=True)), page, now, only)


async def overview(store: StateStore, page: Page, memory: Memory, now: datetime) -> dict[str, Any]:
    """Return the status with no more of each target than its headline needs."""
    seen = await asyncio.gather(*(memory.brief(store, each, now) for each in range(len(page.shards))))
    return _document(dict(enumerate(seen)), page, now, None)


def _document(seen: Mapping[int, "Seen"], page: Page, now: datetime, only: str | None) -> dict[str, Any]:
    shards = [_shard(number, each, page, now) for number, each in seen.items()]
    targets = [
        _target(target, number, each, now)
        for number, each in seen.items()
        for target in page.shards[number]
        if only in (None, target.name)
    ]
    return {
        "schema": SCHEMA,
        "generated_at": time_text(now),
        "vantage": page.vantage,
        "fresh": all(each["fresh"] for each in shards),
        "shards": shards,
        "targets": targets,
    }


async def health(store: StateStore, page: Page, memory: Memory, now: datetime) -> Health:
    """Return whether ticks of every shard run, as far as this instance can know."""
    seen = await asyncio.gather(*(memory.brief(store, each, now) for each in range(len(page.shards))))
    return max((each.health(page, now) for each in seen), key=list(Health).index)


def _shard(number: int, seen: Seen, page: Page, now: datetime) -> dict[str, Any]:
    record = seen.record
    return {
        "shard": number,
        "fresh": seen.health(page, now).runs,
        "source": seen.source,
        "error": seen.told(),
        "unsaved_since": _time(seen.since),
        "ticks": record.ticks if record else 0,
        "clamped": record.clamped if record else 0,
        "last_scheduled_at": _time(record.last_scheduled_at if record else None),
        "last_completed_at": _time(record.last_completed_at if record else None),
    }


def _target(target: Target, shard: int, seen: Seen, now: datetime) -> dict[str, Any]:
    known = seen.record.targets.get(target.name) if seen.record else None
    head: dict[str, Any] = {"name": target.name, "shard": shard, "at": None}
    if isinstance(known, TargetRecord) and known.last is not None:
        return {**head, **known.last, **_remembered(known, target, now)}
    if isinstance(known, dict):
        return {**head, **known, **_willed(known, target, now)}
    return {**head, "verdict": None, "reason": _UNREAD if seen.source == "none" else _NEVER}


def _willed(known: Mapping[str, Any], target: Target, now: datetime) -> dict[str, Any]:
    """Return what of a brief follows from the settings, as they are now."""
    forced = target.policy.forced_at(now)
    return {
        "breaker": {**known["breaker"], "forced": forced_document(forced)},
        "maintenance_until": _time(maintenance_end(target.policy, now)),
    }


_NEVER = "no tick is on record yet"
_UNREAD = "the saved state cannot be read, and nothing is known in this process"


def _remembered(record: TargetRecord, target: Target, now: datetime) -> dict[str, Any]:
    totals = record.breaker.totals
    return {
        "at": _time(record.history[-1].at if record.history else None),
        "incident": incident_document(record.incident),
        "maintenance_until": _time(maintenance_end(target.policy, now)),
        "breaker": breaker_document(record.breaker, target, target.policy.forced_at(now)),
        "totals": {
            "primary_attempts": totals.primary_attempts,
            "primary_failures": totals.primary_failures,
            "secondary_attempts": totals.secondary_attempts,
            "secondary_failures": totals.secondary_failures,
            "transitions": totals.transitions,
        },
        "recent_transitions": [transition_document(each) for each in record.transitions],
        "recent_events": [event_document(each) for each in record.events],
        "history": [_entry(each) for each in record.history],
    }


def _entry(entry: HistoryEntry) -> dict[str, Any]:
    return {
        "at": time_text(entry.at),
        "verdict": entry.verdict,
        "primary": entry.primary,
        "primary_error": entry.primary_error,
        "secondary": entry.secondary,
        "secondary_error": entry.secondary_error,
        "redundancy": entry.redundancy,
        "served": {
            "primary": entry.served_primary,
            "secondary": entry.served_secondary,
            "none": entry.served_none,
        },
        "worst_read_seconds": entry.worst_read,
        "lag_seconds": entry.lag,
        "recovery_point_age_seconds": entry.last_sync_age,
    }


def _time(value: datetime | None) -> str | None:
    return time_text(value) if value else None
