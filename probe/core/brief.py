"""The brief of a shard: of each target as much as its headline needs, for a page of thousands."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from probe.core.record import SCHEMA, ShardRecord, TargetRecord
from probe.core.report import event_document, incident_document
from probe.core.times import time_text

_ENDPOINT = ("verdict", "error_type", "reason", "since")
_REPLICATION = ("recovery_point", "reason", "status")
_WRITE = ("outcome", "error_type", "reason")
_BREAKER = ("state", "reads_until_trial")


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """A shard's record as far as a headline over all needs it; ``targets`` are parts of their documents."""

    schema: int = SCHEMA
    last_scheduled_at: datetime | None = None
    last_completed_at: datetime | None = None
    ticks: int = 0
    clamped: int = 0
    targets: dict[str, dict[str, Any]]


def brief(record: ShardRecord) -> Brief:
    """Return the brief of a record, without the targets that have no last report."""
    found = {name: _target(each) for name, each in record.targets.items()}
    return Brief(
        last_scheduled_at=record.last_scheduled_at,
        last_completed_at=record.last_completed_at,
        ticks=record.ticks,
        clamped=record.clamped,
        targets={name: each for name, each in found.items() if each is not None},
    )


def _target(record: TargetRecord) -> dict[str, Any] | None:
    """Return a target's part; a state that somebody else wrote may hold any JSON in the place of a report."""
    try:
        return _part(record, record.last) if record.last else None
    except (KeyError, TypeError, AttributeError):
        return None


def _part(record: TargetRecord, last: Mapping[str, Any]) -> dict[str, Any]:
    newest = {each.kind: each for each in record.events}
    return {
        **{name: last[name] for name in ("verdict", "reason", "since", "redundancy")},
        "at": time_text(record.history[-1].at) if record.history else None,
        "incident": incident_document(record.incident),
        "endpoints": {name: _only(_ENDPOINT, each) for name, each in last["endpoints"].items()},
        "reads": [{"served_by": each["served_by"]} for each in last["reads"]],
        "replication": _only(_REPLICATION, last["replication"]),
        "write": last["write"] and _only(_WRITE, last["write"]),
        "breaker": _only(_BREAKER, last["breaker"]),
        "recent_events": [event_document(each) for each in newest.values()],
    }


def _only(names: tuple[str, ...], document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in names}
