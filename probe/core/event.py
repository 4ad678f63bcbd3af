"""Events: what happened to a target that somebody should hear of, each told once."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class EventKind(StrEnum):
    """What happened; the names are an outward contract."""

    FAILOVER_WITH_LOSS = "failover_with_loss"
    """The primary has lost writes that it had acknowledged: ``lost_writes``, ``lost_from``, ``lost_to``."""
    SECOND_WRITER = "second_writer"
    """Somebody else writes this blob: ``writer``, as its stamp says."""
    CANARY_GONE = "canary_gone"
    """The canary's blob, or its container, is no longer there."""
    INCIDENT_CLOSED = "incident_closed"
    """An incident is over: its summary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event; ``details`` are its own figures as JSON values: times in RFC 3339, durations in seconds."""

    kind: EventKind
    at: datetime
    reason: str
    details: dict[str, str | int | float | None] = field(default_factory=dict)
