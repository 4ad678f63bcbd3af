"""Values for the core's tests, short to write: times in seconds after one noon, readings in a line each."""

from datetime import UTC, datetime, timedelta

from probe.core import canary
from probe.core.canary import Stamp
from probe.core.reading import PATH_ERRORS, Purpose, Read, Reading
from probe.core.target import Location

PRIMARY, SECONDARY = Location.PRIMARY, Location.SECONDARY
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BODY = b"a small picture"


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def s(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def stamped(sequence: int, written: float = 0, writer: str = "here") -> Stamp:
    return canary.stamp(body=BODY, sequence=sequence, written_at=at(written), writer=writer)


def reading(location: Location = PRIMARY, error: str | None = None, **more) -> Reading:
    """``took`` and ``started`` are in seconds; whatever else a reading has goes by its own name."""
    more.setdefault("purpose", Purpose.READ)
    if error not in PATH_ERRORS:
        more.setdefault("request_id", "0a1b")
    took, started = more.pop("took", 0.01), more.pop("started", 0)
    return Reading(location=location, error_type=error, duration=s(took), started_at=at(started), **more)


def read(*attempts: Reading) -> Read:
    """Return the read that consists of these attempts: the last one decides who served it."""
    served = attempts[-1].location if attempts and attempts[-1].ok else None
    total = sum((each.duration for each in attempts), timedelta(0))
    return Read(started_at=NOON, duration=total, served_by=served, attempts=attempts)
