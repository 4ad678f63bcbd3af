"""Replication: how far the secondary's canary is behind, and Azure's own bound beside it.

Rules kept here: what is unknown is ``None`` and never 0; lag is an observation of our canary, the recovery
point is Azure's bound on every write, and neither stands for the other, because replication is out of order.
The ledger is bounded and never forgets the oldest write that the secondary has not shown.

Source: https://learn.microsoft.com/azure/storage/common/last-sync-time-get (LastSyncTime: to the second;
all writes before it are readable on the secondary, later ones may or may not be).
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from probe.core.canary import SEQUENCE_LIMIT, Stamp
from probe.core.target import Location
from probe.core.times import lasting

LEDGER_LIMIT = 120
"""The most unseen writes kept; of more, the oldest and the newest stay, those between are thinned out."""
BELIEVED_FOR = timedelta(minutes=15)
"""How long a location that shows only older canaries than it had is held to what it had shown."""
SKEW = timedelta(seconds=5)
"""A last sync time that is ahead of our clock by no more is no sign that the clock is wrong."""


class SyncStatus(StrEnum):
    """The secondary's own word on geo-replication (GeoReplicationStats)."""

    LIVE = "live"
    BOOTSTRAP = "bootstrap"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """The service stats' answer; ``last_sync_time`` is ``None`` where Azure gives none."""

    status: SyncStatus
    last_sync_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryPoint:
    """Azure's newest LastSyncTime: every write before ``at`` is on the secondary, as it said ``told_at``."""

    at: datetime
    told_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """One write's way to the secondary: seconds from written to first shown, known to within ``error``."""

    sequence: int
    delay: timedelta
    error: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What was written and what each location has shown of it.

    ``unseen`` are the writes that the secondary has not shown yet, oldest first; ``newest`` the last one that
    was acknowledged; ``tried`` the highest sequence that was ever sent, acknowledged or not. ``etag`` is the
    tag of the version that the primary had last. The ``shown`` stamps are the newest that each location has
    shown, which is the floor for ``rollback``; ``secondary_shown_at`` is when it first showed its.

    What was told already is remembered, so that it is told once: ``stranger`` names the other writer,
    ``gone`` says that the canary was missing, ``kept`` is what the last loss left. ``foreign`` is the tag of
    a version that is not ours to replace, there since ``foreign_since``; ``older_since`` is since when a
    location has shown only older canaries than it had.
    """

    newest: Stamp | None = None
    unseen: tuple[Stamp, ...] = ()
    primary_shown: Stamp | None = None
    secondary_shown: Stamp | None = None
    secondary_shown_at: datetime | None = None
    etag: str | None = None
    tried: int = 0
    stranger: str | None = None
    gone: bool = False
    kept: Stamp | None = None
    foreign: str | None = None
    foreign_since: datetime | None = None
    older_since: dict[Location, datetime] = field(default_factory=dict)

    def shown(self, location: Location) -> Stamp | None:
        return self.primary_shown if location is Location.PRIMARY else self.secondary_shown

    def floor(self, location: Location) -> Stamp | None:
        """Return the oldest stamp that a location may show by now, ``None`` while nothing is known.

        The primary is strongly consistent: once a write has succeeded, an older canary there is a rollback.
        The secondary may show any of ours, until it has shown one.
        """
        shown, newest = self.shown(location), self.newest
        if newest is None:
            return shown
        if location is Location.SECONDARY:
            return shown or replace(newest, sequence=0)
        return newest if shown is None or newest.covers(shown) else shown

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is remembered of this canary."""
        return not (self.newest or self.primary_shown or self.secondary_shown or self.tried)

    def believes(self, stamp: Stamp) -> bool:
        """Return whether a stamp's sequence can have been come to by writing.

        One above that would be a floor that nothing reaches, unless our own writes have come to it.
        """
        return stamp.is_plausible or stamp.sequence <= self.tried

    @property
    def is_sound(self) -> bool:
        """Return whether this can have come of writing: a saved document may have been written by anybody."""
        stamps = (self.newest, self.primary_shown, self.secondary_shown)
        return self.tried < SEQUENCE_LIMIT and all(self.believes(each) for each in stamps if each)

    @property
    def unacknowledged(self) -> int:
        """Return how many writes were tried since the last one that is known to be there."""
        there = [each.sequence for each in (self.newest, self.primary_shown) if each and self.believes(each)]
        return max(self.tried - max(there), 0) if there else 0

    def has_stood(self, etag: str, now: datetime) -> timedelta:
        """Return how long a version that is not ours has been there unchanged, as far as is known."""
        known = self.foreign_since if etag == self.foreign else None
        return max(now - known, timedelta(0)) if known else timedelta(0)

    def next_sequence(self, there: Stamp | None = None) -> int:
        """Return the sequence of the next write: above everything written or shown, so that it never repeats.

        ``there`` is what the primary shows now.
        """
        stamps = (self.newest, self.primary_shown, self.secondary_shown, there)
        known = (each.sequence for each in stamps if each and each.is_plausible)
        return 1 + max(self.tried, *known, 0)

    def after_write(self, stamp: Stamp, etag: str | None = None) -> Self:
        """Return the ledger after a successful write; two writers' entries stand in the order of time."""
        unseen = self.unseen
        if not (self.secondary_shown and self.secondary_shown.covers(stamp)):
            unseen = tuple(sorted({*unseen, stamp}, key=lambda each: each.written_at))
        latest = self.newest is None or stamp.covers(self.newest)
        return replace(
            self,
            newest=stamp if latest else self.newest,
            etag=etag if latest else self.etag,
            tried=max(self.tried, stamp.sequence),
            unseen=_thinned(unseen),
            gone=False,
        )

    def after_sighting(
        self, location: Location, stamp: Stamp, *, at: datetime, since: datetime | None
    ) -> tuple[Self, tuple[Delay, ...]]:
        """Return the ledger after a location showed a stamp, and the delays of the writes first shown by it.

        ``since`` is when the secondary was last read before: the write arrived between then and ``at``, which
        is the delay's error bound; a ``since`` after ``at`` (another tick's) bounds nothing. An older stamp
        than already shown changes nothing, and so does one whose sequence nobody can have come to by writing:
        it would be a floor for ever.
        """
        floor = self.shown(location)
        if stamp == floor and location not in self.older_since:  # as in all reads of a tick but its first
            return self, ()
        if not self.believes(stamp) or (floor is not None and not stamp.covers(floor)):
            return self, ()
        if location in self.older_since:
            older = {each: since for each, since in self.older_since.items() if each is not location}
            return replace(self, older_since=older).after_sighting(location, stamp, at=at, since=since)
        if location is Location.PRIMARY:
            return replace(self, primary_shown=stamp), ()
        arrived = tuple(each for each in self.unseen if stamp.covers(each))
        unseen = tuple(each for each in self.unseen if not stamp.covers(each))
        delays = tuple(_delay(each, at, since) for each in arrived)
        return replace(self, secondary_shown=stamp, secondary_shown_at=at, unseen=unseen), delays

    def after_loss(self, there: Stamp) -> Self:
        """Return the ledger after a failover that kept nothing newer than ``there``.

        What both locations must show from now on is learned anew; the lost writes are waited for no longer.
        """
        kept = tuple(each for each in self.unseen if there.covers(each))
        secondary = self.secondary_shown
        if secondary and not there.covers(secondary):
            secondary = None
        return replace(
            self, newest=there, primary_shown=there, secondary_shown=secondary, unseen=kept, kept=there
        )

    def after_older(self, location: Location, stamp: Stamp, *, at: datetime) -> Self:
        """Return the ledger after a location showed an older canary than it had.

        What it must show is not held against it for ever: the writer may be gone, or a failover have lost
        what nobody can write again. After so long without anything newer, this is what there is.
        """
        since = self.older_since.get(location)
        if since is None or at - since < BELIEVED_FOR:
            return replace(self, older_since={**self.older_since, location: since or at})
        if location is Location.PRIMARY:
            return replace(self.after_loss(stamp), older_since={})
        return replace(self, secondary_shown=stamp, secondary_shown_at=at, older_since={})

    def lag(self, now: datetime) -> timedelta | None:
        """Return how far the secondary's canary is behind; ``None`` before anything was written or shown.

        0 when it shows the newest write; else the age of the oldest write that it has not shown.
        """
        if self.unseen:
            return max(now - self.unseen[0].written_at, timedelta(0))
        return timedelta(0) if self.newest and self.secondary_shown else None


def _thinned(unseen: tuple[Stamp, ...]) -> tuple[Stamp, ...]:
    """Drop the write whose neighbours are closest: what is left stays spread over the whole time."""
    if len(unseen) <= LEDGER_LIMIT:
        return unseen
    inner = range(1, len(unseen) - 1)
    spare = min(inner, key=lambda index: unseen[index + 1].written_at - unseen[index - 1].written_at)
    return _thinned(unseen[:spare] + unseen[spare + 1 :])


def _delay(stamp: Stamp, at: datetime, since: datetime | None) -> Delay:
    earliest = max(stamp.written_at, since) if since and since <= at else stamp.written_at
    zero = timedelta(0)
    return Delay(
        sequence=stamp.sequence,
        delay=max(at - stamp.written_at, zero),
        error=max(at - earliest, zero),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Replication:
    """What is known of replication after a tick; ``None`` where it is unknown.

    A clock that is behind Azure's makes the age unknown, not 0. ``status`` and ``last_sync_time`` are what
    the stats said in this tick. The recovery point may be from an earlier one: ``reason`` says why it is not
    from this one, or why there is none. ``secondary_sequence`` is the newest canary that the secondary has
    shown, ``secondary_delay`` how old it was when first seen there.
    """

    status: SyncStatus | None = None
    last_sync_time: datetime | None = None
    recovery_point: datetime | None = None
    recovery_point_age: timedelta | None = None
    lag: timedelta | None = None
    within_rpo: bool | None = None
    reason: str | None = None
    secondary_sequence: int | None = None
    secondary_delay: timedelta | None = None
    delays: tuple[Delay, ...] = field(default=())


def recovery_point(known: RecoveryPoint | None, sync: Sync | None, at: datetime) -> RecoveryPoint | None:
    """Return the recovery point after stats were had at a time; the latest word of Azure counts."""
    if sync is None or sync.last_sync_time is None or (known and known.told_at > at):
        return known
    return RecoveryPoint(at=sync.last_sync_time, told_at=at)


def replication(  # noqa: PLR0913 - what is known, each by its name
    *,
    ledger: Ledger,
    sync: Sync | None,
    point: RecoveryPoint | None,
    lag: timedelta | None,
    now: datetime,
    rpo: timedelta,
    reason: str | None = None,
    delays: tuple[Delay, ...] = (),
) -> Replication:
    """Return what is known: our observation, and beside it Azure's bound, which alone is held to the RPO."""
    behind = point is not None and point.at - now > SKEW
    if point and behind:
        reason = (
            f"the last sync time is {lasting(point.at - now)} ahead of this machine's clock, which is behind"
        )
    age = max(now - point.at, timedelta(0)) if point and not behind else None
    shown, first_at = ledger.secondary_shown, ledger.secondary_shown_at
    return Replication(
        status=sync.status if sync else None,
        last_sync_time=sync.last_sync_time if sync else None,
        recovery_point=point.at if point and not behind else None,
        recovery_point_age=age,
        lag=lag,
        within_rpo=None if age is None else age <= rpo,
        reason=reason,
        secondary_sequence=shown.sequence if shown else None,
        secondary_delay=max(first_at - shown.written_at, timedelta(0)) if shown and first_at else None,
        delays=delays,
    )
