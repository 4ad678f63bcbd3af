"""Sums: what ticks measured of one target, added up until it is sent.

An instance may live for one tick, so what waits to be sent waits in the target's record and not in a process.
Rules kept here: every tick's sums are sent at most once. The save that clears what waited is the one that
hands it over for sending, so that of two ticks at once just one sends it; a process that is killed between
its save and its sending loses it once. What cannot be saved is sent at once, unless the store may have it.
"""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import add
from typing import NamedTuple

from probe.core.reading import Purpose, Read, Reading
from probe.core.replication import Delay
from probe.core.target import Location

CALM_INTERVAL = timedelta(minutes=5)
"""How long sums of a target may wait while nothing happens to it."""

ATTEMPT, PHASE, READ, DELAY, TICK = "attempt", "phase", "read", "delay", "tick"
"""What a series measures: the first part of its name."""
PHASES = ("dns", "connect", "tls", "ttfb", "transfer")
_SHORT = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60)
_LONG = (1, 5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600)
BUCKETS: Mapping[str, tuple[float, ...]] = {
    ATTEMPT: _SHORT,
    PHASE: _SHORT,
    READ: (),
    DELAY: _LONG,
    TICK: _SHORT,
}
"""The upper bounds of a series' buckets, in seconds; the last bucket has none."""
MICROSECONDS = 1_000_000
_MICROSECOND = timedelta(microseconds=1)
_BOUNDS = {
    measure: [round(each * MICROSECONDS) for each in bounds] for measure, bounds in BUCKETS.items() if bounds
}
_STATUS = re.compile("[1-5][0-9]{2}|")
_MOST = 2**53
"""Of a number: beyond it no number is told from its neighbour by whoever reads JSON as most do."""


class Sum(NamedTuple):
    """Durations of one series added up, in whole microseconds, so that sums are exact in whatever order.

    A tuple, since a shard's document holds thousands of them. ``buckets`` counts the durations up to each
    bound of ``BUCKETS``, without the zeros at its end.
    """

    number: int
    total: int
    least: int
    most: int
    buckets: tuple[int, ...] = ()


type Sums = Mapping[str, Sum]
"""Sums by the name of their series: parts with ``/`` between them, as ``measured`` makes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The sums of all ticks since a time."""

    since: datetime
    sums: dict[str, Sum] = field(default_factory=dict)


def measured(readings: Iterable[Reading], reads: Iterable[Read], delays: Iterable[Delay]) -> dict[str, Sum]:
    """Return a tick's sums of one target.

    Series: ``attempt/LOCATION/PURPOSE/ERROR/STATUS`` and ``phase/LOCATION/PHASE`` for each attempt,
    ``read/SERVED_BY``, ``delay/secondary``. What is not there, an error or a status, is an empty part.
    """
    found: defaultdict[str, list[int]] = defaultdict(list)
    for each in readings:
        name = f"{ATTEMPT}/{each.location}/{each.purpose}/{each.error_type or ''}/{each.status_code or ''}"
        found[name].append(each.duration // _MICROSECOND)
        for phase in PHASES:
            if (took := getattr(each.phases, phase)) is not None:
                found[f"{PHASE}/{each.location}/{phase}"].append(took // _MICROSECOND)
    for read in reads:
        found[f"{READ}/{read.served_by or 'none'}"].append(read.duration // _MICROSECOND)
    for delay in delays:
        found[f"{DELAY}/{Location.SECONDARY}"].append(delay.delay // _MICROSECOND)
    return {name: _sum(values, _measure(name)) for name, values in found.items()}


def single(measure: str, value: timedelta) -> Sum:
    """Return the sum of one duration."""
    return _sum([value // _MICROSECOND], measure)


def _sum(values: Sequence[int], measure: str) -> Sum:
    most = max(values)
    bounds = _BOUNDS.get(measure)
    if bounds is None:
        return Sum(len(values), sum(values), min(values), most)
    buckets = [0] * (bisect_left(bounds, most) + 1)
    for each in values:
        buckets[bisect_left(bounds, each)] += 1
    return Sum(len(values), sum(values), min(values), most, tuple(buckets))


def _measure(name: str) -> str:
    return name.partition("/")[0]


def added(old: Sums, new: Sums) -> dict[str, Sum]:
    """Return two ticks' sums as those of both."""
    both = dict(old)
    for name, more in new.items():
        both[name] = _added(both[name], more) if name in both else more
    return both


def _added(one: Sum, other: Sum) -> Sum:
    longer, shorter = one.buckets, other.buckets
    if len(longer) < len(shorter):
        longer, shorter = shorter, longer
    return Sum(
        one.number + other.number,
        one.total + other.total,
        min(one.least, other.least),
        max(one.most, other.most),
        (*map(add, longer, shorter), *longer[len(shorter) :]),
    )


def settled(
    unsent: Tally | None, own: Sums, *, at: datetime, calm: bool, saved: bool = True
) -> tuple[Tally | None, Tally | None]:
    """Return what a tick is to send, if anything, and what waits after it.

    All of it is sent after 5 minutes, or at once when the tick was not calm, so that nobody waits for the
    details of an outage. ``at`` is when the tick was scheduled. ``saved`` ``False``: what waits could not be
    cleared in the store, so that only the tick's own sums, which nobody else has, may be sent.
    """
    if unsent and calm and timedelta(0) <= at - unsent.since < CALM_INTERVAL:
        return None, Tally(since=unsent.since, sums=added(unsent.sums, own))
    if unsent is None or not saved:
        return Tally(since=at, sums=dict(own)), unsent if not saved else Tally(since=at)
    return Tally(since=unsent.since, sums=added(_sound(unsent.sums), own)), Tally(since=at)


def with_losses(counted: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    """Return the rows lost by backend, with those that were lost, or arrived after all, since the count."""
    totals = {name: counted.get(name, 0) + more.get(name, 0) for name in {**counted, **more}}
    return {name: rows for name, rows in totals.items() if 0 < rows < _MOST}


def _sound(sums: Sums) -> dict[str, Sum]:
    """Return the sums that calm ticks can have left: a saved document may have been written by anybody."""
    return {name: each for name, each in sums.items() if _is_named(name) and _is_sound(name, each)}


def _is_named(name: str) -> bool:
    match name.split("/"):
        case [measure, location, purpose, "", status] if measure == ATTEMPT:
            return location in Location and purpose in Purpose and bool(_STATUS.fullmatch(status))
        case [measure, location, phase] if measure == PHASE:
            return location in Location and phase in PHASES
        case [measure, served_by] if measure == READ:
            return served_by == "none" or served_by in Location
        case [measure, location] if measure == DELAY:
            return location == Location.SECONDARY
    return False


def _is_sound(name: str, each: Sum) -> bool:
    bounds = _BOUNDS.get(_measure(name), [])
    return (
        1 <= each.number < _MOST
        and -_MOST < each.least <= each.most < _MOST
        and -_MOST < each.total < _MOST
        and all(count >= 0 for count in each.buckets)
        and len(each.buckets) <= len(bounds) + 1
        and (not bounds or sum(each.buckets) == each.number)
    )
