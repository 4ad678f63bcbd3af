"""The catalogue: every metric, availability result, event, span and attribute that the probe sends.

Rules kept here: the instruments are made from ``METRICS``, the README's tables from ``markdown()``, and the
tests compare both with what arrives on the wire, so nothing can be sent that is not told and the other way
round. Units stand in the instrument and never in the name; names follow OpenTelemetry's semantic conventions
where they have one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from probe.core.breaker import State
from probe.core.event import EventKind
from probe.core.reading import CONTENT_ERRORS, PATH_ERRORS, Outcome, Purpose
from probe.core.replication import SyncStatus
from probe.core.report import Result
from probe.core.sums import ATTEMPT, BUCKETS, DELAY, PHASE, PHASES, TICK
from probe.core.target import Location
from probe.core.verdict import EndpointVerdict, RedundancyVerdict, TargetVerdict

SCOPE = "probe"
"""The name of the meter, the logger and the tracer."""


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Pace(StrEnum):
    """When a metric is sent: what has to be seen at once in every tick, the rest summed up while all is well.

    Nothing is lost by it, since counters and histograms add up and wait in the saved state; it is what makes
    the volume small.
    """

    TICK = "each tick"
    CALM = "each tick; summed over 5 minutes while all is well with the target"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One instrument. ``buckets`` are a histogram's bounds, in its unit."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    attributes: tuple[str, ...]
    pace: Pace = Pace.CALM
    buckets: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An availability result, an event or a span. Measurements are numbers, in seconds or counts."""

    name: str
    meaning: str
    attributes: tuple[str, ...]
    measurements: tuple[str, ...] = ()


_WHO = ("probe.target", "probe.vantage")
_WHERE = (*_WHO, "probe.location", "server.address", "server.port")

ATTEMPTS = Metric(
    name="probe.attempts",
    kind=Kind.COUNTER,
    unit="{attempt}",
    meaning="attempts: one HTTP request to one endpoint each",
    attributes=(*_WHERE, "probe.purpose", "probe.outcome", "error.type", "http.response.status_code"),
)
ATTEMPT_DURATION = Metric(
    name="probe.attempt.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    meaning="how long an attempt took, its connection included",
    attributes=(*_WHERE, "probe.purpose", "probe.outcome", "error.type"),
    buckets=BUCKETS[ATTEMPT],
)
PHASE_DURATION = Metric(
    name="probe.attempt.phase.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    meaning="how long one phase of an attempt took",
    attributes=(*_WHERE, "probe.phase"),
    buckets=BUCKETS[PHASE],
)
READS = Metric(
    name="probe.reads",
    kind=Kind.COUNTER,
    unit="{read}",
    meaning="what a client asked for, by who served it",
    attributes=(*_WHO, "probe.served_by"),
)
ENDPOINT_UP = Metric(
    name="probe.endpoint.up",
    kind=Kind.GAUGE,
    unit="1",
    meaning="1 when a client is served there, 0 when not; nothing is sent while the verdict is inconclusive",
    attributes=(*_WHERE, "probe.verdict"),
    pace=Pace.TICK,
)
INCONCLUSIVE = Metric(
    name="probe.inconclusive",
    kind=Kind.COUNTER,
    unit="{verdict}",
    meaning="verdicts that claim neither an outage nor health, on an endpoint (with location) or on the "
    "target (without); they send no availability result",
    attributes=_WHERE,
    pace=Pace.TICK,
)
REDUNDANCY = Metric(
    name="probe.redundancy",
    kind=Kind.GAUGE,
    unit="1",
    meaning="1 while the secondary protects the account's data, 0 when not; nothing is sent while unknown",
    attributes=(*_WHO, "probe.verdict"),
    pace=Pace.TICK,
)
MAINTENANCE = Metric(
    name="probe.maintenance",
    kind=Kind.GAUGE,
    unit="1",
    meaning="1 in a declared maintenance window, in which the target pages nobody; nothing is sent outside",
    attributes=_WHO,
    pace=Pace.TICK,
)
BREAKER_STATE = Metric(
    name="probe.breaker.state",
    kind=Kind.GAUGE,
    unit="1",
    meaning="0 closed, 1 half-open, 2 open",
    attributes=(*_WHO, "probe.breaker.state_name"),
    pace=Pace.TICK,
)
BREAKER_TRANSITIONS = Metric(
    name="probe.breaker.transitions",
    kind=Kind.COUNTER,
    unit="{transition}",
    meaning="moves of the breaker",
    attributes=(*_WHO, "probe.from", "probe.to"),
    pace=Pace.TICK,
)
REPLICATION_LAG = Metric(
    name="probe.replication.lag",
    kind=Kind.GAUGE,
    unit="s",
    meaning="how far the secondary's canary is behind: what was observed",
    attributes=(*_WHERE, "probe.replication.status"),
    pace=Pace.TICK,
)
LAST_SYNC_AGE = Metric(
    name="probe.replication.last_sync.age",
    kind=Kind.GAUGE,
    unit="s",
    meaning="age of the recovery point, the newest last sync time that Azure told: every write before it is "
    "on the secondary. It grows while it is not renewed; absent when none was ever known",
    attributes=(*_WHERE, "probe.replication.status"),
    pace=Pace.TICK,
)
REPLICATION_DELAY = Metric(
    name="probe.replication.delay",
    kind=Kind.HISTOGRAM,
    unit="s",
    meaning="from a canary's writing to its first showing on the secondary",
    attributes=_WHERE,
    buckets=BUCKETS[DELAY],
)
CANARY_AGE = Metric(
    name="probe.canary.age",
    kind=Kind.GAUGE,
    unit="s",
    meaning="age of the canary that an endpoint shows",
    attributes=_WHERE,
)
CANARY_FAILURES = Metric(
    name="probe.canary.failures",
    kind=Kind.COUNTER,
    unit="{failure}",
    meaning="answers with the wrong canary or none",
    attributes=(*_WHERE, "error.type"),
    pace=Pace.TICK,
)
TICK_DURATION = Metric(
    name="probe.tick.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    meaning="how long a tick took",
    attributes=("probe.vantage", "probe.shard"),
    buckets=BUCKETS[TICK],
    pace=Pace.TICK,
)
TICK_LATENESS = Metric(
    name="probe.tick.lateness",
    kind=Kind.HISTOGRAM,
    unit="s",
    meaning="how long after its scheduled time a tick began",
    attributes=("probe.vantage", "probe.shard"),
    buckets=BUCKETS[TICK],
    pace=Pace.TICK,
)
TICKS = Metric(
    name="probe.ticks",
    kind=Kind.COUNTER,
    unit="{tick}",
    meaning="ticks, by how they ended",
    attributes=("probe.vantage", "probe.result"),
    pace=Pace.TICK,
)
STATE_ERRORS = Metric(
    name="probe.state.errors",
    kind=Kind.COUNTER,
    unit="{error}",
    meaning="failures of the state store",
    attributes=("probe.vantage", "probe.operation", "error.type"),
    pace=Pace.TICK,
)
TELEMETRY_LOST = Metric(
    name="probe.telemetry.lost",
    kind=Kind.COUNTER,
    unit="{item}",
    meaning="rows that a telemetry backend did not take, told to it when it takes rows again",
    attributes=("probe.vantage", "probe.backend"),
    pace=Pace.TICK,
)

METRICS = (
    ATTEMPTS,
    ATTEMPT_DURATION,
    PHASE_DURATION,
    READS,
    ENDPOINT_UP,
    INCONCLUSIVE,
    REDUNDANCY,
    MAINTENANCE,
    BREAKER_STATE,
    BREAKER_TRANSITIONS,
    REPLICATION_LAG,
    LAST_SYNC_AGE,
    REPLICATION_DELAY,
    CANARY_AGE,
    CANARY_FAILURES,
    TICK_DURATION,
    TICK_LATENESS,
    TICKS,
    STATE_ERRORS,
    TELEMETRY_LOST,
)

ENDPOINT_RESULT = Entry(
    name="TARGET primary, TARGET secondary",
    meaning="availability of one endpoint: success when a client is served there; its duration is that of "
    "the attempt that the verdict rests on",
    attributes=(
        *_WHERE,
        "probe.verdict",
        "probe.breaker.state_name",
        "error.type",
        "http.response.status_code",
    ),
    measurements=(*PHASES, "canary_age", "lag", "last_sync_age"),
)
READS_RESULT = Entry(
    name="TARGET reads",
    meaning="availability as a client sees it: success when every read was served; its duration is that of "
    "the slowest read",
    attributes=(*_WHO, "probe.verdict", "probe.breaker.state_name", "probe.maintenance.until"),
    measurements=("reads", "served_by_primary", "served_by_secondary", "served_by_none"),
)
ALARM_RESULT = Entry(
    name="TARGET primary down, TARGET secondary down, TARGET reads failing",
    meaning="sent only in a tick in which it is so, and never in a declared maintenance: always a failure. "
    "What `TARGET primary` fails for may be our own grant, and a metric alert sees names and counts alone",
    attributes=_WHO,
)
AVAILABILITY = (ENDPOINT_RESULT, READS_RESULT, ALARM_RESULT)


def result_of(name: str) -> Entry:
    """Return what an availability result of this name is; a target's own name stands before the word."""
    if name.endswith(" reads"):
        return READS_RESULT
    return ENDPOINT_RESULT if name.endswith((" primary", " secondary")) else ALARM_RESULT


BREAKER_TRANSITION = Entry(
    name="BreakerTransition",
    meaning="the breaker moved; the measurements are the figures that caused it",
    attributes=(*_WHO, "probe.from", "probe.to", "probe.reason"),
    measurements=("FIGURES",),
)
VERDICT_CHANGED = Entry(
    name="VerdictChanged",
    meaning="the verdict on an endpoint (with location) or on the target (without) is not the last tick's",
    attributes=(*_WHO, "probe.location", "probe.from", "probe.to", "probe.reason"),
)
FAILOVER_WITH_LOSS = Entry(
    name="FailoverWithLoss",
    meaning="the primary has lost writes that it had acknowledged",
    attributes=(*_WHO, "probe.reason", "probe.lost_from", "probe.lost_to"),
    measurements=("lost_writes",),
)
SECOND_WRITER = Entry(
    name="SecondWriter",
    meaning="somebody else writes this canary",
    attributes=(*_WHO, "probe.reason", "probe.writer"),
)
CANARY_GONE = Entry(
    name="CanaryGone",
    meaning="the canary, or its container, is no longer there",
    attributes=(*_WHO, "probe.reason"),
)
INCIDENT_CLOSED = Entry(
    name="IncidentClosed",
    meaning="an incident is over: its summary",
    attributes=(*_WHO, "probe.reason", "probe.began_at", "probe.ended_at"),
    measurements=(
        "duration_seconds",
        "reads_lost",
        "worst_read_seconds",
        "served_primary",
        "served_secondary",
        "loss_bound_seconds",
    ),
)
EVENT_OF = {
    EventKind.FAILOVER_WITH_LOSS: FAILOVER_WITH_LOSS,
    EventKind.SECOND_WRITER: SECOND_WRITER,
    EventKind.CANARY_GONE: CANARY_GONE,
    EventKind.INCIDENT_CLOSED: INCIDENT_CLOSED,
}
"""What each kind of event of the core is sent as."""
EVENTS = (BREAKER_TRANSITION, VERDICT_CHANGED, *EVENT_OF.values())

LOG_LINE = Entry(
    name="log lines",
    meaning="the probe's own warnings and errors, in its tick's trace; an exception where there was one",
    attributes=("probe.vantage", "exception.type", "exception.message", "exception.stacktrace"),
)
LINES = (LOG_LINE,)

TICK_SPAN = Entry(
    name="probe tick",
    meaning="one tick, under the invocation that fired it",
    attributes=("probe.vantage", "probe.shard", "probe.result", "probe.reason"),
)
ATTEMPT_SPAN = Entry(
    name="GET, PUT",
    meaning="one attempt, under its tick; `probe.error.type` repeats `error.type`, which the Azure Monitor "
    "exporter drops from spans",
    attributes=(
        *_WHERE,
        "probe.purpose",
        "probe.outcome",
        "probe.error.type",
        "probe.reason",
        "probe.client_request.id",
        "azure.service.request.id",
        "azure.resource_provider.namespace",
        "error.type",
        "http.request.method",
        "http.response.status_code",
        "url.full",
    ),
    measurements=PHASES,
)
SPANS = (TICK_SPAN, ATTEMPT_SPAN)


def _values(values: Iterable[str]) -> str:
    return ", ".join(f"`{each}`" for each in values)


ATTRIBUTES = {
    "azure.resource_provider.namespace": "`Microsoft.Storage`",
    "azure.service.request.id": "`x-ms-request-id`: what Azure support asks for",
    "error.type": f"{_values(PATH_ERRORS)}, {_values(CONTENT_ERRORS)}, or a status code; absent on success",
    "exception.message": "the line that told it",
    "exception.stacktrace": "where it was raised",
    "exception.type": "the exception's class",
    "http.request.method": "`GET`, `PUT`",
    "http.response.status_code": "absent when there was no answer",
    "probe.backend": "`azure_monitor`, `otlp`",
    "probe.began_at": "when the incident began",
    "probe.breaker.state_name": _values(State),
    "probe.client_request.id": "`x-ms-client-request-id`",
    "probe.ended_at": "when the incident ended",
    "probe.error.type": "as `error.type`",
    "probe.from": "a breaker's state or a verdict",
    "probe.location": _values(Location),
    "probe.lost_from": "when the oldest of the lost writes was made",
    "probe.lost_to": "when the newest of the lost writes was made",
    "probe.maintenance.until": "when the declared maintenance ends; absent outside of one",
    "probe.operation": "`load`, `save`, `clamp`",
    "probe.outcome": _values(Outcome),
    "probe.phase": _values(PHASES),
    "probe.purpose": _values(Purpose),
    "probe.reason": "a sentence for people",
    "probe.replication.status": f"{_values(SyncStatus)}; absent while unknown",
    "probe.result": _values(Result),
    "probe.served_by": f"{_values(Location)}, `none`",
    "probe.shard": "the number of the shard, from 0",
    "probe.target": "the target's name",
    "probe.to": "as `probe.from`",
    "probe.vantage": "where the probe runs (availability results carry it as run location)",
    "probe.writer": "who else writes the canary, as its stamp says",
    "probe.verdict": f"endpoint: {_values(EndpointVerdict)}; target: {_values(TargetVerdict)}; "
    f"redundancy: {_values(RedundancyVerdict)}",
    "server.address": "the endpoint's host",
    "server.port": "the endpoint's port",
    "url.full": "the endpoint's URL, never with a query",
}

RESOURCE = (
    "service.name",
    "service.version",
    "service.instance.id",
    "cloud.provider",
    "cloud.platform",
    "cloud.region",
    "faas.name",
    "faas.instance",
)


def markdown() -> str:
    """Return the README's tables, from the catalogue."""
    parts = [
        _table(
            ("metric", "instrument, unit", "what it counts or measures", "sent", "attributes"),
            [
                (
                    f"`{each.name}`",
                    f"{each.kind} {each.unit}",
                    each.meaning,
                    each.pace,
                    _values(each.attributes),
                )
                for each in METRICS
            ],
        ),
        "Availability results:",
        _entries(AVAILABILITY, "result"),
        "Events:",
        _entries(EVENTS, "event"),
        "Log records:",
        _entries(LINES, "record"),
        "Spans:",
        _entries(SPANS, "span"),
        "Attributes:",
        _table(("attribute", "values"), [(f"`{name}`", text) for name, text in sorted(ATTRIBUTES.items())]),
        f"Resource: {_values(RESOURCE)}.",
    ]
    return "\n\n".join(parts)


def _entries(entries: Iterable[Entry], noun: str) -> str:
    rows = [
        (f"`{each.name}`", each.meaning, _values(each.attributes), _values(each.measurements) or "none")
        for each in entries
    ]
    return _table((noun, "what it says", "attributes", "measurements"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(each)} |" for each in lines)
