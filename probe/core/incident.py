"""Since when: how long each verdict has held, and the incident from its first bad tick to its end."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from probe.core.event import Event, EventKind
from probe.core.reading import Read
from probe.core.target import Location
from probe.core.times import seconds, time_text
from probe.core.verdict import TargetJudgement, TargetVerdict

BAD = (TargetVerdict.REROUTED, TargetVerdict.UNAVAILABLE)
"""The verdicts that open an incident and keep it open. An inconclusive tick does neither, nor ends one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A verdict that holds, and since when."""

    verdict: str
    since: datetime

    def after(self, verdict: str, at: datetime) -> Self:
        """Return the standing after a tick that began then; a tick older than it changes nothing."""
        if verdict == self.verdict or at < self.since:
            return self
        return replace(self, verdict=verdict, since=at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A stretch of bad ticks: when the first began, what opened it, and what it has cost so far.

    ``worst_read`` is in seconds; ``loss_bound`` is the highest age of the recovery point in it, in seconds.
    """

    began_at: datetime
    reason: str
    reads_lost: int = 0
    worst_read: float | None = None
    served_primary: int = 0
    served_secondary: int = 0
    loss_bound: float | None = None

    def counting(self, reads: Sequence[Read], recovery_point_age: timedelta | None) -> Self:
        """Return the incident with a tick's reads in it."""
        served = Counter(each.served_by for each in reads)
        took = (each.duration.total_seconds() for each in reads)
        return replace(
            self,
            reads_lost=self.reads_lost + served[None],
            served_primary=self.served_primary + served[Location.PRIMARY],
            served_secondary=self.served_secondary + served[Location.SECONDARY],
            worst_read=max((*took, *_known(self.worst_read)), default=None),
            loss_bound=max((*_known(seconds(recovery_point_age)), *_known(self.loss_bound)), default=None),
        )

    def closed(self, at: datetime) -> Event:
        """Return the summary of the incident, which ended with the good tick that began then."""
        lasted = max(at - self.began_at, timedelta(0))
        reads = self.reads_lost + self.served_primary + self.served_secondary
        return Event(
            kind=EventKind.INCIDENT_CLOSED,
            at=at,
            reason=f"over after {lasted.total_seconds():.0f} s: {self.reads_lost} of {reads} reads were "
            f"lost; it began with: {self.reason}",
            details={
                "began_at": time_text(self.began_at),
                "ended_at": time_text(at),
                "duration_seconds": seconds(lasted),
                "reads_lost": self.reads_lost,
                "worst_read_seconds": self.worst_read,
                "served_primary": self.served_primary,
                "served_secondary": self.served_secondary,
                "loss_bound_seconds": self.loss_bound,
            },
        )


def _known(value: float | None) -> tuple[float, ...]:
    return () if value is None else (value,)


def incident_after(
    incident: Incident | None,
    judgement: TargetJudgement,
    *,
    reads: Sequence[Read],
    recovery_point_age: timedelta | None,
    began_at: datetime,
) -> tuple[Incident | None, Event | None]:
    """Return the open incident after a tick, if any, and the summary of the one that the tick ended."""
    if judgement.verdict in BAD:
        opened = incident or Incident(began_at=began_at, reason=judgement.reason)
        return opened.counting(reads, recovery_point_age), None
    if incident is None or began_at < incident.began_at:
        return incident, None
    if judgement.verdict is TargetVerdict.INCONCLUSIVE:
        return incident.counting(reads, recovery_point_age), None
    return None, incident.closed(began_at)
