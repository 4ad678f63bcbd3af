"""Tapes: minutes of telemetry, put together from captured ticks, that a query is run on.

A tape says what each vantage saw of each target, tick by tick; a tick's rows are captured envelopes moved to its minute,
target and vantage. What lies outside a rule's window is cut off, as the service does.
"""

import copy
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.infra.rows import CAPTURE, Workspace, row

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
TICKS = json.loads(CAPTURE.read_text())
OLD_TARGET, OLD_VANTAGE = "store", "francecentral"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one vantage saw of one target: kinds of ticks from the oldest to the newest, ``None`` for no tick."""

    ticks: list
    target: str = "store"
    vantage: str = "francecentral"


def moved(envelope, time, seen):
    """Answer a captured envelope as if sent at another time, of another target, from another vantage."""
    other = copy.deepcopy(envelope)
    other["time"] = time.isoformat()
    base = other["data"]["baseData"]
    properties = base.get("properties", {})
    for name, value in (("probe.target", seen.target), ("probe.vantage", seen.vantage)):
        if name in properties:
            properties[name] = value
    if "runLocation" in base:
        base["runLocation"] = seen.vantage
        base["name"] = seen.target + base["name"].removeprefix(OLD_TARGET)
    return other


def rows_of(tape, every=timedelta(minutes=1)):
    """Answer a tape's rows; the newest tick of each vantage is half a minute old."""
    return [
        row(moved(envelope, NOW - timedelta(seconds=30) - every * (len(seen.ticks) - 1 - place), seen))
        for seen in tape
        for place, kind in enumerate(seen.ticks)
        if kind is not None
        for envelope in TICKS[kind]
    ]


def results(kql, tape, *, window=timedelta(days=2), every=timedelta(minutes=1)):
    """Answer what a query finds on a tape, looking back one window."""
    workspace = Workspace(rows_of(tape, every))
    workspace.look_back(NOW - window)
    return workspace.run(kql, NOW)
