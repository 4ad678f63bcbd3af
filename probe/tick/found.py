"""What is found out about one target as its tick goes on; whole or cut short, it is judged."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from probe.core.canary import Stamp
from probe.core.look import CONTAINER_MISSING, is_mended, loss, settled
from probe.core.reading import Read, Reading
from probe.core.record import Sighting, TickFacts
from probe.core.replication import Ledger, Sync
from probe.core.target import Location, Target
from probe.reader import Reader

_GONE = "404"


@dataclass(slots=True, kw_only=True)
class Found:
    """The findings of a tick about a target. ``ledger`` is what was known before it.

    ``unwritten`` says why the canary was not tried to be written, ``foreign`` which version was in the way.
    ``doubted`` is a look at the primary that another took the place of. ``ended_at`` is when the last of it
    was measured: it is judged as of then, however long others take.
    """

    target: Target
    writer: str
    ledger: Ledger
    began_at: datetime
    looks: dict[Location, Reading] = field(default_factory=dict)
    doubted: Reading | None = None
    unwritten: str | None = None
    foreign: str | None = None
    tried: int = 0
    write: Reading | None = None
    written: Stamp | None = None
    reader: Reader | None = None
    reads: list[Read] = field(default_factory=list)
    stats: Reading | None = None
    sync: Sync | None = None
    lag_look: Reading | None = None
    skipped: tuple[str, ...] = ()
    bug: Exception | None = None
    ended_at: datetime | None = None

    def facts(self, now: datetime) -> TickFacts:
        """Return what the record learns of it."""
        reader, late = self.reader, self.lag_look
        shown = [*(reader.shown if reader else ()), *_sighting(late)]
        return TickFacts(
            attempts=tuple(reader.facts) if reader else (),
            writer=self.writer,
            looked=tuple(each for look in self.looks.values() for each in _sighting(look)),
            gone=self._gone(),
            loss=loss(self.ledger, self.looks.get(Location.PRIMARY), self.write),
            tried=self.tried,
            written=self.written,
            etag=self._etag(),
            shown=tuple(shown),
            older=tuple(self._older()),
            foreign=self.foreign,
            lag_at=late.ended_at if late and late.ok else None,
            sync=self.sync,
            finished_at=now,
        )

    def at(self, location: Location) -> list[Reading]:
        """Return the readings of the canary at a location, in order, as they are judged."""
        seen = [*self._looks(), *(self.reader.readings if self.reader else ()), *_given(self.lag_look)]
        return [each for each in seen if each.location is location and not is_mended(each, self.write)]

    @property
    def readings(self) -> list[Reading]:
        """Return every attempt of the tick, in the order it was made."""
        read = self.reader.readings if self.reader else ()
        made = [
            *self._looks(),
            *_given(self.doubted),
            *_given(self.write),
            *read,
            *_given(self.stats),
            *_given(self.lag_look),
        ]
        return sorted(made, key=lambda each: each.started_at)

    @property
    def sides(self) -> list[list[Reading]]:
        return [self.at(each) for each in self.target.locations]

    @property
    def is_measured(self) -> bool:
        """Return whether the tick found out anything at all about the target."""
        return self.bug is None and bool(self.readings)

    def _looks(self) -> Iterator[Reading]:
        for location, look in self.looks.items():
            is_primary = location is Location.PRIMARY
            yield settled(self.ledger, look, self.write) if is_primary else look

    def _older(self) -> Iterator[Sighting]:
        for location in self.target.locations:
            last = next((each for each in reversed(self.at(location)) if each.canary), None)
            if last and last.canary and last.error_type == "rollback":
                yield Sighting(location=location, stamp=last.canary, at=last.ended_at)

    def _gone(self) -> str | None:
        """Return what is missing at the primary, if it was there before."""
        look = self.looks.get(Location.PRIMARY)
        was_there = self.ledger.newest or self.ledger.primary_shown
        if look is None or look.error_type != _GONE or not was_there:
            return None
        what = "the canary's container" if look.service_error == CONTAINER_MISSING else "the canary's blob"
        return (
            f"{what} is gone from the primary: it was deleted, or a failover lost it before it was replicated"
        )

    def _etag(self) -> str | None:
        """Return the tag of the version that the primary has, as far as it is ours to replace."""
        if self.write and self.write.ok:
            return self.write.etag
        look = self.looks.get(Location.PRIMARY)
        return look.etag if look and look.ok and self.unwritten is None else None


def _given(reading: Reading | None) -> tuple[Reading, ...]:
    return (reading,) if reading else ()


def _sighting(look: Reading | None) -> tuple[Sighting, ...]:
    if look is None or not look.ok or look.canary is None:
        return ()
    return (Sighting(location=look.location, stamp=look.canary, at=look.ended_at),)
