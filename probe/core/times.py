"""Times and durations as they are told outward: seconds, and RFC 3339 in UTC."""

from datetime import UTC, datetime, timedelta
from typing import overload


@overload
def seconds(value: timedelta) -> float: ...
@overload
def seconds(value: None) -> None: ...
@overload
def seconds(value: timedelta | None) -> float | None: ...
def seconds(value: timedelta | None) -> float | None:
    """Return a duration in seconds to the microsecond, ``None`` for ``None``."""
    return None if value is None else round(value.total_seconds(), 6)


def time_text(value: datetime) -> str:
    """Return a time as RFC 3339 in UTC, for example ``2026-01-31T23:59:59.000001Z``."""
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def spoken(value: timedelta) -> str:
    """Return a duration as a sentence has it: 12 ms, 2.5 s."""
    found = value.total_seconds()
    return f"{found * 1000:.0f} ms" if found < 1 else f"{found:.1f}".removesuffix(".0") + " s"


def lasting(value: timedelta) -> str:
    """Return how long something has lasted, as a glance needs it: 45 s, 12 min, 2 h 5 min, 3 d 4 h."""
    found = max(int(value.total_seconds()), 0)
    if found < 2 * 60:
        return f"{found} s"
    if found < 60 * 60:
        return f"{found // 60} min"
    if found < 24 * 60 * 60:
        hours, minutes = divmod(found // 60, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(found // 3600, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def spoken_moment(value: str) -> str:
    """Return a document's time as a sentence has it: 2026-01-31 23:59:59 UTC."""
    return f"{datetime.fromisoformat(value).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
