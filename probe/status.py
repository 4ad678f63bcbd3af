"""Status: what the saved state says of every target, for people and for heartbeat monitors.

Rules kept here: it reads the saved state and measures nothing, so that any instance can answer; a shard whose
document cannot be read is told, and does not hide the others.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from probe.core.errors import StateError
from probe.core.record import HistoryEntry, ShardRecord, TargetRecord
from probe.core.report import (
    TargetReport,
    TickReport,
    breaker_document,
    transition_document,
)
from probe.core.target import Target
from probe.core.times import time_text
from probe.ports import StateStore

log = logging.getLogger("probe")

SCHEMA = 1
LETTERS = {"primary": "P", "secondary": "S", None: "-"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What the status is made from: the fleet as it is set, and the rhythm by which it is fresh."""

    shards: Sequence[Sequence[Target]]
    vantage: str
    interval: timedelta
    budget: timedelta

    @property
    def patience(self) -> timedelta:
        """Return how old the last completed tick may be: a missed tick is forgiven, two are not."""
        return 2 * self.interval + self.budget


async def document(store: StateStore, page: Page, now: datetime) -> dict[str, Any]:
    """Return the status as JSON values, schema 1: ``shards`` and ``targets``, the newest tick of each."""
    loaded = await asyncio.gather(*(_load(store, each) for each in range(len(page.shards))))
    shards = [_shard(number, record, error, page, now) for number, (record, error) in enumerate(loaded)]
    targets = [
        _target(target, number, record, now)
        for number, (record, _) in enumerate(loaded)
        for target in page.shards[number]
    ]
    return {
        "schema": SCHEMA,
        "generated_at": time_text(now),
        "vantage": page.vantage,
        "fresh": all(each["fresh"] for each in shards),
        "shards": shards,
        "targets": targets,
    }


async def fresh(store: StateStore, page: Page, now: datetime) -> bool:
    """Return whether every shard has completed a tick lately; ``False`` when that cannot be known."""
    loaded = await asyncio.gather(*(_load(store, each) for each in range(len(page.shards))))
    return all(_is_fresh(record, page, now) for record, _ in loaded)


async def _load(store: StateStore, shard: int) -> tuple[ShardRecord | None, str | None]:
    try:
        return (await store.load(shard)).record, None
    except StateError as error:
        # The health says no more than "stale", and may be all that runs on this instance.
        log.error("the state of shard %d cannot be read: %s", shard, error)  # noqa: TRY400 - no bug of ours
        return None, str(error)


def _is_fresh(record: ShardRecord | None, page: Page, now: datetime) -> bool:
    completed = record.last_completed_at if record else None
    return completed is not None and now - completed <= page.patience


def _shard(
    number: int, record: ShardRecord | None, error: str | None, page: Page, now: datetime
) -> dict[str, Any]:
    return {
        "shard": number,
        "fresh": _is_fresh(record, page, now),
        "error": error,
        "ticks": record.ticks if record else 0,
        "clamped": record.clamped if record else 0,
        "last_scheduled_at": _time(record.last_scheduled_at if record else None),
        "last_completed_at": _time(record.last_completed_at if record else None),
    }


def _target(target: Target, shard: int, record: ShardRecord | None, now: datetime) -> dict[str, Any]:
    known = record.targets.get(target.name) if record else None
    head: dict[str, Any] = {"name": target.name, "shard": shard, "at": None}
    if known is None or known.last is None:
        return {**head, "verdict": None, "reason": "no tick is on record yet"}
    return {**head, **known.last, **_remembered(known, target, now)}


def _remembered(record: TargetRecord, target: Target, now: datetime) -> dict[str, Any]:
    totals = record.breaker.totals
    forced = target.policy.forced
    return {
        "at": _time(record.history[-1].at if record.history else None),
        "breaker": breaker_document(
            record.breaker, target, forced if forced and now < forced.until else None
        ),
        "totals": {
            "primary_attempts": totals.primary_attempts,
            "primary_failures": totals.primary_failures,
            "secondary_attempts": totals.secondary_attempts,
            "secondary_failures": totals.secondary_failures,
            "transitions": totals.transitions,
        },
        "recent_transitions": [transition_document(each) for each in record.transitions],
        "history": [_entry(each) for each in record.history],
    }


def _entry(moment: HistoryEntry) -> dict[str, Any]:
    return {
        "at": time_text(moment.at),
        "verdict": moment.verdict,
        "primary": moment.primary,
        "secondary": moment.secondary,
        "served": {
            "primary": moment.served_primary,
            "secondary": moment.served_secondary,
            "none": moment.served_none,
        },
        "worst_read_seconds": moment.worst_read,
        "lag_seconds": moment.lag,
        "last_sync_age_seconds": moment.last_sync_age,
    }


def _time(value: datetime | None) -> str | None:
    return time_text(value) if value else None


def lines(report: TickReport) -> list[str]:
    """Return a tick as log lines: one for each target, and one where the tick itself has something to say."""
    out = [_line(report, each) for each in report.targets]
    out += [f"  {each.target.name}: {moved}" for each in report.targets for moved in _moves(each)]
    if report.reason or report.state_store != "ok" or not out:
        reason = f": {report.reason}" if report.reason else ""
        out.append(f"tick {report.result}{reason}; state store {report.state_store}")
    return out


def _line(report: TickReport, each: TargetReport) -> str:
    judgement = each.judgement
    letters = "".join(LETTERS[read.served_by] for read in each.reads)
    parts = [
        f"{report.scheduled_at:%H:%M:%S} {each.target.name} {judgement.target.verdict}",
        f"primary {_word(each, 'primary')}",
    ]
    if judgement.secondary:
        parts.append(f"secondary {_word(each, 'secondary')}")
    parts += [f"reads {letters or 'none'}", _breaker(each)]
    if each.write and not each.write.ok:
        parts.append(f"write failed ({each.write.error_type})")
    if each.replication.lag is not None:
        parts.append(f"lag {each.replication.lag.total_seconds():.1f} s")
    return " | ".join((*parts, f"{report.duration.total_seconds():.2f} s"))


def _breaker(each: TargetReport) -> str:
    known = breaker_document(each.breaker, each.target, each.forced)
    told = f"breaker {each.breaker.state}"
    if known["reads_until_trial"]:
        told += f", trial after {known['reads_until_trial']} reads"
    return told


def _word(each: TargetReport, location: str) -> str:
    judged = each.judgement.primary if location == "primary" else each.judgement.secondary
    assert judged is not None, "asked for a location that was judged"  # noqa: S101 - by _line
    error = judged.reading.error_type if judged.reading else None
    return f"{judged.verdict} ({error})" if error else str(judged.verdict)


def _moves(each: TargetReport) -> list[str]:
    return [f"{move.from_state} -> {move.to_state}: {move.reason}" for move in each.transitions]
