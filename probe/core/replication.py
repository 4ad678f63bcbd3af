"""Replication: how far the secondary's canary is behind, and Azure's own bound beside it.

Rules kept here: what is unknown is ``None`` and never 0; lag is an observation of our canary, last sync age
is Azure's bound on every write, and neither stands for the other, because replication is out of order. The
ledger is bounded and never forgets the oldest write that the secondary has not shown.

Source: https://learn.microsoft.com/azure/storage/common/last-sync-time-get (LastSyncTime: to the second;
all writes before it are readable on the secondary, later ones may or may not be).
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from probe.core.canary import Stamp
from probe.core.target import Location

LEDGER_LIMIT = 120
"""The most unseen writes kept; of more, the oldest and the newest stay, those between are thinned out."""


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
class Ledger:
    """What was written and what each location has shown of it.

    ``unseen`` are the writes that the secondary has not shown yet, oldest first; ``newest`` the last one
    written; ``shown`` the newest stamp each location has shown, which is the floor for ``rollback``.
    """

    newest: Stamp | None = None
    unseen: tuple[Stamp, ...] = ()
    primary_shown: Stamp | None = None
    secondary_shown: Stamp | None = None

    def shown(self, location: Location) -> Stamp | None:
        return self.primary_shown if location is Location.PRIMARY else self.secondary_shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """One write's way to the secondary: seconds from written to first shown, known to within ``error``."""

    sequence: int
    delay: timedelta
    error: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Replication:
    """What is known of replication after a tick. ``status`` and the rest are ``None`` where unknown."""

    status: SyncStatus | None = None
    last_sync_time: datetime | None = None
    last_sync_age: timedelta | None = None
    lag: timedelta | None = None
    within_rpo: bool | None = None
    delays: tuple[Delay, ...] = field(default=())


def next_sequence(ledger: Ledger) -> int:
    """Return the sequence of the next write: above everything written or shown, so that it never repeats."""
    known = (ledger.newest, ledger.primary_shown, ledger.secondary_shown)
    return 1 + max((each.sequence for each in known if each), default=0)


def written(ledger: Ledger, stamp: Stamp) -> Ledger:
    """Return the ledger after a successful write; two writers' entries stand in the order of their times."""
    unseen = tuple(sorted({*ledger.unseen, stamp}, key=lambda each: each.written_at))
    if ledger.secondary_shown and ledger.secondary_shown.covers(stamp):
        unseen = ledger.unseen
    newest = stamp if ledger.newest is None or stamp.covers(ledger.newest) else ledger.newest
    return replace(ledger, newest=newest, unseen=_thinned(unseen))


def _thinned(unseen: tuple[Stamp, ...]) -> tuple[Stamp, ...]:
    """Drop the write whose neighbours are closest: what is left stays spread over the whole time."""
    if len(unseen) <= LEDGER_LIMIT:
        return unseen
    inner = range(1, len(unseen) - 1)
    spare = min(inner, key=lambda index: unseen[index + 1].written_at - unseen[index - 1].written_at)
    return _thinned(unseen[:spare] + unseen[spare + 1 :])


def shown(
    ledger: Ledger, location: Location, stamp: Stamp, *, at: datetime, since: datetime | None
) -> tuple[Ledger, tuple[Delay, ...]]:
    """Return the ledger after a location showed a stamp, and the delays of the writes first shown by it.

    ``since`` is when the secondary was last read before: the write arrived between then and ``at``, which
    is the delay's error bound; a ``since`` after ``at`` (another tick's) bounds nothing. An older stamp than
    already shown changes nothing.
    """
    floor = ledger.shown(location)
    if floor is not None and not stamp.covers(floor):
        return ledger, ()
    if location is Location.PRIMARY:
        return replace(ledger, primary_shown=stamp), ()
    arrived = tuple(each for each in ledger.unseen if stamp.covers(each))
    unseen = tuple(each for each in ledger.unseen if not stamp.covers(each))
    delays = tuple(_delay(each, at, since) for each in arrived)
    return replace(ledger, secondary_shown=stamp, unseen=unseen), delays


def _delay(stamp: Stamp, at: datetime, since: datetime | None) -> Delay:
    earliest = max(stamp.written_at, since) if since and since <= at else stamp.written_at
    zero = timedelta(0)
    return Delay(
        sequence=stamp.sequence,
        delay=max(at - stamp.written_at, zero),
        error=max(at - earliest, zero),
    )


def lag(ledger: Ledger, now: datetime) -> timedelta | None:
    """Return how far the secondary's canary is behind; ``None`` before anything was written or shown.

    0 when it shows the newest write; else the age of the oldest write that it has not shown.
    """
    if ledger.unseen:
        return max(now - ledger.unseen[0].written_at, timedelta(0))
    return timedelta(0) if ledger.newest and ledger.secondary_shown else None


def replication(
    ledger: Ledger, sync: Sync | None, *, now: datetime, rpo: timedelta, delays: tuple[Delay, ...] = ()
) -> Replication:
    """Return what is known of replication: our observation, Azure's bound, and both against the RPO.

    The RPO is held when no known figure exceeds it; ``None`` where neither figure is known.
    """
    behind = lag(ledger, now)
    age = None
    if sync and sync.last_sync_time:
        age = max(now - sync.last_sync_time, timedelta(0))
    known = [each for each in (behind, age) if each is not None]
    return Replication(
        status=sync.status if sync else None,
        last_sync_time=sync.last_sync_time if sync else None,
        last_sync_age=age,
        lag=behind,
        within_rpo=all(each <= rpo for each in known) if known else None,
        delays=delays,
    )
