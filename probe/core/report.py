"""The report: all that one tick found out, and its JSON document.

Rules kept here: the document's names and units are an outward contract, ``probe/schema/report-2.json``:
durations in seconds, times RFC 3339 in UTC, URLs without a query; what is unknown is ``null``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any

from probe.core.breaker import Breaker, Transition
from probe.core.event import Event
from probe.core.incident import Incident
from probe.core.look import is_mended
from probe.core.reading import Phases, Purpose, Read, Reading
from probe.core.replication import Replication
from probe.core.sums import Tally
from probe.core.target import Forced, Location, Target
from probe.core.times import seconds, time_text
from probe.core.verdict import (
    EndpointJudgement,
    EndpointVerdict,
    Judgement,
    RedundancyJudgement,
    TargetVerdict,
)

SCHEMA = 2
_CORRUPT = EndpointVerdict.CORRUPT


class Result(StrEnum):
    """How a tick ended (attribute ``probe.result``)."""

    COMPLETED = "completed"
    CUT_SHORT = "cut_short"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StateProblem:
    """One failure of the state store: ``operation`` is ``load``, ``save`` or ``clamp``."""

    operation: str
    error_type: str
    message: str


@dataclass(frozen=True, kw_only=True)  # without slots: its document is kept with it
class TargetReport:
    """What a tick found out about one target.

    ``readings`` has every attempt of the tick in the order it was made: the write, those of the reads, the
    checks and the service stats. ``previous`` are the verdicts of the tick before (target, primary,
    secondary) and ``previous_redundancy`` that of its redundancy, ``None`` where there was none. ``skipped``
    names the steps that the budget cut off; ``maintenance_until`` is when the declared maintenance ends that
    the tick ran in; ``unwritten`` says why the canary was not tried to be written.
    ``events`` are this tick's, ``recent`` the last ones with them; ``incident`` is the one that is open after
    it. ``told`` are the sums to send with this tick, its own and those that waited; ``None`` while they go on
    waiting.
    """

    target: Target
    judgement: Judgement
    reads: Sequence[Read]
    readings: Sequence[Reading]
    breaker: Breaker
    forced: Forced | None
    transitions: Sequence[Transition]
    replication: Replication
    maintenance_until: datetime | None = None
    written_sequence: int | None = None
    previous: tuple[str, str, str | None] | None = None
    previous_redundancy: str | None = None
    unwritten: str | None = None
    events: Sequence[Event] = ()
    recent: Sequence[Event] = ()
    incident: Incident | None = None
    skipped: Sequence[str] = ()
    told: Tally | None = None

    @cached_property
    def document(self) -> dict[str, Any]:
        """Return its part of the document; made once, for the state, the log and who asks for JSON."""
        return target_document(self)

    @property
    def calm(self) -> bool:
        """Return whether nothing happened that anybody would look for."""
        judged = [self.judged(location) for location in self.target.locations]
        return (
            self.judgement.target.verdict is TargetVerdict.OK
            and all(each is None or each.verdict is EndpointVerdict.HEALTHY for each in judged)
            and all(each.ok for each in self.readings)
            and not self.transitions
            and not self.events
            and not self.skipped
        )

    @property
    def write(self) -> Reading | None:
        return next((each for each in self.readings if each.purpose is Purpose.WRITE), None)

    def at(self, location: Location) -> list[Reading]:
        """Return the readings of the canary at a location, in order: reads, trials and checks.

        That there was none before this tick's write put one there is no reading of the canary.
        """
        kept = (Purpose.READ, Purpose.TRIAL, Purpose.CHECK)
        seen = [each for each in self.readings if each.location is location and each.purpose in kept]
        return [each for each in seen if not is_mended(each, self.write)]

    def judged(self, location: Location) -> EndpointJudgement | None:
        return self.judgement.primary if location is Location.PRIMARY else self.judgement.secondary

    @property
    def verdicts(self) -> tuple[str, str, str | None]:
        """Return the verdicts of the target, the primary and the secondary, as they are remembered."""
        secondary = self.judgement.secondary
        return (
            str(self.judgement.target.verdict),
            str(self.judgement.primary.verdict),
            str(secondary.verdict) if secondary else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TickReport:
    """What one tick of one shard found out. ``state_store`` is ``ok`` or an ``error.type``.

    ``lost`` are the rows of telemetry that did not arrive earlier, by backend: to be told with this tick.
    """

    scheduled_at: datetime
    started_at: datetime
    duration: timedelta
    past_due: bool
    vantage: str
    shard: int
    result: Result
    targets: Sequence[TargetReport] = ()
    state_store: str = "ok"
    state_problems: Sequence[StateProblem] = field(default=())
    reason: str | None = None
    lost: Mapping[str, int] = field(default_factory=dict)

    @property
    def lateness(self) -> timedelta:
        return max(self.started_at - self.scheduled_at, timedelta(0))


def exit_code(report: TickReport) -> int:
    """Return the exit code of a tick: 0 all served and sound, 1 unavailable or corrupt, 3 inconclusive."""
    if report.result in (Result.FAILED, Result.SKIPPED):
        return 3
    verdicts = [each.judgement.target.verdict for each in report.targets]
    judged = [each.judged(location) for each in report.targets for location in Location]
    corrupt = any(each.verdict is _CORRUPT for each in judged if each)
    if corrupt or TargetVerdict.UNAVAILABLE in verdicts:
        return 1
    return 3 if TargetVerdict.INCONCLUSIVE in verdicts else 0


def document(report: TickReport) -> dict[str, Any]:
    """Return the report as JSON values, schema 2."""
    return {
        "schema": SCHEMA,
        "tick": {
            "scheduled_at": time_text(report.scheduled_at),
            "started_at": time_text(report.started_at),
            "duration_seconds": seconds(report.duration),
            "lateness_seconds": seconds(report.lateness),
            "past_due": report.past_due,
            "vantage": report.vantage,
            "shard": report.shard,
            "result": report.result,
            "reason": report.reason,
            "state_store": report.state_store,
        },
        "targets": [each.document for each in report.targets],
    }


def target_document(report: TargetReport) -> dict[str, Any]:
    """Return one target's part of the document."""
    judgement = report.judgement
    return {
        "name": report.target.name,
        "verdict": judgement.target.verdict,
        "reason": judgement.target.reason,
        "since": _since(judgement.target.since),
        "redundancy": _redundancy(judgement.redundancy),
        "incident": incident_document(report.incident),
        "maintenance_until": time_text(report.maintenance_until) if report.maintenance_until else None,
        "events": [event_document(each) for each in report.events],
        "endpoints": {str(each): _endpoint(report, each) for each in report.target.locations},
        "reads": [read_document(each) for each in report.reads],
        "breaker": breaker_document(report.breaker, report.target, report.forced),
        "transitions": [transition_document(each) for each in report.transitions],
        "replication": _replication(report.replication),
        "write": _write(report),
        "skipped": list(report.skipped),
    }


def upgraded(last: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a target's part of a document of schema 1 as one of schema 2; what is not in it is ``null``."""
    if last is None:
        return None
    known = dict(last.get("replication") or {})
    age = known.pop("last_sync_age_seconds", None)
    missing = dict.fromkeys(("reason", "secondary_sequence", "secondary_delay_seconds"))
    point = {"recovery_point": known.get("last_sync_time"), "recovery_point_age_seconds": age}
    ends = {
        name: {**dict.fromkeys(("since", "request_id")), **end}
        for name, end in (last.get("endpoints") or {}).items()
    }
    ids = dict.fromkeys(("request_id", "client_request_id"))
    reads = [
        {**read, "attempts": [{**ids, **each} for each in read.get("attempts", ())]}
        for read in last.get("reads") or ()
    ]
    write = last.get("write")
    return {
        **dict.fromkeys(("since", "redundancy", "incident")),
        "events": [],
        **last,
        "endpoints": ends,
        "reads": reads,
        "write": write and {**dict.fromkeys(("reason", "request_id")), **write},
        "replication": {**missing, **point, **known},
    }


def _endpoint(report: TargetReport, location: Location) -> dict[str, Any]:
    judged = report.judged(location)
    assert judged is not None, "every location of a target is judged"  # noqa: S101 - judge() keeps it
    reading = judged.reading
    return {
        "url": report.target.blob_url(location),
        "verdict": judged.verdict,
        "reason": judged.reason,
        "since": _since(judged.since),
        "error_type": reading.error_type if reading else None,
        "status_code": reading.status_code if reading else None,
        "duration_seconds": seconds(reading.duration) if reading else None,
        "phases": _phases(reading.phases if reading else Phases()),
        "request_id": reading.request_id if reading else None,
        "canary_sequence": reading.canary.sequence if reading and reading.canary else None,
        "canary_age_seconds": seconds(reading.canary_age) if reading else None,
    }


def _since(value: datetime | None) -> str | None:
    return time_text(value) if value else None


def _redundancy(judged: RedundancyJudgement | None) -> dict[str, Any] | None:
    """Return the verdict on redundancy; ``null`` for a target without a secondary."""
    if judged is None:
        return None
    return {"verdict": judged.verdict, "reason": judged.reason, "since": _since(judged.since)}


def incident_document(incident: Incident | None) -> dict[str, Any] | None:
    """Return the open incident."""
    if incident is None:
        return None
    return {
        "began_at": time_text(incident.began_at),
        "reason": incident.reason,
        "reads_lost": incident.reads_lost,
        "worst_read_seconds": incident.worst_read,
    }


def event_document(event: Event) -> dict[str, Any]:
    """Return one event: its kind, reason and time, and its own figures beside them."""
    return {"kind": event.kind, "reason": event.reason, "at": time_text(event.at), **event.details}


def _phases(phases: Phases) -> dict[str, float | None]:
    return {
        "dns": seconds(phases.dns),
        "connect": seconds(phases.connect),
        "tls": seconds(phases.tls),
        "ttfb": seconds(phases.ttfb),
        "transfer": seconds(phases.transfer),
    }


def read_document(read: Read) -> dict[str, Any]:
    """Return one read with its attempts."""
    return {
        "served_by": read.served_by or "none",
        "duration_seconds": seconds(read.duration),
        "attempts": [attempt_document(each) for each in read.attempts],
    }


def attempt_document(reading: Reading) -> dict[str, Any]:
    return {
        "location": reading.location,
        "outcome": reading.outcome,
        "error_type": reading.error_type,
        "status_code": reading.status_code,
        "duration_seconds": seconds(reading.duration),
        "request_id": reading.request_id,
        "client_request_id": reading.client_request_id,
    }


def breaker_document(breaker: Breaker, target: Target, forced: Forced | None) -> dict[str, Any]:
    """Return the breaker's state; ``forced`` is the location and its expiry, ``null`` when not forced.

    ``since``: when it left closed, or when it closed. ``reads_until_trial``: after so many more reads from
    the secondary the primary is tried, or at ``trial_at`` where a cooldown is set; sooner when it is seen
    well. Both are ``null`` while closed, and where something else routes: a forced mode, or no secondary.
    """
    routes = target.secondary is not None and forced is None
    trial_at = breaker.trial_at(target.policy) if routes else None
    return {
        "state": breaker.state,
        "since": time_text(breaker.since),
        "moved_at": time_text(breaker.moved_at) if breaker.moved_at else None,
        "reads_until_trial": breaker.reads_until_trial(target.policy) if routes else None,
        "trial_at": time_text(trial_at) if trial_at else None,
        "consecutive_failures": breaker.consecutive_failures,
        "secondary_reads": breaker.secondary_reads,
        "forced": forced_document(forced),
    }


def forced_document(forced: Forced | None) -> dict[str, Any] | None:
    """Return where reads are forced to, and until when; ``null`` where they are not."""
    return {"location": forced.location, "until": time_text(forced.until)} if forced else None


def transition_document(transition: Transition) -> dict[str, Any]:
    return {
        "from": transition.from_state,
        "to": transition.to_state,
        "reason": transition.reason,
        "at": time_text(transition.at),
        "figures": dict(transition.figures),
    }


def _replication(value: Replication) -> dict[str, Any]:
    return {
        "status": value.status,
        "last_sync_time": time_text(value.last_sync_time) if value.last_sync_time else None,
        "recovery_point": time_text(value.recovery_point) if value.recovery_point else None,
        "recovery_point_age_seconds": seconds(value.recovery_point_age),
        "within_rpo": value.within_rpo,
        "reason": value.reason,
        "lag_seconds": seconds(value.lag),
        "secondary_sequence": value.secondary_sequence,
        "secondary_delay_seconds": seconds(value.secondary_delay),
    }


def _write(report: TargetReport) -> dict[str, Any] | None:
    """Return the write; ``null`` where the target is only read from, or the budget ran out before it."""
    write = report.write
    if write is None and report.unwritten is None:
        return None
    return {
        "outcome": write.outcome if write else "not_tried",
        "error_type": write.error_type if write else None,
        "reason": report.unwritten or (write.detail if write else None),
        "sequence": report.written_sequence,
        "duration_seconds": seconds(write.duration) if write else None,
        "request_id": write.request_id if write else None,
    }
