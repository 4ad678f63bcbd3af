"""Tapes: minutes of telemetry, put together from captured ticks, that a query is run on.

A tape says what each vantage saw of each target, tick by tick; a tick's rows are captured envelopes moved to its minute,
target and vantage. What lies outside a rule's window is cut off, as the service does.
"""

import copy
import functools
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.infra.rows import CAPTURE, Workspace, row

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
TICKS = json.loads(CAPTURE.read_text())
OLD_TARGET = "store"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one vantage saw of one target: kinds of ticks from the oldest to the newest, ``None`` for no tick."""

    ticks: list
    target: str = "store"
    vantage: str = "francecentral"


def moved(envelope, target, vantage):
    """Answer a captured envelope as if it were of another target, from another vantage."""
    other = copy.deepcopy(envelope)
    base = other["data"]["baseData"]
    properties = base.get("properties", {})
    for name, value in (("probe.target", target), ("probe.vantage", vantage)):
        if name in properties:
            properties[name] = value
    if "runLocation" in base:
        base["runLocation"] = vantage
        base["name"] = target + base["name"].removeprefix(OLD_TARGET)
    return other


@functools.cache
def rows_of_tick(kind, target, vantage):
    return tuple(row(moved(envelope, target, vantage)) for envelope in TICKS[kind])


def rows_of(tape, every=timedelta(minutes=1)):
    """Answer a tape's rows; the newest tick of each vantage is half a minute old."""
    newest = NOW.replace(tzinfo=None) - timedelta(seconds=30)
    return [
        (table, {**cells, "TimeGenerated": newest - every * (len(seen.ticks) - 1 - place)})
        for seen in tape
        for place, kind in enumerate(seen.ticks)
        if kind is not None
        for table, cells in rows_of_tick(kind, seen.target, seen.vantage)
    ]


def results(kql, tape, *, window=timedelta(days=2), every=timedelta(minutes=1)):
    """Answer what a query finds on a tape, looking back one window."""
    workspace = Workspace(rows_of(tape, every))
    workspace.look_back(NOW - window)
    return workspace.run(kql, NOW)
