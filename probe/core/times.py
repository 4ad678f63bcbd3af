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
