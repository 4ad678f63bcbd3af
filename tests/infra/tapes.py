"""Tapes: stretches of real ticks, sent by the real exporter, that queries are run on.

A tape says what each vantage saw of each target, segment by segment. The lab plays a segment through the
probe's own tick and the Azure Monitor exporter, from a fresh start, and kept for all tapes; then its rows are
moved to their minutes. What lies outside a rule's window is cut off, as the service does.
"""

import asyncio
import functools
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from probe.core.target import Location
from probe.lab.telemetry import tapes as lab
from probe.lab.telemetry.capture import azure_monitor
from probe.lab.telemetry.tapes import Scene
from tests.infra.rows import Workspace, row

NAMES = ("probe.target", "probe.vantage")
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

OK = Scene()
PRIMARY_DOWN = Scene(primary="503")
BOTH_DOWN = Scene(primary="503", secondary="503")
CUT_OFF = Scene(primary="refused", secondary="refused", store=False)
CORRUPTED = Scene(primary="corrupt")
MISSING = Scene(primary="404")
REFUSED_US = Scene(primary="403", secondary="403")
ABSENT = Scene(secondary="dns")
STALLED = Scene(stats="unavailable")
FAILED_OVER = Scene(happened="failover")
DELETED = Scene(happened="gone")
UNSAVED = Scene(store=False)
BEHIND = Scene(lag=timedelta(hours=2))
MAINTAINED = Scene(primary="503", secondary="503", maintenance=True)
UNWRITABLE = Scene(primary="unwritable")
READ_ONLY = Scene(primary="read-only")
FORCED = Scene(forced=Location.SECONDARY)
BOOTSTRAP = Scene(stats="bootstrap")
NOTHING = None
"""No tick at all."""


def calm(minutes):
    """Return so many healthy ticks, in segments of five: what is calm is summed over five minutes."""
    whole, rest = divmod(minutes, 5)
    return [(OK,) * 5] * whole + ([(OK,) * rest] if rest else [])


def silent(minutes):
    return [(NOTHING,) * minutes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one vantage saw of one target: segments of scenes, from the oldest to the newest."""

    segments: list
    target: str = "store"
    vantage: str = "francecentral"


@functools.cache
def played(segment, target, vantage):
    """Return for each tick of a segment its rows, with times since the tick began."""
    if segment[0] is NOTHING:
        return ((),) * len(segment)
    watched = replace(lab.TARGET, name=target)
    # A stretch of calm goes on from an earlier tick: its last tick then carries the sums of all of it.
    earlier = (OK,) if set(segment) == {OK} else ()
    reports = asyncio.run(lab.play((*earlier, *segment), targets=(watched,), vantage=vantage))
    taken = asyncio.run(azure_monitor(reports))
    return tuple(
        tuple(since(lab.START + place * MINUTE, each, envelope) for envelope in each.envelopes)
        for place, each in enumerate(taken)
    )[len(earlier) :]


def since(began, taken, envelope):
    """Return an envelope's table, cells and time in its tick; a metric's own time is this machine's."""
    table, cells = row(envelope)
    ended = taken.report.started_at + taken.report.duration
    at = ended if table == "AppMetrics" else cells["TimeGenerated"].replace(tzinfo=UTC)
    return table, cells, at - began


def rows_of(tape, every=MINUTE):
    """Return a tape's rows; the newest tick of each vantage began a minute ago."""
    return [
        (table, {**cells, "TimeGenerated": (began + offset).replace(tzinfo=None)})
        for seen in tape
        for began, tick in minutes(seen, every)
        for table, cells, offset in tick
    ]


def minutes(seen, every):
    ticks = [tick for segment in seen.segments for tick in played(segment, seen.target, seen.vantage)]
    return [(NOW - MINUTE - every * (len(ticks) - 1 - place), tick) for place, tick in enumerate(ticks)]


def told_apart(tape, number):
    """Return a tape's rows with a number in each name, so that many tapes stand in one workspace."""
    mark = f"@{number}"
    for table, cells in rows_of(tape):
        names = {key: cells["Properties"][key] for key in NAMES if key in cells["Properties"]}
        own = {
            **cells,
            "Properties": {**cells["Properties"], **{key: each + mark for key, each in names.items()}},
        }
        if table == "AppAvailabilityResults":
            target = names["probe.target"]
            own["Name"] = target + mark + cells["Name"].removeprefix(target)
            own["Location"] += mark
        yield table, own


def results(kql, tape, *, window=timedelta(days=2), every=MINUTE):
    """Return what a query finds on a tape, looking back one window."""
    workspace = Workspace(rows_of(tape, every))
    workspace.look_back(NOW - window)
    return workspace.run(kql, NOW)
